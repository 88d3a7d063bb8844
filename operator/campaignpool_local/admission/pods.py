"""Pod specs: the defaults that the API server fills in, and what it refuses, in its words."""

import re
from collections.abc import Iterator
from decimal import Decimal

from campaignpool_local.admission.names import (
    config_key,
    duplicates,
    label_faults,
    label_name,
    qualified_name,
    subdomain,
)
from campaignpool_local.faults import duplicate, invalid, required, unsupported
from campaignpool_local.values import Cause, Json, Value

_POD_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER_DEFAULTS = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PULL, _RESTART = ("Always", "IfNotPresent", "Never"), ("Always", "OnFailure", "Never")
_MESSAGES = ("FallbackToLogsOnError", "File")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_ENV_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
_RESOURCES = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+")
_FACTORS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_LARGEST_ID, _LARGEST_PORT = 2**31 - 1, 65535


def quantity(text: str) -> Decimal:
    """Return the number that a quantity such as `1.5Gi` is."""
    number = re.split(r"[numkKMGTP]|E(?![-+0-9])", text, maxsplit=1)[0]
    suffix = text.removeprefix(number)
    if suffix in _BINARY:
        return Decimal(number) * Decimal(1024 ** _BINARY[suffix])
    return Decimal(number).scaleb(_FACTORS[suffix])


def _tag(image: str) -> str:
    name = image.rpartition("/")[2]
    return "" if "@" in name else name.partition(":")[2] or "latest"


def with_defaults(spec: Json) -> Json:
    """Return a pod spec with what it leaves open filled in."""
    spec = {**_POD_DEFAULTS, **spec}
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [_container_defaults(item) for item in spec[key]]
    if account := spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", account)
    return spec


def _container_defaults(container: Json) -> Json:
    policy = "Always" if _tag(container.get("image", "")) == "latest" else "IfNotPresent"
    container = {**_CONTAINER_DEFAULTS, "imagePullPolicy": policy, **container}
    env = [dict(item) for item in container.get("env") or ()]
    for item in env:
        if reference := (item.get("valueFrom") or {}).get("fieldRef"):
            item["valueFrom"] = {"fieldRef": {"apiVersion": "v1", **reference}}
    return {**container, "env": env} if env else container


