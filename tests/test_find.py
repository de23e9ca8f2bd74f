"""`find` and `find_rcpt` find what there is, held against every question of small worlds."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import Plan, Refinement, Sides, World, answer_of, peers
from support import DIALECTS, OUTSIDER, Fields, calls_made, esmtp, words

from listener_policy import (
    Decision,
    Dialect,
    Policy,
    RcptDecision,
    RcptRequest,
    Report,
    Request,
    envelope_domain,
    strategies,
)
from listener_policy.analysis import find, find_rcpt

WORLDS = settings().max_examples // 2
SMALL = World(
    words("a b.a"),
    places=words("mx 10.1.2.3:25 [::]:25"),
    blocks=words("10.0.0.0/8 10.1.0.0/16 ::ffff:10.128.0.0/105 192.0.2.0/24 any 2001:db8::/32"),
    identities=("alice", "bob"),
)
LISTENERS = words("else 10.9.9.9:25")
DOMAINS = [*words("a b.a c.a c.b.a c [10.0.0.1] [192.0.2.1]"), "", "not valid"]


def addresses(domain: str) -> tuple[str, str]:
    """A sender and a recipient of a domain."""
    return (f"s@{domain}", f"r@{domain}") if domain else ("<>", "Postmaster")


def domain_of(address: str) -> str:
    domain = envelope_domain(address)
    return "not valid" if domain is None else domain


def refinements(chance: Random) -> Refinement:
    """None, or a little of something."""

    def some(values: Iterable[str]) -> list[str]:
        return chance.choices([*values], k=chance.choice([0, 0, 1, 2]))

    return {
        "blocks": some(["10.0.0.0/9", "203.0.113.0/24", "::/0", "any", "10.1.0.0/16"]),
        "domains": some(["*.a", "a", "b.a", "*", "", "[10.0.0.1]", "x.c.a"]),
        "identities": [*some(["alice", "bob", "zoe", "someone"])],
        "listeners": some(["mx", "else", "10.1.2.3:25"]),
    }


Kind = tuple[object, ...]


def kind_of_rcpt(policy: Policy, decision: RcptDecision, sides: object) -> Kind:
    """All that a predicate may look at."""
    return (
        answer_of(policy, decision.sender),
        answer_of(policy, decision.recipient),
        *(decision.accept, decision.relay, decision.reason, decision.log_oob, decision.log_arf),
        *(decision.after_data(report) for report in (None, *Report)),
        sides,
    )


class Asked:
    """Everything that can be asked of a policy about pairs, or about one domain."""

    def __init__(self, plan: Plan, refinement: Refinement) -> None:
        self.policy = plan.policy()
        self.refinement = refinement
        self.sides = Sides(refinement)
        mentioned = [*SMALL.listeners([plan]), *refinement.get("listeners", [])]
        self.listeners = sorted({*LISTENERS, *mentioned} - {"[2001:db8::9]:587", "10.9.9.9:587"})
        self.peers = sorted({*peers([self.policy], refinement.get("blocks", [])), "10.1.0.9"})
        self.identities = [*SMALL.asked_identities, "someone"]

    def rcpt_kinds(self, chance: Random) -> Iterator[tuple[Kind, RcptRequest]]:
        """What can be answered about pairs."""
        clients = list(product(self.listeners, self.peers, self.identities))
        for listener, peer, auth in chance.sample(clients, k=min(40, len(clients))):
            connection = self.policy.connection(listener, peer, auth)
            for one, other in product(DOMAINS, repeat=2):
                sender, recipient = addresses(one)[0], addresses(other)[1]
                decision = connection.decide_rcpt(sender, recipient)
                sides = self.sides.of(listener, peer, (one, other), auth)
                request = RcptRequest(listener, peer, sender, recipient, auth)
                yield kind_of_rcpt(self.policy, decision, sides), request

    def kinds(self) -> Iterator[tuple[Kind, Request]]:
        """What can be answered about one domain."""
        clients = product(self.listeners, self.peers, self.identities)
        for listener, peer, auth in clients:
            connection = self.policy.connection(listener, peer, auth)
            for domain in DOMAINS:
                sides = self.sides.of(listener, peer, [domain], auth)
                answer = answer_of(self.policy, connection.decide(domain))
                yield (answer, sides), Request(listener, peer, domain, auth)

    def kind(self, request: Request, decision: Decision) -> Kind:
        at = (str(request.listener), str(request.peer))
        domain = request.domain if request.domain != "not a domain" else "not valid"
        return answer_of(self.policy, decision), self.sides.of(*at, [domain], request.auth)

    def is_of_kind(self, kind: Kind, request: Request, decision: Decision) -> bool:
        return self.kind(request, decision) == kind

    def rcpt_kind(self, request: RcptRequest, decision: RcptDecision) -> Kind:
        at = (str(request.listener), str(request.peer))
        domains = domain_of(request.sender), domain_of(request.recipient)
        sides = self.sides.of(*at, domains, request.auth)
        return kind_of_rcpt(self.policy, decision, sides)


def collected(kinds: set[Kind], kind: Callable[..., Kind]) -> Callable[..., bool]:
    """A predicate that holds for nothing and keeps what it was shown."""

    def never(request: object, decision: object) -> bool:
        kinds.add(kind(request, decision))
        return False

    return never


@pytest.mark.parametrize("is_refined", [False, True])
def test_find_finds_what_there_is_and_nothing_else(is_refined: bool) -> None:
    for number in range(WORLDS):
        chance = Random(number)
        plan = SMALL.plan(chance)
        asked = Asked(plan, refinements(chance) if is_refined else {})
        there = dict(asked.kinds())
        shown: set[Kind] = set()
        never = collected(shown, asked.kind)
        assert find(asked.policy, never, **asked.refinement) is None
        assert shown >= set(there), (number, plan, asked.refinement)
        for kind in chance.choices(sorted(there, key=repr), k=3):
            wanted = partial(asked.is_of_kind, kind)
            found = find(asked.policy, wanted, **asked.refinement)
            assert found is not None
            assert wanted(found, asked.policy.decide(*found))


@pytest.mark.parametrize("is_refined", [False, True])
def test_find_rcpt_finds_what_there_is(is_refined: bool) -> None:
    pairs = 0
    for number in range(WORLDS):
        chance = Random(number)
        plan = SMALL.plan(chance)
        asked = Asked(plan, refinements(chance) if is_refined else {})
        shown: set[Kind] = set()
        found = find_rcpt(asked.policy, collected(shown, asked.rcpt_kind), **asked.refinement)
        assert found is None
        for kind, request in asked.rcpt_kinds(chance):
            assert kind in shown, (number, plan, asked.refinement, request)
            pairs += 1
    assert pairs > 2_000 * WORLDS


@given(st.data())
def test_what_is_generated_is_found(data: st.DataObject) -> None:
    policy = data.draw(strategies.policies())
    request = data.draw(strategies.rcpt_requests(policy))
    decision = policy.decide_rcpt(*request)
    wanted = (kind_of_rcpt(policy, decision, None), request.auth is None)

    def is_wanted(asked: RcptRequest, answer: RcptDecision) -> bool:
        return (kind_of_rcpt(policy, answer, None), asked.auth is None) == wanted

    found = find_rcpt(policy, is_wanted)
    assert found is not None
    assert is_wanted(found, policy.decide_rcpt(*found))
    half = find(policy, lambda _, one: answer_of(policy, one) == wanted[0][0])
    assert half is not None


# What people ask


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whether_strangers_relay_is_a_question_about_both_ends(dialect: Dialect) -> None:
    policy = Policy.from_mapping(
        {"in.example": {"relay_to": True}, "out.example": {"relay_from": ["10.0.0.0/8"]}},
        relay_hosts=[],
        dialect=dialect,
    )
    found = find_rcpt(
        policy,
        lambda request, decision: (
            decision.relay and not decision.recipient.relay_to and request.auth is None
        ),
    )
    assert found
    assert found.sender == "someone@out.example"
    assert found.peer.startswith("10.") if isinstance(found.peer, str) else False
    outside = find_rcpt(
        policy,
        lambda request, decision: (
            decision.relay
            and str(request.peer).split(".")[0] != "10"
            and not str(request.recipient).endswith("in.example")
        ),
        blocks=["10.0.0.0/8"],
        domains=["in.example"],
    )
    assert outside is None


def test_what_a_predicate_looks_at_and_nobody_said() -> None:
    policy = Policy.from_mapping({"*": {"relay_from": ["any"]}}, relay_hosts=[])

    def is_private(request: Request, decision: Decision) -> bool:
        return decision.relay_from and str(request.peer).startswith("10.")

    assert find(policy, is_private) is None
    assert find(policy, is_private, blocks=["10.0.0.0/8"])


def test_nobody_and_somebody_are_told_apart() -> None:
    policy = Policy.from_mapping({}, relay_hosts=[])
    assert find(policy, lambda request, _: request.auth is None)
    assert find(policy, lambda request, _: request.auth is not None)
    assert find_rcpt(policy, lambda request, _: request.auth is None)
    assert find_rcpt(policy, lambda request, _: request.auth is not None)


def test_two_entries_with_one_identity_meet_only_where_their_blocks_do() -> None:
    table: Fields = {
        "a": {"relay_from": ["10.0.0.0/24"], "relay_from_authz": ["alice"]},
        "b": {"relay_from": ["10.0.1.0/24"], "relay_to": True},
        "c": {"relay_from": ["10.0.0.7"], "log_oob": True},
    }
    policy = Policy.from_mapping(table, relay_hosts=["10.0.0.0/8"])

    def both(one: str, other: str) -> RcptRequest | None:
        return find_rcpt(
            policy,
            lambda request, decision: (
                decision.sender.relay_from_authz
                and decision.sender.relay_from
                and decision.recipient.relay_from
                and str(request.sender).endswith(one)
                and str(request.recipient).endswith(other)
            ),
            domains=["a", "b", "c"],
        )

    assert both("a", "b") is None
    meeting = both("a", "c")
    assert meeting
    assert meeting.peer == "10.0.0.7"
    assert meeting.auth == "alice"


def test_where_a_listener_leaves_one_end_to_the_shared_table() -> None:
    policy = Policy.from_mapping(
        {"a": {"relay_from_authz": ["x"]}, "b": {"log_arf": True},
         "listener": {"mx": {"b": {"relay_to": True}}, "in": {"a": {}}}},
        relay_hosts=[],
        listeners=[esmtp("mx", [OUTSIDER]), esmtp("in", [OUTSIDER])],
    )  # fmt: skip
    found = find_rcpt(policy, lambda _, one: one.sender.relay_from_authz and one.recipient.relay_to)
    assert found
    assert (found.listener, found.auth) == ("mx", "x")


def test_what_a_predicate_raises_goes_through() -> None:
    def fails(_request: object, _decision: object) -> bool:
        raise LookupError

    for ask in (find, find_rcpt):
        with pytest.raises(LookupError):
            ask(Policy.from_mapping({}), fails)


# What it costs


def distinct(number: int, everywhere: list[str]) -> Policy:
    """Entries that have neither blocks nor identities in common, but for some."""
    return Policy.from_mapping(
        {
            f"d{n}.example": {
                "relay_from": [f"10.{n // 256}.{n % 256}.0/24"],
                "relay_from_authz": [f"user {n}", *everywhere],
                "relay_to": n % 2 == 0,
            }
            for n in range(number)
        }
    )


@pytest.mark.parametrize("everywhere", [[], ["admin"], ["admin", "root"]])
def test_pairs_are_not_asked_about_one_by_one(everywhere: list[str]) -> None:
    costs: list[int] = []
    shown: list[int] = []
    for number in (500, 1_000):
        policy = distinct(number, everywhere)
        asked: set[RcptRequest] = set()

        def keep(request: RcptRequest, _: RcptDecision, asked: set[RcptRequest] = asked) -> bool:
            asked.add(request)
            return False

        costs.append(calls_made(lambda policy=policy, keep=keep: find_rcpt(policy, keep)))  # type: ignore[misc]
        shown.append(len(asked))
    assert costs[1] < 2.3 * costs[0]
    assert shown[1] <= shown[0] + 10
    assert shown[1] < 1_000
