"""Hypothesis strategies for policies, and for the questions that tell them apart.

`requests(policy)` and `rcpt_requests(policy)` aim at the edges of one policy; everything else
knows no policy. Arguments are keyword-only, but for the policy. How often something is drawn is no
promise; that it can be drawn is. `hypothesis.strategies.from_type` knows the public types.

>>> from hypothesis import given
>>> from listener_policy import Policy, strategies
>>> policy = Policy.from_mapping({"example.com": {"relay_to": True}})
>>> @given(strategies.rcpt_requests(policy))
... def strangers_relay_to_us_alone(request):
...     decision = policy.decide_rcpt(*request)
...     if decision.relay and not decision.sender.may_send:
...         assert decision.recipient.entry.pattern == "example.com"
>>> strangers_relay_to_us_alone()

This is the only module that imports Hypothesis (extra `listener-policy[hypothesis]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, ip_network
from typing import Final, TypeVar

from idna import IDNAError, ulabel

from listener_policy._documents import LISTENER
from listener_policy._intervals import Bounds
from listener_policy.addresses import (
    IPV4_END,
    IPV4_START,
    LINE_END,
    IPAddress,
    Peer,
    SocketAddress,
    ip_address,
    parse_socket_address,
)
from listener_policy.config import PolicyConfig
from listener_policy.connection import Connection
from listener_policy.decision import Decision, Dialect, Disposition, LogReport, RcptDecision, Report
from listener_policy.domains import EVERY_DOMAIN, WILDCARD, canonical_domain
from listener_policy.explanation import Explanation, RcptExplanation
from listener_policy.listeners import EVERY_LISTENER, Listener
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener, ListenerDomain
from listener_policy.policy import Policy
from listener_policy.questions import RcptRequest, Request

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "listener_policy.strategies needs Hypothesis: pip install 'listener-policy[hypothesis]'",
        name=error.name,
    ) from error

__all__ = [
    "addresses",
    "cidr_blocks",
    "configs",
    "domains",
    "identities",
    "listeners",
    "patterns",
    "peers",
    "policies",
    "rcpt_requests",
    "requests",
    "toml_documents",
]

T = TypeVar("T")
Q = TypeVar("Q")

_LABELS: Final = ("a", "b", "mail", "example", "com", "xn--bcher-kva", "_x", "a-b", "0")
"""Few, so that names meet: most of what a policy does shows between names that share a suffix."""

_LONGEST_NAMES: Final = (".".join(["a"] * 127), ".".join(["x" * 63] * 3 + ["y" * 61]))

_LISTENERS: Final = (
    *("mx", "submission", "10.1.2.3:25", "10.1.2.3:587", "10.1.2.4:25"),
    *("[2001:db8::25]:25", "[2001:db8::26]:25"),
)
_WILDCARD_LISTENERS: Final = ("0.0.0.0:25", "[::]:25", "0.0.0.0:587")

_IDENTITIES: Final = ("ann", "Ann", "bob", "", "ann@example.com")

_BLOCKS: Final = (
    *("10.0.0.0/24", "10.0.0.7", "10.0.0.0/8", "192.0.2.0/25", "0.0.0.0/0", "0.0.0.0/1"),
    *("2001:db8::/32", "2001:db8::7", "::/0", "::1", "::ffff:10.0.0.0/120", "::fffe:0:0/95", "any"),
)


# --- what questions are made of -----------------------------------------------------------------


def domains(*, valid: bool | None = None) -> st.SearchStrategy[str]:
    """Mail domains as they arrive in envelopes, in any spelling (rule 1.4).

    valid: `True` for domains that are valid (names, address literals, the empty domain), `False`
        for strings that are not, `None` for both.

    >>> from hypothesis import given
    >>> @given(domains(valid=True))
    ... def a_canonical_domain_is_its_own_canonical_form(domain):
    ...     canonical = canonical_domain(domain)
    ...     assert canonical_domain(canonical) == canonical
    >>> a_canonical_domain_is_its_own_canonical_form()
    """
    right = _names().flatmap(_sampled(_spellings)) | st.just("") | _literals()
    if valid:
        return right
    ugly = (".", "*", "a..b", "-a.com", "a b.com", "[10.0.0.1", "a\x00.com", "\ud800", "x" * 64)
    wrong = (st.sampled_from(ugly) | _texts()).filter(lambda text: canonical_domain(text) is None)
    return wrong if valid is False else right | wrong


def addresses(*, domains: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    """Envelope addresses of every shape (rule 1.7).

    domains: what stands behind the `@`; where it is drawn empty, the address is the null sender or
        a bare `Postmaster`. If it is not given, any domain, and then also what is no address.

    >>> from hypothesis import given
    >>> from listener_policy import envelope_domain
    >>> @given(addresses(domains=st.just("example.com")))
    ... def what_stands_before_the_last_at_does_not_matter(address):
    ...     assert envelope_domain(address) == "example.com"
    >>> what_stands_before_the_last_at_does_not_matter()
    """
    if domains is None:
        return _every_domain().flatmap(_sampled(_at)) | _texts()
    return domains.flatmap(_sampled(_at))


def peers() -> st.SearchStrategy[Peer]:
    """Clients' addresses, of both families, in every shape that servers hold (rules 1.1, 1.3).

    >>> from hypothesis import find
    >>> find(peers(), lambda peer: isinstance(peer, tuple))
    ('10.0.0.0', 0)
    """
    edges = [edge for block in _BLOCKS for edge in _edges(CidrSet([block]).bounds)]
    return (st.sampled_from(edges) | _line()).flatmap(_sampled(_peer_shapes))


def listeners() -> st.SearchStrategy[Listener]:
    """Listeners as servers name them: addresses with ports, socket address tuples, names (1.1).

    >>> from hypothesis import find
    >>> find(listeners(), lambda listener: listener == ("10.1.2.3", 25))
    ('10.1.2.3', 25)
    """
    return st.sampled_from((*_LISTENERS, *_WILDCARD_LISTENERS)).flatmap(_sampled(_listener_shapes))


def identities() -> st.SearchStrategy[str | None]:
    """Authorization identities, and `None` for nobody (rule 1.6).

    >>> from hypothesis import find
    >>> find(identities(), lambda identity: identity == "")
    ''
    """
    return st.none() | _identities()


# --- what policies are made of ------------------------------------------------------------------


def patterns() -> st.SearchStrategy[str]:
    """Keys of a table of entries, in any spelling (rules 1.5 and 2.2).

    >>> from hypothesis import find
    >>> find(patterns(), lambda pattern: pattern.startswith("*."))
    '*.a'
    """
    names = _names()
    below = _suffixes().flatmap(_sampled(_spellings)).map(WILDCARD.__add__)
    return st.just(EVERY_DOMAIN) | names.flatmap(_sampled(_spellings)) | below | _literals()


def cidr_blocks() -> st.SearchStrategy[str]:
    """CIDR blocks as a configuration writes them (rule 3.1).

    >>> from hypothesis import find
    >>> find(cidr_blocks(), lambda block: ":" in block and "/" in block)
    '2001:db8::/32'
    """
    return st.sampled_from(_BLOCKS) | st.builds(_block, _line(), st.integers(0, 128))


def configs() -> st.SearchStrategy[PolicyConfig]:
    """Configurations: a few entries at a few listeners, of names that meet.

    >>> from hypothesis import given
    >>> @given(configs(), configs())
    ... def what_the_later_one_writes_is_so(earlier, later):
    ...     assert earlier.merge(later).merge(later) == earlier.merge(later)
    >>> what_the_later_one_writes_is_so()
    """
    return _documents().map(PolicyConfig.from_mapping)


def toml_documents() -> st.SearchStrategy[str]:
    """Texts of TOML documents that `Policy.from_toml` accepts.

    >>> from hypothesis import given
    >>> @given(toml_documents())
    ... def strangers_relay_nothing_by_default(text):
    ...     assert not Policy.from_toml(text).decide("elsewhere", "192.0.2.1", "").relay_hosts
    >>> strangers_relay_nothing_by_default()
    """
    return configs().map(PolicyConfig.to_toml)


def policies(
    *,
    configs: st.SearchStrategy[PolicyConfig] | None = None,
    dialects: st.SearchStrategy[Dialect] | None = None,
) -> st.SearchStrategy[Policy]:
    """Policies of both dialects, with `relay_hosts` by default and by listener.

    configs, dialects: what the entries and the dialects are drawn from, if not from all.

    >>> from hypothesis import given
    >>> @given(policies(dialects=st.just(Dialect.DOCUMENTED)))
    ... def reports_do_not_open_a_relay(policy):
    ...     decision = policy.decide_rcpt("mx", "192.0.2.1", "<>", "ann@example.com")
    ...     assert decision.relay or not decision.after_data(Report.OOB).relay
    >>> reports_do_not_open_a_relay()
    """
    return st.builds(
        Policy,
        _every_config() if configs is None else configs,
        relay_hosts=_cidr_sets(),
        listeners=_esmtp_listeners(),
        dialect=st.sampled_from(Dialect) if dialects is None else dialects,
    )


# --- questions that aim at a policy -------------------------------------------------------------


def requests(policy: Policy) -> st.SearchStrategy[Request]:
    """Questions at the edges of a policy; `policy.decide(*request)` answers one.

    Listeners that have entries or `relay_hosts` of their own, and others. Domains that a pattern
    governs, and those above, below and beside it, in any spelling. Then peers on both sides of
    every boundary of the `relay_hosts` and the `relay_from` that apply, and identities that are
    listed, that differ in case, and none.

    >>> from hypothesis import find
    >>> policy = Policy.from_mapping({"a.com": {"relay_from": ["10.0.0.0/8"]}}, relay_hosts=[])
    >>> find(requests(policy), lambda request: policy.decide(*request).relay_from)
    Request(listener='elsewhere', peer='10.0.0.0', domain='a.com', auth=None)
    """
    return _requests(_Edges(policy))


def rcpt_requests(policy: Policy) -> st.SearchStrategy[RcptRequest]:
    """Questions about senders and recipients; `policy.decide_rcpt(*request)` answers one.

    Both domains are drawn as by `requests`, and peer and identity at the edges of the sender's.

    >>> from hypothesis import find
    >>> policy = Policy.from_mapping({"a.com": {"relay_to": True}}, relay_hosts=[])
    >>> find(rcpt_requests(policy), lambda request: policy.decide_rcpt(*request).relay).recipient
    '@a.com'
    """
    return _rcpt_requests(_Edges(policy))


@st.composite
def _requests(draw: st.DrawFn, edges: _Edges) -> Request:
    listener, domain = edges.draw_domain(draw)
    peer, auth = edges.draw_client(draw, listener, domain)
    return Request(
        _one_of(draw, _listener_shapes(listener)),
        _one_of(draw, _peer_shapes(peer)),
        _one_of(draw, _spellings(domain)),
        auth,
    )


@st.composite
def _rcpt_requests(draw: st.DrawFn, edges: _Edges) -> RcptRequest:
    listener, sender = edges.draw_domain(draw)
    _, recipient = edges.draw_domain(draw)
    peer, auth = edges.draw_client(draw, listener, sender)
    return RcptRequest(
        _one_of(draw, _listener_shapes(listener)),
        _one_of(draw, _peer_shapes(peer)),
        _one_of(draw, _at(_one_of(draw, _spellings(sender)))),
        _one_of(draw, _at(_one_of(draw, _spellings(recipient)))),
        auth,
    )


def _one_of(draw: st.DrawFn, choices: Sequence[T]) -> T:
    return draw(st.sampled_from(choices))


class _Edges:
    """What a policy looks at, and what lies beside it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        entries = policy.config.entries
        self._targets = [
            (EVERY_LISTENER, EVERY_DOMAIN),
            *((listener, pattern) for listener, table in entries.items() for pattern in table),
        ]
        named = {listed.listen for listed in policy.listeners} | set(entries) - {EVERY_LISTENER}
        ports = sorted({name.rpartition(":")[2] for name in named if ":" in name})
        covered = [f"{host}:{port}" for port in ports for host in ("192.0.2.1", "[2001:db8::1]")]
        self._listeners = ["elsewhere", *sorted(named), *covered]

    def draw_domain(self, draw: st.DrawFn) -> tuple[str, str]:
        """A listener, and a name at or around a pattern that holds there."""
        target, pattern = _one_of(draw, self._targets)
        listener = _one_of(draw, self._listeners) if target == EVERY_LISTENER else target
        aim, *beside = _around(pattern)
        return listener, _one_of(draw, [aim, _one_of(draw, beside)])

    def draw_client(self, draw: st.DrawFn, listener: str, domain: str) -> tuple[int, str | None]:
        """A peer and an identity.

        The peer is at a boundary of what `relay_hosts` and `relay_from` tell apart. The identity is
        one that is listed, one that nearly is, any other, or nobody.
        """
        match = self._policy.resolve(listener, domain)
        options = match.options if match else ListenerDomain()
        hosts = self._policy.relay_hosts_at(listener)
        blocks = options.relay_from
        everything = CidrSet(["any"])
        regions = (everything - hosts - blocks, blocks - hosts, hosts - blocks, hosts & blocks)
        region = _one_of(draw, [region for region in regions if region])
        address = _one_of(draw, _edges(region.bounds))
        listed = sorted(options.relay_from_authz)
        near = [changed for name in listed for changed in (name.swapcase(), f"{name} ")]
        others = st.sampled_from([None, *_IDENTITIES, *near]) | identities()
        return address, draw(others | st.sampled_from(listed) if listed else others)


