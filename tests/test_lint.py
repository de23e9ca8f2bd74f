"""Lint as a whole: order, progress, silence on clean policies, and what it says of the example."""

import json
import pickle
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DIALECTS, esmtp, problems_of, untyped
from test_docs import EXAMPLES

from listener_policy import (
    CidrSet,
    ConfigError,
    Dialect,
    EntryRef,
    EsmtpListener,
    Policy,
    RcptRequest,
    Request,
    RequestError,
    strategies,
)
from listener_policy.analysis import LINT_CODES, Finding, LintCode, Severity, equivalent, lint
from listener_policy.analysis.linting.findings import entry_path

SMALL_COMPANY: Final = """
["*"]
relay_to = false

["example.com"]
relay_to = true
relay_from = ["192.0.2.0/28", "2001:db8:1::/48"]
log_arf = "LogThenRelay"

["*.example.com"]
relay_to = true

["bounces.example.net"]
log_oob = "LogThenDrop"

["[192.0.2.25]"]
relay_to = true

[listener."submission"."example.com"]
relay_to = true
relay_from = []
relay_from_authz = ["ann", "bob"]
log_arf = "LogThenRelay"
"""

INTERNAL_GATEWAY: Final = """
["*"]
relay_from = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
"""

TWO_GATEWAYS: Final = """
["example.com"]
relay_to = true
["example.net"]
relay_to = true
[listener."192.0.2.25:25"."example.com"]
relay_to = true
relay_from = ["192.0.2.64/26"]
[listener."[2001:db8::25]:25"."example.com"]
relay_to = true
relay_from = ["2001:db8:64::/48"]
"""


def hosting(customers: int) -> dict[str, Any]:
    """A provider whose customers have a domain each, with all names below it."""
    document: dict[str, Any] = {"*": {"relay_to": False}}
    submission: dict[str, Any] = {}
    for number in range(customers):
        name = f"customer-{number}.{('com', 'net', 'co.uk')[number % 3]}"
        document[name] = {"relay_to": True, "log_arf": "LogThenDrop"}
        document[f"*.{name}"] = {"relay_to": True}
        submission[name] = {
            **document[name],
            "relay_from_authz": [f"mail{number}", f"postmaster@{name}"],
        }
    document["listener"] = {"submission": submission}
    return document


CLEAN: Final = {
    "nothing": Policy.from_toml(""),
    "small company": Policy.from_toml(SMALL_COMPANY, relay_hosts=["127.0.0.1", "10.1.0.0/16"]),
    "internal gateway": Policy.from_toml(INTERNAL_GATEWAY),
    "two gateways": Policy.from_toml(
        TWO_GATEWAYS,
        listeners=[
            esmtp("192.0.2.25:25", ["127.0.0.1", "10.0.0.0/8"]),
            esmtp("[2001:db8::25]:25", ["::1"]),
            esmtp("0.0.0.0:587", ["127.0.0.1", "10.0.0.0/8"]),
            esmtp("[::]:587", []),
            esmtp("submission"),
        ],
    ),
    "hosting": Policy.from_mapping(hosting(1000)),
}


def in_dialect(policy: Policy, dialect: Dialect) -> Policy:
    return Policy(
        policy.config,
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=dialect,
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", CLEAN)
def test_clean_policies_are_passed_over_in_silence(name: str, dialect: Dialect) -> None:
    assert list(map(str, lint(in_dialect(CLEAN[name], dialect)))) == []


ACCEPTED: Final = {
    # the README explains a decision by it, and by its boolean
    ("name-hides-grant", '"bounces.example.com"'),
    ("boolean-log", '"bounces.example.com".log_oob'),
    # it shows every option there is
    ("ttl-ignored", '"fbl.example.com".ttl'),
    # the labs send with names of their hosts
    ("apex-not-covered", '"*.labs.example.com"'),
    # exact names stand below wildcards, as they do in most policies of the guide
    ("dialects-differ", '"*.example.com"'),
    ("dialects-differ", 'listener."submission"."*"'),
}
"""What is found in the example policy, and may stay there."""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_example_policy_has_no_findings_but_those_that_were_looked_at(dialect: Dialect) -> None:
    policy = Policy.from_toml(
        (EXAMPLES / "listener_domains.toml").read_bytes(),
        listeners=EsmtpListener.from_toml((EXAMPLES / "listeners.toml").read_bytes()),
        dialect=dialect,
    )
    expected = set(ACCEPTED)
    if dialect is Dialect.KUMOMTA:  # what the boolean means there
        expected.add(("report-without-relay-to", '"bounces.example.com".log_oob'))
    assert {(str(finding.code), finding.path) for finding in lint(policy)} == expected


GUIDE: Final = """
["example.com"]
relay_to = true
["send.example.com"]
relay_from = ["10.0.0.0/24"]
["*.example.com"]
log_oob = true
log_arf = true
relay_to = true
[listener."127.0.0.1:25"."*.example.com"]
log_oob = false
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_2_5_the_trap_of_the_guide_is_found_and_what_is_lost_is_named(dialect: Dialect) -> None:
    policy = Policy.from_toml(GUIDE, dialect=dialect)
    (finding,) = [f for f in lint(policy) if f.code == LintCode.LISTENER_HIDES_GRANT]
    assert finding.path == 'listener."127.0.0.1:25"."*.example.com"'
    assert finding.message.endswith(
        "`relay_to` (`*.example.com`), `relay_from` (`send.example.com`), "
        "`log_arf` (`*.example.com`)"
    )
    assert finding.severity is Severity.WARNING
    assert finding.proved


MANY: Final = Policy.from_mapping(
    {
        "*": {"relay_to": True, "log_oob": True, "ttl": 5},
        "default": {"relay_from": ["any"]},
        "example.com": {"relay_from": ["198.0.0.0/8"], "relay_from_authz": ["*", " a", "", "b "]},
        "listener": {"0.0.0.0:25": {"b.com": {"relay_to": True}}, "default": {"b.com": {}}},
    }
)


def test_findings_are_sorted_by_severity_then_path_then_code() -> None:
    findings = lint(MANY)
    keys = [(list(Severity).index(f.severity), f.path, f.code) for f in findings]
    assert keys == sorted(set(keys))
    assert {f.severity for f in findings} == set(Severity)


def test_a_finding_is_data() -> None:
    finding = lint(MANY)[0]
    assert finding == Finding(
        LintCode.OPEN_RELAY,
        '"*".relay_to',
        "strangers may relay from anywhere to every domain that nothing else governs",
        "list the domains that are yours",
        RcptRequest("other", "203.0.113.9", "someone@anywhere.example", "someone@other.test"),
    )
    assert pickle.loads(pickle.dumps(finding)) == finding
    assert len({finding, *lint(MANY)}) == len(lint(MANY))
    with pytest.raises(AttributeError):
        finding.path = ""  # type: ignore[misc]
    assert finding.to_dict() == {
        "code": "open-relay",
        "severity": "error",
        "proved": True,
        "path": '"*".relay_to',
        "message": finding.message,
        "hint": finding.hint,
        "witness": {
            "listener": "other",
            "peer": "203.0.113.9",
            "sender": "someone@anywhere.example",
            "recipient": "someone@other.test",
            "auth": None,
        },
    }
    assert all(json.loads(json.dumps(f.to_dict())) == f.to_dict() for f in lint(MANY))
    (without,) = (f for f in lint(MANY) if f.code == LintCode.TTL_IGNORED)
    assert without.to_dict()["witness"] is None


def test_paths_are_those_of_documents() -> None:
    assert entry_path(EntryRef("*", "a.com")) == '"a.com"'
    assert entry_path(EntryRef("*", "listener")) == 'listener."*"."listener"'
    assert entry_path(EntryRef("mx", "listener")) == 'listener."mx"."listener"'
    assert entry_path(EntryRef('a"\x1b', "*")) == 'listener."a\\"\\u001b"."*"'


def test_every_code_is_in_the_table() -> None:
    assert list(LINT_CODES) == list(LintCode)
    assert {rule.proved for rule in LINT_CODES.values()} == {True, False}


def test_progress_is_reported_now_and_then_and_at_the_end() -> None:
    reports: list[tuple[int, int]] = []
    policy = CLEAN["hosting"]
    lint(policy, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(1000, 3001), (2000, 3001), (3000, 3001), (3001, 3001)]
    with pytest.raises(ZeroDivisionError):
        lint(policy, progress=lambda done, _total: done // 0)


@settings(max_examples=30)
@given(strategies.policies())
def test_whatever_the_policy_is_lint_says_it_in_lines(policy: Policy) -> None:
    for finding in lint(policy, routing_domains={}):
        assert str(finding).isprintable()


def test_hostile_names_are_escaped() -> None:
    document = {"listener": {"\x1b[2J\u202e": {"a.com": {"relay_from_authz": ["\x1b\u202e*"]}}}}
    findings = lint(Policy.from_mapping(document))
    assert [f.code for f in findings] == [LintCode.SUSPICIOUS_IDENTITY]
    assert str(findings[0]).isprintable()


# --- suspicions ----------------------------------------------------------------------------------


def codes(policy: Policy) -> dict[str, str]:
    """What is found, by path."""
    return {finding.path: str(finding.code) for finding in lint(policy)}


@pytest.mark.parametrize("listen", ["0.0.0.0:25", "[::]:25", "0.0.0.0:0"])
def test_2_7_a_key_that_no_connection_can_have(listen: str) -> None:
    policy = Policy.from_mapping({"listener": {listen: {"a.com": {"relay_to": True}}}})
    assert codes(policy) == {f'listener."{listen}"': "impossible-listener"}
    (finding,) = lint(policy)
    assert not finding.proved


@pytest.mark.parametrize(
    "listen", ["224.0.0.1:25", "[ff02::1]:25", "255.255.255.255:25", "192.0.2.1:0"]
)
def test_4_1_a_listener_that_cannot_listen(listen: str) -> None:
    policy = Policy.from_mapping({}, listeners=[esmtp(listen)])
    assert codes(policy) == {"listeners[0].listen": "impossible-listener"}


@pytest.mark.parametrize("listen", ["mx", "192.0.2.1:25", "[2001:db8::1]:25"])
def test_2_7_a_key_that_a_connection_can_have(listen: str) -> None:
    assert codes(Policy.from_mapping({"listener": {listen: {"a.com": {"relay_to": True}}}})) == {}


def test_a_listener_that_is_called_default() -> None:
    policy = Policy.from_mapping({"listener": {"default": {"a.com": {"relay_to": True}}}})
    assert codes(policy) == {'listener."default"': "default-key"}


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (["mx"], True),
        (["192.0.2.1:25"], False),
        (["0.0.0.0:25"], False),
        (["[::]:25"], False),
        (["0.0.0.0:587", "[::1]:25"], True),
    ],
)
def test_entries_for_an_address_that_is_not_listed(listed: list[str], found: bool) -> None:
    document = {"listener": {"192.0.2.1:25": {"a.com": {"relay_to": True}}}}
    policy = Policy.from_mapping(document, listeners=[esmtp(listen) for listen in listed])
    assert ("unlisted-listener" in codes(policy).values()) is found


@pytest.mark.parametrize(
    ("listen", "relay_hosts", "found"),
    [
        ("0.0.0.0:25", ["10.0.0.0/8"], True),
        ("127.0.0.1:25", ["10.0.0.0/8"], True),
        ("[::]:25", ["10.0.0.0/8"], True),
        ("[::1]:25", ["127.0.0.1"], True),
        ("[::1]:25", ["::1"], False),
        ("0.0.0.0:25", [], False),
        ("192.0.2.1:25", ["10.0.0.0/8"], False),
        ("mx", ["10.0.0.0/8"], False),
    ],
)
def test_4_1_relay_hosts_without_loopback(listen: str, relay_hosts: list[str], found: bool) -> None:
    policy = Policy.from_mapping({}, listeners=[esmtp(listen, relay_hosts)])
    path = {"listeners[0].relay_hosts": "loopback-left-out"}
    assert codes(policy) == (path if found else {})
    assert codes(Policy.from_mapping({}, listeners=policy.listeners, relay_hosts=[])) == {}


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        (["any"], "open-relay"),
        (["0.0.0.0/0"], "open-relay"),
        (["::/0"], "open-relay"),
        (["0.0.0.0/1"], "open-relay"),
        (["8.0.0.0/7"], "open-relay"),
        (["8.0.0.0/8", "1.0.0.1"], "open-relay"),
        ([f"{first}.0.0.0/9" for first in (1, 2, 3)], "open-relay"),
        ([f"8.{second}.0.0/16" for second in range(0, 256, 2)] * 2, "nested-block"),
        ([f"{a}.{b}.0.0/16" for a in (8, 9, 11) for b in range(0, 256, 2)], "open-relay"),
        (["2000::/15"], "open-relay"),
        (["8.0.0.0/8"], "broad-network"),
        (["2000::/16"], "broad-network"),
        (["8.0.0.0/15"], "broad-network"),
        (["2000::/31"], "broad-network"),
        (["100.0.0.0/8", "2400::/24", "9.0.0.0/12", "11.0.0.0/12"], "broad-network"),
        (["8.0.0.0/16", "2000::/32"], None),
        (["10.0.0.0/8", "172.16.0.0/12", "fc00::/7", "fe80::/10", "224.0.0.0/4"], None),
    ],
)
def test_4_1_networks_of_relay_hosts(blocks: list[str], code: str | None) -> None:
    expected = {} if code is None else {"relay_hosts": code}
    assert codes(Policy.from_mapping({}, relay_hosts=blocks)) == expected
    policy = Policy.from_mapping({"a.com": {"relay_from": blocks}}, relay_hosts=[])
    expected = {} if code is None else {'"a.com".relay_from': code}
    assert codes(policy) == expected


def test_networks_are_named_and_asked_about() -> None:
    blocks = ["8.0.0.0/12", "9.0.0.0/12", "11.0.0.0/12", "12.0.0.0/12", "10.0.0.7"]
    (finding,) = lint(Policy.from_mapping({"a.com": {"relay_from": blocks}}, relay_hosts=[]))
    assert finding.message.startswith("`8.0.0.0/12`, `9.0.0.0/12`, `11.0.0.0/12` and 1 more: ")
    assert finding.witness == Request("other", "8.0.0.1", "a.com")
    (finding,) = lint(Policy.from_mapping({}, relay_hosts=blocks))
    assert isinstance(finding.witness, Request)
    assert finding.witness.peer == "8.0.0.1"


def test_witnesses_are_made_where_all_peers_are_listed() -> None:
    document = {"a.com": {"relay_from_authz": ["*"], "log_oob": "LogThenRelay"}}
    policy = Policy.from_mapping(document, relay_hosts=["any"])
    assert codes(policy) == {
        "relay_hosts": "open-relay",
        '"a.com".relay_from_authz': "suspicious-identity",
    }
    nearly = ["0.0.0.0/0", "2000::/3", "::/3"]
    (finding, *_) = (
        f
        for f in lint(Policy.from_mapping(document, relay_hosts=nearly))
        if f.code == "report-without-relay-to"
    )
    assert isinstance(finding.witness, RcptRequest)
    assert finding.witness.peer == "4000::1"


@pytest.mark.parametrize("identity", ["", "*", "*@example.com", " ann", "ann ", "ann\t", "any"])
def test_1_6_identities_that_hardly_anybody_has(identity: str) -> None:
    policy = Policy.from_mapping({"a.com": {"relay_from_authz": ["ann", identity]}})
    assert codes(policy) == {'"a.com".relay_from_authz': "suspicious-identity"}
    assert isinstance(lint(policy)[0].witness, Request)
    assert lint(policy)[0].witness.auth == identity  # type: ignore[union-attr]


def test_1_6_many_odd_identities() -> None:
    policy = Policy.from_mapping({"a.com": {"relay_from_authz": ["*a", "*b", "*c", "*d"]}})
    assert lint(policy)[0].message.startswith("`*a`, `*b`, `*c` and 1 more: ")


def test_2_3_what_a_wildcard_does_not_govern() -> None:
    def found(**entries: Mapping[str, object]) -> bool:
        document = {key.replace("_", "."): value for key, value in entries.items()}
        document["*.a.com"] = {"relay_to": True}
        return "apex-not-covered" in codes(Policy.from_mapping(document)).values()

    assert found()
    assert not found(a_com={})
    policy = Policy.from_mapping({"*.a.com": {"relay_to": True}, "*.com": {"log_oob": True}})
    (message,) = (f.message for f in lint(policy) if f.code == LintCode.APEX_NOT_COVERED)
    assert "governed by `*.com` of listener `*`, without `relay_to`" in message
    alike = Policy.from_mapping({"*.a.com": {"relay_to": True}, "*.com": {"relay_to": True}})
    assert LintCode.APEX_NOT_COVERED not in {f.code for f in lint(alike)}


# --- routing_domains -----------------------------------------------------------------------------

RELAYING: Final = Policy.from_toml("""
["a.com"]
relay_to = true
["*.a.com"]
relay_to = true
["b.a.com"]
relay_to = true
log_oob = "LogThenDrop"
["[192.0.2.1]"]
relay_to = true
["c.com"]
log_oob = "LogThenDrop"
""")


@pytest.mark.parametrize(
    ("routes", "unrouted"),
    [
        ([], ["a.com", "*.a.com", "b.a.com", "[192.0.2.1]"]),
        (["*"], []),
        (["A.com."], ["*.a.com", "b.a.com", "[192.0.2.1]"]),
        (["*.a.com"], ["a.com", "[192.0.2.1]"]),
        (["*.com", "[192.0.2.1]"], []),
        (["b.a.com", "x.a.com"], ["a.com", "*.a.com", "[192.0.2.1]"]),
    ],
)
def test_relay_to_without_a_route(routes: list[str], unrouted: list[str]) -> None:
    findings = lint(RELAYING, routing_domains=dict.fromkeys(routes, "mx.internal"))
    found = {f.path for f in findings if f.code == LintCode.UNROUTED_RELAY_TO}
    assert found == {f'"{pattern}".relay_to' for pattern in unrouted}
    assert LintCode.UNROUTED_RELAY_TO not in {f.code for f in lint(RELAYING)}


def test_everything_that_is_wrong_with_routes_is_told() -> None:
    routes = {"a..com": "x", "b.com": "", "c.com": None, "d.com": "x", "D.com": "y", 5: "x"}
    problems = problems_of(lambda: lint(RELAYING, routing_domains=untyped(routes)))
    assert [(p.document, p.path) for p in problems] == [
        (None, 'routing_domains."a..com"'),
        (None, 'routing_domains."b.com"'),
        (None, 'routing_domains."c.com"'),
        (None, 'routing_domains."D.com"'),
        (None, "routing_domains.5"),
    ]
    with pytest.raises(ConfigError, match="routing_domains: expected a table of next hops"):
        lint(RELAYING, routing_domains=untyped(["a.com"]))


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(RequestError, match="expected a `Policy`, found a table"):
        lint(untyped({}))


@given(
    blocks=st.lists(
        st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::1", "::/64", "192.0.2.7"]),
        max_size=4,
    )
)
def test_3_1_blocks_inside_others_add_nothing(blocks: list[str]) -> None:
    nested = any(
        CidrSet([block]) <= CidrSet([other])
        for index, block in enumerate(blocks)
        for other in blocks[:index] + blocks[index + 1 :]
    )
    entry = {"example.com": {"relay_from": blocks}}
    policy = Policy.from_mapping(entry, relay_hosts=blocks)
    found = [finding for finding in lint(policy) if finding.code is LintCode.NESTED_BLOCK]
    paths = {finding.path for finding in found}
    assert paths == ({'"example.com".relay_from', "relay_hosts"} if nested else set())
    kept = CidrSet(blocks).to_list()
    fewer = Policy.from_mapping({"example.com": {"relay_from": kept}}, relay_hosts=kept)
    assert equivalent(policy, fewer)
    assert LintCode.NESTED_BLOCK not in {finding.code for finding in lint(fewer)}
    for finding in found:
        assert isinstance(finding.witness, Request)
        assert policy.decide(*finding.witness).relay_hosts
