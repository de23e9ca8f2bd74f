"""Listeners, by local address or by name (rules 1.1, 2.7 and 4.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, Generic, TypeAlias, TypeVar, cast, final

from listener_policy._display import quoted, shown
from listener_policy._memory import LONGEST_KEY, ROOM_FOR_LISTENERS, Memory
from listener_policy._problems import Malformed
from listener_policy.addresses import (
    SocketAddress,
    ip_address,
    parse_address,
    parse_socket_address,
    unpack_socket_address,
)
from listener_policy.errors import RequestError

__all__ = [
    "EVERY_LISTENER",
    "ByListener",
    "Listener",
    "canonical_listener",
    "parse_listener",
    "wildcard_listeners",
]

Listener: TypeAlias = str | SocketAddress

EVERY_LISTENER: Final = "*"
"""The listener of entries that belong to no particular one (rule 2.1)."""

_ADDRESS_WITH_PORT = re.compile(r"\[|[0-9.]*:[^:]*\Z")
"""What rule 1.1 takes as an address with a port, or as an error, but never as a name."""


def parse_listener(text: str) -> str:
    """The canonical form of a listener that is written as text (rules 1.1 and 2.7).

    An address with its port in canonical spelling (`10.1.2.3:25`, `[2001:db8::1]:25`), or the name
    itself. Raises `Malformed` if it is neither.
    """
    if text in ("", EVERY_LISTENER):
        raise Malformed("the address of one listener, or its name", quoted(text))
    if _ADDRESS_WITH_PORT.match(text):
        socket_address = parse_socket_address(text)
        if socket_address is None:
            raise Malformed("`ip:port` or `[v6]:port`, the port from 0 to 65535", quoted(text))
        return _spelled(*socket_address)
    address = parse_address(text)
    if address is not None:
        hint = f"did you mean {quoted(_spelled(address, 25))}?"
        raise Malformed("an address with its port", quoted(text), hint)
    return text


def canonical_listener(listener: Listener) -> str:
    """The canonical form of the listener of a question (rule 1.1).

    Raises `RequestError` if it cannot be understood.
    """
    value = cast("object", listener)
    expected = "`ip:port`, `[v6]:port`, a name or a socket address tuple"
    if isinstance(value, str):
        try:
            return parse_listener(str.__str__(value))
        except Malformed as malformed:
            expected = malformed.expected
    elif isinstance(value, tuple):
        socket_address = unpack_socket_address(cast("tuple[object, ...]", value))
        if socket_address is not None:
            return _spelled(*socket_address)
    raise RequestError(f"listener: expected {expected}, found `{shown(listener)}`")


T = TypeVar("T")


@final
class ByListener(Generic[T]):
    """What holds at listeners, by the forms in which they are given.

    find: what holds at a listener in canonical form; it finds the same again.
    listed: those that are named somewhere, in canonical form: they are known as texts.

    Servers ask about the same again and again, as texts or as their sockets have them: what holds
    there is remembered.
    """

    __slots__ = ("_find", "_sockets", "_texts", "known", "known_sockets")

    def __init__(self, find: Callable[[str], T], listed: Collection[str]) -> None:
        self._find = find
        self._sockets: Memory[tuple[str, int], T] = Memory(ROOM_FOR_LISTENERS + len(listed))
        self._texts: Memory[str, T] = Memory(ROOM_FOR_LISTENERS)
        self.known_sockets = self._sockets.known({})
        """By the first two parts of socket addresses."""
        self.known = self._texts.known({listener: find(listener) for listener in listed})
        """By texts: who looks here first need not ask `at` about them."""

    def at(self, listener: Listener) -> T:
        """What holds at a listener. Raises `RequestError` if it cannot be understood."""
        socket: tuple[str, int] | None = None
        if type(listener) is tuple and len(listener) in (2, 4):
            host, port = listener[0], listener[1]
            # by type: `25.0` and `True` are no ports, and yet equal to what is
            if type(host) is str and type(port) is int:
                socket = (host, port)
                known = self.known_sockets.by_name.get(socket)
                if known is not None:
                    return known
        found = self._find(canonical_listener(listener))
        if socket is not None and len(socket[0]) <= LONGEST_KEY:
            self._sockets.remember(self.known_sockets, socket, found)
        elif type(listener) is str and len(listener) <= LONGEST_KEY and listener.isascii():
            self._texts.remember(self.known, listener, found)
        return found


def wildcard_listeners(listener: str) -> tuple[str, ...]:
    """The listeners that also take the connections of this one, nearest first (rule 4.1).

    `listener` is canonical. `10.1.2.3:25` gives `0.0.0.0:25` and `[::]:25`, an IPv6 address
    `[::]:25`, a name nothing.
    """
    if parse_socket_address(listener) is None:
        return ()
    any_ipv6 = f"[::]:{listener.rpartition(':')[2]}"
    if listener.startswith("["):
        return (any_ipv6,)
    return (f"0.0.0.0:{listener.rpartition(':')[2]}", any_ipv6)


def _spelled(address: int, port: int) -> str:
    ip = ip_address(address)
    return f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"
