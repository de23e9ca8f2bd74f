"""What lint asks about who may relay: strangers, networks, reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from listener_policy import _intervals
from listener_policy._display import quoted
from listener_policy._intervals import EMPTY, Bounds
from listener_policy.analysis.linting.findings import Finding, LintCode
from listener_policy.analysis.linting.internet import at_large, broad_blocks
from listener_policy.analysis.linting.subject import OUTSIDE, Governed, envelope, listing, peer_of
from listener_policy.decision import Dialect, LogReport
from listener_policy.domains import EVERY_DOMAIN
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.networks import CidrSet, IPNetwork, block_text
from listener_policy.questions import RcptRequest, Request

__all__ = ["grant_findings", "relay_hosts_findings"]

_REPORTS: Final = {"log_oob": "delivery report", "log_arf": "abuse report"}
_NULL_SENDER: Final = "<>"
_SHOWN: Final = 3


def relay_hosts_findings(blocks: CidrSet, path: str, listener: str) -> Iterator[Finding]:
    """What is found about `relay_hosts`, which hold at a listener."""
    yield from _nested_findings(blocks, path, Request(listener, "", OUTSIDE))
    if at_large(blocks.bounds):
        yield Finding(
            LintCode.OPEN_RELAY,
            path,
            "strangers may relay from anywhere to anywhere: the public internet at large is listed",
            "list your own networks alone",
            RcptRequest(listener, peer_of(blocks.bounds), OUTSIDE, OUTSIDE),
        )
    else:
        yield from _network_findings(blocks, path, Request(listener, "", OUTSIDE))


def grant_findings(entry: Governed) -> Iterator[Finding]:
    """What is found about who may relay because of an entry."""
    if entry.options.relay_from:
        yield from _relay_from_findings(entry)
    if entry.ref.pattern == EVERY_DOMAIN and entry.saying.relay_to:
        ask = entry.ask()
        yield Finding(
            LintCode.OPEN_RELAY,
            f"{entry.path}.relay_to",
            "strangers may relay from anywhere to every domain that nothing else governs",
            "list the domains that are yours",
            RcptRequest(ask.listener, ask.peer, OUTSIDE, envelope(entry.domain)),
        )
    elif not entry.saying.relay_to:
        for option in ("log_oob", "log_arf"):
            if getattr(entry.saying, option):
                yield from _report_findings(entry, option)


def _relay_from_findings(entry: Governed) -> Iterator[Finding]:
    """What is found about the peers that may relay mail from the domains of an entry."""
    table, blocks, path = entry.table, entry.options.relay_from, f"{entry.path}.relay_from"
    yield from _nested_findings(blocks, path, Request(table.asked_at, "", entry.domain))
    if at_large(blocks.bounds):
        peer = peer_of(blocks.bounds, table.hosts)
        yield Finding(
            LintCode.OPEN_RELAY,
            path,
            "strangers may relay to anywhere by writing such a sender: the public internet at "
            "large is listed",
            "list the networks that send for the domain, or let senders authenticate "
            "(`relay_from_authz`)",
            RcptRequest(table.asked_at, peer, envelope(entry.domain), OUTSIDE),
        )
    else:
        yield from _network_findings(
            blocks, path, Request(table.asked_at, "", entry.domain), table.hosts
        )
    shared = table.listener == EVERY_LISTENER
    hosts = table.subject.relay_hosts_everywhere if shared else table.hosts
    within = _blocks_within(blocks, hosts)
    if within:
        where = "every listener" if shared else "this listener"
        yield Finding(
            LintCode.BLOCK_IN_RELAY_HOSTS,
            path,
            f"{listing(within, block_text)}: may relay anything already, by `relay_hosts` at "
            f"{where}",
            "take it off this list, or off `relay_hosts` if it is to send for this domain alone",
            Request(table.asked_at, peer_of(CidrSet(within).bounds), entry.domain),
        )


def _nested_findings(blocks: CidrSet, path: str, ask: Request) -> Iterator[Finding]:
    """What is found about blocks that were written inside others of a list."""
    if blocks.nested:
        shown = [f"{quoted(inner)} in {quoted(outer)}" for inner, outer in blocks.nested[:_SHOWN]]
        more = " and others" if len(blocks.nested) > _SHOWN else ""
        yield Finding(
            LintCode.NESTED_BLOCK,
            path,
            f"blocks inside others of the list add nothing: {', '.join(shown)}{more}",
            "remove the smaller block, or the larger one if it is not meant",
            ask._replace(peer=peer_of(CidrSet([blocks.nested[0][0]]).bounds)),
        )


def _blocks_within(blocks: CidrSet, hosts: Bounds) -> list[IPNetwork]:
    """The blocks of a set that are subsets of another; costs nothing if none comes near it."""
    if not any(_intervals.overlap(hosts, start, end) for start, end in _ranges(blocks)):
        return []
    return [block for block in blocks if _is_within(CidrSet([block]), hosts)]


def _is_within(blocks: CidrSet, hosts: Bounds) -> bool:
    around = ((_intervals.interval(hosts, start), end) for start, end in _ranges(blocks))
    return all(found is not None and end <= found[1] for found, end in around)


def _ranges(blocks: CidrSet) -> Iterable[tuple[int, int]]:
    return zip(blocks.bounds[::2], blocks.bounds[1::2], strict=True)


def _network_findings(
    blocks: CidrSet, path: str, ask: Request, hosts: Bounds = EMPTY
) -> Iterator[Finding]:
    """What is found about the networks of a list that is not at large."""
    broad = list(broad_blocks(blocks))
    if broad:
        yield Finding(
            LintCode.BROAD_NETWORK,
            path,
            f"{listing(broad, block_text)}: more public addresses than most operators have in one "
            "network",
            "list the networks from which mail really comes",
            ask._replace(peer=peer_of(CidrSet(broad).bounds, hosts)),
        )


def _report_findings(entry: Governed, option: str) -> Iterator[Finding]:
    """What is found about reports to domains to which strangers may not relay."""
    subject = entry.table.subject
    found = subject.stranger_at(entry.table.listener)
    if found is None:
        return  # everybody may relay: there are no strangers
    path, report = f"{entry.path}.{option}", _REPORTS[option]
    to_anywhere = entry.ref.pattern == EVERY_DOMAIN
    relayed = getattr(entry.saying, option) is LogReport.LOG_THEN_RELAY
    regardless = relayed and subject.dialect is Dialect.KUMOMTA
    witness = RcptRequest(*found, _NULL_SENDER, envelope(entry.domain))
    if to_anywhere and regardless:
        yield Finding(
            LintCode.OPEN_REPORT_RELAY,
            path,
            f"whatever a stranger writes in the shape of {_an(report)} is relayed to anywhere",
            f'write `{option} = "LogThenDrop"`, or name the domains that take reports',
            witness,
        )
        return
    if to_anywhere:
        yield Finding(
            LintCode.ACCEPTS_ANY_RCPT,
            path,
            "strangers get RCPT TO accepted for every domain that nothing else governs: "
            f"{_an(report)} might follow",
            f"name the domains that take {report}s, and leave `{option}` out here",
            witness,
        )
    if relayed:
        yield Finding(
            LintCode.REPORT_WITHOUT_RELAY_TO,
            path,
            f"{_an(report)} from strangers is relayed, although `relay_to` is false"
            if regardless
            else f"{_an(report)} from strangers is logged and dropped, not relayed: `relay_to` is "
            "false",
            'write `relay_to = true` if mail is taken for the domain, `"LogThenDrop"` if not',
            witness,
        )


def _an(report: str) -> str:
    return f"an {report}" if report[0] == "a" else f"a {report}"
