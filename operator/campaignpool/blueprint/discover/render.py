"""A proposed blueprint as commented YAML. Pure."""

from collections.abc import Iterable, Iterator

import yaml

from campaignpool.blueprint.discover.discovery import Discovery, Note, Setting, TableIn, TableOut

MARK = "LOOK"
"""Marks what only a person can decide."""

_COLUMN = 44
_WIDTH = 118


def render(found: Discovery) -> str:
    """Return the text: valid for `blueprint.parse`, and below `spec.blueprint.inline` of a CampaignPool."""
    lines = [
        "# What makes a campaign, as `campaignpool blueprint discover` found it.",
        *_remark(f"The template is {found.template}.", 0),
        f"# {MARK} marks what only a person can decide. `campaignpool blueprint check` shows what a clone will be.",
        *(line for fault in found.faults for line in _remark(f"{MARK}: it does not compile yet: {fault}", 0)),
        "root:",
        *_commented(f"  table: {_scalar(found.root.name)}", found.root.comment),
        *_notes(found.root.notes, 2),
        *_settings(found.root.settings, 2),
        *_references(found.root, 2),
    ]
    lines += ["", "tables:" if found.tables else "tables: []"]
    for table in found.tables:
        lines += _table(table)
    if found.left_out:
        lines += ["", "# Left out:", *(line for item in found.left_out for line in _left_out(item))]
    lines += ["", *_claim(found)]
    return "\n".join(lines) + "\n"


def _table(table: TableIn) -> Iterator[str]:
    yield from _commented(f"  - name: {_scalar(table.name)}", table.comment)
    if table.where:
        yield from _commented(f"    where: {_scalar(table.where)}", table.why_where)
    yield from _notes(table.notes, 4)
    yield from _settings(table.settings, 4)
    yield from _references(table, 4)
    if table.polymorphic:
        yield "    polymorphic:"
    for pair in table.polymorphic:
        yield from _commented(
            f"      - type: {_scalar(pair.type_column)}", "matched by the ids that stand in the rows"
        )
        yield f"        id: {_scalar(pair.id_column)}"
        yield "        targets:"
        for name, target in pair.targets.items():
            yield f"          {_scalar(name)}: {_scalar(target)}"


def _references(table: TableIn, indent: int) -> Iterator[str]:
    if table.references:
        yield f"{' ' * indent}references:"
    for column, target in table.references.items():
        line = f"{' ' * (indent + 2)}{_scalar(column)}: {_scalar(target)}"
        yield from _commented(line, f"{MARK}: no foreign key: matched by its name and its ids")


def _settings(settings: Iterable[Setting], indent: int) -> Iterator[str]:
    chosen = list(settings)
    if any(item.expression is not None for item in chosen):
        yield f"{' ' * indent}set:"
    for item in sorted(chosen, key=lambda item: item.expression is None):
        mark = f"{MARK}: " if item.look else ""
        if item.expression is None:
            yield from _remark(f"{mark}{item.column}: {item.reason}", indent + 2)
        else:
            line = f"{' ' * (indent + 2)}{_scalar(item.column)}: {_scalar(item.expression)}"
            yield from _commented(line, f"{mark}{item.reason}")


def _left_out(table: TableOut) -> Iterator[str]:
    rows = f"{table.rows:,} of {table.total:,} rows" if table.rows >= 0 else ""
    yield from _remark(f"  {table.name:<30} {rows:<22} {MARK + ': ' if table.look else ''}{table.reason}", 0)


def _claim(found: Discovery) -> Iterator[str]:
    if not found.claim and not found.claim_rows:
        yield from _notes(found.claim_notes, 0)
        return
    yield "onClaim:"
    yield from _notes(found.claim_notes, 2)
    yield from _settings(found.claim, 2)
    if found.claim_rows:
        yield "  insert:"
    for row in found.claim_rows:
        yield f"    - table: {_scalar(row.table)}"
        yield from _notes(row.notes, 6)
        yield "      values:"
        for column, value in row.values.items():
            yield f"        {_scalar(column)}: {_scalar(value)}"


def _notes(notes: Iterable[Note], indent: int) -> Iterator[str]:
    for note in notes:
        yield from _remark(f"{MARK}: {note.text}" if note.look else note.text, indent)


def _remark(text: str, indent: int) -> Iterator[str]:
    yield f"{' ' * indent}# {_line(text)}"


def _commented(line: str, comment: str) -> Iterator[str]:
    """Return a line with its comment beside it, or above it where both would be too long."""
    if not comment:
        yield line
    elif max(len(line), _COLUMN) + len(comment) + 3 > _WIDTH:
        yield from _remark(comment, len(line) - len(line.lstrip()))
        yield line
    else:
        yield f"{line:<{_COLUMN}} # {_line(comment)}"


def _line(text: str) -> str:
    """Return text as one line: identifiers may hold anything, and a comment ends with its line."""
    return "".join(item if item.isprintable() else " " for item in text)


def _scalar(text: str) -> str:
    """Return text as a YAML scalar on one line, in quotes where it needs them."""
    style = None if text.isprintable() else '"'
    dumped: str = yaml.safe_dump(text, default_flow_style=True, default_style=style, width=10_000, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("...").rstrip("\n")
