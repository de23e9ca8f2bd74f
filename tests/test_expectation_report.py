"""What a report of expectations shows, to people and to programs, and that it cannot be changed."""

import copy
import json
import pickle
from typing import Any

import pytest
from expectation_documents import QUESTION, document
from hypothesis import example, given
from hypothesis import strategies as st
from support import LISTENER, Fields
from support import table as entries_of

from listener_policy import EntryRef, Policy
from listener_policy._display import printable
from listener_policy.analysis import ExpectationReport, run_expectations

POLICY = Policy.from_toml(
    """
    ["*"]
    ["example.com"]
    relay_to = true
    [listener.submission."example.com"]
    relay_from_authz = ["ann"]
    """,
    relay_hosts=["192.0.2.1"],
)
RIGHT: Fields = {**QUESTION, "name": "anybody may write to us", "result": "accepted"}
WRONG: Fields = {**QUESTION, "name": "nobody may", "result": "refused", "recipient_entry": False}


def report_on(*tables: Fields, policy: Policy = POLICY) -> ExpectationReport:
    return run_expectations(policy, document(*tables))


BOTH = report_on(RIGHT, WRONG)


# --- text ---------------------------------------------------------------------------------------


def test_what_passes_takes_a_line_and_the_coverage() -> None:
    assert str(report_on(RIGHT, {**RIGHT, "name": "2", "peer": ["::1", "::2"]})) == (
        "2 expectations hold, in 3 questions.\n"
        "Coverage: 2 of 3 entries, 66 %. No expectation touches\n"
        '  listener."submission"."example.com"'
    )


def test_full_coverage_takes_one_line() -> None:
    everywhere = {**QUESTION, "listener": [LISTENER, "submission"], "relay": True}
    assert str(report_on({**everywhere, "peer": "192.0.2.1"})) == (
        "1 expectation holds, in 2 questions.\nCoverage: 3 of 3 entries, 100 %."
    )


def test_a_policy_without_entries_is_covered() -> None:
    report = report_on({**QUESTION, "result": "refused"}, policy=Policy.from_toml(""))
    assert (report.entries, report.coverage) == ((), 1)
    assert str(report).endswith("question.\nCoverage: the policy has no entries.")


def test_entries_without_end_are_not_shown_to_the_end() -> None:
    policy = Policy.from_mapping(entries_of(f"x{number}.example" for number in range(50)))
    right = {**QUESTION, "result": "refused", "recipient": "ann@x49.example"}
    lines = str(report_on(right, policy=policy)).splitlines()
    assert lines[1:3] == [
        "Coverage: 1 of 50 entries, 2 %. No expectation touches",
        '  "x0.example"',
    ]
    assert lines[-2:] == ['  "x19.example"', "  and 29 more"]


def test_all_is_said_of_all_entries_only() -> None:
    names = [f"x{number}.example" for number in range(201)]
    asked = {**QUESTION, "recipient": [f"ann@{name}" for name in names[:200]], "relay": False}
    report = report_on(asked, policy=Policy.from_mapping(entries_of(names)))
    assert "200 of 201 entries, 99 %." in str(report)


def test_every_failure_is_shown_with_its_explanation() -> None:
    question = (LISTENER, "203.0.113.9", "eve@example.org", "ann@example.com")
    assert str(BOTH) == "\n".join(
        [
            "FAILED: nobody may (expect[1])",
            '  result: expected "refused", found "accepted"',
            '  recipient_entry: expected no entry, found "example.com"',
            str(POLICY.explain_rcpt(*question)),
            "",
            "1 of 2 expectations failed.",
            "Coverage: 2 of 3 entries, 66 %. No expectation touches",
            '  listener."submission"."example.com"',
        ]
    )


def test_every_question_that_fails_is_shown() -> None:
    (result,) = report_on(
        {
            "name": "staff send",
            "listener": "submission",
            "peer": "::1",
            "domain": "example.com",
            "auth": ["bob", "ann", False],
            "may_send": True,
            "entry": {"listener": "submission", "pattern": "example.com"},
        }
    ).results
    assert str(result) == "\n".join(
        [
            "FAILED: staff send (expect[0]), 2 of 3 questions",
            "  may_send: expected true, found false",
            str(POLICY.explain("submission", "::1", "example.com", "bob")),
            "",
            "  may_send: expected true, found false",
            str(POLICY.explain("submission", "::1", "example.com")),
        ]
    )


