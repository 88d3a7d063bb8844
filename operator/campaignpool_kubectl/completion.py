"""The command `completion`: what a shell evaluates to complete commands and options, made from the parser itself."""

import argparse
import shlex
from collections.abc import Callable, Iterator
from functools import partial

from campaignpool.cli.common import DONE, Subcommands, described, print_lines

PROGRAMS = ("campaignpool", "kubectl-campaignpool")

_COMPLETION = """\
Print a script that completes commands and options in a shell. kubectl completes plugins with
the program kubectl_complete-campaignpool, which `--kubectl` prints.

examples:
  source <(campaignpool completion bash)
  campaignpool completion zsh > "${fpath[1]}/_campaignpool"
  campaignpool completion fish > ~/.config/fish/completions/campaignpool.fish
  campaignpool completion --kubectl > ~/.local/bin/kubectl_complete-campaignpool
"""

_BASH = """\
_campaignpool() {
    local word="${COMP_WORDS[COMP_CWORD]}" path="" part
    for part in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$part" in -*) ;; *) path="$path $part" ;; esac
    done
    COMPREPLY=($(compgen -W "$(_campaignpool_words "${path# }")" -- "$word"))
}
_campaignpool_words() {
    case "$1" in
@CASES@
    esac
}
"""
_KUBECTL = """\
#!/bin/sh
# kubectl calls this with the words so far, and reads one candidate a line.
path="" word=""
for part in "$@"; do
    path="$path $word"
    case "$part" in -*) word="" ;; *) word="$part" ;; esac
done
words() {
    case "$1" in
@CASES@
    esac
}
words "$(echo $path)" | tr ' ' '\\n'
echo ":4"
"""


def add(areas: Subcommands, root: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command.

    Args:
        areas: Where commands are added.
        root: Returns the parser of all of them.
    """
    parser = described(
        areas.add_parser, "completion", _COMPLETION, "print a script that completes commands in a shell"
    )
    parser.add_argument("shell", nargs="?", choices=("bash", "zsh", "fish"), default="bash", help="default: bash")
    parser.add_argument("--kubectl", action="store_true", help="print the program that kubectl calls")
    parser.set_defaults(command=partial(_print, root))


def _print(root: Callable[[], argparse.ArgumentParser], arguments: argparse.Namespace) -> int:
    print_lines(script(root(), "kubectl" if arguments.kubectl else arguments.shell).rstrip())
    return DONE


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell; `kubectl` is the program that kubectl calls."""
    commands = list(words(parser))
    if shell == "fish":
        return _fish(commands)
    # The longest path first: an argument that follows a command has the words of the command.
    cases = "\n".join(
        f"        {shlex.quote(path)}*) echo {shlex.quote(' '.join(candidates))} ;;"
        if path
        else f"        *) echo {shlex.quote(' '.join(candidates))} ;;"
        for path, candidates in sorted(commands, key=lambda item: -len(item[0]))
    )
    if shell == "kubectl":
        return _KUBECTL.replace("@CASES@", cases)
    bash = _BASH.replace("@CASES@", cases)
    complete = f"complete -F _campaignpool {' '.join(PROGRAMS)}\n"
    if shell == "zsh":
        return f"#compdef {' '.join(PROGRAMS)}\nautoload -U +X bashcompinit && bashcompinit\n{bash}{complete}"
    return bash + complete


def words(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a parser, by its words, with the words that may follow it."""
    candidates: list[str] = []
    for action in parser._actions:  # noqa: SLF001 (argparse has no other way)
        candidates += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            candidates += action.choices
            for name, child in action.choices.items():
                yield from words(child, f"{path} {name}".strip())
    yield path, candidates


def _fish(commands: list[tuple[str, list[str]]]) -> str:
    lines = ["complete -c campaignpool -f"]
    for path, candidates in commands:
        seen = path.split()
        condition = (
            "__fish_use_subcommand"
            if not seen
            else "; and ".join(f"__fish_seen_subcommand_from {word}" for word in seen)
        )
        for word in candidates:
            option = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c campaignpool -n {shlex.quote(condition)} {option}")
    return "\n".join(lines) + "\n"
