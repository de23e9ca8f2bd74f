"""Finding out why a decision is what it is (rules 4.1 to 4.5).

The decision is made where all decisions are made; here is looked up what it rests on. That a
check's outcome is found here a second time, from the configuration as it is written, makes an
explanation worth something: tests hold the two against each other.

Nothing is walked that grows with the policy. What an entry's blocks and identities are asked is
one membership each, and which entries match a name is looked up by the name's own suffixes: two
tables and at most 128 patterns in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from listener_policy.addresses import IPAddress
from listener_policy.checks import (
    Check,
    LogCheck,
    RelayFromAuthzCheck,
    RelayFromCheck,
    RelayHostsCheck,
    RelayHostsSource,
    RelayToCheck,
)
from listener_policy.connection import Connection
from listener_policy.decision import (
    Decision,
    Dialect,
    EntryRef,
    LogReport,
    RcptDecision,
    Report,
)
from listener_policy.domains import (
    EVERY_DOMAIN,
    WILDCARD,
    canonical_domain,
    envelope_domain,
    why_not_valid,
)
from listener_policy.entries import log_option
from listener_policy.explanation import (
    DomainSource,
    ExplainedDisposition,
    ExplainedDomain,
    Explanation,
    GoverningEntry,
    GoverningRule,
    PassedOver,
    PassedOverRule,
    RcptExplanation,
)
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.options import ListenerDomain
from listener_policy.relay_hosts import RelayHosts

__all__ = ["Site", "Table", "explain", "explain_rcpt"]


class Table(NamedTuple):
    """The entries of one listener."""

    listener: str
    entries: Mapping[str, ListenerDomain]
    """Canonical pattern -> entry."""
    closest_encloser: Callable[[str], str]
    """Of a name in the tree that rule 2.4 makes of the patterns."""


class Site(NamedTuple):
    """What an explanation looks at besides the question."""

    listener: str
    """The listener of the question, canonical."""
    dialect: Dialect
    relay_hosts: RelayHosts
    own: Table
    shared: Table
    """The table of listener `*`."""


def explain(site: Site, connection: Connection, domain: str) -> Explanation:
    """Why the connection decides about a domain as it does; see `Policy.explain`."""
    decision = connection.decide(domain)  # first: it refuses what is no string
    return _explanation(site, connection, _asked_domain(domain), decision)


def explain_rcpt(
    site: Site, connection: Connection, sender: str, recipient: str
) -> RcptExplanation:
    """Why the connection decides about a recipient as it does; see `Policy.explain_rcpt`."""
    decision = connection.decide_rcpt(sender, recipient)
    of_sender, of_recipient = (
        _explanation(site, connection, _address_domain(address), half)
        for address, half in ((sender, decision.sender), (recipient, decision.recipient))
    )
    exempt = connection.in_relay_hosts and site.dialect is Dialect.DOCUMENTED  # S4
    taken = [*of_sender.checks[:3], *of_recipient.checks[3:]]
    checks = tuple(_after_s4(check) if exempt else check for check in taken)
    after_data = tuple(_dispositions(decision, checks, site.dialect))
    return RcptExplanation(of_sender, of_recipient, checks, after_data, decision)


# --- the domain (1.4, 1.7) ----------------------------------------------------------------------


def _asked_domain(domain: str) -> ExplainedDomain:
    domain = str.__str__(domain)
    return ExplainedDomain(
        domain, DomainSource.DOMAIN, canonical_domain(domain), why_not_valid(domain)
    )


def _address_domain(address: str) -> ExplainedDomain:
    """How an envelope address is reduced to its domain (rule 1.7)."""
    address = str.__str__(address)
    canonical = envelope_domain(address)
    bare = address[1:-1] if len(address) > 1 and address[0] + address[-1] == "<>" else address
    _, at, domain = bare.rpartition("@")
    why_not = None
    if canonical == "":
        source = DomainSource.POSTMASTER if bare else DomainSource.NULL_SENDER
    elif not at:
        source, why_not = DomainSource.NO_AT, "only `postmaster` may lack an `@`"
    elif not domain:
        source, why_not = DomainSource.NOTHING_AFTER_AT, "nothing follows the last `@`"
    else:
        source, why_not = DomainSource.AFTER_LAST_AT, why_not_valid(domain)
    return ExplainedDomain(address, source, canonical, why_not)


# --- the entries (2.3 to 2.5) -------------------------------------------------------------------


def _governing_rule(site: Site, domain: str, entry: EntryRef) -> GoverningRule:
    """Why an entry governs a canonical domain."""
    in_tree = site.dialect is Dialect.KUMOMTA and _is_name(domain)
    if entry.pattern == domain:
        return GoverningRule.EXACT_NAME
    if entry.pattern != EVERY_DOMAIN:
        return GoverningRule.CLOSEST_ENCLOSER if in_tree else GoverningRule.LONGEST_SUFFIX
    if in_tree and entry.listener == EVERY_LISTENER and site.shared.closest_encloser(domain):
        return GoverningRule.LAST_RESORT
    return GoverningRule.EVERY_DOMAIN


def _passed_over(site: Site, domain: str, governing: EntryRef | None) -> Iterator[PassedOver]:
    """The entries whose patterns match a canonical domain, without the one that governs."""
    for table in (site.own, site.shared):
        for pattern in _patterns(domain):
            options = table.entries.get(pattern)
            entry = EntryRef(table.listener, pattern)
            if options is not None and entry != governing:
                rule, encloser = _why_passed_over(table, domain, pattern, governing)
                yield PassedOver(entry, options, rule, encloser)


def _why_passed_over(
    table: Table, domain: str, pattern: str, governing: EntryRef | None
) -> tuple[PassedOverRule, str | None]:
    if governing is not None and governing.listener == table.listener:
        if pattern == EVERY_DOMAIN:
            return PassedOverRule.ANY_PATTERN, None
        if governing.pattern == domain:
            return PassedOverRule.EXACT_NAME, None
        if governing.pattern != EVERY_DOMAIN:
            return PassedOverRule.LONGER_SUFFIX, None
    elif governing is not None and table.listener == EVERY_LISTENER:
        return PassedOverRule.LISTENER_FIRST, None
    # a pattern matches, and its table gave nothing but a last resort: this is rule 2.4
    encloser = table.closest_encloser(domain)
    if encloser == domain:
        return PassedOverRule.EXISTING_NAME, encloser
    return PassedOverRule.CLOSEST_ENCLOSER, encloser


def _patterns(domain: str) -> Iterator[str]:
    """The patterns that can match a canonical domain, in the order in which they count (2.3)."""
    yield domain
    _, dot, suffix = domain.partition(".")
    while dot:
        yield WILDCARD + suffix  # behind a dot of a literal stands `]`, as in no pattern
        _, dot, suffix = suffix.partition(".")
    yield EVERY_DOMAIN


def _is_name(domain: str) -> bool:
    """Whether a canonical domain is in the tree of names: no literal, and not empty."""
    return domain != "" and domain[0] != "["


# --- the checks (4.1, 4.2, 4.5) -----------------------------------------------------------------

_NO_OPTIONS: Final = ListenerDomain()


def _explanation(
    site: Site, connection: Connection, domain: ExplainedDomain, decision: Decision
) -> Explanation:
    name = domain.canonical
    governing: GoverningEntry | None = None
    if decision.entry is not None and name is not None:
        table = site.shared if decision.entry.listener == EVERY_LISTENER else site.own
        options = table.entries[decision.entry.pattern]
        rule = _governing_rule(site, name, decision.entry)
        governing = GoverningEntry(decision.entry, options, rule)
    passed_over = () if name is None else tuple(_passed_over(site, name, decision.entry))
    peer = connection.peer_address
    return Explanation(
        listener=site.listener,
        peer=peer,
        auth=connection.auth,
        dialect=site.dialect,
        domain=domain,
        governing=governing,
        passed_over=passed_over,
        checks=(
            _relay_hosts_check(site, peer),
            *_entry_checks(governing, peer, connection.auth, site.dialect),
        ),
        decision=decision,
    )


def _relay_hosts_check(site: Site, peer: IPAddress) -> RelayHostsCheck:
    stated_by = site.relay_hosts.source(site.listener)
    blocks = site.relay_hosts.of(stated_by)
    if stated_by is None:
        source = RelayHostsSource.DEFAULT
    elif stated_by == site.listener:
        source = RelayHostsSource.LISTENER
    else:
        is_ipv6 = stated_by.startswith("[")
        source = RelayHostsSource.ANY_IPV6 if is_ipv6 else RelayHostsSource.ANY_IPV4
    return RelayHostsCheck(source, stated_by, blocks, blocks.block_of(peer))


def _entry_checks(
    governing: GoverningEntry | None, peer: IPAddress, auth: str | None, dialect: Dialect
) -> Iterator[Check]:
    entry = None if governing is None else governing.entry
    options = _NO_OPTIONS if governing is None else governing.options
    blocks = options.relay_from
    written = options.model_fields_set
    yield RelayFromCheck(entry, blocks, blocks.block_of(peer))
    yield RelayFromAuthzCheck(entry, options.relay_from_authz, auth)
    yield RelayToCheck(entry, options.relay_to if "relay_to" in written else None)
    for report, name, option in (
        (Report.ARF, "log_arf", options.log_arf),
        (Report.OOB, "log_oob", options.log_oob),
    ):
        means = log_option(option, dialect)
        yield LogCheck(entry, report, option if name in written else None, means)


# --- what follows for a recipient (4.3, 4.4) ----------------------------------------------------


def _after_s4(check: Check) -> Check:
    """What S4 leaves of a check for a peer in `relay_hosts`."""
    if isinstance(check, LogCheck) and check.holds:
        return LogCheck(check.entry, check.report, check.written, check.option, exempt=True)
    return check


def _dispositions(
    decision: RcptDecision, checks: tuple[Check, ...], dialect: Dialect
) -> Iterator[ExplainedDisposition]:
    for check in checks:
        if isinstance(check, LogCheck):
            rule, why = _why_report(decision, check, dialect)
            yield ExplainedDisposition(check.report, decision.after_data(check.report), rule, why)
    why = _REFUSED if not decision.accept else _MAY_RELAY if decision.relay else _MAY_NOT_RELAY
    yield ExplainedDisposition(None, decision.after_data(None), "4.4", why)


_REFUSED: Final = "RCPT TO is refused"
_MAY_RELAY: Final = "it may be relayed"
_MAY_NOT_RELAY: Final = "it may not be relayed"


def _why_report(
    decision: RcptDecision, check: LogCheck, dialect: Dialect
) -> tuple[Literal["4.4", "S3", "S4"], str]:
    """Why a report becomes what it does, and by which rule."""
    option = check.reason.lower()
    if not decision.accept:
        return "4.4", _REFUSED
    if check.exempt:
        return "S4", f"{option} is not for peers in relay_hosts"
    if check.option is LogReport.IGNORE:
        return "4.4", f"{option} is Ignore, {_MAY_RELAY if decision.relay else _MAY_NOT_RELAY}"
    if check.option is LogReport.LOG_THEN_DROP or decision.relay:
        return "4.4", f"{option} is {check.option}"
    if dialect is Dialect.KUMOMTA:
        return "S3", f"{option} is {check.option}, permitted or not"
    return "S3", f"{option} is {check.option}, but it may not be relayed"