def pod_faults(spec: Json, path: str) -> Iterator[Cause]:
    """Return the faults of a pod spec that has its defaults."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    yield from _volumes(spec.get("volumes") or [], f"{path}.volumes")
    mounted = {item.get("name") for item in spec.get("volumes") or ()}
    everything = list[Json]()
    for key in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(key) or ()):
            where = f"{path}.{key}[{number}]"
            if container.get("name") and container["name"] in {item.get("name") for item in everything}:
                yield duplicate(f"{where}.name", container["name"])
            everything.append(container)
            yield from _container(container, where)
            yield from _mounts(container.get("volumeMounts") or [], mounted, f"{where}.volumeMounts")
    yield from _scheduling(spec, path)
    yield from _security(spec.get("securityContext") or {}, f"{path}.securityContext")


def _scheduling(spec: Json, path: str) -> Iterator[Cause]:
    """Return the faults of what says where, as whom and how long a pod runs."""
    if spec["restartPolicy"] not in _RESTART:
        yield unsupported(f"{path}.restartPolicy", spec["restartPolicy"], _RESTART)
    yield from label_faults(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for key in ("serviceAccountName", "priorityClassName"):
        if name := spec.get(key):
            yield from (invalid(f"{path}.{key}", name, why) for why in subdomain(name))
    if spec["terminationGracePeriodSeconds"] < 0:
        where = f"{path}.terminationGracePeriodSeconds"
        yield invalid(where, spec["terminationGracePeriodSeconds"], "must be greater than or equal to 0")
    if not 0 < spec.get("activeDeadlineSeconds", 1) <= _LARGEST_ID:
        where = f"{path}.activeDeadlineSeconds"
        yield invalid(where, spec["activeDeadlineSeconds"], f"must be between 1 and {_LARGEST_ID}, inclusive")
    for number, item in enumerate(spec.get("imagePullSecrets") or ()):
        if not item.get("name"):
            yield required(f"{path}.imagePullSecrets[{number}].name")


def _container(container: Json, path: str) -> Iterator[Cause]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from (invalid(f"{path}.name", name, why) for why in label_name(name))
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    for key, existing in (("imagePullPolicy", _PULL), ("terminationMessagePolicy", _MESSAGES)):
        if container[key] not in existing:
            yield unsupported(f"{path}.{key}", container[key], existing)
    for number, port in enumerate(container.get("ports") or ()):
        if not 0 < port.get("containerPort", 0) <= _LARGEST_PORT:
            where = f"{path}.ports[{number}].containerPort"
            given = port.get("containerPort", 0)
            yield invalid(where, given, "must be between 1 and 65535, inclusive") if given else required(where)
    for number, variable in enumerate(container.get("env") or ()):
        yield from _variable(variable, f"{path}.env[{number}]")
    for number, source in enumerate(container.get("envFrom") or ()):
        yield from _env_from(source, f"{path}.envFrom[{number}]")
    yield from _resources(container["resources"], f"{path}.resources")
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _variable(variable: Json, path: str) -> Iterator[Cause]:
    if not variable.get("name"):
        yield required(f"{path}.name")
    elif not _ENV_NAME.fullmatch(variable["name"]):
        yield invalid(f"{path}.name", variable["name"], _ENV_RULE)
    source = variable.get("valueFrom")
    if source is None:
        return
    given, where = [item for item in _SOURCES if item in source], f"{path}.valueFrom"
    if not given:
        *first, last = (f"`{item}`" for item in _SOURCES)
        yield invalid(where, "", f"must specify one of: {', '.join(first)} or {last}")
    elif variable.get("value"):
        yield invalid(where, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield invalid(where, "", "may not have more than one field specified at a time")
    for item in given:
        if item == "fieldRef":
            yield from _field_reference(source[item], f"{where}.fieldRef")
        elif item in ("secretKeyRef", "configMapKeyRef"):
            yield from _key_reference(source[item], f"{where}.{item}")


def _field_reference(reference: Json, path: str) -> Iterator[Cause]:
    field = reference.get("fieldPath", "")
    if not field:
        yield required(f"{path}.fieldPath")
    elif not (field in _FIELDS or _KEYED_FIELD.fullmatch(field)):
        existing = field.startswith(("metadata.", "spec.", "status."))
        why = f"error converting fieldPath: field label not supported: {field}"
        yield (
            unsupported(f"{path}.fieldPath", field, _FIELDS) if existing else invalid(f"{path}.fieldPath", field, why)
        )


def _key_reference(reference: Json, path: str) -> Iterator[Cause]:
    if not reference.get("name"):
        yield required(f"{path}.name")
    if not reference.get("key"):
        yield required(f"{path}.key")
    else:
        yield from (invalid(f"{path}.key", reference["key"], why) for why in config_key(reference["key"]))


def _env_from(source: Json, path: str) -> Iterator[Cause]:
    given = [item for item in ("configMapRef", "secretRef") if item in source]
    if not given:
        yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")
    for item in given:
        if not source[item].get("name"):
            yield required(f"{path}.{item}.name")


def _resources(resources: Json, path: str) -> Iterator[Cause]:
    limits = resources.get("limits") or {}
    for word in ("limits", "requests"):
        for name, text in (resources.get(word) or {}).items():
            where = f"{path}.{word}[{name}]"
            if "/" not in name and not _RESOURCES.fullmatch(name):
                yield from (invalid(f"{path}.{word}", name, why) for why in qualified_name(name))
                yield invalid(f"{path}.{word}", name, "must be a standard resource for containers")
            elif quantity(text) < 0:
                yield invalid(where, text, "must be greater than or equal to 0")
    for name, text in (resources.get("requests") or {}).items():
        if name in limits and quantity(text) > quantity(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", text, why)


def _security(context: Json, path: str) -> Iterator[Cause]:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        if not 0 <= context.get(key, 0) <= _LARGEST_ID:
            yield invalid(f"{path}.{key}", context[key], f"must be between 0 and {_LARGEST_ID}, inclusive")


def _volumes(volumes: list[Json], path: str) -> Iterator[Cause]:
    for number, volume in enumerate(volumes):
        where, name = f"{path}[{number}]", volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        else:
            yield from (invalid(f"{where}.name", name, why) for why in label_name(name))
        if not volume.keys() - {"name"}:
            yield required(where, "must specify a volume type")
        if "secret" in volume and not volume["secret"].get("secretName"):
            yield required(f"{where}.secret.secretName")
    yield from duplicates(volumes, path)


def _mounts(mounts: list[Json], known: set[Value], path: str) -> Iterator[Cause]:
    paths = set[str]()
    for number, mount in enumerate(mounts):
        where = f"{path}[{number}]"
        if not mount.get("name"):
            yield required(f"{where}.name")
        elif mount["name"] not in known:
            yield Cause(f"{where}.name", "FieldValueNotFound", f'Not found: "{mount["name"]}"')
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
        elif mount["mountPath"] in paths:
            yield invalid(f"{where}.mountPath", mount["mountPath"], "must be unique")
        paths.add(mount.get("mountPath", ""))