def test_questions_without_end_are_not_shown_to_the_end() -> None:
    peers = [f"10.0.0.{number}" for number in range(99)]
    (result,) = report_on({**WRONG, "peer": peers}).results
    text = str(result)
    assert text.startswith("FAILED: nobody may (expect[0]), 99 of 99 questions\n")
    assert text.count("250 2.1.5 OK  RELAY_TO") == 10
    assert text.endswith("\n\n  and 89 more of its questions")


def test_a_result_that_passed_takes_a_line() -> None:
    assert str(BOTH.results[0]) == "passed: anybody may write to us (expect[0])"


_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(_names, st.text(st.characters(exclude_categories=["Cs"])))
@example("\u202e\x1b[2J\n", "\u2028\x9b")
def test_what_is_shown_prints(name: str, reply: str) -> None:
    text = str(report_on({**RIGHT, "name": name, "reply": reply, "auth": name}))
    assert all(line.isprintable() for line in text.split("\n"))


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=300).filter(str.strip))
@example("x" * 300)
@example("two words " * 30)
def test_what_is_shown_fits_80_columns(name: str) -> None:
    entry = {"listener": f"mx{name}", "pattern": "a." * 100 + "a"}
    report = report_on({**RIGHT, "name": name, "reply": name, "sender_entry": entry})
    assert max(map(len, str(report).split("\n"))) <= 80
    shown = "".join(str(report).split())
    assert "".join(printable(name).split()) in shown  # nothing is left out


def test_repr_is_short() -> None:
    assert repr(BOTH) == "<ExpectationReport of 2 expectations, 1 failed>"
    assert [repr(result) for result in BOTH.results] == [
        "<ExpectationResult 'anybody may write to us': passed>",
        "<ExpectationResult 'nobody may': failed>",
    ]


# --- JSON ---------------------------------------------------------------------------------------


def test_a_report_is_ready_for_json() -> None:
    found: Any = BOTH.to_dict()
    assert json.loads(json.dumps(found)) == found
    request = {
        "listener": LISTENER,
        "peer": "203.0.113.9",
        "sender": "eve@example.org",
        "recipient": "ann@example.com",
        "auth": None,
    }
    (failure,) = found["results"][1]["failures"]
    explanation = failure.pop("explanation")
    assert explanation == POLICY.explain_rcpt(*list(request.values())[:4]).to_dict()  # type: ignore[arg-type]
    assert found == {
        "passed": False,
        "results": [
            {
                "name": "anybody may write to us",
                "document": 0,
                "path": "expect[0]",
                "passed": True,
                "requests": [request],
                "failures": [],
            },
            {
                "name": "nobody may",
                "document": 0,
                "path": "expect[1]",
                "passed": False,
                "requests": [request],
                "failures": [
                    {
                        "request": request,
                        "mismatches": [
                            {"key": "result", "expected": "refused", "found": "accepted"},
                            {
                                "key": "recipient_entry",
                                "expected": None,
                                "found": {"listener": "*", "pattern": "example.com"},
                            },
                        ],
                    }
                ],
            },
        ],
        "coverage": {
            "entries": 3,
            "touched": 2,
            "fraction": 2 / 3,
            "untouched": [{"listener": "submission", "pattern": "example.com"}],
        },
    }


# --- as an object -------------------------------------------------------------------------------


def test_whether_all_have_passed_is_asked_by_name() -> None:
    assert not BOTH.passed
    assert report_on(RIGHT).passed
    for answer in (BOTH, *BOTH.results):
        with pytest.raises(TypeError, match=r"neither true nor false: say what is meant"):
            bool(answer)


def test_what_is_covered_is_told_in_the_order_of_the_policy() -> None:
    submission = EntryRef("submission", "example.com")
    assert BOTH.entries == tuple(
        EntryRef(listener, pattern)
        for listener, patterns in POLICY.config.entries.items()
        for pattern in patterns
    )
    assert BOTH.untouched == (submission,)
    assert BOTH.touched == set(BOTH.entries) - {submission}


def test_a_report_cannot_be_changed_and_can_be_kept() -> None:
    for thing in (BOTH, *BOTH.results):
        for name in ("results", "failures", "passed", "new"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(thing, name, ())
        for clone in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
            assert clone == thing
            assert hash(clone) == hash(thing)
            assert str(clone) == str(thing)
    assert report_on(RIGHT, WRONG) == BOTH
    assert report_on(RIGHT) != BOTH
