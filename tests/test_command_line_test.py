"""`python -m listener_policy test`: what is expected, what is said, and the exit status."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from listener_policy import Policy
from listener_policy.__main__ import main
from listener_policy.analysis import run_expectations

POLICY: Final = '["example.com"]\nrelay_to = true\n["example.net"]\n'
HOLDS: Final = """
[[expect]]
name = "anybody may write to us"
listener = "mx"
peer = "203.0.113.9"
sender = ""
recipient = "ann@example.com"
result = "accepted"
"""
FAILS: Final = HOLDS.replace("anybody", "nobody").replace("accepted", "refused")
FILES: Final = {
    "policy.toml": POLICY,
    "holds.toml": HOLDS,
    "fails.toml": FAILS,
    "wrong.toml": '[[expect]]\nname = "x"\n',
    "same.toml": HOLDS,
    "wrong_policy.toml": '["a.com"]\nrelay_to = 1\n',
}

Test = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Test:
    """The exit status, and what is said on standard output and on standard error."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def run(arguments: str) -> tuple[int, str, str]:
        status = main(["test", *shlex.split(arguments)])
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


def test_what_holds_is_status_0(test: Test) -> None:
    report = run_expectations(Policy.from_toml(POLICY), HOLDS)
    assert test("policy.toml --expectations holds.toml") == (0, f"{report}\n", "")
    assert "1 expectation holds" in f"{report}"


@pytest.mark.parametrize("option", ["fails.toml", "--expectations fails.toml"])
def test_what_fails_is_status_1(test: Test, option: str) -> None:
    report = run_expectations(Policy.from_toml(POLICY), HOLDS, FAILS)
    assert test(f"policy.toml --expectations holds.toml {option}") == (1, f"{report}\n", "")
    assert "FAILED: nobody may write to us" in f"{report}"


def test_a_policy_takes_the_options_of_every_command(test: Test) -> None:
    status, _, _ = test("policy.toml --relay-host 203.0.113.0/24 --expectations fails.toml")
    assert status == 1


def test_as_json(test: Test) -> None:
    status, said, _ = test("policy.toml --format json --expectations holds.toml fails.toml")
    assert status == 1
    report = run_expectations(Policy.from_toml(POLICY), HOLDS, FAILS).to_dict()
    assert json.loads(said) == {"documents": ["holds.toml", "fails.toml"], **report}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("policy.toml --expectations missing.toml", ["missing.toml: cannot be read: "]),
        (
            "wrong_policy.toml --expectations missing.toml wrong.toml",
            [
                'wrong_policy.toml: "a.com".relay_to: expected ',
                "missing.toml: cannot be read: ",
                "wrong.toml: expect[0]",
            ],
        ),
        ("policy.toml --expectations holds.toml same.toml", ["same.toml: expect[0].name: "]),
        ("wrong_policy.toml --expectations holds.toml", ['wrong_policy.toml: "a.com".relay_to: ']),
    ],
)
def test_nothing_is_asked_until_all_of_it_is_right(
    test: Test, arguments: str, said: list[str]
) -> None:
    status, output, errors = test(arguments)
    assert (status, output) == (2, "")
    lines = errors.splitlines()
    for beginning in said:
        assert [line for line in lines if line.startswith(beginning)]
    assert {line.partition(":")[0] for line in lines} == {one.partition(":")[0] for one in said}
