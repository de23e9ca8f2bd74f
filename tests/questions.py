"""Small worlds in which every question can be asked, and what is said of an answer by hand.

Nothing here is taken from `listener_policy.analysis`: it is what its claims are compared with.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from random import Random
from typing import NamedTuple, TypedDict, TypeVar

import model
from support import Fields, esmtp, words

from listener_policy import CidrSet, Decision, Dialect, LogReport, Policy, Request
from listener_policy.addresses import LINE_END, ip_address

T = TypeVar("T")


class Refinement(TypedDict, total=False):
    """What `cells`, `find` and `find_rcpt` are told besides the policy."""

    blocks: list[str]
    domains: list[str]
    identities: list[str | None]
    listeners: list[str]


class After(NamedTuple):
    """What becomes of one kind of message."""

    accept: bool
    log: bool
    relay: bool


class Answer(NamedTuple):
    """All that is answered about a domain but the entry, for a sender without permission."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    relay_to: bool
    log_oob: str
    log_arf: str
    after: tuple[After, After, After]
    """Of an ordinary message, an abuse report and a delivery report."""

    @property
    def rights(self) -> frozenset[object]:
        """What may be done: send as the domain; have accepted, or relayed, what goes to it."""
        rights: set[object] = {"send"} if any(self[:3]) else set()
        for kind, after in enumerate(self.after):
            rights.update((kind, verb) for verb in ("accept", "relay") if getattr(after, verb))
        return frozenset(rights)


@cache
def _after(dialect: str, hosts: bool, relay_to: bool, oob: str, arf: str) -> tuple[After, ...]:
    """Rules 4.3 and 4.4 for a sender whose domain is not valid, as the model has them."""
    is_exempt = hosts and dialect == "documented"  # S4
    log_oob, log_arf = ("Ignore", "Ignore") if is_exempt else (oob, arf)
    accept = hosts or relay_to or (log_oob, log_arf) != ("Ignore", "Ignore")
    asked = model.RcptAnswer(
        accept,
        hosts or relay_to,
        model.log_report(LogReport(log_oob).value, "kumomta"),
        model.log_report(LogReport(log_arf).value, "kumomta"),
        "DENIED",
        "",
        "documented" if dialect == "documented" else "kumomta",
    )
    return tuple(After(*asked.after_data(report)[:3]) for report in (None, "arf", "oob"))


@cache
def _answer(dialect: Dialect, *said: bool | LogReport) -> Answer:
    hosts, from_, authz, to, oob, arf = said
    ordinary, arf_report, oob_report = _after(dialect, bool(hosts), bool(to), str(oob), str(arf))
    after = (ordinary, arf_report, oob_report)
    return Answer(bool(hosts), bool(from_), bool(authz), bool(to), str(oob), str(arf), after)


def answer_of(policy: Policy, decision: Decision) -> Answer:
    """What a decision of a policy says, without the entry."""
    return _answer(
        policy.dialect,
        decision.relay_hosts,
        decision.relay_from,
        decision.relay_from_authz,
        decision.relay_to,
        decision.log_oob,
        decision.log_arf,
    )


def answer(policy: Policy, request: Request) -> Answer:
    """What a policy answers, without the entry."""
    return answer_of(policy, policy.decide(*request))


@cache
def is_inside(domain: str, pattern: str) -> bool:
    """Whether a domain is one that a pattern stands for."""
    name, pattern = model.canonical_domain(domain), pattern and model.canonical_pattern(pattern)
    if name is None or pattern == "*":
        return name is not None
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


@dataclass
class Sides:
    """On which sides of a refinement questions are, one input at a time."""

    refinement: Refinement
    _known: dict[tuple[str, str], tuple[bool, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[bool, ...]]
    )

    def of(self, listener: str, peer: str, domains: Iterable[str], auth: str | None) -> object:
        """Inside or outside of everything, and whether anybody authenticated."""
        return (
            self._side("listeners", listener),
            self._side("blocks", peer),
            *(self._side("domains", domain) for domain in domains),
            *(auth == identity for identity in self.refinement.get("identities", [])),
            auth is None,
        )

    def _side(self, name: str, value: str) -> tuple[bool, ...]:
        known = self._known.get((name, value))
        if known is None:
            known = self._known[name, value] = tuple(self._inside(name, value))
        return known

    def _inside(self, name: str, value: str) -> Iterator[bool]:
        if name == "listeners":
            for listener in self.refinement.get("listeners", []):
                yield model.canonical_listener(value) == model.canonical_listener(listener)
        elif name == "blocks":
            for block in self.refinement.get("blocks", []):
                yield value in CidrSet([block])
        else:
            for pattern in self.refinement.get("domains", []):
                yield is_inside(value, pattern)


