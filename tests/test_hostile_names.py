"""Any string may arrive from the network: it is decided about, at a bounded cost (rule 1.2)."""

import re
import sys
import tracemalloc
import unicodedata
from contextlib import suppress
from typing import Final

import pytest
from idna import alabel, uts46_remap
from support import calls_made

from listener_policy import (
    Connection,
    Decision,
    Dialect,
    EntryRef,
    HookPolicy,
    ListenerDomain,
    Policy,
    Reason,
    Report,
    RequestError,
    canonical_domain,
    evaluate,
)

PEER: Final = "203.0.113.9"
GENEROUS: Final = """
relay_to = true
relay_from = ["any"]
relay_from_authz = ["ann"]
log_oob = "LogThenRelay"
log_arf = "LogThenRelay"
"""
POLICIES: Final = {
    dialect: Policy.from_toml(
        f'["*"]{GENEROUS}[listener."10.1.2.3:25"."*"]{GENEROUS}', relay_hosts=[], dialect=dialect
    )
    for dialect in Dialect
}
"""Whoever and whatever has an entry at all may do anything."""

NOTHING: Final = evaluate(None, PEER, "ann")
HOSTILE: Final = {
    "NUL": "\x00",
    "NUL within": "a\x00.example",
    "newline": "a.example\n",
    "CR LF": "a.example\r\nRCPT TO:<b@c.example>",
    "escape sequence": "\x1b[2J.example",
    "delete": "a\x7f.example",
    "space": " ",
    "space within": "a b.example",
    "no-break space": "a\xa0b.example",
    "ideographic space": "a\u3000b.example",
    "line separator": "a\u2028b.example",
    "lone high surrogate": "\ud800",
    "lone low surrogate": "a\udfff.example",
    "surrogates in the wrong order": "a\udc00\ud800.example",
    "bidi override": "\u202eelpmaxe.a",
    "bidi isolate": "a\u2066b\u2069.example",
    "mixed directions": "\u05d0a.example",
    "asterisk": "*",
    "wildcard": "*.example",
    "fullwidth asterisk": "\uff0a.example",
    "percent hack": "a%b.example",
    "bang path": "a!b",
    "slash": "a/b.example",
    "quote": 'a"b.example',
    "backslash": "a\\b.example",
    "brackets": "<a.example>",
    "port": "a.example:25",
    "dot": ".",
    "dots": "..",
    "empty label": "a..example",
    "two trailing dots": "a.example..",
    "ideographic full stop": "\u3002",
    "hyphen first": "-a.example",
    "hyphen last": "a-.example",
    "ignored alone": "\u00ad",
    "label ignored": "a.\u00ad.example",
    "label of 64": "a" * 64 + ".example",
    "name of 254 octets": ".".join(["a" * 63] * 3 + ["a" * 62]),
    "name of 255 code points": "a." * 127 + "a",
    "too long unmapped": "a.example" + "\u00ad" * 246,
    "A-label too long": "\u00fc" * 60 + ".example",
    "joiner out of place": "a\u200db.example",
    "combining mark first": "\u0301a.example",
    "combining marks": "a" + "\u0315\u0300\u05ae\u0062" * 60,
    "emoji": "\U0001f44d.example",
    "private use": "\U0010ffff.example",
    "expanding": "\ufdfa" * 254,
    "Arabic digits": "\u0660" * 254,
    "U-label behind a prefix": "xn--\u00fc.example",
    "open bracket": "[",
    "no literal": "[a.example]",
    "literal with a zone": "[IPv6:fe80::1%eth0]",
    "literal with a prefix": "[10.0.0.0/8]",
    "literal that is open": "[10.0.0.1",
    "literal of another family": "[IPv6:10.0.0.1]",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
dialects = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)


def grants_all(decision: Decision) -> bool:
    """Whether an entry of `POLICIES` governs."""
    return (
        decision.entry in {EntryRef("*", "*"), EntryRef("10.1.2.3:25", "*")}
        and decision.relay_to
        and decision.relay_from
    )


def test_nothing_is_nothing() -> None:
    assert NOTHING.entry is None
    assert NOTHING.reason is Reason.DENIED


@dialects
def test_whoever_has_an_entry_may_do_anything(policy: Policy) -> None:
    for listener in ("10.1.2.3:25", "mx"):
        for domain in ("", "a.example", "[10.0.0.1]", "com"):
            assert grants_all(policy.decide(listener, PEER, domain, "ann"))


@hostile
@dialects
def test_a_name_that_is_not_valid_is_granted_nothing(policy: Policy, text: str) -> None:
    assert canonical_domain(text) is None
    for listener in ("10.1.2.3:25", "mx"):
        assert policy.decide(listener, PEER, text, "ann") == NOTHING
        assert policy.resolve(listener, text) is None
        connection = policy.connection(listener, PEER, "ann")
        assert connection.decide(text) == NOTHING
        for address in (f"a@{text}", f"<a@{text}>", f'"a@b"@{text}', f"@{text}"):
            answer = connection.decide_rcpt(address, address)
            assert answer.sender == answer.recipient == NOTHING
            assert not answer.accept
            for report in (None, *Report):
                after = answer.after_data(report)
                assert (after.accept, after.log, after.relay) == (False, False, False)


