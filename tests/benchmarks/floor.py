"""The floor: the cheapest hand-written functions that give the same answers, if nothing is wrong.

What a decision needs, and no more: `inet_pton`, a bisect in the bounds of merged blocks, a few
dictionary reads, and a finished answer to hand out. Nothing is checked and nothing brought into
canonical form. An address in other than plain form, a name with a capital letter, a dot at its end
or a `*` in it, a listener that is not in the table: each is a wrong answer here, or a `KeyError`.
It is no way to decide who may relay mail. It is what Python needs for the steps, and the figures
of everything else are relative to its `decide`.

Addresses are compared as the bytes that `inet_pton` gives, the two families apart. The bounds of
a block are its first address and the one behind its last, and an address is inside if an odd
number of bounds is not above it. Behind `255.255.255.255` and behind `ffff:...:ffff` there is no
address; there the bound is the last address with one more byte, which compares as it should.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NamedTuple

from benchmarks.measuring import fresh
from benchmarks.workload import EVERYONE, OWN, Options, Workload

Bounds = Sequence[bytes]


class Answer(NamedTuple):
    """What is decided about one domain."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    relay_to: bool
    log_oob: str
    log_arf: str
    entry: tuple[str, str] | None


class RcptAnswer(NamedTuple):
    """What is decided about one recipient, but for its halves."""

    accept: bool
    relay: bool
    log_oob: str
    log_arf: str
    reason: str
    reply: str
    message: tuple[bool, bool, bool]
    """Accept, log, relay: what becomes of a message that is no report."""
    arf_report: tuple[bool, bool, bool]
    oob_report: tuple[bool, bool, bool]


class Entry(NamedTuple):
    """What governs: answers by 4 * relay_hosts + 2 * relay_from + relay_from_authz."""

    ipv4: Bounds
    ipv6: Bounds
    identities: frozenset[str]
    answers: tuple[Answer, ...]
    rcpt_answers: tuple[RcptAnswer, ...]


class Listener(NamedTuple):
    """What holds at one listener, its own entries before those of `*`."""

    names: dict[str, Entry]
    suffixes: dict[str, Entry]
    default: Entry | None
    shared_names: dict[str, Entry]
    shared_suffixes: dict[str, Entry]
    shared_default: Entry
    ipv4: Bounds
    ipv6: Bounds


class FloorConnection(NamedTuple):
    """The part of a decision that is the connection's."""

    listener: Listener
    address: bytes
    is_ipv6: bool
    relay_hosts: int
    auth: str | None


Halves = tuple[Answer, Answer, RcptAnswer]


@dataclass(frozen=True)
class Floor:
    """The functions, made for one policy."""

    decide: Callable[[str, str, str, str | None], Answer]
    decide_rcpt: Callable[[str, str, str, str, str | None], Halves]
    connection: Callable[[str, str, str | None], FloorConnection]
    contains: Callable[[str], bool]
    """Whether an address is in the `relay_hosts` of the first listener."""


def floor(workload: Workload) -> Floor:
    """The floor for a policy, under the dialect `DOCUMENTED`."""
    listeners = _listeners(workload)
    connection = _connection(listeners)

    def decide_rcpt(
        listener: str, peer: str, sender: str, recipient: str, auth: str | None
    ) -> Halves:
        return decide_rcpt_in(connection(listener, peer, auth), sender, recipient)

    at = listeners[OWN]
    return Floor(_decide(listeners), decide_rcpt, connection, _contains(at.ipv4, at.ipv6))


def _decide(  # noqa: C901 - one body: a call would cost more than what it does
    listeners: Mapping[str, Listener],
) -> Callable[[str, str, str, str | None], Answer]:
    def decide(  # noqa: C901, PLR0912
        listener: str, peer: str, domain: str, auth: str | None
    ) -> Answer:
        names, suffixes, default, shared_names, shared_suffixes, shared_default, ipv4, ipv6 = (
            listeners[listener]
        )
        entry = names.get(domain)
        if entry is None and suffixes:
            rest = domain.partition(".")[2]
            while rest:
                if rest in suffixes:
                    entry = suffixes[rest]
                    break
                rest = rest.partition(".")[2]
        if entry is None:
            entry = default
        if entry is None:
            entry = shared_names.get(domain)
        if entry is None:
            rest = domain.partition(".")[2]
            while rest:
                if rest in shared_suffixes:
                    entry = shared_suffixes[rest]
                    break
                rest = rest.partition(".")[2]
            else:
                entry = shared_default
        from4, from6, identities, answers, _ = entry
        if ":" in peer:
            address = inet_pton(AF_INET6, peer)
            index = (bisect_right(ipv6, address) & 1) << 2
            if from6 and bisect_right(from6, address) & 1:
                index += 2
        else:
            address = inet_pton(AF_INET, peer)
            index = (bisect_right(ipv4, address) & 1) << 2
            if from4 and bisect_right(from4, address) & 1:
                index += 2
        if identities and auth in identities:
            index += 1
        return answers[index]

    return decide


