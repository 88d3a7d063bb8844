"""The resource types that are served: the built-in ones, and those that CustomResourceDefinitions add."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from campaignpool_local.store import Key, Store
from campaignpool_local.values import ApiError, Cause, Json, NoSuchPathError, Value

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS: dict[str, tuple[str, ...]] = {"status": ("get", "patch", "update")}
NAMESPACES, PODS, JOBS = ("", "namespaces"), ("", "pods"), ("batch", "jobs")
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
RBAC = "rbac.authorization.k8s.io"
_COUNTED = ("apps", "policy", "networking.k8s.io")  # groups whose objects have a generation


@dataclass(frozen=True)
class ResourceType:
    """One resource in one version of its group, and what sets it apart from others; `subresources` have verbs."""

    group: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    version: str = "v1"
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    subresources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    crd: Json | None = None  # the version of the definition that declares this type, None for a built-in one

    @property
    def api_version(self) -> str:
        """What objects of this type carry as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of the group and version."""
        return f"apis/{self.api_version}" if self.group else f"api/{self.version}"

    @property
    def key(self) -> Key:
        """Where the store keeps the objects; both groups of Events keep the same ones."""
        return ("", "events") if self.group == "events.k8s.io" else (self.group, self.plural)

    @property
    def qualified(self) -> str:
        """How messages call the type."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_generation(self) -> bool:
        """Whether `metadata.generation` counts the changes of the desired state."""
        return self.crd is not None or self.key in (JOBS, CRDS) or self.group in _COUNTED

    @property
    def schema(self) -> Json:
        """The OpenAPI schema; that of a built-in type says nothing of its fields."""
        result = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return ((self.crd or {}).get("schema") or {}).get("openAPIV3Schema") or result

    def about(self, name: str, called: str = "") -> Json:
        """The `details` of a Status: which object it speaks of."""
        given = {"name": name, "group": self.group, "kind": called or self.plural}
        return {key: value for key, value in given.items() if value}

    def conflict(self, name: str, why: str) -> ApiError:
        """409: the object is not in the state that the request counts on."""
        message = f'Operation cannot be fulfilled on {self.qualified} "{name}": {why}'
        return ApiError(409, "Conflict", message, self.about(name))

    def invalid(self, name: str, causes: list[Cause]) -> ApiError:
        """422: the object violates its schema or its rules."""
        text = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
        text = text if len(causes) == 1 else f"[{text}]"
        message = f'{self.kind}{f".{self.group}" if self.group else ""} "{name}" is invalid: {text}'
        details = {**self.about(name, self.kind), "causes": [cause._asdict() for cause in causes]}
        return ApiError(422, "Invalid", message, details)


_SOME = tuple(verb for verb in VERBS if verb != "deletecollection")
_SCALED = {**STATUS, "scale": STATUS["status"]}
_ALL = ("all",)
_ANSWER = ("create",)
_SERVICE = {**STATUS, "proxy": ("create", "delete", "get", "patch", "update")}
_POD = {**STATUS, "log": ("get",), "binding": _ANSWER}


def _cluster(group: str, plural: str, kind: str, *short: str, **more: Value) -> ResourceType:
    return ResourceType(group, plural, kind, short, namespaced=False, **more)


def _review(group: str, kind: str, *, namespaced: bool = False) -> ResourceType:
    return ResourceType(f"{group}.k8s.io", f"{kind.lower()}s", kind, namespaced=namespaced, verbs=_ANSWER)


_BUILT_IN = (
    _cluster("", "namespaces", "Namespace", "ns", verbs=_SOME, subresources=STATUS),
    _cluster("", "nodes", "Node", "no", subresources=STATUS),
    ResourceType("", "configmaps", "ConfigMap", ("cm",)),
    ResourceType("", "secrets", "Secret"),
    ResourceType("", "serviceaccounts", "ServiceAccount", ("sa",), subresources={"token": _ANSWER}),
    ResourceType("", "services", "Service", ("svc",), categories=_ALL, subresources=_SERVICE),
    ResourceType("", "pods", "Pod", ("po",), categories=_ALL, subresources=_POD),
    ResourceType("", "resourcequotas", "ResourceQuota", ("quota",), subresources=STATUS),
    ResourceType("", "events", "Event", ("ev",)),
    ResourceType("events.k8s.io", "events", "Event", ("ev",)),
    ResourceType("apps", "deployments", "Deployment", ("deploy",), categories=_ALL, subresources=_SCALED),
    ResourceType("apps", "replicasets", "ReplicaSet", ("rs",), categories=_ALL, subresources=_SCALED),
    ResourceType("batch", "jobs", "Job", categories=_ALL, subresources=STATUS),
    ResourceType("policy", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), subresources=STATUS),
    ResourceType("networking.k8s.io", "networkpolicies", "NetworkPolicy", ("netpol",)),
    ResourceType("networking.k8s.io", "ingresses", "Ingress", ("ing",), subresources=STATUS),
    ResourceType("coordination.k8s.io", "leases", "Lease"),
    _cluster("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc"),
    _cluster(*CRDS, "CustomResourceDefinition", "crd", "crds", subresources=STATUS),
    ResourceType(RBAC, "roles", "Role"),
    ResourceType(RBAC, "rolebindings", "RoleBinding"),
    _cluster(RBAC, "clusterroles", "ClusterRole"),
    _cluster(RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    _review("authorization", "SelfSubjectAccessReview"),
    _review("authorization", "SelfSubjectRulesReview"),
    _review("authorization", "SubjectAccessReview"),
    _review("authorization", "LocalSubjectAccessReview", namespaced=True),
    _review("authentication", "SelfSubjectReview"),
    _review("authentication", "TokenReview"),
)


def served(store: Store) -> Iterator[ResourceType]:
    """Return all types that are served at this moment, of several versions the stored one first."""
    yield from _BUILT_IN
    for spec in (crd["spec"] for crd in store.list(CRDS)):
        names, scope = spec["names"], spec["scope"] == "Namespaced"
        what = (spec["group"], names["plural"], names["kind"], tuple(names.get("shortNames", ())), scope)
        versions = [item for item in spec["versions"] if item["served"]]
        for version in sorted(versions, key=lambda each: not each["storage"]):
            additional = (version["name"], tuple(names.get("categories", ())))
            subresources = dict.fromkeys(version.get("subresources") or (), STATUS["status"])
            yield ResourceType(*what, *additional, subresources=subresources, crd=version)


def find(store: Store, key: Key, version: str = "") -> ResourceType:
    """Return a type in this version, or in the one that is stored."""
    for item in served(store):
        if (item.group, item.plural) == key and version in ("", item.version):
            return item
    if key[0] not in {item.group for item in _BUILT_IN}:
        raise NoSuchPathError
    raise ApiError(404, "NotFound", "the server could not find the requested resource", {})
