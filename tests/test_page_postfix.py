"""The page on Postfix: its command does what it shows, and its `main.cf` is what is tested."""

import re
import shlex
import signal
from pathlib import Path
from typing import Final

import pytest
from end_to_end.postfix import EXAMPLE, Daemon, restrictions_on_the_page

from listener_policy.adapters.postfix import LONGEST_REQUEST, Action

DOCS: Final = Path(__file__).parent.parent / "docs"
TEXT: Final = (DOCS / "embed-in-postfix.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return str(code)


def test_the_command_starts_the_daemon_and_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, example, policy, *options = shlex.split(block("sh"))
    assert (python, DOCS.parent / example) == (".venv/bin/python", EXAMPLE)
    place = options.index("--listen")
    assert options[place:] == ["--listen", "127.0.0.1:9998"]
    monkeypatch.chdir(DOCS.parent)
    daemon = Daemon(tmp_path, 0, *options[:place])
    daemon.policy.write_bytes(Path(policy).read_bytes())
    with daemon:
        log = re.sub(r"(?<=127\.0\.0\.1:)\d+", "9998", daemon.log)
        assert daemon.stop(signal.SIGINT) == 0
    assert log == block("text")


def test_the_restrictions_end_with_what_refuses_the_rest() -> None:
    lines = restrictions_on_the_page()
    assert len(lines) == 3
    for line in lines:
        assert line.endswith(", reject_unauth_destination")
        assert line.count("check_policy_service") == line.count("127.0.0.1:9998") == 1


def test_the_table_of_answers_has_every_action() -> None:
    table = TEXT[TEXT.index("| the decision |") : TEXT.index("So `reject_unauth")]
    actions = re.findall(r"^\| [^|]*\| `([^`]*)` \|", table, re.MULTILINE)
    assert set(actions) == {action.value for action in Action}
    assert f"{LONGEST_REQUEST:,} octets" in TEXT


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^):]+)\)", TEXT)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
