"""What is granted: to a peer, a recipient, a message (rules 4.1 to 4.5, and S2 to S4)."""

import itertools
import pickle
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError
from support import (
    DIALECTS,
    INVALID_DOMAINS,
    LISTENER,
    NO_LISTENERS,
    OUTSIDER,
    Fields,
    esmtp,
    options,
    problems_of,
    short,
    told,
    untyped,
    words,
)

from listener_policy import (
    DEFAULT_RELAY_HOSTS,
    Decision,
    Dialect,
    Disposition,
    EsmtpListener,
    HookPolicy,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyError,
    RcptDecision,
    Reason,
    Report,
    RequestError,
    combine,
    evaluate,
)

DOCUMENTED, KUMOMTA = Dialect.DOCUMENTED, Dialect.KUMOMTA
IGNORE, DROP, RELAY = LogReport.IGNORE, LogReport.LOG_THEN_DROP, LogReport.LOG_THEN_RELAY
INSIDER = "10.0.0.7"
"""A peer of `relay_from` or of `relay_hosts`, where a test has one."""

both_dialects = pytest.mark.parametrize("dialect", DIALECTS)


def test_enumerations_have_their_values() -> None:
    assert [one.value for one in Dialect] == ["documented", "kumomta"]
    assert [one.value for one in LogReport] == ["Ignore", "LogThenDrop", "LogThenRelay"]
    assert {one.value for one in Report} == {"arf", "oob"}
    assert [one.value for one in Reason] == words(
        "RELAY_HOSTS RELAY_FROM RELAY_FROM_AUTHZ RELAY_TO LOG_ARF LOG_OOB DENIED"
    )


def test_s1_to_s4_the_default_dialect_is_the_guide() -> None:
    logging, sender = options(log_oob=True), evaluate(None, OUTSIDER)
    assert Policy.from_toml("").dialect is DOCUMENTED
    assert evaluate(logging, OUTSIDER) == evaluate(logging, OUTSIDER, dialect=DOCUMENTED)
    recipient = evaluate(options(log_oob="LogThenRelay"), OUTSIDER)
    assert not combine(sender, recipient).after_data(Report.OOB).relay
    assert (
        HookPolicy(lambda _d, _l, _c: logging).decide(LISTENER, OUTSIDER, "a.com").log_oob is DROP
    )


# 4.1: which `relay_hosts`


def trusted(
    listener: str, listeners: Iterable[EsmtpListener], default: Iterable[str] = ("192.0.2.9",)
) -> list[str]:
    """Which of some hosts are in the `relay_hosts` of `listener`."""
    policy = Policy.from_toml("", relay_hosts=list(default), listeners=tuple(listeners))
    hosts = [f"192.0.2.{n}" for n in range(10)] + ["127.0.0.1", "::1"]
    return [host for host in hosts if policy.decide(listener, host, "a.com").relay_hosts]


EXACT = esmtp("10.1.2.3:25", ["192.0.2.1"])
ANY4 = esmtp("0.0.0.0:25", ["192.0.2.2"])
ANY6 = esmtp("[::]:25", ["192.0.2.3"])
EXACT6 = esmtp("[2001:db8::1]:25", ["192.0.2.4"])
NAMED = esmtp("mx", ["192.0.2.5"])
OTHER_PORTS = [esmtp(f"{host}:26", ["192.0.2.6"]) for host in ("0.0.0.0", "[::]", "10.1.2.3")]


