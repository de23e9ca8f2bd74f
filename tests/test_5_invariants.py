"""What always holds (rules 5.1 to 5.6)."""

import copy
import gc
import json
import os
import pickle
import random
import re
import subprocess
import sys
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import DIALECTS, LISTENER, OUTSIDER, Fields, esmtp, options, untyped, words

from listener_policy import (
    CidrSet,
    Decision,
    Dialect,
    Policy,
    Report,
    canonical_domain,
)

BLOCKS = words("10.0.0.0/24 10.0.0.7 10.0.0.8/31 any 2001:db8::/32 ::/0 ::ffff:10.0.0.0/120")
IDENTITIES = ["alice", "bob", ""]
PATTERNS = words("* *.example.com a.example.com *.a.example.com com [10.0.0.7]")
LOGS = [True, False, "Ignore", "LogThenDrop", "LogThenRelay"]

entries = st.fixed_dictionaries(
    {},
    optional={
        "relay_to": st.booleans(),
        "relay_from": st.lists(st.sampled_from(BLOCKS), max_size=3),
        "relay_from_authz": st.lists(st.sampled_from(IDENTITIES), max_size=3),
        "log_oob": st.sampled_from(LOGS),
        "log_arf": st.sampled_from(LOGS),
        "ttl": st.integers(),
    },
)
tables = st.dictionaries(st.sampled_from(PATTERNS), entries, max_size=4)


def document_of(star: Fields, own: Fields) -> Fields:
    """A document with the tables of `*` and of `LISTENER`."""
    return {**star, "listener": {LISTENER: own}}


documents = st.builds(document_of, tables, tables)
relay_hosts = st.lists(st.sampled_from(BLOCKS[:3]), max_size=2)
listeners = st.sampled_from([LISTENER, "10.9.9.9:25", "mx"])
peers = st.sampled_from(words("10.0.0.7 10.0.0.9 10.0.0.10 2001:db8::1 ::1 127.0.0.1 203.0.113.9"))
auths = st.none() | st.sampled_from([*IDENTITIES, "carol"])
domains = st.sampled_from(
    ["", *words("a.example.com b.a.example.com c.example.com com [10.0.0.7] .")]
)
dialects = st.sampled_from(DIALECTS)

Question = tuple[str, str, str, str, str | None]
questions: st.SearchStrategy[Question] = st.tuples(listeners, peers, domains, domains, auths)


def answers(policy: Policy, asked: Question) -> list[object]:
    """All that `policy` answers to one question, down to the dispositions."""
    listener, peer, sender, recipient, auth = asked
    answer = policy.decide_rcpt(listener, peer, f"s@{sender}", f"<r@{recipient}>", auth)
    return [
        policy.decide(listener, peer, sender, auth),
        policy.decide(listener, peer, recipient, auth),
        (answer, answer.accept, answer.relay, answer.log_oob, answer.log_arf, answer.reason),
        *(answer.after_data(report) for report in (None, *Report)),
    ]


def python(script: str, given_in: bytes = b"", seed: str = "1") -> str:
    """What `script` prints in a new process, which must end well and say nothing else."""
    surroundings = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, input=given_in, env=surroundings, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode().strip()


# 5.1: policies are values

RICH = """
["b\u00fccher.example"]
relay_from = ["10.0.0.0/24", "2001:db8::/32"]
relay_from_authz = ["alice", "bob"]
log_oob = true
["*"]
log_arf = "LogThenRelay"
[listener."10.1.2.3:25"."*.example.com"]
relay_to = true
"""


def rich(dialect: Dialect = Dialect.DOCUMENTED) -> Policy:
    """A policy with something of everything."""
    return Policy.from_toml(RICH, listeners=[esmtp("mx", ["10.0.0.9"])], dialect=dialect)


@pytest.mark.parametrize(
    "value",
    [rich(), rich().config, options(relay_to=True), esmtp("mx"), CidrSet.parse(["any"])],
    ids=lambda value: type(value).__name__,
)
def test_5_1_immutable(value: object) -> None:
    names = [name for name in dir(value) if not name.startswith("_")]
    for name in [*names, "surprise"]:
        with pytest.raises((AttributeError, TypeError, ValueError)):
            setattr(value, name, None)
        with pytest.raises((AttributeError, TypeError, ValueError)):
            delattr(value, name)


