"""The commands that replay: what they print, with which status they end, what they never say."""

import argparse
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import generate_log
import pytest
import replay
from command_line import InterruptedStream, closed_pipe, ctrl_c_is
from replay_command import CHANGED, INTERRUPTED, SAME, UNUSABLE, Progress
from replay_log import BATCH, Batch, Part, parts_of
from replay_tally import Policies, Wanted
from replaying import (
    CHANGE,
    POLICY,
    POLICY_OPTIONS,
    command,
    example_policy,
    generated,
    json_lines,
)

from listener_policy.__main__ import main as listener_policy

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(generated(tmp_path / "log.jsonl", 3000))


@pytest.fixture
def change(tmp_path: Path) -> str:
    path = tmp_path / "change.toml"
    path.write_text(CHANGE, encoding="utf-8")
    return str(path)


def told(capsys: Captured, *arguments: str) -> tuple[int, dict[str, Any]]:
    status = replay.main([*arguments, *POLICY_OPTIONS, "--format", "json"])
    said = capsys.readouterr()
    assert said.err == ""
    return status, json.loads(said.out)


def test_status_and_counts_without_another_policy(log: str, capsys: Captured) -> None:
    status, report = told(capsys, log)
    assert status == SAME
    assert report["changed"] is None
    assert report["rows"] + report["unusable"] == 3000
    assert sum(outcome["rows"] for outcome in report["outcomes"]) == report["rows"]
    assert all(outcome["after"] is None for outcome in report["outcomes"])


def test_status_and_counts_with_another_policy(log: str, change: str, capsys: Captured) -> None:
    status, report = told(capsys, log, "--after", str(POLICY), change)
    assert status == CHANGED
    changed = [outcome for outcome in report["outcomes"] if outcome["changed"]]
    assert report["changed"] == sum(outcome["rows"] for outcome in changed) > 0
    for outcome in changed:
        assert sum(outcome["listeners"]["most"].values()) == outcome["rows"]
        assert len(outcome["examples"]) == 1
    status, report = told(capsys, log, "--after", str(POLICY))
    assert (status, report["changed"]) == (SAME, 0)
    status, report = told(capsys, log, "--after-dialect", "kumomta")
    assert (status, report["changed"] > 0) == (CHANGED, True)
    status, report = told(capsys, log, "--after-relay-host", "203.0.113.0/24")
    assert status == SAME  # all listeners state their own


def test_an_example_can_be_pasted_into_explain(log: str, change: str, capsys: Captured) -> None:
    assert replay.main([log, *POLICY_OPTIONS, "--after", str(POLICY), change]) == CHANGED
    text = capsys.readouterr().out
    rows = Path(log).read_text(encoding="utf-8").splitlines()
    examples = re.findall(r"explain +(--listener.*)\n +# .*: line (\d+)$", text, re.MULTILINE)
    assert examples
    for arguments, line in examples:
        row = json.loads(rows[int(line) - 1])
        assert f"--recipient={row['recipient']}" in arguments
        asked = [f"--{name}={row[name]}" for name in generate_log.COLUMNS if row[name] is not None]
        assert listener_policy(["explain", str(POLICY), *POLICY_OPTIONS[2:], *asked]) == 0


def test_rows_that_cannot_be_asked_about_are_counted_and_shown(
    tmp_path: Path, capsys: Captured
) -> None:
    row = ("192.0.2.25:25", "203.0.113.9", "", "a@example.com", None)
    bad = ("mx", "\x1b[2Junknown\u202e", "", "a@example.com", None)
    first = json_lines(tmp_path / "1.jsonl", [row, b"{", row, bad])
    second = json_lines(tmp_path / "2.jsonl", [row, bad, b""])
    assert replay.main([str(first), str(second), *POLICY_OPTIONS, "--examples", "9"]) == SAME
    text = capsys.readouterr().out
    assert text.startswith("3 recipients, 0 authenticated\n")
    assert "\n3 more could not be asked about\n" in text
    assert f"{first}: line 2: not JSON\n" in text
    assert f"{first}: line 4: peer: expected " in text
    assert f"{second}: line 2: peer: expected " in text
    assert text.replace("\n", "").isprintable()


