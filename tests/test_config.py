"""`PolicyConfig` and the models: what was written stays written, and can be written again."""

import copy
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import pytest
from pydantic import BaseModel, ValidationError

from listener_policy import CidrSet, ConfigError, EsmtpListener, ListenerDomain, PolicyConfig

DOCUMENT = """
["B\u00fccher.example."]
relay_to = true
relay_from = ["10.0.0.0/9", "10.128.0.0/9", "::1"]
relay_from_authz = ["b", "a\\"\\\\\\u0000\\u202e\\n", ""]
log_oob = false
log_fbl = "LogThenRelay"
ttl = "5 minutes"
["*"]
["listener."]
log_oob = "Ignore"
[listener."*"."*.example.com"]
log_arf = true
ttl = 1.5
[listener."[2001:DB8::1]:25"."[IPv6:2001:db8:0::1]"]
ttl = 7
[listener.empty]
"""


@pytest.fixture
def config() -> PolicyConfig:
    return PolicyConfig.from_toml(DOCUMENT)


def test_keys_are_canonical_and_options_as_written(config: PolicyConfig) -> None:
    assert {name: set(table) for name, table in config.entries.items()} == {
        "*": {"xn--bcher-kva.example", "*", "listener", "*.example.com"},
        "[2001:db8::1]:25": {"[ipv6:2001:db8::1]"},
        "empty": set(),
    }
    entry = config.entries["*"]["xn--bcher-kva.example"]
    assert entry.relay_from == CidrSet(["10.0.0.0/8", "::1"])
    assert entry.relay_from_authz == {"b", 'a"\\\x00\u202e\n', ""}
    assert entry.log_oob is False
    assert entry.model_fields_set == set(ListenerDomain.model_fields)


def test_text_that_was_written_is_read_alike(config: PolicyConfig) -> None:
    assert PolicyConfig.from_toml(config.to_toml()) == config
    assert PolicyConfig.from_toml(config.to_toml().encode()) == config
    assert PolicyConfig.from_mapping(config.to_mapping()) == config


def test_toml_is_what_a_person_would_write() -> None:
    config = PolicyConfig.from_mapping(
        {
            "a.com": {"relay_to": True, "relay_from": ["10.0.0.0/8", "::1/128"], "ttl": 5},
            "listener": {"*": {"listener": {}}, "mx": {"*": {"relay_from_authz": ["b", "a"]}}},
        }
    )
    assert config.to_toml() == (
        '[listener."*"."listener"]\n\n'
        '["a.com"]\nrelay_to = true\nrelay_from = ["10.0.0.0/8", "::1"]\nttl = 5\n\n'
        '[listener."mx"."*"]\nrelay_from_authz = ["a", "b"]\n'
    )


def test_a_lone_surrogate_survives_as_text() -> None:
    config = PolicyConfig.from_json('{"a.com": {"relay_from_authz": ["\\ud800"]}}')
    assert config.entries["*"]["a.com"].relay_from_authz == {"\ud800"}
    assert PolicyConfig.from_toml(config.to_toml()) == config


def test_an_explicit_default_is_part_of_what_was_written() -> None:
    silent = PolicyConfig.from_mapping({"a.com": {}})
    explicit = PolicyConfig.from_mapping({"a.com": {"relay_to": False}})
    yes = PolicyConfig.from_mapping({"a.com": {"relay_to": True}})
    assert silent != explicit
    assert yes.merge(silent) == yes
    assert yes.merge(explicit) == explicit
    assert PolicyConfig.merge(yes, explicit, yes) == yes
    assert PolicyConfig.merge() == PolicyConfig()


def test_equal_configurations_hash_alike(config: PolicyConfig) -> None:
    again = PolicyConfig.from_mapping(config.to_mapping())
    assert hash(again) == hash(config)
    assert config != DOCUMENT


@pytest.mark.parametrize("ttl", [[1, [2]], {"a": 1}, float("nan"), float("inf"), 2**64, None])
def test_a_ttl_that_cannot_be_kept_is_accepted_and_left(ttl: object) -> None:
    config = PolicyConfig.from_mapping({"a.com": {"ttl": ttl}})
    assert config.entries["*"]["a.com"].ttl is None
    assert config.to_mapping() == {"a.com": {}}
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))