def test_5_1_what_a_policy_was_made_of_cannot_be_changed_through_it() -> None:
    policy, hosts, document = rich(), ["10.0.0.7"], {"a.com": {"relay_from": ["10.0.0.0/8"]}}
    with pytest.raises((AttributeError, TypeError)):
        untyped(policy.config.entries)["*"] = {}
    with pytest.raises((AttributeError, TypeError)):
        untyped(policy.config.entries["*"])["a.com"] = options(relay_to=True)
    assert policy == rich()
    policy = Policy.from_mapping(document, relay_hosts=hosts)
    hosts.append("any")
    document["a.com"]["relay_from"].append("any")
    document["b.com"] = {"relay_from": ["any"]}
    same_document = {"a.com": {"relay_from": ["10.0.0.0/8"]}}
    assert policy == Policy.from_mapping(same_document, relay_hosts=["10.0.0.7"])
    assert not policy.decide(LISTENER, OUTSIDER, "a.com").may_send


def same(one: Policy, other: Policy) -> bool:
    """Whether two policies are the same in each of the ways that there are, which must agree."""
    equal = one == other
    assert (one != other) is (not equal)
    assert (one.fingerprint == other.fingerprint) is equal
    assert len({one, other}) == (1 if equal else 2)
    assert not equal or hash(one) == hash(other)
    return equal


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('["a.com"]\n["b.com"]', '["B.com."]\n["a.COM"]'),
        ('["b\u00fccher.example"]', '["xn--bcher-kva.example"]'),
        ('["[IPv6:::ffff:10.0.0.1]"]', '["[10.0.0.1]"]'),
        ('["a.com"]', '[listener."*"."a.com"]'),
        ('["a.com"]', '["a.com"]\n[listener."mx"]'),
        ("", '[listener."mx"]\n[listener."*"]'),
        ('[listener."10.0.0.1:25"."*"]', '[listener."[::ffff:10.0.0.1]:25"."*"]'),
        ('["a.com"]', '["a.com"]\nrelay_to = false\nlog_arf = false\nlog_oob = "Ignore"\nttl = 1'),
        ('["a.com"]', '["a.com"]\nrelay_from = []\nrelay_from_authz = []\nlog_fbl = "Ignore"'),
        ('["a.com"]\nlog_fbl = true', '["a.com"]\nlog_arf = true'),
        ("['*']\nrelay_from = ['10.0.0.0/31']", "['*']\nrelay_from = ['10.0.0.1', '10.0.0.0']"),
        ("['*']\nrelay_from = ['any']", "['*']\nrelay_from = ['::/0', '0.0.0.0/0', '10.0.0.1']"),
        ("['*']\nrelay_from = ['10.0.0.1']", "['*']\nrelay_from = ['::ffff:a00:1', '10.0.0.1/32']"),
        ("['*']\nrelay_from = ['::fffe:0:0/95']", "['*']\nrelay_from = ['::fffe:0:0/96']"),
        ("['*']\nrelay_from_authz = ['a', 'b']", "['*']\nrelay_from_authz = ['b', 'a', 'b']"),
    ],
)
def test_5_1_the_same_meaning_is_the_same_policy(one: str, other: str, dialect: Dialect) -> None:
    assert same(Policy.from_toml(one, dialect=dialect), Policy.from_toml(other, dialect=dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('["a.com"]', '["b.com"]'),
        ('["a.com"]', '["*.a.com"]'),
        ('["a.com"]\n["*"]\nrelay_to = true', '["*"]\nrelay_to = true'),
        ('["a.com"]\nrelay_to = true', '["a.com"]'),
        ('["a.com"]\nrelay_to = true', '[listener."mx"."a.com"]\nrelay_to = true'),
        ('["a.com"]\nlog_oob = true', '["a.com"]\nlog_arf = true'),
        ('["a.com"]\nlog_oob = "LogThenDrop"', '["a.com"]\nlog_oob = "LogThenRelay"'),
        ("['*']\nrelay_from = ['10.0.0.0/24']", "['*']\nrelay_from = ['10.0.0.0/25']"),
        ("['*']\nrelay_from = ['any']", "['*']\nrelay_from = ['0.0.0.0/0']"),
        ("['*']\nrelay_from_authz = ['a', 'b']", "['*']\nrelay_from_authz = ['a', 'B']"),
        ("['*']\nrelay_from_authz = ['']", "['*']\nrelay_from_authz = []"),
    ],
)
def test_5_1_another_meaning_is_another_policy(one: str, other: str, dialect: Dialect) -> None:
    made = [Policy.from_toml(text, dialect=dialect) for text in (one, other)]
    assert not same(made[0], made[1])


