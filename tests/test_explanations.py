"""The text of explanations: what operators read, word for word, and how it fits a terminal.

What is expected is in `data/explanations`. `PYTHONPATH=tests python tests/test_explanations.py`
writes it anew from what is explained now; read the difference before it is committed.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import esmtp, table

from listener_policy import Dialect, Explanation, Policy, RcptExplanation, strategies
from listener_policy._tree import Tree, drawn, name

EXPECTED: Final = Path(__file__).parent / "data" / "explanations"

GUIDE: Final = """
["*"]
log_oob = true
["*.example.com"]
relay_to = true
log_arf = true
["send.example.com"]
relay_from = ["10.0.0.0/24"]
["deep.a.b.example.com"]
relay_to = true
["auth.example.com"]
relay_from_authz = ["ann", "bob"]
["loop.example.com"]
log_oob = "LogThenRelay"
log_arf = "LogThenDrop"
[listener."192.0.2.25:25"."*.example.com"]
relay_to = false
[listener."192.0.2.25:25"."x.y.example.com"]
relay_to = true
"""


def guide(dialect: Dialect = Dialect.DOCUMENTED) -> Policy:
    listeners = [esmtp("192.0.2.25:25", ["127.0.0.1"]), esmtp("0.0.0.0:587", ["10.1.0.0/16"])]
    return Policy.from_toml(GUIDE, listeners=listeners, dialect=dialect)


OUTSIDE: Final = ("elsewhere", "203.0.113.9")
AT_587: Final = ("192.0.2.25:587", "::ffff:10.1.2.3")
GATEWAY: Final = ("192.0.2.25:25", "203.0.113.9")
KUMOMTA: Final = guide(Dialect.KUMOMTA)
LARGE: Final = Policy.from_mapping(
    {
        "example.com": {
            "relay_from": [f"10.{number}.0.0/24" for number in range(1234)[:250]],
            "relay_from_authz": [f"user{number}" for number in range(1234)],
        }
    }
)
LONG: Final = Policy.from_mapping(table(["*", *("*" + n * ".a" for n in range(1, 40))]))
HOSTILE: Final = "\x1b[2J\u202e\ud800 \"'\u4f8b\u3048" * 1000

CASES: Final[dict[str, Callable[[], Explanation | RcptExplanation]]] = {
    "relayed_by_suffix": lambda: guide().explain_rcpt(*OUTSIDE, "a@b.test", "b@www.example.com"),
    "refused": lambda: guide().explain_rcpt(*GATEWAY, "ann@example.net", "bob@y.example.com"),
    "relay_hosts_exempts_from_reports": lambda: guide().explain_rcpt(
        *AT_587, "<>", "<bob@loop.example.com>"
    ),
    "relay_hosts_in_kumomta": lambda: KUMOMTA.explain_rcpt(*AT_587, "<>", "b@loop.example.com"),
    "report_that_may_not_be_relayed": lambda: guide().explain_rcpt(
        *OUTSIDE, "", "bob@loop.example.com"
    ),
    "report_that_is_relayed_in_kumomta": lambda: KUMOMTA.explain_rcpt(
        *OUTSIDE, "", "bob@loop.example.com"
    ),
    "sender_by_block": lambda: guide().explain_rcpt(
        "elsewhere", "10.0.0.7", "ann@Send.Example.com.", "x@example.org"
    ),
    "not_taken_from_the_recipient": lambda: guide().explain_rcpt(
        "elsewhere", "10.0.0.7", "ann@www.example.com", "bob@send.example.com"
    ),
    "addresses_without_a_domain": lambda: guide().explain_rcpt(*OUTSIDE, "ann", "bob@a@"),
    "postmaster": lambda: guide().explain_rcpt(*OUTSIDE, "<>", "<PostMaster>"),
    "one_domain": lambda: guide().explain(*OUTSIDE, "auth.example.com", "eve"),
    "one_domain_by_identity": lambda: guide().explain(*OUTSIDE, "auth.example.com", "ann"),
    "one_domain_reports_only": lambda: guide().explain(*OUTSIDE, "loop.example.com"),
    "half_of_a_recipient": lambda: (
        guide().explain_rcpt(*OUTSIDE, "", "b@\u4f8b\u3048.example").recipient
    ),
    "closest_encloser": lambda: KUMOMTA.explain(*OUTSIDE, "c.b.example.com"),
    "closest_encloser_in_both_tables": lambda: KUMOMTA.explain(*GATEWAY, "z.y.example.com"),
    "the_name_is_a_node": lambda: KUMOMTA.explain(*OUTSIDE, "a.b.example.com"),
    "nothing_governs": lambda: Policy.from_toml("").explain(*OUTSIDE, "[10.0.0.1]"),
    "nothing_governs_in_a_tree": lambda: Policy.from_mapping(
        table(["*.a", "x.b.a"]), dialect=Dialect.KUMOMTA
    ).explain(*OUTSIDE, "c.b.a"),
    "not_valid": lambda: guide().explain(*OUTSIDE, "exam ple.com"),
    "long_lists": lambda: LARGE.explain(*OUTSIDE, "example.com", "mallory"),
    "many_suffixes": lambda: LONG.explain(*OUTSIDE, "a" + 40 * ".a"),
    "hostile": lambda: Policy.from_mapping(
        {
            "listener": {
                HOSTILE: {
                    "*": {"relay_from_authz": [HOSTILE, "a" + HOSTILE]},
                    "*." + ".".join(["x" * 60] * 4): {},
                }
            }
        }
    ).explain_rcpt(HOSTILE, "2001:db8:1111:2222:3333:4444:5555:6666", HOSTILE, "@" + HOSTILE, "e"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read(case: str) -> None:
    expected = (EXPECTED / f"{case}.txt").read_text(encoding="utf-8")
    assert f"{CASES[case]()}\n" == expected


def test_nothing_else_is_expected() -> None:
    assert sorted(path.stem for path in EXPECTED.iterdir()) == sorted(CASES)


def columns(line: str) -> int:
    """How many columns a line takes, on a terminal on which ambiguous characters are wide."""
    return sum(2 if east_asian_width(character) in "WFA" else 1 for character in line)


def check_text(text: str) -> None:
    for line in text.split("\n"):
        assert line
        assert line.isprintable()
        assert columns(line) <= 80
        assert line == line.rstrip()
    first, *others = text.split("\n")
    assert re.fullmatch(
        r"(250 2\.1\.5 OK|550 5\.7\.1 relaying not permitted|may send: (yes|no), may receive: "
        r"(yes|no|reports only))  (RELAY_(HOSTS|FROM|FROM_AUTHZ|TO)|LOG_(ARF|OOB)|DENIED)",
        first,
    )
    assert all(re.match(r"(\|  |   )*(\|-|`-|\| | {2})", line) for line in others)


@pytest.mark.parametrize("case", CASES)
def test_every_line_has_80_columns_at_most(case: str) -> None:
    explanation = CASES[case]()
    check_text(str(explanation))
    assert len(repr(explanation)) < 1000


_ugly = st.text(
    "\x00\x1b\n\t\r \u202e\ud800\udfff\u3000\u4f8b\uff21\u00ad\"'\\`|-ab.@", max_size=300
)
_names = st.sampled_from(["x" * 10_000, "\u4f8b" * 500, "a b " * 99]) | _ugly


@given(_names.filter(lambda text: not re.match(r"\[|\Z|\*\Z|[0-9.]*:", text)), _names, _names)
def test_names_from_the_network_cannot_break_the_text(
    listener: str, asked: str, identity: str
) -> None:
    policy = Policy.from_mapping(
        {
            "*": {"relay_from_authz": [identity, "ann"], "log_oob": True},
            "listener": {listener: {"*": {"relay_from_authz": ["bob", f"{identity}."]}}},
        }
    )
    for auth in (None, identity, asked):
        check_text(str(policy.explain(listener, "2001:db8::1", asked, auth)))
        explanation = policy.explain_rcpt(listener, "::1", asked, f"<b@{asked}>", auth)
        check_text(str(explanation))
        check_text(str(explanation.recipient))


@given(st.data(), strategies.policies())
def test_every_explanation_fits(data: st.DataObject, policy: Policy) -> None:
    check_text(str(policy.explain_rcpt(*data.draw(strategies.rcpt_requests(policy)))))
    check_text(str(policy.explain(*data.draw(strategies.requests(policy)))))


# trees


def test_a_long_text_goes_on_below_its_beginning() -> None:
    words = " ".join(["word"] * 30)
    lines = drawn(Tree(words, (Tree("x"), Tree(words, indent=6)))).split("\n")
    beginnings = [line.partition("word")[0] for line in lines]
    assert beginnings == ["", "| ", "|- x", "`- ", 9 * " ", 9 * " "]
    assert [len(line) for line in lines] == [79, 71, 4, 77, 78, 13]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a" * 46, "a" * 46),
        ("a" * 46 + "b", 20 * "a" + "[...]" + 19 * "a" + "b"),
        ("\u4f8b" * 23, 23 * "\u4f8b"),
        ("\u4f8b" * 24, 10 * "\u4f8b" + "[...]" + 10 * "\u4f8b"),
        ('a"\\\n', 'a\\"\\\\\\u000a'),
        ("\x00" * 9, 3 * "\\u0000" + "[...]" + 3 * "\\u0000"),
        ("a" + "\u2026" * 50, "a" + 9 * "\u2026" + "[...]" + 10 * "\u2026"),
    ],
)
def test_a_name_is_escaped_and_loses_its_middle(text: str, shown: str) -> None:
    assert name(text) == f'"{shown}"'


def test_a_name_without_end_costs_no_more() -> None:
    assert name("a" * 10**7) == name("a" * 10**3)


if __name__ == "__main__":
    EXPECTED.mkdir(exist_ok=True)
    for path in EXPECTED.iterdir():
        path.unlink()
    for case, explain in CASES.items():
        (EXPECTED / f"{case}.txt").write_text(f"{explain()}\n", encoding="utf-8")
