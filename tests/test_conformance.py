"""Every question of `data/conformance`, whose answers come from an independent model."""

import json
import re
from pathlib import Path
from typing import Any, Final, TypeAlias, TypedDict, cast

import pytest

from listener_policy import (
    ConfigError,
    Decision,
    Dialect,
    Disposition,
    EntryRef,
    EsmtpListener,
    Policy,
    PolicyConfig,
    Problem,
    RcptDecision,
    Report,
    RequestError,
)

DATA: Final = Path(__file__).parent / "data" / "conformance"

QUESTIONS: Final = {
    "empty.documented": (9, 0),
    "empty.kumomta": (9, 0),
    "guide.documented": (456, 504),
    "guide.kumomta": (456, 504),
    "listener_default.documented": (168, 0),
    "listener_default.kumomta": (168, 0),
    "names.documented": (78, 10),
    "names.kumomta": (78, 10),
    "nested_wildcards.documented": (60, 5),
    "nested_wildcards.kumomta": (60, 5),
    "networks.documented": (416, 0),
    "networks.kumomta": (416, 0),
    "no_default.documented": (15, 0),
    "no_default.kumomta": (15, 0),
    "reports.documented": (84, 236),
    "reports.kumomta": (84, 236),
}
"""By file, how many questions it has for `decide` and for `decide_rcpt`."""

Json: TypeAlias = Any
SocketAddress: TypeAlias = list[str | int]


class DecideQuestion(TypedDict):
    listener: str
    peer: str
    domain: str
    auth: str | None
    expect: dict[str, Json]


class RcptQuestion(TypedDict):
    listener: str
    peer: str
    sender: str
    recipient: str
    auth: str | None
    expect: dict[str, Json]


class PolicyFile(TypedDict):
    toml: str
    relay_hosts: list[str]
    dialect: str
    decide: list[DecideQuestion]
    decide_rcpt: list[RcptQuestion]


class RelayHostsQuestion(TypedDict):
    listener: str
    peer: str
    relay_hosts: bool


class RelayHostsFile(TypedDict):
    listeners: list[dict[str, Json]]
    default: list[str]
    questions: list[RelayHostsQuestion]


class FormsFile(TypedDict):
    toml: str
    same_peer: list[list[str | SocketAddress]]
    same_listener: list[list[str | SocketAddress]]
    not_a_peer: list[str | SocketAddress]
    not_a_listener: list[str | SocketAddress]


class Merging(TypedDict):
    why: str
    toml: list[str]
    same_as: str


class InvalidDocument(TypedDict):
    toml: str
    path: str | None
    why: str


def load(name: str) -> Json:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


FORMS: Final = cast("FormsFile", load("forms"))
MERGING: Final = cast("list[Merging]", load("merging"))
INVALID_DOCUMENTS: Final = cast("list[InvalidDocument]", load("invalid_documents"))
RELAY_HOSTS: Final = cast("RelayHostsFile", load("listeners_relay_hosts"))

policies = pytest.mark.parametrize("name", QUESTIONS)


def policy_file(name: str) -> PolicyFile:
    return cast("PolicyFile", load(name))


def policy_of(file: PolicyFile) -> Policy:
    return Policy.from_toml(
        file["toml"], relay_hosts=file["relay_hosts"], dialect=Dialect(file["dialect"])
    )


def said(decision: Decision) -> dict[str, Json]:
    """What `expect` says of a decision."""
    return {
        "relay_hosts": decision.relay_hosts,
        "relay_from": decision.relay_from,
        "relay_from_authz": decision.relay_from_authz,
        "relay_to": decision.relay_to,
        "log_oob": decision.log_oob,
        "log_arf": decision.log_arf,
        "entry": None if decision.entry is None else list(decision.entry),
    }


def said_of_rcpt(decision: RcptDecision) -> dict[str, Json]:
    """What `expect` says of a decision about a recipient."""
    kinds = (("None", None), ("arf", Report.ARF), ("oob", Report.OOB))
    return {
        "accept": decision.accept,
        "relay": decision.relay,
        "log_oob": decision.log_oob,
        "log_arf": decision.log_arf,
        "reason": decision.reason,
        "after_data": {name: said_after_data(decision.after_data(kind)) for name, kind in kinds},
    }


