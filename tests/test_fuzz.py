"""The fuzz targets hold for their seeds and for some random input, and fail when they should."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fuzz import fuzz_decide, fuzz_loaders, fuzz_postfix, lenient
from hypothesis import given, settings
from hypothesis import strategies as st

from listener_policy import (
    ConfigError,
    Dialect,
    EsmtpListener,
    Policy,
    PolicyConfig,
    Problem,
    RequestError,
)
from listener_policy._reader import Document, Entries, OptionSets, merged
from listener_policy.adapters import postfix
from listener_policy.adapters.postfix import Action, ProtocolError, action

FUZZ = Path(__file__).parent / "fuzz"
CHECKS: dict[str, Callable[[bytes], None]] = {
    "loaders": fuzz_loaders.check,
    "decide": fuzz_decide.check,
    "postfix": fuzz_postfix.check,
}
SEEDS = {
    name: {path.name: path.read_bytes() for path in sorted((FUZZ / "corpus" / name).iterdir())}
    for name in CHECKS
}
TRIES = max(300, settings().max_examples)
"""How many random inputs each target gets."""

targets = pytest.mark.parametrize("name", CHECKS)


def spliced(seed: bytes, at: int, gone: int, new: bytes) -> bytes:
    """A seed with some of its bytes replaced."""
    at %= len(seed) + 1
    return seed[:at] + new + seed[at + gone :]


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in SEEDS for seed in SEEDS[name]])
def test_a_target_holds_for_its_seeds(name: str, seed: str) -> None:
    assert len(SEEDS[name][seed]) < 2000
    CHECKS[name](SEEDS[name][seed])


@targets
def test_a_target_holds_for_anything(name: str) -> None:
    @settings(max_examples=TRIES)
    @given(st.binary())
    def holds(data: bytes) -> None:
        CHECKS[name](data)

    holds()


@targets
def test_a_target_holds_near_its_seeds(name: str) -> None:
    seeds = st.sampled_from(list(SEEDS[name].values()))

    @settings(max_examples=TRIES)
    @given(st.builds(spliced, seeds, st.integers(0, 2000), st.integers(0, 9), st.binary()))
    def holds(data: bytes) -> None:
        CHECKS[name](data)

    holds()


# Seeds are what they are there for


def loads(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except ConfigError:
        return False
    return True


def test_seeds_load_in_every_way_and_are_refused_in_every_way() -> None:
    seeds = SEEDS["loaders"].items()
    ways: dict[str, Callable[[bytes], object]] = {
        "toml": Policy.from_toml,
        "text": lambda data: Policy.from_toml(lenient(data)),
        "json": Policy.from_json,
        "tree": lambda data: Policy.from_mapping(*fuzz_loaders.trees(data)[0]),
        "listeners": EsmtpListener.from_toml,
    }
    loaded = {
        way: {name for name, data in seeds if loads(load, data)} for way, load in ways.items()
    }
    assert loaded == {
        "toml": {"guide.toml", "spellings.toml"},
        "text": {"guide.toml", "spellings.toml", "surrogates.toml"},
        "json": {"guide.json"},
        "tree": {"guide.json", "repeated.json", "tree"},
        "listeners": {"listeners.toml"},
    }


def test_seeds_are_understood_and_are_not() -> None:
    questions = {name: fuzz_decide.asked(data) for name, data in SEEDS["decide"].items()}
    refused = {name for name in questions if not fuzz_decide.is_understood(questions[name])}
    assert refused == {"no_listener", "no_peer", "no_tuple"}


def test_seeds_reach_every_entry() -> None:
    questions = [fuzz_decide.asked(data) for data in SEEDS["decide"].values()]
    reached = {
        half.entry
        for policy in fuzz_decide.POLICIES.values()
        for question in filter(fuzz_decide.is_understood, questions)
        for asked in [policy.connection(question.listener, question.peer, question.auth)]
        for rcpt in [asked.decide_rcpt(question.sender, question.recipient)]
        for half in (asked.decide(question.domain), rcpt.sender, rcpt.recipient)
    }
    assert None in reached
    assert reached - {None} == {
        (listener, pattern)
        for listener, table in fuzz_decide.POLICIES[Dialect.DOCUMENTED].config.entries.items()
        for pattern in table
    }


@pytest.mark.parametrize("written", ['{"a": [1, -0.5, "x", true, false, null], "b": {}}', '["c"]'])
def test_a_tree_is_what_json_says(written: str) -> None:
    assert fuzz_loaders.trees(written.encode()) == ([json.loads(written)], True)


def test_seeds_get_every_action_and_meet_every_error() -> None:
    answers: set[object] = set()
    errors: set[str] = set()
    for seed in SEEDS["postfix"].values():
        requests, error = fuzz_postfix.read([seed[1:]])
        errors.add(str(error)[:22])
        for attributes in requests:
            try:
                answers.add(action(fuzz_decide.POLICIES[Dialect.DOCUMENTED], attributes))
            except ProtocolError as wrong:
                answers.add(str(wrong).partition(":")[0])
    assert answers == {*Action, "client_address", "server_port"}
    assert len(errors) == 5


# Targets fail


def refusal(*problems: Problem) -> Callable[..., object]:
    def load(*_texts: object, **_arguments: object) -> object:
        raise ConfigError(problems)

    return load


@pytest.mark.parametrize(
    "refuse",
    [
        refusal(),
        refusal(Problem(0, "", "")),
        refusal(Problem(0, "", "two\nlines")),
        refusal(Problem(0, "", "x" * 1001)),
        refusal(Problem(0, "\ud800", "bad")),
        refusal(Problem(0, "", "bad", "\x1b[2J")),
        refusal(Problem(0, "", "an error of pydantic")),
    ],
)
@pytest.mark.parametrize("loader", ["from_toml", "from_json", "from_mapping"])
def test_a_bad_message_is_noticed(
    refuse: Callable[..., object], loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Policy, loader, refuse)
    with pytest.raises(AssertionError):
        fuzz_loaders.check(b"()")  # in no way a document


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((Policy, name) for name in ("from_toml", "from_json", "from_mapping")),
        (EsmtpListener, "from_toml"),
    ],
)
def test_another_exception_is_noticed(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_texts: object) -> object:
        raise KeyError

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(KeyError):
        fuzz_loaders.check(b"()")  # in no way a document


def test_an_entry_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def last(documents: Iterable[Document], option_sets: OptionSets) -> Entries:
        return merged(list(documents)[-1:], option_sets)

    def nothing(_config: PolicyConfig) -> str:
        return ""

    documents = b'{"a": {}} {"b": {}}'
    for place, lose in (
        ("listener_policy._reader.merged", last),
        ("listener_policy.PolicyConfig.to_toml", nothing),
    ):
        fuzz_loaders.check(documents)
        with monkeypatch.context() as patched:
            patched.setattr(place, lose)
            with pytest.raises(AssertionError):
                fuzz_loaders.check(documents)


def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def another_domain(_domain: str) -> str:
        return "example"

    def unlike(_domain: str) -> None:
        """No name is ordinary: `canonical_domain` is asked about all."""

    def somebody(_peer: object) -> bytes:
        return bytes(16)

    question = b"mx\t10.0.0.7\texample.com"
    fuzz_decide.check(question)
    with monkeypatch.context() as patched:
        patched.setattr("listener_policy.rules.is_ordinary", unlike)
        patched.setattr("listener_policy.rules.canonical_of_unusual", another_domain)
        with pytest.raises(AssertionError):
            fuzz_decide.check(b"mx\t10.0.0.7\tnew.a.b.example.com")
    for place in ("connection.peer_octets", "policy.octets_of_unusual"):
        monkeypatch.setattr(f"listener_policy.{place}", somebody)
    for wrong in (question, b"mx\tnobody\texample.com"):
        with pytest.raises(AssertionError):
            fuzz_decide.check(wrong)


def test_a_question_that_is_refused_for_no_reason_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_peer: object) -> bytes:
        raise RequestError("peer: no")

    for place in ("connection.peer_octets", "policy.octets_of_unusual"):
        monkeypatch.setattr(f"listener_policy.{place}", refuse)
    with pytest.raises(RequestError):
        fuzz_decide.check(b"mx\t10.0.0.7\texample.com")


WRONG_READINGS: dict[str, object] = {
    "LONGEST_REQUEST": 99,
    "_REQUEST": "junk",
    "_ROUTING": re.compile("[@!]"),
    "parse_address": int,
}


@pytest.mark.parametrize("place", WRONG_READINGS)
def test_a_wrong_reading_of_a_stream_is_noticed(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_all() -> None:
        for seed in SEEDS["postfix"].values():
            fuzz_postfix.check(seed)

    check_all()
    monkeypatch.setattr(postfix, place, WRONG_READINGS[place])
    with pytest.raises((AssertionError, ValueError)):
        check_all()
