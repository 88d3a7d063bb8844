"""The output of a bench: the file in `bench/results`, the section of `bench/README.md` and the plot."""

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.harness import Bench, Plot, Result

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
_DIGITS = 4


def write(name: str, bench: Bench, result: Result) -> None:
    """Write the results, the plot and the README section of a bench."""
    RESULTS.mkdir(exist_ok=True)
    figures = {figure: rounded(value) for figure, value in result.figures.items()}
    versions = {
        **result.versions,
        "Python": platform.python_version(),
        **{package: version(package) for package in ("asyncpg", "campaignpool")},
    }
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    facts = {"machine": machine(), "versions": versions, "date": date}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(figures | facts, indent=2, ensure_ascii=False) + "\n")
    draw(result.plot, RESULTS / f"{name}.svg")
    listed = ", ".join(f"{component} {release}" for component, release in versions.items())
    files = f"All figures: [results/{name}.json](results/{name}.json). Repeat with `make bench NAME={name}`."
    parts = [
        f"## {bench.title}",
        result.text,
        _goals(result),
        f"![{result.plot.title}](results/{name}.svg)",
        f"{facts['machine']}; {listed}; {date}. {files}",
    ]
    README.write_text(with_section(README.read_text(), name, "\n\n".join(part for part in parts if part)))


def with_section(text: str, name: str, section: str) -> str:
    """Return the text with a section between its markers, or at the end if the text has no such markers."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- end of bench:{name} -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text)
    return f"{text.rstrip()}\n\n{block}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; numbers are right-aligned and have three significant digits."""
    lines = [[format_cell(cell) for cell in row] for row in rows]
    right = [all(_is_number(line[place]) for line in lines) for place in range(len(head))]
    rule = ["---:" if is_right else "---" for is_right in right]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(head), rule, *lines])


def format_cell(cell: object) -> str:
    """Return a cell as text: floats with three significant digits, integers with separators, None as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        size = abs(cell)
        return f"{cell:,.0f}" if size >= 100 else f"{cell:.1f}" if size >= 10 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def rounded(value: float) -> float:
    """Return a figure with four significant digits; integers are unchanged."""
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


def machine() -> str:
    """Return the processors, memory and operating system of this machine."""
    return f"{os.cpu_count()} × {_processor()}, {_memory()} GB, {platform.system()} {platform.release()}"


def draw(plot: Plot, path: Path) -> None:
    """Draw the plot as an SVG whose bytes depend only on the figures."""
    import matplotlib as mpl  # noqa: PLC0415 (takes half a second, which `--help` does not need)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "campaignpool"
    from matplotlib import pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    labels = list(dict.fromkeys(label for bars in plot.groups.values() for label in bars))
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.22 * len(labels) * len(plot.groups)), layout="constrained")
    height = 0.8 / len(plot.groups)
    for number, (group, bars) in enumerate(plot.groups.items()):
        places = [labels.index(label) + number * height for label in bars]
        patches = axes.barh(places, list(bars.values()), height, label=group)
        axes.bar_label(patches, [format_cell(float(value)) for value in bars.values()], padding=3, fontsize=8)
    names = [label.replace("`", "") for label in labels]
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    values = [value for bars in plot.groups.values() for value in bars.values()]
    axes.set_xlim(min(1, min(values) / 2), max(values) * 2)
    axes.set_xlabel(plot.axis)
    axes.set_title(plot.title, fontsize=11)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _goals(result: Result) -> str:
    rows = [
        (
            f"`{goal.figure}`",
            str(goal),
            rounded(result.figures[goal.figure]),
            "yes" if goal.met(result.figures) else "no",
        )
        for goal in result.goals
    ]
    return table(("figure", "goal", "measured", "met"), rows) if rows else ""


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-–]|[-\d.,]+", cell) is not None


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", path.read_text(), re.MULTILINE) if path.exists() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