def said_after_data(disposition: Disposition) -> dict[str, bool]:
    return {"accept": disposition.accept, "log": disposition.log, "relay": disposition.relay}


def test_every_file_is_asked_and_has_its_questions() -> None:
    files = {path.stem: policy_file(path.stem) for path in DATA.glob("*.*.json")}
    found = {name: (len(file["decide"]), len(file["decide_rcpt"])) for name, file in files.items()}
    assert found == QUESTIONS
    assert {path.stem for path in DATA.glob("*.json")} - set(QUESTIONS) == {
        *("forms", "invalid_documents", "listeners_relay_hosts", "merging")
    }
    assert len(RELAY_HOSTS["questions"]) == 65
    assert [len(group) for group in FORMS["same_peer"]] == [6, 6]
    assert [len(group) for group in FORMS["same_listener"]] == [4, 3]
    assert (len(FORMS["not_a_peer"]), len(FORMS["not_a_listener"])) == (18, 16)
    assert (len(MERGING), len(INVALID_DOCUMENTS)) == (11, 43)


@policies
def test_the_dialect_is_that_of_the_file_name(name: str) -> None:
    assert policy_file(name)["dialect"] == name.partition(".")[2]


@policies
def test_decide_answers_as_the_model(name: str) -> None:
    file = policy_file(name)
    policy = policy_of(file)
    for question in file["decide"]:
        decision = policy.decide(
            question["listener"], question["peer"], question["domain"], question["auth"]
        )
        assert said(decision) == question["expect"], f"the question was {question}"


@policies
def test_decide_rcpt_answers_as_the_model(name: str) -> None:
    file = policy_file(name)
    policy = policy_of(file)
    for question in file["decide_rcpt"]:
        decision = policy.decide_rcpt(
            question["listener"],
            question["peer"],
            question["sender"],
            question["recipient"],
            question["auth"],
        )
        asked = f"the question was {question}"
        assert said_of_rcpt(decision) == question["expect"], asked
        assert decision.reply.startswith("250 2." if decision.accept else "550 5."), asked
        for report in (None, *Report):
            after = decision.after_data(report)
            assert after.reply.startswith("250 2." if after.accept else "550 5."), asked


@policies
def test_a_connection_answers_as_the_model(name: str) -> None:
    file = policy_file(name)
    policy = policy_of(file)
    for question in file["decide"]:
        anonymous = policy.connection(question["listener"], question["peer"])
        decision = anonymous.authenticated(question["auth"]).decide(question["domain"])
        assert said(decision) == question["expect"], f"the question was {question}"
    for rcpt_question in file["decide_rcpt"]:
        anonymous = policy.connection(rcpt_question["listener"], rcpt_question["peer"])
        connection = anonymous.authenticated(rcpt_question["auth"])
        rcpt_decision = connection.decide_rcpt(rcpt_question["sender"], rcpt_question["recipient"])
        assert said_of_rcpt(rcpt_decision) == rcpt_question["expect"], (
            f"the question was {rcpt_question}"
        )


def test_4_1_relay_hosts_hold_as_in_the_model() -> None:
    policy = Policy.from_toml(
        "",
        listeners=[EsmtpListener.model_validate(listener) for listener in RELAY_HOSTS["listeners"]],
        relay_hosts=RELAY_HOSTS["default"],
    )
    for question in RELAY_HOSTS["questions"]:
        decision = policy.decide(question["listener"], question["peer"], "example.com")
        assert decision.relay_hosts is question["relay_hosts"], f"the question was {question}"


def as_given(form: str | SocketAddress) -> Json:
    """A peer or listener as a server has it: JSON knows no tuples."""
    return tuple(form) if isinstance(form, list) else form


