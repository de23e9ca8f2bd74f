"""Deciding where the entries are not in a table: KumoMTA's hook, a database, an `await`.

`HookPolicy` asks a function of the server for the entry, as KumoMTA asks `get_listener_domain`.
Servers that cannot answer in a plain function (they must await, or ask in bulk) find the two
entries themselves and put them through `evaluate` and `combine`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import partial
from types import CoroutineType
from typing import Final, TypeAlias, final

from listener_policy._display import described
from listener_policy._memory import Known
from listener_policy._problems import ProblemList
from listener_policy.addresses import Peer, peer_octets
from listener_policy.connection import AnyPolicy, Connection, checked_identity
from listener_policy.decision import Decision, Dialect, Entry, check_dialect
from listener_policy.domains import canonical_domain
from listener_policy.entries import NO_ENTRY, compiled
from listener_policy.errors import PolicyError
from listener_policy.listeners import ByListener, Listener
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener, ListenerDomain
from listener_policy.relay_hosts import (
    DEFAULT_RELAY_HOSTS,
    Blocks,
    RelayHosts,
    read_relay_hosts,
)

__all__ = ["GetListenerDomain", "HookPolicy", "evaluate"]

GetListenerDomain: TypeAlias = Callable[[str, str, Connection], ListenerDomain | None]
"""The hook: `(domain, listener, connection)`, names canonical, to the entry or `None`."""


@final
class HookPolicy(AnyPolicy):
    """A policy whose entries a function knows (KumoMTA's `get_listener_domain`).

    get_listener_domain: is given the canonical domain (`""` for the null sender), the canonical
        listener and the `Connection`, and returns the entry that governs, or `None`. It is not
        asked about domains that are not valid, nor, under `DOCUMENTED`, for peers in `relay_hosts`
        (S4); what is decided then is what is decided without an entry. What it raises goes
        through, and an answer of another type is a `PolicyError`. No answer is kept.

    The other arguments and what is raised are those of `Policy`. `.entry` is `None` in its
    decisions.
    """

    __slots__ = ("__weakref__", "_at", "_get_listener_domain")

    def __init__(
        self,
        get_listener_domain: GetListenerDomain,
        *,
        relay_hosts: Blocks = DEFAULT_RELAY_HOSTS,
        listeners: Iterable[EsmtpListener] = (),
        dialect: Dialect = Dialect.DOCUMENTED,
    ) -> None:
        problems = ProblemList()
        if not callable(get_listener_domain):
            found = described(get_listener_domain)
            problems.add(None, "get_listener_domain", f"expected a function, found {found}")
        check_dialect(dialect, problems)
        self._relay_hosts = RelayHosts(relay_hosts, listeners, problems)
        problems.raise_if_any()
        self._get_listener_domain = get_listener_domain
        self._dialect = dialect
        self._at = ByListener(partial(_at, self._relay_hosts), self._relay_hosts.stated)

    def connection(self, listener: Listener, peer: Peer, auth: str | None = None) -> Connection:
        """The questions of one connection; see `Policy.connection`."""
        known = self._at.known.by_name.get(listener) if type(listener) is str else None
        name, relay_hosts = known or self._at.at(listener)
        domains = _HookDomains(self._dialect, name, self._get_listener_domain)
        rules = _HookRules(self._dialect, relay_hosts, domains)
        return Connection.made(rules, listener, peer, auth)

    def __reduce__(self) -> tuple[object, ...]:
        # what is remembered is no part of it
        return _rebuilt, (
            self._get_listener_domain,
            self.relay_hosts,
            self.listeners,
            self._dialect,
        )


def _rebuilt(
    get_listener_domain: GetListenerDomain,
    relay_hosts: CidrSet,
    listeners: tuple[EsmtpListener, ...],
    dialect: Dialect,
) -> HookPolicy:
    return HookPolicy(
        get_listener_domain, relay_hosts=relay_hosts, listeners=listeners, dialect=dialect
    )


def _at(relay_hosts: RelayHosts, listener: str) -> tuple[str, tuple[bytes, ...]]:
    """A canonical listener, and who may relay anything there, as `octet_bounds`."""
    return listener, relay_hosts.of(relay_hosts.source(listener)).octets


_NOTHING: Final = Known[str, Entry]({})
"""No answer is kept."""


@final
class _HookDomains:
    """Who governs a domain at one listener, as the hook knows it."""

    __slots__ = ("_dialect", "_get_listener_domain", "_listener", "known")

    def __init__(
        self, dialect: Dialect, listener: str, get_listener_domain: GetListenerDomain
    ) -> None:
        self.known = _NOTHING
        self._dialect = dialect
        self._listener = listener
        self._get_listener_domain = get_listener_domain

    def entry(self, domain: str, connection: Connection, /) -> Entry:
        """What the hook answers, compiled."""
        name = canonical_domain(domain)
        if name is None:  # rule 1.2
            return NO_ENTRY[self._dialect]
        if connection.in_relay_hosts and self._dialect is Dialect.DOCUMENTED:  # S4
            return NO_ENTRY[self._dialect]
        options = self._get_listener_domain(name, self._listener, connection)
        return _entry("get_listener_domain", options, self._dialect)

    search = entry


@final
class _HookRules:
    """What holds at one listener, whoever knows its entries."""

    __slots__ = ("dialect", "domains", "relay_hosts")

    def __init__(
        self, dialect: Dialect, relay_hosts: tuple[bytes, ...], domains: _HookDomains
    ) -> None:
        self.dialect = dialect
        self.relay_hosts = relay_hosts
        self.domains = domains


def evaluate(
    options: ListenerDomain | None,
    peer: Peer,
    auth: str | None = None,
    *,
    relay_hosts: Blocks = (),
    dialect: Dialect = Dialect.DOCUMENTED,
) -> Decision:
    """What an entry that was found elsewhere grants a peer (rule 4.2).

    options: the entry that governs the domain, or `None` if none does.
    relay_hosts: those of the listener; a `CidrSet` is read once, a list of blocks at every call.

    The other arguments are those of `Policy.decide`; `.entry` of the decision is `None`. Raises
    `RequestError` for a peer or identity that cannot be understood, `ConfigError` for
    `relay_hosts` that are wrong and `PolicyError` for options of another type.
    """
    problems = ProblemList()
    check_dialect(dialect, problems)
    hosts = read_relay_hosts(relay_hosts, problems)
    problems.raise_if_any()
    octets = peer_octets(peer)
    identity = checked_identity(auth)
    entry = _entry("options", options, dialect)
    relay_hosts_hold = bisect_right(hosts.octets, octets) & 1
    return entry.decision(entry.grants.index(relay_hosts_hold, octets, identity))


def _entry(what: str, options: object, dialect: Dialect) -> Entry:
    if options is None:
        return NO_ENTRY[dialect]
    if isinstance(options, ListenerDomain):
        return Entry(None, compiled(options, dialect))
    found = described(options)
    hint = ""
    if isinstance(options, CoroutineType):
        options.close()  # or it complains of never having been awaited
        hint = "; await the entry first and give it to `evaluate`"
    raise PolicyError(f"{what}: expected a `ListenerDomain` or `None`, found {found}{hint}")
