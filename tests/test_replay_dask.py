"""Replaying on Dask: the same table as in one process, and nothing but the loopback interface."""

import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from replay_command import CHANGED, INTERRUPTED, SAME, UNUSABLE
from replaying import (
    CHANGE,
    POLICY,
    POLICY_OPTIONS,
    command,
    example_policy,
    generated,
    json_lines,
    need_replay,
)
from test_replay_commands import on_terminal

pytestmark = pytest.mark.replay


@pytest.fixture(autouse=True)
def _needed() -> None:
    need_replay()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    change = tmp_path / "change.toml"
    change.write_text(CHANGE, encoding="utf-8")
    return [*POLICY_OPTIONS, "--after", str(POLICY), str(change), "--examples", "3"]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(program, *arguments), capture_output=True, text=True, timeout=300, check=False
    )


def same_tables(logs: list[Path], options: list[str], *on_dask: list[str]) -> str:
    """What is printed of logs: the same in one process and on Dask, however it is told."""
    expected = run("replay.py", *logs, *options)
    assert (expected.returncode, expected.stderr) == (CHANGED, "")
    for told in on_dask:
        ended = run("replay_dask.py", *logs, *options, *told)
        assert (ended.stderr, ended.stdout) == ("", expected.stdout)
        assert ended.returncode == CHANGED
    return expected.stdout


def test_one_and_two_workers_and_all_formats_give_the_same_table(
    tmp_path: Path, options: list[str]
) -> None:
    rows = 140_000  # more than a row group, more than a part of JSON Lines
    logs = [generated(tmp_path / f"log{end}", rows) for end in (".parquet", ".jsonl", ".jsonl.gz")]
    tables = [same_tables([log], options, ["--workers", "2"]) for log in logs[:2]]
    tables.append(same_tables([logs[2]], options))
    places = re.compile(r"\S+: (?:row|line) ")
    assert len({places.sub("", table) for table in tables}) == 1
    text = same_tables(logs, options, ["--workers", "1"])
    assert re.match(rf"{3 * rows // 1000 - 1},\d\d\d recipients, ", text)


def test_a_million_rows(tmp_path: Path, options: list[str]) -> None:
    log = generated(tmp_path / "log.parquet", 1_000_000)
    text = same_tables([log], options, ["--workers", "2"])
    recipients, unusable = re.findall(r"^([\d,]+) (?:recipients|more)", text, re.MULTILINE)
    assert sum(int(count.replace(",", "")) for count in (recipients, unusable)) == 1_000_000


