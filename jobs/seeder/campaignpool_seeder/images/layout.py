"""Where the copies of a campaign's files go. Pure.

Below the campaign's own folder they stand as the template's files do below the folder that these have in common,
whose last name stays: `/template/a/1.png` and `/template/b/1.png` become `<folder>/template/a/1.png` and so on. That
is what copying the common folder as a whole brings, so it makes no difference how a file was copied.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Layout:
    """Where each file of an album goes.

    Attributes:
        folder: The campaign's own.
        common: The folder that all sources are in or below.
        targets: Path of the copy by the original's key; no two are the same.
        regular: Originals whose copies come with the common folder; the others have a name that was taken.
    """

    folder: str
    common: str
    targets: Mapping[str, str]
    regular: frozenset[str]


def parts(path: str) -> tuple[str, ...]:
    """Give the names in a path."""
    return tuple(name for name in path.split("/") if name)


def lay_out(sources: Mapping[str, str], folder: str, spelled: Callable[[str], str]) -> Layout:
    """Say where the copies of files go.

    Args:
        sources: Path by the original's key, of all files of an album: the same ones give the same layout.
        folder: The campaign's own.
        spelled: Gives the path that a folder gets when it is written to.
    """
    common = _common(parts(path)[:-1] for path in sources.values())
    targets: dict[str, str] = {}
    taken: set[str] = set()
    others: list[tuple[str, str]] = []
    for original, source in sorted(sources.items(), key=lambda pair: (pair[1], pair[0])):
        *folders, name = parts(source)[max(0, len(common) - 1) :] or ("",)
        path = "/".join((*(spelled(each) for each in folders), name))
        if f"{folder}/{path}" in taken:
            others.append((original, path))
        else:
            targets[original] = f"{folder}/{path}"
            taken.add(targets[original])
    regular = frozenset(targets)
    for original, path in others:
        free = (f"{folder}/{number}/{path}" for number in count(2))
        targets[original] = next(target for target in free if target not in taken)
        taken.add(targets[original])
    return Layout(folder, f"/{'/'.join(common)}", targets, regular)


def _common(folders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Give the longest beginning that all have."""
    some = list(folders)
    first, last = min(some, default=()), max(some, default=())
    equal = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(last))] if equal is None else first[:equal]
