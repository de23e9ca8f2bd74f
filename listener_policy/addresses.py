"""Addresses, and the shapes in which servers hold them (rules 1.1 and 1.3).

Every address is a number below 2**128: an IPv6 address is itself, an IPv4 address is its
IPv4-mapped IPv6 address. On this one line the identity that rule 1.3 demands holds by
construction; the two families do not overlap, since `::ffff:0:0/96` *is* IPv4.

    0                       ::ffff:0:0        ::1:0:0:0                     2**128
    |------- IPv6 ----------|----- IPv4 ------|------------ IPv6 -----------|

The sixteen octets of such a number, in network order, compare as the numbers do. Peers are octets:
that is what `inet_pton` gives, and `ipaddress` needs twenty times as long to say the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NoReturn, TypeAlias, cast

from listener_policy._display import shown
from listener_policy._intervals import Bounds
from listener_policy.errors import RequestError

__all__ = [
    "IPV4_END",
    "IPV4_MAPPED",
    "IPV4_START",
    "LENIENT",
    "LINE_END",
    "IPAddress",
    "Peer",
    "SocketAddress",
    "ip_address",
    "ipv4_bounds",
    "octet_bounds",
    "octets_of_unusual",
    "parse_address",
    "parse_socket_address",
    "peer_address",
    "peer_octets",
    "strict",
    "strict_inet_pton",
    "unpack_socket_address",
]

IPAddress: TypeAlias = IPv4Address | IPv6Address
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
Peer: TypeAlias = str | IPAddress | SocketAddress
Parser: TypeAlias = Callable[[int, str], bytes]

IPV4_START: Final = 0xFFFF_0000_0000
IPV4_END: Final = IPV4_START + 2**32
LINE_END: Final = 2**128

IPV4_MAPPED: Final = IPV4_START.to_bytes(16, "big")[:12]
"""The octets in front of those of an IPv4 address."""

_BEHIND_THE_LAST: Final = b"\xff" * 17
"""What stands for `LINE_END`, which has no sixteen octets."""

_LAST_PORT: Final = 65535
_LAST_PORT_AS_TEXT: Final = str(_LAST_PORT)
_PORT_DIGITS: Final = len(_LAST_PORT_AS_TEXT)

LENIENT: Final = (
    *("010.0.0.7", "10.0.0.07", "0xa.0.0.7", "10.0.7", "167772167", "10.0.0.7.", "10.0.0.256"),
    *(" 10.0.0.7", "10.0.0.7 ", "10.0.0.7\n", "10.0.0.+7", "10.0.0.7/8", "10.0.0.7%1", "::1%"),
    *("::1%1", "fe80::1%lo", "::1 ", "[::1]", "::1/64", "::00001", "::g", ":::1", "1::2::3"),
    *("1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8::", "::010.0.0.7", "::10.0.7", "::10.0.0.7:1"),
)
"""What the `inet_pton` of one platform or another forgives, and rule 1.1 does not."""


def strict(parse: Parser) -> Parser:
    """The `inet_pton` of this platform, or, if it is a lenient one, what refuses all texts."""
    for text in LENIENT:
        try:
            parse(AF_INET6 if ":" in text else AF_INET, text)
        except OSError:
            continue
        return _refuse
    return parse


def _refuse(_family: int, _text: str) -> NoReturn:
    raise OSError


strict_inet_pton: Final = strict(inet_pton)
"""All that it accepts is right. What it refuses, `ipaddress` is asked about: a zone id is well."""


def ip_address(number: int) -> IPAddress:
    """The `ipaddress` object of a number on the line."""
    if IPV4_START <= number < IPV4_END:
        return IPv4Address(number - IPV4_START)
    return IPv6Address(number)


def parse_address(text: str) -> int | None:
    """The number of a plain address (a zone id of IPv6 is ignored), or `None` (rule 1.3)."""
    octets = _octets(text)
    return None if octets is None else int.from_bytes(octets, "big")


def _octets(text: str) -> bytes | None:
    """The octets of a plain address, or `None`."""
    try:
        if ":" in text:
            return strict_inet_pton(AF_INET6, text)
        return IPV4_MAPPED + strict_inet_pton(AF_INET, text)
    except (OSError, ValueError):  # ValueError: NUL, surrogates
        pass
    try:
        return IPv6Address(text).packed if ":" in text else IPV4_MAPPED + IPv4Address(text).packed
    except AddressValueError:
        return None


def parse_socket_address(text: str) -> tuple[int, int] | None:
    """The address and port of `ip:port` or `[v6]:port`, or `None` (rule 1.1)."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if bracketed is not (":" in host) or not _is_port(port):
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


