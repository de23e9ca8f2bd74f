"""The command line: `python -m listener_policy`.

The only door of the package to files and streams; no other module imports it. The commands are in
`listener_policy._command_line`. Here is what they have in common: how they begin, what is written
where, and the exit status.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import listener_policy
from listener_policy._command_line.arguments import JSON, Command, Parser, input_paths
from listener_policy._command_line.check import CHECK
from listener_policy._command_line.diff import DIFF
from listener_policy._command_line.explain import EXPLAIN
from listener_policy._command_line.outcome import Outcome, Status, Unusable
from listener_policy._command_line.terminal import (
    Progress,
    can_colour,
    is_terminal,
    painted,
    write,
)
from listener_policy._command_line.test import TEST

__all__ = ["main"]

_COMMANDS: Final[tuple[Command, ...]] = (CHECK, EXPLAIN, DIFF, TEST)

_AS_WRITTEN: Final = argparse.RawDescriptionHelpFormatter
_EXIT_STATUS: Final = """\
exit status:
  0    all is well
  1    findings, differences, or expectations that do not hold
  2    wrong usage, or input that cannot be read or used: standard error says
       what and where, and nothing was looked at
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; `arguments` default to `sys.argv`'s.

    Raises `SystemExit` where `argparse` does: after --help and --version, and for wrong usage.
    """
    try:
        return _run(_parser().parse_args(arguments))
    except KeyboardInterrupt:
        return Status.INTERRUPTED


def _parser() -> Parser:
    parser = Parser(
        prog="python -m listener_policy",
        formatter_class=_AS_WRITTEN,
        allow_abbrev=False,
        description="Decide who may relay mail: KumoMTA's listener-domain policy.",
        epilog=_EXIT_STATUS,
    )
    version = f"listener_policy {listener_policy.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        added = commands.add_parser(
            command.name,
            usage=command.usage,
            formatter_class=_AS_WRITTEN,
            allow_abbrev=False,  # scripts that use one break when an option is added
            help=command.summary,
            description=command.description,
            epilog=_EXIT_STATUS,
        )
        command.configure(added)
        added.set_defaults(command=command)
    return parser


def _run(options: argparse.Namespace) -> int:
    """Carry out a command, say what it says, and return the exit status."""
    standard_input = [path for path in input_paths(options) if path.is_standard_input]
    # nothing may be shown where somebody is typing
    is_quiet = bool(standard_input) and is_terminal(sys.stdin)
    command: Command = options.command
    try:
        if len(standard_input) > 1:
            raise Unusable(f"-: can be read once, and is named {len(standard_input)} times")
        with Progress(None if is_quiet else sys.stderr) as progress:
            outcome = command.run(options, progress)
            text = _text(outcome, is_json=options.format == JSON)
    except Unusable as unusable:
        _complain(*unusable.lines)
        return Status.UNUSABLE
    try:
        write(sys.stdout, text)
    except BrokenPipeError:
        pass  # whoever reads has seen enough; the exit status says the rest
    except OSError as error:
        _complain(f"standard output: cannot be written: {error.strerror}")
        return Status.UNUSABLE
    return outcome.status


def _text(outcome: Outcome, *, is_json: bool) -> str:
    """What goes to standard output. JSON is never in colour, nor anything but ASCII."""
    if is_json:
        return json.dumps(outcome.report.to_dict(), indent=2) + "\n"
    text = f"{outcome.report}\n"
    return painted(text, outcome.palette) if can_colour(sys.stdout) else text


def _complain(*lines: str) -> None:
    with suppress(OSError):  # nobody is left who could be told
        write(sys.stderr, "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
