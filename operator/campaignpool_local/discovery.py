"""What there is: versions, groups and resources, in the old form and aggregated, and OpenAPI v3."""

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-campaignpool-local", "platform": ""}
_CORE: Json = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
_SUBKINDS = {"scale": ("autoscaling", "v1", "Scale"), "token": ("authentication.k8s.io", "v1", "TokenRequest")}


def _by_group(types: list[ResourceType]) -> dict[str, dict[str, list[ResourceType]]]:
    """Sort types by group and version; stable versions, which are shorter, come first."""
    found: dict[str, dict[str, list[ResourceType]]] = {}
    for each in sorted(types, key=lambda each: (len(each.version), each.version)):
        found.setdefault(each.group, {}).setdefault(each.version, []).append(each)
    return found


def _gvk(each: ResourceType, sub: str = "") -> Json:
    named = _SUBKINDS.get(sub, (each.group, each.version, each.kind))
    return dict(zip(("group", "version", "kind"), named, strict=True))


def _names(each: ResourceType) -> Json:
    given = {"shortNames": each.short, "categories": each.categories}
    return {key: value for key, value in given.items() if value}


def _resources(types: list[ResourceType]) -> Json:
    entries: list[Json] = []
    for each in types:
        own = {"singularName": each.kind.lower(), "namespaced": each.namespaced, "kind": each.kind}
        entries.append({"name": each.plural, **own, "verbs": each.verbs, **_names(each)})
        for sub, verbs in each.subresources.items():
            more = _gvk(each, sub) if sub in _SUBKINDS else {}
            entries.append({"name": f"{each.plural}/{sub}", **own, "singularName": "", **more, "verbs": verbs})
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": types[0].api_version}
    return {**head, "resources": entries}


def _openapi(types: list[ResourceType]) -> Json:
    """Give what is enough for `kubectl explain`, and for kubectl to leave validation to the server."""
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
    info = {"title": "campaignpool-local", "version": _VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def documents(types: list[ResourceType], prefix: str) -> dict[str, Json]:
    """Give all documents by their paths; addresses in them get a prefix, as kubectl takes them as they are."""
    found: dict[str, Json] = {"version": _VERSION, "api": _CORE}
    groups, addresses = [], {}
    for name, versions in _by_group(types).items():
        for here in versions.values():
            root = here[0].root
            found |= {root: _resources(here), f"openapi/v3/{root}": _openapi(here)}
            addresses[root] = {"serverRelativeURL": f"{prefix}/openapi/v3/{root}"}
        if name:
            listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
            groups.append({"name": name, "versions": listed, "preferredVersion": listed[0]})
            found[f"apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1", **groups[-1]}
    found["apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return {**found, "openapi/v3": {"paths": addresses}}


def _described(each: ResourceType) -> Json:
    entries = each.subresources.items()
    subs = [{"subresource": sub, "responseKind": _gvk(each, sub), "verbs": verbs} for sub, verbs in entries]
    own = {"resource": each.plural, "singularResource": each.kind.lower(), "responseKind": _gvk(each)}
    scope = "Namespaced" if each.namespaced else "Cluster"
    return {**own, "scope": scope, "verbs": each.verbs, **_names(each), "subresources": subs}


def aggregated(types: list[ResourceType], *, core: bool) -> Json:
    """Give the core or all other groups at once, as kubectl asks for them first."""
    items = []
    for name, versions in _by_group([each for each in types if core == (not each.group)]).items():
        listed = [{"version": each, "resources": list(map(_described, here))} for each, here in versions.items()]
        items.append({"metadata": {} if core else {"name": name}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