@pytest.mark.parametrize(
    ("listener", "listeners", "peer"),
    [
        *(("10.1.2.3:25", [EXACT, ANY4, ANY6], "192.0.2.1"), ("10.1.2.3:25", [EXACT], "192.0.2.1")),
        *(("10.1.2.3:25", [ANY6, ANY4], "192.0.2.2"), ("10.1.2.3:25", [ANY6], "192.0.2.3")),
        *(("10.1.2.3:25", [EXACT6, NAMED], "192.0.2.9"), ("10.1.2.3:25", [], "192.0.2.9")),
        *(("10.1.2.4:25", [EXACT], "192.0.2.9"), ("10.1.2.4:25", [EXACT, ANY4], "192.0.2.2")),
        *(("[2001:db8::1]:25", [EXACT6, ANY6], "192.0.2.4"),),
        *(("[2001:db8::1]:25", [ANY4, ANY6], "192.0.2.3"),),
        *(("[2001:db8::1]:25", [ANY4, EXACT], "192.0.2.9"),),
        *(("[::ffff:10.1.2.3]:25", [EXACT, ANY6], "192.0.2.1"),),
        *(("[::ffff:10.1.2.3]:25", [ANY4, ANY6], "192.0.2.2"),),
        *(("mx", [NAMED, ANY4, ANY6], "192.0.2.5"), ("imap", [NAMED, ANY4, ANY6], "192.0.2.9")),
        *(("mx:25", [NAMED, ANY4, ANY6], "192.0.2.9"), ("10.1.2.3:25", OTHER_PORTS, "192.0.2.9")),
        *(("0.0.0.0:25", [ANY4, ANY6], "192.0.2.2"), ("[::]:25", [ANY4, ANY6], "192.0.2.3")),
    ],
)
def test_4_1_the_listeners_own_then_the_wildcard_then_the_default(
    listener: str, listeners: list[EsmtpListener], peer: str
) -> None:
    assert trusted(listener, listeners) == [peer]
    assert trusted(listener, reversed(listeners)) == [peer]


def test_4_1_the_default_is_loopback_unless_stated() -> None:
    for policy in (Policy.from_toml(""), Policy.from_toml("", relay_hosts=DEFAULT_RELAY_HOSTS)):
        for peer in words("127.0.0.1 ::1 127.0.0.2 ::2 0.0.0.0 :: 203.0.113.9"):
            inside = peer in {"127.0.0.1", "::1"}
            assert policy.decide(LISTENER, peer, "a.com").relay_hosts is inside
    assert trusted(LISTENER, [], ["192.0.2.0/31"]) == ["192.0.2.0", "192.0.2.1"]
    assert trusted(LISTENER, [], []) == []


def test_4_1_an_empty_list_is_stated() -> None:
    assert trusted(LISTENER, [esmtp(LISTENER, []), ANY4, ANY6]) == []
    assert trusted(LISTENER, [esmtp("0.0.0.0:25", []), ANY6]) == []


def test_4_1_a_listener_without_relay_hosts_states_none() -> None:
    assert esmtp(LISTENER).relay_hosts is None
    assert trusted(LISTENER, [esmtp(LISTENER), ANY4, ANY6]) == ["192.0.2.2"]
    assert trusted(LISTENER, [esmtp(LISTENER), esmtp("0.0.0.0:25"), ANY6]) == ["192.0.2.3"]
    assert trusted(LISTENER, [esmtp(LISTENER), esmtp("[::]:25")]) == ["192.0.2.9"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("10.1.2.3:25", "10.1.2.3:25"), ("10.1.2.3:25", "[::ffff:10.1.2.3]:25"), ("mx", "mx")),
        *(("[2001:DB8::1]:25", "[2001:db8:0::1]:25"), ("[fe80::1]:25", "[fe80::1%eth0]:25")),
    ],
)
def test_4_1_a_listener_that_is_listed_twice_is_an_error(one: str, other: str) -> None:
    both = [esmtp(one, ["10.0.0.1"]), esmtp(other)]
    assert both[0].listen in told(problems_of(lambda: Policy.from_toml("", listeners=both)))
    text = "".join(f'[[esmtp_listener]]\nlisten = "{listen}"\n' for listen in (one, other))
    assert problems_of(lambda: Policy.from_toml("", listeners=EsmtpListener.from_toml(text)))


def test_4_1_listeners_in_toml() -> None:
    written = {"[::ffff:10.1.2.3]:25": ["192.0.2.1"], "0.0.0.0:25": None, "[2001:DB8:0::1]:25": []}
    text = "".join(
        f"[[esmtp_listener]]\nlisten = '{listen}'\n"
        + ("" if hosts is None else f"relay_hosts = {hosts}\n")
        for listen, hosts in written.items()
    )
    listeners = EsmtpListener.from_toml(text)
    assert isinstance(listeners, tuple)
    assert [one.listen for one in listeners] == words("10.1.2.3:25 0.0.0.0:25 [2001:db8::1]:25")
    assert listeners == (EXACT, esmtp("0.0.0.0:25"), esmtp("[2001:db8::1]:25", []))
    assert trusted("10.1.2.3:25", listeners) == ["192.0.2.1"]


