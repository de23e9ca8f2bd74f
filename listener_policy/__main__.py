"""The command line: `python -m listener_policy`.

The only door of the package to files and streams; no other module imports it. Exit status: 0 if
all is well, 2 for wrong usage and for input that cannot be read or used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeVar

from listener_policy._display import printable
from listener_policy.config import PolicyConfig
from listener_policy.decision import Dialect
from listener_policy.errors import ConfigError, Problem, RequestError
from listener_policy.explanation import Explanation, RcptExplanation
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener
from listener_policy.policy import Policy
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS

__all__ = ["main"]

_STANDARD_INPUT: Final = "-"
_NULL_SENDER: Final = "<>"
_JSON: Final = "json"
_FINE: Final = 0
_UNUSABLE: Final = 2

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; `arguments` default to `sys.argv`'s."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], tuple[int, str]] = options.run
    try:
        status, text = run(options)
    except _Unusable as unusable:
        _write(sys.stderr, "\n".join(unusable.lines))
        return _UNUSABLE
    _write(sys.stdout, text)
    return status


class _Unusable(Exception):  # noqa: N818 - it says what it means
    """Input that cannot be used, with the lines that say why."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m listener_policy",
        description="Decide who may relay mail: KumoMTA's listener-domain policy.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    explain = commands.add_parser(
        "explain",
        help="decide about one sender and recipient, or one domain, and say why",
        description="Decide about one sender and recipient, or about one domain, and say why. "
        "Without --recipient it is said what the sender may; without --sender the sender is the "
        "null sender.",
    )
    explain.set_defaults(run=_explain)
    _add_policy_arguments(explain)
    explain.add_argument(
        "--listener",
        required=True,
        help="the listener that took the connection: 10.1.2.3:25, [2001:db8::25]:25 or a name",
    )
    explain.add_argument("--peer", required=True, help="the client's address")
    explain.add_argument("--sender", help="the address of MAIL FROM")
    explain.add_argument("--recipient", help="the address of RCPT TO")
    explain.add_argument("--domain", help="a domain, instead of sender and recipient")
    explain.add_argument("--auth", help="the identity that the client authenticated as")
    explain.add_argument(
        "--format",
        choices=["text", _JSON],
        default="text",
        help="a tree to read, or all of it for a program (default: %(default)s)",
    )
    return parser


def _add_policy_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments that say which policy a command is about."""
    command.add_argument(
        "policy",
        metavar="POLICY",
        nargs="+",
        help="a policy file, TOML or JSON, or - for standard input; later files override earlier",
    )
    command.add_argument(
        "--relay-host",
        metavar="CIDR",
        nargs="+",
        action="extend",
        help="who may relay anything at listeners that state no relay_hosts; "
        f"if it is not given, {' and '.join(DEFAULT_RELAY_HOSTS.to_list())}",
    )
    command.add_argument(
        "--listeners", metavar="FILE", help="the listeners and their relay_hosts, TOML"
    )
    command.add_argument(
        "--dialect",
        choices=[dialect.value for dialect in Dialect],
        default=Dialect.DOCUMENTED.value,
        help="the user guide's reading of a policy, or the engine's (default: %(default)s)",
    )


def _policy(options: argparse.Namespace) -> Policy:
    """The policy that the command line names, or all the reasons why there is none."""
    wrong: list[str] = []

    def load(name: str, loader: Callable[[], T]) -> T | None:
        try:
            return loader()
        except ConfigError as error:
            wrong.extend(_problem_line(name, problem) for problem in error.problems)
        except OSError as error:
            wrong.append(f"{printable(name)}: cannot be read: {error.strerror}")
        return None

    paths: list[str] = options.policy
    configs = [load(path, partial(_config, path)) for path in paths]
    listeners: tuple[EsmtpListener, ...] | None = ()
    if options.listeners is not None:
        file: str = options.listeners
        listeners = load(file, lambda: EsmtpListener.from_toml(_read(file)))
    relay_hosts: CidrSet | None = DEFAULT_RELAY_HOSTS
    if options.relay_host is not None:
        relay_hosts = load("--relay-host", lambda: CidrSet(options.relay_host))
    if wrong or listeners is None or relay_hosts is None:
        raise _Unusable(*wrong)
    return Policy(
        PolicyConfig.merge(*(config for config in configs if config is not None)),
        relay_hosts=relay_hosts,
        listeners=listeners,
        dialect=Dialect(options.dialect),
    )


def _config(path: str) -> PolicyConfig:
    """The configuration of one file, JSON if it is called so or, without a name, looks so."""
    text = _read(path)
    suffix = Path(path).suffix.lower()
    is_json = suffix == ".json" or (suffix != ".toml" and text.lstrip()[:1] == b"{")
    return PolicyConfig.from_json(text) if is_json else PolicyConfig.from_toml(text)


def _read(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == _STANDARD_INPUT else Path(path).read_bytes()


def _problem_line(name: str, problem: Problem) -> str:
    """A problem as `file: path: message`."""
    where = f"{printable(name)}: {problem.path}: " if problem.path else f"{printable(name)}: "
    return where + problem.message + (f"; {problem.hint}" if problem.hint else "")


def _explain(options: argparse.Namespace) -> tuple[int, str]:
    """What is decided, and why: the exit status, and the text."""
    sender: str | None = options.sender
    recipient: str | None = options.recipient
    domain: str | None = options.domain
    if (domain is None) is (sender is None and recipient is None):
        raise _Unusable("explain: give --sender, --recipient or both, or --domain alone")
    policy = _policy(options)
    client = (options.listener, options.peer)
    explanation: Explanation | RcptExplanation
    try:
        if domain is not None:
            explanation = policy.explain(*client, domain, options.auth)
        else:
            addresses = (sender or _NULL_SENDER, recipient or _NULL_SENDER)
            explanation = policy.explain_rcpt(*client, *addresses, options.auth)
            if recipient is None:
                explanation = explanation.sender
    except RequestError as error:
        raise _Unusable(f"--{error}") from None
    if options.format == _JSON:
        return _FINE, json.dumps(explanation.to_dict(), indent=2)
    return _FINE, str(explanation)


def _write(stream: TextIO, text: str) -> None:
    """Write a text and end its last line; what the stream's encoding lacks is escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
