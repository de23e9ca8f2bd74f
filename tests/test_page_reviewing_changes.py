"""The page on reviewing changes: its commands print what it shows, its code does what it says."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from listener_policy import Dialect, Policy
from listener_policy.__main__ import main
from listener_policy.analysis import diff

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "reviewing-changes.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
COMMAND: Final = "python -m listener_policy "


def blocks(language: str) -> list[str]:
    """The fenced code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def sides() -> tuple[str, str]:
    """The policy before the change and the one after it, from the change as it is shown."""
    (change,) = blocks("diff")
    lines = change.splitlines(keepends=True)
    assert {line[0] for line in lines if line.strip()} == {" ", "-", "+"}
    before, after = (
        "".join(line[1:] or "\n" for line in lines if line[0] != other) for other in "+-"
    )
    return before, after


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page speaks of."""
    before, after = sides()
    (tmp_path / "before.toml").write_text(before, encoding="utf-8")
    (tmp_path / "after.toml").write_text(after, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHOWN: Final = re.findall(
    rf"^```sh\n{re.escape(COMMAND)}(.*?)\n```(?:\n\n```text\n(.*?)^```)?",
    TEXT,
    re.DOTALL | re.MULTILINE,
)


def test_all_that_is_shown_is_found() -> None:
    assert sum(bool(output) for _, output in SHOWN) == len(blocks("text")) == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("command", "output"), [one for one in SHOWN if "|" not in one[0]])
def test_commands_print_what_is_shown(
    command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *arguments = shlex.split(command)
    assert main([name, *arguments]) == (0 if name == "explain" else 1)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == output or not output


def test_what_is_explained_is_an_example_of_the_change() -> None:
    before, after = map(Policy.from_toml, sides())
    _, (explained, _), *_ = SHOWN
    options = shlex.split(explained)
    asked = [option.partition("=")[2] for option in options if option.startswith("--")]
    witnesses = [change.witness for change in diff(before, after).changes]
    assert asked in [list(witness[:3]) for witness in witnesses]
    assert before.decide(*asked) != after.decide(*asked)


def test_every_change_that_nobody_wrote_is_named() -> None:
    before, after = map(Policy.from_toml, sides())
    changes = diff(before, after).changes
    assert len(changes) == 4
    for name in re.findall(r"^- \*\*.*?`([a-z]+\.example(?:\.com)?)`", TEXT, re.MULTILINE):
        assert any(name in change.domains for change in changes)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("dialect", Dialect)
def test_both_sides_can_be_loaded(side: int, dialect: Dialect) -> None:
    assert Policy.from_toml(sides()[side], dialect=dialect).config.entries


def test_the_commands_for_pull_requests(folder: Path) -> None:
    """The shell runs them as they are, with a `git` that knows one thing, and this Python."""
    before, after = sides()
    programs = folder / "bin"
    programs.mkdir()
    for name, script in (
        ("git", 'test "$*" = "show origin/main:policy.toml" && cat main.toml'),
        ("python", f'exec {shlex.quote(sys.executable)} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    (folder / "main.toml").write_text(before, encoding="utf-8")
    for_reviewers, gate = (code for code in blocks("sh") if "policy.toml" in code)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parent),
    }

    def run(script: str, policy: str) -> int:
        (folder / "policy.toml").write_text(policy, encoding="utf-8")
        ended = subprocess.run(
            ["sh", "-ec", script], cwd=folder, env=environment, check=False, capture_output=True
        )
        return ended.returncode

    assert run(for_reviewers, after) == 0
    shown = (folder / "changes.txt").read_text(encoding="utf-8")
    assert shown == f"{diff(Policy.from_toml(before), Policy.from_toml(after))}\n"
    assert run(for_reviewers, before) == 0
    assert run(for_reviewers, '["a b"]') != 0
    assert run(gate, after) != 0
    assert run(gate, before) == 0
    assert run(gate, before.replace("true", "false")) == 0
    assert run(gate, '["a b"]') != 0


def test_code_does_what_is_shown() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert results.attempted > 8
    assert results.failed == 0


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^):]+)\)", TEXT)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