def _around(pattern: str) -> list[str]:
    """A name that a pattern governs unless another does, then those beside, below and above it."""
    if pattern == EVERY_DOMAIN:
        return ["unheard.of", "", "[192.0.2.99]", "of", "not..valid"]
    if pattern.startswith("["):
        return [pattern, "[192.0.2.98]", "[ipv6:2001:db8::98]"]
    name = pattern.removeprefix(WILDCARD)
    parent = name.partition(".")[2]
    beside = [f"unheard{name}", f"unheard.{parent}" if parent else "unheard"]
    around = [f"unheard.{name}", name, f"un.heard.{name}", *beside, parent]
    if name == pattern:
        around[:2] = around[1::-1]
    return [domain for domain in around if canonical_domain(domain) is not None]


def _edges(bounds: Bounds) -> list[int]:
    """The first and the last address of every stretch of a set."""
    return [
        edge
        for start, end in zip(bounds[::2], bounds[1::2], strict=True)
        for edge in (start, end - 1)
    ]


# --- spellings and shapes -----------------------------------------------------------------------


def _spellings(domain: str) -> list[str]:
    """Texts that have one canonical form, or are not valid alike."""
    if canonical_domain(domain) != domain or not domain or domain.startswith("["):
        return [domain, domain.upper()]
    spelled = [domain, domain.upper(), f"{domain}.", domain.replace(".", "\u3002"), domain.title()]
    unicode_form = ".".join(map(_u_label, domain.split(".")))
    spelled += [unicode_form, unicode_form.upper()] if unicode_form != domain else []
    return [text for text in spelled if canonical_domain(text) == domain]


