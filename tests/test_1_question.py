"""The question: listeners, peers, domains, identities and addresses (rules 1.1 to 1.7)."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import (
    BAD_AUTHS,
    BAD_DOMAINS,
    BAD_LISTENERS,
    BAD_PEERS,
    DIALECTS,
    INVALID_DOMAINS,
    LISTENER,
    OUTSIDER,
    both_places,
    calls_made,
    mapping_problems,
    options,
    short,
    told,
    untyped,
    words,
)

from listener_policy import (
    CidrSet,
    Dialect,
    HookPolicy,
    Policy,
    PolicyError,
    RequestError,
    canonical_domain,
    evaluate,
)

OPEN = Policy.from_mapping({"*": {"relay_to": True, "relay_from": ["any"]}}, relay_hosts=["any"])
"""A policy that would grant anything to anybody."""

Door = Callable[[Policy, object, object, object, object], object]
DOORS: dict[str, Door] = {
    "decide": lambda p, lis, peer, dom, auth: p.decide(
        untyped(lis), untyped(peer), untyped(dom), untyped(auth)
    ),
    "decide_rcpt": lambda p, lis, peer, dom, auth: p.decide_rcpt(
        untyped(lis), untyped(peer), untyped(dom), "a@example.com", untyped(auth)
    ),
    "decide_rcpt, recipient": lambda p, lis, peer, dom, auth: p.decide_rcpt(
        untyped(lis), untyped(peer), "a@example.com", untyped(dom), untyped(auth)
    ),
    "connection": lambda p, lis, peer, dom, auth: p.connection(
        untyped(lis), untyped(peer), untyped(auth)
    ).decide(untyped(dom)),
}
doors = pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))


def same_listener(one: str, other: object) -> bool:
    """Whether a table written for the listener `one` is the table of the listener `other`."""
    policy = Policy.from_mapping({"listener": {one: {"*": {}}}})
    return policy.resolve(untyped(other), "example.com") is not None


def same_peer(peer: object, block: str) -> bool:
    """Whether `peer` is in `block`, asked of `relay_hosts`, `relay_from` and a `CidrSet`."""
    entry = options(relay_from=[block])
    decision = evaluate(entry, untyped(peer), relay_hosts=[block])
    assert decision.relay_from is decision.relay_hosts
    return decision.relay_hosts


# 1.1: what the embedding server gives


@doors
@pytest.mark.parametrize("listener", BAD_LISTENERS, ids=short)
def test_1_1_a_listener_that_cannot_be_understood(door: Door, listener: object) -> None:
    with pytest.raises(RequestError):
        door(OPEN, listener, "10.0.0.7", "example.com", None)
    with pytest.raises(RequestError):
        OPEN.resolve(untyped(listener), "example.com")


@doors
@pytest.mark.parametrize("peer", BAD_PEERS, ids=short)
def test_1_1_a_peer_that_cannot_be_understood(door: Door, peer: object) -> None:
    with pytest.raises(RequestError):
        door(OPEN, LISTENER, peer, "example.com", None)
    with pytest.raises(RequestError):
        evaluate(None, untyped(peer))


@doors
@pytest.mark.parametrize("domain", BAD_DOMAINS, ids=short)
def test_1_1_a_domain_of_a_wrong_type(door: Door, domain: object) -> None:
    with pytest.raises(RequestError):
        door(OPEN, LISTENER, OUTSIDER, domain, None)
    with pytest.raises(RequestError):
        OPEN.resolve(LISTENER, untyped(domain))


@doors
@pytest.mark.parametrize("auth", BAD_AUTHS, ids=short)
def test_1_1_an_identity_of_a_wrong_type(door: Door, auth: object) -> None:
    with pytest.raises(RequestError):
        door(OPEN, LISTENER, OUTSIDER, "example.com", auth)
    with pytest.raises(RequestError):
        OPEN.connection(LISTENER, OUTSIDER).authenticated(untyped(auth)).decide("example.com")
    with pytest.raises(RequestError):
        evaluate(None, OUTSIDER, untyped(auth))


NAMES = words("mx MX smtp-in localhost:25 mx1.example.com:25 unix:/run/smtp.sock a:b:c mx: ** *:25")


@pytest.mark.parametrize("name", [*NAMES, " mx ", "10.0.0.1 :25", "b\u00fccher", "x" * 5000])
def test_1_1_any_other_text_is_a_listener_name(name: str) -> None:
    assert same_listener(name, name)
    assert OPEN.decide(name, OUTSIDER, "example.com").relay_to


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        *(("10.0.0.1:25", ("10.0.0.1", 25)), ("[2001:db8::1]:25", ("2001:db8::1", 25))),
        *(("10.0.0.1:0", ("10.0.0.1", 0)), ("[2001:db8::1]:25", ("2001:db8::1", 25, 0, 0))),
        *(("10.0.0.1:65535", ("10.0.0.1", 65535)), ("[2001:db8::1]:0", "[2001:db8::1]:0")),
        *(("[2001:db8::1]:65535", "[2001:DB8:0::1]:65535"), ("[::1]:25", "[::0.0.0.1]:25")),
    ],
)
def test_1_1_a_listener_may_be_an_address_with_a_port(written: str, asked: object) -> None:
    assert same_listener(written, asked)
    for other in (("10.0.0.1", 26), "10.0.0.1:250", ("10.0.0.2", 25), ("::10.0.0.1", 25), "mx"):
        assert not same_listener(written, other)


@pytest.mark.parametrize("wrong", [("10.1.2.3", 25.0), ("10.1.2.3", "25")])
def test_1_1_a_good_question_does_not_open_the_door_to_a_bad_one(wrong: object) -> None:
    for _ in range(3):
        OPEN.decide(("10.1.2.3", 25), ("10.1.2.3", 25), "example.com")
        with pytest.raises(RequestError):
            OPEN.decide(untyped(wrong), OUTSIDER, "example.com")
        with pytest.raises(RequestError):
            OPEN.decide(LISTENER, untyped(wrong), "example.com")


@pytest.mark.parametrize("value", ["[\u202ex]:25", "10.0.0.1:\ud800", "10.0.0.1:\x1b"], ids=short)
def test_1_1_the_message_shows_the_value_in_ascii(value: str) -> None:
    for listener, peer in ((value, OUTSIDER), (LISTENER, value)):
        with pytest.raises(RequestError) as caught:
            OPEN.decide(listener, peer, "example.com")
        assert ascii(value).strip("'") in str(caught.value)
        assert str(caught.value).isascii()


@pytest.mark.parametrize("value", [b"caf\xe9.example", 12345, None, ["caf\u00e9"]], ids=short)
def test_1_1_the_message_shows_a_domain_of_a_wrong_type(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        OPEN.decide(LISTENER, OUTSIDER, untyped(value))
    assert ascii(value) in str(caught.value)


@pytest.mark.parametrize("value", ["[" + "x" * 9999, "[" + "\u202e" * 9999, "1" * 9999 + ":25"])
def test_1_1_the_message_shows_at_most_100_characters(value: str) -> None:
    with pytest.raises(RequestError) as caught:
        OPEN.decide(value, OUTSIDER, "example.com")
    assert ascii(value).strip("'")[:60] in str(caught.value)
    assert ascii(value).strip("'")[:101] not in str(caught.value)


@pytest.mark.parametrize(("auth", "kind"), [(b"hunter2", "bytes"), (["hunter2"], "list")])
def test_1_1_the_message_shows_only_the_type_of_auth(auth: object, kind: str) -> None:
    with pytest.raises(RequestError, match=kind) as caught:
        OPEN.decide(LISTENER, OUTSIDER, "example.com", untyped(auth))
    assert "hunter2" not in str(caught.value)


def test_1_1_a_request_error_is_a_value_error_of_this_library() -> None:
    assert issubclass(RequestError, PolicyError)
    assert issubclass(PolicyError, ValueError)


# 1.2: what the network gives

invalid_domains = pytest.mark.parametrize("domain", INVALID_DOMAINS, ids=short)
any_text = st.text(st.characters(exclude_categories=()), max_size=300) | st.lists(
    st.sampled_from(["a", ".", "-", "*", "[", "]", "IPv6:", "xn--", "::1", "@", "<", ">", "\u00df"])
).map("".join)


@invalid_domains
@pytest.mark.parametrize("dialect", DIALECTS)
def test_1_2_a_domain_that_is_not_valid_is_governed_by_nothing(
    domain: str, dialect: Dialect
) -> None:
    grants = {"relay_to": True, "relay_from": ["any"], "relay_from_authz": ["alice"]}
    tables = {LISTENER: {"*": grants, "*.com": grants}, "*": {"*": grants, "*.com": grants}}
    policy = Policy.from_mapping({"listener": tables}, relay_hosts=(), dialect=dialect)
    assert policy.resolve(LISTENER, domain) is None
    decision = policy.decide(LISTENER, OUTSIDER, domain, "alice")
    assert decision.entry is None
    assert (decision.may_send, decision.may_receive) == (False, False)
    verdict = policy.decide_rcpt(LISTENER, OUTSIDER, f"a@{domain}", f"b@{domain}", "alice")
    if "@" not in domain:
        assert not verdict.accept


@given(any_text, any_text, st.sampled_from(DIALECTS))
@example("\ud800", "\udfff", Dialect.DOCUMENTED)
@example("a" * 255, "\x00", Dialect.KUMOMTA)
def test_1_2_no_text_from_the_network_raises(domain: str, auth: str, dialect: Dialect) -> None:
    policy = Policy.from_mapping({"*": {"relay_to": True}}, dialect=dialect)
    decision = policy.decide(LISTENER, OUTSIDER, domain, auth)
    assert (decision.entry is None) is (canonical_domain(domain) is None)
    verdict = policy.decide_rcpt(LISTENER, OUTSIDER, domain, auth, auth)
    connection = policy.connection(LISTENER, OUTSIDER, auth)
    assert connection.decide(domain) == decision
    assert connection.decide_rcpt(domain, auth) == verdict


UNITS = words(
    "a a. \u00e9 \u00df. \u0660 \ud800 *. - xn-- [ [IPv6: @ < \u00ad \u0301 \ufdfa \u3002 A _"
)


@pytest.mark.parametrize("unit", [*UNITS, " ", "\x00", "[1.", "\u05d0"], ids=short)
def test_1_2_long_text_costs_no_more_than_its_length(unit: str) -> None:
    def cost(length: int) -> int:
        text = (unit * length)[:length]
        policy = Policy.from_mapping({"*": {"relay_from_authz": ["alice"]}})
        return calls_made(
            lambda: (
                policy.decide(LISTENER, OUTSIDER, text, text),
                policy.decide_rcpt(LISTENER, OUTSIDER, text, f"<{text}@{text}>", text),
            )
        )

    assert cost(100_000) <= 100 * cost(1_000) + 100


# 1.3: IPv4-mapped IPv6, other embeddings, zones, ports

MAPPED_PEERS: list[object] = [
    *("::ffff:10.0.0.7", "::FFFF:a00:7", "0:0:0:0:0:ffff:10.0.0.7", "[::ffff:10.0.0.7]:4321"),
    *(IPv6Address("::ffff:10.0.0.7"), ("::ffff:10.0.0.7", 57820, 0, 0), "::ffff:10.0.0.7%eth0"),
]


@pytest.mark.parametrize("peer", MAPPED_PEERS, ids=short)
def test_1_3_mapped_peer_is_the_ipv4_address(peer: object) -> None:
    assert same_peer(peer, "10.0.0.7")
    assert same_peer(peer, "10.0.0.0/24")
    assert same_peer(peer, "::ffff:10.0.0.0/120")
    assert not same_peer(peer, "::/0")


def test_1_3_mapped_listener_and_literal_are_the_ipv4_address() -> None:
    assert same_listener("10.0.0.7:25", "[::ffff:10.0.0.7]:25")
    assert same_listener("[::ffff:a00:7]:25", ("10.0.0.7", 25))
    assert canonical_domain("[IPv6:::ffff:10.0.0.7]") == "[10.0.0.7]"


@pytest.mark.parametrize(
    ("mapped", "plain"),
    [
        *(("::ffff:10.0.0.0/120", "10.0.0.0/24"), ("::ffff:0:0/96", "0.0.0.0/0")),
        *(("::ffff:10.0.0.7", "10.0.0.7"), ("::ffff:10.0.0.7/128", "10.0.0.7/32")),
        *(("::ffff:128.0.0.0/97", "128.0.0.0/1"), ("::FFFF:a00:0/104", "10.0.0.0/8")),
    ],
)
def test_1_3_mapped_block_is_the_ipv4_block(mapped: str, plain: str) -> None:
    block = CidrSet.parse([mapped])
    assert block == CidrSet.parse([plain])
    assert list(block) == [ip_network(plain)]


@pytest.mark.parametrize("block", ["::/0", "::/1", "::/64", "::/80", "::fffe:0:0/95", "::/3"])
@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7"])
def test_1_3_no_other_ipv6_block_contains_an_ipv4_address(block: str, peer: str) -> None:
    assert not same_peer(peer, block)
    assert ip_address(peer) not in CidrSet.parse([block])


def test_1_3_as_a_set_ipv6_is_without_the_mapped_addresses() -> None:
    whole, gap = ip_network("::/0"), ip_network("::ffff:0:0/96")
    pieces = CidrSet.parse([str(piece) for piece in untyped(whole).address_exclude(gap)])
    assert pieces == CidrSet.parse(["::/0"])
    assert list(pieces) == list(CidrSet.parse(["::/0"]))
    assert CidrSet.parse(["::fffe:0:0/95"]) == CidrSet.parse(["::fffe:0:0/96"])
    assert list(CidrSet.parse(["2001:db8::/95"])) == [ip_network("2001:db8::/95")]
    assert not CidrSet.parse(["::/0"]) & CidrSet.parse(["0.0.0.0/0"])


EMBEDDED = words("64:ff9b::10.0.0.7 2002:a00:7:: 2002:a00:7::1 ::10.0.0.7 ::ffff:0:10.0.0.7")


@pytest.mark.parametrize("peer", [*EMBEDDED, "2001:0:a00:7::", "2001::f5ff:fff8", "::1:10.0.0.7"])
def test_1_3_no_other_embedding_is_unwrapped(peer: str) -> None:
    assert not same_peer(peer, "10.0.0.0/8")
    assert not same_peer(peer, "0.0.0.0/0")
    assert same_peer(peer, "::/0")
    assert canonical_domain(f"[IPv6:{peer}]") == f"[ipv6:{IPv6Address(peer)}]"


def test_1_3_a_zone_is_ignored_in_a_listener() -> None:
    for spelled in ("[fe80::1%eth0]:25", ("fe80::1%eth0", 25, 0, 2), ("fe80::1", 25, 0, 3)):
        assert same_listener("[fe80::1]:25", spelled)
    assert same_listener("[fe80::1%eth0]:25", "[fe80::1%eth1]:25")


PEERS: dict[str, list[object]] = {
    "10.0.0.7": ["10.0.0.7:4321", "10.0.0.7:0", ("10.0.0.7", 4321), IPv4Address("10.0.0.7")],
    "2001:db8::1": ["[2001:DB8::1]:65535", ("2001:db8:0::1", 1, 0, 0), IPv6Address("2001:db8::1")],
    "fe80::1": [
        *("fe80::1%eth0", "fe80::1%1", "[fe80::1%eth0]:25", IPv6Address("fe80::1%eth0")),
        *(("fe80::1%eth0", 25, 0, 2), ("fe80::1", 25, 0, 2)),
    ],
}


@pytest.mark.parametrize("host", PEERS)
def test_1_3_a_port_and_a_zone_are_ignored_in_a_peer(host: str) -> None:
    assert [peer for peer in PEERS[host] if not same_peer(peer, host)] == []


# 1.4: domains

LONG = ".".join(["x" * 63] * 3 + ["x" * 61])
SPELLINGS = {
    "": [""],
    "example.com": words(
        "example.com EXAMPLE.com example.com. example.com\u3002"
        " \uff45xample\uff0ecom\uff61 ex\u00adample.com e\u24e7ample.com"
    ),
    "xn--bcher-kva.de": words("b\u00fccher.de B\u00dcCHER.de bu\u0308cher.de. XN--Bcher-KVA.de"),
    "xn--fa-hia.de": ["fa\u00df.de", "FA\u00df.DE."],
    "kelvin.com": ["\u212aelvin.com"],
    "fi.com": ["\ufb01.com"],
    "xn--wgv71a119e.jp": ["\u65e5\u672c\u8a9e.jp", "\u65e5\u672c\u8a9e\uff0eJP"],
    "xn--a.com": ["XN--A.com"],
    "xn--zzzzzz99.com": ["xn--zzzzzz99.com"],
    "a_b.com": ["a_b.com", "A_B.com"],
    "_dmarc.a--b.com": ["_dmarc.a--b.com"],
    "127.0.0.1": ["127.0.0.1", "127.0.0.1.", "\uff11\uff12\uff17.0.0.1"],
    "0": ["0", "0."],
    "_": ["_"],
    "x" * 63: ["x" * 63, "X" * 63],
    LONG: [LONG, f"{LONG}."],
    "a.com": ["a.com" + "\u00ad" * 249],
    "[10.0.0.1]": words("[10.0.0.1] [IPv6:::ffff:10.0.0.1] [ipv6:0::FFFF:a00:1]"),
    "[0.0.0.0]": ["[0.0.0.0]"],
    "[ipv6:2001:db8::1]": words("[IPv6:2001:db8::1] [ipV6:2001:0DB8:0:0:0::1]"),
    "[ipv6:::1]": ["[IPV6:::1]", "[IPv6:0:0:0:0:0:0:0:1]"],
    "[ipv6:::a00:1]": ["[IPv6:::10.0.0.1]"],
    "[ipv6:2001:db8::1:0:0:1]": ["[IPv6:2001:db8:0:0:1:0:0:1]"],
}


@pytest.mark.parametrize(
    ("domain", "canonical"),
    [(one, canonical) for canonical, all_of_it in SPELLINGS.items() for one in all_of_it],
    ids=short,
)
def test_1_4_canonical_form(domain: str, canonical: str) -> None:
    assert canonical_domain(domain) == canonical
    key = canonical or "*"
    policy = Policy.from_mapping({key: {"relay_to": True}})
    assert policy.decide(LISTENER, OUTSIDER, domain).entry == ("*", key)


@invalid_domains
def test_1_4_not_valid(domain: str) -> None:
    assert canonical_domain(domain) is None


@given(any_text)
@example("[IPv6:::ffff:10.0.0.1]")
@example("\ufb01.com.")
def test_1_4_canonical_form_is_its_own_canonical_form(domain: str) -> None:
    canonical = canonical_domain(domain)
    if canonical is not None:
        assert canonical_domain(canonical) == canonical
        assert (not canonical) is (not domain)
        assert canonical.isascii()
        assert canonical == canonical.lower()


# 1.5: keys


@pytest.mark.parametrize(
    ("key", "canonical"),
    [
        *(("EXAMPLE.com.", "example.com"), ("B\u00fccher.test", "xn--bcher-kva.test")),
        *(("*.B\u00dcCHER.test", "*.xn--bcher-kva.test"), ("*.Example.COM.", "*.example.com")),
        *(("*.\uff43om", "*.com"), ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"), ("*", "*")),
    ],
    ids=short,
)
def test_1_5_keys_get_the_same_canonical_form(key: str, canonical: str) -> None:
    policy = Policy.from_mapping({key: {}})
    match = policy.resolve(LISTENER, canonical.replace("*", "a"))
    assert match is not None
    assert match.entry == ("*", canonical)


@pytest.mark.parametrize(
    "key", [".", "exam ple.com", "-a.com", "a b", "x" * 64, "*.-a.com", "*..a", "[]"]
)
def test_1_5_a_key_that_is_not_valid_is_an_error(key: str) -> None:
    for document in both_places(key):
        problems = mapping_problems(document)
        assert len(problems) == 1
        assert key in told(problems)


BY_MAPPING = words(
    "\uff0a.test *\u3002test *\uff0etest *\uff61test \uff0a *.\uff0a.test *.\u3002test"
    " \uff0a\u3002test *.a\u3002\uff0a *.\u3002"
)


@pytest.mark.parametrize("key", BY_MAPPING, ids=short)
def test_1_5_a_wildcard_is_written_in_ascii(key: str) -> None:
    assert len(mapping_problems({key: {}})) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("Example.com", "example.com."), ("*.a.com", "*.A.com"), ("[IPv6:::1]", "[ipv6:0::1]")),
        *(("fa\u00df.de", "xn--fa-hia.de"), ("[10.0.0.1]", "[IPv6:::ffff:10.0.0.1]")),
    ],
)
def test_1_5_two_keys_of_one_table_with_one_canonical_form(one: str, other: str) -> None:
    for document in both_places(one, other):
        problems = mapping_problems(document)
        assert len(problems) == 1
        assert one in told(problems)
        assert other in told(problems)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("127.0.0.1:25", "[::ffff:127.0.0.1]:25"), ("[fe80::1]:25", "[fe80::1%eth0]:25")),
        *(("[2001:db8::1]:25", "[2001:DB8:0::1]:25"), ("[::1]:25", "[0::1]:25")),
    ],
)
def test_1_5_two_listener_keys_with_one_canonical_form(one: str, other: str) -> None:
    problems = mapping_problems({"listener": {one: {"a.com": {}}, other: {"b.com": {}}}})
    assert len(problems) == 1
    assert one in told(problems)
    assert other in told(problems)


def test_1_5_one_key_in_two_tables_is_no_error() -> None:
    policy = Policy.from_mapping({"A.com": {}, "listener": {LISTENER: {"a.com": {}}}})
    assert policy.decide("mx", OUTSIDER, "a.com").entry == ("*", "a.com")
    assert policy.decide(LISTENER, OUTSIDER, "a.com").entry == (LISTENER, "a.com")


# 1.6: identities


OTHERS: list[str | None] = ["Alice", "alice ", "alice\x00", "", None, "*", "alic", "\ud800"]


@pytest.mark.parametrize(
    ("listed", "auth"),
    [
        *(("alice", other) for other in OTHERS),
        *(("\u00e9", "e\u0301"), ("\u212a", "K"), ("a@a.com", "a@A.com"), ("*", "alice")),
        *(("None", None), ("", None), ("", " "), (" ", ""), ("\U0001f600", "?")),
    ],
    ids=short,
)
def test_1_6_identities_compare_code_point_for_code_point(listed: str, auth: str | None) -> None:
    entry = options(relay_from_authz=[listed])
    assert not evaluate(entry, OUTSIDER, auth).relay_from_authz
    assert evaluate(entry, OUTSIDER, listed).relay_from_authz


# 1.7: from an address to a domain

ADDRESSES: dict[str | None, list[str]] = {
    "": ["", *words("<> postmaster Postmaster <POSTMASTER>")],
    "c.example": words("a@c.example <a@c.example> <a@C.Example.> postmaster@c.example"),
    "c": [*words('"a@b"@c a@b@c @c <"a@b"@c> <a@c @@c c@c\u3002'), '" "@c'],
    "[10.0.0.1]": ["a@[10.0.0.1]", "<@[10.0.0.1]>"],
    None: [
        *words("alice a@ <a@> @ <@> <<>> <<a@c>> a@c> c.example <postmaster postmaster@ < > ><"),
        *words("<<postmaster>> a@* a@b@ a@. [10.0.0.1] *"),
        *(" ", "< >", "postmaster ", "a@c ", "post master"),
    ],
}


@pytest.mark.parametrize(
    ("address", "domain"),
    [(address, domain) for domain, addresses in ADDRESSES.items() for address in addresses],
    ids=short,
)
def test_1_7_from_an_address_to_a_domain(address: str, domain: str | None) -> None:
    asked: list[str] = []
    hooked = HookPolicy(lambda name, _listener, _connection: asked.append(name))
    answer = hooked.decide_rcpt(LISTENER, OUTSIDER, address, "x@y")
    assert (answer.accept, answer.sender.entry) == (False, None)
    assert set(asked) == {"y", domain} - {None}
    keys = {"*", "postmaster", *filter(None, ADDRESSES)}
    policy = Policy.from_mapping({key: {"relay_to": True} for key in keys})
    entry = None if domain is None else ("*", domain or "*")
    assert policy.decide_rcpt(LISTENER, OUTSIDER, "x@y", address).recipient.entry == entry
    assert policy.decide_rcpt(LISTENER, OUTSIDER, address, "x@y").sender.entry == entry
    assert policy.connection(LISTENER, OUTSIDER).decide_rcpt(address, "x@y").sender.entry == entry


# 1.4 once more: names too long to be matched at once


@pytest.mark.parametrize("length", range(6))
def test_1_4_what_is_valid_in_a_short_name_is_valid_in_a_long_one(length: int) -> None:
    for characters in product("a-._/", repeat=length):
        part = "".join(characters)
        for brief, long in (
            (f"{part}.x", f"{part}.{'x' * 63}"),
            (f"x.{part}.x", f"{'x' * 63}.{part}.x"),
            (f"x.{part}", f"{'x' * 63}.{part}"),
            (f"x{part}", f"{'x.' * 40}x{part}"),
        ):
            expected = canonical_domain(brief)
            found = canonical_domain(long)
            assert (found is None) is (expected is None), long
            if found is not None:
                assert found == long.removesuffix(".")
                assert canonical_domain(long.upper()) == found


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        (f"{'x' * 63}.{'x' * 63}.com", True),
        (f"{'x' * 63}.{'x' * 64}.com", False),
        (f"{'x' * 64}.com", False),
        (f"com.{'x' * 64}", False),
        (f"{'x.' * 126}x", True),
        (f"{'x.' * 126}x.", True),
        (f"{'x.' * 126}xx", False),
        (f"{'x.' * 31}x", True),
        (f"{'x.' * 32}x", True),
    ],
    ids=short,
)
def test_1_4_labels_and_names_have_their_lengths(name: str, valid: bool) -> None:
    assert canonical_domain(name) == (name.removesuffix(".") if valid else None)