@hostile
def test_neither_side_takes_anything_from_a_name_that_is_not_valid(text: str) -> None:
    connection = POLICIES[Dialect.DOCUMENTED].connection("mx", PEER, "ann")
    sent = connection.decide_rcpt(f"a@{text}", "b@example.com")
    assert sent.sender == NOTHING
    assert grants_all(sent.recipient)
    received = connection.decide_rcpt("a@example.com", f"b@{text}")
    assert grants_all(received.sender)
    assert received.recipient == NOTHING


@hostile
@dialects
def test_an_identity_that_is_listed_nowhere_is_granted_nothing(policy: Policy, text: str) -> None:
    decision = policy.decide("mx", PEER, "a.example", text)
    assert grants_all(decision)
    assert not decision.relay_from_authz


@hostile
def test_an_address_without_a_domain_is_granted_nothing(text: str) -> None:
    connection = POLICIES[Dialect.DOCUMENTED].connection("mx", PEER, "ann")
    answer = connection.decide_rcpt(text, f"<{text}>")
    assert answer.sender == answer.recipient == NOTHING


@hostile
def test_the_hook_is_not_asked_about_a_name_that_is_not_valid(text: str) -> None:
    def hook(domain: str, listener: str, connection: Connection) -> ListenerDomain:
        raise AssertionError((domain, listener, connection))

    policy = HookPolicy(hook, relay_hosts=[], dialect=Dialect.KUMOMTA)
    assert policy.decide("mx", PEER, text) == NOTHING
    with pytest.raises(AssertionError):
        policy.decide("mx", PEER, "a.example")


@hostile
def test_1_1_a_peer_or_listener_that_is_refused_is_shown_short_and_plain(text: str) -> None:
    policy = POLICIES[Dialect.DOCUMENTED]
    with pytest.raises(RequestError) as caught:
        policy.decide("mx", text, "a.example")
    told = str(caught.value)
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 300
    with suppress(RequestError):  # any text that is no address is a name
        policy.decide(text, PEER, "a.example")


