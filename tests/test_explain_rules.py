"""What an explanation says about each rule, one example each; `test_explain.py` has the laws."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from support import DIALECTS, LISTENER, OUTSIDER, Fields, esmtp, table, untyped, words

from listener_policy import (
    Dialect,
    DomainSource,
    EntryRef,
    Explanation,
    GoverningRule,
    LogCheck,
    LogReport,
    PassedOverRule,
    Policy,
    RcptExplanation,
    RelayFromAuthzCheck,
    RelayFromCheck,
    RelayHostsCheck,
    RelayHostsSource,
    RelayToCheck,
    RequestError,
)
from listener_policy.domains import why_not_valid


def explained(domain: str, document: Fields, dialect: Dialect = Dialect.DOCUMENTED) -> Explanation:
    return Policy.from_mapping(document, dialect=dialect).explain(LISTENER, OUTSIDER, domain)


def passed_over(explanation: Explanation) -> list[tuple[str, str, PassedOverRule]]:
    found = explanation.passed_over
    return [(one.entry.listener, one.entry.pattern, one.because) for one in found]


def governed(explanation: Explanation) -> tuple[EntryRef, GoverningRule] | None:
    governing = explanation.governing
    return None if governing is None else (governing.entry, governing.because)


# the question


class Text(str):
    """A string that says something else of itself."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return "elsewhere.example"


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (("", OUTSIDER, "a", None), "listener"),
        ((LISTENER, "nowhere", "a", None), "peer"),
        ((LISTENER, OUTSIDER, None, None), "domain"),
        ((LISTENER, OUTSIDER, "a", b"ann"), "auth"),
    ],
)
def test_1_1_what_cannot_be_asked_cannot_be_explained(
    question: tuple[object, ...], named: str
) -> None:
    policy = Policy.from_toml("")
    listener, peer, domain, auth = question
    with pytest.raises(RequestError) as asked:
        policy.decide(*untyped(question))
    with pytest.raises(RequestError, match=f"^{named}: ") as refused:
        policy.explain(*untyped(question))
    assert str(refused.value) == str(asked.value)
    for addresses in ((domain, "a"), ("a", domain)):
        with pytest.raises(RequestError):
            policy.explain_rcpt(*untyped((listener, peer, *addresses, auth)))


def test_1_2_a_domain_that_is_not_valid_passes_nothing_over() -> None:
    explanation = explained("a..b", table(["*", "b"]))
    assert explanation.domain.canonical is None
    assert (explanation.governing, explanation.passed_over) == (None, ())


def test_1_3_a_mapped_peer_is_shown_as_ipv4() -> None:
    policy = Policy.from_toml("", relay_hosts=["10.0.0.0/8"])
    explanation = policy.explain(("::ffff:10.1.2.3", 25, 0, 0), ("::ffff:10.0.0.7", 1, 0, 0), "")
    assert explanation.peer == IPv4Address("10.0.0.7")
    assert explanation.listener == LISTENER
    hosts = explanation.checks[0]
    assert isinstance(hosts, RelayHostsCheck)
    assert hosts.block == IPv4Network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("domain", "why_not"),
    [
        ("example.com", None),
        ("", None),
        ("[10.0.0.1]", None),
        ("x" * 255, "at most 254 characters"),
        ("*", "no `*`, which is for patterns"),
        ("*.example.com", "no `*`, which is for patterns"),
        ("\uff0a.com", "no `*`, which is for patterns"),
        (".".join(["x" * 63] * 3 + ["x" * 62]), "at most 253 octets"),
        ("x" * 64, "each label has at most 63 octets"),
        ("-a.com", "no label begins or ends with a hyphen"),
        ("a b", "letters, digits, `_` and `-` only"),
        ("..", "no label is empty"),
        ("[10.0.0.1", "a literal is `[ipv4]` or `[IPv6:ipv6]`, without a zone"),
        ("\ud800", "each label that is not ASCII must be a valid U-label of IDNA 2008"),
    ],
)
def test_1_4_why_a_domain_is_not_valid(domain: str, why_not: str | None) -> None:
    assert why_not_valid(domain) == why_not
    assert explained(domain, {}).domain.why_not == why_not


