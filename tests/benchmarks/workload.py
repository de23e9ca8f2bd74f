"""What is asked, and of which policy: sizes, names, blocks and traffic, all from one seed.

A policy of `size` entries: 10 % wildcards, 20 % of the entries for the first of two listeners (or
for all of many but the last) and the others for listener `*`, one pattern in 25 on a name of five
labels, the deepest there are. `relay_hosts` of as many blocks as `BLOCKS` says hold at the first
listener, a tenth of them at the last. Three in ten blocks, and three in ten peers, are IPv6.

Of twenty questions seven hit an exact name, four a wildcard, nine neither; ten come from peers in
`relay_hosts`. Where the entry lists peers or identities, every second question is from one of them.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, cycle
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, Final, NamedTuple, TypeVar

from benchmarks.measuring import fresh
from listener_policy import EsmtpListener, Policy

T = TypeVar("T")

OWN: Final = "10.1.2.3:25"
"""The listener that has entries of its own."""
OTHER: Final = "[2001:db8::25]:25"
"""The listener for which those of `*` are all there is, and that states its `relay_hosts`."""
EVERYONE: Final = "*"

BLOCKS: Final = {10: 4, 1_000: 100, 100_000: 10_000, 1_000_000: 100_000}
"""How many blocks `relay_hosts` has, by the number of entries."""

Options = Mapping[str, Any]
Entries = Mapping[str, Mapping[str, Options]]


class Question(NamedTuple):
    """What `decide` is asked."""

    listener: str
    peer: str
    domain: str
    auth: str | None


class RcptQuestion(NamedTuple):
    """What `decide_rcpt` is asked."""

    listener: str
    peer: str
    sender: str
    recipient: str
    auth: str | None


# An address as questions are made of it: a block's place and length, and where in it


@dataclass(frozen=True)
class Blocks:
    """Blocks that do not touch each other, and addresses inside and between them.

    Each has a slot for itself, and leaves the upper half of the slot free.
    """

    ipv4: tuple[tuple[int, int], ...]
    """First address and number of addresses of each block."""
    ipv6: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, count: int, seed: int) -> "Blocks":
        """So many blocks, three in ten of them IPv6."""
        rng = random.Random(f"blocks {count} {seed}")
        of_ipv6 = max(1, count * 3 // 10)
        return cls(
            tuple(
                ((11 << 24) + (number << _SLOT4), 1 << rng.randint(0, _SLOT4 - 1))
                for number in range(count - of_ipv6)
            ),
            tuple(
                ((0x2A00 << 112) + (number << _SLOT6), 1 << rng.randint(0, _SLOT6 - 1))
                for number in range(of_ipv6)
            ),
        )

    def written(self) -> list[str]:
        """The blocks as a configuration has them."""
        return [
            *(f"{ipv4_text(start)}/{33 - size.bit_length()}" for start, size in self.ipv4),
            *(f"{ipv6_text(start)}/{129 - size.bit_length()}" for start, size in self.ipv6),
        ]

    def peer(self, rng: random.Random, inside: bool) -> str:
        """An address inside one of the blocks, or beside one of them."""
        if rng.random() < 0.7:
            start, size = rng.choice(self.ipv4)
            half = 1 << (_SLOT4 - 1)
            return ipv4_text(
                start + (rng.randrange(size) if inside else half + rng.randrange(half))
            )
        start, size = rng.choice(self.ipv6)
        half = 1 << (_SLOT6 - 1)
        return ipv6_text(start + (rng.randrange(size) if inside else half + rng.randrange(half)))


_SLOT4: Final = 14
"""Bits of an IPv4 slot: 70,000 of them have room."""
_SLOT6: Final = 80


def ipv4_text(number: int) -> str:
    """An IPv4 address as text that is new each time."""
    return inet_ntop(AF_INET, number.to_bytes(4, "big"))


def ipv6_text(number: int) -> str:
    """An IPv6 address as text that is new each time."""
    return inet_ntop(AF_INET6, number.to_bytes(16, "big"))


# Names of 20 characters


def name_of(number: int) -> str:
    """The name of an entry, by its number: 20 characters, in no order, and new each time."""
    scrambled = number * 0x9E3779B1 & 0xFFFFFFFF  # odd, so that no two numbers have one name
    if number % 50 in (3, 7):
        return f"a.b.c.{scrambled:08x}.tests"
    return f"host{scrambled:08x}.example"


def _options(number: int, rng: random.Random) -> dict[str, Any]:
    """The options of an entry: most of them are written alike, 15 % are like no other."""
    kind = number * 37 % 100  # so that the first ten are of all kinds as well
    if kind < 8:
        first = rng.randrange(76 << 24, 120 << 24) & -4
        blocks = [f"{ipv4_text(first)}/30"]
        if kind < 3:
            blocks.append(f"{ipv6_text((0x2B00 << 112) + (rng.getrandbits(60) << 40))}/88")
        return {"relay_to": True, "relay_from": blocks}
    if kind < 15:
        return {"relay_from_authz": [f"user{number}@example"], "log_arf": True}
    if kind < 25:
        return {"log_oob": "LogThenRelay", "log_arf": "LogThenDrop"}
    return {"relay_to": True}


@dataclass(frozen=True)
class Workload:
    """A policy as it is written, and questions to ask of it."""

    size: int
    """How many entries there are."""
    block_count: int
    """How many blocks `relay_hosts` has."""
    seed: int = 1
    own: int = 1
    """How many listeners have entries of their own."""
    _rng: random.Random = field(default_factory=lambda: random.Random(2), compare=False)

    @cached_property
    def listeners(self) -> Sequence[str]:
        """All listeners, the one without entries of its own at the end."""
        others = (f"10.2.{number >> 8}.{number & 255}:25" for number in range(1, self.own))
        return [OWN, *others, OTHER]

    @cached_property
    def entries(self) -> Entries:
        """Listener -> pattern -> options."""
        rng = random.Random(f"options {self.seed}")
        own = self.listeners[:-1]
        tables: dict[str, dict[str, Options]] = {EVERYONE: {EVERYONE: {"log_oob": True}}}
        tables.update((listener, {}) for listener in own)
        for number in range(1, self.size):
            name = name_of(number)
            pattern = f"*.{name}" if number % 10 == 3 else name
            listener = own[number // 5 % len(own)] if number % 5 == 2 else EVERYONE
            tables[listener][pattern] = _options(number, rng)
        return tables

    @cached_property
    def blocks(self) -> Blocks:
        """The `relay_hosts` of listeners that state none."""
        return Blocks.of(self.block_count, self.seed)

    @cached_property
    def other_blocks(self) -> Blocks:
        """The `relay_hosts` of the other listener: some of the same, so that peers are too."""
        ipv4, ipv6 = self.blocks.ipv4, self.blocks.ipv6
        return Blocks(ipv4[: max(1, len(ipv4) // 10)], ipv6[: max(1, len(ipv6) // 10)])

    def blocks_at(self, listener: str) -> Blocks:
        """The `relay_hosts` that hold at one of the listeners."""
        return self.other_blocks if listener == OTHER else self.blocks

    def by_listener(self, make: Callable[[Sequence[str]], T]) -> Mapping[str, T]:
        """What is made of the `relay_hosts` that hold at each listener; made once of the same."""
        hosts, others = (make(blocks.written()) for blocks in (self.blocks, self.other_blocks))
        return {listener: others if listener == OTHER else hosts for listener in self.listeners}

    def document(self) -> dict[str, Any]:
        """The entries as a document has them."""
        own = {name: table for name, table in self.entries.items() if name != EVERYONE}
        return {**self.entries[EVERYONE], "listener": own}

    def toml(self) -> str:
        """The entries as TOML."""
        lines: list[str] = []
        for listener, patterns in self.entries.items():
            prefix = "" if listener == EVERYONE else f'listener."{listener}".'
            for pattern, options in patterns.items():
                lines.append(f'[{prefix}"{pattern}"]')
                lines += (f"{name} = {_toml(value)}" for name, value in options.items())
                lines.append("")
        return "\n".join(lines)

    def policy(self) -> Policy:
        """The policy that the package makes of it."""
        return Policy.from_mapping(
            self.document(),
            relay_hosts=self.blocks.written(),
            listeners=[
                EsmtpListener.model_validate(
                    {"listen": OTHER, "relay_hosts": self.other_blocks.written()}
                )
            ],
        )

    # Questions

    @cached_property
    def _patterns(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Kind -> listener -> patterns of that kind that are written there, but for `*`."""
        return {
            kind: {
                listener: [
                    pattern
                    for pattern in table
                    if pattern != EVERYONE and pattern.startswith("*") is (kind == "wild")
                ]
                for listener, table in self.entries.items()
            }
            for kind in ("exact", "wild")
        }

    def _options_of(self, listener: str, pattern: str) -> Options:
        tables = self.entries
        return tables.get(listener, {}).get(pattern) or tables[EVERYONE][pattern]

    def first_seen(self, count: int) -> list[Question]:
        """Questions about names that have not been asked about before.

        But for the exact names of the policy, of which there are as many as there are.
        """
        rng = self._rng
        kinds = rng.sample(_KINDS, len(_KINDS))
        turns = zip(range(count), cycle(kinds), strict=False)
        return [self._question(rng, kind, number % 2 == 0) for number, kind in turns]

    def misses(self, count: int) -> list[Question]:
        """Questions about names that no pattern but `*` stands for, and never one twice."""
        return [self._question(self._rng, "miss", number % 2 == 0) for number in range(count)]

    def _question(self, rng: random.Random, kind: str, in_relay_hosts: bool) -> Question:
        listener = rng.choice(self.listeners)
        pattern, domain = self._domain(rng, kind, listener)
        peer = self.blocks_at(listener).peer(rng, in_relay_hosts)
        auth: str | None = f"user{rng.getrandbits(20)}@example" if rng.random() < 0.3 else None
        options: Options = {} if pattern is None else self._options_of(listener, pattern)
        if rng.getrandbits(1):
            if "relay_from" in options:
                peer = options["relay_from"][-1].partition("/")[0]
            elif "relay_from_authz" in options:
                auth = fresh(options["relay_from_authz"][0])
        return Question(fresh(listener), peer, domain, auth)

    def _domain(self, rng: random.Random, kind: str, listener: str) -> tuple[str | None, str]:
        """A domain, and the pattern that it was made from."""
        tables = self._patterns.get(kind, {})
        own, everyone = (tables.get(name, ()) for name in (listener, EVERYONE))
        if not own and not everyone:
            below = "mail." if rng.getrandbits(1) else ""
            return None, f"{below}g{rng.getrandbits(44):011x}.test"
        number = rng.randrange(len(own) + len(everyone))
        pattern = own[number] if number < len(own) else everyone[number - len(own)]
        if kind == "exact":
            return pattern, fresh(pattern)
        below = f"{rng.getrandbits(40):x}{pattern[1:]}"
        return pattern, below if rng.getrandbits(2) else f"mx.{below}"

    def to_recipients(
        self, questions: Callable[[int], Sequence[Question]]
    ) -> Callable[[int], list[RcptQuestion]]:
        """The same traffic as envelopes: the domains of two questions, and all else of the first.

        One sender in twenty is the null sender.
        """

        def make(count: int) -> list[RcptQuestion]:
            asked = questions(2 * count)
            return [
                RcptQuestion(
                    first.listener,
                    first.peer,
                    f"ann@{first.domain}" if number % 20 else "",
                    f"bob@{second.domain}",
                    first.auth,
                )
                for number, (first, second) in enumerate(zip(asked[::2], asked[1::2], strict=True))
            ]

        return make

    def zipf(self, names: int = 100_000) -> Callable[[int], list[Question]]:
        """Traffic over so many names: the one of rank n comes up 1/n as often as the first."""
        known = self.first_seen(names)
        weights = list(accumulate(1 / rank for rank in range(1, names + 1)))
        rng = random.Random(f"zipf {self.seed}")

        def make(count: int) -> list[Question]:
            return [
                Question(
                    fresh(listener),
                    # the names are what repeats; clients are many
                    self.blocks_at(listener).peer(rng, False) if number % 2 else fresh(peer),
                    fresh(domain),
                    auth and fresh(auth),
                )
                for number, (listener, peer, domain, auth) in enumerate(
                    rng.choices(known, cum_weights=weights, k=count)
                )
            ]

        return make


_KINDS: Final = ["exact"] * 7 + ["wild"] * 4 + ["miss"] * 9


def _toml(value: bool | str | list[str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(_toml, value))}]"


def workload(size: int, own: int = 1) -> Workload:
    """The workload of a policy of so many entries, some of them at that many listeners."""
    return Workload(size, BLOCKS.get(size, max(4, size // 10)), own=own)