@contextmanager
def scheduler(folder: Path) -> Generator[str]:
    """A scheduler with one worker, started elsewhere and knowing nothing of the example."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    log = folder / "scheduler.log"
    processes: list[subprocess.Popen[bytes]] = []

    def start(arguments: list[str]) -> None:
        with log.open("ab") as file:
            processes.append(
                subprocess.Popen(arguments, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
            )

    def said(pattern: str) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(pattern, log.read_text(encoding="utf-8"))
            if found is not None:
                return found[0]
            time.sleep(0.1)
        raise AssertionError(log.read_text(encoding="utf-8"))

    quiet = ["--host", "127.0.0.1", "--no-dashboard"]
    start([*dask, *quiet, "--port", "0", "--dashboard-address", "127.0.0.1:0"])
    try:
        address = said(r"tcp://127\.0\.0\.1:\d+")
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *quiet]
        start([*worker, "--nthreads", "1", "--local-directory", str(folder)])
        said(r"Starting established connection|Registered to: +tcp")
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


def test_a_scheduler_that_is_there_gives_the_same_table(tmp_path: Path, options: list[str]) -> None:
    log = generated(tmp_path / "log.jsonl", 5000)
    with scheduler(tmp_path) as address:
        same_tables([log], options, ["--scheduler", address], ["--scheduler", address])


def test_trouble_on_a_worker_is_told_and_nothing_is_shown(tmp_path: Path) -> None:
    log = generated(tmp_path / "log.jsonl.gz", 5000)
    content = bytearray(log.read_bytes())
    log.write_bytes(content[: len(content) // 2])
    ended = run("replay_dask.py", log, *POLICY_OPTIONS, "--workers", "1")
    assert (ended.returncode, ended.stdout) == (UNUSABLE, "")
    assert ended.stderr.startswith(f"{log}: cannot be read: Compressed file ended")
    assert ended.stderr.count("\n") == 1


def test_a_worker_that_reads_the_policy_otherwise_is_found_out() -> None:
    replay_dask = import_module("replay_dask")
    part: Any = None  # it is not looked at
    policies = replay_dask.Policies(example_policy(), None)
    with pytest.raises(replay_dask.PolicyDiffersError, match="compare the versions"):
        replay_dask.count_on_worker(part, policies, ["0" * 64], None)


@pytest.mark.parametrize(
    "arguments",
    [["--workers", "0"], ["--workers", "x"], ["--workers", "1", "--scheduler", "tcp://::1:1"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module("replay_dask").main(["log.jsonl", *POLICY_OPTIONS, *arguments])
    assert ended.value.code == UNUSABLE
    assert "usage" in capsys.readouterr().err


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    log = json_lines(tmp_path / "log.jsonl", [])
    ended = run("replay_dask.py", log, *POLICY_OPTIONS, "--scheduler", "nothing://127.0.0.1:1")
    assert (ended.returncode, ended.stdout) == (UNUSABLE, "")
    assert ended.stderr.startswith("--scheduler nothing://127.0.0.1:1: ")
    assert "Traceback" not in ended.stderr


def test_only_the_loopback_interface_is_used_and_ctrl_c_ends_all(tmp_path: Path) -> None:
    psutil: Any = import_module("psutil")  # distributed needs it
    # a minute's work: it is not over before Ctrl-C is there, however busy the machine is
    logs = [generated(tmp_path / "log.jsonl", 400_000)] * 10
    addresses: set[str] = set()
    started: list[Any] = []

    def looked(written: bytes) -> bool:
        if b"rows/s" not in written:
            return False
        started.extend(psutil.Process().children(recursive=True))
        for process in started:
            for connection in process.net_connections("inet"):
                addresses.update(end.ip for end in (connection.laddr, connection.raddr) if end)
        return True

    status, shown = on_terminal([*command("replay_dask.py", *logs, *POLICY_OPTIONS)], looked)
    assert status == INTERRUPTED
    assert addresses == {"127.0.0.1"}
    assert re.search(r"interrupted after [\d,]+ rows, \d+% of the logs: nothing is shown", shown)
    assert "recipients" not in shown
    assert "Traceback" not in shown
    assert len(started) > 2
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []


def test_at_the_end_nobody_stays(tmp_path: Path) -> None:
    psutil: Any = import_module("psutil")
    log = generated(tmp_path / "log.jsonl", 400_000)
    started: list[Any] = []

    def look(written: bytes) -> bool:
        if b"rows/s" in written and not started:
            started.extend(psutil.Process().children(recursive=True))
        return False

    status, shown = on_terminal([*command("replay_dask.py", log, *POLICY_OPTIONS)], look)
    assert status == SAME
    assert "Traceback" not in shown
    assert len(started) > 2
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []


def test_a_worker_that_is_lost_changes_nothing(tmp_path: Path, options: list[str]) -> None:
    psutil: Any = import_module("psutil")
    log = generated(tmp_path / "log.jsonl", 400_000)
    killed: list[int] = []

    def lose(written: bytes) -> bool:
        if b"rows/s" in written and not killed:
            children = psutil.Process().children(recursive=True)
            workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            workers[-1].kill()
            killed.append(workers[-1].pid)
        return False

    _, shown = on_terminal([*command("replay_dask.py", log, *options)], lose)
    assert killed
    expected = run("replay.py", log, *options).stdout
    assert shown.replace("\r\n", "\n").endswith(f"\r{expected}")
