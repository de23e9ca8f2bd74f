"""`equivalent` and `diff`, held against every question of small worlds, for thousands of pairs."""

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import Answer, Plan, World, answer, answer_of, is_inside, peers
from support import DIALECTS, OUTSIDER, Fields, calls_made, esmtp, words

from listener_policy import CidrSet, Dialect, EntryRef, Policy, Request, strategies
from listener_policy.analysis import Change, Effect, PolicyDiff, cells, diff, equivalent

PAIRS = 10 * settings().max_examples
SMALL = World(
    words("a b b.a"),
    places=words("mx 10.1.2.3:25 0.0.0.0:25 [::]:25"),
    blocks=words("10.0.0.0/8 10.1.0.0/16 ::ffff:10.128.0.0/105 192.0.2.0/24 any 2001:db8::/32"),
    identities=("alice",),
)
DOMAINS = [*SMALL.domains, *(f"{above}.{name}" for name in SMALL.names for above in ("a", "c.a"))]
ELSEWHERE = words("else 10.9.9.9:25 [2001:db8::9]:25")
EVERYBODY = CidrSet(["any"])


@dataclass(frozen=True)
class Difference:
    """A question that is answered differently."""

    request: Request
    before: Answer
    after: Answer
    entries: tuple[EntryRef | None, EntryRef | None]

    @property
    def is_of_hosts(self) -> bool:
        """Whether the peer comes into `relay_hosts`, or out of them."""
        return self.before.relay_hosts is not self.after.relay_hosts

    @property
    def is_of_entries(self) -> bool:
        """Whether anything else changes: what is said, or what becomes of a message."""
        was, is_ = self.before._asdict(), self.after._asdict()
        if self.is_of_hosts:
            return any(was[name] != is_[name] for name in list(was)[1:6])
        return was != is_


class Pair:
    """Two policies, and everything that can be asked of them in a small world."""

    def __init__(self, before: Policy, after: Policy, listeners: Iterable[str] = ELSEWHERE) -> None:
        self.before, self.after = before, after
        listed = [one for policy in (before, after) for one in policy.listeners]
        own = {key for policy in (before, after) for key in policy.config.entries} - {"*"}
        self.stated = {one.listen for one in listed if one.relay_hosts is not None}
        self.keys = own | self.stated
        self.listeners = sorted({*listeners, *(one.listen for one in listed), *own})
        self.peers = sorted({"::", *peers([before, after], sides=(0,))})

    @cached_property
    def different(self) -> list[Difference]:
        """The questions that are answered differently, of all that there are."""
        found: list[Difference] = []
        for listener, peer, auth in product(self.listeners, self.peers, SMALL.asked_identities):
            old = self.before.connection(listener, peer, auth)
            new = self.after.connection(listener, peer, auth)
            for name in DOMAINS:
                was = answer_of(self.before, old.decide(name))
                is_ = answer_of(self.after, new.decide(name))
                if was != is_:
                    request = Request(listener, peer, name, auth)
                    found.append(Difference(request, was, is_, self.governing(listener, name)))
        return found

    def governing(self, listener: str, domain: str) -> tuple[EntryRef | None, EntryRef | None]:
        """The entries that govern, before and after."""
        old, new = (policy.resolve(listener, domain) for policy in (self.before, self.after))
        return old and old.entry, new and new.entry

    def class_of(self, listener: str) -> str:
        """The name that stands for a listener in a change of `relay_hosts`."""
        host, _, port = listener.rpartition(":")
        wildcards = {f"0.0.0.0:{port}", f"[::]:{port}"} & self.stated
        if listener in self.keys or not host or not wildcards:
            return listener if listener in self.keys else "*"
        return f"[::]:{port}" if host.startswith("[") else f"0.0.0.0:{port}"

    def covers(self, change: Change, one: Difference) -> bool:
        """Whether a change speaks of a question."""
        listener, domain = str(one.request.listener), one.request.domain
        if not change.domains:
            return self.class_of(listener) in change.listeners
        own = any(entry and entry.listener == listener for entry in one.entries)
        return (
            (listener in change.listeners or (change.listeners == ("*",) and not own))
            and (change.before, change.after) == one.entries
            and any(speaks_of(pattern, domain) for pattern in change.domains)
        )