@pytest.mark.parametrize("listen", [one for one in NO_LISTENERS if one != "*"], ids=short)
def test_4_1_listen_must_be_a_listener(listen: str) -> None:
    with pytest.raises(ValidationError):
        esmtp(listen)


@pytest.mark.parametrize(
    "text",
    [
        *("[[esmtp_listener]]", "[", "esmtp_listener = 5", "[esmtp_listener]\nlisten = 'mx'"),
        *("[[listener]]\nlisten = 'mx'", "listen = 'mx'"),
        *(f"[[esmtp_listener]]\nlisten = {rest}" for rest in ("'10.0.0.1'", "5", "")),
        "[[esmtp_listener]]\nlisten = 'mx'\nrelay_host = []",
        "[[esmtp_listener]]\nlisten = 'mx'\nrelay_hosts = 'any'",
        "[[esmtp_listener]]\nlisten = 'mx'\nrelay_hosts = ['10.0.0.1/24']",
    ],
)
def test_4_1_listeners_that_are_wrong_in_toml(text: str) -> None:
    assert problems_of(lambda: EsmtpListener.from_toml(text))


# 4.2: about one domain

FULL: Fields = {"relay_from": ["10.0.0.0/24"], "relay_from_authz": ["alice"], "relay_to": True}


@both_dialects
@pytest.mark.parametrize("field", ["relay_hosts", *FULL])
def test_4_2_each_answer_on_its_own(field: str, dialect: Dialect) -> None:
    hosts = ["10.0.0.0/24"] if field == "relay_hosts" else []
    written = {name: value for name, value in FULL.items() if name == field}
    policy = Policy.from_mapping({"a.com": written}, relay_hosts=hosts, dialect=dialect)
    alone = evaluate(options(**written), INSIDER, "alice", relay_hosts=hosts, dialect=dialect)
    for decision in (policy.decide(LISTENER, INSIDER, "a.com", "alice"), alone):
        granted = {name for name in ("relay_hosts", *FULL) if getattr(decision, name) is True}
        assert granted == {field}
        assert decision.may_send is (field != "relay_to")
        assert decision.may_receive is (field in {"relay_hosts", "relay_to"})
        assert decision.log_oob is decision.log_arf is IGNORE


def test_4_2_the_log_options_are_the_entrys_whatever_s4_says() -> None:
    entry = options(log_oob="LogThenDrop", log_arf="LogThenRelay")
    for dialect, hosts in itertools.product(DIALECTS, ([], ["any"])):
        decision = evaluate(entry, INSIDER, relay_hosts=hosts, dialect=dialect)
        assert (decision.log_oob, decision.log_arf) == (DROP, RELAY)


def test_4_2_without_an_entry_there_are_only_relay_hosts() -> None:
    policy = Policy.from_toml("", relay_hosts=["10.0.0.0/24"])
    for peer, trust in ((INSIDER, True), (OUTSIDER, False)):
        decision = policy.decide(LISTENER, peer, "a.com", "alice")
        assert decision == evaluate(None, peer, "alice", relay_hosts=["10.0.0.0/24"])
        assert decision.relay_hosts is decision.may_send is decision.may_receive is trust
        assert decision.entry is None


# 4.3 to 4.5, for all there is to combine: the rules in their own words

OK, QUEUED = "250 2.1.5 OK", "250 2.0.0 OK"
REFUSED = "550 5.7.1 relaying not permitted"
FLAGS, LOGS = (False, True), (IGNORE, DROP, RELAY)


class Granted(NamedTuple):
    """What there is to be had from an entry and from `relay_hosts`."""

    hosts: bool
    relay_from: bool
    authz: bool
    relay_to: bool
    oob: LogReport
    arf: LogReport

    def decision(self, side: str, dialect: Dialect) -> Decision:
        """What is granted to "alice" by the sender's entry, the recipient's, or one for both."""
        sending: Fields = {
            "relay_from": ["any"] if self.relay_from else [],
            "relay_from_authz": ["alice"] if self.authz else [],
        }
        receiving: Fields = {"relay_to": self.relay_to, "log_oob": self.oob, "log_arf": self.arf}
        entry = options(
            **{"sender": sending, "recipient": receiving}.get(side, sending | receiving)
        )
        hosts = ["any"] if self.hosts else []
        return evaluate(entry, INSIDER, "alice", relay_hosts=hosts, dialect=dialect)

    def answer(self, dialect: Dialect) -> RcptDecision:
        """What is granted to "alice" for one recipient."""
        sender, recipient = self.decision("sender", dialect), self.decision("recipient", dialect)
        return combine(sender, recipient, dialect=dialect)


