"""Whatever is asked, the answer is the model's, or a `RequestError` (rules 1.1 and 1.2).

The bytes are the fields of a question, separated by tabs: listener, peer, domain, sender,
recipient, identity. Those that are missing have a default, which for the identity is nobody.
"""

import re
import tomllib
from collections.abc import Callable
from ipaddress import ip_address
from itertools import chain
from typing import Any, NamedTuple

import model
from support import Written, said, said_of_rcpt

from fuzz import lenient
from listener_policy import (
    Connection,
    Decision,
    Dialect,
    EntryRef,
    Policy,
    RcptDecision,
    Report,
    RequestError,
    canonical_domain,
    combine,
    envelope_domain,
)

TOML = """
["*"]
log_oob = true
relay_from = ["198.51.100.0/25", "2001:db8:f::/48"]
["example.com"]
relay_to = true
relay_from = ["10.0.0.0/8", "2001:db8::/33"]
["*.example.com"]
relay_from_authz = ["ann", "", "Ann"]
log_arf = "LogThenDrop"
["www.example.com"]
["*.a.b.example.com"]
relay_from = ["any"]
relay_from_authz = ["ann"]
["c.a.b.example.com"]
log_fbl = true
["*.com"]
relay_from = ["::ffff:10.1.0.0/112", "::/3"]
["b\u00fccher.example"]
relay_to = true
log_oob = "LogThenRelay"
["*.\u4f8b\u3048.Example."]
relay_from = ["0.0.0.0/1"]
relay_from_authz = ["b\u00fccher", "\\u0000"]
["fa\u00df.\u05d0\u05d1"]
relay_to = true
["_dmarc.xn--a.example"]
relay_to = true
["[10.0.0.1]"]
relay_to = true
log_arf = "LogThenRelay"
["[IPv6:2001:DB8::1]"]
relay_from = ["2001:db8::7", "10.0.0.7"]

[listener."10.1.2.3:25"."*"]
relay_from = ["203.0.113.0/24"]
[listener."10.1.2.3:25"."example.com"]
relay_from_authz = ["bob"]
[listener."10.1.2.3:25"."*.www.example.com"]
relay_to = true
[listener."[2001:db8::25]:25"."[192.0.2.25]"]
relay_to = true
[listener."[2001:db8::25]:25"."*.b.example.com"]
relay_from = ["::/0"]
[listener."mx:\u00fc"."*.example"]
relay_to = true
log_oob = "LogThenDrop"
[listener."*"."listener"]
relay_to = true
"""
LISTENERS: list[tuple[str, list[str] | None]] = [
    ("0.0.0.0:25", ["127.0.0.0/8", "192.0.2.0/31"]),
    ("[::]:25", ["::1", "fe80::/10", "192.0.2.2"]),
    ("10.1.2.3:25", None),
    ("10.1.2.3:587", []),
    ("submission", ["10.0.0.7/32", "2001:db8::7/128"]),
]
WRITTEN = {
    dialect: Written([tomllib.loads(TOML)], ["10.9.0.0/16", "::1"], LISTENERS, dialect)
    for dialect in Dialect
}
POLICIES = {dialect: written.policy() for dialect, written in WRITTEN.items()}
MODELS = {dialect: written.model() for dialect, written in WRITTEN.items()}

CANONICAL = re.compile(r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}|\[[0-9.]+\]|\[ipv6:[0-9a-f:]+\]|")
LONGEST_MESSAGE = 300


class Question(NamedTuple):
    """What is asked."""

    listener: Any
    peer: Any
    domain: str
    sender: str
    recipient: str
    auth: str | None


def check(data: bytes) -> None:
    """Ask the question of each policy; raise whatever should not have happened."""
    question = asked(data)
    for dialect, policy in POLICIES.items():
        if is_understood(question):
            check_answers(question, policy, MODELS[dialect])
        else:
            check_refusals(question, policy)


# What is asked


def asked(data: bytes) -> Question:
    """The question that bytes stand for."""
    fields = [lenient(field) for field in data.split(b"\t", 5)]
    listener, peer, domain, sender, recipient = chain(
        fields[:5], ("mx", "203.0.113.9", "", "", "")[len(fields) :]
    )
    auth = fields[5] if len(fields) > 5 else None
    return Question(shape(listener), shape(peer), domain, sender, recipient, auth)


