"""What is suspicious about a policy, and what is certainly wrong with it.

Every entry is looked at once, together with its neighbours: the domains that it governs, what would
govern them without it, what it hides, and the nodes that it makes. So the cost grows with the
number of entries, not with its square; but an entry of a listener that governs many names for which
listener `*` has entries costs as much as there are of these.

What is merely left out is told from what is said: that an entry does not grant what the entry that
it hides has granted is a finding only if it does not mention the option. Writing `relay_to = false`
says that it is meant, and silences lint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, cast

from listener_policy._display import described, quoted, quoted_key
from listener_policy._problems import Malformed, ProblemList
from listener_policy.addresses import IPV4_END, ip_address, parse_socket_address
from listener_policy.analysis.linting.entry_checks import (
    DEFAULT_NAMES,
    key_findings,
    option_findings,
    route_findings,
)
from listener_policy.analysis.linting.findings import Finding, LintCode, entry_path, table_path
from listener_policy.analysis.linting.grant_checks import grant_findings, relay_hosts_findings
from listener_policy.analysis.linting.shadow_checks import (
    DialectCheck,
    hidden_findings,
    neighbour_findings,
)
from listener_policy.analysis.linting.subject import Subject, Table
from listener_policy.decision import EntryRef
from listener_policy.domains import canonical_pattern
from listener_policy.listeners import EVERY_LISTENER, wildcard_listeners
from listener_policy.policy import Policy
from listener_policy.questions import Request

__all__ = ["lint"]

_EVERY: Final = 1000
"""How many entries are looked at between two reports of progress."""


def lint(
    policy: Policy,
    *,
    routing_domains: Mapping[str, str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Finding, ...]:
    """What is wrong or suspicious about a policy, the worst first.

    routing_domains: name or pattern -> next hop, as KumoMTA's queue configuration has them; domains
        are looked up as rule 2.3 has it. If given, domains are found that have none.
    progress: called now and then with the number of entries that have been looked at, and the
        number that there are; what it raises goes through.

    Findings are sorted by severity, path and code. Raises `ConfigError` with everything that is
    wrong with `routing_domains`, and `RequestError` for what is no `Policy`.

    >>> policy = Policy.from_mapping({"*": {"relay_to": True}})
    >>> for finding in lint(policy):
    ...     print(finding.severity, finding.code, finding.path)
    error open-relay "*".relay_to
    """
    routes = None if routing_domains is None else _routes(routing_domains)
    subject = Subject(policy)
    found = [*_relay_hosts(subject), *_listeners(subject)]
    done, total = 0, sum(map(len, subject.entries.values()))
    for listener, patterns in subject.entries.items():
        table = Table(subject, listener)
        dialects = DialectCheck(table)
        for pattern in patterns:
            found += _entry(table, pattern, routes)
            dialects.look_at(pattern)
            done += 1
            if progress is not None and (done % _EVERY == 0 or done == total):
                progress(done, total)
        found += dialects.findings()
    return tuple(sorted(found, key=lambda finding: finding.rank))


def _entry(table: Table, pattern: str, routes: Mapping[str, str] | None) -> Iterator[Finding]:
    """What is found at one entry."""
    entry = table.governed(pattern)
    if entry is None:
        yield Finding(
            LintCode.UNREACHABLE_ENTRY,
            entry_path(EntryRef(table.listener, pattern)),
            "governs nothing: every name that it matches has a nearer entry",
            "remove it",
        )
        return
    yield from option_findings(entry)
    yield from key_findings(entry)
    yield from grant_findings(entry)
    yield from neighbour_findings(entry)
    yield from hidden_findings(entry)
    if routes is not None:
        yield from route_findings(entry, routes)


def _relay_hosts(subject: Subject) -> Iterator[Finding]:
    """What is found about who may relay anything, by listener (rule 4.1)."""
    policy = subject.policy
    yield from relay_hosts_findings(policy.relay_hosts, "relay_hosts", subject.unlisted)
    for index, listener in enumerate(policy.listeners):
        blocks = listener.relay_hosts
        if blocks is None:
            continue
        path = f"listeners[{index}].relay_hosts"
        asked_at = subject.representatives[listener.listen]
        yield from relay_hosts_findings(blocks, path, asked_at)
        socket_address = parse_socket_address(listener.listen)
        if blocks and socket_address is not None:
            own = ip_address(socket_address[0])
            loopback = "127.0.0.1" if own.version == 4 else "::1"
            local = own.is_unspecified or own.is_loopback
            if local and loopback in policy.relay_hosts and loopback not in blocks:
                yield Finding(
                    LintCode.LOOPBACK_LEFT_OUT,
                    path,
                    f"what this host itself sends is not relayed here: {quoted(loopback)}, which "
                    "the default has, is not listed",
                    f"list {quoted(loopback)} as well, if it is to relay",
                    Request(listener.listen, loopback, "example.com"),
                )


def _listeners(subject: Subject) -> Iterator[Finding]:
    """What is found about the keys of listeners (rules 2.7 and 4.1)."""
    listed = [listener.listen for listener in subject.policy.listeners]
    for index, listener in enumerate(listed):
        why = _why_impossible(listener, binding=True)
        if why is not None:
            yield _impossible(f"listeners[{index}].listen", listener, why)
    for listener in subject.entries:
        if listener == EVERY_LISTENER:
            continue
        path = table_path(listener)
        why = _why_impossible(listener, binding=False)
        if why is not None:
            yield _impossible(path, listener, why)
        elif listener in DEFAULT_NAMES:
            yield Finding(
                LintCode.DEFAULT_KEY,
                path,
                f"holds for nothing but a listener that is called {quoted(listener)}",
                "write the entries at the top level if they are to hold at all listeners",
                Request(listener, "203.0.113.9", "example.com"),
            )
        elif listed and _is_unlisted(listener, listed):
            yield Finding(
                LintCode.UNLISTED_LISTENER,
                path,
                "holds for nothing: no listener that is listed takes connections there",
                "mend the address, or list the listener",
                Request(listener, "203.0.113.9", "example.com"),
            )


def _is_unlisted(listener: str, listed: Collection[str]) -> bool:
    """Whether an address is none that is listed, nor covered by one."""
    covering = wildcard_listeners(listener)
    return bool(covering) and listener not in listed and not set(covering).intersection(listed)


def _why_impossible(listener: str, *, binding: bool) -> str | None:
    """Why no connection has an address at its local end, or `None` if one may.

    binding: whether the address is one to listen at, which the unspecified one may be.
    """
    socket_address = parse_socket_address(listener)
    if socket_address is None:
        return None
    number, port = socket_address
    address = ip_address(number)
    if address.is_unspecified and not binding:
        return "the unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if number == IPV4_END - 1:
        return "the broadcast address"
    return "port 0" if port == 0 else None


def _impossible(path: str, listener: str, why: str) -> Finding:
    return Finding(
        LintCode.IMPOSSIBLE_LISTENER,
        path,
        f"no connection has {why} at its local end: this counts only if the server itself says "
        f"{quoted(listener)}",
        "write the address at which connections arrive, or the top level for all listeners",
        Request(listener, "203.0.113.9", "example.com"),
    )


def _routes(routing_domains: object) -> dict[str, str]:
    """The next hops by canonical pattern. Raises `ConfigError` with all that is wrong."""
    problems = ProblemList()
    name = "routing_domains"
    routes: dict[str, str] = {}
    if not isinstance(routing_domains, Mapping):
        found = described(routing_domains)
        problems.add(None, name, f"expected a table of next hops, found {found}")
        problems.fail()
    for key, hop in cast("Mapping[object, object]", routing_domains).items():
        path = f"{name}.{quoted_key(key)}"
        try:
            if not isinstance(key, str):
                raise Malformed("a key that is a string", described(key))
            pattern = canonical_pattern(str.__str__(key))
        except Malformed as malformed:
            problems.add_malformed(None, path, malformed)
            continue
        if not isinstance(hop, str) or not hop:
            problems.add(None, path, f"expected a next hop as a string, found {described(hop)}")
        elif pattern in routes:
            problems.add(None, path, f"{quoted(pattern)} has two next hops, in two spellings")
        else:
            routes[pattern] = str.__str__(hop)
    problems.raise_if_any()
    return routes