def test_5_1_options_count_as_resolved_by_the_dialect() -> None:
    for dialect, meant in ((Dialect.DOCUMENTED, "Drop"), (Dialect.KUMOMTA, "Relay")):
        true = Policy.from_toml('["a.com"]\nlog_oob = true', dialect=dialect)
        for word in ("Drop", "Relay"):
            written = Policy.from_toml(f'["a.com"]\nlog_oob = "LogThen{word}"', dialect=dialect)
            assert same(true, written) is (word == meant)


def test_5_1_relay_hosts_listeners_and_dialect_count() -> None:
    def policy(**arguments: Any) -> Policy:
        return Policy.from_toml(RICH, **arguments)

    assert same(policy(), policy(relay_hosts=["::1", "127.0.0.1/32", "::ffff:127.0.0.1"]))
    assert not same(policy(), policy(relay_hosts=[]))
    assert not same(policy(), policy(dialect=Dialect.KUMOMTA))
    assert not same(Policy.from_toml(""), Policy.from_toml("", dialect=Dialect.KUMOMTA))
    one, other = esmtp("[::ffff:10.0.0.1]:25", ["10.0.0.0/31"]), esmtp("mx", [])
    spelled = esmtp("10.0.0.1:25", ["10.0.0.1", "10.0.0.0"])
    assert same(policy(listeners=[one, other]), policy(listeners=[other, spelled]))
    assert not same(policy(listeners=[one]), policy(listeners=[one, other]))
    assert not same(policy(listeners=[one]), policy(listeners=[esmtp("10.0.0.1:25", [])]))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_5_1_fingerprint_and_pickle_in_every_process(dialect: Dialect) -> None:
    policy = rich(dialect)
    assert re.fullmatch(r"[0-9a-f]{64}", policy.fingerprint)
    assert same(pickle.loads(pickle.dumps(policy)), policy)
    assert len({hash(policy), hash(policy)}) == 1
    script = f"""
import pickle, sys
from listener_policy import Dialect, EsmtpListener, Policy
listeners = [EsmtpListener.model_validate({{"listen": "mx", "relay_hosts": ["10.0.0.9"]}})]
here = Policy.from_toml({RICH!a}, listeners=listeners, dialect=Dialect({dialect.value!r}))
sent = pickle.loads(sys.stdin.buffer.read())
assert sent == here
assert hash(sent) == hash(here)
assert sent.decide("mx", "10.0.0.9", "a.com") == here.decide("mx", "10.0.0.9", "a.com")
print(here.fingerprint, sent.fingerprint)
"""
    for seed in ("1", "2"):
        printed = python(script, pickle.dumps(policy), seed)
        assert printed.split() == [policy.fingerprint] * 2


@given(documents, relay_hosts, dialects, questions)
@settings(max_examples=50)
def test_5_1_a_pickled_policy_decides_the_same(
    document: Fields, hosts: list[str], dialect: Dialect, asked: Question
) -> None:
    policy = Policy.from_mapping(document, relay_hosts=hosts, dialect=dialect)
    again = pickle.loads(pickle.dumps(policy))
    assert same(again, policy)
    assert answers(again, asked) == answers(policy, asked)
    assert same(copy.deepcopy(policy), policy)


# 5.2: nothing but the question and the policy


@given(documents, relay_hosts, dialects, st.lists(questions, max_size=6))
def test_5_2_what_was_asked_before_does_not_matter(
    document: Fields, hosts: list[str], dialect: Dialect, asked: list[Question]
) -> None:
    def fresh() -> Policy:
        return Policy.from_mapping(document, relay_hosts=hosts, dialect=dialect)

    old = fresh()
    for question in [*asked, *asked, *reversed(asked)]:
        assert answers(old, question) == answers(fresh(), question)
        listener, peer, sender, recipient, auth = question
        connection = old.connection(listener, peer)
        known = connection.authenticated(auth)
        assert connection.decide(sender) == old.decide(listener, peer, sender)
        assert known.decide(sender) == old.decide(listener, peer, sender, auth)
        mail = (f"s@{sender}", f"r@{recipient}")
        assert known.decide_rcpt(*mail) == old.decide_rcpt(listener, peer, *mail, auth)
        assert connection.decide_rcpt(*mail) == old.decide_rcpt(listener, peer, *mail)
        assert (connection.auth, known.auth) == (None, auth)


