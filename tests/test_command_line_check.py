"""`python -m listener_policy check`: what is found, where, and the exit status."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from listener_policy import Policy
from listener_policy.__main__ import main
from listener_policy._command_line.terminal import Progress
from listener_policy.analysis import LintCode, Severity, lint

POLICY: Final = """
["example.com"]
relay_to = true
ttl = 60
["bounces.example.com"]
log_oob = true
"""
FILES: Final = {
    "clean.toml": '["example.com"]\nrelay_to = true\n',
    "policy.toml": POLICY,
    "later.toml": '["example.com"]\nrelay_from = ["192.0.2.0/24"]\nrelay_from_authz = [""]\n',
    "latest.json": '{"bounces.example.com": {"ttl": 5}}',
    "default.toml": '[listener.default."default"]\nrelay_to = true\n',
    "listeners.toml": '[[esmtp_listener]]\nlisten = "mx"\nrelay_hosts = ["any"]\n',
    "routes.toml": '"example.net" = "[192.0.2.1]"\n',
    "wrong_routes.toml": '"example.net" = 1\n"a b" = "mx"\n',
    "no_routes.toml": "[",
    "wrong.toml": '["a.com"]\nrelay_to = 1\n',
}

Check = Callable[[str], tuple[int, str]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """The exit status and what is said, nothing of it on standard error."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def run(arguments: str) -> tuple[int, str]:
        status = main(["check", *shlex.split(arguments)])
        output = capsys.readouterr()
        assert output.err == ""
        return status, output.out

    return run


def headlines(said: str) -> list[str]:
    """Where findings are, how severe they are, and their codes."""
    found = re.findall(r"^(\S.*?: (?:error|warning|notice)): .* (\[.*?\])$", said, re.MULTILINE)
    return [f"{where}: {code}" for where, code in found]


def test_nothing_to_find_is_status_0(check: Check) -> None:
    assert check("clean.toml") == (0, "no findings, in 1 entry\n")


def test_findings_are_status_1_and_say_where_what_and_why(check: Check) -> None:
    status, said = check("policy.toml")
    assert status == 1
    findings = lint(Policy.from_toml(POLICY))
    assert {finding.code for finding in findings} >= {LintCode.TTL_IGNORED, LintCode.BOOLEAN_LOG}
    lines = said.splitlines()
    for finding in findings:
        where = f"policy.toml: {finding.path}: {finding.severity}: "
        at = lines.index(f"{where}{finding.message} [{finding.code}]")
        assert lines[at + 1] == f"    {finding.hint}"
    assert lines[-1].endswith(" in 2 entries")


def test_the_question_of_a_finding_can_be_explained(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = check("policy.toml")
    beginning = "    to see why: explain "
    questions = [line for line in said.splitlines() if line.startswith(beginning)]
    assert questions
    for question in questions:
        arguments = shlex.split(question.removeprefix(beginning))
        assert main(["explain", "policy.toml", *arguments]) == 0
        assert capsys.readouterr().out


def test_a_question_is_quoted_for_the_shell(check: Check, tmp_path: Path) -> None:
    identity = "it's\x1b[2J"
    text = json.dumps({"listener": {"in side": {"*": {"relay_from_authz": [identity]}}}})
    (tmp_path / "quoted.json").write_text(text, encoding="utf-8")
    for listener, quoted in (("in side", "'in side'"), ("\x1b", "'\\u001b'")):
        renamed = text.replace("in side", json.dumps(listener)[1:-1])
        (tmp_path / "quoted.json").write_text(renamed, encoding="utf-8")
        (tmp_path / "base.toml").write_text('["*"]\nrelay_to = true\n', encoding="utf-8")
        _, said = check("base.toml quoted.json")
        assert f"explain --listener={quoted} --peer=" in said
        assert "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            "policy.toml later.toml latest.json",
            {
                'later.toml: "example.com".relay_from_authz: warning: [suspicious-identity]',
                'policy.toml: "bounces.example.com".log_oob: notice: [boolean-log]',
                'latest.json: "bounces.example.com".ttl: notice: [ttl-ignored]',
            },
        ),
        (
            "clean.toml default.toml",
            {
                'default.toml: listener."default": warning: [default-key]',
                'default.toml: listener."default"."default": warning: [default-key]',
            },
        ),
        (
            "clean.toml --listeners listeners.toml",
            {"listeners.toml: esmtp_listener[0].relay_hosts: error: [open-relay]"},
        ),
        ("clean.toml --relay-host any", {"--relay-host: error: [open-relay]"}),
        (
            "clean.toml --routing-domains routes.toml",
            {'clean.toml: "example.com".relay_to: warning: [unrouted-relay-to]'},
        ),
    ],
)
def test_a_finding_names_the_file_that_has_the_last_word(
    check: Check, arguments: str, expected: set[str]
) -> None:
    status, said = check(arguments)
    assert status == 1
    assert expected <= set(headlines(said))


