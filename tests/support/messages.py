"""Every message that a user may read, collected from the code into one page; `make generate` writes it."""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from campaignpool import sqlstates
from campaignpool.api.reasons import HEADINGS, Reason
from campaignpool_kubectl import main
from campaignpool_seeder import arguments as seeding
from campaignpool_seeder.images import arguments as images

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "tests" / "data" / "messages.md"
SOURCES = ("operator/campaignpool", "operator/campaignpool_operator", "operator/campaignpool_kubectl", "jobs/seeder")
SQL = "operator/campaignpool/ledger/sql/functions"
_KINDS = re.compile(r"(Error|Fault|Event|Obstacle|Finding|ArgumentTypeError|_invalid|PoolUnknown|InvalidArgument)$")


def page() -> str:
    """Return the page, in Markdown."""
    lines = [
        "# Messages",
        "",
        "Collected by `make generate`; a test fails on drift. `{…}` stands for a name. A message says what failed,",
        "why, and what to do.",
        "",
        "## Reasons of conditions and Events",
    ]
    for group, heading in HEADINGS.items():
        lines += ["", f"### {heading}", ""]
        lines += [f"- {reason.value}: {reason.meaning} {reason.remedy}" for reason in Reason if reason.group == group]
    lines += ["", "## Errors of the database", ""]
    lines += [f"- {rule.reason}: {rule.message}" for rule in sqlstates.RULES]
    lines += ["", "## Errors and Events of the code"]
    for source in SOURCES:
        for file in sorted((ROOT / source).rglob("*.py")):
            if messages := list(dict.fromkeys(_in_python(file))):
                lines += ["", f"### {file.relative_to(ROOT)}", "", *(f"- {message}" for message in messages)]
    lines += ["", "## Errors of the ledger's functions"]
    for file in sorted((ROOT / SQL).glob("*.sql")):
        if messages := list(dict.fromkeys(_in_sql(file.read_text()))):
            lines += ["", f"### {file.relative_to(ROOT)}", "", *(f"- {message}" for message in messages)]
    lines += ["", "## Command lines"]
    for parser in (main.parser(), *seeding.parsers(), *images.parsers()):
        lines += _help(parser)
    return "\n".join(lines) + "\n"


def _in_python(file: Path) -> Iterator[str]:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if not _KINDS.search(name):
            continue
        texts = [_text(argument) for argument in (*call.args, *(word.value for word in call.keywords))]
        if message := ": ".join(text for text in texts if " " in text):
            yield message


def _text(node: ast.expr) -> str:
    """Return a literal with `{…}` for what is formatted into it; nothing for other expressions."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) if isinstance(value, ast.Constant) else "{…}" for value in node.values)
    return ""


def _in_sql(text: str) -> Iterator[str]:
    for match in re.finditer(r"RAISE EXCEPTION '((?:[^']|'')+)'(.*?);\n", text, re.DOTALL):
        hint = re.search(r"HINT\s*=\s*'((?:[^']|'')+)'", match[2])
        code = re.search(r"ERRCODE\s*=\s*'(\w+)'", match[2])
        message = match[1].replace("''", "'").replace("%", "{…}")
        yield f"{code[1] if code else 'P0001'}: {message}{f' (hint: {hint[1]})' if hint else ''}".replace("''", "'")


def _help(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the help of a parser and of its commands; not as argparse prints it, which depends on its version."""
    yield from ("", f"### {parser.prog}", "", "```", parser.description or "")
    commands: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = list(action.choices.values())
            yield from (f"  {choice.dest}: {choice.help}" for choice in action._choices_actions)
        elif not isinstance(action, argparse._HelpAction):
            yield f"  {', '.join(action.option_strings)} {action.metavar or ''}: {action.help}"
    yield from ([parser.epilog] if parser.epilog else [])
    yield "```"
    for command in commands:
        yield from _help(command)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
