"""The command line on a terminal: colour, and what is said while something takes long."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Final, TextIO

import pytest
from command_line import (
    AFTER,
    BEFORE,
    COMMAND,
    COMMANDS,
    EXPECTATIONS,
    closed_pipe,
    environment,
    opened_for_writing,
    run,
    written,
)
from hypothesis import given
from hypothesis import strategies as st

from listener_policy.__main__ import main
from listener_policy._command_line.terminal import Progress, Style, painted


@pytest.fixture
def before(tmp_path: Path) -> str:
    return written(tmp_path / "before.toml", BEFORE)


@pytest.fixture
def after(tmp_path: Path) -> str:
    return written(tmp_path / "after.toml", AFTER)


SGR: Final = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A terminal, and what was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        modes = termios.tcgetattr(self.theirs)
        modes[1] &= ~termios.OPOST  # "\n" stays what it is
        termios.tcsetattr(self.theirs, termios.TCSANOW, modes)
        self.written = b""

    def read_until(self, expected: bytes) -> None:
        """Read on until that has been written."""
        while expected not in self.written:
            ready, _, _ = select.select([self._ours], [], [], 60)
            assert ready, self.written
            self.written += os.read(self._ours, 4096)

    def rest(self) -> str:
        """All that has been written, once nobody writes any more."""
        os.close(self.theirs)
        try:
            while more := os.read(self._ours, 4096):
                self.written += more
        except OSError:
            pass  # Linux's way of saying that nobody has the other end any more
        os.close(self._ours)
        return self.written.decode()


def in_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    """The exit status of a command on a terminal, and what is written to it."""
    terminal = Terminal()
    ended = run(
        *arguments,
        env=environment(**{"TERM": "xterm", **variables}),
        stdin=terminal.theirs,
        stdout=terminal.theirs,
        stderr=terminal.theirs,
    )
    return ended.returncode, terminal.rest()


def arguments_of(command: str, before: str, after: str) -> list[str]:
    """Something to do for a command that shows colours."""
    expected = str(Path(before).with_name("expectations.toml"))
    Path(expected).write_text(EXPECTATIONS, encoding="utf-8")
    return {
        "check": [after],
        "test": [before, after, "--expectations", expected],
        "explain": [before, "--recipient", "a@example.com", "--listener", "mx", "--peer", "::1"],
        "diff": [before, after],
    }[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_colour_does_not_change_the_text(command: str, before: str, after: str) -> None:
    arguments = [command, *arguments_of(command, before, after)]
    plain = run(*arguments)
    assert "\x1b" not in plain.stdout
    status, shown = in_terminal(*arguments)
    assert status == plain.returncode
    assert shown != plain.stdout
    assert SGR.sub("", shown) == plain.stdout


def test_what_is_gained_and_lost_stands_out(before: str, tmp_path: Path) -> None:
    gains = written(tmp_path / "more.toml", '["example.com"]\nrelay_from_authz = ["ann"]\n')
    _, shown = in_terminal("diff", before, gains)
    assert '|- relay_from_authz  \x1b[32mgains\x1b[0m "ann"\n' in shown
    _, shown = in_terminal("diff", gains, before)
    assert '|- relay_from_authz  \x1b[31mloses\x1b[0m "ann"\n' in shown
    assert "|- strangers         \x1b[33mmay do more\x1b[0m\n" in shown


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_nobody_has_to_see_colours(
    variables: Mapping[str, str], coloured: bool, before: str, after: str
) -> None:
    _, shown = in_terminal("diff", before, after, **variables)
    assert ("\x1b" in shown) is coloured


def test_json_is_never_in_colour(before: str, after: str) -> None:
    _, shown = in_terminal("diff", before, after, "--format", "json")
    assert shown == run("diff", before, after, "--format", "json").stdout


_words = st.sampled_from(["gains", "loses", "250", "x", " ", "\n", "\u202e"])


@given(st.lists(_words).map("".join))
def test_painting_adds_escape_sequences_and_nothing_else(text: str) -> None:
    shown = painted(text, {r"^x.*$": Style.BOLD, "gains": Style.GREEN, r"\b250\b": Style.RED})
    assert SGR.sub("", shown) == text
    assert painted(text, {}) == text


@pytest.mark.parametrize(
    ("command", "doing", "said"),
    [
        ("check", "reading the policy", "no findings, in 1 entry\n"),
        ("diff", "reading the policies", "no change: every question is answered alike\n"),
    ],
)
def test_what_takes_long_is_said_and_wiped_out(
    command: str, doing: str, said: str, tmp_path: Path, before: str
) -> None:
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    terminal = Terminal()
    process = subprocess.Popen(
        [*COMMAND, command, *([before] if command == "diff" else []), str(fifo)],
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
    )
    with opened_for_writing(fifo, process) as writing:
        terminal.read_until(b" s")
        writing.write(BEFORE.encode())
    assert process.communicate()[0] == said.encode()
    assert process.returncode == 0
    shown = terminal.rest()
    *_, line, blanks, end = shown.split("\r")
    assert re.fullmatch(rf"{doing} \.\.\. [0-9]+ s", line)
    assert (blanks, end) == (" " * len(line), "")
    assert "\n" not in shown


class Screen(io.StringIO):
    """A stream that calls itself a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.is_written = Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.is_written.set()
        return super().write(text)


def test_progress_fits_a_line_and_goes_away_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    progress = Progress(screen, patience=0.001)
    progress.says("reading \x1b[2J\u202e" + "x" * 1000)

    def work() -> None:
        with progress:
            assert screen.is_written.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    _, _, line, *others, blanks, end = screen.getvalue().split("\r")
    assert line.startswith("reading \\u001b[2J\\u202exxx")
    assert max(map(len, (line, *others))) < 80
    assert (blanks.strip(), len(blanks), end) == ("", len((line, *others)[-1]), "")


def test_what_does_not_take_long_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with Progress(screen, patience=60) as progress:
        progress.says("reading")
    assert not screen.is_written.is_set()


def test_progress_gives_up_with_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    threads = threading.active_count()
    with os.fdopen(closed_pipe(), "w", encoding="utf-8") as stream:
        monkeypatch.setattr(stream, "isatty", lambda: True)
        with Progress(stream, patience=0.001):
            while threading.active_count() > threads:
                time.sleep(0.001)


@pytest.mark.parametrize("is_typed", [False, True])
def test_progress_leaves_whoever_is_typing_alone(
    is_typed: bool, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may be written into a policy that is typed on the terminal."""
    monkeypatch.setenv("TERM", "xterm")
    shown: list[object] = []

    class Shown(Progress):
        def __init__(self, stream: TextIO | None) -> None:
            shown.append(stream)
            super().__init__(stream)

    class Keyboard(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("listener_policy.__main__.Progress", Shown)
    monkeypatch.setattr(sys, "stdin", Keyboard(io.BytesIO(BEFORE.encode())))
    assert main(["diff", before, "-" if is_typed else before]) == 0
    assert shown == [None if is_typed else sys.stderr]
