"""The values of the chart, declared once; `tools.chart` writes their defaults, schema and table from here."""

from typing import Any, Literal

from pydantic import Field

from campaignpool.api.model import Model

Json = dict[str, Any]
Strings = dict[str, str]


class Image(Model):
    """An image; `digest` wins over `tag`."""

    registry: str = "ghcr.io"
    """Registry host; empty: the container runtime's default."""
    repository: str
    """Path in the registry."""
    tag: str = ""
    """Tag; empty: the chart's appVersion."""
    digest: str = Field(default="", pattern="^(sha256:[0-9a-f]{64})?$")
    """Digest, `sha256:...`; the tag is then ignored."""


class OperatorImage(Image):
    """The operator's image."""

    repository: str = "campaignpool/campaignpool-operator"
    """Path in the registry."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the node pulls it."""


class SeederImage(Image):
    """The image of the Jobs."""

    repository: str = "campaignpool/campaignpool-seeder"
    """Path in the registry."""


class Crds(Model):
    """The CustomResourceDefinition."""

    install: bool = True
    """Install and upgrade the CRD with the chart."""
    keep: bool = True
    """Keep the CRD, and with it all pools, when the release is uninstalled."""


class LeaderElection(Model):
    """Leader election of the replicas."""

    enabled: bool = True
    """Of all replicas only the holder of a Lease reconciles. Without it, `replicas` has to be 1."""


class ServiceAccount(Model):
    """The operator's ServiceAccount."""

    create: bool = True
    """Create it."""
    name: str = ""
    """Its name; empty: the release's full name, or `default` where none is created."""
    annotations: Strings = {}
    """Annotations, for example of workload identity."""


class Rbac(Model):
    """Roles and bindings."""

    create: bool = True
    """Create the operator's roles and bindings."""
    aggregate: bool = True
    """Add the rights on CampaignPools to the ClusterRoles `view`, `edit` and `admin`; cluster-wide installs only."""
    scale_role: bool = True
    """Create a ClusterRole for what may only scale pools, such as an autoscaler; cluster-wide installs only."""


class PodDisruptionBudget(Model):
    """The PodDisruptionBudget; only rendered for two replicas and more."""

    enabled: bool = True
    """Create it."""
    max_unavailable: int | str = 1
    """Pods that may be evicted at once, as a number or a percentage."""


class NetworkPolicy(Model):
    """The NetworkPolicy of the operator's pods."""

    enabled: bool = False
    """Create it: ingress to the metrics port alone, egress to DNS, the Kubernetes API and Postgres."""
    ingress_from: list[Json] = []
    """Peers that may read the metrics; empty: every pod of the cluster. Probes of the kubelet are always let in."""
    api_ports: list[int] = [443, 6443]
    """Ports of the Kubernetes API."""
    database_ports: list[int] = [5432]
    """Ports of the databases."""
    extra_egress: list[Json] = []
    """More egress rules."""


class Proxy(Model):
    """Proxy of outgoing HTTP, for the operator and for its Jobs."""

    http: str = ""
    """HTTP_PROXY."""
    https: str = ""
    """HTTPS_PROXY."""
    no_proxy: str = ""
    """NO_PROXY; the Kubernetes API and the cluster's own domains are added."""


class Log(Model):
    """The operator's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
    format: Literal["json", "text"] = "json"
    """One JSON object a line, or text."""


class Seeder(Model):
    """Defaults of all Jobs; a pool's `spec.seeding` wins."""

    image: SeederImage = SeederImage()
    """The image of the Jobs."""
    resources: Json = {}
    """Requests and limits; empty: 50m CPU and 64Mi requested, memory limited to 256Mi."""
    pod_template: Json = Field(default={}, json_schema_extra={"x-properties": ["labels", "annotations", "spec"]})
    """Changes to the Jobs' pods (`labels`, `annotations`, `spec`), merged before the pool's own."""


class DashboardProxy(Model):
    """An authenticating proxy in front of the dashboard, such as oauth2-proxy, that names the user in a header."""

    user_header: str = ""
    """Header with the user's name, such as `X-Forwarded-Email`; empty: bearer tokens only."""
    groups_header: str = ""
    """Header with the user's groups, comma-separated, such as `X-Forwarded-Groups`; empty: none."""
    trusted: list[str] = ["127.0.0.0/8", "::1/128"]
    """Networks from which these headers are accepted; by default the pod itself, for a proxy in `extraContainers`."""


class Dashboard(Model):
    """The dashboard: the API of what admins see, on a port of its own."""

    enabled: bool = False
    """Serve it, with a Service and the rights to review tokens and accesses in the whole cluster."""
    port: int = Field(default=8081, ge=1024, le=65535)
    """Port of the pods and of the Service."""
    proxy: DashboardProxy = DashboardProxy()
    """An authenticating proxy in front of it."""
    ingress_from: list[Json] = []
    """With `networkPolicy.enabled`: peers that may reach it; empty: every pod of the cluster."""


class Monitor(Model):
    """A ServiceMonitor or PodMonitor of the Prometheus operator."""

    enabled: bool = False
    """Create it."""
    labels: Strings = {}
    """Labels by which your Prometheus selects it."""
    interval: str = ""
    """Scrape interval; empty: Prometheus's own."""


class Rules(Model):
    """The PrometheusRule with the alerts."""

    enabled: bool = False
    """Create it."""
    labels: Strings = {}
    """Labels by which your Prometheus selects it."""
    runbook_url: str = "https://campaignpool.dev/runbooks"
    """Start of the addresses of runbooks, in alerts and dashboards; the alert's name follows after a slash."""


class Dashboards(Model):
    """The Grafana dashboards, one ConfigMap each."""

    enabled: bool = False
    """Create them."""
    labels: Strings = {"grafana_dashboard": "1"}
    """Labels by which Grafana's sidecar finds them."""
    annotations: Strings = {}
    """Annotations, such as the sidecar's `grafana_folder`."""
    namespace: str = ""
    """Their namespace; empty: the release's."""


class Monitoring(Model):
    """What the Prometheus operator and Grafana read."""

    service_monitor: Monitor = Monitor()
    """Scrape by way of the Service."""
    pod_monitor: Monitor = Monitor()
    """Scrape the pods without a Service."""
    prometheus_rule: Rules = Rules()
    """The alerts."""
    dashboards: Dashboards = Dashboards()
    """The dashboards."""


class Seeding(Model):
    """The seeding Jobs of all pools."""

    max_concurrent_total: int = Field(default=20, ge=1, le=1000)
    """Most of them at once; pools that want more take turns."""


class Values(Model):
    """All values of the chart."""

    name_override: str = Field(default="", max_length=63)
    """Replaces the chart's name in the names of objects."""
    fullname_override: str = Field(default="", max_length=53)
    """Replaces the release's full name in the names of objects."""
    watch_namespaces: list[str] = []
    """Namespaces whose pools are served, with Roles in each and no cluster-wide right; empty: the whole cluster."""
    pool_selector: str = ""
    """Label selector of the pools that are served, such as `tier=gold`, where releases share pools; empty: all."""
    replicas: int = Field(default=2, ge=0, le=10)
    """Operator pods; one reconciles, the others stand by."""
    crds: Crds = Crds()
    """The CustomResourceDefinition."""
    leader_election: LeaderElection = LeaderElection()
    """Leader election of the replicas."""
    image: OperatorImage = OperatorImage()
    """The operator's image."""
    image_pull_secrets: list[Json] = []
    """Pull secrets of the operator's pods and of its Jobs: `- name: registry`."""
    seeding: Seeding = Seeding()
    """The seeding Jobs of all pools."""
    seeder: Seeder = Seeder()
    """Defaults of all Jobs."""
    resync_seconds: int = Field(default=30, ge=1, le=3600)
    """Each pool is reconciled at least this often, whatever happens."""
    dashboard: Dashboard = Dashboard()
    """The dashboard."""
    require_secret_label: bool = False
    """Use a Secret only if it carries the label `campaignpool.dev/database: "true"`."""
    watch_references: bool = True
    """Watch the Secrets and ConfigMaps that pools name; without it, changes act at the next resync."""
    log: Log = Log()
    """The operator's log."""
    proxy: Proxy = Proxy()
    """Proxy of outgoing HTTP."""
    service_account: ServiceAccount = ServiceAccount()
    """The operator's ServiceAccount."""
    rbac: Rbac = Rbac()
    """Roles and bindings."""
    resources: Json = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    """Requests and limits of the operator."""
    pod_security_context: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    """The pod's security context. The image's user is 65532; OpenShift assigns another one."""
    security_context: Json = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    """The container's security context."""
    common_labels: Strings = {}
    """Labels of every object."""
    common_annotations: Strings = {}
    """Annotations of every object."""
    deployment_annotations: Strings = {}
    """Annotations of the Deployment."""
    pod_labels: Strings = {}
    """Labels of the operator's pods."""
    pod_annotations: Strings = {}
    """Annotations of the operator's pods."""
    node_selector: Strings = {}
    """Node selector of the operator's pods."""
    tolerations: list[Json] = []
    """Tolerations of the operator's pods."""
    affinity: Json = {}
    """Affinity of the operator's pods; empty: replicas prefer different nodes."""
    topology_spread_constraints: list[Json] = []
    """Topology spread constraints; a missing labelSelector is filled in."""
    priority_class_name: str = ""
    """Priority class of the operator's pods."""
    termination_grace_period_seconds: int = Field(default=30, ge=0)
    """Grace period; the operator stops within a few seconds."""
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    """The PodDisruptionBudget."""
    extra_env: list[Json] = []
    """More environment variables of the operator."""
    extra_containers: list[Json] = []
    """More containers of the operator's pods, for example a proxy in front of the dashboard."""
    extra_volumes: list[Json] = []
    """More volumes of the operator's pods, for example of a CA bundle that `sslrootcert` names."""
    extra_volume_mounts: list[Json] = []
    """Where they are mounted."""
    network_policy: NetworkPolicy = NetworkPolicy()
    """The NetworkPolicy of the operator's pods."""
    monitoring: Monitoring = Monitoring()
    """What the Prometheus operator and Grafana read."""