def test_no_row_and_no_name_is_shown_where_that_is_not_wanted(log: str, capsys: Captured) -> None:
    with Path(log).open("ab") as file:
        file.write(b"{\n")
    options = [log, *POLICY_OPTIONS, "--after-dialect", "kumomta", "--no-examples", "--top", "0"]
    assert replay.main(options) == CHANGED
    text = capsys.readouterr().out
    assert "more could not be asked about\n" in text
    assert not re.search(r"@|example|203\.|192\.|unknown|\.jsonl", text)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["no.jsonl", "--policy", "{policy}"], "no.jsonl: cannot be read: No such file"),
        (["{log}", "--policy", "no.toml"], "no.toml: cannot be read: No such file"),
        (["{log}", "--policy", "{log}"], "log.jsonl: not TOML: "),
        (["{log}", "--policy", "{wrong}"], '"a b": expected'),
        (["{log}", "--policy", "{wrong}"], '"c".relay_too: expected an option'),
        (["{log}", "--policy", "{policy}", "--after", "{wrong}"], '"a b": expected'),
        (["{log}", "--policy", "{policy}", "--listeners", "{policy}"], "listener_domains.toml: "),
        (["{log}", "--policy", "{policy}", "--relay-host", "10.0.0.1/8"], "did you mean `10.0.0."),
        (["{log}", "--policy", "{policy}", "--after-relay-host", "x"], "--relay-host"),
        (["{empty}", "--policy", "{policy}"], "none of 2 rows can be asked about: not JSON"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_shown(
    tmp_path: Path, log: str, capsys: Captured, arguments: list[str], why: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('["a b"]\n["c"]\nrelay_too = 1\n', encoding="utf-8")
    empty = json_lines(tmp_path / "empty.jsonl", [b"{", b"["])
    names = {"policy": POLICY, "log": log, "wrong": wrong, "empty": empty}
    assert replay.main([argument.format(**names) for argument in arguments]) == UNUSABLE
    said = capsys.readouterr()
    assert said.out == ""
    assert why in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["log.jsonl"], ["log.jsonl", "--top", "-1"], ["log.jsonl", "--examples", "\u0663"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.main([*arguments, *(["--policy", str(POLICY)] if len(arguments) > 1 else [])])
    assert ended.value.code == UNUSABLE
    assert "usage" in capsys.readouterr().err


def test_a_policy_may_be_json(tmp_path: Path, log: str, capsys: Captured) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"example.com": {"relay_to": true}}', encoding="utf-8")
    assert replay.main([log, "--policy", str(path)]) == SAME
    assert "relayed RELAY_TO" in capsys.readouterr().out


def test_a_reader_who_goes_away_is_no_trouble(log: str) -> None:
    ended = subprocess.run(
        command("replay.py", log, *POLICY_OPTIONS),
        stdout=closed_pipe(),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (SAME, b"")


ON_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's job in the background ignores it
os.execv(sys.argv[1], sys.argv[1:])
"""


def on_terminal(
    arguments: list[str], press: Callable[[bytes], bool] = lambda _: False
) -> tuple[int, str]:
    """The status of a command on a terminal, and what is there; `press` says when Ctrl-C is."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    written, pressed, deadline = b"", False, time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:  # Linux's way of saying that nobody has the other end any more
                break
            if not more:
                break
            written += more
        if not pressed and press(written):
            os.write(ours, b"\x03")
            pressed = True
    os.close(ours)
    return process.wait(60), written.decode()


def test_progress_is_shown_on_a_terminal_and_is_gone_at_the_end(tmp_path: Path) -> None:
    log = generated(tmp_path / "log.jsonl", 100_000)
    status, shown = on_terminal([*command("replay.py", log, *POLICY_OPTIONS)])
    assert status == SAME
    line = r"[\d,]+ rows, \d+%, [\d,]+ rows/s, \d+:\d\d left"
    assert len(re.findall(line, shown)) > 1
    before, after = re.split(r"\r +\r(?=\d[\d,]* recipients)", shown)
    assert re.search(line, before)
    assert not re.search(line, after)


def test_ctrl_c_says_how_far_it_came_and_shows_nothing_else(tmp_path: Path) -> None:
    # half a minute's work: it is not over before Ctrl-C is there, however busy the machine is
    logs = [generated(tmp_path / "log.jsonl", 100_000)] * 20
    status, shown = on_terminal(
        [*command("replay.py", *logs, *POLICY_OPTIONS)], lambda written: b"rows/s" in written
    )
    assert status == INTERRUPTED
    said = re.search(r"interrupted after ([\d,]+) rows, \d+% of the logs: nothing is shown", shown)
    assert said is not None
    assert 0 < int(said[1].replace(",", "")) < 2_000_000
    assert "recipients" not in shown
    assert "Traceback" not in shown


class Interrupted(Part):
    """A part in whose second batch Ctrl-C is pressed, as often as its number says."""

    def batches(self) -> Iterator[Batch]:
        for number, batch in enumerate(super().batches()):
            if number == 1:
                for _ in range(self.number):
                    signal.raise_signal(signal.SIGINT)
            yield batch


def counted_until_ctrl_c(path: Path, *, pressed: int) -> int:
    """The rows that are counted if Ctrl-C is pressed within the second batch, that many times."""
    (part,) = parts_of([str(path)])
    progress = Progress((), None)
    policies, wanted = Policies(example_policy(), None), Wanted(names=False, examples=0)
    place = (part.name, part.path, part.format, part.start, part.stop, part.octets)
    parts = [Interrupted(pressed, *place)]
    with ctrl_c_is(signal.default_int_handler):
        with suppress(KeyboardInterrupt):
            replay.count(argparse.Namespace(), parts, policies, wanted, progress)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return progress.rows


def test_ctrl_c_waits_for_the_end_of_a_batch_and_a_second_one_does_not(tmp_path: Path) -> None:
    log = generated(tmp_path / "log.jsonl", 3 * BATCH)
    rows = [counted_until_ctrl_c(log, pressed=pressed) for pressed in range(3)]
    assert rows == [3 * BATCH, 2 * BATCH, BATCH]


def test_ctrl_c_that_is_ignored_stays_so(tmp_path: Path) -> None:
    log = generated(tmp_path / "log.jsonl", 3 * BATCH)
    with ctrl_c_is(signal.SIG_IGN):
        assert replay.main([str(log), *POLICY_OPTIONS]) == SAME
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_signals_are_left_alone(log: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(replay.main, [log, *POLICY_OPTIONS]).result() == SAME


def test_ctrl_c_while_the_report_is_written_is_quiet(
    log: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", InterruptedStream())
        assert replay.main([log, *POLICY_OPTIONS]) == INTERRUPTED
    assert capsys.readouterr().err == ""


def test_progress_without_anything_to_do_is_whole() -> None:
    progress = Progress((), None)
    assert progress.fraction == 1
    assert str(progress).startswith("0 rows, 100%")


def test_generated_logs_are_the_same_for_the_same_seed(tmp_path: Path, capsys: Captured) -> None:
    for name in ("a.jsonl", "b.jsonl", "a.jsonl.gz", "b.jsonl.gz"):
        options = [str(tmp_path / name), "--rows", "500", "--seed", "3"]
        assert generate_log.main(options) == 0
    for ending in (".jsonl", ".jsonl.gz"):
        first, second = (tmp_path / f"{name}{ending}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    other = generated(tmp_path / "c.jsonl", 500, seed=4)
    assert other.read_bytes() != (tmp_path / "a.jsonl").read_bytes()
    assert generate_log.main([str(tmp_path / "log.csv")]) == UNUSABLE
    assert "log.csv: expected a name that ends in" in capsys.readouterr().err
