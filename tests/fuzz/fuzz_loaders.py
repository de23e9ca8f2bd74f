"""Whatever is loaded, the outcome is what was asked for or a `ConfigError` (rule 3.4).

The same bytes are read as TOML, as JSON, as text of both kinds, and as trees of objects.
"""

import json
import pickle
import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from ipaddress import IPv6Address, ip_network
from typing import Any, TypeVar

import model
import tomli

from fuzz import lenient
from listener_policy import (
    CidrSet,
    ConfigError,
    Dialect,
    EsmtpListener,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyConfig,
    Problem,
)

T = TypeVar("T")
Text = str | bytes

LONGEST_MESSAGE = 1000
FOREIGN = ("pydantic", "tomli")
"""What operators need not have heard of."""


def check(data: bytes) -> None:
    """Load the bytes in every way; raise whatever should not have happened."""
    for load in (load_toml, load_json, load_listeners):
        outcomes = [load(text, data) for text in texts(data)]
        assert not is_utf8(data) or outcomes[0] == outcomes[1]
    documents, is_plain = trees(data)
    policy = outcome(lambda: Policy.from_mapping(*documents), data)
    if isinstance(policy, Policy):
        check_policy(policy)
        if is_plain:
            check_entries(policy.config, documents)
    for document in documents:
        if not isinstance(document, str | bytes):
            refused = outcome(partial(EsmtpListener.from_toml, document), data)
            assert isinstance(refused[0], Problem)


# What is loaded


