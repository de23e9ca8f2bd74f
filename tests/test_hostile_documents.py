"""Documents and models that nobody should write: told, in few words, and never half applied."""

import json
from array import array
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import ValidationError
from support import calls_made

from listener_policy import (
    DEFAULT_RELAY_HOSTS,
    CidrSet,
    ConfigError,
    EsmtpListener,
    ListenerDomain,
    Policy,
    PolicyConfig,
    PolicyError,
    evaluate,
)

HUGE = "x" * 10**6


def problems(make: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        make()
    assert len(str(caught.value)) < 1_000 * len(caught.value.problems)
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("option", ["relay_from", "relay_from_authz"])
@pytest.mark.parametrize("items", [["10.0.0.0/33"], [1], []])
def test_what_can_be_read_only_once_is_refused(option: str, items: list[object]) -> None:
    document: dict[str, object] = {"*": {"relay_to": True}, "a.com": {option: iter(items)}}
    ((path, message),) = problems(lambda: Policy.from_mapping(document))
    assert path == f'"a.com".{option}'
    assert message.startswith("expected a list of ")


NO_LISTS: list[object] = [b"", bytearray(), array("b"), {}, "any"]


@pytest.mark.parametrize("value", NO_LISTS)
@pytest.mark.parametrize("option", ["relay_from", "relay_from_authz"])
def test_a_list_is_a_list(option: str, value: object) -> None:
    document: dict[str, object] = {"a.com": {option: []}, "b.com": {option: value}}
    assert [path for path, _ in problems(lambda: Policy.from_mapping(document))] == [
        f'"b.com".{option}'
    ]
    with pytest.raises(ValidationError):
        ListenerDomain(**cast("dict[str, Any]", {option: value}))


def test_a_mapping_that_contains_itself_is_told() -> None:
    table: dict[str, object] = {}
    table["a"] = table
    (first, _), *_ = problems(lambda: Policy.from_mapping(table))
    assert first == '"a"'


def test_a_table_in_a_table_in_a_table_is_told_in_few_words() -> None:
    table: dict[str, object] = {}
    inner = table
    for _ in range(10_000):
        inner["x"] = inner = {}
    problems(lambda: Policy.from_mapping({"a": table}))
    problems(lambda: Policy.from_mapping({cast("str", 5): {"com": {}}}))


@pytest.mark.parametrize(
    "text",
    [
        '["' + "\U000e0001" * 91 + '"]',
        '["a.com"]\nrelay_to = "' + "\U000e0001" * 97 + '"',
        '["a.com"]\n"' + "\U000e0001" * 300 + '" = 1',
        f'["{HUGE}"]',
        f'["a.com"]\n{HUGE} = 1',
        f'["a.com"]\n"{HUGE}" = 1',
        f'["a.com"]\nrelay_to = "{HUGE}"',
        f'["a.com"]\nrelay_from = ["{HUGE}"]',
        f'["a.com"]\nlog_oob = "{HUGE}"',
        f'[listener."{HUGE}:"]\n"a b" = {{}}',
        f'x = {{"{HUGE}" = 1, "{HUGE}" = 2}}',
        f"[a.{HUGE}]\nb = 1",
        f"[a.{HUGE}]\n[a.{HUGE}]",
    ],
    ids=range(13),
)
def test_whatever_its_length_a_problem_is_told_in_few_words(text: str) -> None:
    problems(lambda: Policy.from_toml(text))


def test_a_long_syntax_error_keeps_its_place() -> None:
    text = f'x = {{"{HUGE}" = 1, "{HUGE}" = 2}}'
    ((_, message),) = problems(lambda: Policy.from_toml(text))
    assert "(at line 1, column " in message


TWICE = {
    """["a.com"]\n["a.com"]""": 'cannot declare `"a.com"` twice (at line 2, column 9)',
    """[listener.mx.'*.a.com']\n[listener."mx"."*.a.com"]""": (
        'cannot declare `listener."mx"."*.a.com"` twice (at line 2, column 25)'
    ),
    """["a.com".ttl]\nx = {}\n["a.com".ttl.x]""": (
        'cannot declare `"a.com".ttl.x` twice (at line 3, column 15)'
    ),
    """ttl = {}\n[[ttl]]""": 'cannot mutate immutable namespace `"ttl"` (at line 2, column 6)',
    '["a\'b\\"\\\\, \\u0007\u00fc\\U000e0001\u4f8b"]\n' * 2: (
        'cannot declare `"a\'b\\"\\\\, \\u0007\u00fc\\U000e0001\u4f8b"` twice (at line 2, '
    ),
    "[\"('a',)\"]\n" * 2: "cannot declare `\"('a',)\"` twice (at line 2, column 10)",
}


@pytest.mark.parametrize(("text", "message"), TWICE.items(), ids=range(len(TWICE)))
def test_a_table_that_is_written_twice_is_named_as_toml_names_it(text: str, message: str) -> None:
    ((path, told),) = problems(lambda: Policy.from_toml(text))
    assert path == ""
    assert message in told


def test_a_repeated_key_is_found_however_deep_it_is() -> None:
    depth = 150
    text = '{"a.com": {"ttl": ' + '[{"x": ' * depth + '{"y": 1, "y": 2}' + "}]" * depth + "}}"
    ((path, _),) = problems(lambda: Policy.from_json(text))
    assert path == '"a.com".ttl' + "[0].x" * depth + ".y"


def test_repeated_keys_hide_no_other_problem() -> None:
    text = '{"a": {"relay_to": 1, "relay_to": 2, "relay_to": true}, "b": {"relay_to": 1}}'
    (path, message), (other, _) = problems(lambda: Policy.from_json(text))
    assert (path, other) == ('"a".relay_to', '"b".relay_to')
    assert message == "expected `relay_to` once in its object, found it 3 times"


def test_many_repeated_keys_cost_one_walk() -> None:
    def load(count: int) -> None:
        entries = ",".join(f'"a{n}.com":{{"ttl":1,"ttl":2}}' for n in range(count))
        with pytest.raises(ConfigError):
            Policy.from_json(f"{{{entries}}}")

    assert calls_made(lambda: load(1_000)) < 2.2 * calls_made(lambda: load(500))


def test_both_names_of_an_option_hide_no_wrong_value() -> None:
    document = {"a.com": {"log_arf": True, "log_fbl": "x"}}
    found = problems(lambda: Policy.from_mapping(document))
    assert [path for path, _ in found] == ['"a.com".log_fbl'] * 2
    assert "another name" in found[0][1]
    assert "expected one of" in found[1][1]


def test_problems_come_in_the_order_of_documents() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_toml("['a b']", "[", "['c d']", relay_hosts=["x"])
    assert [problem.document for problem in caught.value.problems] == [0, 1, 2, None]


def load_entry(model: ListenerDomain) -> object:
    return Policy.from_mapping({"a.com": model})


def compile_entry(model: ListenerDomain) -> object:
    return Policy(PolicyConfig.model_construct(entries={"*": {"a.com": model}}))


def merge_entry(model: ListenerDomain) -> object:
    config = PolicyConfig().model_copy(update={"entries": {"*": {"a.com": model}}})
    return PolicyConfig().merge(config)


def evaluate_entry(model: ListenerDomain) -> object:
    return evaluate(model, "::1")


@pytest.mark.parametrize("make", [load_entry, compile_entry, merge_entry, evaluate_entry])
@pytest.mark.parametrize(
    "update",
    [
        {"relay_from_authz": "alice"},
        {"relay_from": ["10.0.0.0/8"], "relay_to": 1},
        {"relay_to": "false"},
        {"log_oob": 1},
        {"log_arf": []},
    ],
)
def test_a_model_that_was_never_validated_is_not_believed(
    make: Callable[[ListenerDomain], object], update: dict[str, object]
) -> None:
    with pytest.raises(PolicyError):
        make(ListenerDomain().model_copy(update=update))


def test_a_config_that_was_never_validated_is_read_again() -> None:
    entries = {"*": {"EXAMPLE.com": ListenerDomain(relay_to=True)}}
    policy = Policy(PolicyConfig().model_copy(update={"entries": entries}))
    assert policy.decide("mx", "192.0.2.1", "example.com").relay_to


def test_models_can_be_dumped() -> None:
    entry = ListenerDomain(log_arf=True, ttl=5, relay_from_authz=frozenset("ba"))
    listener = EsmtpListener(listen="mx", relay_hosts=CidrSet(["10.0.0.0/8"]))
    assert json.loads(entry.model_dump_json(exclude_unset=True)) == {
        "relay_from_authz": ["a", "b"],
        "log_arf": True,
        "ttl": 5,
    }
    assert listener.model_dump() == {"listen": "mx", "relay_hosts": ["10.0.0.0/8"]}
    assert EsmtpListener.model_validate_json(listener.model_dump_json()) == listener
    assert ListenerDomain.model_validate_json(entry.model_dump_json()) == entry


def test_braces_in_a_value_are_shown_as_they_are() -> None:
    with pytest.raises(ValidationError) as caught:
        ListenerDomain(log_oob=cast("Any", "{message}{hint}{text}"))
    assert 'found the string `"{message}{hint}{text}"`' in caught.value.errors()[0]["msg"]


def test_an_empty_table_of_every_listener_is_written_again() -> None:
    config = PolicyConfig.from_toml('[listener."*"]')
    assert PolicyConfig.from_mapping(config.to_mapping()) == config


def test_making_an_object_again_does_not_change_it() -> None:
    policy = Policy.from_toml('["a.com"]')
    before = (policy.fingerprint, repr(DEFAULT_RELAY_HOSTS), repr(policy.config.entries))
    again: list[tuple[Any, object]] = [
        (DEFAULT_RELAY_HOSTS, ["any"]),
        (policy, PolicyConfig()),
        (policy.config.entries, {}),
    ]
    for thing, argument in again:
        thing.__init__(argument)
    now = Policy(policy.config)
    assert (now.fingerprint, repr(DEFAULT_RELAY_HOSTS), repr(policy.config.entries)) == before


LISTED: list[tuple[list[tuple[str, list[str] | None]], bool]] = [
    ([("mx", ["127.0.0.1", "::1"])], True),
    ([("mx", None)], True),
    ([("mx", [])], False),
    ([("0.0.0.0:25", ["10.0.0.0/8"]), ("10.0.0.1:25", ["127.0.0.1", "::1"])], False),
    ([("[::]:25", ["127.0.0.1", "::1"]), ("10.0.0.1:25", ["127.0.0.1", "::1"])], True),
]


@pytest.mark.parametrize(("listeners", "same"), LISTED)
def test_5_1_relay_hosts_that_would_hold_anyway_are_without_effect(
    listeners: list[tuple[str, list[str] | None]], same: bool
) -> None:
    listed = [
        EsmtpListener(listen=listen, relay_hosts=None if blocks is None else CidrSet(blocks))
        for listen, blocks in listeners
    ]
    policy, plain = Policy.from_toml("", listeners=listed), Policy.from_toml("")
    assert (policy == plain) is same
    assert (policy.fingerprint == plain.fingerprint) is same


def test_only_configurations_are_merged() -> None:
    found = problems(lambda: PolicyConfig().merge(cast("Any", {"a.com": {}}), PolicyConfig()))
    assert found == [("configs[1]", "expected a `PolicyConfig`, found a table")]


class Name(str):
    """A subclass, as members of some enumerations are."""

    __slots__ = ()


def test_options_may_be_named_by_a_subclass_of_str() -> None:
    written = Policy.from_mapping({"a.com": {Name("relay_to"): True, Name("log_fbl"): True}})
    assert written == Policy.from_mapping({"a.com": {"relay_to": True, "log_arf": True}})
    wrong = {"a.com": {Name("relay_to"): 1, Name("relay_too"): True}}
    assert sorted(path for path, _ in problems(lambda: Policy.from_mapping(wrong))) == [
        *('"a.com".relay_to', '"a.com".relay_too')
    ]
