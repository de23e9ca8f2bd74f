"""What lint asks of an entry as it is written: its key, its options, its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from listener_policy._display import quoted
from listener_policy.analysis.classes import DomainClass
from listener_policy.analysis.linting.findings import Finding, LintCode
from listener_policy.analysis.linting.removal import next_pattern
from listener_policy.analysis.linting.subject import (
    OPTIONS,
    Governed,
    asked_for,
    envelope,
    granted,
    listing,
    named,
    options_listed,
)
from listener_policy.domains import EVERY_DOMAIN, WILDCARD
from listener_policy.questions import RcptRequest

__all__ = ["DEFAULT_NAMES", "key_findings", "option_findings", "route_findings"]

DEFAULT_NAMES: Final = frozenset(
    {"all", "any", "catchall", "catch-all", "default", "else", "everything", "other", "others"}
)
"""Names that people give to what governs whatever nothing else governs."""

_PRIVATE_TOP_LEVELS: Final = frozenset(
    {
        *("alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan"),
        *("local", "localdomain", "localhost", "onion", "private", "test"),
    }
)
"""Top-level domains below which somebody may well have all names."""


def option_findings(entry: Governed) -> Iterator[Finding]:
    """What is found about the options of an entry, each by itself."""
    for option in ("log_oob", "log_arf"):
        if getattr(entry.options, option) is True:
            means = getattr(entry.saying, option)
            yield Finding(
                LintCode.BOOLEAN_LOG,
                f"{entry.path}.{option}",
                "`true` is `LogThenDrop` under DOCUMENTED and `LogThenRelay` under KUMOMTA; "
                f"here it is `{means}`",
                f'write which is meant, `{option} = "{means}"`',
                entry.ask(),
            )
    if "ttl" in entry.options.model_fields_set:
        yield Finding(
            LintCode.TTL_IGNORED,
            f"{entry.path}.ttl",
            "`ttl` has no effect: nothing about an entry expires",
            "remove it",
        )
    odd = sorted(filter(_is_odd, entry.options.relay_from_authz))
    if odd:
        yield Finding(
            LintCode.SUSPICIOUS_IDENTITY,
            f"{entry.path}.relay_from_authz",
            f"{listing(odd, str)}: an identity matches one that is spelled exactly so, and no "
            "other",
            "list identities as SMTP AUTH gives them; there are no patterns, and blanks count",
            entry.ask(odd[0]),
        )


def _is_odd(identity: str) -> bool:
    return not identity or identity != identity.strip() or "*" in identity or identity == "any"


def key_findings(entry: Governed) -> Iterator[Finding]:
    """What is found about the key of an entry, and about names that it does not govern."""
    pattern, path = entry.ref.pattern, entry.path
    if pattern in DEFAULT_NAMES:
        yield Finding(
            LintCode.DEFAULT_KEY,
            path,
            f"governs nothing but the domain {quoted(pattern)}",
            "write `*` for the domains that nothing else governs",
            entry.ask(),
        )
    if not pattern.startswith(WILDCARD):
        return
    suffix = pattern.removeprefix(WILDCARD)
    if "." in suffix:
        yield from _apex_findings(entry, suffix)
    elif entry.saying.relay_to and suffix not in _PRIVATE_TOP_LEVELS:
        yield Finding(
            LintCode.BROAD_WILDCARD,
            f"{path}.relay_to",
            f"anybody may relay to every name below {quoted(suffix)}",
            "list the domains that are yours",
            entry.ask(),
        )


def _apex_findings(entry: Governed, name: str) -> Iterator[Finding]:
    """Whether a wildcard grants what is not granted for the name that it is below."""
    table = entry.table
    by, saying = table.subject.view.governing(table.asked_at, DomainClass(name, name))
    missing = [
        option
        for option in OPTIONS
        if granted(entry.saying, option) and not granted(saying, option)
    ]
    if missing and (by is None or by.pattern != name):
        yield Finding(
            LintCode.APEX_NOT_COVERED,
            entry.path,
            f"{quoted(name)} itself is governed by {named(by)}, without {options_listed(missing)}",
            f"write an entry for {quoted(name)}, whatever is to hold there",
            asked_for(missing[0], entry.saying, table.asked_at, name, table.hosts),
        )


def route_findings(entry: Governed, routes: Mapping[str, str]) -> Iterator[Finding]:
    """Whether mail that is taken for the domains of an entry has a route."""
    pattern = entry.ref.pattern
    if not entry.saying.relay_to or pattern == EVERY_DOMAIN or pattern in routes:
        return
    if next_pattern(pattern, routes) is None:
        ask = entry.ask()
        yield Finding(
            LintCode.UNROUTED_RELAY_TO,
            f"{entry.path}.relay_to",
            "mail is taken for which there is no route: where this server is the MX, it comes back",
            f"give {quoted(pattern)} a next hop, or see to it that its MX is elsewhere",
            RcptRequest(ask.listener, ask.peer, "<>", envelope(entry.domain)),
        )
