"""Messages: what was expected, what was found, and what was probably meant (1.5, 2.2, 3.1)."""

import pytest
from support import OUTSIDER, esmtp, mapping_problems, problems_of, untyped

from listener_policy import (
    CidrSet,
    EsmtpListener,
    HookPolicy,
    Policy,
    PolicyConfig,
    PolicyError,
    RequestError,
    canonical_domain,
    envelope_domain,
    evaluate,
)

EMPTY = "a domain: the empty domain has no entry of its own, `*` governs it"
LITERAL = "a domain: a literal is `[ipv4]` or `[IPv6:ipv6]`, without a zone"
U_LABEL = "a domain: each label that is not ASCII must be a valid U-label of IDNA 2008"
NAME_TOO_LONG = "a domain: at most 253 octets"
LABEL_TOO_LONG = "a domain: each label has at most 63 octets"
NO_LABEL = "a domain: no label is empty"
HYPHEN = "a domain: no label begins or ends with a hyphen"
CHARACTERS = "a domain: letters, digits, `_` and `-` only"
STAR = "a domain, `*.` before a domain, or `*`; any other `*` matches nothing"
MAPPED_STAR = "a domain: a `*` must be written in ASCII"

KEYS = {
    "": (EMPTY, "*"),
    "*.": (EMPTY, "*"),
    ".": (NO_LABEL, None),
    "..": (NO_LABEL, None),
    ".a.": (NO_LABEL, "a"),
    "a..b": (NO_LABEL, None),
    " a.com.. ": (NO_LABEL, "a.com"),
    "\u00fc.\u3002": (NO_LABEL, None),
    "*. ": (CHARACTERS, "*"),
    "@": (CHARACTERS, None),
    "a@": (CHARACTERS, None),
    "x Y.": (CHARACTERS, None),
    "a-b.-c": (HYPHEN, None),
    "a-b c.d": (CHARACTERS, None),
    "ann@a.com": (CHARACTERS, "a.com"),
    "ann@XX.com": (CHARACTERS, "xx.com"),
    "ann@X.": (CHARACTERS, "x"),
    "a@X.X": (CHARACTERS, "x.x"),
    "ann@a b": (CHARACTERS, None),
    "-": (HYPHEN, None),
    "-a.com": (HYPHEN, None),
    "ab-.com": (HYPHEN, None),
    "-a.": (HYPHEN, None),
    "x" * 63 + ".-": (HYPHEN, None),
    "x" * 64: (LABEL_TOO_LONG, None),
    "X" * 64 + ".": (LABEL_TOO_LONG, None),
    "x." * 125 + "xx -": (NAME_TOO_LONG, None),
    "x." * 125 + "x-.": (HYPHEN, None),
    "x." * 125 + "xx-": (HYPHEN, None),
    "\u2603.com": (U_LABEL, None),
    "\u00fc-.com": (U_LABEL, None),
    "\u00fc" * 60: (U_LABEL, None),
    "\uff0a.com": (MAPPED_STAR, None),
    "\uff41 b.com": (CHARACTERS, None),
    "[10.0.0.1": (LITERAL, None),
    "*.[::1]": (LITERAL, None),
    "*.[10.0.0.1]": ("a domain behind `*.`: an address literal has no subdomains", "[10.0.0.1]"),
    "**": (STAR, None),
    "*a.com": (STAR, "*.a.com"),
    "*X.com": (STAR, "*.x.com"),
    "*.*.com": (STAR, "*.com"),
    "a.*.com": (STAR, None),
    "a.com.*": (STAR, None),
    "*.*.[10.0.0.1]": (STAR, None),
}


def shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


@pytest.mark.parametrize(
    ("key", "expected", "meant"), [(key, *why) for key, why in KEYS.items()], ids=range(len(KEYS))
)
def test_a_key_that_is_no_pattern_is_told_why(key: str, expected: str, meant: str | None) -> None:
    (problem,) = mapping_problems({key: {}})
    found = f"`{shortened(key)}`" if key else "an empty string"
    assert problem.message == f"expected {expected}, found {found}"
    assert problem.hint == (meant and f"did you mean `{meant}`?")


def test_a_key_that_is_too_long_is_told_so() -> None:
    (text,) = mapping_problems({"x" * 255: {}})
    assert text.message == f"expected at most 254 characters, found `{'x' * 97}...`"
    (suffix,) = mapping_problems({"*." + "x." * 125 + "xx": {}})
    assert suffix.message == (
        "expected at most 251 octets behind `*.`: no longer name can have a subdomain, "
        f"found `*.{'x.' * 47}x...`"
    )
    assert text.hint is suffix.hint is None


