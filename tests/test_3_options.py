"""What an entry may say, and what is said about one that is wrong (rules 3.1 to 3.4)."""

import json
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import (
    LISTENER,
    OUTSIDER,
    Fields,
    mapping_problems,
    options,
    problems_of,
    short,
    table,
    told,
    toml_problems,
    untyped,
    words,
)

from listener_policy import (
    CidrSet,
    ConfigError,
    Dialect,
    EsmtpListener,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyConfig,
    PolicyError,
    Problem,
    evaluate,
)

INSIDE = "10.0.0.7"
NOTHING = dict[str, object]()
"""An entry or a table in which nothing is written."""
MAPPED = 96
"""The length of the block of the IPv4-mapped addresses."""


def only_problem(written: Fields) -> Problem:
    """The one problem of a document with the one entry `a.com`."""
    problems = mapping_problems({"a.com": written})
    assert len(problems) == 1
    return problems[0]


# 3, the table of options


def test_3_defaults() -> None:
    decision = evaluate(ListenerDomain(), INSIDE, "")
    assert (decision.relay_to, decision.relay_from, decision.relay_from_authz) == (False,) * 3
    assert decision.log_oob is decision.log_arf is LogReport.IGNORE


@pytest.mark.parametrize("option", ["log_oob", "log_arf", "log_fbl"])
@pytest.mark.parametrize(
    ("value", "documented", "kumomta"),
    [
        (False, LogReport.IGNORE, LogReport.IGNORE),
        ("Ignore", LogReport.IGNORE, LogReport.IGNORE),
        ("LogThenDrop", LogReport.LOG_THEN_DROP, LogReport.LOG_THEN_DROP),
        ("LogThenRelay", LogReport.LOG_THEN_RELAY, LogReport.LOG_THEN_RELAY),
        (True, LogReport.LOG_THEN_DROP, LogReport.LOG_THEN_RELAY),
    ],
)
def test_3_log_options_and_s2(
    option: str, value: object, documented: LogReport, kumomta: LogReport
) -> None:
    for dialect, meant in ((Dialect.DOCUMENTED, documented), (Dialect.KUMOMTA, kumomta)):
        decision = evaluate(options(**{option: value}), OUTSIDER, dialect=dialect)
        logged = {"log_oob": decision.log_oob, "log_arf": decision.log_arf}
        name = option.replace("fbl", "arf")
        assert logged.pop(name) is meant
        assert list(logged.values()) == [LogReport.IGNORE]


def test_3_log_options_stay_as_written_in_the_entry() -> None:
    entry = options(log_oob=True, log_fbl="LogThenRelay")
    assert entry.log_oob is True
    assert entry.log_arf is LogReport.LOG_THEN_RELAY
    assert options(log_oob=LogReport.LOG_THEN_DROP).log_oob is LogReport.LOG_THEN_DROP
    assert options(log_oob=False).log_oob is False


@pytest.mark.parametrize("same", [True, False])
def test_3_log_fbl_and_log_arf_in_one_entry(same: bool) -> None:
    problem = only_problem({"log_arf": True, "log_fbl": same})
    assert problem.path.startswith('"a.com"')
    assert "log_fbl" in told([problem])
    assert "log_arf" in told([problem])


@pytest.mark.parametrize(
    "ttl", words('300 0 -1.5 "5m" true [1,"2"] {a={b=1}} 1979-05-27 nan 07:32:00 [] ""')
)
def test_3_ttl_is_accepted_without_effect(ttl: str) -> None:
    with_ttl = Policy.from_toml(f'["a.com"]\nrelay_to = true\nttl = {ttl}')
    without = Policy.from_toml('["a.com"]\nrelay_to = true')
    assert with_ttl == without
    assert hash(with_ttl) == hash(without)
    decision = with_ttl.decide(LISTENER, OUTSIDER, "a.com")
    assert decision == without.decide(LISTENER, OUTSIDER, "a.com")