def forms(groups: list[list[str | SocketAddress]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("group", groups, ids=[str(group[0]) for group in groups])


@forms(FORMS["same_peer"])
def test_1_3_forms_of_one_peer_are_decided_alike(group: list[str | SocketAddress]) -> None:
    policy = Policy.from_toml(FORMS["toml"])
    for listener in ("mx", "10.1.2.3:25", "[2001:db8::25]:25"):
        asked = policy.decide(listener, as_given(group[0]), "send.example")
        assert asked.relay_from is (listener == "mx")
        for form in group:
            assert policy.decide(listener, as_given(form), "send.example") == asked, repr(form)


@forms(FORMS["same_listener"])
def test_2_7_forms_of_one_listener_are_decided_alike(group: list[str | SocketAddress]) -> None:
    policy = Policy.from_toml(FORMS["toml"])
    for form in group:
        decision = policy.decide(as_given(form), "10.0.0.7", "send.example")
        assert decision.entry == EntryRef(str(group[0]), "send.example"), repr(form)


@pytest.mark.parametrize("form", FORMS["not_a_peer"], ids=ascii)
def test_1_1_what_is_no_peer_is_refused(form: str | SocketAddress) -> None:
    policy = Policy.from_toml(FORMS["toml"])
    with pytest.raises(RequestError, match=r"^peer: "):
        policy.decide("mx", as_given(form), "send.example")


@pytest.mark.parametrize("form", FORMS["not_a_listener"], ids=ascii)
def test_1_1_what_is_no_listener_is_refused(form: str | SocketAddress) -> None:
    policy = Policy.from_toml(FORMS["toml"])
    with pytest.raises(RequestError, match=r"^listener: "):
        policy.decide(as_given(form), "10.0.0.7", "send.example")


@pytest.mark.parametrize("case", MERGING, ids=[case["why"] for case in MERGING])
def test_2_8_documents_are_merged_as_in_the_model(case: Merging) -> None:
    for dialect in Dialect:
        merged = Policy.from_toml(*case["toml"], dialect=dialect)
        same = Policy.from_toml(case["same_as"], dialect=dialect)
        assert merged == same
        assert hash(merged) == hash(same)
        assert merged.fingerprint == same.fingerprint
        assert merged != Policy.from_toml("", dialect=dialect)


HINTS: Final = {
    "an option that does not exist; relay_to is the nearest": "`relay_to`",
    "host bits; 10.0.0.0/24 is suggested": "`10.0.0.0/24`",
    "host bits; 10.0.0.0/8 is meant": "`10.0.0.0/8`",
    "unquoted: TOML reads a table within a table; quoting is suggested": '["example.com"]',
}
"""What is suggested, where `why` says that something is."""


def problems_of(toml: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        PolicyConfig.from_toml(toml)
    with pytest.raises(ConfigError) as again:
        Policy.from_toml(toml)
    assert again.value.problems == caught.value.problems
    assert {problem.document for problem in caught.value.problems} == {0}
    return caught.value.problems


WITH_A_PATH: Final = [case for case in INVALID_DOCUMENTS if case["path"] is not None]


@pytest.mark.parametrize(
    "case", WITH_A_PATH, ids=[f"{case['why']}: {case['path']!a}" for case in WITH_A_PATH]
)
def test_3_4_a_document_is_refused_at_its_path(case: InvalidDocument) -> None:
    problems = problems_of(case["toml"])
    assert [problem.path for problem in problems] == [case["path"]]
    assert HINTS.get(case["why"], "") in (problems[0].hint or "")


def test_3_4_the_suggestions_are_those_of_documents_that_are_asked() -> None:
    assert set(HINTS) <= {case["why"] for case in WITH_A_PATH}
    assert len(INVALID_DOCUMENTS) == len(WITH_A_PATH) + 2


def without_a_path(why: str) -> str:
    (toml,) = (
        case["toml"] for case in INVALID_DOCUMENTS if case["path"] is None and why in case["why"]
    )
    return toml


def test_3_4_three_problems_are_reported_at_once() -> None:
    problems = problems_of(without_a_path("three problems"))
    assert sorted(problem.path for problem in problems) == [
        '"b.com".nope',
        '"b.com".relay_to',
        'listener."127.0.0.1:25"."a.com".log_oob',
    ]


def test_3_4_a_syntax_error_has_its_line_and_column() -> None:
    (problem,) = problems_of(without_a_path("TOML syntax"))
    assert not problem.path
    assert re.search(r"\bline 1, column 9\b", problem.message)
