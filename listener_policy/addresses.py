"""Addresses, and the shapes in which servers hold them (rules 1.1 and 1.3).

Every address is a number below 2**128: an IPv6 address is itself, an IPv4 address is its
IPv4-mapped IPv6 address. On this one line the identity that rule 1.3 demands holds by
construction; the two families do not overlap, since `::ffff:0:0/96` *is* IPv4.

    0                       ::ffff:0:0        ::1:0:0:0                     2**128
    |------- IPv6 ----------|----- IPv4 ------|------------ IPv6 -----------|
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, TypeAlias, cast

from listener_policy._display import shown
from listener_policy.errors import RequestError

__all__ = [
    "IPV4_END",
    "IPV4_START",
    "LINE_END",
    "IPAddress",
    "Peer",
    "SocketAddress",
    "ip_address",
    "parse_address",
    "parse_socket_address",
    "peer_address",
    "unpack_socket_address",
]

IPAddress: TypeAlias = IPv4Address | IPv6Address
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
Peer: TypeAlias = str | IPAddress | SocketAddress

IPV4_START: Final = 0xFFFF_0000_0000
IPV4_END: Final = IPV4_START + 2**32
LINE_END: Final = 2**128

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LAST_PORT = 65535


def ip_address(number: int) -> IPAddress:
    """The `ipaddress` object of a number on the line."""
    if IPV4_START <= number < IPV4_END:
        return IPv4Address(number - IPV4_START)
    return IPv6Address(number)


def parse_address(text: str) -> int | None:
    """The number of a plain address (a zone id of IPv6 is ignored), or `None` (rule 1.3)."""
    try:
        if ":" in text:
            return int(IPv6Address(text))
        return IPV4_START + int(IPv4Address(text))
    except AddressValueError:
        return None


def parse_socket_address(text: str) -> tuple[int, int] | None:
    """The address and port of `ip:port` or `[v6]:port`, or `None` (rule 1.1)."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if bracketed is not (":" in host) or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        return None
    address = parse_address(host)
    return None if address is None else (address, int(port))


def unpack_socket_address(value: tuple[object, ...]) -> tuple[int, int] | None:
    """The address and port of a socket address tuple, or `None` (rule 1.1).

    The flow label and the scope id of IPv6, if there are any, say nothing about who the peer is.
    """
    if len(value) not in (2, 4):
        return None
    host, port = value[:2]
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        return None
    address = parse_address(str.__str__(host))
    return None if address is None or not 0 <= port <= _LAST_PORT else (address, int(port))


def peer_address(peer: Peer) -> int:
    """The number of the client's address (rules 1.1 and 1.3).

    Raises `RequestError` if it cannot be understood.
    """
    value = cast("object", peer)
    found: int | None = None
    socket_address: tuple[int, int] | None = None
    if isinstance(value, str):
        text = str.__str__(value)  # a subclass may say something else of itself
        found = parse_address(text)
        socket_address = parse_socket_address(text) if found is None else None
    elif isinstance(value, tuple):
        socket_address = unpack_socket_address(cast("tuple[object, ...]", value))
    elif isinstance(value, IPv4Address):
        found = IPV4_START + int(value)
    elif isinstance(value, IPv6Address):
        found = int(value)
    if socket_address is not None:
        found = socket_address[0]
    if found is None:
        raise RequestError(
            "peer: expected an address (`10.0.0.7`, `10.0.0.7:4711`, `[2001:db8::7]:4711`, "
            f"a socket address tuple or an `ipaddress` object), found `{shown(peer)}`"
        )
    return found
