"""The command line and the world: files, usage, standard streams, signals."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from command_line import (
    AFTER,
    BEFORE,
    COMMAND,
    COMMANDS,
    EXPECTATIONS,
    InterruptedStream,
    closed_pipe,
    ctrl_c_is,
    environment,
    opened_for_writing,
    run,
    written,
)

import listener_policy
from listener_policy.__main__ import main


@pytest.fixture
def before(tmp_path: Path) -> str:
    return written(tmp_path / "before.toml", BEFORE)


@pytest.fixture
def after(tmp_path: Path) -> str:
    return written(tmp_path / "after.toml", AFTER)


def standard_input(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


# files


def test_what_cannot_be_read_is_said_of_every_file(
    tmp_path: Path, before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.toml")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('["a b"]\n', encoding="utf-8")
    arguments = ["--before", before, missing, "--after", str(tmp_path), "a\0b", str(wrong)]
    assert main(["diff", *arguments, "--listeners", missing]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.partition(" expected")[0] for line in output.err.splitlines()] == [
        f"{missing}: cannot be read: No such file or directory",
        f"{tmp_path}: cannot be read: Is a directory",
        "a\\u0000b: cannot be read: embedded null byte",
        f'{wrong}: "a b":',
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "-", "-"],
        ["diff", "-", "--after-listeners", "-"],
        ["diff", "--before", "-", "x.toml", "--after", "-"],
        ["explain", "-", "--listeners", "-", "--listener", "mx", "--peer", "::1", "--domain", ""],
        ["check", "-", "--routing-domains", "-"],
        ["test", "-", "--expectations", "-"],
    ],
)
def test_standard_input_is_named_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", "-: can be read once, and is named 2 times\n")


def test_standard_input_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["diff", "-", "--after-dialect", "kumomta"]) == 2
    assert capsys.readouterr() == ("", "-: cannot be read: it is closed\n")


@pytest.mark.parametrize("text", [BEFORE, '\ufeff {"example.com": {"relay_to": true}}'])
def test_standard_input_may_begin_with_a_byte_order_mark(
    text: str, before: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standard_input(monkeypatch, text.encode())
    assert main(["diff", before, "-"]) == 0
    assert capsys.readouterr() == ("no change: every question is answered alike\n", "")


def test_a_file_can_be_a_pipe(before: str) -> None:
    """As in `diff <(git show main:policy.toml) policy.toml`."""
    read, write = os.pipe()
    os.write(write, AFTER.encode())
    os.close(write)
    ended = run("diff", f"/dev/fd/{read}", before, pass_fds=[read])
    os.close(read)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "relay_from        loses 192.0.2.0/24\n" in ended.stdout


# usage


@pytest.mark.parametrize("arguments", [["--help"], *([one, "--help"] for one in COMMANDS)])
def test_help_fits_a_terminal(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    output = capsys.readouterr()
    assert exited.value.code == 0
    assert output.err == ""
    assert output.out.startswith("usage: python -m listener_policy ")
    assert max(map(len, output.out.splitlines())) <= 80
    assert "exit status:\n  0 " in output.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"listener_policy {listener_policy.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diff", "a", "b", "--dialect", "mine"], "argument --dialect: invalid choice: 'mine' "),
        (["diff", "a", "b", "--dial", "kumomta"], "unrecognized arguments: --dial kumomta"),
        (["diff", "a", "b", "--\x1b[2J\u202e"], "unrecognized arguments: --\\u001b[2J\\u202e"),
    ],
)
def test_wrong_usage_is_said_and_escaped(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("usage: ")
    assert f": error: {said}" in output.err


# names from outside

UGLY: Final = "\x1b[2J\r\u202e\u0085"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("is_usable", [False, True])
def test_names_from_outside_are_escaped(
    command: str, is_usable: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"relay_from_authz": [UGLY, ""], "log_oob": True, **({} if is_usable else {UGLY: UGLY})}
    path = tmp_path / f"{UGLY}.json"
    path.write_text(json.dumps({"listener": {UGLY: {"*": entry}}}), encoding="utf-8")
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("", encoding="utf-8")
    expected = tmp_path / "expectations.toml"
    failing = EXPECTATIONS.replace("mx", json.dumps(UGLY)[1:-1]).replace(
        "and", json.dumps(UGLY)[1:-1]
    )
    expected.write_text(failing, encoding="utf-8")
    arguments = {
        "check": [str(path)],
        "explain": [
            str(path),
            "--domain",
            UGLY,
            "--listener",
            UGLY,
            "--peer",
            "::1",
            "--auth",
            UGLY,
        ],
        "diff": [str(nothing), str(path)],
        "test": [str(path), "--expectations", str(expected)],
    }[command]
    status = main([command, *arguments])
    assert status == (2 if not is_usable else 0 if command == "explain" else 1)
    output = capsys.readouterr()
    said = output.out if is_usable else output.err
    assert "\\u001b[2J" in said
    assert all(line.isprintable() for line in said.split("\n"))


# streams that take nothing


def test_whoever_stops_reading_has_seen_enough(before: str, after: str) -> None:
    stdout = closed_pipe()
    ended = run("diff", before, after, stdout=stdout)
    os.close(stdout)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_full_disk_is_an_error(before: str, after: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = run("diff", before, after, stdout=full.fileno())
    assert ended.returncode == 2
    assert ended.stderr == "standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [["diff", "missing.toml", "-"], ["diff", "--nonsense"]])
def test_errors_that_nobody_reads(arguments: list[str]) -> None:
    stderr = closed_pipe()
    ended = run(*arguments, stderr=stderr, stdin=subprocess.DEVNULL)
    os.close(stderr)
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize(
    ("make", "status", "said"),
    [
        (closed_pipe, 1, ""),
        (
            lambda: os.open("/dev/full", os.O_WRONLY),
            2,
            "standard output: cannot be written: No space left on device\n",
        ),
    ],
)
def test_a_stream_that_failed_takes_what_is_left(
    before: str,
    after: str,
    make: Callable[[], int],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with os.fdopen(make(), "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["diff", before, after]) == status
        stream.write("Python gets rid of what is left when it exits")
    assert capsys.readouterr().err == said


def test_standard_output_that_is_closed(
    before: str, after: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        assert main(["diff", before, after]) == 1
    assert capsys.readouterr().err == ""


# Ctrl-C


def test_ctrl_c_is_quiet(tmp_path: Path, before: str) -> None:
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    # a shell starts what runs in the background with the signal ignored, and children inherit that
    with ctrl_c_is(signal.default_int_handler):
        process = subprocess.Popen(
            [*COMMAND, "diff", before, str(fifo)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    said: tuple[bytes, bytes] | None = None
    with opened_for_writing(fifo, process):
        while said is None:
            # one that comes after Python has looked and before it reads is noticed with the next
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=2)
    assert said == (b"", b"")
    assert process.returncode == 130


def test_ctrl_c_while_writing(
    before: str, after: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", InterruptedStream())
        assert main(["diff", before, after]) == 130
    assert capsys.readouterr().err == ""
