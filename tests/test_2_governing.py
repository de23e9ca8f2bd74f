"""Which entry governs a domain (rules 2.1 to 2.8), in both dialects."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import (
    DIALECTS,
    LISTENER,
    NO_LISTENERS,
    OUTSIDER,
    SIZES,
    Fields,
    as_if,
    both_places,
    mapping_problems,
    problems_of,
    short,
    table,
    told,
    untyped,
    words,
)

from listener_policy import Dialect, EntryRef, ListenerDomain, LogReport, Policy, PolicyConfig

DOCUMENTED, KUMOMTA = Dialect.DOCUMENTED, Dialect.KUMOMTA
OWN, REST = LISTENER, "*"

both_dialects = pytest.mark.parametrize("dialect", DIALECTS)


def tables(own: Iterable[str], rest: Iterable[str] = ()) -> Fields:
    """A document with entries for `OWN` and for every listener."""
    return {"listener": {OWN: table(own), REST: table(rest)}}


def governor(
    domain: str, own: Iterable[str], rest: Iterable[str] = (), dialect: Dialect = DOCUMENTED
) -> EntryRef | None:
    """The entry that governs `domain` on the listener `OWN`, in however large a policy."""
    document = tables(own, rest)
    entries: list[EntryRef | None] = []
    for size in SIZES:
        with as_if(size):
            policy = Policy.from_mapping(document, dialect=dialect)
        match = policy.resolve(OWN, domain)
        entries += [match and match.entry, policy.decide(OWN, OUTSIDER, domain).entry]
    assert len({*entries}) == 1
    return entries[0]


# 2.1: listeners and their tables


def test_2_1_one_table_for_each_listener() -> None:
    policy = Policy.from_mapping(
        {**table(["a.top"]), "listener": {key: table([f"{key[:2]}.own"]) for key in ("mx", "in:1")}}
    )
    for listener, own in (("mx", "mx.own"), ("in:1", "in.own"), (OWN, None)):
        found = {name: policy.resolve(listener, name) for name in ("a.top", "mx.own", "in.own")}
        expected_entries = {"a.top": (REST, "a.top"), own: (listener, own)}
        for name, match in found.items():
            assert (None if match is None else match.entry) == expected_entries.get(name)


def test_2_1_the_top_level_is_the_table_of_the_listener_star() -> None:
    top = PolicyConfig.from_mapping({"a.example": {"relay_to": True}})
    star = PolicyConfig.from_mapping({"listener": {"*": {"a.example": {"relay_to": True}}}})
    assert set(top.entries) == set(star.entries) == {"*"}
    assert top.entries["*"]["a.example"] == star.entries["*"]["a.example"]
    assert Policy(top) == Policy(star)


@pytest.mark.parametrize(
    ("top", "star"), [("a.example", "a.example"), ("A.example.", "a.EXAMPLE"), ("*", "*")]
)
@pytest.mark.parametrize("top_first", [True, False])
def test_2_1_the_top_level_replaces_the_other(top: str, star: str, top_first: bool) -> None:
    upper = {top: {"log_arf": "LogThenDrop"}}
    lower = {"listener": {"*": {star: {"relay_to": True, "log_oob": "LogThenDrop"}}}}
    policy = Policy.from_mapping({**upper, **lower} if top_first else {**lower, **upper})
    decision = policy.decide(OWN, OUTSIDER, "a.example")
    assert decision.entry is not None
    assert decision.log_arf is LogReport.LOG_THEN_DROP
    assert decision.log_oob is LogReport.IGNORE
    assert not decision.relay_to


def test_2_1_the_other_entries_of_the_listener_star_stay() -> None:
    policy = Policy.from_toml('["a.example"]\n[listener."*"."b.example"]\nrelay_to = true')
    assert policy.resolve(OWN, "a.example") is not None
    assert policy.decide(OWN, OUTSIDER, "b.example").relay_to


def test_2_1_the_domain_listener_is_written_under_a_listener() -> None:
    policy = Policy.from_toml('[listener."*".listener]\nrelay_to = true')
    assert policy.decide(OWN, OUTSIDER, "listener").entry == (REST, "listener")
    assert policy.decide(OWN, OUTSIDER, "listener").relay_to


# 2.2: patterns


def test_2_2_patterns() -> None:
    patterns = words("a.example *.example *.a.example * [10.0.0.1] com")
    assert set(PolicyConfig.from_mapping(table(patterns)).entries[REST]) == set(patterns)


@pytest.mark.parametrize(
    "key",
    words("a.* *a.com a*.com *.*.com *. ** *.* a.*.com *.[10.0.0.1] [*] *.com.* .* *com")
    + words("**.com *.a*.com *-.com [10.0.0.*] *:25 *@a.com"),
)
def test_2_2_any_other_use_of_a_star_is_rejected(key: str) -> None:
    for document in both_places(key):
        problems = mapping_problems(document)
        assert len(problems) == 1
        assert key in told(problems)
        reason = f"{problems[0].message} {problems[0].hint}".replace(key, "")
        assert "*" in reason or "wildcard" in reason


def test_2_2_the_empty_domain_is_no_pattern() -> None:
    for document in both_places(""):
        assert len(mapping_problems(document)) == 1


# 2.3: one table

NAMES = words("* *.com *.example.com *.a.example.com example.com a.example.com c.b.example.com")


@pytest.mark.parametrize(
    ("domain", "pattern"),
    [
        *(("example.com", "example.com"), ("a.example.com", "a.example.com")),
        *(("b.example.com", "*.example.com"), ("b.a.example.com", "*.a.example.com")),
        *(("c.b.a.example.com", "*.a.example.com"), ("d.c.b.example.com", "*.example.com")),
        *(("c.b.example.com", "c.b.example.com"), ("com", "*"), ("org", "*"), ("a.org", "*")),
        *(("xexample.com", "*.com"), ("a.xexample.com", "*.com"), ("example.com.org", "*")),
        *(("xa.example.com", "*.example.com"), ("", "*"), ("[10.0.0.1]", "*")),
    ],
)
def test_2_3_longest_suffix_governs(domain: str, pattern: str) -> None:
    assert governor(domain, NAMES) == (OWN, pattern)
    assert governor(domain, reversed(NAMES)) == (OWN, pattern)


def test_2_3_a_wildcard_governs_what_is_below_its_suffix_and_nothing_else() -> None:
    for domain in words("a.example.com b.a.example.com c.b.a.example.com _.example.com"):
        assert governor(domain, ["*.example.com"]) == (OWN, "*.example.com")
    longest = ".".join(["x" * 63] * 3 + ["x" * 59])
    assert governor(f"a.{longest}", [f"*.{longest}"]) == (OWN, f"*.{longest}")
    for domain in ["", *words("example.com com aexample.com example.com.a a.example.comm a")]:
        assert governor(domain, ["*.example.com"]) is None


@both_dialects
def test_2_3_the_exact_name_comes_first(dialect: Dialect) -> None:
    for domain in ("a.example.com", "[10.0.0.1]", "[ipv6:::1]"):
        assert governor(domain, ["*", "*.example.com", domain], (), dialect) == (OWN, domain)


@both_dialects
def test_2_3_the_empty_domain_and_literals_skip_wildcards(dialect: Dialect) -> None:
    keys = ["*.1", "*.0.0.1", "*.com"]
    for domain in ("", "[10.0.0.1]", "[ipv6:::1]"):
        assert governor(domain, keys, (), dialect) is None
        assert governor(domain, [*keys, "*"], (), dialect) == (OWN, "*")
    assert governor("10.0.0.1", keys) == (OWN, "*.0.0.1")


# 2.4: the tree of KUMOMTA


@pytest.mark.parametrize(
    ("own", "domain", "pattern"),
    [
        # An exact key is a node, and nothing below it reaches past it.
        *(("www.example.com *.example.com", "x.www.example.com", None),),
        *(("www.example.com *.example.com", "www.example.com", "www.example.com"),),
        *(("www.example.com *.example.com", "x.example.com", "*.example.com"),),
        *(("www.example.com *.example.com", "y.x.example.com", "*.example.com"),),
        *(("www.example.com *.www.example.com", "x.www.example.com", "*.www.example.com"),),
        # So are the ancestors of a key.
        *(("a.b.example.com *.example.com", "b.example.com", None),),
        *(("a.b.example.com *.example.com", "c.b.example.com", None),),
        *(("a.b.example.com *.example.com", "d.c.b.example.com", None),),
        *(("a.b.example.com *.example.com", "x.a.b.example.com", None),),
        *(("a.b.example.com *.example.com", "c.example.com", "*.example.com"),),
        # So is what a wildcard hangs from.
        *(("*.b.example.com *.example.com", "b.example.com", None),),
        *(("*.b.example.com *.example.com", "x.b.example.com", "*.b.example.com"),),
        *(("*.example.com *.com", "example.com", None),),
        *(("*.example.com *.com", "other.com", "*.com"),),
        # `*` hangs from the root, and is hidden by every top-level label in the table.
        *(("example.com *", "foo.com", None), ("example.com *", "com", None)),
        *(("example.com *", "a.example.com", None), ("example.com *", "foo.org", "*")),
        *(("example.com *", "org", "*"), ("*", "a.example.com", "*"), ("*.com *", "com", None)),
        *(("*.com *", "a.com", "*.com"), ("*.com *", "b.a.com", "*.com")),
        # Literals and the empty domain are not in the tree, and make no node of it.
        *(("example.com *", "", "*"), ("example.com *", "[10.0.0.1]", "*")),
        *(("[10.0.0.1] *", "a.1", "*"), ("[10.0.0.1] *", "[10.0.0.1]", "[10.0.0.1]")),
        *(("[10.0.0.1] *.com *", "[10.0.0.2]", "*"), ("[10.0.0.1]", "[10.0.0.2]", None)),
    ],
)
def test_2_4_closest_encloser(own: str, domain: str, pattern: str | None) -> None:
    entry = governor(domain, words(own), (), KUMOMTA)
    assert entry == (None if pattern is None else (OWN, pattern))


@pytest.mark.parametrize("domain", ["x.www.example.com", "b.example.com", "c.b.example.com"])
def test_2_4_is_of_that_dialect_alone(domain: str) -> None:
    keys = ["www.example.com", "a.b.example.com", "*.example.com"]
    assert governor(domain, keys, (), DOCUMENTED) == (OWN, "*.example.com")
    assert governor(domain, keys, (), KUMOMTA) is None


# 2.5: the listener's own table, then that of `*`


@both_dialects
@pytest.mark.parametrize(
    ("own", "rest", "domain", "entry"),
    [
        ("a.com", "a.com", "a.com", (OWN, "a.com")),
        ("b.com", "a.com", "a.com", (REST, "a.com")),
        *(("*.com", "b.a.com", "b.a.com", (OWN, "*.com")), ("*", "a.com", "a.com", (OWN, "*"))),
        *(("*.org", "*.com", "a.com", (REST, "*.com")), ("*.org", "*", "a.com", (REST, "*"))),
        *(("*", "[10.0.0.1]", "[10.0.0.1]", (OWN, "*")), ("a.com", "*", "-bad", None)),
        *(("a.com", "*", "[10.0.0.1]", (REST, "*")), ("a.com", "*", "", (REST, "*"))),
        *(("a.com", "b.org", "a.net", None), ("", "*", "a.com", (REST, "*"))),
    ],
)
def test_2_5_own_table_first(
    own: str, rest: str, domain: str, entry: tuple[str, str] | None, dialect: Dialect
) -> None:
    assert governor(domain, words(own), words(rest), dialect) == entry


@pytest.mark.parametrize(
    ("own", "rest", "domain", "entry"),
    [
        # The own table has no answer, whatever nodes it has: the other table is asked.
        *(("www.a.com *.a.com", "*.a.com", "x.www.a.com", (REST, "*.a.com")),),
        *(("b.com *", "c.com", "c.com", (REST, "c.com")), ("b.com *", "c.com", "d.com", None)),
        # `*` of `*` is asked last, even for a name that is hidden from it in the tree.
        *(("b.com *", "*", "c.com", (REST, "*")), ("b.com", "c.com *", "d.com", (REST, "*"))),
        *(("", "c.com *", "com", (REST, "*")), ("", "w.a.com *.a.com *", "x.w.a.com", (REST, "*"))),
        *(("b.com", "d.com", "c.com", None), ("", "b.a.com *.com *", "a.com", (REST, "*"))),
        # But not before what the tree gives.
        *(("", "*.a.com *", "b.a.com", (REST, "*.a.com")), ("*", "*", "c.org", (OWN, "*"))),
    ],
)
def test_2_5_star_of_star_is_asked_last(
    own: str, rest: str, domain: str, entry: tuple[str, str] | None
) -> None:
    assert governor(domain, words(own), words(rest), KUMOMTA) == entry


# 2.3 to 2.5 once more, as a model that follows their words


def ancestors(name: str) -> list[str]:
    """The names that enclose `name`, the closest first."""
    labels = name.split(".")
    return [".".join(labels[i:]) for i in range(1, len(labels))]


def in_table(keys: frozenset[str], name: str, dialect: Dialect) -> str | None:
    """The key of one table that governs, by 2.3 or 2.4."""
    in_tree = bool(name) and not name.startswith("[")
    if dialect is KUMOMTA and in_tree:
        named = {key.removeprefix("*.") for key in keys if key != "*" and key[0] != "["}
        nodes = named.union(*map(ancestors, named))
        if name in nodes:
            return name if name in keys else None
        closest = next((above for above in ancestors(name) if above in nodes), None)
        candidates = ["*" if closest is None else f"*.{closest}"]
    else:
        suffixes = ancestors(name) if in_tree else []
        candidates = [name, *(f"*.{suffix}" for suffix in suffixes), "*"]
    return next((key for key in candidates if key in keys), None)


def expected(
    own: frozenset[str], rest: frozenset[str], name: str, dialect: Dialect
) -> tuple[str, str] | None:
    """The entry that governs on `OWN`, by 2.5."""
    for listener, keys in ((OWN, own), (REST, rest)):
        key = in_table(keys, name, dialect)
        if key is not None:
            return (listener, key)
    return (REST, "*") if dialect is KUMOMTA and "*" in rest else None


labels = st.sampled_from(["a", "b", "ab"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
literals = st.sampled_from(["[10.0.0.1]", "[ipv6:::1]"])
questions = names | literals | st.just("")
patterns = names | literals | names.map("*.{}".format) | st.just("*")
keys = st.frozensets(patterns, max_size=6)


@given(keys, keys, questions, st.sampled_from(DIALECTS))
@example(frozenset({"a.b", "*"}), frozenset({"*", "b"}), "ab.b", KUMOMTA)
@example(frozenset({"*"}), frozenset({"*.b", "a.b"}), "ab.b", DOCUMENTED)
@example(frozenset({"*.b"}), frozenset({"ab.b", "*.ab.b"}), "ab.b", DOCUMENTED)
@example(frozenset({"*.a"}), frozenset({"ab.b", "*.ab.b"}), "ab.b", DOCUMENTED)
def test_2_3_to_2_5_hold_for_any_tables(
    own: frozenset[str], rest: frozenset[str], domain: str, dialect: Dialect
) -> None:
    assert governor(domain, own, rest, dialect) == expected(own, rest, domain, dialect)


# 2.6: nothing is inherited

GRANTS: Fields = {
    "relay_to": True,
    "relay_from": ["any"],
    "relay_from_authz": ["alice"],
    "log_oob": "LogThenRelay",
    "log_arf": "LogThenDrop",
}


@both_dialects
@pytest.mark.parametrize(
    "document",
    [
        {"a.example.com": {}, "*.example.com": GRANTS, "*.com": GRANTS, "*": GRANTS},
        {"*.example.com": {}, "*.com": GRANTS, "*": GRANTS},
        {"a.example.com": GRANTS, "listener": {OWN: {"a.example.com": {}, "*": GRANTS}}},
        {"a.example.com": GRANTS, "listener": {OWN: {"*.example.com": {}}}},
        {"*": GRANTS, "listener": {OWN: {"*": {}}}},
    ],
)
def test_2_6_only_the_governing_entry_counts(document: Fields, dialect: Dialect) -> None:
    policy = Policy.from_mapping(document, dialect=dialect)
    decision = policy.decide(OWN, OUTSIDER, "a.example.com", "alice")
    assert decision.entry is not None
    assert (decision.may_send, decision.may_receive) == (False, False)
    assert decision.log_oob is decision.log_arf is LogReport.IGNORE


@both_dialects
@pytest.mark.parametrize("option", GRANTS)
def test_2_6_an_option_that_is_not_written_has_its_default(option: str, dialect: Dialect) -> None:
    written = {option: GRANTS[option]}
    policy = Policy.from_mapping({"a.com": written, "*": GRANTS}, dialect=dialect)
    decision = policy.decide(OWN, OUTSIDER, "a.com", "alice")
    ignored = {name: getattr(decision, name) for name in GRANTS if name != option}
    assert set(ignored.values()) == {False, LogReport.IGNORE}
    assert getattr(decision, option) not in {False, LogReport.IGNORE}
    match = policy.resolve(OWN, "a.com")
    assert match is not None
    assert match.options == ListenerDomain.model_validate(written)


# 2.7: listeners


@pytest.mark.parametrize(
    ("written", "asked", "same"),
    [
        *(("127.0.0.1:25", "127.0.0.1:25", True), ("127.0.0.1:25", ("127.0.0.1", 25), True)),
        *(("127.0.0.1:25", "[::ffff:127.0.0.1]:25", True), ("127.0.0.1:25", "127.0.0.1:26", False)),
        *(("[2001:DB8:0::1]:25", "[2001:db8::1]:25", True), ("mx", "mx", True)),
        *(("[2001:db8::1]:25", ("2001:db8::1", 25, 0, 0), True), ("mx", "MX", False)),
        *(("mx", "mx ", False), ("mx", "mx.", False), ("mx:25", "mx:025", False)),
        *(("0.0.0.0:25", "10.1.2.3:25", False), ("[::]:25", "[2001:db8::1]:25", False)),
        *(("b\u00fccher", "bu\u0308cher", False), ("localhost:25", "127.0.0.1:25", False)),
        *(("\u212a", "K", False), ("MX", "MX", True), ("a b", "a b", True)),
    ],
)
def test_2_7_listeners_compare_as_addresses_or_exactly(
    written: str, asked: object, same: bool
) -> None:
    policy = Policy.from_mapping({"listener": {written: {"a.com": {}}}})
    assert (policy.resolve(untyped(asked), "a.com") is not None) is same


def test_2_7_an_entry_names_its_listener_in_canonical_form() -> None:
    policy = Policy.from_mapping({"listener": {"[::ffff:127.0.0.1]:25": {"A.com": {}}}})
    assert policy.decide("127.0.0.1:25", OUTSIDER, "a.com").entry == ("127.0.0.1:25", "a.com")


@pytest.mark.parametrize("key", [key for key in NO_LISTENERS if key != "*"], ids=short)
def test_2_7_a_key_that_is_no_listener_is_an_error(key: str) -> None:
    problems = mapping_problems({"listener": {key: {"a.com": {}}}})
    assert len(problems) == 1
    assert problems[0].path.startswith("listener")


# 2.8: several documents


NOBODY: list[str] = []


def merged(*documents: Fields) -> Policy:
    """The policy of several documents, checked against the merge of their configurations."""
    policy = Policy.from_mapping(*documents)
    parts = [PolicyConfig.from_mapping(document) for document in documents]
    assert Policy(PolicyConfig.merge(*parts)) == policy
    return policy


def test_2_8_later_options_replace_and_leave_the_others() -> None:
    one = {"a.com": {"relay_to": True, "relay_from": ["10.0.0.0/8"], "log_oob": "LogThenDrop"}}
    two = {"a.com": {"relay_from": ["192.0.2.0/24"]}}
    policy = merged(one, two)
    inside = policy.decide(OWN, "192.0.2.1", "a.com")
    assert inside.relay_from
    assert inside.relay_to
    assert inside.log_oob is LogReport.LOG_THEN_DROP
    assert not policy.decide(OWN, "10.0.0.1", "a.com").relay_from
    assert merged(two, one).decide(OWN, "10.0.0.1", "a.com").relay_from


@pytest.mark.parametrize(
    ("option", "written"),
    [
        *(("relay_to", False), ("relay_from", NOBODY), ("relay_from_authz", NOBODY)),
        *(("log_oob", False), ("log_oob", "Ignore"), ("log_arf", False)),
    ],
)
def test_2_8_a_written_default_replaces(option: str, written: object) -> None:
    policy = merged({"a.com": GRANTS}, {"a.com": {option: written}})
    decision = policy.decide(OWN, OUTSIDER, "a.com", "alice")
    taken = {name for name in GRANTS if getattr(decision, name) in {False, LogReport.IGNORE}}
    assert taken == {option}


def test_2_8_the_last_document_wins() -> None:
    drop, relay = ({"a.com": {"log_oob": value}} for value in ("LogThenDrop", "LogThenRelay"))
    two, three = merged(drop, relay), merged(drop, relay, drop, {"a.com": {"ttl": 5}})
    assert two.decide(OWN, OUTSIDER, "a.com").log_oob is LogReport.LOG_THEN_RELAY
    assert three.decide(OWN, OUTSIDER, "a.com").log_oob is LogReport.LOG_THEN_DROP


def test_2_8_other_patterns_and_listeners_are_left() -> None:
    granting = {"listener": {OWN: {"a.com": GRANTS}}}
    policy = merged(granting, *both_places("b.com"), table(["a.com"]))
    assert policy.decide(OWN, OUTSIDER, "a.com").relay_to
    assert not policy.decide("mx", OUTSIDER, "a.com").relay_to
    assert policy.decide(OWN, OUTSIDER, "b.com").entry == (OWN, "b.com")
    assert policy.decide("mx", OUTSIDER, "b.com").entry == (REST, "b.com")


def test_2_8_canonical_forms_are_settled_first() -> None:
    one = {"listener": {"127.0.0.1:25": {"B\u00fccher.example": {"relay_to": True}}}}
    two = {"listener": {"[::ffff:127.0.0.1]:25": {"xn--bcher-kva.EXAMPLE.": {"ttl": 1}}}}
    policy = merged(one, two)
    decision = policy.decide("127.0.0.1:25", OUTSIDER, "b\u00fccher.example")
    assert decision.entry == ("127.0.0.1:25", "xn--bcher-kva.example")
    assert decision.relay_to


@pytest.mark.parametrize(("first", "then"), [("log_arf", "log_fbl"), ("log_fbl", "log_arf")])
def test_2_8_aliases_are_settled_first(first: str, then: str) -> None:
    policy = merged({"a.com": {first: "LogThenDrop"}}, {"a.com": {then: "LogThenRelay"}})
    assert policy.decide(OWN, OUTSIDER, "a.com").log_arf is LogReport.LOG_THEN_RELAY


def test_2_8_the_top_level_replaces_within_its_document_only() -> None:
    one = {"a.com": {"relay_to": True}}
    two = {"listener": {"*": {"a.com": {"log_arf": "LogThenDrop"}}}}
    for policy in (merged(one, two), merged(two, one)):
        decision = policy.decide(OWN, OUTSIDER, "a.com")
        assert decision.relay_to
        assert decision.log_arf is LogReport.LOG_THEN_DROP
    three = {"a.com": {}, "listener": {"*": {"a.com": {"relay_to": False}}}}
    assert merged(one, three).decide(OWN, OUTSIDER, "a.com").relay_to


def test_2_8_one_bad_document_spoils_all() -> None:
    good, bad = {"a.com": {"ttl": 1}}, {"a.com": {"relay_to": 1}}
    problems = problems_of(lambda: Policy.from_mapping(good, bad))
    assert [one.document for one in problems] == [1]
