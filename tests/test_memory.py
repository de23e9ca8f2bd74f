"""What is remembered about names, and that nobody can tell (rule 5.2)."""

import copy
import gc
import pickle
import random
import sys
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import product
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import DIALECTS, SIZES, as_if, calls, esmtp, untyped

from listener_policy import CidrSet, Connection, Dialect, HookPolicy, Policy, RequestError
from listener_policy._memory import (
    FEW,
    LONGEST_KEY,
    RAREST,
    ROOM_FOR_DOMAINS,
    ROOM_FOR_LISTENERS,
    Known,
    Memory,
)
from listener_policy.addresses import (
    IPV4_MAPPED,
    LENIENT,
    Peer,
    ipv4_bounds,
    octet_bounds,
    parse_address,
    peer_address,
    strict,
)
from listener_policy.listeners import Listener

TOML: Final = """
["*"]
log_oob = true
["*.example.com"]
relay_to = true
[listener.mx."a.example.com"]
relay_from = ["10.0.0.0/8"]
"""
PEER: Final = "10.0.0.7"


def test_a_memory_is_bounded_and_finds_what_it_was_given() -> None:
    memory = Memory[str, int](3)
    known = memory.known({})
    for number in range(100):
        memory.remember(known, str(number), number)
        assert known.by_name[str(number)] == number
        assert len(known.by_name) == number % 3 + 1


def test_places_share_the_room_of_a_memory() -> None:
    memory = Memory[int, int](30)
    busiest, *others = everywhere = [memory.known({}) for _ in range(20)]
    kept: list[int] = []
    for number in range(1000):
        memory.remember(busiest, number, number)
        if number % 10 == 0:
            memory.remember(others[number % 19], number, number)
        kept.append(sum(len(known.by_name) for known in everywhere))
    assert max(kept) == 30
    assert max(len(known.by_name) for known in others) <= 3
    assert len(busiest.by_name) > 15


def test_what_is_always_known_is_never_forgotten() -> None:
    always = {"a": 1, "b": 2}
    memory = Memory[str, int](5)
    known = memory.known(always)
    kept: list[int] = []
    for number in range(100):
        memory.remember(known, str(number), number)
        assert always.items() <= known.by_name.items()
        kept.append(len(known.by_name))
    assert max(kept) == len(always) + 5
    assert min(kept) == len(always) + 1
    # without room for anything else it is no trouble
    memory = Memory[str, int](0)
    known = memory.known(always)
    for number in range(3):
        memory.remember(known, str(number), number)
        assert known.by_name == {**always, str(number): number}


