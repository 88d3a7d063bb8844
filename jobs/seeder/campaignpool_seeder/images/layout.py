"""The paths of a campaign's copies. Pure.

The copies keep their paths below the folder that all of the template's files share, and that folder's own name:
`/template/a/1.png` and `/template/b/1.png` become `<folder>/template/a/1.png` and `<folder>/template/b/1.png`.
Copying the shared folder as a whole gives the same paths, so both strategies agree.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Layout:
    """The path of each copy.

    Attributes:
        folder: The campaign's folder.
        common: The deepest folder that holds all sources.
        targets: Path of the copy by the original's key; paths are unique.
        regular: Originals that copying the common folder copies; the others have a path that is taken.
    """

    folder: str
    common: str
    targets: Mapping[str, str]
    regular: frozenset[str]


def parts(path: str) -> tuple[str, ...]:
    """Return the names in a path."""
    return tuple(name for name in path.split("/") if name)


def lay_out(sources: Mapping[str, str], folder: str, normalize: Callable[[str], str]) -> Layout:
    """Return the layout of a campaign's copies.

    Args:
        sources: Path by the original's key, of all files; the same sources give the same layout.
        folder: The campaign's folder.
        normalize: Returns the path under which the store keeps a folder.
    """
    common = _common(parts(path)[:-1] for path in sources.values())
    targets: dict[str, str] = {}
    taken: set[str] = set()
    others: list[tuple[str, str]] = []
    for original, source in sorted(sources.items(), key=lambda pair: (pair[1], pair[0])):
        *folders, name = parts(source)[max(0, len(common) - 1) :] or ("",)
        path = "/".join((*(normalize(part) for part in folders), name))
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
    """Return the longest common prefix."""
    paths = list(folders)
    first, last = min(paths, default=()), max(paths, default=())
    length = next((index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(last))] if length is None else first[:length]