@pytest.mark.parametrize(
    ("address", "source", "canonical", "why_not"),
    [
        ("", DomainSource.NULL_SENDER, "", None),
        ("<>", DomainSource.NULL_SENDER, "", None),
        ("<PostMaster>", DomainSource.POSTMASTER, "", None),
        ("<postmaster", DomainSource.NO_AT, None, "only `postmaster` may lack an `@`"),
        ("ann", DomainSource.NO_AT, None, "only `postmaster` may lack an `@`"),
        ("<", DomainSource.NO_AT, None, "only `postmaster` may lack an `@`"),
        ("a@b@", DomainSource.NOTHING_AFTER_AT, None, "nothing follows the last `@`"),
        ("<@>", DomainSource.NOTHING_AFTER_AT, None, "nothing follows the last `@`"),
        ('<"a@b"@C.Example>', DomainSource.AFTER_LAST_AT, "c.example", None),
        ("a@b..c", DomainSource.AFTER_LAST_AT, None, "no label is empty"),
        ("a@<b>", DomainSource.AFTER_LAST_AT, None, "letters, digits, `_` and `-` only"),
    ],
)
def test_1_7_how_an_address_is_reduced_to_its_domain(
    address: str, source: DomainSource, canonical: str | None, why_not: str | None
) -> None:
    explanation = Policy.from_toml("").explain_rcpt(LISTENER, OUTSIDER, address, address)
    for half in (explanation.sender, explanation.recipient):
        domain = half.domain
        assert domain.to_dict() == {
            "given": address,
            "source": source.value,
            "canonical": canonical,
            "why_not": why_not,
        }


def test_subclasses_of_str_are_taken_by_their_characters() -> None:
    policy = Policy.from_mapping(table(["a.example"]))
    for explanation in (
        policy.explain(LISTENER, OUTSIDER, Text("a.example"), Text("ann")),
        policy.explain_rcpt(LISTENER, OUTSIDER, Text("x@a.example"), "", Text("ann")).sender,
    ):
        assert governed(explanation) == (("*", "a.example"), GoverningRule.EXACT_NAME)
        assert type(explanation.domain.given) is str
        assert explanation.domain.given.endswith("a.example")
        assert explanation.to_dict()["auth"] == "ann"


# which entry governs


