"""What both commands have in common: what they are told, what they show, and how they end."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TextIO, TypeAlias, TypeVar

from replay_log import LogError, Part, parts_of
from replay_report import ReplayReport
from replay_tally import Policies, Tally, Wanted

from listener_policy import (
    DEFAULT_RELAY_HOSTS,
    CidrSet,
    ConfigError,
    Dialect,
    EsmtpListener,
    Policy,
    PolicyConfig,
)

T = TypeVar("T")

SAME, CHANGED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
EXIT_STATUS: Final = """\
exit status:
  0    nothing is decided otherwise, or there is no other policy
  1    something is
  2    wrong usage, or a policy or log that cannot be used; nothing is shown
  130  interrupted by Ctrl-C; nothing is shown
"""


class UnusableError(Exception):
    """Input that cannot be used, with the reason, of one line or several."""


class Progress:
    """How far a replay is: on a terminal, one line at the bottom that is gone at the end."""

    def __init__(self, parts: Sequence[Part], stream: TextIO | None, *, every: float = 0.2) -> None:
        """`every`: seconds between two states of the line."""
        is_terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stream = stream if is_terminal else None
        self._octets = sum(part.octets for part in parts)
        self._every = every
        self._begun = self._shown = time.monotonic()
        self._width = 0
        self.rows = 0
        """The rows that have been taken."""
        self.done = 0
        """The octets that have been taken, of those of all parts."""

    def took(self, tally: Tally, octets: int) -> None:
        """Some rows have been counted, for which that much was read."""
        self.rows += tally.rows + tally.unusable
        self.done += octets
        now = time.monotonic()
        if self._stream is not None and now >= self._shown + self._every:
            self._shown = now
            self._show(str(self))

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1."""
        return min(self.done / self._octets, 1.0) if self._octets else 1.0

    def __str__(self) -> str:
        gone = max(time.monotonic() - self._begun, 1e-6)
        said = f"{self.rows:,} rows, {self.fraction:.0%}, {self.rows / gone:,.0f} rows/s"
        if self.fraction > 0:
            left = round(gone / self.fraction - gone)
            said += f", {left // 60}:{left % 60:02} left"
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._width:
            self._show("")

    def _show(self, line: str) -> None:
        with suppress(OSError):  # the terminal may go away
            stream = self._stream
            if stream is not None:
                stream.write(f"\r{' ' * self._width}\r{line}")
                stream.flush()
                self._width = len(line)


@contextmanager
def interrupts_held_back() -> Generator[Callable[[], None]]:
    """Within the block, Ctrl-C waits for the next call of what is given. A second one does not.

    Python may be interrupted between any two steps, those of a `with` statement included, and then
    leaves open what it has opened. Where something else has been made of Ctrl-C, that stays.
    """
    pressed = False

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def let_through() -> None:
        if pressed:
            raise KeyboardInterrupt

    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield let_through
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


Count: TypeAlias = Callable[[argparse.Namespace, Sequence[Part], Policies, Wanted, Progress], Tally]
"""Counts what becomes of the rows of all parts. Raises `LogError` or `UnusableError`."""


def argument_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments of both commands."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        description=description,
        epilog=EXIT_STATUS,
    )
    add = parser.add_argument
    add("log", nargs="+", metavar="LOG", help="a log: .parquet, .jsonl or .jsonl.gz")
    add("--policy", nargs="+", required=True, metavar="FILE", help="TOML or JSON, merged in order")
    add("--after", nargs="+", metavar="FILE", help="the policy to compare with")
    for side, which in (("", "both policies"), ("after-", "the policy to compare with")):
        add(f"--{side}listeners", metavar="FILE", help=f"[[esmtp_listener]] tables of {which}")
        add(f"--{side}relay-host", nargs="*", metavar="BLOCK", help=f"relay_hosts of {which}")
        add(f"--{side}dialect", choices=[*Dialect], type=Dialect, help=f"dialect of {which}")
    add(
        "--top", type=_count, default=3, metavar="N", help="names to show of each kind (3); 0: none"
    )
    add("--examples", type=_count, default=1, metavar="N", help="rows to show of each kind (1)")
    add("--no-examples", dest="examples", action="store_const", const=0, help="show no row")
    add("--format", choices=["text", "json"], default="text")
    return parser