def test_it_can_be_made_of_entries_in_any_spelling() -> None:
    made = PolicyConfig(entries={"[::ffff:10.0.0.1]:25": {"A.com.": ListenerDomain(relay_to=True)}})
    assert made.entries == {"10.0.0.1:25": {"a.com": ListenerDomain(relay_to=True)}}
    assert PolicyConfig(entries=made.entries) == made
    assert PolicyConfig.model_validate(made.model_dump()) == made


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ({"*": {"a b": {}}}, '"*"."a b"'),
        ({"10.0.0.1": {}}, '"10.0.0.1"'),
        ({"*": 1}, '"*"'),
        ({"*": {"a.com": {"relay_to": 1}}}, '"*"."a.com".relay_to'),
    ],
)
def test_made_in_python_it_raises_the_error_of_pydantic(entries: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PolicyConfig(entries=entries)
    assert [error["loc"] for error in caught.value.errors()] == [("entries", path)]
    assert "expected" in caught.value.errors()[0]["msg"]


def test_entries_must_be_a_mapping() -> None:
    with pytest.raises(ValidationError) as caught:
        PolicyConfig(entries=cast("Any", 1))
    assert [error["loc"] for error in caught.value.errors()] == [("entries",)]


@pytest.mark.parametrize("made", [PolicyConfig, ListenerDomain])
def test_models_refuse_fields_that_do_not_exist(made: type[BaseModel]) -> None:
    with pytest.raises(ValidationError):
        made.model_validate({"nonsense": 1})


def test_nothing_in_it_can_be_changed(config: PolicyConfig) -> None:
    table = config.entries["*"]
    with pytest.raises(ValidationError):
        cast("Any", config).entries = {}
    with pytest.raises(ValidationError):
        cast("Any", table["*"]).relay_to = True
    with pytest.raises(TypeError):
        cast("Any", config.entries)["mx"] = {}
    with pytest.raises(TypeError):
        cast("Any", table)["a.com"] = ListenerDomain()


def test_its_mappings_are_values(config: PolicyConfig) -> None:
    entries = config.entries
    assert isinstance(entries, Mapping)
    assert repr(entries) == repr(dict(entries))
    assert pickle.loads(pickle.dumps(entries)) == entries
    assert copy.deepcopy(entries) == entries


def test_loading_shares_entries_that_are_written_alike() -> None:
    table = PolicyConfig.from_mapping(
        {"a.com": {"relay_to": True}, "b.com": {"relay_to": True}, "c.com": {"relay_to": False}}
    ).entries["*"]
    assert table["a.com"] is table["b.com"]
    assert table["a.com"] is not table["c.com"]


def test_sharing_never_takes_one_type_for_another() -> None:
    with pytest.raises(ConfigError) as caught:
        PolicyConfig.from_mapping({"a.com": {"relay_to": True}, "b.com": {"relay_to": 1}})
    assert [problem.path for problem in caught.value.problems] == ['"b.com".relay_to']


def test_any_mapping_is_read_as_a_dictionary_is_and_stays_as_it_was() -> None:
    options: dict[str, Any] = {"relay_to": True, "relay_from": ["10.0.0.0/8"]}
    document = {"a.com": options, "listener": {"mx": {"b.com": dict(options)}}}
    views = MappingProxyType(
        {
            "a.com": MappingProxyType(options),
            "listener": MappingProxyType(
                {"mx": MappingProxyType({"b.com": MappingProxyType(dict(options))})}
            ),
        }
    )
    before = copy.deepcopy(document)
    read = PolicyConfig.from_mapping(document)
    assert PolicyConfig.from_mapping(views) == read
    assert document == before
    options["relay_too"] = 1
    paths: list[str | None] = []
    for wrong in (document, views):
        with pytest.raises(ConfigError) as raised:
            PolicyConfig.from_mapping(wrong)
        paths += [problem.path for problem in raised.value.problems]
    assert paths == ['"a.com".relay_too'] * 2
    options.clear()
    assert read.entries["*"]["a.com"].relay_to


def test_an_entry_may_be_a_model_or_hold_what_no_document_can() -> None:
    entry = ListenerDomain(relay_from=cast("Any", ["10.0.0.0/8"]))
    config = PolicyConfig.from_mapping(
        {"a.com": entry, "b.com": {"relay_from": CidrSet(["10.0.0.0/8"])}}
    )
    assert config.entries["*"]["a.com"] == entry
    assert config.entries["*"]["b.com"] == entry


def test_the_json_schema_describes_a_document() -> None:
    schema = cast("dict[str, Any]", PolicyConfig.json_schema())
    entry = schema["$defs"]["ListenerDomain"]
    assert set(entry["properties"]) == {*ListenerDomain.model_fields, "log_fbl"}
    assert entry["additionalProperties"] is False
    assert schema["additionalProperties"] == {"$ref": "#/$defs/ListenerDomain"}
    listeners = schema["properties"]["listener"]["additionalProperties"]
    assert listeners["additionalProperties"] == schema["additionalProperties"]
    assert entry["properties"]["log_oob"]["enum"] == [
        *(True, False, "Ignore", "LogThenDrop", "LogThenRelay")
    ]


def test_listeners_come_from_toml() -> None:
    listeners = EsmtpListener.from_toml(
        b'[[esmtp_listener]]\nlisten = "[::ffff:10.0.0.1]:25"\nrelay_hosts = ["any"]\n'
        b'[[esmtp_listener]]\nlisten = "submission"\n'
    )
    assert listeners == (
        EsmtpListener(listen="10.0.0.1:25", relay_hosts=CidrSet(["any"])),
        EsmtpListener(listen="submission"),
    )
    assert EsmtpListener.from_toml("") == ()


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("[[esmtp_listener]]", ["esmtp_listener[0].listen"]),
        ("[esmtp_listener]\nlisten = 'mx'", ["esmtp_listener"]),
        ("esmtp_listener = [1]", ["esmtp_listener[0]"]),
        ("[[listener]]\nlisten = 'mx'", ["listener"]),
        ("[[esmtp_listener]]\nlisten = '10.0.0.1'", ["esmtp_listener[0].listen"]),
        ("[[esmtp_listener]]\nlisten = 25", ["esmtp_listener[0].listen"]),
        (
            "[[esmtp_listener]]\nlisten = 'mx'\nrelay_host = []\nrelay_hosts = ['x', '10/8']",
            [
                f"esmtp_listener[0].{path}"
                for path in ("relay_host", "relay_hosts[0]", "relay_hosts[1]")
            ],
        ),
        (
            "[[esmtp_listener]]\nlisten = '[::1]:25'\n[[esmtp_listener]]\nlisten = '[0::1]:25'",
            ["esmtp_listener[1].listen"],
        ),
        ("[", [""]),
    ],
)
def test_wrong_listeners_are_reported_by_path(text: str, paths: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        EsmtpListener.from_toml(text)
    assert [problem.path for problem in caught.value.problems] == paths
    assert {problem.document for problem in caught.value.problems} == {0}
