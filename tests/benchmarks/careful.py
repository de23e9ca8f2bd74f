"""The careful version: what a good engineer writes by hand in an afternoon.

It is right where names and addresses are as they should be, and nearly right elsewhere: names are
lowered and lose their trailing dot, mapped peers are unwrapped. There is no IDNA, no literal, no
rule for what is valid, no error that says what is wrong. What is expensive in it is what anybody
would write: `ip_address`, with a cache before it, and a frozen dataclass for each answer.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, collapse_addresses, ip_address, ip_network
from typing import Any

from benchmarks.measuring import fresh
from benchmarks.workload import EVERYONE, Options, Workload

Address = IPv4Address | IPv6Address


@lru_cache(maxsize=10_000)
def parsed(text: str) -> Address:
    """An address, IPv4 if it was mapped."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


class Networks:
    """A set of blocks."""

    def __init__(self, blocks: Iterable[str]) -> None:
        self.bounds: dict[int, list[int]] = {}
        networks = [ip_network(block) for block in blocks]
        for version in (4, 6):
            family: Any = [network for network in networks if network.version == version]
            self.bounds[version] = [
                bound
                for network in collapse_addresses(family)
                for bound in (int(network.network_address), int(network.broadcast_address) + 1)
            ]

    def __contains__(self, address: Address) -> bool:
        return bisect_right(self.bounds[address.version], int(address)) % 2 == 1


@dataclass(frozen=True)
class Entry:
    """What is written for one domain."""

    listener: str
    pattern: str
    relay_to: bool = False
    relay_from: Networks = field(default_factory=lambda: Networks(()))
    relay_from_authz: frozenset[str] = frozenset()
    log_oob: str = "Ignore"
    log_arf: str = "Ignore"


@dataclass(frozen=True)
class Decision:
    """What is decided about one domain."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    relay_to: bool
    log_oob: str
    log_arf: str
    entry: tuple[str, str] | None

    @property
    def may_send(self) -> bool:
        """Whether a sender of this domain may relay."""
        return self.relay_hosts or self.relay_from or self.relay_from_authz


@dataclass(frozen=True)
class RcptDecision:
    """What is decided about one recipient."""

    accept: bool
    relay: bool
    log_oob: str
    log_arf: str
    reason: str
    reply: str
    sender: Decision
    recipient: Decision


_NO_BLOCKS = Networks(())


def _log(option: bool | str) -> str:
    if isinstance(option, str):
        return option
    return "LogThenDrop" if option else "Ignore"


def _entry(listener: str, pattern: str, options: Options) -> Entry:
    blocks = options.get("relay_from", ())
    return Entry(
        listener,
        pattern,
        options.get("relay_to", False),
        Networks(blocks) if blocks else _NO_BLOCKS,
        frozenset(options.get("relay_from_authz", ())),
        _log(options.get("log_oob", False)),
        _log(options.get("log_arf", False)),
    )


class CarefulPolicy:
    """A policy in tables."""

    def __init__(self, workload: Workload) -> None:
        self.entries: Mapping[str, Mapping[str, Entry]] = {
            listener: {
                fresh(pattern): _entry(listener, pattern, options)
                for pattern, options in table.items()
            }
            for listener, table in workload.entries.items()
        }
        self.relay_hosts = workload.by_listener(Networks)

    def find(self, listener: str, domain: str) -> Entry | None:
        """The entry that governs a domain."""
        for table in (self.entries.get(listener, {}), self.entries.get(EVERYONE, {})):
            if domain in table:
                return table[domain]
            labels = domain.split(".")
            for start in range(1, len(labels)):
                pattern = "*." + ".".join(labels[start:])
                if pattern in table:
                    return table[pattern]
            if "*" in table:
                return table["*"]
        return None

    def decide(self, listener: str, peer: str, domain: str, auth: str | None = None) -> Decision:
        """What is granted with regard to one domain."""
        address = parsed(peer)
        entry = self.find(listener, domain.lower().removesuffix("."))
        in_relay_hosts = address in self.relay_hosts[listener]
        if entry is None:
            return Decision(in_relay_hosts, False, False, False, "Ignore", "Ignore", None)
        return Decision(
            in_relay_hosts,
            address in entry.relay_from,
            auth is not None and auth in entry.relay_from_authz,
            entry.relay_to,
            entry.log_oob,
            entry.log_arf,
            (entry.listener, entry.pattern),
        )

    def decide_rcpt(
        self, listener: str, peer: str, sender: str, recipient: str, auth: str | None = None
    ) -> RcptDecision:
        """Whether a recipient is accepted."""
        one = self.decide(listener, peer, sender.strip("<>").rpartition("@")[2], auth)
        other = self.decide(listener, peer, recipient.strip("<>").rpartition("@")[2], auth)
        relay = one.may_send or other.relay_to
        log_oob, log_arf = other.log_oob, other.log_arf
        if one.relay_hosts:
            reason = "RELAY_HOSTS"
            log_oob = log_arf = "Ignore"
        elif one.relay_from:
            reason = "RELAY_FROM"
        elif one.relay_from_authz:
            reason = "RELAY_FROM_AUTHZ"
        elif other.relay_to:
            reason = "RELAY_TO"
        elif log_arf != "Ignore":
            reason = "LOG_ARF"
        elif log_oob != "Ignore":
            reason = "LOG_OOB"
        else:
            reason = "DENIED"
        accept = relay or log_oob != "Ignore" or log_arf != "Ignore"
        reply = "250 2.1.5 OK" if accept else "550 5.7.1 relaying not permitted"
        return RcptDecision(accept, relay, log_oob, log_arf, reason, reply, one, other)