# 3.1: blocks


@pytest.mark.parametrize(
    ("block", "inside", "outside"),
    [
        *(("10.0.0.0/24", "10.0.0.0 10.0.0.255", "9.255.255.255 10.0.1.0 ::a00:1 ::"),),
        *(("10.0.0.7", "10.0.0.7", "10.0.0.6 10.0.0.8"), ("10.0.0.7/32", "10.0.0.7", "10.0.0.6")),
        *(("0.0.0.0/0", "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", ":: ::1 2001:db8::1"),),
        *(("2001:db8::/32", "2001:db8:: 2001:db8:ffff::", "2001:db7:: 2001:db9:: 32.1.13.184"),),
        *(("2001:DB8::1", "2001:db8::1", "2001:db8:: 2001:db8::2"), ("::1/128", "::1", ":: ::2")),
        *(("::/0", ":: 2001:db8::1 ::10.0.0.1", "10.0.0.1 0.0.0.0 ::ffff:10.0.0.1"),),
        *(("any", "0.0.0.0 255.255.255.255 :: ::1 2001:db8::1 ::ffff:10.0.0.1", ""),),
        *(("10.0.0.4/31", "10.0.0.4 10.0.0.5", "10.0.0.3 10.0.0.6"), ("::/128", "::", "::1")),
        *(("128.0.0.0/1", "128.0.0.0 255.0.0.0", "127.255.255.255 0.0.0.0 8000::"),),
    ],
)
def test_3_1_a_block_contains_its_addresses(block: str, inside: str, outside: str) -> None:
    entry = options(relay_from=[block])
    for peer in words(inside):
        assert ip_address(peer) in CidrSet.parse([block])
        assert evaluate(entry, peer, relay_hosts=[block]).relay_from
        assert evaluate(entry, peer, relay_hosts=[block]).relay_hosts
    for peer in words(outside):
        assert ip_address(peer) not in CidrSet.parse([block])
        assert not evaluate(entry, peer, relay_hosts=[block]).relay_from
        assert not evaluate(entry, peer, relay_hosts=[block]).relay_hosts


NO_BLOCKS = [
    *words("10.0.0.0/255.255.255.0 10.0.0.0/0.0.0.255 10.0.0.0/255 10/8 10.0/16 10.0.0 10"),
    *words("1.2.3/24 10.0.0.0/08 10.0.0.0/+8 10.0.0.0/-1 10.0.0.0/33 10.0.0.0/ /8 10.0.0.0/8/8"),
    *words("010.0.0.0/8 10.0.0.010 10.0.0.00 ::/0128 ::/129 ::/+1 ::/ffff:: 1:2:3 2001:db8 ::g"),
    *words("fe80::1%eth0 fe80::%eth0/64 fe80::/64%eth0 fe80::1% [::1] [::1]/128 10.0.0.1:25"),
    *words("* ANY Any all none localhost a.com 0x0a000001 167772161 0xa.0.0.1 256.0.0.0/8 ::1/any"),
    *words(
        "10.0.0.1-10.0.0.9 10.0.0.1,10.0.0.2 10.0.0.* 10.0.0.0/\uff18 \uff11\uff10.0.0.0/8 any/0"
    ),
    *("", " ", " 10.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0 /8", "10.0.0.0/ 8", "10.0.0.0/8\n", "any "),
    *("10.0.0.1\x00", "\ud800", "1" * 5000, "10.0.0.0/" + "1" * 5000),
]


@pytest.mark.parametrize("block", NO_BLOCKS, ids=short)
def test_3_1_nothing_else_is_a_block(block: str) -> None:
    assert only_problem({"relay_from": ["10.0.0.0/8", block]}).path == '"a.com".relay_from[1]'
    for load in (
        lambda: CidrSet.parse([block]),
        lambda: Policy.from_toml("", relay_hosts=[block]),
        lambda: Policy(PolicyConfig.from_toml(""), relay_hosts=[block]),
    ):
        assert [one.document for one in problems_of(load)] == [None]
    with pytest.raises(ValidationError):
        options(relay_from=[block])
    with pytest.raises(ValidationError):
        EsmtpListener.model_validate({"listen": LISTENER, "relay_hosts": [block]})


