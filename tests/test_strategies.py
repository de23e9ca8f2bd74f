"""The strategies that others import: what they promise, how they shrink, what they reach."""

import importlib.util
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import listener_policy
from listener_policy import (
    CidrSet,
    Connection,
    Decision,
    Disposition,
    EntryRef,
    EsmtpListener,
    Explanation,
    ListenerDomain,
    Policy,
    PolicyConfig,
    RcptDecision,
    RcptExplanation,
    RcptRequest,
    Request,
    canonical_domain,
    envelope_domain,
    strategies,
)

EMPTY = Policy.from_toml("")


@given(strategies.domains(valid=True))
def test_valid_domains_are_valid(domain: str) -> None:
    assert canonical_domain(domain) is not None


@given(strategies.domains(valid=False))
def test_domains_that_are_not_valid_are_not(domain: str) -> None:
    assert canonical_domain(domain) is None


@pytest.mark.parametrize("valid", [True, False])
def test_domains_are_of_both_kinds(valid: bool) -> None:
    find(strategies.domains(), lambda domain: (canonical_domain(domain) is not None) is valid)


@given(st.data(), strategies.domains(valid=True))
def test_addresses_are_of_their_domains(data: st.DataObject, domain: str) -> None:
    address = data.draw(strategies.addresses(domains=st.just(domain)))
    assert envelope_domain(address) == canonical_domain(domain)


@given(strategies.addresses())
def test_any_address_is_decided_about(address: str) -> None:
    EMPTY.decide_rcpt("mx", "::1", address, address)


@given(strategies.listeners(), strategies.peers(), strategies.identities())
def test_listeners_peers_and_identities_are_understood(
    listener: Any, peer: Any, identity: str | None
) -> None:
    EMPTY.decide(listener, peer, "", identity)


@given(strategies.patterns(), strategies.cidr_blocks())
def test_patterns_and_blocks_load(pattern: str, block: str) -> None:
    policy = Policy.from_mapping({"listener": {"*": {pattern: {"relay_from": [block]}}}})
    ((entry,),) = (table.values() for table in policy.config.entries.values())
    assert entry.relay_from == CidrSet([block])


@given(strategies.toml_documents())
def test_documents_load(text: str) -> None:
    Policy.from_toml(text)


@given(st.data(), strategies.policies())
def test_requests_can_be_asked(data: st.DataObject, policy: Policy) -> None:
    request = data.draw(strategies.requests(policy))
    assert policy.decide(*request) == policy.connection(*request[:2], request.auth).decide(
        request.domain
    )
    asked = data.draw(strategies.rcpt_requests(policy))
    connection = policy.connection(asked.listener, asked.peer, asked.auth)
    assert policy.decide_rcpt(*asked) == connection.decide_rcpt(asked.sender, asked.recipient)


@pytest.mark.parametrize("name", ["xn--bcher-kva.example", "xn--a.example", "[10.0.0.1]"])
def test_requests_find_every_kind_of_name(name: str) -> None:
    policy = Policy.from_mapping({name: {"relay_to": True}})
    request = find(strategies.requests(policy), lambda asked: policy.decide(*asked).relay_to)
    assert canonical_domain(request.domain) == name


PUBLIC: list[type[object]] = [
    *(CidrSet, Connection, Decision, Disposition, EntryRef, EsmtpListener, Explanation),
    *(ListenerDomain, Policy, PolicyConfig, RcptDecision, RcptExplanation, RcptRequest, Request),
]


@pytest.mark.parametrize("kind", PUBLIC)
def test_from_type_knows_the_public_types(kind: type[object]) -> None:
    @settings(max_examples=10)
    @given(st.from_type(kind))
    def check(drawn: object) -> None:
        assert isinstance(drawn, kind)

    check()


def test_a_failing_policy_shrinks_to_few_entries() -> None:
    def relays(policy: Policy) -> bool:
        decision = policy.decide_rcpt("elsewhere", "203.0.113.9", "a@a.b", "b@b.a")
        return decision.relay and not decision.sender.relay_hosts

    shrunk = find(strategies.policies(), relays)
    assert sum(map(len, shrunk.config.entries.values())) <= 2


def fifty_entries() -> Policy:
    options = [
        {"relay_to": True},
        {"relay_from": ["10.0.0.0/16", "2001:db8::/64"]},
        {"relay_from_authz": ["ann", "bob"], "relay_from": ["192.0.2.0/25"]},
        {"log_oob": True, "relay_from_authz": ["zed"]},
    ]
    top: dict[str, object] = {}
    mx: dict[str, object] = {}
    for n in range(50):
        pattern = f"d{n}.example.com" if n % 3 else f"*.w{n}.example.org"
        (mx if n % 5 == 0 else top)[pattern] = options[n % 4]
    return Policy.from_mapping(
        {**top, "listener": {"mx": mx}}, relay_hosts=["10.0.0.0/8", "::1", "192.0.2.0/24"]
    )


def outcome(decision: Decision) -> tuple[object, ...]:
    return decision.entry, decision.relay_hosts, decision.relay_from, decision.relay_from_authz


def test_requests_reach_what_can_occur() -> None:
    policy = fifty_entries()
    patterns = [pattern for table in policy.config.entries.values() for pattern in table]
    names = [pattern.replace("*", "x") for pattern in patterns] + ["elsewhere.test"]
    peers = [
        *("10.0.0.1", "10.1.0.0", "::1", "192.0.2.1", "192.0.2.128"),
        *("2001:db8::1", "2001:db9::", "11.0.0.0"),
    ]
    identities = (None, "ann", "zed")
    can_occur = {
        outcome(policy.decide(*question))
        for question in product(("mx", "elsewhere"), peers, names, identities)
    }
    assert len({entry for entry, *_ in can_occur}) == 51
    reached: set[tuple[object, ...]] = set()
    drawn = 0

    @settings(
        max_examples=3_000,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(strategies.requests(policy))
    def draw(request: Request) -> None:
        nonlocal drawn
        drawn += 1
        reached.add(outcome(policy.decide(*request)))

    draw()
    assert drawn <= 3_000
    assert reached <= can_occur
    assert len(reached) >= 0.95 * len(can_occur)


def test_without_hypothesis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    spec = importlib.util.spec_from_file_location("strategies_again", strategies.__file__)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ModuleNotFoundError, match=r"listener-policy\[hypothesis\]"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize(
    "first", ["hypothesis", "listener_policy.strategies", "hypothesis.strategies"]
)
def test_it_does_not_matter_which_is_imported_first(first: str) -> None:
    code = f"""
import {first}
from hypothesis import strategies as st
from listener_policy import Policy, strategies
assert strategies.policies
st.from_type(Policy).validate()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert listener_policy.Policy is Policy
