"""What lint asks about entries that govern instead of others (rules 2.3 to 2.6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from listener_policy._display import quoted
from listener_policy.analysis.classes import DomainClass, Partition, Saying, parents
from listener_policy.analysis.linting.findings import Finding, LintCode, entry_path
from listener_policy.analysis.linting.removal import next_pattern
from listener_policy.analysis.linting.subject import (
    OPTIONS,
    Governed,
    Table,
    asked_for,
    granted,
    listing,
    options_listed,
    pattern_of,
    telling_apart,
)
from listener_policy.decision import Dialect, EntryRef
from listener_policy.domains import EVERY_DOMAIN, WILDCARD
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.questions import Request

__all__ = ["DialectCheck", "hidden_findings", "neighbour_findings"]

_REFUSALS: Final = {
    "relay_to": "relay_to = false",
    "relay_from": "relay_from = []",
    "relay_from_authz": "relay_from_authz = []",
    "log_oob": 'log_oob = "Ignore"',
    "log_arf": 'log_arf = "Ignore"',
}


def neighbour_findings(entry: Governed) -> Iterator[Finding]:
    """What is found if an entry is compared with what would govern without it."""
    table, pattern = entry.table, entry.ref.pattern
    changes = table.removals.of(pattern)
    first = next(changes)  # it governs something
    if first.before.saying is first.after.saying:
        nothing = table.subject.view.nothing.saying
        if (pattern != EVERY_DOMAIN or entry.saying is not nothing) and all(
            change.before.saying is change.after.saying for change in changes
        ):
            yield Finding(
                LintCode.REDUNDANT_ENTRY,
                entry.path,
                "changes nothing: without it, every question would be answered alike",
                "remove it, then look again: of several such entries one may need another",
                entry.ask(),
            )
    hidden = first.after.entry
    if hidden is None or hidden.listener != table.listener or hidden.pattern == EVERY_DOMAIN:
        return
    missing = [option for option in _unwritten(entry) if granted(first.after.saying, option)]
    if missing:
        yield Finding(
            LintCode.NAME_HIDES_GRANT,
            entry.path,
            f"does not have what {quoted(hidden.pattern)} grants, and does not say so: "
            f"{options_listed(missing)}",
            f"entries inherit nothing: grant it here as well, or write {_refusals(missing)}",
            asked_for(missing[0], first.after.saying, table.asked_at, entry.domain, table.hosts),
        )


def _unwritten(entry: Governed) -> list[str]:
    """The options that an entry does not mention, so that it grants nothing by them."""
    return [option for option in OPTIONS if option not in entry.options.model_fields_set]


def _refusals(options: Iterable[str]) -> str:
    return ", ".join(f"`{_REFUSALS[option]}`" for option in options)


def hidden_findings(entry: Governed) -> Iterator[Finding]:
    """What is found about the entries of listener `*` that a listener's entry hides (rule 2.5)."""
    if entry.table.listener == EVERY_LISTENER:
        return
    hidden = _hidden_by(entry)
    unwritten = _unwritten(entry)
    grants = [option for option in OPTIONS if granted(entry.saying, option)]
    lost = {option: [one for one in hidden if granted(one.saying, option)] for option in unwritten}
    refused = {option: _refusing(entry, hidden, option) for option in grants}
    yield from _hiding(
        entry,
        LintCode.LISTENER_HIDES_GRANT,
        lost,
        "hides entries of listener `*` and does not have what they grant",
        "entries inherit nothing: grant it here as well, or write that it is refused, "
        f"as in {_refusals(option for option in lost if lost[option])}",
    )
    yield from _hiding(
        entry,
        LintCode.LISTENER_HIDES_REFUSAL,
        refused,
        "hides more specific entries of listener `*` and grants what they refuse",
        "write these entries for this listener as well",
    )


class _Hidden(NamedTuple):
    """An entry that is hidden, and a domain where it is."""

    ref: EntryRef
    saying: Saying
    domain: str


def _hidden_by(entry: Governed) -> list[_Hidden]:
    """The entries of listener `*` that would govern domains of an entry."""
    view = entry.table.subject.view
    removals = entry.table.removals
    hidden: dict[EntryRef, _Hidden] = {}
    for domain in removals.own.of(entry.ref.pattern):
        for part in removals.fine.within(domain.pattern, removals.own):
            ref, saying = view.shared(part)
            if ref is not None and ref not in hidden:
                hidden[ref] = _Hidden(ref, saying, part.representative)
    return list(hidden.values())


