"""What there is: versions, groups and resources, in the old form and aggregated, and OpenAPI v3."""

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-campaignpool-local", "platform": ""}
_CORE: Json = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
_SUBKINDS = {"scale": ("autoscaling", "v1", "Scale"), "token": ("authentication.k8s.io", "v1", "TokenRequest")}


def _by_group(types: list[ResourceType]) -> dict[str, dict[str, list[ResourceType]]]:
    """Sort types by group and version; stable versions, which are shorter, come first."""
    result: dict[str, dict[str, list[ResourceType]]] = {}
    for type_ in sorted(types, key=lambda type_: (len(type_.version), type_.version)):
        result.setdefault(type_.group, {}).setdefault(type_.version, []).append(type_)
    return result


def _gvk(each: ResourceType, sub: str = "") -> Json:
    named = _SUBKINDS.get(sub, (each.group, each.version, each.kind))
    return dict(zip(("group", "version", "kind"), named, strict=True))


def _names(each: ResourceType) -> Json:
    given = {"shortNames": each.short, "categories": each.categories}
    return {key: value for key, value in given.items() if value}


def _resources(types: list[ResourceType]) -> Json:
    entries: list[Json] = []
    for type_ in types:
        own = {"singularName": type_.kind.lower(), "namespaced": type_.namespaced, "kind": type_.kind}
        entries.append({"name": type_.plural, **own, "verbs": type_.verbs, **_names(type_)})
        for sub, verbs in type_.subresources.items():
            additional = _gvk(type_, sub) if sub in _SUBKINDS else {}
            entries.append({"name": f"{type_.plural}/{sub}", **own, "singularName": "", **additional, "verbs": verbs})
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": types[0].api_version}
    return {**head, "resources": entries}


def _openapi(types: list[ResourceType]) -> Json:
    """Return what is enough for `kubectl explain`, and for kubectl to leave validation to the server."""
    paths, schemas = dict[str, Value](), dict[str, Value]()
    parameters = [{"name": name, "in": "query"} for name in ("dryRun", "fieldManager", "fieldValidation")]
    for type_ in types:
        group = ".".join(reversed(type_.group.split(".")))
        name = group if type_.crd else f"io.k8s.api.{type_.group.partition('.')[0] or 'core'}"
        always = {key: {"type": "string"} for key in ("apiVersion", "kind")} | {"metadata": {"type": "object"}}
        properties = {**(type_.schema.get("properties") or {}), **always}
        result = {"properties": properties, "x-kubernetes-group-version-kind": [_gvk(type_)]}
        schemas[f"{name}.{type_.version}.{type_.kind}"] = {**type_.schema, **result}
        operation = {"x-kubernetes-group-version-kind": _gvk(type_), "parameters": parameters, "responses": {}}
        place = f"/{type_.root}{'/namespaces/{namespace}' if type_.namespaced else ''}/{type_.plural}/{{name}}"
        paths[place] = {"get": operation, "patch": operation}
    info = {"title": "campaignpool-local", "version": _VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def documents(types: list[ResourceType], prefix: str) -> dict[str, Json]:
    """Return all documents by their paths; addresses in them get a prefix, because kubectl takes them unchanged."""
    result: dict[str, Json] = {"version": _VERSION, "api": _CORE}
    groups, addresses = [], {}
    for name, versions in _by_group(types).items():
        for here in versions.values():
            root = here[0].root
            result |= {root: _resources(here), f"openapi/v3/{root}": _openapi(here)}
            addresses[root] = {"serverRelativeURL": f"{prefix}/openapi/v3/{root}"}
        if name:
            listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
            groups.append({"name": name, "versions": listed, "preferredVersion": listed[0]})
            result[f"apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1", **groups[-1]}
    result["apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return {**result, "openapi/v3": {"paths": addresses}}


def _described(each: ResourceType) -> Json:
    entries = each.subresources.items()
    subs = [{"subresource": sub, "responseKind": _gvk(each, sub), "verbs": verbs} for sub, verbs in entries]
    own = {"resource": each.plural, "singularResource": each.kind.lower(), "responseKind": _gvk(each)}
    scope = "Namespaced" if each.namespaced else "Cluster"
    return {**own, "scope": scope, "verbs": each.verbs, **_names(each), "subresources": subs}


def aggregated(types: list[ResourceType], *, core: bool) -> Json:
    """Return the core or all other groups at once, as kubectl asks for them first."""
    items = []
    for name, versions in _by_group([type_ for type_ in types if core == (not type_.group)]).items():
        listed = [{"version": item, "resources": list(map(_described, here))} for item, here in versions.items()]
        items.append({"metadata": {} if core else {"name": name}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