@pytest.mark.parametrize(
    ("block", "meant"),
    [
        *(("10.0.0.1/24", "10.0.0.0/24"), ("10.1.2.3/8", "10.0.0.0/8"), ("::3/127", "::2/127")),
        *(("2001:db8::1/32", "2001:db8::/32"), ("128.0.0.1/1", "128.0.0.0/1")),
    ],
)
def test_3_1_bits_beyond_the_length_are_an_error_that_asks(block: str, meant: str) -> None:
    for problem in (
        only_problem({"relay_from": [block]}),
        *problems_of(lambda: CidrSet.parse([block])),
        *problems_of(lambda: Policy.from_toml("", relay_hosts=[block])),
    ):
        assert block in problem.message
        assert f"did you mean `{meant}`" in told([problem])


@pytest.mark.parametrize(
    ("block", "host"), [("10.0.0.1/0", "10.0.0.1"), ("2001:db8::1/0", "2001:db8::1")]
)
def test_3_1_with_length_0_the_error_asks_for_the_host(block: str, host: str) -> None:
    problem = only_problem({"relay_from": [block]})
    assert f"did you mean `{host}" in told([problem])
    assert f"did you mean `{block}" not in told([problem])
    assert "0.0.0.0/0" not in told([problem])
    assert "`::/0`" not in told([problem])


# 3.2: empty lists, and the two families


@pytest.mark.parametrize("peer", ["0.0.0.0", "127.0.0.1", "::", "::1", "255.255.255.255", OUTSIDER])
@pytest.mark.parametrize("auth", [None, "", "alice"])
def test_3_2_an_empty_list_matches_nobody(peer: str, auth: str | None) -> None:
    decision = evaluate(options(relay_from=[], relay_from_authz=[]), peer, auth, relay_hosts=[])
    assert not decision.may_send
    assert not Policy.from_toml("", relay_hosts=[]).decide(LISTENER, peer, "a", auth).relay_hosts
    assert ip_address(peer) not in CidrSet.parse([])


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=6), st.integers(0, 128))
def test_3_2_the_families_are_disjoint(
    four: IPv4Address, length4: int, six: IPv6Address, length6: int
) -> None:
    fours = CidrSet.parse([str(ip_network((four, length4), strict=False))])
    sixes = CidrSet.parse([str(ip_network((six, length6), strict=False))])
    mapped_block = six.ipv4_mapped is not None and length6 >= MAPPED
    assert four in fours
    assert (six in sixes) is (six.ipv4_mapped is None or mapped_block)
    if not mapped_block:
        assert four not in sixes
        assert list(fours & sixes) == []
    if six.ipv4_mapped is None:
        assert six not in fours
    assert four in CidrSet.parse(["any"])
    assert six in CidrSet.parse(["any"])


# 3.3: types, names


@pytest.mark.parametrize("value", ["true", "false", "", 1, 0, 1.0, None, [], {}, [True], "Ignore"])
def test_3_3_relay_to_is_a_boolean(value: object) -> None:
    problem = only_problem({"relay_to": value})
    assert problem.path == '"a.com".relay_to'
    assert "true" in told([problem]) or "boolean" in told([problem])
    with pytest.raises(ValidationError):
        options(relay_to=value)