@pytest.mark.parametrize("dialect", DIALECTS)
def test_2_3_an_exact_name_is_first_and_a_star_last(dialect: Dialect) -> None:
    document = table(words("a.example.com *.example.com *.com *"))
    explanation = explained("a.example.com", document, dialect)
    assert governed(explanation) == (("*", "a.example.com"), GoverningRule.EXACT_NAME)
    assert passed_over(explanation) == [
        ("*", "*.example.com", PassedOverRule.EXACT_NAME),
        ("*", "*.com", PassedOverRule.EXACT_NAME),
        ("*", "*", PassedOverRule.ANY_PATTERN),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_2_3_a_longer_suffix_is_first(dialect: Dialect) -> None:
    document = table(words("*.b.example.com *.example.com example.com *.le.com *"))
    explanation = explained("x.a.b.example.com", document, dialect)
    rule = {
        Dialect.DOCUMENTED: GoverningRule.LONGEST_SUFFIX,
        Dialect.KUMOMTA: GoverningRule.CLOSEST_ENCLOSER,
    }[dialect]
    assert governed(explanation) == (("*", "*.b.example.com"), rule)
    assert passed_over(explanation) == [
        ("*", "*.example.com", PassedOverRule.LONGER_SUFFIX),
        ("*", "*", PassedOverRule.ANY_PATTERN),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("domain", ["", "[10.0.0.1]"])
def test_2_3_literals_and_the_empty_domain_skip_suffixes(dialect: Dialect, domain: str) -> None:
    explanation = explained(domain, table(words("*.1 *.0.1 *.com * x.y")), dialect)
    assert governed(explanation) == (("*", "*"), GoverningRule.EVERY_DOMAIN)
    assert passed_over(explanation) == []


def test_2_4_the_closest_encloser_has_no_wildcard() -> None:
    document = {
        "listener": {
            LISTENER: table(words("a.b.example.com *.example.com *")),
            "*": table(words("*.com *")),
        }
    }
    explanation = explained("c.b.example.com", document, Dialect.KUMOMTA)
    assert governed(explanation) == (("*", "*.com"), GoverningRule.CLOSEST_ENCLOSER)
    assert passed_over(explanation) == [
        (LISTENER, "*.example.com", PassedOverRule.CLOSEST_ENCLOSER),
        (LISTENER, "*", PassedOverRule.CLOSEST_ENCLOSER),
        ("*", "*", PassedOverRule.ANY_PATTERN),
    ]
    enclosers = [one.encloser for one in explanation.passed_over]
    assert enclosers == ["b.example.com", "b.example.com", None]


def test_2_4_the_name_is_itself_a_node() -> None:
    document = table(words("a.b.example.com *.example.com"))
    explanation = explained("b.example.com", document, Dialect.KUMOMTA)
    assert explanation.governing is None
    assert passed_over(explanation) == [("*", "*.example.com", PassedOverRule.EXISTING_NAME)]
    assert explanation.passed_over[0].encloser == "b.example.com"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_2_5_the_table_of_the_listener_is_first(dialect: Dialect) -> None:
    own, shared = table(["*"]), table(words("a.example.com *.example.com *"))
    document = {"listener": {LISTENER: own, "*": shared}}
    explanation = explained("a.example.com", document, dialect)
    assert governed(explanation) == ((LISTENER, "*"), GoverningRule.EVERY_DOMAIN)
    assert passed_over(explanation) == [
        ("*", pattern, PassedOverRule.LISTENER_FIRST) for pattern in shared
    ]


def test_2_5_a_star_for_all_is_the_last_resort_of_kumomta() -> None:
    document = table(words("a.b.example.com *.example.com *"))
    explanation = explained("c.b.example.com", document, Dialect.KUMOMTA)
    assert governed(explanation) == (("*", "*"), GoverningRule.LAST_RESORT)
    assert passed_over(explanation) == [("*", "*.example.com", PassedOverRule.CLOSEST_ENCLOSER)]


# the checks


@pytest.mark.parametrize(
    ("listener", "source", "stated_by"),
    [
        ("10.1.2.3:25", RelayHostsSource.LISTENER, "10.1.2.3:25"),
        ("10.1.2.4:25", RelayHostsSource.ANY_IPV4, "0.0.0.0:25"),
        ("0.0.0.0:25", RelayHostsSource.LISTENER, "0.0.0.0:25"),
        ("10.1.2.4:587", RelayHostsSource.ANY_IPV6, "[::]:587"),
        ("[2001:db8::1]:587", RelayHostsSource.ANY_IPV6, "[::]:587"),
        ("10.1.2.3:26", RelayHostsSource.DEFAULT, None),
        ("mx", RelayHostsSource.DEFAULT, None),
    ],
)
def test_4_1_whose_relay_hosts_hold(
    listener: str, source: RelayHostsSource, stated_by: str | None
) -> None:
    stated = words("10.1.2.3:25 0.0.0.0:25 [::]:587")
    listeners = [esmtp(listed, ["10.0.0.0/8"]) for listed in stated]
    policy = Policy.from_toml("", listeners=[*listeners, esmtp("10.1.2.3:26")])
    check = policy.explain(listener, "10.0.0.7", "").checks[0]
    assert isinstance(check, RelayHostsCheck)
    assert (check.source, check.stated_by) == (source, stated_by)
    assert check.holds is (stated_by is not None)
    assert check.to_dict() == {
        "check": "RELAY_HOSTS",
        "holds": check.holds,
        "source": source.value,
        "stated_by": stated_by,
        "block": "10.0.0.0/8" if stated_by else None,
        "ranges": 1 if stated_by else 2,
        "blocks": ["10.0.0.0/8"] if stated_by else ["127.0.0.1", "::1"],
    }


@pytest.mark.parametrize(
    ("blocks", "peer", "evidence", "block"),
    [
        ([], "10.0.0.1", "lists nobody", None),
        (["10.0.0.0/9", "10.128.0.0/9"], "10.0.0.1", "in 10.0.0.0/8", IPv4Network("10.0.0.0/8")),
        (["::/0"], "::1", "in ::/0", IPv6Network("::/0")),
        (["::/0"], "10.0.0.1", "not in ::/0", None),
        (["10.0.0.1", "10.0.0.3"], "10.0.0.1", "in 10.0.0.1", IPv4Network("10.0.0.1/32")),
        (words("1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.0/24"), "::1", None, None),
        (words("1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 5.5.5.5"), "::1", "in none of its 5 ranges", None),
        ([f"10.0.0.{n}" for n in range(1, 255)], "::1", "not in its range", None),
    ],
)
def test_4_2_the_block_that_matched_or_what_was_looked_at(
    blocks: list[str], peer: str, evidence: str | None, block: IPv4Network | IPv6Network | None
) -> None:
    policy = Policy.from_mapping({"*": {"relay_from": blocks}})
    check = policy.explain("mx", peer, "").checks[1]
    assert isinstance(check, RelayFromCheck)
    assert check.block == block
    expected = f"not in {', '.join(blocks)}" if evidence is None else evidence
    assert check.evidence == expected


@pytest.mark.parametrize(
    ("identities", "auth", "evidence"),
    [
        ([], None, "lists nobody"),
        ([], "ann", "lists nobody"),
        (["ann"], None, 'nobody authenticated; listed: "ann"'),
        (["ann"], "ann", '"ann" is listed'),
        (["ann", ""], "", '"" is listed'),
        (["bob", "ann"], "Ann", '"Ann" is not listed; listed: "ann", "bob"'),
        (words("a b c d e"), "ann", '"ann" is not listed; listed: 5 identities'),
        (words("a b c d e"), None, "nobody authenticated; listed: 5 identities"),
    ],
)
def test_4_2_the_identity_that_matched_or_what_was_looked_at(
    identities: list[str], auth: str | None, evidence: str
) -> None:
    policy = Policy.from_mapping({"*": {"relay_from_authz": identities}})
    check = policy.explain("mx", OUTSIDER, "", auth).checks[2]
    assert isinstance(check, RelayFromAuthzCheck)
    assert check.evidence == evidence
    assert check.holds is evidence.endswith(" is listed")
    assert check.to_dict() == {
        "check": "RELAY_FROM_AUTHZ",
        "holds": check.holds,
        "entry": {"listener": "*", "pattern": "*"},
        "auth": auth,
        "identities": len(identities),
        "listed": sorted(identities) if len(identities) < 5 else None,
    }


@pytest.mark.parametrize(
    ("written", "evidence"), [({}, "not written"), ({"relay_to": False}, "false")]
)
def test_2_6_what_is_not_written_is_told_from_what_is_off(written: Fields, evidence: str) -> None:
    explanation = explained("a.com", {"a.com": written})
    check = explanation.checks[3]
    assert isinstance(check, RelayToCheck)
    assert check.evidence == evidence
    assert explanation.governing is not None
    assert explanation.governing.to_dict() == {
        "listener": "*",
        "pattern": "a.com",
        "written": list(written),
        "because": "exact_name",
        "rule": "2.3",
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("option", ["log_arf", "log_oob"])
def test_s2_what_a_boolean_means(dialect: Dialect, option: str) -> None:
    meant = {Dialect.DOCUMENTED: "LogThenDrop", Dialect.KUMOMTA: "LogThenRelay"}[dialect]
    for written, evidence, holds in [
        (True, f"true, which is {meant} (S2)", True),
        (False, "false, which is Ignore (S2)", False),
        ("Ignore", "Ignore", False),
        ("LogThenRelay", "LogThenRelay", True),
    ]:
        checks = explained("a.com", {"a.com": {option: written}}, dialect).checks
        (check,) = (check for check in checks if check.reason == option.upper())
        assert (check.evidence, check.holds) == (evidence, holds)
        as_json = check.to_dict()
        assert as_json["written"] == written
        assert type(as_json["written"]) is type(written)


# recipients


REPORTS = {"log_arf": "LogThenRelay", "log_oob": "LogThenDrop"}


def of_recipient(
    document: Fields, peer: str = OUTSIDER, dialect: Dialect = Dialect.DOCUMENTED
) -> RcptExplanation:
    policy = Policy.from_mapping(document, dialect=dialect)
    return policy.explain_rcpt(LISTENER, peer, "a@sender.example", "b@recipient.example", "ann")


def rules(explanation: RcptExplanation) -> list[str]:
    return [message.rule for message in explanation.after_data]


def test_4_3_permissions_come_each_from_its_own_entry() -> None:
    everything = {"relay_from": ["any"], "relay_from_authz": ["ann"], "relay_to": True, **REPORTS}
    explanation = of_recipient({"*": everything, "sender.example": {}})
    assert [check.holds for check in explanation.checks] == [False] * 3 + [True] * 3
    not_taken = [check.reason for check in explanation.not_taken]
    assert not_taken == ["RELAY_FROM", "RELAY_FROM_AUTHZ"]
    explanation = of_recipient({"*": everything, "recipient.example": {}})
    assert [check.holds for check in explanation.checks] == [False, True, True] + [False] * 3
    not_taken = [check.reason for check in explanation.not_taken]
    assert not_taken == ["RELAY_TO", "LOG_ARF", "LOG_OOB"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_s4_reports_of_a_peer_in_relay_hosts(dialect: Dialect) -> None:
    explanation = of_recipient({"*": REPORTS}, "127.0.0.1", dialect)
    documented = dialect is Dialect.DOCUMENTED
    logs = [check for check in explanation.checks if isinstance(check, LogCheck)]
    assert [check.exempt for check in logs] == [documented] * 2
    assert [check.holds for check in logs] == [not documented] * 2
    of_domain = [c for c in explanation.recipient.checks if isinstance(c, LogCheck)]
    assert [(check.exempt, check.holds) for check in of_domain] == [(False, True)] * 2
    assert [check.option for check in logs] == [LogReport.LOG_THEN_RELAY, LogReport.LOG_THEN_DROP]
    assert rules(explanation) == (["S4", "S4", "4.4"] if documented else ["4.4"] * 3)
    without_reports = of_recipient({}, "127.0.0.1", dialect)
    assert rules(without_reports) == ["4.4"] * 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_s3_a_report_that_may_not_be_relayed(dialect: Dialect) -> None:
    explanation = of_recipient({"*": REPORTS}, dialect=dialect)
    assert rules(explanation) == ["S3", "4.4", "4.4"]
    relayed = [message.disposition.relay for message in explanation.after_data]
    assert relayed == [dialect is Dialect.KUMOMTA, False, False]
    permitted = of_recipient({"*": {**REPORTS, "relay_to": True}}, dialect=dialect)
    assert rules(permitted) == ["4.4"] * 3


def test_4_4_after_a_refusal_nothing_follows() -> None:
    explanation = of_recipient({})
    whys = {(message.rule, message.why) for message in explanation.after_data}
    assert whys == {("4.4", "RCPT TO is refused")}
    assert not any(message.disposition.accept for message in explanation.after_data)
    assert explanation.after_data[0].to_dict() == {
        "report": "arf",
        "accept": False,
        "log": False,
        "relay": False,
        "reply": "550 5.7.1 relaying not permitted",
        "rule": "4.4",
        "why": "RCPT TO is refused",
    }