ALL_GRANTS = list(itertools.starmap(Granted, itertools.product(*[FLAGS] * 4, LOGS, LOGS)))


@both_dialects
def test_4_3_relay_and_accept(dialect: Dialect) -> None:
    for granted in ALL_GRANTS:
        answer = granted.answer(dialect)
        exempt = granted.hosts and dialect is DOCUMENTED
        may = granted.hosts or granted.relay_from or granted.authz or granted.relay_to
        assert answer.relay is may
        assert answer.log_oob is (IGNORE if exempt else granted.oob)
        assert answer.log_arf is (IGNORE if exempt else granted.arf)
        logged = answer.log_oob is not IGNORE or answer.log_arf is not IGNORE
        assert answer.accept is (answer.relay or logged)
        assert answer.reply == (OK if answer.accept else REFUSED)


@both_dialects
def test_4_4_after_the_message(dialect: Dialect) -> None:
    for granted in ALL_GRANTS:
        answer = granted.answer(dialect)
        for report, option in (
            (None, IGNORE),
            (Report.ARF, answer.log_arf),
            (Report.OOB, answer.log_oob),
        ):
            after = answer.after_data(report)
            if option is IGNORE:
                assert (after.accept, after.log, after.relay) == (answer.relay, False, answer.relay)
            else:
                relayed = option is RELAY and (answer.relay or dialect is KUMOMTA)
                assert (after.accept, after.log, after.relay) == (True, True, relayed)
            assert after.reply == (QUEUED if after.accept else REFUSED)
            if not answer.accept:
                assert (after.accept, after.log, after.relay) == (False, False, False)


@both_dialects
def test_4_5_the_first_reason_that_holds(dialect: Dialect) -> None:
    for granted in ALL_GRANTS:
        holds = {
            Reason.RELAY_HOSTS: granted.hosts,
            Reason.RELAY_FROM: granted.relay_from,
            Reason.RELAY_FROM_AUTHZ: granted.authz,
            Reason.RELAY_TO: granted.relay_to,
            Reason.LOG_ARF: granted.arf is not IGNORE,
            Reason.LOG_OOB: granted.oob is not IGNORE,
            Reason.DENIED: True,
        }
        first = next(reason for reason, held in holds.items() if held)
        assert granted.answer(dialect).reason is first
        assert granted.decision("both", dialect).reason is first


def test_s1_to_s4_nothing_else_differs() -> None:
    for granted in ALL_GRANTS:
        assert granted.decision("both", DOCUMENTED) == granted.decision("both", KUMOMTA)
        if not granted.hosts and RELAY not in {granted.oob, granted.arf}:
            one, other = (granted.answer(dialect) for dialect in DIALECTS)
            assert (one.accept, one.relay, one.reason) == (other.accept, other.relay, other.reason)
            for report in (None, *Report):
                assert one.after_data(report) == other.after_data(report)


# 4.3 and 4.4 once more, by name


@both_dialects
def test_4_3_permissions_stay_on_their_side(dialect: Dialect) -> None:
    document = {
        "sender.example": {"relay_to": True, "log_oob": True, "log_arf": "LogThenRelay"},
        "recipient.example": {"relay_from": ["any"], "relay_from_authz": ["alice"]},
    }
    policy = Policy.from_mapping(document, relay_hosts=[], dialect=dialect)
    one, other = "a@sender.example", "b@recipient.example"
    answer = policy.decide_rcpt(LISTENER, OUTSIDER, one, other, "alice")
    assert (answer.accept, answer.relay, answer.reason) == (False, False, Reason.DENIED)
    assert answer.log_oob is answer.log_arf is IGNORE
    assert answer.sender == policy.decide(LISTENER, OUTSIDER, "sender.example", "alice")
    assert answer.recipient == policy.decide(LISTENER, OUTSIDER, "recipient.example", "alice")
    turned = policy.decide_rcpt(LISTENER, OUTSIDER, other, one, "alice")
    assert (turned.accept, turned.relay, turned.reason) == (True, True, Reason.RELAY_FROM)


