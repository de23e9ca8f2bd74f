"""What `cells` promises, held against every question of small worlds, and against generated ones.

A promise broken is a question that no cell is like.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from random import Random
from string import ascii_lowercase, digits

import model
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import (
    BLOCKS,
    LITERALS,
    PLACES,
    Refinement,
    Sides,
    World,
    answer,
    answer_of,
    peers,
)
from support import DIALECTS, LISTENER, OUTSIDER, Fields, esmtp, untyped, words

from listener_policy import (
    CidrSet,
    Dialect,
    HookPolicy,
    Policy,
    PolicyConfig,
    Request,
    RequestError,
    canonical_domain,
    strategies,
)
from listener_policy.analysis import cells, diff, equivalent, find, find_rcpt
from listener_policy.listeners import canonical_listener

WORLDS = settings().max_examples
NAMES = [
    ".".join(labels) for depth in (1, 2, 3, 4) for labels in product("ab", repeat=depth)
]  # every name of the labels a and b, down to depth 4
DEEP = World(NAMES)
CLIENT = "10.0.0.1"


def kinds_of(
    requests: Collection[Request], policies: Sequence[Policy], sides: Sides
) -> set[object]:
    """How questions are answered, and where they are."""
    return {
        (
            tuple(answer(policy, request) for policy in policies),
            sides.of(str(request.listener), str(request.peer), [request.domain], request.auth),
        )
        for request in requests
    }


def some_refinement(chance: Random, world: World) -> Refinement:
    """What a predicate may look at: a little of everything, or of anything."""
    patterns = [*world.domains[:-1], *(f"*.{name}" for name in world.names), "*", "c.c.a", "*.c"]

    def some(values: Sequence[str]) -> list[str]:
        return chance.choices(values, k=chance.choice([0, 0, 1, 2]))

    return {
        "blocks": some([*BLOCKS, "203.0.113.0/24", "172.16.0.0/12"]),
        "domains": some(patterns),
        "identities": [*some([*world.identities, "zoe", "someone"])],
        "listeners": some([*world.places, "other", "10.7.7.7:25"]),
    }


@pytest.mark.parametrize("part", range(4))
def test_every_question_of_a_small_world_is_like_a_cell(part: int) -> None:
    asked = 0
    for number in range(part, WORLDS, 4):
        chance = Random(number)
        plans = [DEEP.plan(chance)]
        while len(plans) < chance.choice([1, 1, 2, 3]):
            plans.append(chance.choice([DEEP.plan(chance), DEEP.mutated(plans[0], chance)]))
        policies = [plan.policy() for plan in plans]
        refinement = some_refinement(chance, DEEP)
        sides = Sides(refinement)
        known = kinds_of(list(cells(*policies, **refinement)), policies, sides)
        listeners = [*DEEP.listeners(plans), *refinement.get("listeners", [])]
        clients = peers(policies, refinement.get("blocks", []))
        chosen = chance.sample(DEEP.domains, k=len(DEEP.domains) // 2)
        for listener, peer, auth in product(
            listeners,
            chance.choices(clients, k=6),
            chance.choices(DEEP.asked_identities, k=3),
        ):
            connections = [policy.connection(listener, peer, auth) for policy in policies]
            for domain in chosen:
                answers = tuple(
                    answer_of(policy, connection.decide(domain))
                    for policy, connection in zip(policies, connections, strict=True)
                )
                kind = (answers, sides.of(listener, peer, [domain], auth))
                assert kind in known, (number, plans, refinement, listener, peer, domain, auth)
                asked += 1
    assert asked > 1_000 * WORLDS / 4


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_of_the_questions_of_the_smallest_worlds_are_like_cells(dialect: Dialect) -> None:
    world = World(words("a b b.a"), places=words("mx 0.0.0.0:25"), identities=["alice"])
    keys = words("* *.a a *.b.a b.a b [10.0.0.1]")
    entries: list[Fields | None] = [None, {"relay_to": True}, {"relay_from_authz": ["alice"]}]
    asked = 0
    for number, (at_all, here, by_default) in enumerate(
        product(product(entries, repeat=3), product(entries[:2], repeat=2), ([], [CLIENT]))
    ):
        some = Random(number).sample(keys, k=5)
        shared = {key: options for key, options in zip(some, at_all, strict=False) if options}
        own = {key: options for key, options in zip(some[1:3], here, strict=True) if options}
        policy = Policy.from_mapping(
            {**shared, "listener": {"mx": own}}, relay_hosts=by_default, dialect=dialect
        )
        sides = Sides({})
        known = kinds_of(list(cells(policy)), [policy], sides)
        requests = [
            Request(listener, peer, domain, auth)
            for listener, peer, domain, auth in product(
                words("mx else 0.0.0.0:25"), (CLIENT, OUTSIDER), world.domains, ("alice", None, "x")
            )
        ]
        assert kinds_of(requests, [policy], sides) == known
        asked += len(requests)
    assert asked > 40_000


@settings(max_examples=settings().max_examples // 2)
@given(st.data())
def test_every_question_that_is_generated_is_like_a_cell(data: st.DataObject) -> None:
    policies = data.draw(st.lists(strategies.policies(), min_size=1, max_size=3))
    refinement: Refinement = {
        "blocks": data.draw(st.lists(strategies.cidr_blocks(), max_size=2)),
        "domains": data.draw(st.lists(strategies.patterns(), max_size=2)),
        "identities": data.draw(st.lists(strategies.identities(), max_size=2)),
        "listeners": [
            canonical_listener(one)
            for one in data.draw(st.lists(strategies.listeners(), max_size=2))
        ],
    }
    known = kinds_of(list(cells(*policies, **refinement)), policies, Sides(refinement))
    for policy in policies:
        for _ in range(3):
            request = data.draw(strategies.requests(policy))
            canonical = Request(
                canonical_listener(request.listener),
                str(model.peer_address(request.peer)),
                request.domain,
                request.auth,
            )
            kind = kinds_of([canonical], policies, Sides(refinement))
            assert kind <= known, (request, refinement)


@given(st.lists(strategies.policies(), max_size=3))
def test_cells_are_questions_in_canonical_form_and_none_is_there_twice(
    policies: list[Policy],
) -> None:
    found = list(cells(*policies))
    assert len(found) == len(set(found)) > 0
    for request in found:
        assert model.canonical_listener(request.listener) == request.listener
        assert str(model.peer_address(request.peer)) == request.peer
        assert canonical_domain(request.domain) in (request.domain, None)
    assert {request.domain for request in found if canonical_domain(request.domain) is None} == {
        "not a domain"
    }


# What is easily forgotten


def like(policy: Policy, request: Request, refinement: Refinement | None = None) -> bool:
    """Whether there is a cell that is answered and placed as the question is."""
    given_ = refinement or {}
    sides = Sides(given_)
    known = kinds_of(list(cells(policy, **given_)), [policy], sides)
    return kinds_of([request], [policy], sides) <= known


def test_a_listener_with_entries_of_its_own_does_not_stand_for_others() -> None:
    policy = Policy.from_mapping(
        {
            "x.example": {"relay_to": True},
            "listener": {"in": {"x.example": {}}, "out": {"y.example": {}}},
        },
        relay_hosts=[],
        listeners=[esmtp("in", [CLIENT]), esmtp("out", [CLIENT])],
    )
    assert like(policy, Request("out", CLIENT, "x.example"))
    assert find(policy, lambda _, decision: decision.relay_hosts and decision.relay_to)


def test_a_listener_that_is_told_apart_does_not_stand_for_others() -> None:
    policy = Policy.from_mapping(
        {}, relay_hosts=[], listeners=[esmtp("in", [CLIENT]), esmtp("out", [CLIENT])]
    )
    assert like(policy, Request("out", CLIENT, ""), {"listeners": ["in"]})
    assert find_rcpt(
        policy,
        lambda request, decision: decision.relay and request.listener != "in",
        listeners=["in"],
    )


def test_the_empty_domain_is_a_refinement() -> None:
    policy = Policy.from_mapping({"*": {"relay_to": True}})
    assert like(policy, Request("mx", OUTSIDER, ""), {"domains": [""]})
    assert like(policy, Request("mx", OUTSIDER, "[192.0.2.9]"), {"domains": ["", LITERALS[0]]})
    got = find(policy, lambda request, _: request.domain == "", domains=[""])
    assert got
    assert got.domain == ""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("length", range(248, 252))
@pytest.mark.parametrize("is_taken", [False, True])
def test_suffixes_with_hardly_any_room_below(dialect: Dialect, length: int, is_taken: bool) -> None:
    labels = ["x" * 63] * 3 + ["x" * (length - 192)]
    suffix = ".".join(labels)
    taken = [f"{label}.{suffix}" for label in f"{ascii_lowercase}{digits}_"] if is_taken else []
    policy = Policy.from_mapping(
        {f"*.{suffix}": {"relay_to": True}, **{name: {} for name in taken}}, dialect=dialect
    )
    found = [request for request in cells(policy) if policy.decide(*request).relay_to]
    names = {request.domain for request in found}
    if length == 251 and is_taken:
        assert not names  # no name can be below that is no key
    else:
        assert names
        assert all(name.endswith(f".{suffix}") and canonical_domain(name) == name for name in names)
    for name in [*taken[:3], suffix, f"c.{suffix}", f"cc.{suffix}", f"c.c.{suffix}", "else.test"]:
        assert like(policy, Request("mx", OUTSIDER, name))


def test_a_name_of_the_longest_kind_is_a_class() -> None:
    name = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(name) == 253
    for dialect in DIALECTS:
        policy = Policy.from_mapping({name: {"relay_to": True}}, dialect=dialect)
        assert find(policy, lambda _, decision: decision.relay_to)
        found = list(cells(policy, domains=[name[2:], f"*.{name[2:]}"]))
        assert name in {request.domain for request in found}


def test_names_that_look_ordinary_may_be_taken() -> None:
    table = {key: {"relay_to": True} for key in ("*.test", "other.test", "a", "other.example", "b")}
    policy = Policy.from_mapping(
        {**table, "*.example": {}, "[203.0.113.1]": {"relay_to": True}, "someone": {}},
        relay_hosts=[],
        listeners=[esmtp("other", [CLIENT]), esmtp("other1", [])],
    )
    for listener, domain in product(["other", "other1", "x"], ["c", "[192.0.2.1]", "c.test", "a"]):
        assert like(policy, Request(listener, CLIENT, domain))
    policy = Policy.from_mapping(
        {"*": {"relay_from_authz": ["someone", "someone2"], "relay_from": ["203.0.113.0/24"]}}
    )
    assert find(
        policy, lambda request, decision: not (request.auth is None or decision.relay_from_authz)
    )
    assert find(policy, lambda _, decision: not (decision.relay_from or decision.relay_from_authz))


def test_2_4_names_between_a_deep_key_and_the_root_are_classes_of_their_own() -> None:
    policy = Policy.from_mapping(
        {"*.com": {"relay_to": True}, "a.b.c.com": {}}, dialect=Dialect.KUMOMTA
    )
    governed = {request.domain: policy.decide(*request).relay_to for request in cells(policy)}
    assert {"com", "c.com", "b.c.com", "a.b.c.com"} <= set(governed)
    assert [name for name, relay_to in governed.items() if relay_to] == ["other.com"]
    assert not any(relay_to for name, relay_to in governed.items() if name.endswith("c.com"))


def test_refinements_are_read_as_keys_are() -> None:
    policy = Policy.from_mapping({"xn--bcher-kva.example": {"relay_to": True}})
    names = {request.domain for request in cells(policy, domains=["*.B\u00dcCHER.example."])}
    assert {"xn--bcher-kva.example", "other.xn--bcher-kva.example"} <= names
    spelled = words("[::ffff:10.1.2.3]:25 [2001:DB8:0::25]:25")
    found = {request.listener for request in cells(policy, listeners=[*spelled, ("10.9.9.9", 0)])}
    assert {LISTENER, "[2001:db8::25]:25", "10.9.9.9:0"} <= found
    inside = [
        request for request in cells(policy, blocks=["::ffff:10.0.0.0/104"])
        if str(request.peer) in CidrSet(["10.0.0.0/8"])
    ]  # fmt: skip
    assert inside


def test_4_1_listeners_of_wildcard_addresses() -> None:
    for stated in (words("0.0.0.0:25"), words("[::]:25"), words("0.0.0.0:25 [::]:25")):
        listeners = [esmtp(one, [f"10.0.0.{number}"]) for number, one in enumerate(stated)]
        policy = Policy.from_mapping({}, relay_hosts=["10.0.0.9"], listeners=listeners)
        for listener, last in product([*PLACES, "10.7.7.7:25", "[2001:db8::7]:25"], (0, 1, 9)):
            request = Request(listener, f"10.0.0.{last}", "")
            assert like(policy, request)
            assert like(policy, request, {"listeners": [listener], "blocks": [f"10.0.0.{last}"]})


# How many there are


def per_class(*policies: Policy) -> Counter[object]:
    """How many cells there are for each listener and domain."""
    return Counter((request.listener, request.domain) for request in cells(*policies))


@given(strategies.policies())
def test_there_are_at_most_twelve_cells_for_a_listener_and_a_class_of_domains(
    policy: Policy,
) -> None:
    assert max(per_class(policy).values()) <= 12


def listing(blocks: int, identities: int) -> Policy:
    """A policy with one entry that lists so many, with every combination of what can be."""
    return Policy.from_mapping(
        {
            "example.com": {
                "relay_from": [f"10.{n // 256}.{n % 256}.0/25" for n in range(blocks)],
                "relay_from_authz": [f"user {n}" for n in range(identities)],
            }
        },
        relay_hosts=["10.0.0.64/26", "192.0.2.1"],
    )


def test_neither_blocks_nor_identities_add_cells() -> None:
    few = per_class(listing(1, 1))
    assert few["other", "example.com"] == 12
    assert per_class(listing(1_000, 1)) == per_class(listing(1, 1_000)) == few
    assert per_class(listing(1_000, 1_000)) == few


def many(entries: int, listeners: int = 0) -> Policy:
    """So many entries in the shared table, and a few in that of each of the listeners."""
    shared: Fields = {
        f"{'*.' * (n % 3 == 0)}d{n}.example{n % 7}.com": {"relay_to": n % 2 == 0}
        for n in range(entries)
    }
    own = {f"l{n}": {f"d{n}.example.com": {"relay_to": True}} for n in range(listeners)}
    return Policy.from_mapping({**shared, "listener": own})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_number_of_cells_is_bounded_for_each_entry(dialect: Dialect) -> None:
    counts: list[int] = []
    for entries in (100, 200):
        plain = many(entries)
        policy = Policy(plain.config, dialect=dialect)
        counts.append(len(list(cells(policy))))
    assert counts[1] <= 2 * counts[0]
    assert counts[1] / 200 < 25  # a class or two, of four to twelve cells


def test_listeners_that_share_a_table_do_not_multiply_its_cells() -> None:
    alone = len(list(cells(many(200))))
    with_fifty = len(list(cells(many(200, listeners=50))))
    assert with_fifty - alone <= 50 * 12
    stated = [esmtp(f"l{n}", ["127.0.0.1", "::1"]) for n in range(50)]
    same = Policy(many(200).config, listeners=stated)
    assert len(list(cells(same))) == alone


# What is no argument


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"blocks": "10.0.0.0/8"}, "blocks: expected a list, found the string"),
    ({"blocks": None}, "blocks: expected a list, found null"),
    ({"blocks": ["any", "10.0.0.1/8"]}, "blocks[1]: expected a CIDR block with no bit set"),
    ({"blocks": ["10.0.0.1/8"]}, "found `10.0.0.1/8`; did you mean `10.0.0.0/8`?"),
    ({"blocks": [5]}, "blocks[0]: expected `ip`, `ip/length` or `any`, found the integer `5`"),
    ({"domains": b"a.com"}, "domains: expected a list, found bytes"),
    ({"domains": ["a.com", "a..b"]}, "domains[1]: expected a domain: no label is empty"),
    ({"domains": ["a.*.com"]}, "domains[0]: expected a domain, `*.` before a domain, or `*`"),
    ({"domains": [None]}, "domains[0]: expected a pattern, found null"),
    ({"identities": "alice"}, "identities: expected a list, found the string"),
    ({"identities": ["a", None, b"x"]}, "identities[2]: expected a string or `None`, found a"),
    ({"identities": 5}, "identities: expected a list, found the integer `5`"),
    ({"listeners": "mx"}, "listeners: expected a list, found the string"),
    ({"listeners": ["mx", "*"]}, "listeners[1]: expected the address of one listener, or its name"),
    ({"listeners": ["10.0.0.1:99999"]}, "listeners[0]: expected `ip:port` or `[v6]:port`"),
    ({"listeners": [5]}, "listeners[0]: expected `ip:port`, `[v6]:port`, a name or a socket"),
]


def never(*_: object) -> bool:
    return False


@pytest.mark.parametrize(("refinement", "message"), REFUSED)
def test_a_refinement_that_is_wrong_is_told_by_its_place(
    refinement: dict[str, object], message: str
) -> None:
    policy = Policy.from_mapping({})
    for ask in (cells, find, find_rcpt):
        predicate = () if ask is cells else (never,)
        with pytest.raises(RequestError) as caught:
            untyped(ask)(policy, *predicate, **refinement)
        assert message in str(caught.value)


def test_anything_may_be_a_list_and_is_read_once() -> None:
    policy = Policy.from_mapping({"a.com": {}})
    lists: Refinement = {
        "blocks": [*BLOCKS[:2]],
        "domains": ["*.com", ""],
        "identities": ["alice", None],
        "listeners": ["mx"],
    }
    wanted = list(cells(policy, **lists))
    once = {name: iter(untyped(values)) for name, values in lists.items()}
    assert list(cells(policy, **untyped(once))) == wanted
    as_set = cells(policy, blocks={CidrSet(["10.0.0.0/9", "10.128.0.0/9"])})
    assert list(as_set) == list(cells(policy, blocks=["10.0.0.0/8"]))


NO_POLICIES: list[object] = [None, "", PolicyConfig(), {}, Policy, HookPolicy(untyped(never))]


@pytest.mark.parametrize("other", NO_POLICIES, ids=lambda other: type(other).__name__)
def test_only_a_policy_can_be_analysed(other: object) -> None:
    policy, wrong = Policy.from_mapping({}), untyped(other)
    for ask in (
        lambda: cells(policy, wrong),
        lambda: equivalent(policy, wrong),
        lambda: diff(wrong, policy),
        lambda: find(wrong, never),
        lambda: find_rcpt(wrong, never),
    ):
        with pytest.raises(RequestError, match=r"^policy: expected a `Policy`, found "):
            ask()


def test_without_any_policy_there_are_the_questions_of_the_refinements() -> None:
    assert len({request.domain for request in cells()}) == 4
    assert {request.listener for request in cells(listeners=["mx"])} == {"other", "mx"}
