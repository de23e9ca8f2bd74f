"""What becomes of a command: its exit status, and what it has to say."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

from listener_policy._command_line.terminal import Palette

__all__ = ["Outcome", "Report", "Status", "Unusable"]


class Status(IntEnum):
    """The exit statuses."""

    FINE = 0
    FOUND = 1
    """There are findings, differences or failed expectations."""
    UNUSABLE = 2
    """Wrong usage, or input that cannot be read or used; nothing was looked at."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C: 128 and the number of SIGINT, as shells count."""


class Report(Protocol):
    """What a command says: to people as text, to programs as JSON."""

    def to_dict(self) -> dict[str, object]: ...


class Outcome(NamedTuple):
    """What a command has come to. The palette says what stands out in the text."""

    status: Status
    report: Report
    palette: Palette


class Unusable(Exception):  # noqa: N818 - it says what it means
    """Input that cannot be used, with the lines that say why."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines
