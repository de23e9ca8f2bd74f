"""An explanation and the decision that it explains never disagree, and its evidence is true."""

import json
import pickle
from collections.abc import Iterator
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import calls_made, table, words, written_policies

from listener_policy import (
    CidrSet,
    Dialect,
    EntryRef,
    Explanation,
    GoverningRule,
    LogCheck,
    LogReport,
    PassedOver,
    PassedOverRule,
    Policy,
    PolicyConfig,
    RcptExplanation,
    RelayFromAuthzCheck,
    RelayFromCheck,
    RelayHostsCheck,
    RelayToCheck,
    Report,
    canonical_domain,
    envelope_domain,
    strategies,
)
from listener_policy.strategies import rcpt_requests, requests

FROM_ENTRY = (RelayFromCheck, RelayFromAuthzCheck, RelayToCheck, LogCheck)
ORDER = ["RELAY_HOSTS", "RELAY_FROM", "RELAY_FROM_AUTHZ", "RELAY_TO", "LOG_ARF", "LOG_OOB"]
policies = strategies.policies() | written_policies.map(lambda written: written.policy())
"""Any policy, and those whose patterns are often each other's relatives."""


NAME = "c.b.a"
PATTERNS = words("c.b.a *.b.a *.a * x.b.a x.c.b.a")
"""Those that match the name, and those that make it or the one above it nodes (rule 2.4)."""

TABLES = [
    [pattern for bit, pattern in enumerate(PATTERNS) if number >> bit & 1] for number in range(64)
]
"""Every set of them."""


@st.composite
def explained_domains(draw: st.DrawFn) -> tuple[Policy, Explanation]:
    policy = draw(policies)
    return policy, policy.explain(*draw(requests(policy)))


@st.composite
def explained_recipients(draw: st.DrawFn) -> tuple[Policy, RcptExplanation]:
    policy = draw(policies)
    return policy, policy.explain_rcpt(*draw(rcpt_requests(policy)))


# the answers


@given(st.data(), policies)
def test_4_2_what_is_explained_is_what_is_decided(data: st.DataObject, policy: Policy) -> None:
    request = data.draw(requests(policy))
    explanation = policy.explain(*request)
    decision = policy.decide(*request)
    assert explanation.decision == decision
    assert [check.reason for check in explanation.checks] == ORDER
    assert [check.holds for check in explanation.checks] == [
        *(decision.relay_hosts, decision.relay_from, decision.relay_from_authz),
        *(decision.relay_to, bool(decision.log_arf), bool(decision.log_oob)),
    ]
    match = policy.resolve(request.listener, request.domain)
    governing = explanation.governing
    found = None if governing is None else (governing.entry, governing.options)
    assert found == match
    assert explanation.domain.canonical == canonical_domain(request.domain)
    assert (explanation.domain.canonical is None) is (explanation.domain.why_not is not None)
    connection = policy.connection(request.listener, request.peer, request.auth)
    assert (explanation.peer, explanation.auth) == (connection.peer_address, connection.auth)


@given(st.data(), policies)
def test_4_3_what_is_explained_of_a_recipient_is_what_is_decided(
    data: st.DataObject, policy: Policy
) -> None:
    request = data.draw(rcpt_requests(policy))
    explanation = policy.explain_rcpt(*request)
    decision = policy.decide_rcpt(*request)
    assert explanation.decision == decision
    halves = (explanation.sender, explanation.recipient)
    for half, address, of_half in zip(
        halves, request[2:4], (decision.sender, decision.recipient), strict=True
    ):
        assert half.decision == of_half
        assert half.domain.given == address
        canonical = envelope_domain(address)
        assert half.domain.canonical == canonical
        alone = policy.explain(
            request.listener, request.peer, canonical or ("." if canonical is None else ""),
            request.auth,
        )  # fmt: skip
        assert (half.checks, half.governing) == (alone.checks, alone.governing)
        assert half.passed_over == alone.passed_over
    assert [check.reason for check in explanation.checks] == ORDER
    assert [check.holds for check in explanation.checks] == [
        *(decision.sender.relay_hosts, decision.sender.relay_from),
        *(decision.sender.relay_from_authz, decision.recipient.relay_to),
        *(bool(decision.log_arf), bool(decision.log_oob)),
    ]
    reasons = [check.reason for check in explanation.checks if check.holds]
    assert [*reasons, "DENIED"][0] == decision.reason


@given(explained_recipients())
def test_4_4_what_follows_is_what_is_decided(
    explained: tuple[Policy, RcptExplanation],
) -> None:
    policy, explanation = explained
    decision = explanation.decision
    assert [message.report for message in explanation.after_data] == [*Report, None]
    for message in explanation.after_data:
        assert message.disposition == decision.after_data(message.report)
        if message.report is None or not decision.accept:
            assert message.rule == "4.4"
            continue
        recipient = decision.recipient
        option = recipient.log_arf if message.report is Report.ARF else recipient.log_oob
        documented = policy.dialect is Dialect.DOCUMENTED
        assert (message.rule == "S4") is (recipient.relay_hosts and documented and bool(option))
        by_s3 = option is LogReport.LOG_THEN_RELAY and not decision.relay
        assert (message.rule == "S3") is by_s3
        assert not by_s3 or message.disposition.relay is not documented


@given(explained_recipients())
def test_4_3_what_is_not_taken_holds_in_the_other_half(
    explained: tuple[Policy, RcptExplanation],
) -> None:
    _, explanation = explained
    sender, recipient = explanation.decision.sender, explanation.decision.recipient
    granted = {
        "RELAY_TO": sender.relay_to,
        "LOG_ARF": bool(sender.log_arf),
        "LOG_OOB": bool(sender.log_oob),
        "RELAY_FROM": recipient.relay_from,
        "RELAY_FROM_AUTHZ": recipient.relay_from_authz,
    }
    in_vain = [name for name, holds in granted.items() if holds]
    assert [check.reason for check in explanation.not_taken] == in_vain
    assert all(check.holds for check in explanation.not_taken)


# the evidence


@given(explained_domains())
def test_the_evidence_is_true(explained: tuple[Policy, Explanation]) -> None:
    policy, explanation = explained
    governing = explanation.governing
    for check in explanation.checks:
        if isinstance(check, RelayHostsCheck):
            assert check.blocks == policy.relay_hosts_at(explanation.listener)
        else:
            assert isinstance(check, FROM_ENTRY)
            assert check.entry == (governing and governing.entry)
        if isinstance(check, RelayHostsCheck | RelayFromCheck):
            assert check.holds is (explanation.peer in check.blocks)
            assert (check.block is not None) is check.holds
            if check.block is not None:
                assert explanation.peer in check.block
                assert CidrSet([check.block]) <= check.blocks
                assert check.block in list(check.blocks)
        elif isinstance(check, RelayFromAuthzCheck):
            assert check.auth == explanation.auth
            assert check.holds is (check.auth in check.identities)
        elif isinstance(check, LogCheck):
            assert (check.written is True) <= (check.option is not LogReport.IGNORE)
            assert not check.exempt
        else:
            assert isinstance(check, RelayToCheck)
    if governing is None:
        return
    _, *from_entry = explanation.checks
    blocks, identities, relay_to, log_arf, log_oob = from_entry
    written = governing.options.model_fields_set
    assert isinstance(blocks, RelayFromCheck)
    assert blocks.blocks == governing.options.relay_from
    assert isinstance(identities, RelayFromAuthzCheck)
    assert identities.identities == governing.options.relay_from_authz
    for option, check in (("relay_to", relay_to), ("log_arf", log_arf), ("log_oob", log_oob)):
        assert isinstance(check, RelayToCheck | LogCheck)
        value = getattr(governing.options, option) if option in written else None
        assert check.written == value


def matching(policy: Policy, listener: str, domain: str) -> Iterator[EntryRef]:
    """All entries of both tables whose patterns match as text: every pattern is tried."""
    for owner in (listener, "*"):
        for pattern in policy.config.entries.get(owner, {}):
            is_name = domain != "" and not domain.startswith("[")
            below = pattern.startswith("*.") and is_name and domain.endswith(pattern[1:])
            if pattern in (domain, "*") or below:
                yield EntryRef(owner, pattern)


@given(explained_domains())
def test_2_3_what_was_passed_over_is_all_that_matches_and_does_not_govern(
    explained: tuple[Policy, Explanation],
) -> None:
    check_entries(*explained)


@pytest.mark.parametrize("dialect", Dialect)
def test_2_5_every_way_in_which_two_tables_can_matter_to_a_name(dialect: Dialect) -> None:
    governing: set[GoverningRule] = set()
    passed_over: set[PassedOverRule] = set()
    for own, shared in product(TABLES, repeat=2):
        listed = {"listener": {"mx": table(own), "*": table(shared)}}
        policy = Policy.from_mapping(listed, dialect=dialect)
        explanation = policy.explain("mx", "192.0.2.1", NAME)
        check_entries(policy, explanation)
        passed_over |= {one.because for one in explanation.passed_over}
        governing |= {explanation.governing.because} if explanation.governing else set()
    if dialect is Dialect.KUMOMTA:
        assert passed_over == {*PassedOverRule}
        assert governing == {*GoverningRule} - {GoverningRule.LONGEST_SUFFIX}
    else:
        of_trees = {PassedOverRule.CLOSEST_ENCLOSER, PassedOverRule.EXISTING_NAME}
        assert passed_over == {*PassedOverRule} - of_trees
        below_enclosers = {GoverningRule.CLOSEST_ENCLOSER, GoverningRule.LAST_RESORT}
        assert governing == {*GoverningRule} - below_enclosers


def check_entries(policy: Policy, explanation: Explanation) -> None:
    """What governs and what was passed over, against every pattern of both tables."""
    domain = explanation.domain.canonical
    passed_over = [entry.entry for entry in explanation.passed_over]
    assert len(set(passed_over)) == len(passed_over)
    if domain is None:
        assert passed_over == []
        assert explanation.governing is None
        return
    expected = set(matching(policy, explanation.listener, domain))
    governing = explanation.governing
    assert {*passed_over, *([governing.entry] if governing else [])} == expected
    for entry in explanation.passed_over:
        assert entry.options == policy.config.entries[entry.entry.listener][entry.entry.pattern]
        assert is_true(policy, explanation, entry)
    if governing is not None:
        assert governs_by_its_rule(policy, explanation, domain, governing.entry, governing.because)


def is_node(entries: dict[str, Any], name: str) -> bool:
    """Whether a name is a node of the tree of a table (rule 2.4): every key is looked at."""
    keys = [key.removeprefix("*.") for key in entries if key != "*" and not key.startswith("[")]
    return any(key == name or key.endswith(f".{name}") for key in keys)


def closest_encloser(entries: dict[str, Any], name: str) -> str:
    labels = name.split(".")
    ancestors = [".".join(labels[start:]) for start in range(len(labels))]
    return next((one for one in ancestors if is_node(entries, one)), "")


def is_true(policy: Policy, explanation: Explanation, passed_over: PassedOver) -> bool:
    """Whether the rule says what happened to an entry that was passed over."""
    entry, domain = passed_over.entry, explanation.domain.canonical or ""
    governing = None if explanation.governing is None else explanation.governing.entry
    entries = dict(policy.config.entries[entry.listener])
    same_table = governing is not None and governing.listener == entry.listener
    pattern = governing.pattern if governing is not None else ""
    match passed_over.because:
        case PassedOverRule.LISTENER_FIRST:
            own = governing is not None and governing.listener == explanation.listener
            return own and entry.listener == "*"
        case PassedOverRule.EXACT_NAME:
            return same_table and pattern == domain and entry.pattern.startswith("*.")
        case PassedOverRule.LONGER_SUFFIX:
            longer = len(pattern) > len(entry.pattern) > 1
            return same_table and pattern.startswith("*.") and longer
        case PassedOverRule.ANY_PATTERN:
            return same_table and entry.pattern == "*" != pattern
        case PassedOverRule.EXISTING_NAME:
            tree = policy.dialect is Dialect.KUMOMTA and passed_over.encloser == domain
            return tree and is_node(entries, domain) and domain not in entries
        case PassedOverRule.CLOSEST_ENCLOSER:
            encloser = closest_encloser(entries, domain)
            tree = policy.dialect is Dialect.KUMOMTA and passed_over.encloser == encloser
            return tree and encloser not in ("", domain) and f"*.{encloser}" not in entries


def governs_by_its_rule(
    policy: Policy, explanation: Explanation, domain: str, entry: EntryRef, rule: GoverningRule
) -> bool:
    """Whether the rule says why an entry governs."""
    entries = dict(policy.config.entries[entry.listener])
    is_name = domain != "" and not domain.startswith("[")
    tree = policy.dialect is Dialect.KUMOMTA and is_name
    encloser = closest_encloser(entries, domain)
    same = [one for one in explanation.passed_over if one.entry.listener == entry.listener]
    match rule:
        case GoverningRule.EXACT_NAME:
            return entry.pattern == domain
        case GoverningRule.LONGEST_SUFFIX:
            shorter = all(len(one.entry.pattern) < len(entry.pattern) for one in same)
            return not tree and entry.pattern.startswith("*.") and shorter
        case GoverningRule.CLOSEST_ENCLOSER:
            return tree and entry.pattern == f"*.{encloser}"
        case GoverningRule.EVERY_DOMAIN:
            return entry.pattern == "*" and not (tree and encloser)
        case GoverningRule.LAST_RESORT:
            return entry == ("*", "*") and tree and encloser != ""


def without(policy: Policy, entry: EntryRef) -> Policy:
    """The policy without one of its entries."""
    entries = {
        listener: {
            pattern: options
            for pattern, options in patterns.items()
            if (listener, pattern) != entry
        }
        for listener, patterns in policy.config.entries.items()
    }  # fmt: skip
    return Policy(
        PolicyConfig.from_mapping({"listener": entries}),
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=policy.dialect,
    )


@given(explained_domains())
def test_2_5_without_the_entry_that_governs_the_first_that_was_passed_over_does(
    explained: tuple[Policy, Explanation],
) -> None:
    policy, explanation = explained
    assume(explanation.governing is not None)
    assert explanation.governing is not None
    passed_over = [one.entry for one in explanation.passed_over]
    then = without(policy, explanation.governing.entry).explain(
        explanation.listener, explanation.peer, explanation.domain.given, explanation.auth
    )
    if policy.dialect is Dialect.DOCUMENTED:
        assert then.decision.entry == (passed_over[0] if passed_over else None)
        assert [one.entry for one in then.passed_over] == passed_over[1:]
    else:
        assert then.decision.entry in {None, *passed_over}
        still = [one.entry for one in then.passed_over]
        assert [one for one in passed_over if one != then.decision.entry] == still


# as values, and what they cost


@given(explained_domains(), explained_recipients())
def test_explanations_are_values_and_json(
    explained: tuple[Policy, Explanation], explained_rcpt: tuple[Policy, RcptExplanation]
) -> None:
    for _, explanation in (explained, explained_rcpt):
        copied = pickle.loads(pickle.dumps(explanation))
        assert copied == explanation
        assert hash(copied) == hash(explanation)
        written = explanation.to_dict()
        assert json.loads(json.dumps(written)) == written
        assert {type(part) for part in parts(written)} <= {str, int, bool, type(None), list, dict}
        assert written["listener"] == explained_listener(explanation)


def explained_listener(explanation: Explanation | RcptExplanation) -> str:
    half = explanation.sender if isinstance(explanation, RcptExplanation) else explanation
    return half.listener


def parts(value: object) -> Iterator[object]:
    """A value of JSON, and all that is in it."""
    yield value
    inner: list[object] = []
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        inner = [*fields.keys(), *fields.values()]
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    for one in inner:
        yield from parts(one)


def large_policy(size: int, dialect: Dialect) -> Policy:
    networks = [f"10.{n // 256 % 256}.{n % 256}.0/25" for n in range(size)]
    lists = {"relay_from": networks, "relay_from_authz": [f"user{n}" for n in range(size)]}
    names = {f"{kind}x{n}.example.com": lists for n in range(size) for kind in ("", "*.")}
    names |= {"*.example.com": lists, "*": lists, "b.a.example.com": lists}
    return Policy.from_mapping({**names, "listener": {"mx": names}}, dialect=dialect)


def test_what_an_explanation_costs_does_not_grow_with_the_policy() -> None:
    for dialect in Dialect:
        small, large = large_policy(10, dialect), large_policy(300, dialect)
        for listener, peer, domain, auth in [
            ("mx", "10.0.7.1", "c.b.a.example.com", "user7"),
            ("elsewhere", "10.0.7.200", "x1.example.com", "nobody"),
            ("mx", "::1", "", None),
        ]:

            def ask(policy: Policy, question: Any = (listener, peer, domain, auth)) -> int:
                return calls_made(lambda: policy.explain(*question).to_dict())

            def show(policy: Policy, question: Any = (listener, peer, domain, auth)) -> int:
                return calls_made(lambda: str(policy.explain(*question)))

            for cost in (ask, show):
                cost(small)  # what is made only once
                cost(large)
                assert cost(large) <= cost(small) + 20  # a number is shown with more digits