BLOCKS = {
    **dict.fromkeys(["*", "all", "ANY", "Any", " a n\ty ", "any%eth0"], "any"),
    **dict.fromkeys(["10/8", "010/8", "10/255.0.0.0", "10.0.0.0/0.255.255.255"], "10.0.0.0/8"),
    **dict.fromkeys(["10.00.0.1/08", "10.0.0.0/+8", " 10.0.0.0 /8"], "10.0.0.0/8"),
    **dict.fromkeys(["+10.0.0.1", "010.0.0.1", "10.0.0.1%eth0"], "10.0.0.1"),
    " " * 92 + "10.0.0.1": "10.0.0.1",
    # what was meant by a long text nobody could say; its beginning may be an address by chance
    **dict.fromkeys([" " * 93 + "10.0.0.1", " " * 92 + "10.0.0.123", " " * 98 + "any"]),
    "10.1/16": "10.1.0.0/16",
    "10.1.2/24": "10.1.2.0/24",
    "192.168.1.20/0024": "192.168.1.0/24",
    "FE80::1%eth0": "fe80::1",
    "fe80::1%eth0/64": "fe80::/64",
    "2001:0db8::01/0128": "2001:db8::1",
    " fe01::1": "fe01::1",
    **dict.fromkeys(["", "x", "0", "10", "10/", "%any", "10.0.0.0/33", "2001:db8::/129"]),
    **dict.fromkeys(["10.1.2.3.4/24", "0x10.0.0.1", "any/8", "a00g::1"]),
}


@pytest.mark.parametrize(("text", "meant"), BLOCKS.items(), ids=range(len(BLOCKS)))
def test_a_text_that_is_no_block_is_asked_about(text: str, meant: str | None) -> None:
    (problem,) = problems_of(lambda: CidrSet(["::1", text]))
    assert problem.path == "[1]"
    assert problem.message.startswith("expected `ip`, `ip/length` or `any`, found ")
    assert problem.hint == (meant and f"did you mean `{meant}`?")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.0.0.1/24", "10.0.0.0/24"),
        ("10.0.0.1/0", "10.0.0.1"),
        ("2001:db8::1/32", "2001:db8::/32"),
    ],
    ids=str,
)
def test_3_1_a_bit_beyond_the_length_is_told_so(text: str, meant: str) -> None:
    (problem,) = problems_of(lambda: CidrSet([text]))
    length = text.partition("/")[2]
    expected = f"a CIDR block with no bit set beyond its length, {length}"
    assert problem.message == f"expected {expected}, found `{text}`"
    assert problem.hint == f"did you mean `{meant}`?"


def test_what_is_no_list_of_blocks_is_no_place_in_it() -> None:
    (problem,) = problems_of(lambda: CidrSet(untyped("10.0.0.0/8")))
    assert problem.path == ""
    assert "expected a list of CIDR blocks, found the string" in problem.message


def test_what_is_no_hook_is_described() -> None:
    (problem,) = problems_of(lambda: HookPolicy(untyped("hook")))
    assert (problem.path, problem.hint) == ("get_listener_domain", None)
    assert problem.message == 'expected a function, found the string `"hook"`'


@pytest.mark.parametrize(("answer", "found"), [(1, "the integer `1`"), ({}, "a table")], ids=str)
def test_an_answer_that_is_no_entry_is_described(answer: object, found: str) -> None:
    expected = f"expected a `ListenerDomain` or `None`, found {found}"
    policy = HookPolicy(lambda _domain, _listener, _connection: untyped(answer))
    with pytest.raises(PolicyError) as caught:
        policy.decide("mx", OUTSIDER, "a.com")
    assert str(caught.value) == f"get_listener_domain: {expected}"
    with pytest.raises(PolicyError) as caught:
        evaluate(untyped(answer), OUTSIDER)
    assert str(caught.value) == f"options: {expected}"


def test_an_answer_that_must_be_awaited_is_told_what_to_do() -> None:
    async def later(*_: object) -> None:
        raise AssertionError

    with pytest.raises(PolicyError) as caught:
        HookPolicy(untyped(later)).decide("mx", OUTSIDER, "a.com")
    assert str(caught.value) == (
        "get_listener_domain: expected a `ListenerDomain` or `None`, found a value of type "
        "`coroutine`; await the entry first and give it to `evaluate`"
    )


def test_a_policy_of_something_else_is_described() -> None:
    (problem,) = problems_of(lambda: Policy(untyped(1)))
    assert problem.message == "expected a `PolicyConfig`, found the integer `1`"


def test_what_is_no_text_is_shown_with_the_name_of_the_argument() -> None:
    with pytest.raises(RequestError, match=r"^domain: expected a string, found `5`$"):
        canonical_domain(untyped(5))
    with pytest.raises(RequestError, match=r"^address: expected a string, found `5`$"):
        envelope_domain(untyped(5))
    (problem,) = problems_of(lambda: CidrSet([untyped(5)]))
    assert problem.message == "expected `ip`, `ip/length` or `any`, found the integer `5`"
    assert (problem.path, problem.hint) == ("[0]", None)


