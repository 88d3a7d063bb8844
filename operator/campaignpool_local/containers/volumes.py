"""Volumes of a pod, as folders of this machine: Secrets, ConfigMaps, fields of the pod, and empty ones."""

import base64
from collections.abc import Iterator
from pathlib import Path

from campaignpool_local.containers.container import Mount
from campaignpool_local.store import Store
from campaignpool_local.values import Json, json_path

_KINDS = {"secret": ("secrets", "secretName"), "configMap": ("configmaps", "name")}


class VolumeMissingError(Exception):
    """What a volume is made of is not there (yet); `volume` is its name."""

    volume = ""


def mounts_of(pod: Json, container: Json, store: Store, folder: Path) -> list[Mount]:
    """Make the volumes that a container mounts, below a folder; raise `VolumeMissingError`."""
    volumes = {item["name"]: item for item in pod["spec"].get("volumes") or ()}
    mounts = []
    for mount in container.get("volumeMounts") or ():
        volume, place = volumes[mount["name"]], folder / mount["name"]
        place.mkdir(parents=True, exist_ok=True)
        if "emptyDir" not in volume:
            _fill(volume, place, pod, store)
        read_only = bool(mount.get("readOnly")) or "emptyDir" not in volume
        source = place / mount["subPath"] if mount.get("subPath") else place
        mounts.append(Mount(source, mount["mountPath"], read_only))
    return mounts


def _fill(volume: Json, place: Path, pod: Json, store: Store) -> None:
    """Write the files of a volume."""
    try:
        for name, content in _files(volume, pod, store):
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except VolumeMissingError as error:
        error.volume = volume["name"]
        raise


def _files(volume: Json, pod: Json, store: Store) -> Iterator[tuple[str, bytes]]:
    """Return the names and the contents of the files of a volume."""
    for source in (volume.get("projected") or {}).get("sources") or [volume]:
        for kind in _KINDS.keys() & source.keys():
            yield from _data(kind, source[kind], pod["metadata"]["namespace"], store)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            value = json_path(pod, (item.get("fieldRef") or {}).get("fieldPath", ".none"))
            yield item["path"], _text(value).encode()


def _text(value: object) -> str:
    """Write a field of the pod as a file has it: labels and annotations line by line."""
    if isinstance(value, dict):
        return "\n".join(f'{key}="{item}"' for key, item in sorted(value.items()))
    return str(value or "")


def _data(kind: str, source: Json, namespace: str, store: Store) -> Iterator[tuple[str, bytes]]:
    plural, key = _KINDS[kind]
    name = source.get(key) or source.get("name", "")
    value = store.get(("", plural), namespace, name)
    if value is None:
        if not source.get("optional"):
            raise VolumeMissingError(f'{kind.lower()} "{name}" not found')
        return
    texts, binary = value.get("data") or {}, value.get("binaryData") or {}
    contents = {entry: base64.b64decode(text) if kind == "secret" else text.encode() for entry, text in texts.items()}
    contents |= {entry: base64.b64decode(text) for entry, text in binary.items()}
    for item in source.get("items") or [{"key": content, "path": content} for content in contents]:
        if item["key"] in contents:
            yield item["path"], contents[item["key"]]
        elif not source.get("optional"):
            raise VolumeMissingError(f"references non-existent secret key: {item['key']}")
