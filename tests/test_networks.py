"""`CidrSet`: a Boolean algebra of addresses, and the blocks that show it."""

import copy
import operator
import pickle
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import calls_made, untyped

from listener_policy import CidrSet, ConfigError, RequestError, strategies
from listener_policy.addresses import Peer

IPV6_GAP = IPv6Network("::ffff:0:0/96")
UNIVERSE = [
    *(ip_address(f"10.0.0.{last}") for last in range(16)),
    *(ip_address(f"2001:db8::{last:x}") for last in range(16)),
    # both edges of the gap that is IPv4's, and of the blocks that may bridge it
    *map(ip_address, ("0.0.0.0", "255.255.255.255", "::", "::fffe:ffff:ffff", "::1:0:0:0")),
    *map(ip_address, ("::fffe:0:0", "::fffd:ffff:ffff", "ffff:" * 7 + "ffff")),
]
BLOCKS = [
    *(
        f"10.0.0.{start}/{length}"
        for length in (28, 29, 30, 31, 32)
        for start in range(0, 16, 2 ** (32 - length))
    ),
    *(
        f"2001:db8::{start:x}/{length}"
        for length in (124, 126, 127, 128)
        for start in range(0, 16, 2 ** (128 - length))
    ),
    *("any", "0.0.0.0/0", "::/0", "::/1", "8000::/1", "::/95", "::fffe:0:0/95", "::fffe:0:0/96"),
    *("::/80", "::1:0:0:0/80", "::ffff:0:0/97", "128.0.0.0/1", "::ffff:10.0.0.0/124"),
]

sets = st.lists(st.sampled_from(BLOCKS), max_size=6).map(CidrSet)


def members(blocks: CidrSet) -> set[object]:
    return {address for address in UNIVERSE if address in blocks}


def covered(block: IPv4Network | IPv6Network) -> CidrSet:
    return CidrSet([block])


@given(sets, sets)
def test_operators_are_those_of_sets(a: CidrSet, b: CidrSet) -> None:
    assert members(a | b) == members(a) | members(b)
    assert members(a & b) == members(a) & members(b)
    assert members(a - b) == members(a) - members(b)
    assert members(a ^ b) == members(a) ^ members(b)
    assert (a <= b) is (a | b == b)
    assert (a >= b) is (b <= a)
    assert (a < b) is (a <= b and a != b)
    assert bool(a) is (a != CidrSet())


@given(sets, sets, sets)
def test_laws_of_a_boolean_algebra(a: CidrSet, b: CidrSet, c: CidrSet) -> None:
    everything = CidrSet(["any"])
    assert a | b == b | a
    assert a & b == b & a
    assert a | (b & c) == (a | b) & (a | c)
    assert a & (b | c) == (a & b) | (a & c)
    assert everything - (a | b) == (everything - a) & (everything - b)
    assert everything - (everything - a) == a
    assert a - b == a & (everything - b)
    assert a ^ b == (a - b) | (b - a)
    assert (a == b) is (not (a ^ b))
    assert hash(a | b) == hash(b | a)


@given(sets)
def test_blocks_say_what_the_set_is(a: CidrSet) -> None:
    blocks = list(a)
    assert CidrSet(blocks) == a
    assert CidrSet(a.to_list()) == a
    assert blocks == sorted(blocks, key=lambda block: (block.version, block.network_address))
    for position, block in enumerate(blocks):
        for other in blocks[:position]:
            assert not covered(block) & covered(other)


@given(sets)
def test_no_block_could_be_larger_or_left_out(a: CidrSet) -> None:
    for block in a:
        assert covered(block)  # a block inside the gap would be no IPv6 block at all
        if block.prefixlen and block not in (IPV6_GAP.supernet(), *IPV6_GAP.supernet().subnets()):
            assert not covered(block.supernet()) <= a


@given(sets)
def test_the_block_of_an_address_is_the_one_that_is_shown(a: CidrSet) -> None:
    for address in UNIVERSE:
        shown = [block for block in a if address in covered(block)]
        assert [a.block_of(address)] == (shown if address in a else [None])


@given(st.lists(strategies.cidr_blocks(), max_size=6), strategies.peers())
def test_the_block_of_any_peer_is_one_that_is_shown(blocks: list[str], peer: Peer) -> None:
    a = CidrSet(blocks)
    block = a.block_of(peer)
    assert (block is None) is (peer not in a)
    assert block is None or (peer in covered(block) and block in list(a))


def test_a_block_is_found_without_looking_at_the_others() -> None:
    few, many = (CidrSet([f"10.{n // 256}.{n % 256}.0/25" for n in range(k)]) for k in (9, 9000))
    assert few.block_of("10.0.7.1") == many.block_of("10.0.7.1") == IPv4Network("10.0.7.0/25")
    costs = [calls_made(partial(blocks.block_of, "10.0.7.1")) for blocks in (few, many)]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("peer", [None, "", "10.0.0.0/8", 5])
def test_what_is_no_address_is_in_no_block_either(peer: object) -> None:
    with pytest.raises(RequestError):
        CidrSet().block_of(untyped(peer))