AN_ADDRESS = "an address with its port"
A_PORT = "`ip:port` or `[v6]:port`, the port from 0 to 65535"
ONE_LISTENER = "the address of one listener, or its name"
A_LISTENER = "`ip:port`, `[v6]:port`, a name or a socket address tuple"
A_PEER = (
    "an address (`10.0.0.7`, `10.0.0.7:4711`, `[2001:db8::7]:4711`, a socket address tuple or an "
    "`ipaddress` object)"
)


@pytest.mark.parametrize(
    ("text", "expected", "meant"),
    [
        *(("", ONE_LISTENER, None), ("[::1]", A_PORT, None), ("10.0.0.1:x", A_PORT, None)),
        ("10.0.0.1", AN_ADDRESS, "10.0.0.1:25"),
        ("fe80::1%eth0", AN_ADDRESS, "[fe80::1]:25"),
    ],
    ids=str,
)
def test_a_text_that_is_no_listener_is_told_why(
    text: str, expected: str, meant: str | None
) -> None:
    (problem,) = mapping_problems({"listener": {text: {}}})
    found = f"`{text}`" if text else "an empty string"
    assert problem.message == f"expected {expected}, found {found}"
    assert problem.hint == (meant and f"did you mean `{meant}`?")
    with pytest.raises(RequestError) as caught:
        Policy.from_toml("").decide(text, OUTSIDER, "a.com")
    assert str(caught.value) == f"listener: expected {expected}, found `'{text}'`"


def test_every_listener_is_no_listener() -> None:
    (problem,) = problems_of(lambda: EsmtpListener.from_toml("[[esmtp_listener]]\nlisten = '*'"))
    assert problem.message == f"expected {ONE_LISTENER}, found `*`"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("*", OUTSIDER, ""), f"listener: expected {ONE_LISTENER}, found `'*'`"),
        ((5, OUTSIDER, ""), f"listener: expected {A_LISTENER}, found `5`"),
        ((("x", 25), OUTSIDER, ""), f"listener: expected {A_LISTENER}, found `('x', 25)`"),
        (("mx", "x", ""), f"peer: expected {A_PEER}, found `'x'`"),
        (("mx", OUTSIDER, "", 5), "auth: expected a string or `None`, found a `int`"),
    ],
    ids=range(5),
)
def test_a_question_that_cannot_be_understood_is_shown(question: object, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        Policy.from_toml("").decide(*untyped(question))
    assert str(caught.value) == message


MX = esmtp("mx")
LISTENERS = "listeners: expected a list of `EsmtpListener`s, found"
BLOCK_LIST = "relay_hosts: expected a list of CIDR blocks, found"
A_DIALECT = "dialect: expected a `Dialect`, found"
ARGUMENTS: list[tuple[str, object, list[str]]] = [
    ("listeners", 5, [f"{LISTENERS} the integer `5`"]),
    ("listeners", MX, [f"{LISTENERS} a value of type `EsmtpListener`; put it in a list"]),
    (
        "listeners",
        (MX, "mx"),
        ['listeners[1]: expected an `EsmtpListener`, found the string `"mx"`'],
    ),
    ("listeners", [MX, MX], ["listeners[1].listen: `mx` is listed twice"]),
    ("relay_hosts", 5, [f"{BLOCK_LIST} the integer `5`"]),
    ("relay_hosts", "::1", [f'{BLOCK_LIST} the string `"::1"`; put it in a list']),
    (
        "relay_hosts",
        ["::1", "x"],
        ["relay_hosts[1]: expected `ip`, `ip/length` or `any`, found `x`"],
    ),
    ("dialect", 5, [f"{A_DIALECT} the integer `5`"]),
    ("dialect", "kumo", [f'{A_DIALECT} the string `"kumo"`']),
    (
        "dialect",
        "kumomta",
        [f"{A_DIALECT} the string `\"kumomta\"`; did you mean `Dialect('kumomta')`?"],
    ),
]


@pytest.mark.parametrize(("name", "value", "problems"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_an_argument_that_is_wrong_is_described(
    name: str, value: object, problems: list[str]
) -> None:
    argument = untyped({name: value})
    for make in (
        lambda: Policy(PolicyConfig(), **argument),
        lambda: Policy.from_toml("", **argument),
        lambda: Policy.from_json("{}", **argument),
        lambda: Policy.from_mapping({}, **argument),
        lambda: HookPolicy(lambda _domain, _listener, _connection: None, **argument),
    ):
        assert [str(problem) for problem in problems_of(make)] == problems


def test_a_config_that_is_a_mapping_is_asked_about() -> None:
    (problem,) = problems_of(lambda: Policy(untyped({})))
    assert str(problem) == (
        "config: expected a `PolicyConfig`, found a table; did you mean `Policy.from_mapping`?"
    )
