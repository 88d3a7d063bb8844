"""The variables of a container: from its spec, from Secrets and ConfigMaps, from the pod, and those of Services."""

import base64
import re

from campaignpool_local.store import Store
from campaignpool_local.values import Json, json_path

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")
_SOURCES = {"secret": "secrets", "configMap": "configmaps"}
_TITLES = {"secret": "Secret", "configMap": "ConfigMap"}
_SERVICES = ("", "services")


class SourceMissingError(Exception):
    """A Secret or ConfigMap, or a key in one, is not there (yet): the container has to wait."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Put variables in the place of `$(NAME)`; `$$` is a dollar, and what is unknown stays unchanged."""
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else variables.get(found[1], found[0]), text)


def _content(source: Json, form: str, pod: Json, store: Store) -> dict[str, str]:
    """Return what is in the Secret or the ConfigMap that a source refers to, if it does."""
    for kind, plural in _SOURCES.items():
        if reference := source.get(kind + form):
            value = store.get(("", plural), pod["metadata"]["namespace"], reference["name"])
            data = (value or {}).get("data") or {}
            wanted = [reference["key"]] if "key" in reference else list(data)
            if value is None and not reference.get("optional"):
                raise SourceMissingError(f'{kind.lower()} "{reference["name"]}" not found')
            if not (set(wanted) <= data.keys() or reference.get("optional")):
                where = f"{_TITLES[kind]} {pod['metadata']['namespace']}/{reference['name']}"
                raise SourceMissingError(f"couldn't find key {reference['key']} in {where}")
            texts = {key: data[key] for key in wanted if key in data}
            return {key: base64.b64decode(texts[key]).decode() for key in texts} if kind == "secret" else texts
    return {}


def variables_of(pod: Json, container: Json, store: Store) -> dict[str, str]:
    """Return the variables that a container declares, after those of Services; raise `SourceMissingError`."""
    variables = dict[str, str]()
    if pod["spec"].get("enableServiceLinks", True):
        variables |= service_variables(store.list(_SERVICES, pod["metadata"]["namespace"]))
    for source in container.get("envFrom") or ():
        result = _content(source, "Ref", pod, store)
        variables |= {source.get("prefix", "") + key: text for key, text in result.items()}
    for item in container.get("env") or ():
        name, source = item["name"], item.get("valueFrom") or {}
        if not source:
            variables[name] = expand(item.get("value") or "", variables)
        elif "fieldRef" in source:
            variables[name] = str(json_path(pod, source["fieldRef"]["fieldPath"]) or "")
        variables.update((name, text) for text in _content(source, "KeyRef", pod, store).values())
    return variables


def service_variables(services: list[Json]) -> dict[str, str]:
    """Return the variables by which a container finds the Services of its namespace."""
    result = dict[str, str]()
    for service in services:
        prefix, spec = service["metadata"]["name"].upper().replace("-", "_"), service.get("spec") or {}
        address, ports = spec.get("clusterIP", ""), spec.get("ports") or []
        if not ports or address in ("", "None"):
            continue
        result |= {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
        for port in ports:
            if port.get("name"):
                result[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    return result