def _u_label(label: str) -> str:
    try:
        return ulabel(label) if label.startswith("xn--") else label
    except IDNAError:
        return label


def _at(domain: str) -> list[str]:
    """Envelope addresses of a domain."""
    if not domain:
        return ["<>", "", "Postmaster", "<POSTMASTER>"]
    locals_ = ("", "ann", '"a@b"', "a@b", "a%b", "<ann", "@x,@y:ann")
    return [address for name in locals_ for address in (f"{name}@{domain}", f"<{name}@{domain}>")]


def _listener_shapes(listener: str) -> list[Listener]:
    """What servers hold for a canonical listener: the text, or a socket address tuple."""
    socket_address = parse_socket_address(listener)
    if socket_address is None:
        return [listener]
    address, port = socket_address
    return [listener, *_socket_addresses(ip_address(address), port)]


def _peer_shapes(address: int) -> list[Peer]:
    """What servers hold for a client's address."""
    ip = ip_address(address)
    texts = [str(ip), f"{ip}:25" if ip.version == 4 else f"[{ip}]:25"]
    return [*texts, *_socket_addresses(ip, 0), ip]


def _sampled(shapes: Callable[[Q], Sequence[T]]) -> Callable[[Q], st.SearchStrategy[T]]:
    """A function that gives a strategy for the shapes of something."""
    return lambda value: st.sampled_from(shapes(value))


