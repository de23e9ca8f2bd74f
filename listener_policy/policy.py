"""The compiled policy, and what it is made of (rules 2.3 to 2.7 and 4.1).

    text -> mapping -> PolicyConfig -> Policy -> Decision
                       (validated)     (compiled)

Compiling turns the tables of a configuration into one index for each listener
(`listener_policy.rules`). From then on a policy does not look at its configuration to decide: it
finds the listener's rules in a dictionary, the peer in sorted boundaries and the domain in the
listener's index and then in that of listener `*`. Any number of threads may ask at once: nothing
changes but what is remembered about names (`listener_policy._memory`).
"""

# pyright: reportPrivateUsage=false
# decisions are filled in here: a call to do it would cost as much as to make one

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from socket import AF_INET, AF_INET6
from typing import Final, NamedTuple, cast, final

from listener_policy._collector import COLLECTOR_PAUSED
from listener_policy._display import described
from listener_policy._documents import Text
from listener_policy._domain_map import DomainMap
from listener_policy._intervals import Bounds
from listener_policy._memory import LONGEST_KEY
from listener_policy._problems import ProblemList
from listener_policy._reader import DocumentReader, Entries
from listener_policy.addresses import Peer, octets_of_unusual, strict_inet_pton
from listener_policy.config import PolicyConfig, checked, config_of
from listener_policy.connection import LONGEST_ADDRESS, AnyPolicy, Connection, checked_identity
from listener_policy.decision import (
    Decision,
    Dialect,
    Entry,
    EntryRef,
    Grants,
    RcptDecision,
    check_dialect,
)
from listener_policy.entries import grants_by_model
from listener_policy.explain import Site, Table, explain, explain_rcpt
from listener_policy.explanation import Explanation, RcptExplanation
from listener_policy.listeners import EVERY_LISTENER, ByListener, Listener, canonical_listener
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener, ListenerDomain
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS, Blocks, RelayHosts
from listener_policy.rules import NO_ENTRIES, Rulebook, Rules

__all__ = ["Match", "Policy"]


class Match(NamedTuple):
    """The entry that governs a domain at a listener: where it is written, and what it says."""

    entry: EntryRef
    options: ListenerDomain


