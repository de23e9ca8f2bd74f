"""What is easily lost: the tables made at import, and what messages and reprs must tell."""

import pickle
import runpy
from itertools import product
from typing import Any

import model
import pytest
from support import DIALECTS, OUTSIDER, esmtp, options, said_of_rcpt, table, untyped

from listener_policy import (
    CidrSet,
    Dialect,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyError,
    RcptDecision,
    Report,
    RequestError,
    canonical_domain,
    combine,
    decision,
    evaluate,
)
from listener_policy.entries import NO_ENTRY

NOTHING = evaluate(None, OUTSIDER)
both_dialects = pytest.mark.parametrize("dialect", DIALECTS)


# Decisions


@both_dialects
def test_4_3_to_4_5_the_verdicts_made_at_import_are_those_of_the_model(dialect: Dialect) -> None:
    made: dict[str, Any] = runpy.run_path(decision.__file__, run_name=decision.__name__)
    for relay_to, log_oob, log_arf in product((False, True), LogReport, LogReport):
        written = {"relay_to": relay_to, "log_oob": log_oob.value, "log_arf": log_arf.value}
        allowed = {"relay_from": ["10.0.0.1", "10.0.0.3"], "relay_from_authz": ["ann"]}
        rules = model.Model(
            [{"a.com": allowed, "b.com": written}],
            ["10.0.0.2", "10.0.0.3"],
            dialect="kumomta" if dialect is Dialect.KUMOMTA else "documented",
        )
        entry = NO_ENTRY[dialect]
        senders = product(range(4), (None, "ann"))
        for (peer, auth), verdict in zip(
            senders, made["VERDICTS"][dialect, (relay_to, log_oob, log_arf)], strict=True
        ):
            assert verdict.dialect == dialect
            answer = RcptDecision(entry, 0, entry, 0, verdict)
            expected = rules.decide_rcpt("mx", f"10.0.0.{peer}", "x@a.com", "y@b.com", auth)
            assert said_of_rcpt(answer) == said_of_rcpt(expected)


def test_a_question_of_truth_is_told_which_permissions_there_are() -> None:
    rcpt = combine(NOTHING, NOTHING)
    for answer, permissions in (
        (NOTHING, r"Decision .*\(\.may_send, \.may_receive\)"),
        (rcpt, r"RcptDecision .*\(\.accept, \.relay\)"),
        (rcpt.after_data(None), r"Disposition .*\(\.accept, \.log, \.relay\)"),
    ):
        with pytest.raises(TypeError, match=rf"^a {permissions}$"):
            bool(answer)


def test_an_answer_shows_texts_in_quotes_and_enumerations_without() -> None:
    rcpt = combine(NOTHING, evaluate(options(log_arf="LogThenDrop"), OUTSIDER))
    assert repr(rcpt.after_data(Report.ARF)) == (
        "Disposition(accept=True, log=True, relay=False, reply='250 2.0.0 OK')"
    )
    assert repr(rcpt).startswith(
        "RcptDecision(accept=True, relay=False, log_oob=Ignore, log_arf=LogThenDrop, "
        "reason=LOG_ARF, reply='250 2.1.5 OK', sender=Decision(relay_hosts=False, "
    )


@both_dialects
def test_a_copy_of_a_decision_about_a_recipient_decides_the_same(dialect: Dialect) -> None:
    relaying = evaluate(options(log_oob="LogThenRelay"), OUTSIDER)
    rcpt = combine(NOTHING, relaying, dialect=dialect)
    copy: RcptDecision = pickle.loads(pickle.dumps(rcpt))
    assert copy == rcpt
    assert copy.after_data(Report.OOB).relay is rcpt.after_data(Report.OOB).relay


def test_hashes_tell_most_values_apart() -> None:
    sets = [CidrSet([f"10.0.0.{n}"]) for n in range(10)]
    decisions = [evaluate(options(relay_from=["any"] * n), OUTSIDER) for n in range(2)]
    rcpts = [combine(one, NOTHING) for one in decisions]
    policies = [Policy.from_toml("", relay_hosts=one) for one in sets]
    for values in (sets, decisions, rcpts, policies):
        assert len({hash(value) for value in values}) == len(values)


def test_what_cannot_be_combined_or_is_no_report_is_shown() -> None:
    with pytest.raises(RequestError, match=r"^report: .* found `'arf'`$"):
        combine(NOTHING, NOTHING).after_data(untyped("arf"))
    with pytest.raises(RequestError, match=r"^sender: expected a `Decision`, found `'yes'`$"):
        combine(untyped("yes"), NOTHING)
    with pytest.raises(RequestError) as caught:
        combine(evaluate(None, OUTSIDER, relay_hosts=["any"]), NOTHING)
    assert str(caught.value) == (
        "expected two decisions about one connection, found relay_hosts=True for the sender and "
        "relay_hosts=False for the recipient"
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("relay_to", 1), ("relay_from", ["any"]), ("relay_from_authz", "ann")),
        *(("log_oob", "Ignore"), ("log_arf", None)),
    ],
)
def test_an_entry_that_was_not_validated_is_refused(written: str, value: object) -> None:
    unsound = ListenerDomain().model_copy(update={written: value})
    with pytest.raises(PolicyError) as caught:
        evaluate(unsound, OUTSIDER)
    assert str(caught.value) == "expected a validated `ListenerDomain`, found one that never was"