def _socket_addresses(ip: IPAddress, port: int) -> list[SocketAddress]:
    """The tuples that stand for an address, on dual-stack sockets too."""
    if isinstance(ip, IPv4Address):
        return [(str(ip), port), (f"::ffff:{ip}", port, 0, 0)]
    return [(str(ip), port, 0, 0), (f"{ip}%eth0", port, 0, 2)]


# --- pieces -------------------------------------------------------------------------------------


def _names() -> st.SearchStrategy[str]:
    return _suffixes() | st.sampled_from(_LONGEST_NAMES)


def _suffixes() -> st.SearchStrategy[str]:
    """Names that have room for a subdomain."""
    return st.lists(st.sampled_from(_LABELS), min_size=1, max_size=4).map(".".join)


def _literals() -> st.SearchStrategy[str]:
    literals = st.sampled_from(("[10.0.0.1]", "[192.0.2.25]", "[ipv6:2001:db8::1]"))
    return literals.flatmap(_sampled(_spellings))


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(), max_size=300)


def _identities() -> st.SearchStrategy[str]:
    return st.sampled_from(_IDENTITIES) | st.text(max_size=20)


def _line() -> st.SearchStrategy[int]:
    """Addresses as numbers, half of them IPv4."""
    return st.integers(IPV4_START, IPV4_END - 1) | st.integers(0, LINE_END - 1)