def speaks_of(pattern: str, domain: str) -> bool:
    """Whether a domain may be one that a pattern of a change stands for."""
    return domain.startswith("[") if pattern == "[*]" else is_inside(domain, pattern)


def effect(asked: Iterable[Difference]) -> Effect:
    """What differences do to those who ask: what they may now, and what they no longer may."""
    gains = losses = False
    for one in asked:
        gains = gains or bool(one.after.rights - one.before.rights)
        losses = losses or bool(one.before.rights - one.after.rights)
    if gains:
        return Effect.BOTH if losses else Effect.WIDENS
    return Effect.NARROWS if losses else Effect.UNCHANGED


def is_known(one: Difference) -> bool:
    """Whether the identity is listed, before or after."""
    return one.before.relay_from_authz or one.after.relay_from_authz


def is_listed(one: Difference) -> bool:
    """Whether the peer is listed, before or after."""
    return any((*one.before[:2], *one.after[:2]))


def check_change(pair: Pair, change: Change) -> None:
    """A change says what has changed for the questions that it speaks of, and to whom."""
    covered = [one for one in pair.different if pair.covers(change, one)]
    witness = change.witness
    was, is_ = answer(pair.before, witness), answer(pair.after, witness)
    seen = Difference(witness, was, is_, pair.governing(str(witness.listener), witness.domain))
    assert was != is_
    assert pair.covers(change, seen)
    if not change.domains:
        for listener in pair.listeners:
            if pair.class_of(listener) in change.listeners:
                old, new = (p.relay_hosts_at(listener) for p in (pair.before, pair.after))
                assert (change.gained, change.lost) == (new - old, old - new)
        # what entries do is told elsewhere; no entry says anything of a domain that is not valid
        no_entry = [one for one in covered if one.request.domain == "not valid"]
        assert change.listed_peers is effect(no_entry)
        assert change.strangers is change.authenticated is Effect.UNCHANGED
        assert (change.relay_to, change.log_oob, change.log_arf) == (None, None, None)
        assert change.dialects is None
        assert not change.gained_identities + change.lost_identities
        return
    old_from, new_from = CidrSet(), CidrSet()
    old_authz, new_authz = frozenset[str](), frozenset[str]()
    for policy, entry in ((pair.before, change.before), (pair.after, change.after)):
        if entry is not None:
            options = policy.config.entries[entry.listener][entry.pattern]
            if policy is pair.before:
                old_from, old_authz = options.relay_from, options.relay_from_authz
            else:
                new_from, new_authz = options.relay_from, options.relay_from_authz
    assert (change.gained, change.lost) == (new_from - old_from, old_from - new_from)
    assert change.gained_identities == tuple(sorted(new_authz - old_authz))
    assert change.lost_identities == tuple(sorted(old_authz - new_authz))
    for name in ("relay_to", "log_oob", "log_arf"):
        values = getattr(was, name), getattr(is_, name)
        assert getattr(change, name) == (None if values[0] == values[1] else values)
    # what `relay_hosts` do is told elsewhere
    entries_alone = [one for one in covered if one.before[0] is one.after[0]]
    unknown = [one for one in entries_alone if not is_known(one)]
    assert change.strangers is effect(one for one in unknown if not is_listed(one))
    assert change.listed_peers is effect(one for one in unknown if is_listed(one))
    assert change.authenticated is effect(one for one in entries_alone if is_known(one))


def check(before: Policy, after: Policy) -> bool:
    """All that is claimed of two policies; whether they differ."""
    pair = Pair(before, after)
    changes = diff(before, after)
    assert equivalent(before, after) == (not pair.different) == (not changes.changes)
    assert bool(changes) is bool(changes.changes)
    for one in pair.different:
        speaking = [change for change in changes.changes if pair.covers(change, one)]
        if one.is_of_hosts:
            side = "gained" if one.after.relay_hosts else "lost"
            assert any(
                not change.domains and str(one.request.peer) in getattr(change, side)
                for change in speaking
            ), one
        if one.is_of_entries:
            assert any(change.domains for change in speaking), one
    for change in changes.changes:
        check_change(pair, change)
    assert changes.widens is any(one.after.rights - one.before.rights for one in pair.different)
    assert changes.narrows is any(one.before.rights - one.after.rights for one in pair.different)
    return bool(changes)


