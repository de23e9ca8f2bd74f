"""How much of the public internet a set of addresses has.

*Public* are the addresses that are routed between networks: all of IPv4 and of `2000::/3`, without
what IANA has set aside (private, shared, loopback, link-local, documentation, benchmarks,
multicast, reserved).

A set reaches *the public internet at large* if it has more public addresses than one whole /8 of
IPv4, or one whole /16 of IPv6. No organization's network is larger, so whoever lists as much lets
strangers in. That is a definition; what is short of it is *broad* where one of its blocks is larger
than a /16 of IPv4 or a /32 of IPv6 and has public addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from listener_policy import _intervals
from listener_policy._intervals import Bounds
from listener_policy.addresses import IPV4_END, IPV4_START
from listener_policy.networks import CidrSet, IPNetwork

__all__ = ["PUBLIC", "at_large", "broad_blocks"]

_SET_ASIDE: Final = CidrSet(
    [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "2001:db8::/32", "3fff::/20"),
    ]
)
PUBLIC: Final = CidrSet(["0.0.0.0/0", "2000::/3"]) - _SET_ASIDE
"""The addresses that are routed between networks."""

_IPV4: Final = (IPV4_START, IPV4_END)
_WHOLE: Final = {4: 2**24, 6: 2**112}
"""How many addresses no organization's network exceeds: a /8, and a /16."""
_BROAD: Final = {4: 16, 6: 32}
"""The shortest prefix that is not broad."""
_NARROW: Final = {4: 2 ** (32 - _BROAD[4]), 6: 2 ** (128 - _BROAD[6])}
_FEW: Final = 2 * min(_WHOLE[4] // _NARROW[4], _WHOLE[6] // _NARROW[6])
"""How many boundaries a set of narrow ranges has at most that cannot be at large."""


def at_large(bounds: Bounds) -> bool:
    """Whether a set reaches the public internet at large."""
    if _is_narrow(bounds) and len(bounds) <= _FEW:
        return False
    public = _intervals.intersection(bounds, PUBLIC.bounds)
    ipv4 = _size(_intervals.intersection(public, _IPV4))
    return ipv4 > _WHOLE[4] or _size(public) - ipv4 > _WHOLE[6]


def broad_blocks(blocks: CidrSet) -> Iterator[IPNetwork]:
    """The blocks of a set that are broad, whether or not all of it is at large."""
    for block in () if _is_narrow(blocks.bounds) else blocks:
        if block.prefixlen < _BROAD[block.version] and CidrSet([block]) & PUBLIC:
            yield block


def _is_narrow(bounds: Bounds) -> bool:
    """Whether no range of a set is larger than a block that is not broad: nearly all are not."""
    return all(
        end - start <= (_NARROW[4] if IPV4_START <= start < IPV4_END else _NARROW[6])
        for start, end in zip(bounds[::2], bounds[1::2], strict=True)
    )


def _size(bounds: Bounds) -> int:
    return sum(bounds[1::2]) - sum(bounds[::2])