def test_who_authenticates_stays_on_the_same_connection() -> None:
    connection = Policy.from_toml("").connection(("10.1.2.3", 25), ("10.0.0.7", 4711), "ann")
    other = connection.authenticated("bob")
    assert (other.listener, other.peer, other.auth) == (
        *(("10.1.2.3", 25), ("10.0.0.7", 4711), "bob"),
    )
    assert connection.auth == "ann"


# Names


def test_2_4_a_literal_has_no_place_in_the_tree() -> None:
    document = {"listener": {"mx": table(["[10.0.0.1]", "*"])}}
    policy = Policy.from_mapping(document, dialect=Dialect.KUMOMTA)
    for name in ("[9.0.0.1]", "[10.0.0.2]", "[ipv6:2001:db8::1]", "", "0.0.1", "com"):
        match = policy.resolve("mx", name)
        assert match is not None, name
        assert match.entry == ("mx", "*")


def test_1_4_a_literal_beside_the_mapped_ones_is_ipv6() -> None:
    assert canonical_domain("[IPv6:::1:0:0:0]") == "[ipv6:::1:0:0:0]"
    assert canonical_domain("[IPv6:::fffe:ffff:ffff]") == "[ipv6:::fffe:ffff:ffff]"
    assert canonical_domain("[IPv6:::ffff:0:0]") == "[0.0.0.0]"
    assert canonical_domain("[IPv6:::ffff:ffff:ffff]") == "[255.255.255.255]"


# Sets


class Absorbing:
    """Something that knows how to be combined with a set of addresses."""

    def __rand__(self, other: CidrSet) -> str:
        return f"{other} absorbed"

    __ror__ = __rsub__ = __rxor__ = __ge__ = __rand__


def test_a_set_leaves_other_types_to_decide() -> None:
    one, other = CidrSet(["10.0.0.1"]), untyped(Absorbing())
    answers = [one & other, one | other, one - other, one ^ other, one <= other]
    assert answers == ["CidrSet(['10.0.0.1']) absorbed"] * 5


def test_a_block_within_another_does_not_shorten_it() -> None:
    nested = CidrSet(["10.0.0.1", "10.1.0.0/16", "10.1.2.0/24", "10.1.3.0/25", "10.2.0.0/16"])
    assert nested.to_list() == ["10.0.0.1", "10.1.0.0/16", "10.2.0.0/16"]
    assert "10.1.200.1" in nested


# Fingerprints

ENTRY = {
    "relay_to": True,
    "relay_from": ["10.0.0.0/8", "2001:db8::/32"],
    "relay_from_authz": ["ann", "\u00fc", "\ud800"],
    "log_oob": True,
    "log_arf": "LogThenRelay",
}
EVERYTHING = {"*": {}, "a.com": ENTRY, "listener": {"mx": {"*.b.com": {"log_oob": "LogThenRelay"}}}}
LISTED = [esmtp("mx:25", ["::1"]), esmtp("10.0.0.1:25", ["192.0.2.0/24", "10.0.0.1"]), esmtp("x")]


@pytest.mark.parametrize(
    ("dialect", "fingerprint"),
    [
        (Dialect.DOCUMENTED, "1c337a0ee52609e0fa2ac9abea344333ec28ab1a08c6827aa168674c71f9be70"),
        (Dialect.KUMOMTA, "a7fbab64fc1cf814cc3f53c7de6f5ddb5753839374592168215dacb09e29cf83"),
    ],
)
def test_5_1_a_fingerprint_stays_what_it_was(dialect: Dialect, fingerprint: str) -> None:
    policy = Policy.from_mapping(EVERYTHING, listeners=LISTED, dialect=dialect)
    assert policy.fingerprint == fingerprint
    copy: Policy = pickle.loads(pickle.dumps(policy))
    assert copy.fingerprint == fingerprint


def test_5_1_policies_that_differ_have_other_fingerprints() -> None:
    differing = [
        *(
            Policy.from_mapping({"a.com": ENTRY | {name: value}})
            for name, value in (
                *(("relay_to", False), ("relay_from", []), ("relay_from", ["10.0.0.0/8"])),
                *(("relay_from_authz", []), ("relay_from_authz", ["ann\u00fc", "\ud800"])),
                *(("log_oob", False), ("log_arf", False), ("log_arf", "LogThenDrop"), ("ttl", 1)),
            )
        ),
        *(
            Policy.from_mapping({"listener": {name: {key: ENTRY}}})
            for name in ("mx", "a", "*")
            for key in ("b.com", "*.b.com", "*")
        ),
        *(Policy.from_toml("", listeners=[one]) for one in LISTED),
        Policy.from_toml("", listeners=[esmtp("mx", ["::1"])]),
        Policy.from_toml("", relay_hosts=[]),
        Policy.from_toml("", dialect=Dialect.KUMOMTA),
    ]
    assert len({policy.fingerprint for policy in differing}) == len(differing)
    assert len({hash(policy) for policy in differing}) == len(differing)


def test_5_1_relay_hosts_that_a_listener_would_have_anyway_mean_nothing() -> None:
    hosts, default = ["192.0.2.0/24"], ["127.0.0.1", "::1"]
    wildcard = esmtp("0.0.0.0:25", hosts)
    policy = Policy.from_toml("", listeners=[wildcard])
    same = Policy.from_toml("", listeners=[wildcard, esmtp("10.0.0.1:25", hosts)])
    other = Policy.from_toml("", listeners=[wildcard, esmtp("10.0.0.1:25", default)])
    assert policy == same != other
    assert policy.fingerprint == same.fingerprint != other.fingerprint
