"""What commands are told, as far as they are told it in the same words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn, cast

from listener_policy._command_line.inputs import InputPath, PolicySource
from listener_policy._command_line.outcome import Outcome, Status
from listener_policy._command_line.terminal import Progress, write
from listener_policy._display import printable
from listener_policy.decision import Dialect
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS

__all__ = [
    "DIALECTS",
    "JSON",
    "Command",
    "Parser",
    "add_policy",
    "add_policy_options",
    "input_paths",
    "policy_source",
]

JSON: Final = "json"
"""The value of `--format` for programs."""

DIALECTS: Final = tuple(dialect.value for dialect in Dialect)


class Command(NamedTuple):
    """A command: what it is called, what it is told, and what it does."""

    name: str
    usage: str
    """How it is called, in lines that fit a terminal."""
    summary: str
    description: str
    """What it does, in lines of at most 80 columns."""
    configure: Callable[[Parser], None]
    """Adds the arguments that it takes."""
    run: Callable[[argparse.Namespace, Progress], Outcome]
    """Carries it out. Raises `Unusable`."""


class Parser(argparse.ArgumentParser):
    """A parser that writes as all of the package does."""

    def error(self, message: str) -> NoReturn:
        """Say how it is used and what is wrong, and exit with status 2."""
        self.print_usage(sys.stderr)
        said = printable(message).replace('\\"', '"')
        self.exit(Status.UNUSABLE, f"{self.prog}: error: {said}\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError):  # nobody is left who could be told
            write(file, message)


def add_policy(command: Parser) -> None:
    """Add the arguments that say which policy a command is about."""
    command.add_argument(
        "policy",
        metavar="POLICY",
        nargs="+",
        type=InputPath,
        help="a policy file, TOML or JSON, or - for standard input; later files override earlier",
    )
    add_policy_options(command)


def add_policy_options(command: Parser) -> None:
    """Add the options that say what holds besides the entries, and how they are read."""
    command.add_argument(
        "--listeners",
        metavar="FILE",
        type=InputPath,
        help="the listeners and their relay_hosts: [[esmtp_listener]] tables in TOML",
    )
    command.add_argument(
        "--relay-host",
        metavar="BLOCK",
        nargs="*",
        action="extend",
        help="who may relay anything at listeners that state no relay_hosts: none if no BLOCK "
        f"is given, {' and '.join(DEFAULT_RELAY_HOSTS.to_list())} without the option",
    )
    command.add_argument(
        "--dialect",
        choices=DIALECTS,
        default=Dialect.DOCUMENTED.value,
        help="the user guide's reading of a policy, or the engine's (default: %(default)s)",
    )
    command.add_argument(
        "--format",
        choices=["text", JSON],
        default="text",
        help="text to read, or one JSON document for programs (default: %(default)s)",
    )


def policy_source(options: argparse.Namespace, paths: Iterable[InputPath]) -> PolicySource:
    """What a policy of these files is made of, with the options of `add_policy_options`."""
    relay_host: list[str] | None = options.relay_host
    return PolicySource(
        tuple(paths),
        options.listeners,
        None if relay_host is None else tuple(relay_host),
        Dialect(options.dialect),
    )


def input_paths(options: argparse.Namespace) -> list[InputPath]:
    """All files that the command line names, as often as it names them."""
    values: list[object] = []
    for value in vars(options).values():
        values += cast("list[object]", value) if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, InputPath)]