def _block(address: int, length: int) -> str:
    ip = ip_address(address)
    network = ip_network((ip, min(length, ip.max_prefixlen)), strict=False)
    return str(network)


def _cidr_sets() -> st.SearchStrategy[CidrSet]:
    return st.lists(cidr_blocks(), max_size=4).map(CidrSet)


def _entries() -> st.SearchStrategy[ListenerDomain]:
    logs = st.sampled_from([False, True, *LogReport])
    return st.fixed_dictionaries(
        {},
        optional={
            "relay_to": st.booleans(),
            "relay_from": st.lists(cidr_blocks(), max_size=3),
            "relay_from_authz": st.lists(_identities(), max_size=3),
            "log_oob": logs,
            "log_arf": logs,
            "ttl": st.sampled_from([60, "5 minutes"]),
        },
    ).map(ListenerDomain.model_validate)


def _documents() -> st.SearchStrategy[dict[str, object]]:
    below = _suffixes().map(WILDCARD.__add__)
    pattern = st.just(EVERY_DOMAIN) | _names() | below | _literals().map(str.lower)
    listener = st.just(EVERY_LISTENER) | st.sampled_from(_LISTENERS)
    return st.lists(st.tuples(listener, pattern, _entries()), max_size=8).map(_document)


def _document(entries: Iterable[tuple[str, str, ListenerDomain]]) -> dict[str, object]:
    tables: dict[str, dict[str, ListenerDomain]] = {}
    for listener, pattern, options in entries:
        tables.setdefault(listener, {})[pattern] = options
    return {LISTENER: tables}


def _esmtp_listeners() -> st.SearchStrategy[list[EsmtpListener]]:
    return st.lists(
        st.builds(
            EsmtpListener,
            listen=st.sampled_from((*_LISTENERS, *_WILDCARD_LISTENERS)),
            relay_hosts=st.none() | _cidr_sets(),
        ),
        max_size=3,
        unique_by=lambda listener: listener.listen,
    )


def _of_a_policy(
    questions: Callable[[Policy], st.SearchStrategy[Q]], answer: Callable[[Policy, Q], T]
) -> st.SearchStrategy[T]:
    """What a policy answers to a question that aims at it."""
    return policies().flatmap(
        lambda policy: questions(policy).map(lambda question: answer(policy, question))
    )


_every_domain = domains
_every_config = configs
_decisions = _of_a_policy(requests, lambda policy, question: policy.decide(*question))
_rcpt_decisions = _of_a_policy(
    rcpt_requests, lambda policy, question: policy.decide_rcpt(*question)
)

st.register_type_strategy(CidrSet, _cidr_sets())
st.register_type_strategy(ListenerDomain, _entries())
st.register_type_strategy(EsmtpListener, _esmtp_listeners().filter(bool).map(lambda some: some[0]))
st.register_type_strategy(PolicyConfig, configs())
st.register_type_strategy(Policy, policies())
st.register_type_strategy(Request, policies().flatmap(requests))
st.register_type_strategy(RcptRequest, policies().flatmap(rcpt_requests))
st.register_type_strategy(Decision, _decisions)
st.register_type_strategy(RcptDecision, _rcpt_decisions)
st.register_type_strategy(
    Explanation, _of_a_policy(requests, lambda policy, question: policy.explain(*question))
)
st.register_type_strategy(
    RcptExplanation,
    _of_a_policy(rcpt_requests, lambda policy, question: policy.explain_rcpt(*question)),
)
st.register_type_strategy(
    Disposition,
    st.builds(RcptDecision.after_data, _rcpt_decisions, st.none() | st.sampled_from(Report)),
)
st.register_type_strategy(
    Connection,
    _of_a_policy(requests, lambda policy, asked: policy.connection(*asked[:2], asked.auth)),
)
