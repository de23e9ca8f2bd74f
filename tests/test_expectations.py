"""Expectations against policies: what passes, what fails and why, and what nobody asked about."""

from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from expectation_documents import ABOUT_DOMAIN, QUESTION, document
from hypothesis import given
from hypothesis import strategies as st
from support import LISTENER, OUTSIDER, Fields, short

from listener_policy import (
    Decision,
    Dialect,
    EntryRef,
    EsmtpListener,
    Policy,
    RcptDecision,
    RcptRequest,
    Report,
    Request,
    canonical_domain,
    envelope_domain,
    strategies,
)
from listener_policy.addresses import Peer
from listener_policy.analysis import (
    ExpectationReport,
    ExpectationResult,
    Mismatch,
    run_expectations,
)
from listener_policy.listeners import Listener

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
POLICY = Policy.from_toml(
    """
    ["*"]
    relay_to = false
    ["example.com"]
    relay_to = true
    ["*.example.com"]
    log_oob = "LogThenDrop"
    log_arf = "LogThenRelay"
    ["send.example.com"]
    relay_from = ["10.0.0.0/24"]
    relay_from_authz = ["ann", ""]
    [listener.submission."example.com"]
    relay_from_authz = ["ann"]
    """,
    relay_hosts=["192.0.2.1"],
)


def report_on(*tables: Fields, defaults: Fields | None = None) -> ExpectationReport:
    return run_expectations(POLICY, document(*tables, defaults=defaults))


def result_of(table: Fields, **written: object) -> ExpectationResult:
    (result,) = report_on({**table, **written}).results
    return result


# --- what can be said of an answer --------------------------------------------------------------

SUBMISSION = {"listener": "submission", "pattern": "example.com"}
REPORT: Final[Fields] = {"recipient": "bob@a.example.com"}
MAY_RELAY: Final[Fields] = {"sender": "ann@send.example.com", "peer": "10.0.0.7"}
RELAY_HOST: Final[Fields] = {"peer": "192.0.2.1"}
ELSEWHERE: Final[Fields] = {"recipient": "ann@example.net"}
RCPT_ANSWERS: list[tuple[Fields, str, object, object]] = [
    # the question, the key, what is so, what is not
    ({}, "result", "accepted", "refused"),
    (ELSEWHERE, "result", "refused", "accepted"),
    ({}, "relay", True, False),
    (REPORT, "relay", False, True),
    ({}, "reason", "RELAY_TO", "DENIED"),
    (ELSEWHERE, "reason", "DENIED", "RELAY_TO"),
    (RELAY_HOST, "reason", "RELAY_HOSTS", "RELAY_FROM"),
    (REPORT, "reason", "LOG_ARF", "LOG_OOB"),
    ({}, "reply", "250 2.1.5 OK", "250 2.1.5"),
    ({"recipient": ""}, "reply", "550 5.7.1 relaying not permitted", "250 2.1.5 OK"),
    ({}, "sender_entry", "*", "example.com"),
    ({}, "sender_entry", "*", False),
    ({}, "recipient_entry", "example.com", "*"),
    ({}, "recipient_entry", {"listener": "*", "pattern": "example.com"}, SUBMISSION),
    ({"listener": "submission"}, "recipient_entry", SUBMISSION, "example.com"),
    (REPORT, "log_oob", "LogThenDrop", "LogThenRelay"),
    (REPORT, "log_arf", "LogThenRelay", "Ignore"),
    ({**REPORT, **RELAY_HOST}, "log_arf", "Ignore", "LogThenRelay"),
    ({}, "message", "relayed", "refused"),
    (REPORT, "message", "refused", "relayed"),
    (REPORT, "oob_report", "logged and dropped", "relayed"),
    (REPORT, "arf_report", "logged and dropped", "refused"),
    ({**REPORT, **MAY_RELAY}, "arf_report", "logged and relayed", "relayed"),
    (ELSEWHERE, "oob_report", "refused", "logged and dropped"),
    ({}, "arf_report", "relayed", "logged and relayed"),
]
SEND: Final[Fields] = {"domain": "send.example.com"}
DOMAIN_ANSWERS: list[tuple[Fields, str, object, object]] = [
    ({}, "may_send", False, True),
    (RELAY_HOST, "may_send", True, False),
    ({**SEND, "auth": "ann"}, "may_send", True, False),
    ({**SEND, "auth": ""}, "may_send", True, False),
    ({**SEND, "auth": "Ann"}, "may_send", False, True),
    ({**SEND, "auth": False}, "may_send", False, True),
    ({}, "may_receive", True, False),
    (SEND, "may_receive", False, True),
    ({**SEND, "peer": "10.0.0.7"}, "reason", "RELAY_FROM", "DENIED"),
    ({"domain": ""}, "entry", "*", False),
    ({"listener": "submission"}, "entry", SUBMISSION, "example.com"),
    ({"domain": "a.example.com"}, "log_oob", "LogThenDrop", "Ignore"),
    ({"domain": "a.example.com", **RELAY_HOST}, "log_arf", "LogThenRelay", "Ignore"),
]
ALL_ANSWERS = [
    ({**question, **asked}, key, right, wrong)
    for question, answers in ((QUESTION, RCPT_ANSWERS), (ABOUT_DOMAIN, DOMAIN_ANSWERS))
    for asked, key, right, wrong in answers
]
IDS = [short(f"{key} {right}") for _, key, right, _ in ALL_ANSWERS]