@final
class Policy(AnyPolicy):
    """The compiled, immutable policy: it decides who may relay mail.

    config: the entries, a `PolicyConfig`.
    relay_hosts: the peers that may relay anything at listeners that state no others: a `CidrSet`,
        or CIDR blocks to make one of (rule 4.1).
    listeners: `EsmtpListener`s, some of which state their own.
    dialect: which reading holds, where guide and engine differ.

    Raises `ConfigError` with every problem of the arguments. While a policy is made, the garbage
    collector does not start by itself, as in `from_toml`. Policies are hashable, comparable and
    picklable; they are equal if they mean the same (rule 5.1).

    >>> policy = Policy.from_toml('''
    ... ["example.com"]
    ... relay_to = true
    ... ''')
    >>> policy.decide_rcpt("10.1.2.3:25", "203.0.113.5", "ann@example.net", "bob@example.com").reply
    '250 2.1.5 OK'
    """

    __slots__ = (
        "__weakref__",
        "_config",
        "_fingerprint",
        "_rulebook",
        "_rules",
    )

    _config: PolicyConfig
    _fingerprint: str | None
    _rulebook: Rulebook
    _rules: ByListener[Rules]

    def __new__(
        cls,
        config: PolicyConfig,
        *,
        relay_hosts: Blocks = DEFAULT_RELAY_HOSTS,
        listeners: Iterable[EsmtpListener] = (),
        dialect: Dialect = Dialect.DOCUMENTED,
    ) -> Policy:
        """Compile a policy; nothing is left to `__init__`, which could be called again."""
        problems = ProblemList()
        if not isinstance(cast("object", config), PolicyConfig):
            hint = "did you mean `Policy.from_mapping`?" if isinstance(config, Mapping) else None
            problems.add(
                None, "config", f"expected a `PolicyConfig`, found {described(config)}", hint
            )
        check_dialect(dialect, problems)
        hosts = RelayHosts(relay_hosts, listeners, problems)
        problems.raise_if_any()
        with COLLECTOR_PAUSED:
            return cls._compiled(checked(config), hosts, dialect)

    @classmethod
    def from_toml(
        cls,
        *texts: Text,
        relay_hosts: Blocks = DEFAULT_RELAY_HOSTS,
        listeners: Iterable[EsmtpListener] = (),
        dialect: Dialect = Dialect.DOCUMENTED,
    ) -> Policy:
        """The policy of TOML documents, merged in order (rules 2.8 and 3.4).

        texts: `str`, or `bytes` in UTF-8. Raises `ConfigError` with all problems of all of them
        and of the other arguments, which are those of `Policy`.

        While this runs, the garbage collector does not start by itself, in any thread, unless
        `gc.set_threshold` is called meanwhile. Then the thresholds are what they were before.
        """
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return cls._read(reader, reader.toml(texts), relay_hosts, listeners, dialect)

    @classmethod
    def from_json(
        cls,
        *texts: Text,
        relay_hosts: Blocks = DEFAULT_RELAY_HOSTS,
        listeners: Iterable[EsmtpListener] = (),
        dialect: Dialect = Dialect.DOCUMENTED,
    ) -> Policy:
        """The policy of JSON documents; otherwise as `from_toml`."""
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return cls._read(reader, reader.json(texts), relay_hosts, listeners, dialect)

    @classmethod
    def from_mapping(
        cls,
        *mappings: Mapping[str, object],
        relay_hosts: Blocks = DEFAULT_RELAY_HOSTS,
        listeners: Iterable[EsmtpListener] = (),
        dialect: Dialect = Dialect.DOCUMENTED,
    ) -> Policy:
        """The policy of documents that have been parsed; otherwise as `from_toml`."""
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return cls._read(reader, reader.mappings(mappings), relay_hosts, listeners, dialect)

    @classmethod
    def _read(
        cls,
        reader: DocumentReader,
        entries: Entries,
        relay_hosts: Blocks,
        listeners: Iterable[EsmtpListener],
        dialect: Dialect,
    ) -> Policy:
        check_dialect(dialect, reader.problems)
        hosts = RelayHosts(relay_hosts, listeners, reader.problems)
        reader.problems.raise_if_any()
        return cls._compiled(config_of(entries), hosts, dialect)

    @classmethod
    def _compiled(cls, config: PolicyConfig, relay_hosts: RelayHosts, dialect: Dialect) -> Policy:
        policy = object.__new__(cls)
        policy._config = config
        policy._relay_hosts = relay_hosts
        policy._dialect = dialect
        policy._fingerprint = None
        policy._rulebook = rulebook = Rulebook(config, relay_hosts, dialect)
        policy._rules = ByListener(rulebook.of, rulebook.listed)
        return policy

    @property
    def config(self) -> PolicyConfig:
        """The entries that it was made of."""
        return self._config

    @property
    def tables(self) -> Mapping[str, DomainMap[Entry]]:
        """The index of each listener that has entries, listener `*` included, for the engine."""
        return self._rulebook.tables

    @property
    def relay_hosts_table(self) -> RelayHosts:
        """Who may relay anything, by listener (rule 4.1), for the engine."""
        return self._relay_hosts

    def decide(
        self, listener: Listener, peer: Peer, domain: str, auth: str | None = None
    ) -> Decision:
        """What a listener grants a peer with regard to one domain (rule 4.2).

        Arguments and what is raised are those of `AnyPolicy.decide`. This is what `connection` and
        its `decide` do, one after the other, without a `Connection` in between.
        """
        # One body, as in the two `decide_rcpt`: a call costs as much as a lookup, and with a
        # function for each step this took a tenth longer. What is out of the ordinary has its
        # functions: `ByListener.at`, `checked_identity`, `octets_of_unusual` and `search`.
        rules = self._rules.known.by_name.get(listener) if type(listener) is str else None
        if rules is None:
            rules = self._rules.at(listener)
        if auth is not None and type(auth) is not str:
            auth = checked_identity(auth)
        octets, bounds = None, rules.relay_hosts
        if type(peer) is str:
            try:
                if ":" not in peer:
                    octets = strict_inet_pton(AF_INET, peer)
                    bounds = rules.relay_hosts_ipv4
                elif "." not in peer and peer[0] != "[":
                    octets = strict_inet_pton(AF_INET6, peer)
            except (OSError, ValueError):
                octets = None
        if octets is None:
            octets = octets_of_unusual(peer)
        domains = rules.domains
        if type(domain) is str and len(domain) <= LONGEST_KEY:
            entry = domains.known.by_name.get(domain) or domains.search(domain)
        else:
            entry = domains.entry(domain)

        hosts = bisect_right(bounds, octets) & 1
        made = entry.inside if hosts else entry.outside
        if made is None:
            made = entry.decision(entry.grants.index(hosts, octets, auth))
        return made

    def decide_rcpt(  # noqa: C901, PLR0912 - as in `decide`
        self, listener: Listener, peer: Peer, sender: str, recipient: str, auth: str | None = None
    ) -> RcptDecision:
        """Whether a listener accepts one recipient (rule 4.3); see `AnyPolicy.decide_rcpt`."""
        # `Connection.decide_rcpt` without a `Connection`, which would cost a third of all this
        rules = self._rules.known.by_name.get(listener) if type(listener) is str else None
        if rules is None:
            rules = self._rules.at(listener)
        if auth is not None and type(auth) is not str:
            auth = checked_identity(auth)
        octets, bounds = None, rules.relay_hosts
        if type(peer) is str:
            try:
                if ":" not in peer:
                    octets = strict_inet_pton(AF_INET, peer)
                    bounds = rules.relay_hosts_ipv4
                elif "." not in peer and peer[0] != "[":
                    octets = strict_inet_pton(AF_INET6, peer)
            except (OSError, ValueError):
                octets = None
        if octets is None:
            octets = octets_of_unusual(peer)
        known = rules.domains.known.by_name
        sending = receiving = None
        if type(sender) is str and len(sender) <= LONGEST_ADDRESS:
            _, at, domain = sender.rpartition("@")
            if at and domain:
                sending = known.get(domain)
                if sending is None and domain[-1] != ">":
                    sending = rules.domains.search(domain)
        if sending is None:
            sending = rules.domains.of_address(sender)
        if type(recipient) is str and len(recipient) <= LONGEST_ADDRESS:
            _, at, domain = recipient.rpartition("@")
            if at and domain:
                receiving = known.get(domain)
                if receiving is None and domain[-1] != ">":
                    receiving = rules.domains.search(domain)
        if receiving is None:
            receiving = rules.domains.of_address(recipient)

        hosts = bisect_right(bounds, octets) & 1
        sender_index = recipient_index = 4 * hosts
        made = _new(RcptDecision)
        grants = sending.grants
        if grants.for_senders:
            sender_index = grants.index(hosts, octets, auth)
        made._sender = sending
        made._sender_index = sender_index
        grants = receiving.grants
        made._verdict = grants.verdicts[sender_index]
        if grants.for_senders:
            recipient_index = grants.index(hosts, octets, auth)
        made._recipient = receiving
        made._recipient_index = recipient_index
        return made

    def connection(self, listener: Listener, peer: Peer, auth: str | None = None) -> Connection:
        """The questions of one connection, its own part answered once; arguments as in `decide`."""
        rules = self._rules.known.by_name.get(listener) if type(listener) is str else None
        if rules is None:
            rules = self._rules.at(listener)
        return _connection(rules, listener, peer, auth)

    def resolve(self, listener: Listener, domain: str) -> Match | None:
        """The entry that governs a domain at a listener, or `None` (rules 2.3 to 2.6).

        Arguments and what is raised are those of `decide`.
        """
        ref = self._rules.at(listener).domains.entry(domain).ref
        if ref is None:
            return None
        return Match(ref, self._config.entries[ref.listener][ref.pattern])

    def explain(
        self, listener: Listener, peer: Peer, domain: str, auth: str | None = None
    ) -> Explanation:
        """Why `decide` decides about one domain as it does: every check, with its evidence.

        Arguments and what is raised are those of `decide`. Costs more than a decision, and no more
        with many entries than with few.
        """
        connection = self.connection(listener, peer, auth)
        return explain(self._site(listener), connection, domain)

    def explain_rcpt(
        self, listener: Listener, peer: Peer, sender: str, recipient: str, auth: str | None = None
    ) -> RcptExplanation:
        """Why `decide_rcpt` decides about one recipient as it does, and what follows after DATA.

        Arguments and what is raised are those of `decide_rcpt`.
        """
        connection = self.connection(listener, peer, auth)
        return explain_rcpt(self._site(listener), connection, sender, recipient)

    def _site(self, listener: Listener) -> Site:
        """What an explanation looks at."""
        name = canonical_listener(listener)
        tables = self._config.entries
        return Site(
            name,
            self._dialect,
            self._relay_hosts,
            *(
                Table(
                    key,
                    tables.get(key, {}),
                    self._rulebook.tables.get(key, NO_ENTRIES).closest_encloser,
                )
                for key in (name, EVERY_LISTENER)
            ),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the policy means, as 64 hexadecimal digits (rule 5.1).

        It is the same in every process and on every version of Python for equal canonical keys.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for part in _serialized(self._meaning()):
                digest.update(part)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def _meaning(self) -> _Meaning:
        """What equality goes by (rule 5.1)."""
        grants = grants_by_model(self._config.entries, self._dialect)
        return _Meaning(
            self._dialect,
            self.relay_hosts.bounds,
            {name: blocks.bounds for name, blocks in self._relay_hosts.meaning().items()},
            {
                listener: {pattern: grants[id(options)] for pattern, options in patterns.items()}
                for listener, patterns in self._config.entries.items()
                if patterns
            },
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self is other or self._meaning() == other._meaning()

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[object, ...]:
        # what is compiled is made anew: it would be larger than what it is made of
        return _rebuilt, (self._config, self.relay_hosts, self.listeners, self._dialect)

    def __repr__(self) -> str:
        entries = sum(map(len, self._config.entries.values()))
        return (
            f"<Policy of {entries} entries, relay_hosts={self.relay_hosts.to_list()}, "
            f"{len(self.listeners)} listeners, {self._dialect}, {self.fingerprint[:12]}>"
        )


def _rebuilt(
    config: PolicyConfig,
    relay_hosts: CidrSet,
    listeners: tuple[EsmtpListener, ...],
    dialect: Dialect,
) -> Policy:
    return Policy(config, relay_hosts=relay_hosts, listeners=listeners, dialect=dialect)


_connection: Final = Connection.made
_new: Final = object.__new__


class _Meaning(NamedTuple):
    dialect: Dialect
    relay_hosts: Bounds
    stated: dict[str, Bounds]
    entries: dict[str, dict[str, Grants]]


def _serialized(meaning: _Meaning) -> Iterator[bytes]:
    """A meaning as bytes, no two meanings alike: every text has its length before it."""
    yield from _items("listener_policy 1", meaning.dialect.value)
    yield from _items(*map(str, meaning.relay_hosts))
    for listener, bounds in sorted(meaning.stated.items()):
        yield from _items("relay_hosts", listener, *map(str, bounds))
    for listener, patterns in sorted(meaning.entries.items()):
        for pattern, grants in sorted(patterns.items()):
            outcome = grants.outcomes[0]
            yield from _items(
                "entry", listener, pattern, str(outcome.relay_to), outcome.log_oob, outcome.log_arf
            )
            yield from _items(*map(str, grants.relay_from))
            yield from _items(*sorted(grants.relay_from_authz))


def _items(*texts: str) -> Iterator[bytes]:
    yield b"%d;" % len(texts)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        yield b"%d:%b" % (len(encoded), encoded)