def test_5_2_nothing_is_read_written_or_looked_up() -> None:
    script = f"""
import json, os, sys
from listener_policy import Dialect, Policy, Report
policies = [Policy.from_toml({RICH!a}, dialect=dialect) for dialect in Dialect]
armed, events = False, []
def note(event, arguments):
    if armed:
        events.append(event)
sys.addaudithook(note)
def ask():
    for policy in policies:
        for domain in ("a.com", "", "B\\u00fccher.test", "[IPv6:::1]", "\\u2603", "x" * 999):
            for listener in ("10.1.2.3:25", "mx", ("::1", 25, 0, 0)):
                policy.decide(listener, ("10.0.0.7", 1), domain, "alice")
                policy.resolve(listener, domain)
                answer = policy.decide_rcpt(listener, "::1", "a@" + domain, "<b@" + domain + ">")
                str(answer), answer.sender, answer.reason, answer.after_data(Report.OOB)
                policy.connection(listener, "10.0.0.7").authenticated("bob").decide(domain)
armed = True
ask()
armed = False
asked = events[:]
armed = True
open(os.devnull).close()
armed = False
print(json.dumps([asked, events]))
"""
    asked, with_control = json.loads(python(script))
    assert "open" in with_control
    assert set(asked) <= {"builtins.id"}


def test_5_2_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # with so little room, all that there is to forget is forgotten more than once in each round
    monkeypatch.setattr("listener_policy.rules.ROOM_FOR_DOMAINS", 1_000)
    policy, rounds = Policy.from_toml(RICH, relay_hosts=BLOCKS), 3_000

    def ask(start: int) -> int:
        most = 0
        for n in range(start, start + rounds):
            peer, port, name = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", n % 65_536, f"d{n}.test"
            policy.decide(f"mx{n}", peer, name, f"u{n}")
            policy.decide(("10.1.2.3", port), (peer, port), f"{n}.{name}.")
            policy.decide_rcpt(
                f"[::{n >> 16}:{port:x}]:25", OUTSIDER, f"a{n}@x.{name}", f"b@y.{name}"
            )
            most = max(most, sys.getallocatedblocks())
        gc.collect()
        return most

    first, second, third = ask(0), ask(rounds), ask(2 * rounds)
    # Whatever is kept is at least one block of memory.
    assert min(second - first, third - second) < rounds / 10


# 5.3: the empty policy


@given(peers, st.text(), st.text(), auths | st.text(), dialects)
@example("127.0.0.1", "", "postmaster", "", Dialect.KUMOMTA)
def test_5_3_the_empty_policy_grants_nothing(
    peer: str, sender: str, recipient: str, auth: str | None, dialect: Dialect
) -> None:
    policy = Policy.from_toml("", relay_hosts=[], dialect=dialect)
    for domain in (sender, recipient):
        decision = policy.decide(LISTENER, peer, domain, auth)
        assert (decision.may_send, decision.may_receive) == (False, False)
    answer = policy.decide_rcpt(LISTENER, peer, sender, recipient, auth)
    assert (answer.accept, answer.relay) == (False, False)
    for report in (None, *Report):
        after = answer.after_data(report)
        assert (after.accept, after.log, after.relay) == (False, False, False)


# 5.4: more permission is never less


def permissions(policy: Policy, asked: Question) -> list[bool]:
    """Every permission to relay that there is in the answers to one question."""
    listener, peer, sender, recipient, auth = asked
    decision = policy.decide(listener, peer, sender, auth)
    answer = policy.decide_rcpt(listener, peer, f"s@{sender}", f"r@{recipient}", auth)
    return [
        *(decision.may_send, decision.may_receive, answer.relay, answer.accept),
        *(answer.after_data(report).relay for report in (None, *Report)),
    ]


GROWTHS: dict[str, list[Any]] = {
    **dict.fromkeys(["relay_hosts", "listener", "relay_from"], BLOCKS),
    "relay_from_authz": IDENTITIES,
    "relay_to": [True],
}


@given(documents, relay_hosts, dialects, st.lists(questions, min_size=1, max_size=8), st.data())
@settings(max_examples=300)
def test_5_4_more_permission_is_never_less(
    document: Fields, hosts: list[str], dialect: Dialect, asked: list[Question], data: st.DataObject
) -> None:
    larger, more_hosts, own = copy.deepcopy(document), [*hosts], ["10.0.0.9"]
    more_own = [*own]
    star = {key: entry for key, entry in larger.items() if key != "listener"}
    at_hand: list[Fields] = [*star.values(), *larger["listener"][LISTENER].values()]
    option = data.draw(st.sampled_from([*GROWTHS]))
    added = data.draw(st.sampled_from(GROWTHS[option]))
    if option == "relay_hosts":
        more_hosts.append(added)
    elif option == "listener":
        more_own.append(added)
    elif at_hand:
        entry = data.draw(st.sampled_from(at_hand))
        entry[option] = True if option == "relay_to" else [*entry.get(option, []), added]
    before, after = (
        Policy.from_mapping(one, relay_hosts=two, listeners=[esmtp("mx", three)], dialect=dialect)
        for one, two, three in ((document, hosts, own), (larger, more_hosts, more_own))
    )
    for question in asked:
        pairs = zip(permissions(before, question), permissions(after, question), strict=True)
        assert all(had <= has for had, has in pairs)