@pytest.mark.parametrize(
    ("dialect", "s3", "s4"), [(DOCUMENTED, False, True), (KUMOMTA, True, False)]
)
def test_4_4_s3_and_s4_by_example(dialect: Dialect, s3: bool, s4: bool) -> None:
    written = {"log_oob": "LogThenRelay", "log_arf": "LogThenDrop"}
    policy = Policy.from_mapping({"b.com": written}, relay_hosts=[INSIDER], dialect=dialect)
    stranger = policy.decide_rcpt(LISTENER, OUTSIDER, "<>", "<b@b.com>")
    assert (stranger.accept, stranger.relay, stranger.reason) == (True, False, Reason.LOG_ARF)
    after = stranger.after_data(Report.OOB)
    assert (after.accept, after.log, after.relay, after.reply) == (True, True, s3, QUEUED)
    after = stranger.after_data(None)
    assert (after.accept, after.log, after.relay, after.reply) == (False, False, False, REFUSED)
    friend = policy.decide_rcpt(LISTENER, INSIDER, "<>", "<b@b.com>")
    assert (friend.accept, friend.relay, friend.reason) == (True, True, Reason.RELAY_HOSTS)
    assert (friend.log_arf, friend.recipient.log_arf) == (IGNORE if s4 else DROP, DROP)
    assert friend.after_data(Report.ARF).relay is s4
    assert friend.after_data(None).relay


# Answers


def answers() -> list[Decision | RcptDecision | Disposition]:
    """One answer of each kind, each of which grants something."""
    policy = Policy.from_mapping({"a.com": FULL})
    answer = policy.decide_rcpt(LISTENER, INSIDER, "a@a.com", "b@a.com")
    return [policy.decide(LISTENER, INSIDER, "a.com"), answer, answer.after_data(None)]


