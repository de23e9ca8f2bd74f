"""CIDR blocks, and sets of addresses made of them (rules 1.3, 3.1 and 3.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import islice
from typing import Final, NamedTuple, TypeAlias, cast, final

from listener_policy import _intervals
from listener_policy._display import described, quoted
from listener_policy._intervals import EMPTY, Bounds
from listener_policy._problems import Malformed, ProblemList
from listener_policy.addresses import (
    IPV4_END,
    IPV4_START,
    LINE_END,
    IPAddress,
    Peer,
    ip_address,
    octet_bounds,
    parse_address,
    peer_address,
)

__all__ = ["Block", "CidrSet", "IPNetwork", "block_text", "read_cidr_set"]

IPNetwork: TypeAlias = IPv4Network | IPv6Network
Block: TypeAlias = str | IPAddress | IPNetwork

_ANY: Final = "any"
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_SHOWN_NESTED: Final = 8
_SHORT_FORM = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}(?=/)")
_LONGEST_SLIP: Final = 100
_A_BLOCK = "`ip`, `ip/length` or `any`"


@final
class CidrSet:
    """An immutable set of IPv4 and IPv6 addresses, written as CIDR blocks.

    `CidrSet(blocks)` and `CidrSet.parse(blocks)` are the same: the union of blocks, each a text as
    rule 3.1 has it (`"10.0.0.0/24"`, `"2001:db8::1"`, `"any"`) or an `ipaddress` object. Both raise
    `ConfigError` with a problem for each block that is wrong, its path being `[index]`.

    Equality is equality of sets: overlap, order and spelling are gone once the set is made. An
    IPv4-mapped IPv6 address is the IPv4 address, and no other IPv6 address is (rule 1.3).

    >>> CidrSet(["10.0.0.0/9", "10.128.0.0/9"]) == CidrSet(["10.0.0.0/8"])
    True
    >>> "::ffff:10.1.2.3" in CidrSet(["10.0.0.0/8"])
    True
    """

    __slots__ = ("_bounds", "_nested", "_octets")

    _bounds: Bounds
    _nested: tuple[tuple[str, str], ...]
    _octets: tuple[bytes, ...] | None

    def __new__(cls, blocks: Iterable[Block] = ()) -> CidrSet:
        """Make the union; nothing is left to `__init__`, which could be called again."""
        problems = ProblemList()
        made = read_cidr_set(
            blocks, lambda index, wrong: problems.add_malformed(None, _index_path(index), wrong)
        )
        problems.raise_if_any()
        return made

    @classmethod
    def parse(cls, blocks: Iterable[Block]) -> CidrSet:
        """The union of the blocks. Raises `ConfigError` with every block that is wrong."""
        return cls(blocks)

    @classmethod
    def from_bounds(cls, bounds: Bounds, nested: tuple[tuple[str, str], ...] = ()) -> CidrSet:
        """The set of boundaries that are in normal form, as the engine makes them."""
        made = object.__new__(cls)
        made._bounds = bounds
        made._nested = nested
        made._octets = None
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return CidrSet.from_bounds, (self._bounds, self._nested)

    @property
    def bounds(self) -> Bounds:
        """The set as boundaries on the line of `listener_policy.addresses`, for the engine."""
        return self._bounds

    @property
    def octets(self) -> tuple[bytes, ...]:
        """The boundaries as octets, as decisions compare them; made when they are first needed."""
        octets = self._octets
        if octets is None:
            octets = self._octets = octet_bounds(self._bounds)
        return octets

    @property
    def nested(self) -> tuple[tuple[str, str], ...]:
        """Blocks that were given besides a block that they are in, as written, with that block.

        Eight of them at most. They are what `lint` has to say about how a set is written, and no
        part of what it is: equality does not look at them, and operations on sets leave none.
        """
        return self._nested

    def __contains__(self, address: Peer) -> bool:
        """Whether the address is in the set; a binary search.

        Raises `RequestError` if it is no address.
        """
        return _intervals.contains(self._bounds, peer_address(address))

    def __iter__(self) -> Iterator[IPNetwork]:
        """The fewest blocks that make up the set: IPv4 before IPv6, each in order.

        An IPv6 block that is shown may bridge `::ffff:0:0/96`, which is IPv4's (rule 1.3): the set
        of all IPv6 addresses is shown as `::/0`.
        """
        yield from _ipv4_blocks(_intervals.intersection(self._bounds, _IPV4))
        yield from _ipv6_blocks(_intervals.union(self._bounds, _IPV4))

    def block_of(self, address: Peer) -> IPNetwork | None:
        """The block that the address is in, one of those of `__iter__`, or `None`.

        Costs a binary search and a few dozen steps, however many blocks there are. Raises
        `RequestError` if it is no address.

        >>> CidrSet(["10.0.0.0/9", "10.128.0.0/9", "192.0.2.1"]).block_of("10.1.2.3")
        IPv4Network('10.0.0.0/8')
        """
        number = peer_address(address)
        found = _intervals.interval(self._bounds, number)
        if found is None:
            return None
        if IPV4_START <= number < IPV4_END:
            blocks: Iterator[IPNetwork] = _ipv4_blocks(_intervals.intersection(found, _IPV4))
        else:
            # what is beside the bridge, on either side, may be of one block with this
            beside = (_intervals.interval(self._bounds, n) for n in (IPV4_START - 1, IPV4_END))
            ranges = [found, _IPV4, *(one for one in beside if one is not None)]
            blocks = _ipv6_blocks(_intervals.from_ranges(ranges))
        ip = ip_address(number)
        return next(block for block in blocks if ip in block)

    def to_list(self) -> list[str]:
        """The set as a configuration writes it: the blocks of `__iter__` as text, or `any`."""
        if self._bounds == (0, LINE_END):
            return [_ANY]
        return [block_text(block) for block in self]

    def __bool__(self) -> bool:
        """Whether any address is in the set."""
        return self._bounds != EMPTY

    def __or__(self, other: CidrSet) -> CidrSet:
        return self._combined(other, _intervals.union)

    def __and__(self, other: CidrSet) -> CidrSet:
        return self._combined(other, _intervals.intersection)

    def __sub__(self, other: CidrSet) -> CidrSet:
        return self._combined(other, _intervals.difference)

    def __xor__(self, other: CidrSet) -> CidrSet:
        return self._combined(other, _intervals.symmetric_difference)

    def _combined(self, other: object, operation: Callable[[Bounds, Bounds], Bounds]) -> CidrSet:
        if not isinstance(other, CidrSet):
            return cast("CidrSet", NotImplemented)
        return CidrSet.from_bounds(operation(self._bounds, other._bounds))

    def __le__(self, other: CidrSet) -> bool:
        """Whether every address of this set is in the other."""
        if not isinstance(cast("object", other), CidrSet):
            return NotImplemented
        return _intervals.difference(self._bounds, other._bounds) == EMPTY

    def __lt__(self, other: CidrSet) -> bool:
        if not isinstance(cast("object", other), CidrSet):
            return NotImplemented
        return self <= other and self != other

    def __eq__(self, other: object) -> bool:
        return self._bounds == other._bounds if isinstance(other, CidrSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bounds)

    def __repr__(self) -> str:
        return f"CidrSet({self.to_list()})"


def read_cidr_set(blocks: object, report: Callable[[int | None, Malformed], None]) -> CidrSet:
    """The set that a list of blocks stands for, without those that were reported.

    `report` is called with the index of each block that is wrong and with what is wrong, or with
    `None` if `blocks` is no list at all.
    """
    if isinstance(blocks, CidrSet):
        return blocks
    read: list[_Written] = []
    if not isinstance(blocks, list | tuple | AbstractSet | Iterator):
        single = isinstance(blocks, str | IPv4Address | IPv6Address | IPv4Network | IPv6Network)
        hint = "put it in a list" if single else None
        report(None, Malformed("a list of CIDR blocks", described(blocks), hint))
        return CidrSet.from_bounds(EMPTY)
    for index, block in enumerate(cast("Iterable[object]", blocks)):
        try:
            read.append(_Written(_parse_block(block), block))
        except Malformed as malformed:
            report(index, malformed)
    if len(read) == 1:  # as most lists are
        return CidrSet.from_bounds(_intervals.from_ranges(read[0].ranges))
    ranges = [one for written in read for one in written.ranges]
    bounds = _intervals.from_ranges(ranges)
    if sum(end - start for start, end in ranges) == sum(bounds[1::2]) - sum(bounds[::2]):
        return CidrSet.from_bounds(bounds)  # nothing is in it twice
    return CidrSet.from_bounds(bounds, tuple(islice(_nested(read), _SHOWN_NESTED)))


class _Written(NamedTuple):
    """A block as ranges on the line of addresses, and as it was given."""

    ranges: list[tuple[int, int]]
    block: object

    def is_within(self, other: _Written) -> bool:
        """Whether the other has all addresses of this one."""
        return all(
            any(low <= start and end <= high for low, high in other.ranges)
            for start, end in self.ranges
        )


def _nested(blocks: Iterable[_Written]) -> Iterator[tuple[str, str]]:
    """The blocks that are within another of them, each with the largest one that it is in.

    Blocks are within one another or apart, so the ones around a block are those that have begun
    before it and have not ended.
    """
    around: list[_Written] = []
    for written in sorted(blocks, key=lambda one: (one.ranges[0][0], -one.ranges[-1][1])):
        around = [one for one in around if one.ranges[-1][1] > written.ranges[0][0]]
        outer = next(filter(written.is_within, around), None)
        if outer is None:
            around.append(written)
        else:
            yield str(written.block), str(outer.block)


def _index_path(index: int | None) -> str:
    return "" if index is None else f"[{index}]"


def block_text(block: IPNetwork) -> str:
    """A block as a configuration writes it: a single address has no length."""
    return str(block.network_address if block.num_addresses == 1 else block)


_IPV4: Final = (IPV4_START, IPV4_END)


def _ipv4_blocks(bounds: Bounds) -> Iterator[IPv4Network]:
    """The blocks of a set of IPv4 addresses."""
    for start, size in _intervals.aligned_blocks(bounds):
        yield IPv4Network((start - IPV4_START, _IPV4_BITS - size.bit_length() + 1))


def _ipv6_blocks(bridged: Bounds) -> Iterator[IPv6Network]:
    """The blocks of a set of IPv6 addresses with IPv4 filled in."""
    for start, size in _intervals.aligned_blocks(bridged):
        block = _without_bridge_at_the_end(start, size)
        if block is not None:
            yield IPv6Network((block[0], _IPV6_BITS - block[1].bit_length() + 1))


def _without_bridge_at_the_end(start: int, size: int) -> tuple[int, int] | None:
    """An IPv6 block that was made with IPv4 filled in, or what is left of it without.

    The bridge is worth showing only in the middle of a block. As one of its two halves it is cut
    off again; as the whole block there is nothing to show.
    """
    ipv4_size = IPV4_END - IPV4_START
    if (start, size) == (IPV4_START, ipv4_size):
        return None
    if size == 2 * ipv4_size and start <= IPV4_START < start + size:
        return start, ipv4_size  # IPV4_START is odd among blocks of its size: the second half
    return start, size


def _parse_block(block: object) -> list[tuple[int, int]]:
    """The ranges of one block on the line of addresses (rules 1.3 and 3.1).

    Raises `Malformed` for anything but `ip`, `ip/length` with no bit set beyond the length, `any`.
    """
    if isinstance(block, str):
        text = str.__str__(block)
    elif isinstance(block, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        text = str(block)
    else:
        raise Malformed(_A_BLOCK, described(block))
    if text == _ANY:
        return [(0, LINE_END)]
    ip, slash, length = text.partition("/")
    address = None if "%" in ip else parse_address(ip)
    bits = _IPV6_BITS if ":" in ip else _IPV4_BITS
    if address is None or (slash and not (_LENGTH.fullmatch(length) and int(length) <= bits)):
        raise Malformed(_A_BLOCK, quoted(text), _nearest_block(text))
    size = 1 << (bits - int(length)) if slash else 1
    start = address & -size  # IPV4_START is a multiple of 2**32, so this is right for both
    if start != address:
        meant = ip if length == "0" else text
        raise Malformed(
            f"a CIDR block with no bit set beyond its length, {length}",
            quoted(text),
            f"did you mean {quoted(_block_of(meant))}?",
        )
    end = start + size
    if start >= IPV4_START and end <= IPV4_END:
        return [(start, end)]
    return [
        (low, high)
        for low, high in ((start, min(end, IPV4_START)), (max(start, IPV4_END), end))
        if low < high
    ]


def _nearest_block(text: str) -> str | None:
    """What was probably meant by a text that is no CIDR block, as a question.

    It is tried whether the text becomes a block once it is forgiven what rule 3.1 does not
    forgive: case, spaces, signs, leading zeros, zones, short forms, netmasks and host masks. Of a
    long text nobody could say what was meant.
    """
    if len(text) > _LONGEST_SLIP:
        return None
    forgiven = re.sub(r"\s+", "", text).lower()
    forgiven = re.sub(r"%[^/]*", "", forgiven)
    forgiven = re.sub(r"(?<![0-9a-f])[+]?0+(?=[0-9])|[+]", "", forgiven)
    short = _SHORT_FORM.match(forgiven)
    if short:
        missing = ".0" * (3 - short.group().count("."))
        forgiven = short.group() + missing + forgiven[short.end() :]
    if forgiven in ("*", "all", _ANY):
        return f"did you mean `{_ANY}`?"
    try:
        return f"did you mean {quoted(_block_of(forgiven))}?"
    except ValueError:
        return None


def _block_of(text: str) -> str:
    """The block that an address with a length or a mask is in. Raises `ValueError` without one."""
    return CidrSet([ip_network(text, strict=False)]).to_list()[0]