def _connection(
    listeners: Mapping[str, Listener],
) -> Callable[[str, str, str | None], FloorConnection]:
    def connection(listener: str, peer: str, auth: str | None) -> FloorConnection:
        at = listeners[listener]
        is_ipv6 = ":" in peer
        if is_ipv6:
            address = inet_pton(AF_INET6, peer)
            bounds = at.ipv6
        else:
            address = inet_pton(AF_INET, peer)
            bounds = at.ipv4
        return FloorConnection(at, address, is_ipv6, (bisect_right(bounds, address) & 1) << 2, auth)

    return connection


def decide_in(connection: FloorConnection, domain: str) -> Answer:
    """`Connection.decide`."""
    listener, address, is_ipv6, index, auth = connection
    ipv4, ipv6, identities, answers, _ = _governing(listener, domain)
    blocks = ipv6 if is_ipv6 else ipv4
    if blocks and bisect_right(blocks, address) & 1:
        index += 2
    if identities and auth in identities:
        index += 1
    return answers[index]


def decide_rcpt_in(connection: FloorConnection, sender: str, recipient: str) -> Halves:
    """`Connection.decide_rcpt`."""
    listener, address, is_ipv6, hosts, auth = connection
    ipv4, ipv6, identities, answers, _ = _governing(listener, sender.rpartition("@")[2])
    index = hosts
    blocks = ipv6 if is_ipv6 else ipv4
    if blocks and bisect_right(blocks, address) & 1:
        index += 2
    if identities and auth in identities:
        index += 1
    domain = recipient.rpartition("@")[2]
    ipv4, ipv6, identities, others, rcpt_answers = _governing(listener, domain)
    blocks = ipv6 if is_ipv6 else ipv4
    if blocks and bisect_right(blocks, address) & 1:
        hosts += 2
    if identities and auth in identities:
        hosts += 1
    return answers[index], others[hosts], rcpt_answers[index]


def _governing(listener: Listener, domain: str) -> Entry:
    names, suffixes, default, shared_names, shared_suffixes, shared_default, _, _ = listener
    if domain in names:
        return names[domain]
    if suffixes:
        rest = domain.partition(".")[2]
        while rest:
            if rest in suffixes:
                return suffixes[rest]
            rest = rest.partition(".")[2]
    if default is not None:
        return default
    if domain in shared_names:
        return shared_names[domain]
    rest = domain.partition(".")[2]
    while rest:
        if rest in shared_suffixes:
            return shared_suffixes[rest]
        rest = rest.partition(".")[2]
    return shared_default


def _contains(ipv4: Bounds, ipv6: Bounds) -> Callable[[str], bool]:
    def contains(peer: str) -> bool:
        if ":" in peer:
            return bisect_right(ipv6, inet_pton(AF_INET6, peer)) & 1 == 1
        return bisect_right(ipv4, inet_pton(AF_INET, peer)) & 1 == 1

    return contains


