"""The command line: `python -m listener_policy`.

The only door of the package to files and streams; no other module imports it. Exit status: 0 if
all is well, 2 for wrong usage and for input that cannot be read or used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeVar

from listener_policy._display import printable
from listener_policy.config import PolicyConfig
from listener_policy.decision import Decision, Dialect, Disposition, RcptDecision, Reason, Report
from listener_policy.errors import ConfigError, Problem, RequestError
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener
from listener_policy.policy import Policy
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS

__all__ = ["main"]

_STANDARD_INPUT: Final = "-"
_NULL_SENDER: Final = "<>"
_FINE: Final = 0
_UNUSABLE: Final = 2

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; `arguments` default to `sys.argv`'s."""
    options = _parser().parse_args(arguments)
    try:
        lines = list(_explain(_policy(options), options))
    except _Unusable as unusable:
        _write(sys.stderr, unusable.lines)
        return _UNUSABLE
    _write(sys.stdout, lines)
    return _FINE


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
        help="decide about one sender and recipient, and say why",
        description="Decide about one sender and recipient, and say why. Without --recipient it "
        "is said what the sender may; without --sender the sender is the null sender.",
    )
    explain.add_argument(
        "policy",
        metavar="POLICY",
        nargs="+",
        help="a policy file, TOML or JSON, or - for standard input; later files override earlier",
    )
    explain.add_argument(
        "--listener",
        required=True,
        help="the listener that took the connection: 10.1.2.3:25, [2001:db8::25]:25 or a name",
    )
    explain.add_argument("--peer", required=True, help="the client's address")
    explain.add_argument("--sender", help="the address of MAIL FROM")
    explain.add_argument("--recipient", help="the address of RCPT TO")
    explain.add_argument("--auth", help="the identity that the client authenticated as")
    explain.add_argument(
        "--relay-host",
        metavar="CIDR",
        nargs="+",
        action="extend",
        help="who may relay anything at listeners that state no relay_hosts; "
        f"if it is not given, {' and '.join(DEFAULT_RELAY_HOSTS.to_list())}",
    )
    explain.add_argument(
        "--listeners", metavar="FILE", help="the listeners and their relay_hosts, TOML"
    )
    explain.add_argument(
        "--dialect",
        choices=[dialect.value for dialect in Dialect],
        default=Dialect.DOCUMENTED.value,
        help="the user guide's reading of a policy, or the engine's (default: %(default)s)",
    )
    return parser


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
    json = suffix == ".json" or (suffix != ".toml" and text.lstrip()[:1] == b"{")
    return PolicyConfig.from_json(text) if json else PolicyConfig.from_toml(text)


def _read(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == _STANDARD_INPUT else Path(path).read_bytes()


def _problem_line(name: str, problem: Problem) -> str:
    """A problem as `file: path: message`."""
    where = f"{printable(name)}: {problem.path}: " if problem.path else f"{printable(name)}: "
    return where + problem.message + (f"; {problem.hint}" if problem.hint else "")


def _explain(policy: Policy, options: argparse.Namespace) -> Iterator[str]:
    sender: str | None = options.sender
    recipient: str | None = options.recipient
    if sender is None and recipient is None:
        raise _Unusable("explain: give --sender, --recipient or both")
    try:
        connection = policy.connection(options.listener, options.peer, options.auth)
    except RequestError as error:
        raise _Unusable(f"--{error}") from None
    decision = connection.decide_rcpt(
        _NULL_SENDER if sender is None else sender, _NULL_SENDER if recipient is None else recipient
    )
    yield _row("listener", printable(options.listener))
    yield _row("peer", printable(options.peer))
    yield _row("auth", "nobody" if options.auth is None else printable(options.auth))
    yield _row("sender", _address(sender))
    if recipient is None:
        may_send = decision.sender.may_send
        yield from ("", _row("may relay", _yes(may_send)))
        yield _row("reason", decision.sender.reason if may_send else Reason.DENIED)
        yield from _sender_lines(decision.sender)
    else:
        yield _row("recipient", _address(recipient))
        yield from ("", _row("RCPT TO", decision.reply), _row("reason", decision.reason))
        yield from _sender_lines(decision.sender)
        yield from _recipient_lines(decision)
        yield from _data_lines(decision)


def _sender_lines(decision: Decision) -> Iterator[str]:
    yield from ("", f"the sender's domain: {_entry(decision)}")
    yield _row("relay_hosts", _yes(decision.relay_hosts))
    yield _row("relay_from", _yes(decision.relay_from))
    yield _row("relay_from_authz", _yes(decision.relay_from_authz))


def _recipient_lines(decision: RcptDecision) -> Iterator[str]:
    recipient = decision.recipient
    yield from ("", f"the recipient's domain: {_entry(recipient)}")
    yield _row("relay_to", _yes(recipient.relay_to))
    yield _row("log_oob", recipient.log_oob)
    yield _row("log_arf", recipient.log_arf)


def _data_lines(decision: RcptDecision) -> Iterator[str]:
    if not decision.accept:
        return
    yield from ("", "after DATA:")
    yield _row("abuse report", _disposition(decision.after_data(Report.ARF)))
    yield _row("delivery report", _disposition(decision.after_data(Report.OOB)))
    yield _row("other message", _disposition(decision.after_data(None)))


def _disposition(disposition: Disposition) -> str:
    if not disposition.accept:
        return disposition.reply
    log = "logged and " if disposition.log else ""
    return f"{disposition.reply}, {log}{'relayed' if disposition.relay else 'dropped'}"


def _entry(decision: Decision) -> str:
    if decision.entry is None:
        return "no entry governs it"
    listener, pattern = decision.entry
    return f'governed by "{pattern}" of listener {printable(listener)}'


def _address(address: str | None) -> str:
    return _NULL_SENDER if not address else printable(address)


def _yes(granted: bool) -> str:
    return "yes" if granted else "no"


def _row(name: str, value: str) -> str:
    return f"  {name:<17} {value}"


def _write(stream: TextIO, lines: Sequence[str]) -> None:
    """Write lines; what the stream's encoding lacks is escaped."""
    text = "".join(f"{line}\n" for line in lines)
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