def test_a_block_is_not_widened_by_the_gap() -> None:
    assert CidrSet(["::fffe:0:0/96"]).to_list() == ["::fffe:0:0/96"]
    assert CidrSet(["::fffc:0:0/94"]).to_list() == ["::fffc:0:0/94"]


def test_ipv6_is_shown_whole_although_ipv4_lies_within() -> None:
    assert list(CidrSet(["::/0"])) == [IPv6Network("::/0")]
    assert list(CidrSet(["any"])) == [IPv4Network("0.0.0.0/0"), IPv6Network("::/0")]
    assert len(list(CidrSet(["::/0"]) - CidrSet(["2001:db8::/32"]))) == 32


@pytest.mark.parametrize(
    ("blocks", "shown"),
    [
        ([], "CidrSet([])"),
        (["any"], "CidrSet(['any'])"),
        (["::1", "127.0.0.1"], "CidrSet(['127.0.0.1', '::1'])"),
        (["10.0.0.0/9", "10.128.0.0/9", "::/0"], "CidrSet(['10.0.0.0/8', '::/0'])"),
    ],
)
def test_it_is_shown_as_it_can_be_written(blocks: list[str], shown: str) -> None:
    made = CidrSet(blocks)
    assert repr(made) == shown
    assert eval(shown, {"CidrSet": CidrSet}) == made


def test_it_takes_objects_of_ipaddress() -> None:
    made = CidrSet([IPv4Network("10.0.0.0/8"), IPv6Address("::1"), IPv4Address("192.0.2.1")])
    assert made == CidrSet.parse(["10.0.0.0/8", "::1", "192.0.2.1"])
    assert CidrSet(iter(made)) == made
    assert CidrSet(made) == made


def test_membership_takes_what_a_peer_may_be() -> None:
    made = CidrSet(["10.0.0.0/8"])
    assert "10.1.2.3" in made
    assert ("::ffff:10.1.2.3", 25, 0, 0) in made
    assert "11.1.2.3" not in made
    for other in ("10.0.0.0/8", 10, None):
        with pytest.raises(RequestError):
            operator.contains(cast("Any", made), other)


def test_all_wrong_blocks_are_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        CidrSet(cast("Any", ["10.0.0.0/8", "x", None, "::1/64"]))
    assert [problem.path for problem in caught.value.problems] == ["[1]", "[2]", "[3]"]
    assert {problem.document for problem in caught.value.problems} == {None}


@pytest.mark.parametrize("blocks", ["10.0.0.0/8", b"10.0.0.0/8", None, 10, {"10.0.0.0/8": 1}])
def test_what_is_no_list_of_blocks(blocks: object) -> None:
    with pytest.raises(ConfigError, match="expected a list of CIDR blocks"):
        CidrSet(cast("Any", blocks))


@pytest.mark.parametrize("name", ["or_", "and_", "sub", "xor", "le", "lt"])
@pytest.mark.parametrize("other", [["10.0.0.0/8"], "any", None, 1])
def test_operators_take_no_other_type(name: str, other: object) -> None:
    operation: Callable[[object, object], object] = getattr(operator, name)
    with pytest.raises(TypeError):
        operation(CidrSet(["any"]), other)


def test_it_equals_no_other_type() -> None:
    assert CidrSet() != []
    assert CidrSet(["10.0.0.0/8"]) != IPv4Network("10.0.0.0/8")


def test_it_is_immutable_and_can_be_copied() -> None:
    made = CidrSet(["10.0.0.0/8", "::1"])
    with pytest.raises(AttributeError):
        cast("Any", made).bounds = ()
    with pytest.raises(AttributeError):
        cast("Any", made).other = 1
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made


@given(blocks=st.lists(st.sampled_from(BLOCKS), max_size=6))
def test_3_1_blocks_within_others_are_remembered_as_they_were_written(blocks: list[str]) -> None:
    made = CidrSet(blocks)
    assert all(inner in blocks and outer in blocks for inner, outer in made.nested)
    assert all(CidrSet([inner]) <= CidrSet([outer]) for inner, outer in made.nested)
    without = [block for block in blocks if block not in {inner for inner, _ in made.nested}]
    assert not CidrSet(without).nested
    kept = {outer for _, outer in made.nested}
    assert CidrSet([*without, *kept]) == made
    assert pickle.loads(pickle.dumps(made)).nested == made.nested
    assert (made | made).nested == ()
    for block in set(blocks):
        others = list(blocks)
        others.remove(block)
        if any(CidrSet([block]) <= CidrSet([other]) for other in others):
            assert made.nested


@pytest.mark.parametrize("block", ["10.0.0.0/8", "any"])
def test_many_blocks_within_one_cost_no_more_than_as_many_apart(block: str) -> None:
    within = [f"10.{number // 256}.{number % 256}.0/24" for number in range(2000)]
    apart = calls_made(lambda: CidrSet(within))
    assert calls_made(lambda: CidrSet([*within, block])) < 2 * apart
    assert calls_made(lambda: CidrSet([block] * 2000)) < 2 * apart
    assert len(CidrSet([*within, block]).nested) == 8