def in_blocks(blocks: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether an address is in one of the blocks."""
    return _contains(*bounds(blocks))


def after_data(halves: Halves, report: str | None) -> tuple[bool, bool, bool]:
    """What becomes of a message: accept, log, relay."""
    if report is None:
        return halves[2].message
    return halves[2].arf_report if report == "arf" else halves[2].oob_report


# Before anybody asks


def _listeners(workload: Workload) -> dict[str, Listener]:
    def tables(listener: str) -> tuple[dict[str, Entry], dict[str, Entry], Entry | None]:
        entries = {
            # a copy: who makes the questions has just read the other one
            fresh(pattern): _entry(listener, pattern, options)
            for pattern, options in workload.entries.get(listener, {}).items()
        }
        return (
            {name: entry for name, entry in entries.items() if name[0] != "*"},
            {name[2:]: entry for name, entry in entries.items() if name.startswith("*.")},
            entries.get("*"),
        )

    names, suffixes, default = tables(EVERYONE)
    assert default is not None
    return {
        listener: Listener(
            *tables(listener),
            names,
            suffixes,
            default,
            *hosts,
        )
        for listener, hosts in workload.by_listener(bounds).items()
    }


def bounds(blocks: Iterable[str]) -> tuple[Bounds, Bounds]:
    """The bounds of blocks, IPv4's and IPv6's, in order and without overlap."""
    ipv4: list[IPv4Network] = []
    ipv6: list[IPv6Network] = []
    for network in map(ip_network, blocks):
        if isinstance(network, IPv4Network):
            ipv4.append(network)
        else:
            ipv6.append(network)
    return (
        _flat(
            (n.network_address.packed, n.broadcast_address.packed) for n in collapse_addresses(ipv4)
        ),
        _flat(
            (n.network_address.packed, n.broadcast_address.packed) for n in collapse_addresses(ipv6)
        ),
    )


def _flat(ranges: Iterable[tuple[bytes, bytes]]) -> Bounds:
    flat: list[bytes] = []
    for first, last in ranges:
        if flat and flat[-1] == first:
            flat.pop()  # it goes on
        else:
            flat.append(first)
        flat.append(_after(last))
    return tuple(flat)


def _after(last: bytes) -> bytes:
    """The bound behind an address."""
    if last == b"\xff" * len(last):
        return last + b"\x00"
    return (int.from_bytes(last, "big") + 1).to_bytes(len(last), "big")


_TRUE_MEANS: Final = "LogThenDrop"
_SENDERS: Final = tuple(
    (hosts, from_, authz)
    for hosts in (False, True)
    for from_ in (False, True)
    for authz in (False, True)
)


def _entry(listener: str, pattern: str, options: Options) -> Entry:
    blocks = options.get("relay_from")
    ipv4, ipv6 = bounds(blocks) if blocks else ((), ())
    identities = frozenset[str](options.get("relay_from_authz", ()))
    relay_to = bool(options.get("relay_to", False))
    log_oob, log_arf = (_log(options.get(name, False)) for name in ("log_oob", "log_arf"))
    ref = (listener, pattern)
    made: dict[tuple[bool, bool, bool], Answer] = {}
    for hosts, from_, authz in _SENDERS:
        # what cannot come about shares the answer of what can: a million entries have eight each
        possible = (hosts, from_ and bool(ipv4 or ipv6), authz and bool(identities))
        if possible not in made:
            made[possible] = Answer(*possible, relay_to, log_oob, log_arf, ref)
        made[hosts, from_, authz] = made[possible]
    return Entry(
        ipv4,
        ipv6,
        identities,
        tuple(made[sender] for sender in _SENDERS),
        _RCPT_ANSWERS[relay_to, log_oob, log_arf],
    )


def _log(option: bool | str) -> str:
    if isinstance(option, bool):
        return _TRUE_MEANS if option else _IGNORE
    return option


_IGNORE: Final = "Ignore"
_LOGS: Final = (_IGNORE, "LogThenDrop", "LogThenRelay")


def _rcpt_answer(
    sender: tuple[bool, bool, bool], relay_to: bool, log_oob: str, log_arf: str
) -> RcptAnswer:
    relay = any(sender) or relay_to
    reasons = {
        "RELAY_HOSTS": sender[0],
        "RELAY_FROM": sender[1],
        "RELAY_FROM_AUTHZ": sender[2],
        "RELAY_TO": relay_to,
        "LOG_ARF": log_arf != _IGNORE,
        "LOG_OOB": log_oob != _IGNORE,
        "DENIED": True,
    }
    reason = next(name for name, holds in reasons.items() if holds)
    if sender[0]:
        log_oob = log_arf = _IGNORE
    accept = relay or log_oob != _IGNORE or log_arf != _IGNORE
    reply = "250 2.1.5 OK" if accept else "550 5.7.1 relaying not permitted"

    def disposition(option: str) -> tuple[bool, bool, bool]:
        if option == _IGNORE:
            return (relay, False, relay)
        return (True, True, relay and option == "LogThenRelay")

    return RcptAnswer(
        accept,
        relay,
        log_oob,
        log_arf,
        reason,
        reply,
        disposition(_IGNORE),
        disposition(log_arf),
        disposition(log_oob),
    )


_RCPT_ANSWERS: Final = {
    (relay_to, log_oob, log_arf): tuple(
        _rcpt_answer(sender, relay_to, log_oob, log_arf) for sender in _SENDERS
    )
    for relay_to in (False, True)
    for log_oob in _LOGS
    for log_arf in _LOGS
}
