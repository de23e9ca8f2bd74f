"""Whether an address is in a set of blocks, and nothing else: side by side with other libraries."""

import importlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6
from typing import Final

from benchmarks.careful import Networks, parsed
from benchmarks.checks import check_same
from benchmarks.context import Settings
from benchmarks.floor import in_blocks
from benchmarks.measuring import Arguments, Candidate, compared
from benchmarks.report import Table
from benchmarks.workload import Workload
from listener_policy import CidrSet

Contains = Callable[[str], bool]
MANY_BLOCKS: Final = 100_000
FLOOR: Final = "floor"
FEW_BLOCKS: Final = 1_000
"""Whoever goes through all blocks is not asked about more of them than this."""


def _cidr_set(blocks: Sequence[str]) -> Contains:
    return CidrSet(blocks).__contains__


def _careful(blocks: Sequence[str]) -> Contains:
    networks = Networks(blocks)
    return lambda peer: parsed(peer) in networks


def _ipaddress(blocks: Sequence[str]) -> Contains:
    networks = [ip_network(block) for block in blocks]

    def contains(peer: str) -> bool:
        address = ip_address(peer)
        return any(address in network for network in networks)

    return contains


def _pytricia(blocks: Sequence[str]) -> Contains:
    module = importlib.import_module("pytricia")
    ipv4, ipv6 = module.PyTricia(32, AF_INET), module.PyTricia(128, AF_INET6)
    for block in blocks:
        (ipv6 if ":" in block else ipv4)[block] = True
    return lambda peer: peer in (ipv6 if ":" in peer else ipv4)


def _py_radix(blocks: Sequence[str]) -> Contains:
    tree = importlib.import_module("radix").Radix()
    for block in blocks:
        tree.add(block)
    search = tree.search_best
    return lambda peer: search(peer) is not None


def _netaddr(blocks: Sequence[str]) -> Contains:
    module = importlib.import_module("netaddr")
    networks, address = [module.IPNetwork(block) for block in blocks], module.IPAddress

    def contains(peer: str) -> bool:
        number = address(peer)
        return any(number in network for network in networks)

    return contains


def _ip_set(blocks: Sequence[str]) -> Contains:
    module = importlib.import_module("netaddr")
    networks, address = module.IPSet(blocks), module.IPAddress
    return lambda peer: address(peer) in networks


CANDIDATES: Final[dict[str, tuple[Callable[[Sequence[str]], Contains], float, int]]] = {
    "`CidrSet`": (_cidr_set, 1, MANY_BLOCKS),
    "careful (`lru_cache`, bisect)": (_careful, 1, MANY_BLOCKS),
    "pytricia": (_pytricia, 1, MANY_BLOCKS),
    "py-radix": (_py_radix, 1, MANY_BLOCKS),
    "`netaddr.IPSet`": (_ip_set, 0.2, MANY_BLOCKS),
    "list of `netaddr.IPNetwork`": (_netaddr, 0.02, FEW_BLOCKS),
    "list of `ipaddress` networks": (_ipaddress, 0.02, FEW_BLOCKS),
}
"""Who is asked: how it is made, which share of the questions it gets, and of how many blocks."""


def measure(settings: Settings, skipped: list[str]) -> Table:
    """The table; what is not installed is added to `skipped`."""
    table = Table("networks", "An address in a set of blocks, relative to the floor", "blocks")
    missing: set[str] = set()
    for size in settings.block_counts:
        workload = Workload(2, size)
        blocks = workload.blocks.written()
        made: dict[str, tuple[Contains, float]] = {FLOOR: (in_blocks(blocks), 1)}
        for name, (make, share, most) in CANDIDATES.items():
            if size <= most and name not in missing:
                try:
                    made[name] = (make(blocks), share)
                except ImportError as error:
                    missing.add(name)
                    skipped.append(f"{name}: {error}")

        def peers(count: int, workload: Workload = workload) -> list[Arguments]:
            return [(question.peer,) for question in workload.first_seen(count)]

        check_same(
            made[FLOOR][0],
            {name: contains for name, (contains, _) in made.items() if name != FLOOR},
            peers(settings.checked // 4),
        )
        measured = compared(
            {name: Candidate(contains, peers, share) for name, (contains, share) in made.items()},
            FLOOR,
            count=settings.count,
            rounds=settings.rounds,
        )
        for name, figures in measured.items():
            table.add(name, f"{size:,}", figures.ratio)
    return table