def test_threads_may_remember_at_once() -> None:
    memory = Memory[int, int](200)
    everywhere = [memory.known({-1: -1}) for _ in range(4)]

    def is_right_at(known: Known[int, int]) -> bool:
        for number in range(20_000):
            memory.remember(known, number, number)
            # another thread may have forgotten it meanwhile
            if known.by_name.get(number, number) != number or known.by_name[-1] != -1:
                return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(is_right_at, everywhere))
    finally:
        sys.setswitchinterval(interval)
    assert sum(len(known.by_name) - 1 for known in everywhere) <= 200


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("room", [4, 36, 4_000])
def test_exact_names_need_not_be_looked_for_if_they_are_few(
    room: int, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener_policy.rules.ROOM_FOR_DOMAINS", room)
    names = [f"n{number}.test" for number in range(10)]
    toml = "".join(f'["{name}"]\nrelay_to = true\n' for name in [*names, "*.example.com"])
    policy = Policy.from_toml(f'{toml}[listener.mx."*.test"]\n', dialect=dialect)
    for listener, name in product(("mx", "mx2"), names):
        policy.decide(listener, PEER, "")
        seen = calls(partial(policy.decide, listener, PEER, name))
        assert ("Governing.search" in seen) is (room < 4_000)
        governs = ("mx", "*.test") if listener == "mx" else ("*", name)
        assert policy.decide(listener, PEER, name).entry == governs


def test_the_more_is_known_the_more_is_passed_over() -> None:
    memory = Memory[int, None](2**20)
    known = memory.known({})
    passed_over = [memory.remember(known, number, None) for number in range(20 * FEW)]
    assert passed_over[: FEW - 1] == [0] * (FEW - 1)
    assert passed_over == sorted(passed_over)
    # senders and recipients take turns: what is passed over must not be always the same ones
    assert set(passed_over) == set(range(0, RAREST + 1, 2))
    assert memory.remember(known, 0, None) == RAREST


@pytest.mark.parametrize("known", [0, 100, 10_000])
def test_what_is_asked_about_often_is_soon_remembered(
    known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener_policy._memory.FEW", 16)
    policy = Policy.from_toml('["*"]')
    for number in range(known):
        policy.decide("mx", PEER, f"n{number}.test")
    for _ in range(2 * (RAREST + 1)):
        policy.decide_rcpt("mx", PEER, "a@often.test", "b@rather.test")
    often = calls(lambda: policy.decide_rcpt("mx", PEER, "a@often.test", "b@rather.test"))
    assert "Governing.search" not in often
    assert "Governing.search" in calls(lambda: policy.decide("mx", PEER, "never.test"))


def test_a_policy_of_many_listeners_remembers_where_it_is_asked() -> None:
    listeners = [
        f"10.1.{number >> 8}.{number & 255}:25" for number in range(2 * ROOM_FOR_LISTENERS)
    ]
    table = {"a.example.org": {}, "*.example.org": {"relay_to": True}}
    policy = Policy.from_mapping({"listener": dict.fromkeys(listeners, table)})
    assert ROOM_FOR_DOMAINS // len(listeners) < FEW  # fewer than one of them will need
    names = [f"n{number}.example.com" for number in range(FEW)]
    for name in names:
        policy.decide(listeners[7], PEER, name)
    for name in names:
        assert "Governing.search" not in calls(partial(policy.decide, listeners[7], PEER, name))
    # those that the policy names need not be understood anew, however many they are
    for listener in listeners:
        host, _, port = listener.partition(":")
        policy.decide((host, int(port)), PEER, "a.example.org")
    for listener in listeners:
        host, _, port = listener.partition(":")
        for form in (listener, (host, int(port))):
            asked = partial(policy.decide, form, PEER, "b.example.org")
            assert "canonical_listener" not in calls(asked)
            assert asked().entry == (listener, "*.example.org")


def ask_about_new_names(policy: Policy, start: int, end: int) -> None:
    for n in (n for n in range(start, end) for _ in range(RAREST + 1)):
        policy.decide("mx", PEER, f"name{n}.example.com")
        policy.decide_rcpt(f"l{n}", PEER, f"a@s{n}.example.net", f"b@R{n}.example.org.")
        policy.decide(("10.1.2.3", n % 60_000), PEER, f"no name {n}")


def test_5_2_however_many_names_are_asked_about_no_more_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("listener_policy.rules.ROOM_FOR_DOMAINS", 600)
    monkeypatch.setattr("listener_policy.listeners.ROOM_FOR_LISTENERS", 100)
    policy = Policy.from_toml(TOML)
    blocks: list[int] = []
    for start in range(0, 12_000, 100):
        ask_about_new_names(policy, start, start + 100)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    # each name that is kept is a block of memory: 120 times 400 of them were asked about
    assert max(blocks[60:]) - max(blocks[20:60]) < 1_500


@pytest.mark.parametrize("always", [1, 10, 1_000, ROOM_FOR_DOMAINS // 2])
def test_5_2_what_is_kept_fits_into_the_bytes_that_are_promised(always: int) -> None:
    key = "x" * LONGEST_KEY
    assert 100 < sys.getsizeof(key) <= 112  # the most is CPython 3.11's
    memory = Memory[str, None](ROOM_FOR_DOMAINS)
    known = memory.known(dict.fromkeys(map(str, range(always))))
    empty = sys.getsizeof(known.by_name)
    for number in range(1, ROOM_FOR_DOMAINS + 1):
        memory.remember(known, f"n{number}", None)
        assert sys.getsizeof(known.by_name) <= 120 + 40 * (always + number)
    promised = 112 * ROOM_FOR_DOMAINS + 40 * (always + ROOM_FOR_DOMAINS) - empty
    assert 1_000_000 < promised < 1_400_000
    assert (112 + 56 + 32 + 64) * 2 * ROOM_FOR_LISTENERS < 600_000
    # a table that was emptied would stay as large as it was, at each place where it was filled
    memory.remember(known, "one more", None)
    assert sys.getsizeof(known.by_name) <= 200 + 40 * 2 * always


@pytest.mark.parametrize("dialect", DIALECTS)
def test_5_2_no_spelling_of_a_name_gets_the_answer_of_another(dialect: Dialect) -> None:
    names = ["example.com", "a.example.com", "A.Example.com", "a.example.com.", "com", "", "."]
    names += ["\uff41.example.com", "a.example.com..", "a.example.com>", "<a.example.com", "*"]
    names += ["a" * 64, f"{'a' * 50}.example.com", f"{'a' * 51}.{'b' * 13}", "x_-y", "[10.0.0.1]"]
    old = Policy.from_toml(TOML, dialect=dialect)
    listeners: tuple[Listener, ...] = (
        "mx",
        "MX",
        "10.1.2.3:25",
        ("10.1.2.3", 25),
        ("10.1.2.3", 25, 0, 0),
    )
    order = random.Random(5)
    for _ in range(4):
        order.shuffle(names)
        for listener, name in product(listeners, names):
            new = Policy.from_toml(TOML, dialect=dialect)
            assert old.decide(listener, PEER, name) == new.decide(listener, PEER, name)
            for address in (
                name,
                f"a@{name}",
                f"<a@{name}>",
                f"<{name}>",
                f"a@{name}>",
                f"<@{name}",
            ):
                asked = (listener, PEER, address, "b@b.example.com")
                assert old.decide_rcpt(*asked) == new.decide_rcpt(*asked), address
                asked = (listener, PEER, "b@b.example.com", address)
                assert old.decide_rcpt(*asked) == new.decide_rcpt(*asked), address


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_1_4_every_spelling_of_a_name_is_decided_alike_in_however_large_a_policy(
    dialect: Dialect, size: str
) -> None:
    with as_if(size):
        policy = Policy.from_toml(
            f'{TOML}["b.org"]\n["xn--bcher-kva.example.com"]\n', dialect=dialect
        )
    for name in ("b.org", "a.example.com", "c.example.com", "xn--bcher-kva.example.com", "c.org"):
        for listener in ("mx", "mx2"):
            entry = policy.decide(listener, PEER, name).entry
            spelled = [name.upper(), f"{name}.", f"{name.title()}.", name.replace("o", "\uff4f")]
            spelled += [name.replace("xn--bcher-kva", "B\u00fccher")]
            for spelling in spelled * 2:
                assert policy.decide(listener, PEER, spelling).entry == entry, spelling
                half = policy.decide_rcpt(listener, PEER, f"a@{spelling}", "").sender
                assert half.entry == entry, spelling


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [62, 63, 64, 253])
def test_1_7_a_long_domain_is_decided_about_as_any(length: int, size: str) -> None:
    with as_if(size):
        policy = Policy.from_toml(TOML)
    name = "x." * 200 + "example.com"
    name = name[-length:] if name[-length] == "x" else f"xx{name[2 - length :]}"
    assert len(name) == length
    assert policy.decide("mx2", PEER, name).entry == ("*", "*.example.com")
    sender, recipient = f"a@{name}", f"b@{name}"
    answer = policy.decide_rcpt("mx2", PEER, sender, recipient)
    assert answer == policy.connection("mx2", PEER).decide_rcpt(sender, recipient)
    assert answer.sender.entry == answer.recipient.entry == ("*", "*.example.com")


def test_5_2_keys_are_short_and_ascii_and_no_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = 40
    monkeypatch.setattr("listener_policy.rules.ROOM_FOR_DOMAINS", room)
    names = "".join(f'["n{number}.org"]\n' for number in range(room))
    for toml in (TOML, TOML + names):
        policy = Policy.from_toml(toml)
        for number in range(50 * RAREST):
            for name in ("b\u00fccher.org", "x.org", f"{'x' * 60}.org", "B.ORG", f"n{number}.net"):
                policy.decide(("mx", "mx2")[number % 2], PEER, name)
        for listener in ("b\u00fccher", "x" * (LONGEST_KEY + 1), "x" * LONGEST_KEY):
            policy.decide(listener, PEER, "a.com")
        by_text = policy._rules.known  # pyright: ignore[reportPrivateUsage]
        assert set(by_text.by_name) == {"mx", "mx2", "x" * LONGEST_KEY}
        for listener in ("mx", "mx2"):
            rules = policy._rulebook.of(listener)  # pyright: ignore[reportPrivateUsage]
            known = rules.domains.known.by_name
            assert 1 < len(known) <= room // 2
            assert all(name.isascii() and len(name) <= LONGEST_KEY for name in known)


@pytest.mark.parametrize("port", [0, 1, 2, 9, 10, 25, 10_000, 59_999, 65_535])
def test_1_1_every_port_is_one(port: int) -> None:
    policy = Policy.from_mapping({"listener": {f"10.1.2.3:{port}": {"a.com": {"relay_to": True}}}})
    for listener in (f"10.1.2.3:{port}", ("10.1.2.3", port)):
        for peer in (f"{PEER}:{port}", (PEER, port), f"[::1]:{port}", ("::1", port, 0, 0)):
            assert policy.decide(listener, peer, "a.com").relay_to


@pytest.mark.parametrize(
    "port",
    ["00", "01", "025", "65536", "100000", "+1", "-1", " 1", "1 ", "1_0", "\uff11", "\u00b2"],
)
def test_1_1_no_other_port_is_one(port: str) -> None:
    policy = Policy.from_toml(TOML)
    for peer in (f"{PEER}:{port}", f"[::1]:{port}"):
        with pytest.raises(RequestError, match=r"^peer: "):
            policy.decide("mx", peer, "a.com")
        with pytest.raises(RequestError, match=r"^listener: "):
            policy.decide(peer, PEER, "a.com")


@pytest.mark.parametrize("listener", [{}, [], None, 25])
def test_1_1_what_is_no_listener_is_refused_by_every_policy(listener: object) -> None:
    for policy in (Policy.from_toml(TOML), HookPolicy(no_entry)):
        for _ in range(2):
            with pytest.raises(RequestError, match=r"^listener: "):
                policy.connection(untyped(listener), PEER)


@pytest.mark.parametrize("port", [25.0, True, "25", None, b"25"])
def test_1_1_a_port_that_equals_a_remembered_one_is_refused_all_the_same(port: object) -> None:
    policy = Policy.from_toml(TOML)
    for right in (25, 1):
        policy.decide(("10.1.2.3", right), (PEER, right), "a.com")
    for rest in ((), (0, 0)):
        with pytest.raises(RequestError, match="listener"):
            policy.decide(untyped(("10.1.2.3", port, *rest)), PEER, "a.com")
        with pytest.raises(RequestError, match="peer"):
            policy.decide("mx", untyped((PEER, port, *rest)), "a.com")


def test_1_1_a_text_that_equals_everything_is_what_it_says() -> None:
    class Sly(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("x.example.com")

    policy = Policy.from_toml(TOML)
    policy.decide("x.example.com", PEER, "x.example.com")
    assert policy.decide("mx", PEER, Sly("b.org")) == policy.decide("mx", PEER, "b.org")
    answer = policy.decide_rcpt("mx", PEER, Sly("a@b.org"), Sly("a@b.org"))
    assert answer == policy.decide_rcpt("mx", PEER, "a@b.org", "a@b.org")
    assert policy.decide(Sly("mx"), Sly("::1"), "a.example.com").entry == ("mx", "a.example.com")
    asked = policy.decide((Sly("10.1.2.3"), 25), (Sly("::1"), 25), "x.example.com")
    assert asked == policy.decide("10.1.2.3:25", "::1", "x.example.com")


def test_5_1_what_is_remembered_is_no_part_of_a_policy() -> None:
    asked, silent = Policy.from_toml(TOML), Policy.from_toml(TOML)
    ask_about_new_names(asked, 0, 1_000)
    assert asked == silent
    assert hash(asked) == hash(silent)
    assert pickle.dumps(asked) == pickle.dumps(silent)
    assert repr(asked) == repr(silent)
    for clone in (copy.copy(asked), copy.deepcopy(asked), pickle.loads(pickle.dumps(asked))):
        assert clone == silent


def no_entry(_domain: str, _listener: str, _connection: Connection) -> None:
    """A hook that knows nothing."""


def test_a_hooks_policy_remembers_listeners_and_nobody_can_tell() -> None:
    asked, silent = (HookPolicy(no_entry, listeners=[esmtp("mx", ["10.0.0.9"])]) for _ in range(2))
    for listener in ("mx", ("10.1.2.3", 25), "10.1.2.3:25") * 2:
        expected = listener == "mx"
        assert asked.connection(listener, "10.0.0.9").in_relay_hosts is expected
    assert "canonical_listener" not in calls(lambda: asked.connection("mx", PEER))
    assert pickle.dumps(asked) == pickle.dumps(silent)
    for clone in (copy.copy(asked), copy.deepcopy(asked), pickle.loads(pickle.dumps(asked))):
        assert clone.decide("mx", "10.0.0.9", "a.com").relay_hosts
        assert not clone.decide("mx2", "10.0.0.9", "a.com").relay_hosts


def test_nothing_keeps_a_policy_that_was_dropped() -> None:
    def make_and_drop() -> int:
        for _ in range(50):
            policy = Policy.from_toml(TOML, listeners=[esmtp("mx", ["10.0.0.9"])])
            ask_about_new_names(policy, 0, 20)
            del policy
        return sys.getallocatedblocks()

    gc.collect()
    gc.disable()  # dropping must be enough: what is remembered refers to no policy
    try:
        first, second, third = (make_and_drop() for _ in range(3))
        assert min(second - first, third - second) < 500  # 50 times 60 names, if they were kept
    finally:
        gc.enable()


# Addresses: the platform reads them, `ipaddress` is right


def by_ipaddress(text: str) -> int | None:
    """What rule 1.1 has always meant."""
    try:
        return int(IPv6Address(text)) if ":" in text else int(IPv4Address(text)) + 0xFFFF_0000_0000
    except AddressValueError:
        return None


def same(text: str) -> None:
    expected = by_ipaddress(text)
    assert parse_address(text) == expected, ascii(text)
    if expected is not None:
        assert peer_address(text) == peer_address((text, 0)) == expected, ascii(text)


@pytest.mark.parametrize("length", range(6))
def test_1_1_all_short_texts_are_read_as_ipaddress_reads_them(length: int) -> None:
    for characters in product("01:.f%", repeat=length):
        same("".join(characters))


ADDRESSES: Final = (
    *("10.0.0.7", "255.255.255.255", "2001:db8::7", "::ffff:10.0.0.7", "1:2:3:4:5:6:7:8"),
    *("1:2:3:4:5:6:1.2.3.4", "fe80::1%eth0", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "abcd:EF01::"),
)
_edits = st.tuples(
    st.integers(0, 20), st.integers(0, 2), st.sampled_from("0159afAF:.%/x \0\n\uff11\ud800")
)


@given(st.sampled_from(ADDRESSES), st.lists(_edits))
@example("10.0.0.7", [(8, 0, "\0")])
def test_1_1_texts_that_are_nearly_addresses_are_read_as_ipaddress_reads_them(
    text: str, edits: list[tuple[int, int, str]]
) -> None:
    for place, removed, added in edits:
        text = text[:place] + added + text[place + removed :]
    same(text)


def test_1_1_a_lenient_platform_is_not_asked() -> None:
    assert strict(inet_pton) is inet_pton

    def lenient(family: int, text: str) -> bytes:
        """As some do: leading zeros are forgiven."""
        parts = [part.lstrip("0") or "0" for part in text.split(".")]
        return inet_pton(family, ".".join(parts) if family == AF_INET else text)

    refuse = strict(lenient)
    assert refuse is not lenient
    with pytest.raises(OSError, match=r"^$"):
        refuse(AF_INET, "10.0.0.7")


@pytest.mark.parametrize("forgiven", LENIENT, ids=ascii)
def test_1_1_whatever_a_platform_forgives_it_is_found_out(forgiven: str) -> None:
    def lenient(family: int, text: str) -> bytes:
        assert family == (AF_INET6 if ":" in text else AF_INET)
        return bytes(4) if text == forgiven else inet_pton(family, text)

    assert strict(lenient) is not lenient


def test_1_1_without_the_platform_all_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = ("10.0.0.7", "10.0.0.7:25", "[::1]:25", "::ffff:10.0.0.7", "fe80::1%eth0", "::")
    expected = [peer_address(peer) for peer in peers]
    assert parse_address("010.0.0.7") is None

    def refuse(_family: int, _text: str) -> bytes:
        raise OSError

    monkeypatch.setattr("listener_policy.addresses.strict_inet_pton", refuse)
    assert [peer_address(peer) for peer in peers] == expected
    assert parse_address("010.0.0.7") is None


ENVELOPES: Final = (
    *(("a@b.org", "b@x.example.com"), ("", "<b@a.example.com>"), ("<a@b.org>", "b@B.ORG")),
    *(("a@", "postmaster"), ("no address", "@"), ("a@" + "b" * 400, "b@" + "c." * 35 + "org")),
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "peer", [*ADDRESSES, "10.0.0.7:25", "[::1]:25", ("10.0.0.7", 25), IPv4Address("10.0.0.7")]
)
def test_4_3_at_once_or_by_connection_the_answer_is_the_same(peer: Peer, dialect: Dialect) -> None:
    hosts = ["10.0.0.0/8", "fe80::/10", "::1"]
    policy = Policy.from_toml(TOML, relay_hosts=hosts, dialect=dialect)
    for sender, recipient in ENVELOPES * 2:
        connection = policy.connection("mx", peer, "ann")
        by_connection = connection.decide_rcpt(sender, recipient)
        assert policy.decide_rcpt("mx", peer, sender, recipient, "ann") == by_connection
        domain = recipient.rpartition("@")[2]
        assert policy.decide("mx", peer, domain, "ann") == connection.decide(domain)


@pytest.mark.parametrize(
    "peer", ["", "10.0.0.256", "10.0.7", "::g", "::1\0", "\ud800", None, b"::1"]
)
def test_1_1_a_peer_that_is_none_is_refused_in_the_same_words(peer: object) -> None:
    policy = Policy.from_toml(TOML)
    said: set[str] = set()
    for ask in (
        lambda: policy.connection("mx", untyped(peer)),
        lambda: policy.decide("mx", untyped(peer), "a.com"),
        lambda: policy.decide_rcpt("mx", untyped(peer), "a@a.com", "b@b.com"),
        lambda: policy.decide_rcpt("mx", untyped(peer), untyped(None), "b@b.com"),
    ):
        with pytest.raises(RequestError, match=r"^peer: ") as raised:
            ask()
        said.add(str(raised.value))
    assert len(said) == 1


def test_boundaries_compare_as_octets_as_they_do_as_numbers() -> None:
    everything = CidrSet(["any"]).bounds
    assert octet_bounds(everything) == (bytes(16), b"\xff" * 17)
    policy = Policy.from_toml("", relay_hosts=["ff00::/8"])
    assert policy.decide("mx", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "").relay_hosts
    assert not policy.decide("mx", "feff::", "").relay_hosts


@given(st.frozensets(st.integers(-3, 4) | st.integers(2**32 - 4, 2**32 + 3)), st.integers(-1, 1))
def test_four_octets_are_where_sixteen_are(edges: frozenset[int], beyond: int) -> None:
    # boundaries about the ends of IPv4, one of them perhaps at an end of the line
    ends = {-1: {0}, 0: set[int](), 1: {2**128}}[beyond]
    numbers = sorted({0xFFFF_0000_0000 + edge for edge in edges} | ends)
    bounds = octet_bounds(tuple(numbers if len(numbers) % 2 == 0 else numbers[1:]))
    of_ipv4 = ipv4_bounds(bounds)
    for number in (*range(6), *range(2**32 - 6, 2**32)):
        four = number.to_bytes(4, "big")
        inside = bisect_right(bounds, IPV4_MAPPED + four) & 1
        assert bisect_right(of_ipv4, four) & 1 == inside


def test_a_set_is_compared_with_sets_alone() -> None:
    class Greater:
        def __ge__(self, other: object) -> bool:
            return True

    blocks = CidrSet(["10.0.0.0/8"])
    assert blocks < CidrSet(["any"])
    assert not blocks < blocks  # noqa: PLR0124
    with pytest.raises(TypeError):
        _ = blocks < untyped(Greater())


def test_5_2_a_socket_address_with_a_long_zone_is_not_remembered() -> None:
    policy = Policy.from_mapping({"listener": {"[fe80::1]:25": {"a.com": {"relay_to": True}}}})
    short, long = (("fe80::1%" + "z" * length, 25, 0, 2) for length in (1, LONGEST_KEY))
    for listener in (short, long, short, long):
        assert policy.decide(listener, "192.0.2.1", "a.com").relay_to
    rules = policy._rules  # pyright: ignore[reportPrivateUsage]
    assert list(rules.known_sockets.by_name) == [short[:2]]