VALID: Final = {
    "253 octets": ".".join(["a" * 63] * 3 + ["a" * 61]),
    "253 octets and a dot": ".".join(["a" * 63] * 3 + ["a" * 61]) + ".",
    "127 labels": ".".join(["a"] * 127),
    "254 code points, most of them ignored": "a.example" + "\u00ad" * 245,
    "label of 63": "a" * 63 + ".example",
    "fullwidth": "\uff41\uff0e\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25",
    "astral letters": "\U0001d41a.example",
    "astral script": "\U00020000.example",
    "other full stop": "a\u3002example\uff61",
    "underscore": "_dmarc.example",
    "kept U-label": "fa\u00df.example",
    "A-label": "xn--fa-hia.example",
    "A-label that stands for nothing": "xn--a.example",
    "sign that maps to letters": "\u2121.example",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
@dialects
def test_a_strange_name_that_is_valid_has_its_entry(policy: Policy, text: str) -> None:
    assert grants_all(policy.decide("mx", PEER, text))
    assert grants_all(policy.decide_rcpt("mx", PEER, "", f"<a@{text}>").recipient)


LDH: Final = re.compile(r"[a-z0-9_.-]{1,253}")
NEVER_IN_A_NAME: Final = frozenset({"Cc", "Co", "Cs", "Zl", "Zp", "Zs"})
"""Controls, private use, surrogates, separators: none of them is mapped to something better."""


@pytest.mark.parametrize("plane", range(17))
def test_every_code_point_is_decided_about(plane: int) -> None:
    connection = POLICIES[Dialect.DOCUMENTED].connection("mx", PEER)
    unlisted = connection.decide("\x00")
    for code in range(plane << 16, (plane + 1) << 16):
        character = chr(code)
        name = f"a{character}b.example"
        decision = connection.decide(name)
        if decision.entry is None:
            assert decision == unlisted, ascii(name)
            assert not (character.isascii() and character.isalnum()), ascii(name)
        else:
            assert LDH.fullmatch(canonical_domain(name) or ""), ascii(name)
            assert unicodedata.category(character) not in NEVER_IN_A_NAME, ascii(name)
            assert not character.isascii() or character.isalnum() or character in "-._", name


TEN_MILLION: Final = 10_000_000
endless = pytest.mark.parametrize(
    "character", ["a", ".", "\u00ad", "[", "*", "%", " ", "\x00", "\ud800", "\U0001f44d"], ids=ascii
)


@endless
@dialects
def test_an_endless_name_is_granted_nothing(policy: Policy, character: str) -> None:
    text = character * TEN_MILLION
    connection = policy.connection("10.1.2.3:25", PEER, text)
    assert connection.decide(text) == NOTHING
    answer = connection.decide_rcpt(f"<a@{text}>", text)
    assert answer.sender == answer.recipient == NOTHING


@endless
def test_an_endless_name_is_not_looked_at(character: str) -> None:
    connection = POLICIES[Dialect.DOCUMENTED].connection("mx", PEER)
    short, text = character * 255, character * TEN_MILLION
    assert calls_made(lambda: connection.decide(text)) == calls_made(
        lambda: connection.decide(short)
    )
    assert calls_made(lambda: connection.decide(text)) < 50
    tracemalloc.start()
    try:
        connection.decide(text)
        assert tracemalloc.get_traced_memory()[1] < 10_000
        address = f"<a@{text}>"
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        connection.decide_rcpt(address, address)
        copied = tracemalloc.get_traced_memory()[1] - before
        assert copied < 2.1 * sys.getsizeof(address)  # without the brackets, then the domain
    finally:
        tracemalloc.stop()


COSTLY: Final = {
    "plain": ".".join(["a"] * 127),
    "one U-label": "\u00fc" * 58,
    "many U-labels": "\u00fc." * 127,
    "many ideographs": "\u4f8b." * 127,
    "ideographs": "\u4f8b" * 254,
    "expanding": "\ufdfa" * 254,
    "expanding into words": "\u3300" * 254,
    "combining marks": "a" + "\u0315\u0300\u05ae\u0062" * 63,
    "Arabic letters": ("\u0628" * 19 + ".") * 12,
    "joiners": "\u0915\u094d\u200d" * 84,
    "digits of two kinds": "\u0660\u06f0" * 127,
}
costly = pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
LONGEST_TEXT: Final = 254
LONGEST_MAPPING: Final = 18
"""To how many code points UTS 46 maps one."""


@costly
def test_idna_is_given_little(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remapped: list[int] = []
    labels: list[int] = []

    def counted_remap(domain: str, *, std3_rules: bool, transitional: bool) -> str:
        remapped.append(len(domain))
        return uts46_remap(domain, std3_rules=std3_rules, transitional=transitional)

    def counted_a_label(label: str) -> bytes:
        labels.append(len(label))
        return alabel(label)

    monkeypatch.setattr("listener_policy.domains.uts46_remap", counted_remap)
    monkeypatch.setattr("listener_policy.domains.alabel", counted_a_label)
    connection = Policy.from_toml(f'["*"]{GENEROUS}').connection("mx", PEER)
    connection.decide(text)
    assert remapped == ([] if text.isascii() else [len(text)])
    assert len(text) <= LONGEST_TEXT
    assert max(labels, default=0) <= 59  # an A-label has 63 octets, `xn--` among them
    assert sum(labels) <= LONGEST_TEXT * LONGEST_MAPPING
    remapped.clear()
    labels.clear()
    connection.decide(text + "\u00fc" * LONGEST_TEXT)
    assert remapped == labels == []


@costly
def test_the_costliest_names_cost_a_bounded_number_of_calls(text: str) -> None:
    connection = POLICIES[Dialect.DOCUMENTED].connection("mx", PEER)
    assert calls_made(lambda: connection.decide(text)) < 20_000


@pytest.mark.parametrize("dialect", Dialect)
def test_names_are_looked_up_no_deeper_than_patterns_go(dialect: Dialect) -> None:
    def cost(policy: Policy, labels: int) -> int:
        name = "x." * (labels - 1) + "y"
        policy.decide("mx", PEER, "")  # the listener is known from now on
        return calls_made(lambda: policy.decide("mx", PEER, name))

    shallow = Policy.from_toml('["*"]\n["*.a.b.c"]\n', dialect=dialect)
    assert cost(shallow, 127) == cost(shallow, 100) <= cost(shallow, 3) + 25
    deep = Policy.from_toml(f'["*"]\n["*.{".".join("c" * 120)}"]\n', dialect=dialect)
    assert cost(deep, 127) <= cost(shallow, 127) + 3 * 120


@pytest.mark.parametrize("dialect", Dialect)
def test_a_decision_costs_the_same_however_many_entries_there_are(dialect: Dialect) -> None:
    def cost(entries: int) -> int:
        table = {f"n{number}.example": {"relay_to": True} for number in range(entries)}
        policy = Policy.from_mapping({**table, "*": {}}, dialect=dialect)
        return calls_made(lambda: policy.decide("mx", PEER, "a.b.n0.example", "ann"))

    assert cost(1) <= cost(100) == cost(1_000)
    # exact names that are many are not known from the beginning; they are looked for
    assert cost(5_000) == cost(10_000) <= cost(1_000) + 4
