"""The page on replaying logs: its commands do what it shows."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from replay_tally import WHO
from replaying import DOCS, need_replay

PAGE: Final = DOCS / "replay-logs.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
PYTHON: Final = ".venv/bin/python "


def blocks(language: str) -> list[str]:
    """The fenced code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[str]:
    """The commands that start a program of the page."""
    lines = [line for code in blocks("sh") for line in code.splitlines()]
    return [line for line in lines if line.startswith(PYTHON) and program in line.split()[1]]


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, with this Python."""
    arguments = [sys.executable, *shlex.split(line)[1:]]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone, with the files that the page speaks of."""
    made = tmp_path_factory.mktemp("clone")
    (made / "docs").symlink_to(DOCS)
    (change,) = blocks("toml")
    (made / "change.toml").write_text(change, encoding="utf-8")
    generate, _million = commands("generate_log.py")
    assert run(generate, made).returncode == 0
    return made


def test_the_commands_print_what_is_shown(folder: Path) -> None:
    shown = zip(commands("replay.py"), blocks("text"), [0, 1], strict=True)
    for line, text, status in shown:
        ended = run(line, folder)
        assert (ended.stderr, ended.stdout, ended.returncode) == ("", text, status)


def test_the_row_that_is_explained_is_one_that_is_shown(folder: Path) -> None:
    (line,) = [code.strip() for code in blocks("sh") if "listener_policy explain" in code]
    assert line[line.index("--listener=") :] in blocks("text")[1]
    ended = run(line, folder)
    assert ended.returncode == 0
    assert ended.stdout.startswith("250 2.1.5 OK  LOG_ARF\n")


def test_the_numbers_in_the_text_are_those_of_the_table(folder: Path) -> None:
    ended = run(f"{commands('replay.py')[1]} --format json", folder)
    report = json.loads(ended.stdout)
    said = re.search(r"^(\d+) recipients are what .* (\d+) are not", TEXT, re.MULTILINE)
    assert said is not None
    meant, not_meant = map(int, said.groups())
    changed = [outcome for outcome in report["outcomes"] if outcome["changed"]]
    widened = [one["rows"] for one in changed if one["after"]["relay"]]
    assert (sum(widened), report["changed"] - sum(widened)) == (meant, not_meant)
    (share,) = re.findall(r"one recipient in (\d+)", TEXT)
    assert round(report["rows"] / not_meant) == int(share)


@pytest.mark.replay
def test_the_command_on_dask_prints_the_same(folder: Path) -> None:
    need_replay()
    (line,) = commands("replay_dask.py")
    ended = run(line, folder)
    assert (ended.stderr, ended.stdout, ended.returncode) == ("", blocks("text")[1], 1)


def test_all_that_is_told_is_there() -> None:
    text = blocks("text")[1]
    assert all(re.search(rf"^ +{name} ", text, re.MULTILINE) for name in WHO)
    links = re.findall(r"\]\(([^):]+)\)", TEXT)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