def as_told(key: str, value: Any) -> Any:
    """A value of a document as a mismatch has it."""
    if not key.endswith("entry"):
        return value
    if value is False:
        return None
    return EntryRef(**value) if isinstance(value, dict) else EntryRef("*", value)


@pytest.mark.parametrize(("question", "key", "right", "_wrong"), ALL_ANSWERS, ids=IDS)
def test_what_is_so_passes(question: Fields, key: str, right: object, _wrong: object) -> None:
    assert result_of(question, **{key: right}).passed


@pytest.mark.parametrize(("question", "key", "right", "wrong"), ALL_ANSWERS, ids=IDS)
def test_what_is_not_so_fails_and_is_told(
    question: Fields, key: str, right: object, wrong: object
) -> None:
    result = result_of(question, **{key: wrong})
    (failure,) = result.failures
    assert not result.passed
    assert failure.mismatches == (Mismatch(key, as_told(key, wrong), as_told(key, right)),)


def test_an_entry_is_named_in_any_spelling() -> None:
    assert result_of(QUESTION, recipient_entry="EXAMPLE.com.").passed
    written = {"listener": "[::FFFF:10.0.0.1]:25", "pattern": "*.Example.com"}
    (failure,) = result_of(QUESTION, recipient_entry=written).failures
    assert failure.mismatches[0].expected == EntryRef("10.0.0.1:25", "*.example.com")


def test_no_entry_is_false() -> None:
    policy = Policy.from_toml('["example.com"]')
    asked = {**QUESTION, "sender_entry": False, "recipient_entry": False}
    (result,) = run_expectations(policy, document(asked)).results
    assert result.failures[0].mismatches == (
        Mismatch("recipient_entry", None, EntryRef("*", "example.com")),
    )


def test_every_value_that_is_not_as_expected_is_told() -> None:
    (failure,) = result_of(QUESTION, result="refused", relay=True, reason="DENIED").failures
    assert failure == (
        RcptRequest(LISTENER, OUTSIDER, "eve@example.org", "ann@example.com"),
        (Mismatch("result", "refused", "accepted"), Mismatch("reason", "DENIED", "RELAY_TO")),
        POLICY.explain_rcpt(LISTENER, OUTSIDER, "eve@example.org", "ann@example.com"),
    )


def test_a_failure_about_a_domain_has_the_explanation_of_the_domain() -> None:
    (failure,) = result_of(ABOUT_DOMAIN, may_send=True, auth="ann").failures
    assert failure.request == Request(LISTENER, OUTSIDER, "example.com", "ann")
    assert failure.explanation == POLICY.explain(LISTENER, OUTSIDER, "example.com", "ann")


# --- questions ----------------------------------------------------------------------------------


def says_yes(request: Request | RcptRequest) -> bool:
    return isinstance(request, RcptRequest) and POLICY.decide_rcpt(*request).accept


def test_every_combination_of_what_is_listed_is_asked() -> None:
    listeners, peers = ["mx", "submission"], ["10.0.0.7", "::1"]
    senders, recipients = ["", "ann@send.example.com"], ["<b@a.com>", "Postmaster"]
    identities = [False, "", "ann"]
    result = result_of(
        {"name": "all"},
        listener=listeners,
        peer=peers,
        auth=identities,
        sender=senders,
        recipient=recipients,
        reply="550 5.7.1 relaying not permitted",
    )
    combinations = product(listeners, peers, senders, recipients, [None, "", "ann"])
    assert result.requests == tuple(RcptRequest(*asked) for asked in combinations)
    accepted = [asked for asked in result.requests if says_yes(asked)]
    assert [failure.request for failure in result.failures] == accepted
    assert 0 < len(accepted) < len(result.requests)