def shape(field: str) -> object:
    """A listener or peer: `(10.0.0.7,25)` is a tuple and `=10.0.0.7` an `ipaddress` object."""
    if field.startswith("(") and field.endswith(")"):
        return tuple(
            int(i) if re.fullmatch("-?[0-9]{1,9}", i) else i for i in field[1:-1].split(",")
        )
    if field.startswith("="):
        try:
            return ip_address(field[1:])
        except ValueError:
            return field
    return field


def is_understood(question: Question) -> bool:
    """Whether the model takes the listener and the peer (rule 1.1)."""
    try:
        model.canonical_listener(question.listener)
        model.peer_address(question.peer)
    except ValueError:
        return False
    return True


# What must hold


def check_refusals(question: Question, policy: Policy) -> None:
    """Hold a policy to refusing every form of a question (rule 1.1)."""
    listener, peer, domain, sender, recipient, auth = question
    refused: list[Callable[[], object]] = [
        lambda: policy.decide(listener, peer, domain, auth),
        lambda: policy.decide_rcpt(listener, peer, sender, recipient, auth),
        lambda: policy.connection(listener, peer, auth),
    ]
    for ask in refused:
        try:
            answer = ask()
        except RequestError as error:
            told = str(error)
            assert told.isascii(), told
            assert told.isprintable(), told
            assert len(told) <= LONGEST_MESSAGE, told
        else:
            raise AssertionError(answer)


def check_answers(question: Question, policy: Policy, expected: model.Model) -> None:
    """Hold a policy to answering as the model does, in every way of asking."""
    listener, peer, domain, sender, recipient, auth = question
    connection = policy.connection(listener, peer, auth)
    assert (connection.listener, connection.peer, connection.auth) == (listener, peer, auth)
    assert connection.peer_address == model.peer_address(peer)

    decision = policy.decide(listener, peer, domain, auth)
    assert said(decision) == said(expected.decide(listener, peer, domain, auth)), decision
    check_domain(decision, canonical_domain(domain), model.canonical_domain(domain))
    match = policy.resolve(listener, domain)
    assert decision.entry == (None if match is None else match.entry)

    rcpt = policy.decide_rcpt(listener, peer, sender, recipient, auth)
    wanted = expected.decide_rcpt(listener, peer, sender, recipient, auth)
    assert said_of_rcpt(rcpt) == said_of_rcpt(wanted), rcpt
    for half, address in ((rcpt.sender, sender), (rcpt.recipient, recipient)):
        name = envelope_domain(address)
        check_domain(half, name, model.envelope_domain(address))
        assert name is None or half == connection.decide(name)
    check_rcpt(rcpt, policy.dialect)

    unauthenticated = policy.connection(listener, peer)
    for agreeing in (connection, unauthenticated.authenticated(auth)):
        assert agreeing.decide(domain) == decision
        assert agreeing.decide_rcpt(sender, recipient) == rcpt
    check_identity(unauthenticated, decision, domain)


def check_domain(decision: Decision, name: str | None, expected: str | None) -> None:
    """Hold a decision to granting nothing through an entry for a name that is not valid (1.2)."""
    assert name == expected
    if name is None:
        assert decision.entry is None
        assert not any((decision.relay_from, decision.relay_from_authz, decision.relay_to))
        assert not any((decision.log_oob, decision.log_arf))
    else:
        assert CANONICAL.fullmatch(name), name
        assert canonical_domain(name) == name
    assert decision.entry is None or isinstance(decision.entry, EntryRef)


def check_rcpt(rcpt: RcptDecision, dialect: Dialect) -> None:
    """Hold a decision about a recipient to what always holds of one (rules 4.3 and 4.4)."""
    assert rcpt == combine(rcpt.sender, rcpt.recipient, dialect=dialect)
    assert rcpt.relay is (rcpt.sender.may_send or rcpt.recipient.may_receive)
    for report in (None, *Report):
        after = rcpt.after_data(report)
        assert rcpt.accept or not (after.accept or after.log or after.relay)
        assert after.accept or not (after.log or after.relay)
        assert rcpt.relay or not after.relay or (after.log and dialect is Dialect.KUMOMTA)


def check_identity(unauthenticated: Connection, decision: Decision, domain: str) -> None:
    """Hold a decision to taking from the identity nothing but `relay_from_authz`."""
    without = unauthenticated.decide(domain)
    assert not without.relay_from_authz
    same = ("relay_hosts", "relay_from", "relay_to", "log_oob", "log_arf", "entry")
    assert [getattr(without, name) for name in same] == [getattr(decision, name) for name in same]
