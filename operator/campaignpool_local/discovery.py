"""What there is: versions, groups and resources, in the old form and aggregated, and OpenAPI v3."""

from collections.abc import Iterator

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-campaignpool-local", "platform": ""}
CORE: Json = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SUBKINDS = {"scale": ("autoscaling", "v1", "Scale"), "token": ("authentication.k8s.io", "v1", "TokenRequest")}

Versions = dict[str, list[ResourceType]]


def by_group(types: list[ResourceType]) -> dict[str, Versions]:
    """Sort types by group and version; stable versions, which are shorter, come first."""
    found: dict[str, Versions] = {}
    for each in sorted(types, key=lambda each: (len(each.version), each.version)):
        found.setdefault(each.group, {}).setdefault(each.version, []).append(each)
    return found


def group(name: str, versions: Versions) -> Json:
    """Give one named group."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _gvk(each: ResourceType, sub: str = "") -> Json:
    named = _SUBKINDS.get(sub, (each.group, each.version, each.kind))
    return dict(zip(("group", "version", "kind"), named, strict=True))


def _names(each: ResourceType) -> Json:
    given = {"shortNames": list(each.short), "categories": list(each.categories)}
    return {key: value for key, value in given.items() if value}


def _entries(each: ResourceType) -> Iterator[Json]:
    own = {"name": each.plural, "singularName": each.kind.lower(), "namespaced": each.namespaced, "kind": each.kind}
    yield {**own, "verbs": list(each.verbs), **_names(each)}
    for sub, verbs in each.subresources.items():
        more = _gvk(each, sub) if sub in _SUBKINDS else {}
        yield {**own, "name": f"{each.plural}/{sub}", "singularName": "", **more, "verbs": list(verbs)}


def resources(types: list[ResourceType]) -> Json:
    """Give the resources of one version of a group."""
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": types[0].api_version}
    return {**head, "resources": [entry for each in types for entry in _entries(each)]}


def _aggregated(each: ResourceType) -> Json:
    entries = each.subresources.items()
    subs = [{"subresource": sub, "responseKind": _gvk(each, sub), "verbs": list(verbs)} for sub, verbs in entries]
    own = {"resource": each.plural, "singularResource": each.kind.lower(), "responseKind": _gvk(each)}
    scope = "Namespaced" if each.namespaced else "Cluster"
    return {**own, "scope": scope, "verbs": list(each.verbs), **_names(each), "subresources": subs}


def aggregated(groups: dict[str, Versions]) -> Json:
    """Give everything at once, as kubectl asks for it first."""
    items = []
    for name, versions in groups.items():
        listed = [{"version": each, "resources": list(map(_aggregated, types))} for each, types in versions.items()]
        items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def openapi(types: list[ResourceType]) -> Json:
    """Give the document of one version of a group: enough for `explain`, and to leave validation to the server."""
    paths, schemas = dict[str, Value](), dict[str, Value]()
    parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldManager", "fieldValidation")]
    for each in types:
        group = ".".join(reversed(each.group.split(".")))
        name = group if each.crd else f"io.k8s.api.{each.group.partition('.')[0] or 'core'}"
        always = {key: {"type": "string"} for key in ("apiVersion", "kind")} | {"metadata": {"type": "object"}}
        properties = {**(each.schema.get("properties") or {}), **always}
        more = {"properties": properties, "x-kubernetes-group-version-kind": [_gvk(each)]}
        schemas[f"{name}.{each.version}.{each.kind}"] = {**each.schema, **more}
        operation = {"x-kubernetes-group-version-kind": _gvk(each), "parameters": parameters, "responses": {}}
        place = f"/{each.root}{'/namespaces/{namespace}' if each.namespaced else ''}/{each.plural}/{{name}}"
        paths[place] = {"get": operation, "patch": operation}
    info = {"title": "campaignpool-local", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