# Policies that can be changed


@dataclass
class Plan:
    """A policy as it is planned: every part of it can be changed."""

    entries: dict[tuple[str, str], Fields]
    relay_hosts: list[str]
    stated: dict[str, list[str] | None]
    dialect: Dialect

    def policy(self) -> Policy:
        """What the package makes of it."""
        tables: dict[str, Fields] = {}
        for (listener, pattern), options in self.entries.items():
            tables.setdefault(listener, {})[pattern] = options
        return Policy.from_mapping(
            {"listener": tables},
            relay_hosts=self.relay_hosts,
            listeners=[esmtp(*stated) for stated in self.stated.items()],
            dialect=self.dialect,
        )


LITERALS = words("[10.0.0.1] [ipv6:2001:db8::1]")
BLOCKS = (
    *words("10.0.0.0/8 10.1.0.0/16 10.1.2.3 192.0.2.0/24 ::ffff:10.128.0.0/105 0.0.0.0/0 any"),
    *words("::/0 2001:db8::/32 ::fffe:ffff:ffff ::1:0:0:0 ::fffe:0:0/95"),
)
"""Blocks that overlap, and addresses on both sides of where IPv4 lies among IPv6 (rule 1.3)."""
PLACES = (
    *words("mx mx:25 10.1.2.3:25 10.1.2.4:25 [2001:db8::25]:25 0.0.0.0:25 [::]:25"),
    *words("0.0.0.0:0 [::]:587"),
)
ELSEWHERE = words("else 10.9.9.9:25 [2001:db8::9]:25 10.9.9.9:0 [2001:db8::9]:587 10.9.9.9:587")
LOGS: list[bool | str] = [False, False, False, True, "LogThenDrop", "LogThenRelay"]