@pytest.mark.parametrize("option", ["log_oob", "log_arf", "log_fbl"])
@pytest.mark.parametrize(
    "value",
    ["true", "ignore", "logthendrop", "LogThenDrop ", "", "LOG_THEN_DROP", 1, 0, 1.0, None, [], {}],
)
def test_3_3_log_options_are_booleans_or_three_words(option: str, value: object) -> None:
    problem = only_problem({option: value})
    assert problem.path == f'"a.com".{option}'
    assert "LogThenDrop" in told([problem])
    with pytest.raises(ValidationError):
        options(**{option: value})


@pytest.mark.parametrize("option", ["relay_from", "relay_from_authz"])
@pytest.mark.parametrize("value", ["10.0.0.0/8", "any", "", 1, True, None, {}, {"any": True}])
def test_3_3_a_string_is_not_a_list(option: str, value: object) -> None:
    problem = only_problem({option: value})
    assert problem.path == f'"a.com".{option}'
    assert "list" in told([problem])
    with pytest.raises(ValidationError):
        options(**{option: value})


@pytest.mark.parametrize("option", ["relay_from", "relay_from_authz"])
@pytest.mark.parametrize("item", [1, True, None, ["any"], {}, 1.5])
def test_3_3_a_list_is_of_strings(option: str, item: object) -> None:
    problem = only_problem({option: ["10.0.0.1", item]})
    assert problem.path == f'"a.com".{option}[1]'


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        *(("relay_form", "relay_from"), ("relayto", "relay_to"), ("Relay_To", "relay_to")),
        *(("relay_from_auth", "relay_from_authz"), ("log_oop", "log_oob"), ("log-arf", "log_arf")),
        *(("log_fb", "log_fbl"), ("relay_from_authzz", "relay_from_authz"), ("tttl", "ttl")),
    ],
)
def test_3_3_an_unknown_option_suggests_the_nearest(option: str, meant: str) -> None:
    problem = only_problem({option: True})
    assert problem.path == f'"a.com".{option}'
    assert option in problem.message
    assert f"`{meant}`" in (problem.hint or "")
    with pytest.raises(ValidationError):
        options(**{option: True})


@pytest.mark.parametrize("option", ["zzzzzzzz", "x", "hostname_of_the_next_relay"])
def test_3_3_an_unknown_option_that_is_near_none(option: str) -> None:
    problem = only_problem({option: True})
    assert problem.path == f'"a.com".{option}'
    assert "did you mean" not in told([problem])


@pytest.mark.parametrize(
    ("header", "path", "meant"),
    [
        ("example.com", '"example"', '"example.com"'),
        ("mail.example.com", '"mail"', '"mail.example.com"'),
        ("listener.mx.example.com", 'listener."mx"."example"', '"example.com"'),
        ('listener."10.1.2.3:25".a.b.c', 'listener."10.1.2.3:25"."a"', '"a.b.c"'),
    ],
)
def test_3_3_a_name_without_quotes_is_told_so(header: str, path: str, meant: str) -> None:
    for body in ("relay_to = true", "relay_to = true\nrelay_from = ['any']\nttl = 5", ""):
        problems = toml_problems(f"[{header}]\n{body}")
        assert [one.path for one in problems] == [path]
        assert meant in told(problems)
        assert "quote" in told(problems)


@pytest.mark.parametrize("value", [5, "x", True, None, [], [None]])
def test_3_3_an_entry_and_a_listener_are_tables(value: object) -> None:
    for path, document in (
        ('"a.com"', {"a.com": value}),
        ("listener", {"listener": value}),
        ('listener."mx"', {"listener": {"mx": value}}),
        ('listener."mx"."a.com"', {"listener": {"mx": {"a.com": value}}}),
    ):
        assert [problem.path for problem in mapping_problems(document)] == [path]


@pytest.mark.parametrize("key", [1, None, True, b"a.com", ("a.com",)], ids=short)
def test_3_3_a_key_is_a_string(key: object) -> None:
    for document in ({key: NOTHING}, {"a.com": {key: 1}}, {"listener": {key: NOTHING}}):
        assert len(mapping_problems(untyped(document))) == 1


# 3.4: all problems at once