def is_utf8(data: bytes) -> bool:
    """Whether `str` and `bytes` are the same document."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def texts(data: bytes) -> list[Text]:
    """The bytes, and what programs make of them that are not particular about UTF-8."""
    return list(dict.fromkeys([data, data.decode(errors="surrogateescape"), lenient(data)]))


def load_toml(text: Text, data: bytes) -> object:
    """A policy from TOML."""
    policy = outcome(lambda: Policy.from_toml(text), data)
    if isinstance(policy, Policy):
        check_policy(policy)
        check_entries(policy.config, [tomli.loads(decoded(text))])
    return policy


def load_json(text: Text, data: bytes) -> object:
    """A policy from JSON."""
    policy = outcome(lambda: Policy.from_json(text), data)
    if isinstance(policy, Policy):
        check_policy(policy)
        check_entries(policy.config, [json.loads(decoded(text))])
    return policy


def load_listeners(text: Text, data: bytes) -> object:
    """Listeners from TOML; a policy that has them is as good as any."""
    listeners = outcome(lambda: EsmtpListener.from_toml(text), data)
    loaded = [listener for listener in listeners if isinstance(listener, EsmtpListener)]
    if len(loaded) == len(listeners):
        tables = tomli.loads(decoded(text)).get("esmtp_listener", [])
        written = [(table["listen"], table.get("relay_hosts")) for table in tables]
        stated = [(listener.listen, listener.relay_hosts) for listener in loaded]
        assert stated == [
            (model.canonical_listener(listen), None if blocks is None else blocks_of(blocks))
            for listen, blocks in written
        ]
        check_policy(Policy.from_mapping(listeners=loaded))
    return listeners


def decoded(text: Text) -> str:
    """A text that was accepted, without a byte order mark."""
    return (text if isinstance(text, str) else text.decode()).removeprefix("\ufeff")


# What must hold


def outcome(load: Callable[[], T], data: bytes) -> T | tuple[Problem, ...]:
    """What is loaded, or the problems; whatever else is raised goes through."""
    try:
        return load()
    except ConfigError as error:
        check_error(error, data)
        return error.problems


def check_error(error: ConfigError, data: bytes) -> None:
    """Hold an error to what operators are promised (rule 3.4)."""
    assert error.problems
    for problem in error.problems:
        assert problem.message.strip()
        assert is_a_line(problem.message)
        assert len(problem.message) <= LONGEST_MESSAGE, len(problem.message)
        assert is_a_line(problem.path)
        assert problem.hint is None or (problem.hint.strip() and is_a_line(problem.hint))
    several = len(error.problems) > 1
    told = str(error)
    assert len(told.splitlines()) == len(error.problems) + several
    for word in FOREIGN:
        assert word not in told.lower() or may_say(data, word), told


def is_a_line(text: str) -> bool:
    """Whether a text can be shown on a terminal and in a log, as one line."""
    return text.isprintable()


def may_say(data: bytes, word: str) -> bool:
    """Whether a word that is shown may have come from the document, in some spelling."""
    read = unicodedata.normalize("NFKC", lenient(data)).lower()
    return "\\" in read or word in "".join(filter(str.isalnum, read))


def check_policy(policy: Policy) -> None:
    """Hold a policy to being what it is written as (rules 2.8 and 5.1)."""
    config = policy.config
    arguments: dict[str, Any] = {"relay_hosts": policy.relay_hosts, "listeners": policy.listeners}
    mapping = config.to_mapping()
    for again in (
        Policy.from_toml(config.to_toml(), **arguments),
        Policy.from_mapping(mapping, **arguments),
        Policy.from_json(json.dumps(mapping, ensure_ascii=False), **arguments),
        Policy(PolicyConfig.merge(config, config), **arguments),
        pickle.loads(pickle.dumps(policy)),
    ):
        assert again == policy
        assert hash(again) == hash(policy)
        assert again.fingerprint == policy.fingerprint
        assert again.config == config
        assert hash(again.config) == hash(config)
        kumomta = [Policy(one, dialect=Dialect.KUMOMTA) for one in (again.config, config)]
        assert kumomta[0] == kumomta[1]
        assert kumomta[0].fingerprint == kumomta[1].fingerprint
    assert repr(policy)


def check_entries(config: PolicyConfig, documents: Iterable[Any]) -> None:
    """Hold a configuration to having the entries that the model finds, and no others."""
    tables = model.merged(documents)
    found = {listener: set(patterns) for listener, patterns in config.entries.items() if patterns}
    assert found == {listener: set(table) for listener, table in tables.items() if table}
    for listener, patterns in config.entries.items():
        for pattern, options in patterns.items():
            written = tables[listener][pattern]
            assert options.relay_to is written.get("relay_to", False)
            assert options.relay_from == blocks_of(written.get("relay_from", []))
            assert options.relay_from_authz == frozenset(written.get("relay_from_authz", []))
            assert options.log_oob == written.get("log_oob", False)
            assert options.log_arf == written.get("log_arf", False)


def blocks_of(blocks: Iterable[str]) -> CidrSet:
    """The set of blocks as the model reads them."""
    return CidrSet(block if block == "any" else model.cidr_block(block) for block in blocks)


# Trees of objects


DEPTH = 1100
"""Deeper than Python calls functions."""


def nested(wrap: Callable[[object], object]) -> object:
    """A value within a value and so on."""
    value: object = {}
    for _ in range(DEPTH):
        value = wrap(value)
    return value


WORDS = (
    *("listener", "esmtp_listener", "listen", "relay_hosts", "relay_to", "relay_from"),
    *("relay_from_authz", "log_oob", "log_arf", "log_fbl", "ttl", "Ignore", "LogThenDrop"),
    *("LogThenRelay", "*", "*.", "a.com", "A.COM.", "*.a.com", "b\u00fccher.a.com", "example"),
    *("[10.0.0.1]", "[IPv6:2001:db8::1]", "10.1.2.3:25", "[::ffff:10.1.2.3]:25", "mx", "any"),
    *("10.0.0.0/8", "::/0", "2001:db8::/32", "::ffff:10.0.0.0/104", "10.0.0.1/24", "10/8", ""),
    *("xn--bcher-kva.a.com", "\u3002", "\u00ad", "\ud800", "\U000e0001", "\x85", "ann", "relay-to"),
)
"""What bytes that are no ASCII stand for."""
VALUES = (
    *(float("nan"), float("-inf"), -0.0, 1e22, 2**64, -(10**5000), 2**63, Decimal(1)),
    *(b"any", bytearray(b"a"), "\u00fc" * 70, "a" * 5000),
    *(date(2026, 1, 2), time(3, 4), datetime(2026, 1, 2, tzinfo=UTC)),
    *(nested(lambda value: [value]), nested(lambda value: {"a": [value]})),
)
"""What most capital letters stand for."""
OBJECTS = (
    *(ListenerDomain(relay_to=True), CidrSet(["10.0.0.0/8", "::1"]), LogReport.LOG_THEN_RELAY),
    *(IPv6Address("::1"), ip_network("10.0.0.0/8")),
)
"""What programs may put into a document beside what parsers do."""
LETTERS: dict[str, object] = dict(zip(string.ascii_uppercase, (*VALUES, *OBJECTS), strict=False))
"""What capital letters stand for, the last few aside."""

TOKEN = re.compile(
    rb'(?P<skip>[\s,:])|(?P<open>[{\[(<])|(?P<close>[}\])>])|"(?P<text>[^"]*)"?'
    rb"|(?P<number>[-+0-9][-+.0-9eE]*)|(?P<constant>[tfn][a-z]*)|(?P<letter>[A-V])|(?P<word>.)",
    re.DOTALL,
)
CONSTANTS = {b"t": True, b"f": False, b"n": None}


def trees(data: bytes) -> tuple[list[Any], bool]:
    """The objects that bytes stand for, and whether they are free of `OBJECTS`.

    It is JSON in which nothing is an error: commas and colons mean nothing, what is open at the
    end is closed, `()` is a tuple and `<>` a set. Any other byte stands for a value or a word.
    """
    opened: list[bytes] = []
    items: list[list[object]] = [[]]
    is_plain = True

    def close() -> None:
        made = container(opened.pop(), items.pop())
        items[-1].append(made)

    for token in TOKEN.finditer(data):
        kind, text = str(token.lastgroup), token[token.lastgroup or 0]
        if kind == "open":
            opened.append(text)
            items.append([])
        elif kind == "close" and opened:
            close()
        elif kind == "letter":
            value = LETTERS[text.decode()]
            is_plain = is_plain and not any(value is one for one in OBJECTS)
            items[-1].append(value)
        elif kind not in ("close", "skip"):
            items[-1].append(scalar(kind, text))
    while opened:
        close()
    return items[0], is_plain


def scalar(kind: str, text: bytes) -> object:
    """The value of a text, number, constant or word."""
    if kind == "text":
        return lenient(text)
    if kind == "constant":
        return CONSTANTS[text[:1]]
    if kind == "word":
        return WORDS[text[0] % len(WORDS)]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text.decode()


def container(opened: bytes, items: list[object]) -> object:
    """The table, list, tuple or set of some items."""
    if opened == b"{":
        return dict(zip(map(hashable, items[::2]), items[1::2], strict=False))
    if opened == b"(":
        return tuple(items)
    return set(map(hashable, items)) if opened == b"<" else items


def hashable(value: object) -> object:
    """A value that can be a key."""
    try:
        hash(value)
    except TypeError:
        return type(value).__name__
    return value