def _refusing(entry: Governed, hidden: Iterable[_Hidden], option: str) -> list[_Hidden]:
    """The hidden entries that are more specific and have an option written, granting nothing."""
    specificity = _specificity(entry.ref.pattern)
    shared = entry.table.subject.entries.get(EVERY_LISTENER, {})
    return [
        one
        for one in hidden
        if not granted(one.saying, option)
        and option in shared[one.ref.pattern].model_fields_set
        and _specificity(one.ref.pattern) > specificity
    ]


def _hiding(
    entry: Governed, code: LintCode, found: dict[str, list[_Hidden]], message: str, hint: str
) -> Iterator[Finding]:
    """A finding about hidden entries by option, if there are any."""
    options = [option for option, hidden in found.items() if hidden]
    if options:
        each = ", ".join(
            f"`{option}` ({listing([one.ref for one in found[option]], pattern_of)})"
            for option in options
        )
        first = found[options[0]][0]
        saying = entry.saying if granted(entry.saying, options[0]) else first.saying
        table = entry.table
        yield Finding(
            code,
            entry.path,
            f"{message}: {each}",
            hint,
            asked_for(options[0], saying, table.asked_at, first.domain, table.hosts),
        )


def _specificity(pattern: str) -> float:
    """The order of rule 2.3 among the patterns that match one name."""
    if pattern == EVERY_DOMAIN:
        return 0
    return pattern.count(".") if pattern.startswith(WILDCARD) else math.inf


class DialectCheck:
    """Finds domains of a table that another entry governs in the other dialect (S1).

    The dialects differ where `KUMOMTA` makes a name a node that is not a key itself, or has names
    directly below it and no wildcard: then `DOCUMENTED` goes on to a wildcard above it, or to `*`.
    Every node is looked at once.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        views = table.subject.views
        self._documented = views[Dialect.DOCUMENTED]
        self._kumomta = views[Dialect.KUMOMTA]
        own = [self._kumomta.keys(table.listener)]
        self._own = Partition(own)
        self._fine = Partition([*own, self._kumomta.keys(EVERY_LISTENER)])
        self._seen: set[str] = set()
        self._divided: dict[EntryRef, dict[EntryRef | None, Request]] = {}

    def look_at(self, pattern: str) -> None:
        """Look at the nodes that a key makes and no key before it has made."""
        name = pattern.removeprefix(WILDCARD)
        if name[:1] in ("[", EVERY_DOMAIN):
            return
        for node in (name, *parents(name)):
            if node in self._seen:
                return
            self._seen.add(node)
            self._look_at_node(node)

    def _look_at_node(self, node: str) -> None:
        table = self._table
        pattern = next_pattern(node, table.entries)
        shared = table.listener == EVERY_LISTENER
        if pattern is None or (shared and pattern == EVERY_DOMAIN):
            return  # nothing in either dialect, or the last resort in both
        entry = EntryRef(table.listener, pattern)
        for key in (node, WILDCARD + node):
            if key not in table.entries:
                for domain in self._own.of(key):
                    for part in self._parts(domain):
                        self._compare(entry, part)

    def _parts(self, domain: DomainClass) -> Iterable[DomainClass]:
        """A class of domains, divided where the table of listener `*` counts."""
        if self._table.listener == EVERY_LISTENER:
            return [domain]
        return self._fine.within(domain.pattern, self._own)

    def _compare(self, entry: EntryRef, domain: DomainClass) -> None:
        """Compare what each dialect has for domains for which `KUMOMTA` has nothing here."""
        saying = self._documented.says(entry).saying
        instead = self._kumomta.shared(domain)
        if saying is not instead.saying:
            table = self._table
            others = self._divided.setdefault(entry, {})
            if instead.entry not in others:
                others[instead.entry] = telling_apart(
                    saying, instead.saying, table.asked_at, domain.representative, table.hosts
                )

    def findings(self) -> Iterator[Finding]:
        """What is found about the nodes that were looked at."""
        for entry, others in self._divided.items():
            witness = next(iter(others.values()))
            yield Finding(
                LintCode.DIALECTS_DIFFER,
                entry_path(entry),
                f"governs {quoted(witness.domain)} and others like it under DOCUMENTED alone; "
                f"under KUMOMTA they fall to what says something else: {_named(others)}",
                "write entries for these names as well, or `*.` below the name that is in the way",
                witness,
            )


def _named(entries: Iterable[EntryRef | None]) -> str:
    """Entries of listener `*` in a message, or that there is none."""
    refs = [entry for entry in entries if entry is not None]
    return f"{listing(refs, pattern_of)} of listener `*`" if refs else "no entry at all"