def test_every_combination_of_domains_is_asked() -> None:
    domains = ["example.com", "send.example.com", ""]
    result = result_of(ABOUT_DOMAIN, domain=domains, auth=["ann", False], may_receive=True)
    combinations = product([LISTENER], [OUTSIDER], domains, ["ann", None])
    assert result.requests == tuple(Request(*asked) for asked in combinations)
    assert {failure.request.auth for failure in result.failures} == {"ann", None}
    assert {failure.request[2] for failure in result.failures} == {"send.example.com", ""}


def test_what_is_not_written_is_taken_from_the_defaults() -> None:
    defaults: Fields = {
        "listener": "mx",
        "peer": ["10.0.0.7", "::1"],
        "auth": "ann",
        "sender": "a@send.example.com",
        "recipient": "b@example.net",
    }
    taken, own, nobody = report_on(
        {"name": "taken", "result": "accepted"},
        {"name": "own", **{key: QUESTION[key] for key in QUESTION if key != "name"}, "relay": True},
        {"name": "nobody", "auth": False, "peer": "::1", "result": "refused"},
        defaults=defaults,
    ).results
    sender, recipient = "a@send.example.com", "b@example.net"
    assert taken.requests == (
        RcptRequest("mx", "10.0.0.7", sender, recipient, "ann"),
        RcptRequest("mx", "::1", sender, recipient, "ann"),
    )
    assert own.requests == (
        RcptRequest(LISTENER, OUTSIDER, "eve@example.org", "ann@example.com", "ann"),
    )
    assert nobody.requests == (RcptRequest("mx", "::1", sender, recipient),)
    assert taken.passed
    assert own.passed
    assert nobody.passed


def test_a_question_about_a_domain_takes_no_address_from_the_defaults() -> None:
    defaults = {key: QUESTION[key] for key in ("listener", "peer", "sender", "recipient")}
    asked = {"name": "domain", "domain": "example.com", "may_receive": True}
    (result,) = report_on(asked, defaults=defaults).results
    assert result.requests == (Request(LISTENER, OUTSIDER, "example.com"),)
    assert result.passed


def test_each_document_has_its_own_defaults() -> None:
    tables = [{**QUESTION, "name": name, "relay": True} for name in ("first", "second")]
    for table in tables:
        del table["peer"]
    report = run_expectations(
        POLICY,
        document(tables[0], defaults={"peer": "::1"}),
        document({**QUESTION, "relay": False}, tables[1], defaults={"peer": "::2"}).encode(),
    )
    where = [(result.name, result.document, result.path) for result in report.results]
    assert where == [
        *(("first", 0, "expect[0]"), ("guarded", 1, "expect[0]"), ("second", 1, "expect[1]")),
    ]
    assert [result.requests[0].peer for result in report.results] == ["::1", OUTSIDER, "::2"]
    assert report.failed == (report.results[1],)


# --- any policy ---------------------------------------------------------------------------------


def peer_text(peer: Peer) -> str:
    return peer[0] if isinstance(peer, tuple) else str(peer)