@pytest.mark.parametrize("index", range(3), ids=["Decision", "RcptDecision", "Disposition"])
def test_4_answers_are_values(index: int) -> None:
    answer, same = answers()[index], answers()[index]
    assert answer == same
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert "relay" in repr(answer)
    assert answer != untyped("answer")
    for name in ("relay", "accept", "relay_to", "surprise"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(answer, name, True)
    with pytest.raises(TypeError):
        bool(answer)


def test_4_answers_differ_where_permissions_do() -> None:
    one, other = (evaluate(options(relay_to=flag), INSIDER) for flag in FLAGS)
    assert one != other
    assert repr(one) != repr(other)
    assert combine(one, one) != combine(one, other)
    assert combine(one, one).after_data(None) != combine(one, other).after_data(None)


# Entries that are kept elsewhere


@both_dialects
def test_4_2_evaluate_and_combine_agree_with_a_policy(dialect: Dialect) -> None:
    written = {"relay_from": ["10.0.0.0/24"], "log_arf": True}
    policy = Policy.from_mapping({"*": written}, relay_hosts=["10.0.0.8"], dialect=dialect)
    for peer in (INSIDER, "10.0.0.8", OUTSIDER):
        half = evaluate(options(**written), peer, relay_hosts=["10.0.0.8"], dialect=dialect)
        both = combine(half, half, dialect=dialect)
        answer = policy.decide_rcpt(LISTENER, peer, "a@a.com", "b@b.com")
        assert half.entry is None
        assert both.relay is answer.relay
        assert both.reason is answer.reason
        for report in (None, *Report):
            assert both.after_data(report) == answer.after_data(report)


def test_4_3_combine_refuses_halves_of_two_connections() -> None:
    one, other = (evaluate(None, INSIDER, relay_hosts=hosts) for hosts in ([], ["any"]))
    for sender, recipient in ((one, other), (other, one)):
        with pytest.raises(RequestError):
            combine(sender, recipient)


# KumoMTA's hook

EVERYTHING = options(**FULL, log_oob="LogThenDrop")


class Spy:
    """A hook that answers everybody with everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, domain: str, listener: str, connection: object) -> ListenerDomain:
        self.asked.append((domain, listener, connection))
        return EVERYTHING


def test_4_hook_gets_canonical_names_and_the_connection() -> None:
    spy = Spy()
    policy = HookPolicy(spy)
    for domain in ("Example.COM.", "", "b\u00fccher.example", "[IPv6:::FFFF:10.0.0.1]"):
        assert policy.decide(LISTENER, OUTSIDER, domain, "alice").relay_to
    assert policy.decide_rcpt(LISTENER, OUTSIDER, "<>", "<b@B.com>", "alice").sender.relay_to
    canonical = ["example.com", "", "xn--bcher-kva.example", "[10.0.0.1]", "", "b.com"]
    assert sorted(domain for domain, _, _ in spy.asked) == sorted(canonical)
    policy.connection(LISTENER, OUTSIDER).authenticated("bob").decide("a.com")
    told_of = [(listener, str(at.peer), at.auth) for _, listener, at in spy.asked]
    assert told_of == [(LISTENER, OUTSIDER, "alice")] * 6 + [(LISTENER, OUTSIDER, "bob")]


@both_dialects
@pytest.mark.parametrize("domain", INVALID_DOMAINS, ids=short)
def test_4_hook_is_not_asked_about_names_that_are_not_valid(domain: str, dialect: Dialect) -> None:
    spy = Spy()
    decision = HookPolicy(spy, dialect=dialect).decide(LISTENER, OUTSIDER, domain, "alice")
    assert spy.asked == []
    assert decision == evaluate(None, OUTSIDER, "alice", dialect=dialect)


@pytest.mark.parametrize(("dialect", "count"), [(DOCUMENTED, 0), (KUMOMTA, 3)])
def test_4_hook_is_for_hosts_that_are_not_on_the_list(dialect: Dialect, count: int) -> None:
    spy = Spy()
    policy = HookPolicy(spy, relay_hosts=[INSIDER], dialect=dialect)
    decision = policy.decide(LISTENER, INSIDER, "a.com", "alice")
    answer = policy.decide_rcpt(LISTENER, INSIDER, "a@a.com", "b@b.com", "alice")
    assert answer.accept
    assert len(spy.asked) == count
    entry = EVERYTHING if count else None
    assert decision == evaluate(entry, INSIDER, "alice", relay_hosts=["any"], dialect=dialect)
    assert answer == combine(decision, decision, dialect=dialect)
    policy.decide(LISTENER, OUTSIDER, "a.com")
    assert len(spy.asked) == count + 1


def test_4_hook_decides_as_the_entry_that_it_gives() -> None:
    policy = HookPolicy(Spy(), listeners=[EXACT], relay_hosts=[])
    for peer, auth in itertools.product((INSIDER, OUTSIDER), (None, "alice")):
        decision = policy.decide(LISTENER, peer, "a.com", auth)
        assert decision == evaluate(EVERYTHING, peer, auth)
        assert decision.entry is None
    assert policy.decide(LISTENER, "192.0.2.1", "a.com").relay_hosts
    nobody = HookPolicy(lambda _d, _l, _c: None)
    assert nobody.decide(LISTENER, OUTSIDER, "a.com") == evaluate(None, OUTSIDER)


@both_dialects
def test_4_hook_that_raises_goes_through(dialect: Dialect) -> None:
    policy = HookPolicy(lambda _d, _l, _c: untyped({})["no database"], dialect=dialect)
    with pytest.raises(KeyError, match="no database"):
        policy.decide(LISTENER, OUTSIDER, "a.com")
    with pytest.raises(KeyError, match="no database"):
        untyped(policy.decide_rcpt(LISTENER, OUTSIDER, "a@a.com", "b@b.com").accept)


@pytest.mark.parametrize("wrong", [True, {"relay_to": True}, "a", 0, (), ListenerDomain, Policy])
def test_4_hook_with_another_type_of_answer(wrong: object) -> None:
    with pytest.raises(PolicyError):
        HookPolicy(lambda _d, _l, _c: untyped(wrong)).decide(LISTENER, OUTSIDER, "a.com")


def test_4_hook_that_must_be_awaited() -> None:
    async def found_later() -> ListenerDomain:
        return options(relay_to=await untyped(None))

    coroutine = found_later()
    with pytest.raises(PolicyError):
        HookPolicy(lambda _d, _l, _c: untyped(coroutine)).decide(LISTENER, OUTSIDER, "a.com")
    coroutine.close()


def test_4_hook_keeps_no_answer() -> None:
    turns = itertools.cycle([True, False])
    policy = HookPolicy(lambda _d, _l, _c: options(relay_to=next(turns)))
    connection = policy.connection(LISTENER, OUTSIDER)
    for _ in range(3):
        assert policy.decide(LISTENER, OUTSIDER, "a.com").relay_to
        assert not connection.decide("a.com").relay_to