def pairs(numbers: Iterable[int]) -> Iterator[tuple[int, Plan, Plan]]:
    """Plans that have nothing to do with one another, that nearly agree, and that agree."""
    for number in numbers:
        chance = Random(number)
        plan = SMALL.plan(chance)
        match number % 5:
            case 0:
                other = SMALL.plan(chance)
            case 1:
                other = SMALL.spelled_differently(plan, chance)
            case 2:
                other = SMALL.mutated(SMALL.spelled_differently(plan, chance), chance)
            case _:
                other = SMALL.mutated(plan, chance)
        yield number, plan, other


@pytest.mark.parametrize("part", range(4))
def test_changes_are_those_of_every_question(part: int) -> None:
    differ = alike = 0
    for number, plan, other in pairs(range(part, PAIRS, 4)):
        try:
            if check(plan.policy(), other.policy()):
                differ += 1
            else:
                alike += 1
        except AssertionError as error:
            error.add_note(f"{number}: {plan}\n{other}")
            raise
    assert differ > PAIRS / 12
    assert alike > PAIRS / 24


def swapped(change: Change) -> object:
    """What is said of a change, if it is undone; the witness may be another."""
    back = {Effect.WIDENS: Effect.NARROWS, Effect.NARROWS: Effect.WIDENS}
    return (
        *(change.listeners, frozenset(change.domains), change.after, change.before),
        *(change.lost, change.gained, change.lost_identities, change.gained_identities),
        *(
            None if pair is None else pair[::-1]
            for pair in (change.relay_to, change.log_oob, change.log_arf, change.dialects)
        ),
        *(back.get(one, one) for one in change.effects.values()),
    )


def as_it_is(change: Change) -> object:
    """The same, if it is done."""
    return (
        *(change.listeners, frozenset(change.domains), change.before, change.after),
        *(change.gained, change.lost, change.gained_identities, change.lost_identities),
        *(change.relay_to, change.log_oob, change.log_arf, change.dialects),
        *change.effects.values(),
    )


@given(strategies.policies(), strategies.policies())
def test_what_changes_back_is_what_has_changed(before: Policy, after: Policy) -> None:
    there, back = diff(before, after), diff(after, before)
    assert {as_it_is(one) for one in there.changes} == {swapped(one) for one in back.changes}
    assert len(there.changes) == len(back.changes) == len(set(map(as_it_is, there.changes)))
    assert (there.widens, there.narrows) == (back.narrows, back.widens)
    assert equivalent(before, after) is equivalent(after, before) is (not there)
    for change in there.changes:
        assert answer(before, change.witness) != answer(after, change.witness)
        assert len(change.domains) == len(set(change.domains))


@given(strategies.policies())
def test_nothing_changes_between_a_policy_and_itself(policy: Policy) -> None:
    again = Policy.from_toml(
        policy.config.to_toml(),
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners[::-1],
        dialect=policy.dialect,
    )
    assert again == policy
    assert equivalent(policy, again)
    assert diff(policy, again) == PolicyDiff(())
    assert not diff(policy, again)
    assert diff(policy, again).to_dict() == {"widens": False, "narrows": False, "changes": []}


@given(strategies.policies(), strategies.policies(), st.data())
def test_questions_of_equivalent_policies_are_answered_alike(
    a: Policy, b: Policy, data: st.DataObject
) -> None:
    alike = all(answer(a, request) == answer(b, request) for request in cells(a, b))
    assert equivalent(a, b) is alike
    request = data.draw(strategies.requests(data.draw(st.sampled_from([a, b]))))
    if answer(a, request) != answer(b, request):
        assert not equivalent(a, b)


def test_a_change_as_json_has_it() -> None:
    before = Policy.from_mapping({"a": {"relay_to": True}}, relay_hosts=["10.0.0.1"])
    after = Policy.from_mapping({"a": {"log_oob": True}}, relay_hosts=[], dialect=Dialect.KUMOMTA)
    changes = diff(before, after)
    told = json.loads(json.dumps(changes.to_dict()))
    assert told["widens"] is changes.widens is False
    assert told["narrows"] is changes.narrows is True
    hosts, entry = told["changes"]
    assert hosts["lost"] == ["10.0.0.1"]
    assert (hosts["before"], hosts["domains"], hosts["relay_to"]) == (None, [], None)
    assert entry["before"] == {"listener": "*", "pattern": "a"}
    assert entry["relay_to"] == [True, False]
    assert entry["log_oob"] == ["Ignore", "LogThenRelay"]
    assert entry["dialects"] == ["documented", "kumomta"]
    assert entry["strangers"] == "narrows"
    assert Request(**entry["witness"]) == changes.changes[1].witness


