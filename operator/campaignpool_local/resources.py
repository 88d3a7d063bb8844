"""The resource types that are served: the built-in ones, and those that CustomResourceDefinitions add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from campaignpool_local.values import Json, Value

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS: dict[str, tuple[str, ...]] = {"status": ("get", "patch", "update")}


@dataclass(frozen=True)
class ResourceType:
    """One resource in one version of its group, and what sets it apart from others."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    selectable: tuple[str, ...] = ()
    """The fields, besides name and namespace, that a field selector may use."""
    stored_as: tuple[str, str] = ("", "")
    """Group and plural under which the objects are kept; differs where two groups show the same objects."""
    crd: Json | None = None
    """The version of the CustomResourceDefinition that declares this type, None for a built-in one."""

    @property
    def api_version(self) -> str:
        """What objects of this type carry as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of the group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def key(self) -> tuple[str, str]:
        """Where the store keeps the objects."""
        return self.stored_as if any(self.stored_as) else (self.group, self.plural)

    @property
    def has_generation(self) -> bool:
        """Whether `metadata.generation` counts the changes of the desired state."""
        return self.crd is not None or self.kind in ("Job", "CustomResourceDefinition")

    @property
    def schema(self) -> Json:
        """The OpenAPI schema of a custom resource."""
        schema: Json = ((self.crd or {}).get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        return schema


def _core(plural: str, kind: str, **more: Value) -> ResourceType:
    return ResourceType("", "v1", plural, kind, singular=kind.lower(), **more)


def _rbac(plural: str, kind: str, namespaced: bool) -> ResourceType:
    group = "rbac.authorization.k8s.io"
    return ResourceType(group, "v1", plural, kind, namespaced=namespaced, singular=kind.lower())


def _review(group: str, plural: str, kind: str) -> ResourceType:
    return ResourceType(group, "v1", plural, kind, namespaced=False, singular=kind.lower(), verbs=("create",))


_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_EVENT_FIELDS = ("reason", "reportingComponent", "source", "type")

BUILT_IN = (
    _core(
        "namespaces",
        "Namespace",
        namespaced=False,
        short=("ns",),
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        subresources=STATUS,
        selectable=("status.phase",),
    ),
    _core("configmaps", "ConfigMap", short=("cm",)),
    _core("secrets", "Secret", selectable=("type",)),
    _core("serviceaccounts", "ServiceAccount", short=("sa",), subresources={"token": ("create",)}),
    _core(
        "pods",
        "Pod",
        short=("po",),
        categories=("all",),
        subresources={**STATUS, "log": ("get",)},
        selectable=("status.phase", "spec.nodeName", "spec.restartPolicy"),
    ),
    _core(
        "events", "Event", short=("ev",), selectable=(*(f"involvedObject.{each}" for each in _ABOUT), *_EVENT_FIELDS)
    ),
    ResourceType(
        "events.k8s.io",
        "v1",
        "events",
        "Event",
        singular="event",
        short=("ev",),
        stored_as=("", "events"),
        selectable=(*(f"regarding.{each}" for each in _ABOUT), "reason", "reportingController", "type"),
    ),
    ResourceType(
        "batch",
        "v1",
        "jobs",
        "Job",
        singular="job",
        categories=("all",),
        subresources=STATUS,
        selectable=("status.successful",),
    ),
    ResourceType("coordination.k8s.io", "v1", "leases", "Lease", singular="lease"),
    ResourceType(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        singular="customresourcedefinition",
        short=("crd", "crds"),
        categories=("api-extensions",),
        subresources=STATUS,
    ),
    _rbac("roles", "Role", namespaced=True),
    _rbac("rolebindings", "RoleBinding", namespaced=True),
    _rbac("clusterroles", "ClusterRole", namespaced=False),
    _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
)


def _kube_order(version: str) -> tuple[int, str]:
    """Sort stable versions first, as discovery prefers them."""
    return (("alpha" in version) * 2 + ("beta" in version), version)


class Catalog:
    """All types that are served at this moment."""

    def __init__(self) -> None:
        self._built_in = {(each.group, each.version, each.plural): each for each in BUILT_IN}
        self._custom: dict[tuple[str, str, str], ResourceType] = {}
        self.built_in_groups = {each.group for each in BUILT_IN}

    def __iter__(self) -> Iterator[ResourceType]:
        yield from self._built_in.values()
        yield from self._custom.values()

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """Give the type of a path, if it is served."""
        key = (group, version, plural)
        return self._built_in.get(key) or self._custom.get(key)

    def of_key(self, key: tuple[str, str]) -> ResourceType:
        """Give the type as which the store keeps the objects of this key."""
        return next(each for each in self if (each.group, each.plural) == key)

    def groups(self) -> dict[str, list[str]]:
        """The named groups, each with its versions, the preferred one first."""
        found: dict[str, set[str]] = {}
        for each in self:
            found.setdefault(each.group, set()).add(each.version)
        return {group: sorted(versions, key=_kube_order) for group, versions in found.items() if group}

    def register(self, crd: Json) -> None:
        """Serve what a CustomResourceDefinition declares, in place of what it declared before."""
        self.forget(crd)
        spec = crd["spec"]
        names = crd["status"]["acceptedNames"]
        for version in spec["versions"]:
            declared = version.get("subresources") or {}
            custom = ResourceType(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                singular=names["singular"],
                short=tuple(names.get("shortNames", ())),
                categories=tuple(names.get("categories", ())),
                subresources={sub: STATUS["status"] for sub in ("status", "scale") if sub in declared},
                selectable=tuple(each["jsonPath"][1:] for each in version.get("selectableFields", ())),
                crd=version,
            )
            if version["served"]:
                self._custom[custom.group, custom.version, custom.plural] = custom

    def forget(self, crd: Json) -> None:
        """Serve a CustomResourceDefinition no longer."""
        gone = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
        self._custom = {key: each for key, each in self._custom.items() if (each.group, each.plural) != gone}


def with_verbs(each: ResourceType) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Give (path below the plural, kind, verbs) of a type and its subresources."""
    kinds = {"scale": "Scale", "token": "TokenRequest"}
    yield "", each.kind, each.verbs
    for sub, verbs in each.subresources.items():
        yield sub, kinds.get(sub, each.kind), verbs
