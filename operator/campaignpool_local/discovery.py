"""What there is: versions, groups and resources, in the old form and aggregated, and OpenAPI v3."""

from __future__ import annotations

from collections.abc import Iterable

from campaignpool_local.errors import PlainNotFound
from campaignpool_local.resources import Catalog, ResourceType, with_verbs
from campaignpool_local.values import Json, Value

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0-campaignpool-local",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
API_VERSIONS: Json = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"

_META = {
    "type": "object",
    "description": "Standard object's metadata: name, namespace, labels, annotations and what the server keeps.",
}
_ALWAYS = {
    "apiVersion": {"type": "string", "description": "The group and version of this representation of the object."},
    "kind": {"type": "string", "description": "What kind of object this is."},
    "metadata": _META,
}


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def groups(catalog: Catalog) -> Json:
    """All named groups."""
    listed = [_group(name, versions) for name, versions in catalog.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(catalog: Catalog, name: str) -> Json:
    """One group."""
    versions = catalog.groups().get(name)
    if versions is None:
        raise PlainNotFound
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _resource(each: ResourceType, sub: str, kind: str, verbs: Iterable[str]) -> Json:
    entry: Json = {
        "name": f"{each.plural}/{sub}" if sub else each.plural,
        "singularName": "" if sub else each.singular,
        "namespaced": each.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    if kind == "Scale":
        entry |= {"group": "autoscaling", "version": "v1"}
    if kind == "TokenRequest":
        entry |= {"group": "authentication.k8s.io", "version": "v1"}
    if not sub and each.short:
        entry["shortNames"] = list(each.short)
    if not sub and each.categories:
        entry["categories"] = list(each.categories)
    return entry


def resources(catalog: Catalog, group_name: str, version: str) -> Json:
    """The resources of one version of a group."""
    served = [each for each in catalog if (each.group, each.version) == (group_name, version)]
    if not served:
        raise PlainNotFound
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].api_version,
        "resources": [_resource(each, *entry) for each in served for entry in with_verbs(each)],
    }


def _aggregated(each: ResourceType) -> Json:
    def kind_of(kind: str) -> Json:
        group_name, version = ("autoscaling", "v1") if kind == "Scale" else (each.group, each.version)
        return {"group": group_name, "version": version, "kind": kind}

    entry: Json = {
        "resource": each.plural,
        "responseKind": kind_of(each.kind),
        "scope": "Namespaced" if each.namespaced else "Cluster",
        "singularResource": each.singular,
        "verbs": list(each.verbs),
    }
    if each.short:
        entry["shortNames"] = list(each.short)
    if each.categories:
        entry["categories"] = list(each.categories)
    below = [
        {"subresource": sub, "responseKind": kind_of(kind), "verbs": list(verbs)}
        for sub, kind, verbs in with_verbs(each)
        if sub
    ]
    return {**entry, "subresources": below} if below else entry


def aggregated(catalog: Catalog, *, core: bool, version: str) -> Json:
    """Everything at once, as kubectl asks for it first."""
    listed = {"": ["v1"]} if core else catalog.groups()
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": each,
                    "resources": [
                        _aggregated(kind) for kind in catalog if (kind.group, kind.version) == (name, each)
                    ],
                    "freshness": "Current",
                }
                for each in versions
            ],
        }
        for name, versions in listed.items()
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


# --- OpenAPI ------------------------------------------------------------------------------------------------


def openapi_index(catalog: Catalog, secret: str) -> Json:
    """Where the documents are, one for each version of each group; kubectl takes the addresses as they are."""
    roots = {each.root for each in catalog}
    return {"paths": {root[1:]: {"serverRelativeURL": f"/{secret}/openapi/v3{root}"} for root in roots}}


def _schema_name(each: ResourceType) -> str:
    if each.crd is not None:
        return ".".join([*reversed(each.group.split(".")), each.version, each.kind])
    return f"io.k8s.api.{each.group.partition('.')[0] or 'core'}.{each.version}.{each.kind}"


def _published(each: ResourceType) -> Json:
    gvk = {"group": each.group, "version": each.version, "kind": each.kind}
    open_fields = {} if each.crd else {"x-kubernetes-preserve-unknown-fields": True}
    declared: Json = {"type": "object", **open_fields} if each.crd is None else each.schema
    properties = {**(declared.get("properties") or {}), **_ALWAYS}
    return {**declared, "properties": properties, "x-kubernetes-group-version-kind": [gvk]}


def _operation(each: ResourceType, action: str, query: Iterable[str]) -> Json:
    gvk = {"group": each.group, "version": each.version, "kind": each.kind}
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in query]
    reference = {"$ref": f"#/components/schemas/{_schema_name(each)}"}
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
    }


def openapi(catalog: Catalog, root: str) -> Json:
    """The document of one version of a group: enough for `explain`, and to leave validation to the server."""
    served = [each for each in catalog if each.root == root]
    if not served:
        raise PlainNotFound
    written = ("dryRun", "fieldManager", "fieldValidation")
    paths: dict[str, Value] = {}
    for each in served:
        place = f"{root}/namespaces/{{namespace}}/{each.plural}" if each.namespaced else f"{root}/{each.plural}"
        paths[place] = {"get": _operation(each, "list", ()), "post": _operation(each, "post", written)}
        paths[f"{place}/{{name}}"] = {
            "get": _operation(each, "get", ()),
            "put": _operation(each, "put", written),
            "patch": _operation(each, "patch", (*written, "force")),
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "campaignpool-local", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": {_schema_name(each): _published(each) for each in served}},
    }