# Changes that nobody wrote


def only(before: Policy, after: Policy) -> Change:
    """The change there is."""
    (change,) = diff(before, after).changes
    check(before, after)
    return change


def plain(*documents: Fields, dialect: Dialect = Dialect.DOCUMENTED) -> Policy:
    return Policy.from_mapping(*documents, relay_hosts=[], dialect=dialect)


OPEN = {"relay_to": True}


def test_2_3_an_exact_name_hides_the_wildcard_above_it() -> None:
    change = only(plain({"*.a": OPEN}), plain({"*.a": OPEN, "b.a": {"relay_from": ["10.0.0.1"]}}))
    assert (change.listeners, change.domains) == (("*",), ("b.a",))
    assert (change.before, change.after) == (EntryRef("*", "*.a"), EntryRef("*", "b.a"))
    assert change.relay_to == (True, False)
    assert change.gained == CidrSet(["10.0.0.1"])
    assert (change.strangers, change.listed_peers) == (Effect.NARROWS, Effect.BOTH)


def test_2_5_a_listeners_entry_hides_the_shared_one() -> None:
    before = plain({"b.a": {**OPEN, "relay_from_authz": ["alice"]}})
    after = before.config.to_mapping() | {"listener": {"mx": {"b.a": OPEN}}}
    change = only(before, plain(after))
    assert (change.listeners, change.domains) == (("mx",), ("b.a",))
    assert (change.before, change.after) == (EntryRef("*", "b.a"), EntryRef("mx", "b.a"))
    assert change.lost_identities == ("alice",)
    assert change.witness.auth == "alice"
    assert change.authenticated is Effect.NARROWS


def test_2_5_a_listeners_table_that_is_gone_uncovers_the_shared_one() -> None:
    shared: Fields = {"b.a": {"relay_from": ["any"]}, "b": {}}
    before = plain({**shared, "listener": {"mx": {"*": {}}}})
    change = only(before, plain(shared))
    assert (change.listeners, change.domains) == (("mx",), ("b.a",))
    assert change.gained == CidrSet(["any"])
    assert change.listed_peers is Effect.WIDENS


def test_2_3_a_name_falls_to_the_entry_for_every_domain() -> None:
    every: Fields = {"*": {"log_oob": "LogThenRelay"}}
    change = only(plain({**every, "a": {}}), plain(every))
    assert change.domains == ("a",)
    assert change.after == EntryRef("*", "*")
    assert [str(log) for log in change.log_oob or ()] == ["Ignore", "LogThenRelay"]
    assert change.strangers is Effect.WIDENS


def test_2_4_a_deeper_key_makes_a_node_that_no_wildcard_reaches() -> None:
    before, after = (
        plain({"*.a": OPEN, **more}, dialect=Dialect.KUMOMTA) for more in ({}, {"a.b.a": OPEN})
    )
    change = only(before, after)
    assert sorted(change.domains) == ["*.a.b.a", "*.b.a", "b.a"]
    assert (change.before, change.after) == (EntryRef("*", "*.a"), None)
    assert equivalent(plain({"*.a": OPEN}), plain({"*.a": OPEN, "a.b.a": OPEN}))


def test_s3_the_same_entries_are_other_answers_in_the_other_dialect() -> None:
    entry: Fields = {"a": {"log_arf": "LogThenRelay"}, "b": OPEN}
    change = only(plain(entry), plain(entry, dialect=Dialect.KUMOMTA))
    assert change.domains == ("a",)
    assert change.dialects == (Dialect.DOCUMENTED, Dialect.KUMOMTA)
    assert change.log_arf is None
    assert change.strangers is Effect.WIDENS
    assert change.witness.domain == "a"


def test_s4_dialects_differ_where_peers_are_in_relay_hosts_alone() -> None:
    entry: Fields = {"*": {"log_arf": "LogThenDrop"}, "listener": {"mx": {"b": OPEN}}}
    before, after = (
        Policy.from_mapping(
            entry, relay_hosts=[], listeners=[esmtp("mx", [OUTSIDER])], dialect=dialect
        )
        for dialect in DIALECTS
    )
    change = only(before, after)
    assert change.listeners == ("mx",)
    assert "b" not in change.domains
    assert (change.witness.listener, change.witness.peer) == ("mx", OUTSIDER)


