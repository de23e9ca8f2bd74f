"""Laws that hold for every policy and every question, one property each."""

import pickle

from hypothesis import assume, given
from hypothesis import strategies as st

from listener_policy import (
    Connection,
    Decision,
    Dialect,
    EsmtpListener,
    HookPolicy,
    ListenerDomain,
    Policy,
    PolicyConfig,
    RcptDecision,
    Report,
    canonical_domain,
    combine,
    envelope_domain,
    evaluate,
    strategies,
)


def with_config(policy: Policy, config: PolicyConfig) -> Policy:
    return Policy(
        config,
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=policy.dialect,
    )


def without_entries(decision: RcptDecision) -> tuple[object, ...]:
    """All that two decisions must share if they differ in where the entries were found."""
    halves = [
        (half.relay_hosts, half.relay_from, half.relay_from_authz, half.relay_to)
        for half in (decision.sender, decision.recipient)
    ]
    dispositions = [decision.after_data(report) for report in (None, *Report)]
    return decision.accept, decision.relay, decision.reason, halves, dispositions


# canonical forms


@given(strategies.domains(valid=True))
def test_a_canonical_domain_is_canonical(domain: str) -> None:
    canonical = canonical_domain(domain)
    assert canonical is not None
    assert canonical_domain(canonical) == canonical


@given(strategies.patterns())
def test_a_canonical_pattern_is_canonical(pattern: str) -> None:
    config = PolicyConfig.from_mapping({"listener": {"*": {pattern: {}}}})
    again = PolicyConfig.from_mapping(config.to_mapping())
    assert list(again.entries["*"]) == list(config.entries["*"])


@given(strategies.listeners().filter(lambda listener: isinstance(listener, str)))
def test_a_canonical_listener_is_canonical(listener: str) -> None:
    listed = EsmtpListener(listen=listener)
    assert EsmtpListener(listen=listed.listen) == listed


# configurations


@given(strategies.configs(), strategies.configs(), strategies.configs())
def test_2_8_merging_is_associative(a: PolicyConfig, b: PolicyConfig, c: PolicyConfig) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == PolicyConfig.merge(a, b, c)
    texts = [config.to_toml() for config in (a, b, c)]
    assert PolicyConfig.from_toml(*texts) == PolicyConfig.merge(a, b, c)
    assert a.merge(PolicyConfig()) == a == PolicyConfig().merge(a)


@given(strategies.policies())
def test_what_is_written_again_means_the_same(policy: Policy) -> None:
    for config in (
        PolicyConfig.from_toml(policy.config.to_toml()),
        PolicyConfig.from_mapping(policy.config.to_mapping()),
        PolicyConfig.model_validate(policy.config.model_dump()),
    ):
        again = with_config(policy, config)
        assert again == policy
        assert hash(again) == hash(policy)
        assert again.fingerprint == policy.fingerprint


@given(st.data(), strategies.policies(), strategies.policies())
def test_equal_policies_decide_alike_and_fingerprints_tell_others_apart(
    data: st.DataObject, policy: Policy, other: Policy
) -> None:
    assert (policy == other) is (policy.fingerprint == other.fingerprint)
    request = data.draw(strategies.requests(policy))
    if policy.decide(*request) != other.decide(*request):
        assert policy != other


@given(st.data(), strategies.policies())
def test_pickling_changes_nothing(data: st.DataObject, policy: Policy) -> None:
    request = data.draw(strategies.rcpt_requests(policy))
    copied: Policy = pickle.loads(pickle.dumps(policy))
    assert copied == policy
    decision = policy.decide_rcpt(*request)
    assert copied.decide_rcpt(*request) == decision
    restored: RcptDecision = pickle.loads(pickle.dumps(decision))
    assert restored == decision
    assert without_entries(restored) == without_entries(decision)


# questions


@given(st.data(), strategies.policies(), strategies.identities())
def test_a_connection_answers_as_the_policy_does(
    data: st.DataObject, policy: Policy, identity: str | None
) -> None:
    asked = data.draw(strategies.rcpt_requests(policy))
    domain = data.draw(strategies.requests(policy)).domain
    connection = policy.connection(asked.listener, asked.peer, identity).authenticated(asked.auth)
    assert connection.decide_rcpt(asked.sender, asked.recipient) == policy.decide_rcpt(*asked)
    assert connection.decide(domain) == policy.decide(
        asked.listener, asked.peer, domain, asked.auth
    )


@given(st.data(), strategies.policies(), st.text())
def test_1_7_no_address_takes_a_grant_from_another_domain(
    data: st.DataObject, policy: Policy, local: str
) -> None:
    asked = data.draw(strategies.rcpt_requests(policy))
    other = data.draw(strategies.rcpt_requests(policy)).recipient
    own = envelope_domain(asked.recipient)
    assume(own)
    decision = policy.decide_rcpt(*asked)
    # whatever stands before the last @, another domain of the policy included
    disguised = asked._replace(
        sender=f"{local}@{other}@{envelope_domain(asked.sender) or '.'}",
        recipient=f"{other}{local}@{own}",
    )
    if envelope_domain(asked.sender):
        assert policy.decide_rcpt(*disguised) == decision
    assert policy.decide_rcpt(*disguised).recipient == decision.recipient


@given(st.data(), strategies.policies())
def test_4_3_each_half_is_the_answer_about_its_domain(data: st.DataObject, policy: Policy) -> None:
    asked = data.draw(strategies.rcpt_requests(policy))
    decision = policy.decide_rcpt(*asked)
    for half, address in [(decision.sender, asked.sender), (decision.recipient, asked.recipient)]:
        domain = envelope_domain(address)
        alone = policy.decide(
            asked.listener, asked.peer, "." if domain is None else domain, asked.auth
        )
        assert half == alone
    assert combine(decision.sender, decision.recipient, dialect=policy.dialect) == decision


@given(st.data(), strategies.policies())
def test_entries_found_elsewhere_decide_alike(data: st.DataObject, policy: Policy) -> None:
    asked = data.draw(strategies.rcpt_requests(policy))

    def half(address: str) -> Decision:
        domain = envelope_domain(address)
        match = None if domain is None else policy.resolve(asked.listener, domain)
        return evaluate(
            match and match.options,
            asked.peer,
            asked.auth,
            relay_hosts=policy.relay_hosts_at(asked.listener),
            dialect=policy.dialect,
        )

    found = combine(half(asked.sender), half(asked.recipient), dialect=policy.dialect)
    assert without_entries(found) == without_entries(policy.decide_rcpt(*asked))


@given(st.data(), strategies.policies())
def test_a_hook_that_answers_from_the_table_decides_alike(
    data: st.DataObject, policy: Policy
) -> None:
    def hook(domain: str, listener: str, connection: Connection) -> ListenerDomain | None:
        assert canonical_domain(domain) == domain
        assert policy.dialect is Dialect.KUMOMTA or not connection.in_relay_hosts
        match = policy.resolve(listener, domain)
        return None if match is None else match.options

    hooked = HookPolicy(
        hook,
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=policy.dialect,
    )
    asked = data.draw(strategies.rcpt_requests(policy))
    answer, expected = hooked.decide_rcpt(*asked), policy.decide_rcpt(*asked)
    assert (answer.accept, answer.relay, answer.reason) == (
        *(expected.accept, expected.relay, expected.reason),
    )
    assert [answer.after_data(report) for report in (None, *Report)] == [
        expected.after_data(report) for report in (None, *Report)
    ]
    assert (answer.sender.entry, answer.recipient.entry) == (None, None)