def run(parser: argparse.ArgumentParser, count: Count, arguments: Sequence[str] | None) -> int:
    """Carry out a command, and return its exit status."""
    options = parser.parse_args(arguments)
    progress = Progress((), None)
    try:
        policies = _policies(options)
        parts = parts_of(options.log)
        with Progress(parts, sys.stderr) as progress:
            wanted = Wanted(options.top > 0, options.examples)
            tally = count(options, parts, policies, wanted, progress)
        if tally.unusable and not tally.rows:
            reason = next(iter(tally.reasons.values()), "")
            raise UnusableError(
                f"none of {tally.unusable:,} rows can be asked about" + f": {reason}" * bool(reason)
            )
        report = ReplayReport(tally, parts, compares=policies.after is not None, top=options.top)
        text = json.dumps(report.to_dict(), indent=2) if options.format == "json" else str(report)
    except (LogError, UnusableError) as error:
        _say(sys.stderr, f"{error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        far = f"{progress.rows:,} rows, {progress.fraction:.0%} of the logs"
        _say(sys.stderr, f"interrupted after {far}: nothing is shown, for it is not the whole\n")
        return INTERRUPTED
    try:
        _say(sys.stdout, f"{text}\n")
    except KeyboardInterrupt:
        return INTERRUPTED
    return CHANGED if report.changed else SAME


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 9999, found {text!r}")
    return int(text)


def _say(stream: TextIO | None, text: str) -> None:
    """Write, what the encoding lacks being escaped. A reader who is gone has seen enough."""
    if stream is None:
        return
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _policies(options: argparse.Namespace) -> Policies:
    """The policies of the command line. Raises `UnusableError` with all that is wrong with them."""
    given: dict[str, Any] = vars(options)
    named = {name: given[name] for name in ("policy", "listeners", "relay_host", "dialect")}
    others = {
        "policy": options.after,
        "listeners": options.after_listeners,
        "relay_host": options.after_relay_host,
        "dialect": options.after_dialect,
    }
    stated = {name: value for name, value in others.items() if value is not None}
    wrong: list[str] = []
    before = _policy(wrong, **named)
    after = _policy(wrong, **{**named, **stated}) if stated else None
    if wrong:
        raise UnusableError("\n".join(dict.fromkeys(wrong)))  # both may be made of one file
    return Policies(before, after)


def _policy(
    wrong: list[str],
    policy: Sequence[str],
    listeners: str | None,
    relay_host: Sequence[str] | None,
    dialect: Dialect | None,
) -> Policy:
    """A policy, or something in its place after adding to `wrong` what is wrong."""
    configs = [_loaded(file, _config, wrong) for file in policy]
    tables: tuple[EsmtpListener, ...] | None = ()
    if listeners is not None:
        tables = _loaded(listeners, lambda _, text: EsmtpListener.from_toml(text), wrong)
    hosts: CidrSet | None = DEFAULT_RELAY_HOSTS
    if relay_host is not None:
        hosts = _checked("--relay-host", partial(CidrSet, relay_host), wrong)
    return Policy(
        PolicyConfig.merge(*(config for config in configs if config is not None)),
        relay_hosts=hosts or CidrSet(),
        listeners=tables or (),
        dialect=dialect or Dialect.DOCUMENTED,
    )


def _config(file: str, text: bytes) -> PolicyConfig:
    is_json = file.endswith(".json")
    return PolicyConfig.from_json(text) if is_json else PolicyConfig.from_toml(text)


def _loaded(file: str, load: Callable[[str, bytes], T], wrong: list[str]) -> T | None:
    """What a file holds, or `None` after adding to `wrong` what is wrong with it."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        wrong.append(f"{file}: cannot be read: {error.strerror}")
        return None
    return _checked(file, partial(load, file, text), wrong)


def _checked(name: str, make: Callable[[], T], wrong: list[str]) -> T | None:
    try:
        return make()
    except ConfigError as error:
        wrong += (
            ": ".join(filter(None, (name, problem.path, problem.message)))
            + (f"; {problem.hint}" if problem.hint else "")
            for problem in error.problems
        )
        return None