def test_3_4_all_problems_of_all_documents_are_reported() -> None:
    one = """
["a.com"]
relay_to = 1
relay_form = []
relay_from = ["10.0.0.0/8", "10.0.0.1/24", "nowhere"]
[listener."127.0.0.1:25"."*.example.com"]
log_oob = "maybe"
[listener."127.0.0.1"."b.com"]
"""
    two = '["b.com"]\nrelay_from_authz = "alice"\n["-bad-"]\n["a.*"]\nrelay_to = "yes"'
    problems = toml_problems(one, two, "", two)
    again = ['"b.com".relay_from_authz', '"-bad-"', '"a.*"', '"a.*".relay_to']
    found = {(problem.document, problem.path) for problem in problems}
    assert found == {
        (0, '"a.com".relay_to'),
        (0, '"a.com".relay_form'),
        (0, '"a.com".relay_from[1]'),
        (0, '"a.com".relay_from[2]'),
        (0, 'listener."127.0.0.1:25"."*.example.com".log_oob'),
        (0, 'listener."127.0.0.1"'),
        *((document, path) for document in (1, 3) for path in again),
    }
    for shown in ("relay_form", "10.0.0.1/24", "nowhere", "maybe", "127.0.0.1", "alice", "-bad-"):
        assert any(shown in problem.message for problem in problems)


