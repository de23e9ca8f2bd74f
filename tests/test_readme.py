"""The README's promises, kept: its code runs, and its commands are those that CI runs."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from listener_policy.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_code_does_what_the_page_shows() -> None:
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False, encoding="utf-8")
    assert results.attempted > 10
    assert results.failed == 0


def test_main_job_prints_what_the_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = re.search(r"-m listener_policy (explain .*)$", README, re.MULTILINE)
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert command is not None
    assert shown is not None
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command[1])) == 0
    assert capsys.readouterr().out == shown[1]


def test_what_another_dialect_would_change_can_be_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = re.search(r"-m listener_policy (diff docs.*)$", README, re.MULTILINE)
    assert command is not None
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command[1])) == 1
    output = capsys.readouterr()
    assert (output.err, output.out.count("documented -> kumomta") > 1) == ("", True)


def test_the_four_commands_are_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    named = re.findall(r"^\| `(\w+) .*?\.toml", README, re.MULTILINE)
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert named == listed


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^):]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
