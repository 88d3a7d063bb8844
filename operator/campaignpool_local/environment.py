"""The environment, command and arguments of a container, as its pod spec says. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from campaignpool_local.tables import json_path
from campaignpool_local.values import Json

Lookup = Callable[[str, str], Json | None]
"""(plural, name) → the Secret or ConfigMap of the pod's namespace."""

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")


class SourceMissingError(Exception):
    """A Secret or ConfigMap, or a key in one, is not there (yet): the container has to wait."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Put variables in the place of `$(NAME)`; `$$` is a dollar, and what is unknown stays as it is."""

    def replace(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else variables.get(name, found[0])

    return _REFERENCE.sub(replace, text)


def _content(plural: str, name: str, lookup: Lookup, *, optional: bool) -> dict[str, str]:
    found = lookup(plural, name)
    if found is None:
        if optional:
            return {}
        kind = "secret" if plural == "secrets" else "configmap"
        raise SourceMissingError(f'{kind} "{name}" not found')
    data: dict[str, str] = found.get("data") or {}
    if plural == "configmaps":
        return data
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _from_source(source: Json, pod: Json, lookup: Lookup) -> str | None:
    if field := source.get("fieldRef"):
        value = json_path(pod, "." + field["fieldPath"])
        return "" if value is None else str(value)
    for word, plural, kind in (("secretKeyRef", "secrets", "Secret"), ("configMapKeyRef", "configmaps", "ConfigMap")):
        if reference := source.get(word):
            optional = bool(reference.get("optional"))
            content = _content(plural, reference["name"], lookup, optional=optional)
            if reference["key"] in content or optional:
                return content.get(reference["key"])
            where = f"{pod['metadata']['namespace']}/{reference['name']}"
            raise SourceMissingError(f"couldn't find key {reference['key']} in {kind} {where}")
    return ""  # resourceFieldRef: a local process has no limits


def variables_of(pod: Json, container: Json, lookup: Lookup) -> dict[str, str]:
    """Give the variables that a container declares, or raise `SourceMissingError`."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for word, plural in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if reference := source.get(word):
                content = _content(plural, reference["name"], lookup, optional=bool(reference.get("optional")))
                variables.update({source.get("prefix", "") + key: value for key, value in content.items()})
    for each in container.get("env") or ():
        if "valueFrom" in each:
            value = _from_source(each["valueFrom"], pod, lookup)
        else:
            value = expand(each.get("value") or "", variables)
        if value is not None:
            variables[each["name"]] = value
    return variables


def command_of(container: Json, variables: dict[str, str]) -> list[str]:
    """Give the command line of a container; it is empty if only its image knows what to run."""
    words = [*container["command"], *(container.get("args") or ())] if container.get("command") else []
    return [expand(word, variables) for word in words]