@dataclass(frozen=True)
class World:
    """Names, listeners and blocks, few enough that everything about them can be asked."""

    names: Sequence[str]
    places: Sequence[str] = PLACES
    blocks: Sequence[str] = BLOCKS
    identities: Sequence[str] = ("alice", "bob", "")

    def plan(self, chance: Random) -> Plan:
        """Any policy of this world."""
        places = self._some(chance, self.places, 3)
        shared = [("*", pattern) for pattern in self._some(chance, self._patterns(), 5)]
        own = [(chance.choice(places), self._pattern(chance)) for _ in range(4) if places]
        entries = [self.options(chance) for _ in range(3)]
        return Plan(
            {at: chance.choice(entries) for at in [*shared, *self._some(chance, own, 4)]},
            self._some(chance, self.blocks, 2),
            {
                place: chance.choice([None, self._some(chance, self.blocks, 1), []])
                for place in self._some(chance, [*places, *places, *self.places], 3)
            },
            chance.choice(list(Dialect)),
        )

    def options(self, chance: Random) -> Fields:
        """What an entry may say; often little."""
        return {
            "relay_to": chance.random() < 0.4,
            "relay_from": self._some(chance, self.blocks, 2),
            "relay_from_authz": self._some(chance, self.identities, 2),
            "log_oob": chance.choice(LOGS),
            "log_arf": chance.choice(LOGS),
        }

    def mutated(self, plan: Plan, chance: Random) -> Plan:
        """The plan with one thing changed, which need not change what it means."""
        other = deepcopy(plan)
        at = chance.choice([*plan.entries, ("*", "*")])
        match chance.randrange(9):
            case 0:
                other.entries.pop(at, None)
            case 1:
                place = chance.choice(["*", *self.places])
                other.entries[place, self._pattern(chance)] = self.options(chance)
            case 2:
                place = chance.choice(["*", *self.places])
                other.entries[place, self._pattern(chance)] = other.entries.pop(at, {})
            case 3 | 4:
                option = chance.choice(
                    words("relay_to relay_from relay_from_authz log_oob log_arf")
                )
                written = other.entries.get(at, {})
                other.entries[at] = {**written, option: self.options(chance)[option]}
            case 5:
                other.relay_hosts = self._some(chance, self.blocks, 2)
            case 6:
                place = chance.choice(self.places)
                other.stated[place] = chance.choice([None, self._some(chance, self.blocks, 2)])
            case 7:
                other.stated.pop(chance.choice([*other.stated, "mx"]), None)
            case _:
                other.dialect = chance.choice(list(Dialect))
        return other

    def spelled_differently(self, plan: Plan, chance: Random) -> Plan:
        """A plan that means the same, as long as the dialect does not change it."""
        other = deepcopy(plan)
        for (listener, pattern), options in plan.entries.items():
            less: Fields = {
                name: value
                for name, value in options.items()
                if value not in (False, []) or chance.random() < 0.5
            }
            again = pattern.upper() if chance.random() < 0.3 else pattern
            del other.entries[listener, pattern]
            if "0.0.0.0/0" in less.get("relay_from", []) and chance.random() < 0.5:
                less["relay_from"] = [*less["relay_from"], "0.0.0.0/1", "128.0.0.0/1"]
            other.entries[listener, again] = less
        if plan.dialect is Dialect.DOCUMENTED:  # an entry that says what its parent says (2.3)
            for (listener, pattern), options in list(plan.entries.items()):
                below = f"a.{pattern[2:]}"
                if pattern.startswith("*.") and not {
                    key for at, key in plan.entries if at == listener and below.endswith(key[1:])
                } - {pattern}:
                    other.entries[listener, below] = options
        for place in self.places:
            if place not in other.stated and chance.random() < 0.3:
                other.stated[place] = None
        return other

    def _patterns(self) -> list[str]:
        names = [*self.names, *(f"*.{name}" for name in self.names)]
        return [*names, *LITERALS, *["*"] * (len(names) // 6 + 1)]

    def _pattern(self, chance: Random) -> str:
        return chance.choice(self._patterns())

    @staticmethod
    def _some(chance: Random, values: Sequence[T], most: int) -> list[T]:
        drawn = chance.choices(values, k=chance.randint(0, most)) if values else []
        return list(dict.fromkeys(drawn))

    # What can be asked

    @property
    def domains(self) -> list[str]:
        """Every name, one below each, one beside all, and what is no name."""
        below = [f"c.{name}" for name in self.names]
        return ["c", *self.names, *below, "", "[192.0.2.1]", *LITERALS, "not valid"]

    @property
    def asked_identities(self) -> list[str | None]:
        """Those that may be listed, somebody else and nobody."""
        return [None, *self.identities, "zoe"]

    def listeners(self, plans: Iterable[Plan]) -> list[str]:
        """Those that are mentioned, and others."""
        mentioned = [place for place, _ in (at for plan in plans for at in plan.entries)]
        mentioned += [place for plan in plans for place in plan.stated]
        return sorted({*mentioned, *ELSEWHERE} - {"*"})


def peers(
    policies: Iterable[Policy], blocks: Iterable[str] = (), sides: Sequence[int] = (0, -1)
) -> list[str]:
    """The addresses on both sides of every edge of every block, and one more."""
    sets = [CidrSet([block]) for block in blocks]
    for policy in policies:
        stated = [listener.relay_hosts for listener in policy.listeners]
        sets += [policy.relay_hosts, *(blocks for blocks in stated if blocks is not None)]
        for table in policy.config.entries.values():
            sets += [options.relay_from for options in table.values()]
    edges = {edge + side for blocks in sets for edge in blocks.bounds for side in sides}
    numbers = sorted(edge for edge in edges if 0 <= edge < LINE_END)
    return [*(str(ip_address(number)) for number in numbers), "203.0.113.9"]


def questions(
    listeners: Iterable[str],
    peers: Sequence[str],
    domains: Sequence[str],
    identities: Sequence[str | None],
) -> Iterator[Request]:
    """Every combination."""
    for listener, peer, domain, auth in product(listeners, peers, domains, identities):
        yield Request(listener, peer, domain, auth)
