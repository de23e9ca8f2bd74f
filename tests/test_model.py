"""The package decides as `model.py` does, which was written from the rules alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from itertools import product
from typing import TypeVar

import model
from hypothesis import given, settings
from hypothesis import strategies as st
from support import (
    INVALID_DOMAINS,
    LISTENERS,
    SIZES,
    Fields,
    Written,
    as_if,
    esmtp,
    relatives,
    said,
    said_of_rcpt,
    words,
    written_policies,
)

from listener_policy import (
    CidrSet,
    Dialect,
    Policy,
    PolicyConfig,
    RcptRequest,
    Request,
    canonical_domain,
    envelope_domain,
    strategies,
)
from listener_policy.addresses import IPAddress, Peer
from listener_policy.listeners import Listener

T = TypeVar("T")

POLICIES = 2 * settings().max_examples
"""How many policies are compared, each in both dialects: twice what the profile says."""


# What is asked of a policy


def entries_of(written: Written) -> Iterator[tuple[str, Fields]]:
    """The patterns and entries that are written."""
    for document in written.documents:
        for table in document.get("listener", {}).values():
            yield from table.items()
        yield from ((key, entry) for key, entry in document.items() if key != "listener")


def listeners_of(written: Written) -> list[Listener]:
    """Those that are mentioned, and others."""
    mentioned = [listen for listen, _ in written.listeners]
    for document in written.documents:
        mentioned += [key for key in document.get("listener", {}) if key != "*"]
    return [*mentioned * 9, *LISTENERS, "[2001:db8:9::9]:25", ("10.9.9.9", 25), ("::", 25, 0, 0)]


def peers_of(written: Written) -> list[Peer]:
    """Those at the edges of every block, in every shape, and one more of each family."""
    stated = [written.relay_hosts, *(blocks or [] for _, blocks in written.listeners)]
    stated += [entry.get("relay_from", []) for _, entry in entries_of(written)]
    blocks = {block for blocks in stated for block in blocks} - {"any"}
    near = [peer for block in sorted(blocks) for ip in edges(block) for peer in shapes(ip)]
    return [*near, "203.0.113.9", "2001:db8:9::9"]


def edges(block: str) -> list[IPAddress]:
    """The addresses on both sides of both ends of a block."""
    network = model.cidr_block(block)
    first, last = int(network[0]), int(network[-1])
    numbers = (first, last, first - 1, last + 1)
    if isinstance(network, IPv4Network):
        return [IPv4Address(number) for number in numbers if 0 <= number < 2**32]
    return [IPv6Address(number) for number in numbers if 0 <= number < 2**128]


def shapes(address: IPAddress) -> list[Peer]:
    """What servers hold for the address of a client."""
    if isinstance(address, IPv6Address):
        return [address, str(address), f"[{address}]:25", (f"{address}%eth0", 25, 0, 2)]
    mapped = f"::ffff:{address}"
    return [address, mapped, f"{address}:25", (str(address), 25), (mapped, 25, 0, 0)]


def identities_of(written: Written) -> list[str | None]:
    """Those that are listed, and others."""
    listed = [
        name for _, entry in entries_of(written) for name in entry.get("relay_from_authz", [])
    ]
    return [*listed * 2, "nobody", None]


def governed_by(written: Written) -> list[str]:
    """Names that patterns govern, unless other patterns do, in the spelling of the pattern."""
    keys = [key for key, _ in entries_of(written)]
    return ["unheard.of" if key == "*" else key.replace("*.", "b.") for key in keys]


def names_of(written: Written) -> list[str]:
    """Names that patterns govern, and those with which they might be confused."""
    family = {name.removeprefix("*.") for key, _ in entries_of(written) for name in relatives(key)}
    beside = {f"un{name}" for name in family if not name.startswith(("[", "*"))}
    return sorted({*family, *beside, *governed_by(written), "", "unheard"})


ADDRESSES = ("a@{}", "<a@{}>", "@{}", '<"a@b"@{}>', "a@b@{}", "<@x,@y:ann@{}>", "{}", "<{}>")


def chosen(pool: Sequence[T], numbers: Sequence[int]) -> list[T]:
    """What numbers choose: Hypothesis draws them faster than from a pool for each policy."""
    return [pool[number % len(pool)] for number in numbers]


class Questions:
    """Every combination of some listeners, clients and names."""

    def __init__(self, written: Written, hostile: list[str], numbers: list[list[int]]) -> None:
        at, peers, identities, *mails = numbers
        self._listeners = chosen(listeners_of(written), at[:3])
        self._clients = list(
            zip(
                chosen(peers_of(written), peers),
                chosen(identities_of(written), identities),
                strict=True,
            )
        )
        self._names = [*names_of(written), *hostile]
        ends = [*governed_by(written) * 9, *self._names]
        self._mails = [
            (
                hostile[0],
                *(
                    shape.replace("{}", end)
                    for shape, end in zip(
                        chosen(ADDRESSES, which), chosen(ends, which), strict=True
                    )
                ),
            )
            for which in mails
        ]

    def about_domains(self) -> Iterator[Request]:
        """Questions for `decide`."""
        for listener, (peer, auth), name in product(self._listeners, self._clients, self._names):
            yield Request(listener, peer, name, auth)

    def about_recipients(self) -> Iterator[RcptRequest]:
        """Questions for `decide_rcpt`."""
        mails = list(product(self._mails[0], self._mails[1]))
        for listener, (peer, auth), mail in product(self._listeners[:2], self._clients[:3], mails):
            sender, recipient = mail
            yield RcptRequest(listener, peer, sender, recipient, auth)


_texts = st.sampled_from(INVALID_DOMAINS) | st.text() | strategies.domains()
_numbers = st.lists(st.integers(0, 9999), min_size=5, max_size=5)
policies = st.shared(written_policies, key="policy")
questions = st.builds(
    Questions,
    policies,
    st.lists(_texts | strategies.addresses(), min_size=3, max_size=3),
    st.lists(_numbers, min_size=5, max_size=5),
)


# Decisions


def test_the_package_and_the_model_agree_about_domains() -> None:
    asked: Counter[str] = Counter()

    @given(policies, questions, st.data())
    @settings(max_examples=POLICIES)
    def compare(written: Written, questions: Questions, data: st.DataObject) -> None:
        for dialect in Dialect:
            of_dialect = replace(written, dialect=dialect)
            with as_if(data.draw(st.sampled_from(SIZES))):
                policy, rules = of_dialect.policy(), of_dialect.model()
            aimed = data.draw(st.lists(strategies.requests(policy), max_size=8))
            for request in [*aimed, *questions.about_domains()]:
                listener, peer, domain, auth = request
                expected = said(rules.decide(*request))
                assert said(policy.decide(*request)) == expected, request
                connection = policy.connection(listener, peer).authenticated(auth)
                assert said(connection.decide(domain)) == expected, request
                asked[dialect] += 1

    compare()
    assert asked.total() > 650 * POLICIES


def test_the_package_and_the_model_agree_about_recipients() -> None:
    asked: Counter[str] = Counter()

    @given(policies, questions, st.data())
    @settings(max_examples=POLICIES)
    def compare(written: Written, questions: Questions, data: st.DataObject) -> None:
        for dialect in Dialect:
            of_dialect = replace(written, dialect=dialect)
            with as_if(data.draw(st.sampled_from(SIZES))):
                policy, rules = of_dialect.policy(), of_dialect.model()
            aimed = data.draw(st.lists(strategies.rcpt_requests(policy), max_size=8))
            for request in [*aimed, *questions.about_recipients()]:
                listener, peer, sender, recipient, auth = request
                decision = policy.decide_rcpt(*request)
                assert said_of_rcpt(decision) == said_of_rcpt(rules.decide_rcpt(*request)), request
                connection = policy.connection(listener, peer).authenticated(auth)
                assert connection.decide_rcpt(sender, recipient) == decision
                for half, address in ((decision.sender, sender), (decision.recipient, recipient)):
                    name = model.envelope_domain(address)
                    assert half == connection.decide("." if name is None else name), request
                asked[dialect] += 1

    compare()
    assert asked.total() > 380 * POLICIES


# Canonical forms

MORE = settings(max_examples=10 * settings().max_examples)
"""Texts cost less than policies."""

_pieces = (
    st.characters()
    | st.sampled_from([*"aB1-_.*@<>[]:%/", "xn--", "xn--bcher-kva", "postmaster", "POSTMASTER"])
    | st.sampled_from(
        words("IPv6: ipv6: ::ffff: 10.0.0.1 2001:db8::1 fe80:: 010 256 /24 /97 %eth0")
    )
    | st.sampled_from("\u00fc\u00df\u3002\uff0e\u00ad\u200d\u0301\u05d0\uff0a\uff3b\ufdfa\ud800")
)
_assembled = st.lists(_pieces, max_size=8).map("".join)
_long = st.builds(str.__mul__, _pieces, st.integers(1, 260))
texts: st.SearchStrategy[str] = (
    _assembled
    | st.tuples(_long, _assembled).map("".join)
    | _texts
    | strategies.addresses()
    | strategies.patterns()
)


def form_of(canonical: Callable[[str], object], text: str) -> object:
    """What a function makes of a text, or that it refuses."""
    try:
        return canonical(text)
    except ValueError:  # a PolicyError is one
        return "refused"


def loaded_pattern(key: str) -> str:
    """The canonical form of a key, by way of a document."""
    (pattern,) = PolicyConfig.from_mapping({"listener": {"mx": {key: {}}}}).entries["mx"]
    return pattern


def listed(listener: str) -> str:
    """The canonical form of a listener."""
    return esmtp(listener).listen


def one_block(block: str) -> CidrSet:
    """The set of one block."""
    return CidrSet([block])


def model_block(block: str) -> CidrSet:
    """The set of a block that the model has read."""
    return CidrSet([model.cidr_block(block)])


def peer_of(peer: str) -> object:
    """The address of a peer."""
    return Policy.from_mapping().connection("mx", peer).peer_address


@given(texts)
@MORE
def test_the_package_and_the_model_agree_about_canonical_domains(text: str) -> None:
    for domain in (text, f"a.{text}", f"[{text}]", f"[IPv6:{text}]"):
        assert canonical_domain(domain) == model.canonical_domain(domain)


@given(texts)
@MORE
def test_the_package_and_the_model_agree_about_the_domains_of_addresses(text: str) -> None:
    for address in (text, f"<{text}>", f"a@{text}", f"<a@b@{text}>"):
        assert envelope_domain(address) == model.envelope_domain(address)


@given(texts)
@MORE
def test_the_package_and_the_model_agree_about_keys(text: str) -> None:
    for key in (text, f"*.{text}"):
        assert form_of(loaded_pattern, key) == form_of(model.canonical_pattern, key)


@given(texts)
@MORE
def test_the_package_and_the_model_agree_about_listeners_and_peers(text: str) -> None:
    for address in (text, f"{text}:25", f"[{text}]:25", f"10.0.0.1:{text}", f"[::1]:{text}"):
        assert form_of(listed, address) == form_of(model.canonical_listener, address)
        assert form_of(peer_of, address) == form_of(model.peer_address, address)


@given(texts | strategies.cidr_blocks())
@MORE
def test_the_package_and_the_model_agree_about_blocks(text: str) -> None:
    for block in (text, f"10.0.0.0/{text}", f"{text}/120"):
        if block != "any":
            assert form_of(one_block, block) == form_of(model_block, block)