def test_some_findings_may_be_meant(check: Check) -> None:
    findings = lint(Policy.from_toml(POLICY))
    codes = {finding.code for finding in findings}
    _, some = check("policy.toml --ignore ttl-ignored")
    assert "ttl-ignored" not in some
    assert "boolean-log" in some
    assert ", 1 ignored, in 2 entries\n" in some
    ignored = (0, f"no findings, {len(findings)} ignored, in 2 entries\n")
    assert check(f"policy.toml --ignore {' '.join(codes)}") == ignored
    notices = sum(finding.severity is Severity.NOTICE for finding in findings)
    assert notices
    _, worse = check("policy.toml --relay-host any --severity warning")
    assert headlines(worse) == ["--relay-host: error: [open-relay]"]
    assert worse.endswith(f"1 error, {notices} ignored, in 2 entries\n")
    assert check("policy.toml --severity error") == ignored


def test_as_json(check: Check) -> None:
    status, said = check(
        "policy.toml --listeners listeners.toml --format json --ignore boolean-log"
    )
    assert status == 1
    found: dict[str, Any] = json.loads(said)
    assert (found["entries"], found["ignored"]) == (2, 1)
    by_code = {finding["code"]: finding for finding in found["findings"]}
    assert by_code["open-relay"]["file"] == "listeners.toml"
    assert by_code["open-relay"]["path"] == "esmtp_listener[0].relay_hosts"
    assert by_code["open-relay"]["proved"] is True
    assert by_code["ttl-ignored"]["file"] == "policy.toml"
    assert by_code["ttl-ignored"]["hint"]
    assert check("clean.toml --format json") == (
        0,
        '{\n  "entries": 1,\n  "findings": [],\n  "ignored": 0\n}\n',
    )


def test_all_that_cannot_be_used_is_status_2(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("clean.toml")[0] == 0
    for routes, said in (
        (
            "wrong_routes.toml",
            [
                'wrong_routes.toml: "example.net": expected a next hop as a string, found the ',
                'wrong_routes.toml: "a b": expected ',
            ],
        ),
        ("no_routes.toml", ["no_routes.toml: not TOML: "]),
    ):
        assert main(["check", "wrong.toml", "clean.toml", "--routing-domains", routes]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        lines = output.err.splitlines()
        expected = ['wrong.toml: "a.com".relay_to: expected ', *said]
        assert len(lines) == len(expected)
        assert all(map(str.startswith, lines, expected))


def test_progress_is_told_by_entries(
    check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []

    class Told(Progress):
        def says(self, doing: str) -> None:
            said.append(doing)

    monkeypatch.setattr("listener_policy.__main__.Progress", Told)
    entries = {f"name{number}.example": {"relay_to": True} for number in range(1234)}
    (tmp_path / "large.json").write_text(json.dumps(entries), encoding="utf-8")
    assert check("large.json") == (0, "no findings, in 1,234 entries\n")
    assert said[0] == "reading the policy"
    assert said[-1] == "checking 1,234 of 1,234 entries"
    assert len(said) > 2
