"""The operator's configuration: read once, at the start, from `CAMPAIGNPOOL_*` variables and the command line."""

import socket
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from campaignpool_operator.cluster.client import APPLICATION

VERSION = "0.1.0"

DEFAULT_SEEDER_IMAGE = "campaignpool-seeder:0.1.0"

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or "default"
    except OSError:
        return "default"


class Config(BaseSettings):
    """The operator's options; frozen, so that no part of it can change under another."""

    model_config = SettingsConfigDict(
        env_prefix="CAMPAIGNPOOL_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to serve, comma-separated; none: the whole cluster."""
    pool_selector: str = ""
    """Label selector of the pools to serve, such as `tier=gold`, where operators share pools; empty: all."""
    seeder_image: str = Field(default=DEFAULT_SEEDER_IMAGE, min_length=1)
    """Image of the seeding Jobs of pools that name none."""
    seeder_resources: dict[str, Any] = Field(default_factory=dict)
    """Requests and limits of the Jobs of pools that set none, as JSON."""
    seeder_pod_template: dict[str, Any] = Field(default_factory=dict)
    """Changes to the pods of all Jobs, as JSON; a pool's own `seeding.podTemplate` is merged over them."""
    require_secret_label: bool = False
    """Use a Secret only if it carries the label `campaignpool.dev/database: "true"`."""
    watch_references: bool = True
    """Watch the Secrets and ConfigMaps that pools name; without it their changes are found at the next resync."""
    resync_seconds: float = Field(default=30.0, ge=1, le=3600)
    """Resync interval: a pool is reconciled at least this often."""
    http_host: str | None = None
    """Address on which probes and metrics are served; by default every one."""
    http_port: int | None = Field(default=8080, ge=0, le=65535)
    """Port of probes and metrics; 0: a free one, which the log names; `off`: none is served."""
    dashboard: bool = False
    """Serve the API of the dashboard, on a port of its own."""
    dashboard_port: int = Field(default=8081, ge=0, le=65535)
    """Its port; 0: a free one, which the log names."""
    dashboard_user_header: str = ""
    """Header in which an authenticating proxy names the user, such as `X-Forwarded-Email`; empty: tokens only."""
    dashboard_groups_header: str = ""
    """Header in which it lists the user's groups, comma-separated; empty: none."""
    dashboard_trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )
    """Networks from which these headers are accepted, comma-separated; by default the pod itself."""
    json_logs: bool = False
    """One JSON object a line instead of text."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged; `debug` also logs what kopf does."""
    leader_election: bool = False
    """Of all replicas only the one that holds the Lease reconciles; the others wait."""
    lease_name: str = Field(default=APPLICATION, min_length=1)
    """Name of the Lease."""
    lease_namespace: str = Field(default_factory=_own_namespace)
    """Namespace of the Lease; by default the pod's own."""
    max_loops: int = Field(default=64, ge=1, le=1000)
    """Most pools that are reconciled at the same time; bounds memory and database connections."""
    max_jobs: int = Field(default=20, ge=1, le=1000)
    """Most seeding Jobs of all pools together; pools that want more take turns."""

    sizing_speed: float = Field(default=1.0, ge=1, le=10000)
    """How many seconds of demand sizing takes a second for: above 1 only in a demonstration, where a day of demand
    passes in minutes."""

    @property
    def identity(self) -> str:
        """Return the name of the host: in a pod, the pod's name."""
        return socket.gethostname()

    @field_validator("namespaces", "dashboard_trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("http_port", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() in ("", "off", "none") else value