def listener_text(listener: Listener) -> str:
    if isinstance(listener, str):
        return listener
    host, port = listener[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def entry_value(entry: EntryRef | None) -> object:
    return False if entry is None else entry._asdict()


def fate(decision: RcptDecision, report: Report | None) -> str:
    accept, log, relay = (
        getattr(decision.after_data(report), name) for name in ("accept", "log", "relay")
    )
    fates = {
        (False, False, False): "refused",
        (True, False, True): "relayed",
        (True, True, True): "logged and relayed",
        (True, True, False): "logged and dropped",
    }
    return fates[accept, log, relay]


def said_of_rcpt(decision: RcptDecision) -> Fields:
    return {
        "result": "accepted" if decision.accept else "refused",
        "relay": decision.relay,
        "reason": str(decision.reason),
        "reply": decision.reply,
        "sender_entry": entry_value(decision.sender.entry),
        "recipient_entry": entry_value(decision.recipient.entry),
        "log_oob": str(decision.log_oob),
        "log_arf": str(decision.log_arf),
        "message": fate(decision, None),
        "oob_report": fate(decision, Report.OOB),
        "arf_report": fate(decision, Report.ARF),
    }


def said_of_domain(decision: Decision) -> Fields:
    return {
        "may_send": decision.may_send,
        "may_receive": decision.may_receive,
        "reason": str(decision.reason),
        "entry": entry_value(decision.entry),
        "log_oob": str(decision.log_oob),
        "log_arf": str(decision.log_arf),
    }


TWO_VALUES: Final[dict[str, list[object]]] = {
    "result": ["accepted", "refused"],
    "reason": ["DENIED", "RELAY_HOSTS"],
    "reply": ["250 2.1.5 OK", "550 5.7.1 relaying not permitted"],
    **{key: [True, False] for key in ("relay", "may_send", "may_receive")},
    **{key: ["Ignore", "LogThenRelay"] for key in ("log_oob", "log_arf")},
    **{key: ["relayed", "refused"] for key in ("message", "oob_report", "arf_report")},
    **{
        key: [False, {"listener": "nowhere", "pattern": "*"}]
        for key in ("entry", "sender_entry", "recipient_entry")
    },
}
"""Two values for each key, so that one of them is not what was found."""


class Case(NamedTuple):
    """An expectation that must hold, and the domains that it asks about."""

    question: Fields
    answer: Fields
    domains: list[str]


def case(policy: Policy, request: Request | RcptRequest) -> Case:
    question: Fields = {
        "listener": listener_text(request.listener),
        "peer": peer_text(request.peer),
        "auth": False if request.auth is None else request.auth,
    }
    if isinstance(request, Request):
        question["domain"] = request.domain
        return Case(question, said_of_domain(policy.decide(*request)), [request.domain])
    question |= {"sender": request.sender, "recipient": request.recipient}
    domains = [envelope_domain(address) for address in (request.sender, request.recipient)]
    answer = said_of_rcpt(policy.decide_rcpt(*request))
    return Case(question, answer, [domain for domain in domains if domain is not None])


def is_valid(request: Request | RcptRequest) -> bool:
    """Whether no domain is one about which nothing can be expected."""
    if isinstance(request, Request):
        return canonical_domain(request.domain) is not None
    return None not in (envelope_domain(request.sender), envelope_domain(request.recipient))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Policy, list[Case]]:
    policy = draw(strategies.policies())
    questions = strategies.requests(policy) | strategies.rcpt_requests(policy)
    requests = draw(st.lists(questions.filter(is_valid), min_size=1, max_size=5))
    return policy, [case(policy, request) for request in requests]


@given(cases(), st.data())
def test_what_a_policy_answers_passes_and_one_other_value_fails(
    drawn: tuple[Policy, list[Case]], data: st.DataObject
) -> None:
    policy, expected = drawn
    tables = [
        {"name": str(number), **asked.question, **asked.answer}
        for number, asked in enumerate(expected)
    ]
    report = run_expectations(policy, document(*tables))
    assert report.passed
    assert [result.name for result in report.results] == [table["name"] for table in tables]

    wrong = data.draw(st.integers(0, len(tables) - 1))
    key = data.draw(st.sampled_from(sorted(expected[wrong].answer)))
    (value, *_) = [choice for choice in TWO_VALUES[key] if choice != tables[wrong][key]]
    tables[wrong][key] = value
    broken = run_expectations(policy, document(*tables))
    (failed,) = broken.failed
    (failure,) = failed.failures
    assert (failed.name, failed.requests) == (str(wrong), report.results[wrong].requests)
    assert [mismatch.key for mismatch in failure.mismatches] == [key]
    assert broken.touched == report.touched


@given(cases())
def test_what_governs_some_domain_is_touched_and_nothing_else(
    drawn: tuple[Policy, list[Case]],
) -> None:
    policy, expected = drawn
    tables = [
        {"name": str(number), **asked.question, **asked.answer}
        for number, asked in enumerate(expected)
    ]
    report = run_expectations(policy, document(*tables))
    matches = [
        policy.resolve(asked.question["listener"], domain)
        for asked in expected
        for domain in asked.domains
    ]
    every = {
        EntryRef(listener, pattern)
        for listener, table in policy.config.entries.items()
        for pattern in table
    }
    touched = {match.entry for match in matches if match is not None}
    assert report.touched == touched
    assert set(report.entries) == every
    assert len(report.entries) == len(every)
    assert set(report.untouched) == every - touched
    assert report.coverage == (len(touched) / len(every) if every else 1)


# --- the example --------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", Dialect)
def test_the_example_touches_every_entry(dialect: Dialect) -> None:
    policy = Policy.from_toml(
        (EXAMPLES / "listener_domains.toml").read_bytes(),
        listeners=EsmtpListener.from_toml((EXAMPLES / "listeners.toml").read_bytes()),
        dialect=dialect,
    )
    report = run_expectations(policy, (EXAMPLES / "expectations.toml").read_bytes())
    assert report.untouched == ()
    # what `log_oob = true` means is the dialect's (S2)
    failed = {
        Dialect.DOCUMENTED: [],
        Dialect.KUMOMTA: ["late bounces are logged, and nothing else is taken there"],
    }
    assert [result.name for result in report.failed] == failed[dialect]