def test_5_4_adding_an_entry_can_take_permission_away() -> None:
    open_to_all = {"*": {"relay_to": True}}
    closed = {**open_to_all, "a.com": {}}
    assert Policy.from_mapping(open_to_all).decide(LISTENER, OUTSIDER, "a.com").may_receive
    assert not Policy.from_mapping(closed).decide(LISTENER, OUTSIDER, "a.com").may_receive


# 5.5: order


def shuffled(value: Any, order: random.Random) -> Any:
    """`value` with the entries of every table and the items of every list in another order."""
    if isinstance(value, dict):
        items = list(cast("Fields", value).items())
        order.shuffle(items)
        return {key: shuffled(item, order) for key, item in items}
    if isinstance(value, list):
        return order.sample(cast("list[object]", value), len(cast("list[object]", value)))
    return value


@given(documents, relay_hosts, dialects, questions, st.randoms(use_true_random=False))
def test_5_5_order_never_matters(
    document: Fields, hosts: list[str], dialect: Dialect, asked: Question, order: random.Random
) -> None:
    listed = [esmtp("mx", hosts), esmtp("10.9.9.9:25"), esmtp("0.0.0.0:25", ["10.0.0.9"])]
    one = Policy.from_mapping(document, relay_hosts=hosts, listeners=listed, dialect=dialect)
    other = Policy.from_mapping(
        shuffled(document, order),
        relay_hosts=shuffled(hosts, order),
        listeners=shuffled(listed, order),
        dialect=dialect,
    )
    assert same(one, other)
    assert answers(one, asked) == answers(other, asked)


# 5.6: spelling

LABELS = {
    "send.example.com": "Send.Example.com",
    "a_b.example.com": "a_B.example.com",
    "127.0.0.1": "127.0.0.1",
    "xn--bcher-kva.test": "b\u00fccher.test",
    "www.xn--fa-hia.de": "www.fa\u00df.de",
    "xn--r8jz45g.xn--zckzah": "\u4f8b\u3048.\u30c6\u30b9\u30c8",
    "xn--p1ai": "\u0440\u0444",
}
SPELLED = {key: {"relay_to": True} for key in (*LABELS, "*.example.com", "*.xn--fa-hia.de")}


def other_case(name: str, swaps: list[bool]) -> str:
    """`name` with the case of some ASCII letters changed, those where `swaps` says so."""
    flags = swaps + [False] * len(name)
    flipped = [c.swapcase() if c.isascii() else c for c in name]
    changed = (b if swap else a for a, b, swap in zip(name, flipped, flags, strict=False))
    return "".join(changed)


@given(st.sampled_from([*LABELS]), st.booleans(), st.lists(st.booleans()), st.booleans(), dialects)
def test_5_6_case_a_trailing_dot_and_u_labels(
    name: str, unicode: bool, swaps: list[bool], dot: bool, dialect: Dialect
) -> None:
    policy = Policy.from_mapping(SPELLED, dialect=dialect)
    spelled = other_case(LABELS[name] if unicode else name, swaps) + ("." if dot else "")

    def decided(domain: str) -> list[Decision]:
        answer = policy.decide_rcpt(LISTENER, OUTSIDER, f"a@{domain}", f"<b@{domain}>")
        return [policy.decide(LISTENER, OUTSIDER, domain), answer.sender, answer.recipient]

    assert decided(spelled) == decided(name)
    assert decided(name)[0].entry == ("*", name)


@given(st.text("abAB-_.\u00fc\u00df\u00dc1x\u3002[]:", max_size=12), st.lists(st.booleans()))
@example("x" * 63, [])
@example(".".join(["x" * 63] * 3 + ["y" * 61]), [True])
@example("[IPv6:::ffff:10.0.0.1]", [True] * 8)
def test_5_6_holds_for_any_valid_name(name: str, swaps: list[bool]) -> None:
    canonical = canonical_domain(name)
    assert canonical_domain(other_case(name, swaps)) == canonical
    if canonical and not name.endswith((".", "\u3002", "]")):
        assert canonical_domain(f"{name}.") == canonical


def test_5_6_a_second_dot_or_one_too_many_code_points_is_not_covered() -> None:
    longest = "a.com" + "\u00ad" * 249
    assert canonical_domain(longest) == "a.com"
    assert canonical_domain(f"{longest}.") is None
    assert canonical_domain("a.com..") is None
