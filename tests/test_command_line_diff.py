"""`python -m listener_policy diff`: what is compared, what is said, and the exit status."""

import json
import shlex
from pathlib import Path
from typing import Any, Final

import pytest

from listener_policy import Dialect, EsmtpListener, Policy
from listener_policy.__main__ import main
from listener_policy.analysis import diff

BASE: Final = """
["*.example.com"]
relay_to = true
["bounces.example.com"]
log_oob = true
"""
SITE: Final = """
["send.example.com"]
relay_from = ["192.0.2.7"]
"""
LISTENERS: Final = """
[[esmtp_listener]]
listen = "mx"
relay_hosts = ["10.0.0.0/8"]
"""
FILES: Final = {
    "base.toml": BASE,
    "site.toml": SITE,
    "same.json": json.dumps(
        {
            "bounces.example.com": {"log_oob": "LogThenDrop", "log_arf": False},
            "*.example.com": {"relay_to": True},
            "*": {},
        }
    ),
    "listeners.toml": LISTENERS,
    "wrong.toml": '["a.com"]\nrelay_to = 1\n',
    "wrong_too.toml": '["b.com"]\nrelay_to = 1\n',
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")


def compared(capsys: pytest.CaptureFixture[str], arguments: str) -> tuple[int, str]:
    """The exit status and what is said, nothing of it on standard error."""
    status = main(["diff", *shlex.split(arguments)])
    output = capsys.readouterr()
    assert output.err == ""
    return status, output.out


def test_no_difference_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ("base.toml same.json", "base.toml base.toml"):
        said = (0, "no change: every question is answered alike\n")
        assert compared(capsys, arguments) == said


def test_differences_are_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    changes = diff(Policy.from_toml(BASE), Policy.from_toml(BASE, SITE))
    arguments = "--before base.toml --after base.toml site.toml"
    assert compared(capsys, arguments) == (1, f"{changes}\n")
    assert 'is governed by "send.example.com" of listener *\n' in f"{changes}"


@pytest.mark.parametrize(
    "arguments",
    [
        "--before base.toml --after base.toml --after site.toml",
        "--after base.toml site.toml --before base.toml",
        "--relay-host 127.0.0.1 ::1 --before base.toml --after base.toml site.toml",
    ],
)
def test_several_files_of_one_side(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    expected = compared(capsys, "--before same.json --after base.toml site.toml")
    assert compared(capsys, arguments) == expected


def policy(**arguments: Any) -> Policy:
    return Policy.from_toml(BASE, **arguments)


LISTED: Final = EsmtpListener.from_toml(LISTENERS)


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("--after-dialect kumomta", policy(), policy(dialect=Dialect.KUMOMTA)),
        ("--dialect kumomta --after-dialect documented", policy(dialect=Dialect.KUMOMTA), policy()),
        ("--before-dialect kumomta", policy(dialect=Dialect.KUMOMTA), policy()),
        ("--after-listeners listeners.toml", policy(), policy(listeners=LISTED)),
        ("--before-listeners listeners.toml", policy(listeners=LISTED), policy()),
        ("--after-relay-host 192.0.2.0/24", policy(), policy(relay_hosts=["192.0.2.0/24"])),
        ("--after-relay-host", policy(), policy(relay_hosts=[])),
        (
            "--relay-host ::1 --before-relay-host 192.0.2.1 --before-relay-host 192.0.2.2",
            policy(relay_hosts=["192.0.2.1", "192.0.2.2"]),
            policy(relay_hosts=["::1"]),
        ),
        (
            "--listeners listeners.toml --relay-host --after-dialect kumomta",
            policy(listeners=LISTED, relay_hosts=[]),
            policy(listeners=LISTED, relay_hosts=[], dialect=Dialect.KUMOMTA),
        ),
    ],
)
def test_one_side_may_have_its_own_options(
    capsys: pytest.CaptureFixture[str], options: str, before: Policy, after: Policy
) -> None:
    changes = diff(before, after)
    assert changes
    assert compared(capsys, f"base.toml {options}") == (1, f"{changes}\n")
    assert compared(capsys, f"base.toml base.toml {options}") == (1, f"{changes}\n")


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = compared(capsys, "base.toml --after-relay-host 192.0.2.0/24 --format json")
    assert status == 1
    changes = diff(policy(), policy(relay_hosts=["192.0.2.0/24"]))
    assert json.loads(said) == changes.to_dict()
    status, said = compared(capsys, "base.toml same.json --format json")
    assert status == 0
    assert json.loads(said) == {"widens": False, "narrows": False, "changes": []}


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "base.toml base.toml base.toml",
        "--before base.toml",
        "--after base.toml",
        "base.toml --after base.toml",
        "base.toml base.toml --before base.toml --after base.toml",
    ],
)
def test_there_are_two_sides(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert main(["diff", *arguments.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("diff: expected BEFORE and AFTER, or --before FILE... and ")


def test_one_policy_needs_something_that_tells_the_sides_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for options in ("", "--relay-host", "--before-dialect documented"):
        assert main(["diff", "base.toml", *options.split()]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("diff: found one policy, and nothing that tells before from")


def test_all_that_is_wrong_on_both_sides_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        *("--before", "wrong.toml", "missing.toml", "--after", "wrong.toml", "wrong_too.toml"),
        *("--before-relay-host", "10/8", "--relay-host", "any/8"),
        *("--before-listeners", "base.toml", "--after-listeners", "missing.toml"),
    ]
    assert main(["diff", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert [line.partition(" expected")[0] for line in output.err.splitlines()] == [
        'wrong.toml: "a.com".relay_to:',
        "missing.toml: cannot be read: No such file or directory",
        'base.toml: "*.example.com":',
        'base.toml: "bounces.example.com":',
        "--before-relay-host: [0]:",
        'wrong_too.toml: "b.com".relay_to:',
        "--relay-host: [0]:",
    ]