def octet_bounds(bounds: Bounds) -> tuple[bytes, ...]:
    """Boundaries on the line as octets, so that octets can be compared with them."""
    # a list first: twice as fast as a generator, and policies have a hundred thousand small sets
    return tuple(
        [number.to_bytes(16, "big") if number < LINE_END else _BEHIND_THE_LAST for number in bounds]
    )


def ipv4_bounds(bounds: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The part of the line that is IPv4, as the four octets that `inet_pton` gives for it.

    bounds: boundaries as `octet_bounds` has them. Of those in front of IPv4 there is left whether
    their number is odd: a boundary that no address is below.
    """
    start = bisect_right(bounds, IPV4_MAPPED + bytes(4))
    end = bisect_right(bounds, IPV4_MAPPED + b"\xff" * 4)
    inside = tuple([octets[len(IPV4_MAPPED) :] for octets in bounds[start:end]])
    return (b"", *inside) if start & 1 else inside


def peer_octets(peer: Peer) -> bytes:
    """The octets of the client's address (rules 1.1 and 1.3).

    Raises `RequestError` if it cannot be understood.

    Texts, and tuples as sockets give them, are what servers have. They are told apart before
    anything is tried, since an `inet_pton` that refuses takes longer than all the rest of a
    decision; only what is wrong, has a zone id or is of a subclass takes that time.
    """
    if type(peer) is str:
        try:
            if ":" not in peer:
                return IPV4_MAPPED + strict_inet_pton(AF_INET, peer)
            if "." not in peer and peer[0] != "[":
                return strict_inet_pton(AF_INET6, peer)
        except (OSError, ValueError):  # ValueError: NUL, surrogates
            pass
    return octets_of_unusual(peer)


def octets_of_unusual(peer: Peer) -> bytes:
    """The same for a peer that is no text of an address alone, or none that was understood."""
    host = ""  # no address at all
    if type(peer) is str:
        before, _, port = peer.rpartition(":")
        if _is_port(port):
            if ":" not in before:
                host = before
            elif before[0] == "[" and before[-1] == "]":
                host = before[1:-1]
        elif "." in port:  # `::ffff:10.0.0.7`
            host = peer
    elif type(peer) is tuple and len(peer) in (2, 4):
        text, number = peer[0], peer[1]
        if type(text) is str and type(number) is int and 0 <= number <= _LAST_PORT:
            host = text
    try:
        if ":" in host:
            return strict_inet_pton(AF_INET6, host)
        return IPV4_MAPPED + strict_inet_pton(AF_INET, host)
    except (OSError, ValueError):
        return _peer_address(peer).to_bytes(16, "big")


def _is_port(text: str) -> bool:
    """Whether a text is a port number, without sign, space or leading zero (rule 1.1)."""
    return (
        len(text) <= _PORT_DIGITS
        and text.isdecimal()
        and text.isascii()
        and (text >= "1" or text == "0")
        and (len(text) < _PORT_DIGITS or text <= _LAST_PORT_AS_TEXT)
    )


def peer_address(peer: Peer) -> int:
    """The number of the client's address; otherwise as `peer_octets`."""
    return int.from_bytes(peer_octets(peer), "big")


def _peer_address(peer: Peer) -> int:
    """The number of the client's address, in whatever shape it is (rules 1.1 and 1.3).

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