@pytest.mark.parametrize("text", ['["a.com', "= 1", '["a.com"]\n["a.com"]', "\x00", "[a", b"\xff"])
def test_3_4_a_syntax_error_hides_no_other_document(text: str | bytes) -> None:
    problems = toml_problems('["b.com"]\nrelay_to = 1', text, '["c.com"]\nlog_oob = 2')
    assert [(one.document, one.path) for one in problems if one.document != 1] == [
        (0, '"b.com".relay_to'),
        (2, '"c.com".log_oob'),
    ]
    assert [one.path for one in problems if one.document == 1] == [""]


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        *(({"a.com": {"relay_to": "yes"}}, "yes"), ({"a.com": {"relay_to": 4711}}, "4711")),
        *(({"a.com": {"log_oob": "LogThenDorp"}}, "LogThenDorp"), ({"-x-": NOTHING}, "-x-")),
        *(({"a.com": {"relay_from": ["elsewhere"]}}, "elsewhere"), ({"a.*": NOTHING}, "a.*")),
        *(({"a.com": {"relay_from": "10.0.0.0/8"}}, "10.0.0.0/8"), ({"a.com": 4711}, "4711")),
        *(
            ({"a.com": {"relay_from_authz": [4711]}}, "4711"),
            ({"a.com": {"log_off": 1}}, "log_off"),
        ),
    ],
)
def test_3_4_a_problem_shows_what_was_found(document: Fields, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PolicyConfig.from_mapping(document)
    (problem,) = caught.value.problems
    assert shown in problem.message
    assert problem.document == 0
    assert problem.path in str(caught.value)
    assert problem.message in str(caught.value)


def test_3_4_the_error_shows_every_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        PolicyConfig.from_mapping({"a.com": {"relay_to": "one"}}, {"b.com": {"log_oob": "two"}})
    assert isinstance(caught.value, PolicyError)
    assert isinstance(caught.value, ValueError)
    for shown in ('"a.com".relay_to', "one", '"b.com".log_oob', "two"):
        assert shown in str(caught.value)


@pytest.mark.parametrize("loader", ["from_toml", "from_json"])
@pytest.mark.parametrize("owner", [Policy, PolicyConfig])
@pytest.mark.parametrize(
    "text",
    [
        *(b"\xff\xfe", b'["a\xe9.com"]', "[" * 100_000, "{" * 100_000, '{"a":' * 100_000, "a."),
        *("a = " + "[" * 100_000, '{"a.com": {"ttl": ' + "[" * 100_000, "a = " + "{a=" * 100_000),
        *("a = " + "9" * 5000, '{"a.com": {"ttl": ' + "9" * 5000 + "}}", "-" + "9" * 5000, "null"),
        *('["a.com"]\nttl = ' + "9" * 5000, "[]", '"a"', "1", "{", "}", '{"a": {}}{}', "\x00", "a"),
        *('{"a.com": {"relay_to": true, "relay_to": true}}', '{"a.com": {}, "a.com": {}}'),
        *('["a.com"]\nrelay_to = true\nrelay_to = true', '{"a.com": {"ttl": {"a": 1, "a": 1}}}'),
        *("\ud800", "\ufeff\ufeff{}", '{"a.com": {"relay_to": NaN}}', "[" + "a." * 100_000 + "b]"),
    ],
    ids=short,
)
def test_3_4_no_text_raises_anything_else(owner: Any, loader: str, text: str | bytes) -> None:
    empty = "{}" if loader == "from_json" else ""
    problems = problems_of(lambda: getattr(owner, loader)(empty, text))
    assert {one.document for one in problems} == {1}
    assert all(one.message for one in problems)


PIECES = words('[a.com] "a.com" = true { } [ ] " \' listener . , : 1e999 0x \\ # """ relay_to 1')


@given(
    st.text(max_size=60)
    | st.binary(max_size=60)
    | st.lists(st.sampled_from([*PIECES, "\n", "esmtp_listener"])).map("".join)
)
def test_3_4_any_text_is_a_configuration_or_a_config_error(text: str | bytes) -> None:
    for load in (PolicyConfig.from_toml, PolicyConfig.from_json, EsmtpListener.from_toml):
        with suppress(ConfigError):
            load(text)


def test_3_4_a_json_object_with_one_key_twice() -> None:
    text = '{"a.com": {"relay_to": true, "relay_to": true}}'
    problems = problems_of(lambda: PolicyConfig.from_json(text))
    assert len(problems) == 1
    assert "relay_to" in told(problems)


@pytest.mark.parametrize("encoded", [True, False])
def test_3_4_a_byte_order_mark_is_skipped(encoded: bool) -> None:
    toml, as_json = '\ufeff["a.com"]\nrelay_to = true', '\ufeff{"a.com": {"relay_to": true}}'
    for policy in (
        Policy.from_toml(toml.encode() if encoded else toml),
        Policy.from_json(as_json.encode() if encoded else as_json),
    ):
        assert policy.decide(LISTENER, OUTSIDER, "a.com").relay_to


def test_3_4_text_bytes_json_and_mappings_say_the_same() -> None:
    document = {"a\u00fc.com": {"relay_from": ["10.0.0.0/8"]}, "listener": {"mx": table("*")}}
    toml = '["a\u00fc.com"]\nrelay_from = ["10.0.0.0/8"]\n[listener."mx"."*"]'
    policies = {
        Policy.from_mapping(document),
        *(Policy.from_json(text) for text in (json.dumps(document), json.dumps(document).encode())),
        *(Policy.from_toml(text) for text in (toml, toml.encode())),
    }
    assert len(policies) == 1


@pytest.mark.parametrize("written", [{"relay_to": 1}, {"relay_form": 1}, {"relay_from": ["x"]}])
def test_3_4_models_built_in_python_raise_the_error_of_pydantic(written: Fields) -> None:
    with pytest.raises(ValidationError):
        untyped(ListenerDomain)(**written)
    with pytest.raises(ValidationError):
        untyped(EsmtpListener)(listen=LISTENER, **written)


def test_3_4_arguments_have_no_document() -> None:
    problems = problems_of(lambda: Policy.from_toml("", relay_hosts=["10.0.0.1", "10.0.0.1/24"]))
    assert [one.document for one in problems] == [None]
    assert "10.0.0.1/24" in problems[0].message
    assert "10.0.0.0/24" in (problems[0].hint or "")