def test_4_1_relay_hosts_change_for_the_listeners_that_state_none() -> None:
    listeners = [esmtp("mx", ["10.0.0.1"]), esmtp("[::]:25", ["10.0.0.2"])]
    before, after = (
        Policy.from_mapping({"a": OPEN}, relay_hosts=hosts, listeners=listeners[: 3 - len(hosts)])
        for hosts in (["10.0.0.3"], ["10.0.0.3", "10.0.0.4"])
    )
    changes = diff(before, after).changes
    check(before, after)
    assert {change.listeners for change in changes} == {("*",), ("0.0.0.0:25", "[::]:25")}
    assert {change.domains for change in changes} == {()}


def test_a_change_of_the_shared_table_is_seen_where_only_a_listener_with_entries_lets_it_be() -> (
    None
):
    before, after = (
        Policy.from_mapping(
            {"*": entry, "listener": {"mx": {"b": {}}, "in": {"*": {}}}},
            relay_hosts=["any"],
            listeners=[esmtp("mx", []), esmtp("in", ["10.0.0.1"])],
        )
        for entry in ({}, OPEN)
    )
    change = only(before, after)
    assert change.listeners == ("*",)
    assert change.strangers is Effect.WIDENS
    assert diff(before, after).widens
    assert change.witness.listener == "mx"


def test_what_an_own_table_covers_does_not_count_as_left_to_the_shared_one() -> None:
    before, after = (
        Policy.from_mapping(
            {"*.a": entry, "listener": {"mx": {"*": {}}}},
            relay_hosts=["any"],
            listeners=[esmtp("mx", [])],
        )
        for entry in ({}, OPEN)
    )
    assert only(before, after).strangers is Effect.UNCHANGED
    assert not diff(before, after).widens


# What it costs


def entries(number: int, listeners: int = 0, *, changed: int = 0, dialect: int = 0) -> Policy:
    """So many entries, of which some differ, and as many listeners with one entry each."""
    shared: Fields = {
        f"{'*.' * (n % 3 == 0)}d{n}.e{n % 9}.com": {
            "relay_to": (n < changed) is not (n % 2 == 0),
            "relay_from": [f"10.{n // 256}.{n % 256}.0/24"],
        }
        for n in range(number)
    }
    own: Fields = {f"l{n}": {f"d{n}.own.com": {}} for n in range(listeners)}
    return Policy.from_mapping({**shared, "listener": own}, dialect=DIALECTS[dialect])


@pytest.mark.parametrize("dialect", [0, 1])
@pytest.mark.parametrize("changed", [0, 3])
def test_twice_the_entries_cost_twice_as_much(changed: int, dialect: int) -> None:
    costs: list[int] = []
    for number in (500, 1_000):
        before = entries(number, dialect=dialect)
        after = entries(number, changed=changed, dialect=dialect)

        def ask(before: Policy = before, after: Policy = after) -> None:
            assert equivalent(before, after) is not diff(before, after).narrows

        costs.append(calls_made(ask))
    assert costs[1] < 2.2 * costs[0]


@pytest.mark.parametrize("dialect", [0, 1])
def test_listeners_that_share_a_table_do_not_multiply_its_cost(dialect: int) -> None:
    alone = calls_made(lambda: diff(entries(500), entries(500, dialect=dialect)))
    before, after = entries(500, listeners=50), entries(500, listeners=50, dialect=dialect)
    with_fifty = calls_made(lambda: diff(before, after))
    assert with_fifty < alone + 50 * 400


@pytest.mark.parametrize("listener", ["mx", 'in "house"', "it's", "back\\slash"])
def test_the_question_of_a_change_can_be_pasted(listener: str) -> None:
    before = Policy.from_mapping({})
    after = Policy.from_mapping({"listener": {listener: {"a.com": {"relay_to": True}}}})
    (change,) = diff(before, after).changes
    _, row = str(change).split("`- explain ")
    pasted = shlex.split(" ".join(row.split()))
    assert pasted == [f"--listener={listener}", f"--peer={change.witness.peer}", "--domain=a.com"]
