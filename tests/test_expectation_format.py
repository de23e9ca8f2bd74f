"""The format of expectations: every problem of a document, at once and with its path."""

import json
from contextlib import suppress
from typing import Any

import pytest
from expectation_documents import ABOUT_DOMAIN, QUESTION, document
from hypothesis import example, given
from hypothesis import strategies as st
from support import BAD_PEERS, NO_LISTENERS, Fields, problems_of, short, told, untyped

from listener_policy import (
    ConfigError,
    Policy,
    Problem,
    Reason,
    canonical_domain,
    envelope_domain,
    strategies,
)
from listener_policy.analysis import expectations_json_schema, run_expectations
from listener_policy.analysis._expectation_tables import Defaults, ExpectationTable

EMPTY = Policy.from_toml("")
FINE: Fields = {**QUESTION, "result": "refused"}
ABOUT_RCPT = (
    "something about a recipient (`result`, `relay`, `reason`, `reply`, `sender_entry`, "
    "`recipient_entry`, `log_oob`, `log_arf`, `message`, `oob_report`, `arf_report`)"
)
ABOUT_A_DOMAIN = (
    "something about a domain (`may_send`, `may_receive`, `reason`, `entry`, `log_oob`, `log_arf`)"
)


def problems(*texts: str | bytes) -> list[Problem]:
    return problems_of(lambda: run_expectations(EMPTY, *texts))


def is_toml(text: str) -> bool:
    """Whether TOML can hold a text: it has no surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def only_problem(*texts: str | bytes) -> Problem:
    (problem,) = problems(*texts)
    return problem


A_LISTENER = "the address of one listener, or its name"
A_PEER = "the address of a client, such as `192.0.2.7` or `2001:db8::7`"
AN_IDENTITY = "an identity, or `false` for nobody"
AN_ADDRESS = 'an envelope address, or `""` for the null sender'
CHARACTERS = "a domain: letters, digits, `_` and `-` only"
AN_ENTRY = (
    "the pattern of an entry of the top level, `{ listener = ..., pattern = ... }`, "
    "or `false` for no entry"
)
ONE_ADDRESS = "a question is about one address: write one of the block"
A_PATTERN = "write a name that the pattern governs"
NO_LIST = ("one value or several", "an empty list")

VALUES: list[tuple[str, object, str, str, str | None]] = [
    # key, value, what was expected, what was found, hint
    ("listener", "", A_LISTENER, "an empty string", None),
    ("listener", "*", A_LISTENER, "`*`", None),
    ("listener", 25, A_LISTENER, "the integer `25`", None),
    ("listener", [["mx"]], A_LISTENER, "a list", None),
    ("listener", [], *NO_LIST, None),
    *[
        ("listener", text, "an address with its port", f"`{text}`", f"did you mean `{meant}`?")
        for text, meant in (("10.0.0.1", "10.0.0.1:25"), ("::1", "[::1]:25"))
    ],
    (
        *("listener", "10.0.0.1:99999"),
        *("`ip:port` or `[v6]:port`, the port from 0 to 65535", "`10.0.0.1:99999`", None),
    ),
    ("peer", "", A_PEER, "an empty string", None),
    ("peer", "10.0.0.0/24", A_PEER, "`10.0.0.0/24`", ONE_ADDRESS),
    ("peer", "mx.example.com", A_PEER, "`mx.example.com`", None),
    ("peer", "any", A_PEER, "`any`", None),
    ("peer", 167772160, A_PEER, "the integer `167772160`", None),
    ("peer", False, A_PEER, "`false`", None),
    ("peer", [], *NO_LIST, None),
    ("auth", True, AN_IDENTITY, "`true`", None),
    ("auth", 0, AN_IDENTITY, "the integer `0`", None),
    ("auth", [], *NO_LIST, None),
    ("sender", "example.com", AN_ADDRESS, "`example.com`", "did you mean `ann@example.com`?"),
    ("sender", "a b", AN_ADDRESS, "`a b`", None),
    ("sender", "@", AN_ADDRESS, "`@`", None),
    ("sender", "<", AN_ADDRESS, "`<`", None),
    ("sender", "ann@a.com>", CHARACTERS, "`a.com>`", None),
    ("sender", "<ann@>", AN_ADDRESS, "`<ann@>`", None),
    ("sender", False, AN_ADDRESS, "`false`", None),
    ("recipient", "ann@exam ple.com", CHARACTERS, "`exam ple.com`", None),
    ("recipient", "<ann@a.com.>>", CHARACTERS, "`a.com.>`", None),
    ("recipient", "ann@*.example.com", "a domain", "`*.example.com`", A_PATTERN),
    ("recipient", "ann@*", "a domain", "`*`", A_PATTERN),
    ("recipient", [], *NO_LIST, None),
    ("relay", "true", "`true` or `false`", 'the string `"true"`', None),
    ("relay", 1, "`true` or `false`", "the integer `1`", None),
    ("relay", [True], "`true` or `false`", "a list", None),
    ("reply", 250, "an SMTP reply, such as `250 2.1.5 OK`", "the integer `250`", None),
    (
        *("result", "accept", "one of `accepted`, `refused`", 'the string `"accept"`'),
        "did you mean `accepted`?",
    ),
    ("result", True, "one of `accepted`, `refused`", "`true`", None),
    ("result", ["refused"], "one of `accepted`, `refused`", "a list", None),
    (
        "reason",
        "Denied",
        f"one of {', '.join(f'`{reason.value}`' for reason in Reason)}",
        'the string `"Denied"`',
        "did you mean `DENIED`?",
    ),
    (
        *("message", "logged and dropped", "one of `relayed`, `refused`"),
        *('the string `"logged and dropped"`', None),
    ),
    *[
        (
            key,
            "dropped",
            "one of `logged and dropped`, `logged and relayed`, `relayed`, `refused`",
            'the string `"dropped"`',
            None,
        )
        for key in ("oob_report", "arf_report")
    ],
    *[
        (
            key,
            True,
            "one of `Ignore`, `LogThenDrop`, `LogThenRelay`",
            "`true`",
            "write what it means; `true` is not the same in both dialects",
        )
        for key in ("log_oob", "log_arf")
    ],
    (
        *("log_arf", False, "one of `Ignore`, `LogThenDrop`, `LogThenRelay`", "`false`"),
        "did you mean `Ignore`?",
    ),
    (
        *("log_oob", "logthendrop", "one of `Ignore`, `LogThenDrop`, `LogThenRelay`"),
        *('the string `"logthendrop"`', "did you mean `LogThenDrop`?"),
    ),
    ("sender_entry", True, AN_ENTRY, "`true`", None),
    ("sender_entry", ["*"], AN_ENTRY, "a list", None),
    ("sender_entry", {"listener": "mx"}, AN_ENTRY, "a table", None),
    ("sender_entry", {"listener": "mx", "pattern": "*", "x": 1}, AN_ENTRY, "a table", None),
    (
        *("recipient_entry", {"listener": 25, "pattern": "*"}),
        *("the listener of an entry", "the integer `25`", None),
    ),
    (
        *("recipient_entry", {"listener": "mx", "pattern": 25}),
        *("the pattern of an entry", "the integer `25`", None),
    ),
    (
        *("recipient_entry", {"listener": "::1", "pattern": "*"}),
        *("an address with its port", "`::1`", "did you mean `[::1]:25`?"),
    ),
    ("recipient_entry", "a b", CHARACTERS, "`a b`", None),
    (
        *("recipient_entry", "*example.com"),
        "a domain, `*.` before a domain, or `*`; any other `*` matches nothing",
        *("`*example.com`", "did you mean `*.example.com`?"),
    ),
]


@pytest.mark.parametrize(
    ("key", "value", "expected", "found", "hint"),
    VALUES,
    ids=[short(f"{key} {value}") for key, value, *_ in VALUES],
)
def test_a_value_that_is_wrong_is_told(
    key: str, value: object, expected: str, found: str, hint: str | None
) -> None:
    index = "[0]" if key == "listener" and value == [["mx"]] else ""
    message = f"expected {expected}, found {found}"
    told_of = Problem(0, f"expect[1].{key}{index}", message, hint)
    assert only_problem(document({**FINE, "name": "fine"}, {**FINE, key: value})) == told_of


@pytest.mark.parametrize("key", ["listener", "peer", "auth", "sender", "recipient"])
def test_a_default_that_is_wrong_is_told_once(key: str) -> None:
    asked = {name: value for name, value in FINE.items() if name != key}
    tables = [{**asked, "name": str(number)} for number in range(2)]
    assert only_problem(document(*tables, defaults={key: 5})).path == f"defaults.{key}"


def test_each_item_of_a_list_is_judged() -> None:
    peers = ["10.0.0.1", "mx", "::1", 5]
    listeners = ["mx", "", "submission", "*"]
    found = problems(document({**FINE, "peer": peers, "listener": listeners}))
    assert [one.path for one in found] == [
        *("expect[0].listener[1]", "expect[0].listener[3]"),
        *("expect[0].peer[1]", "expect[0].peer[3]"),
    ]


@pytest.mark.parametrize(
    ("domain", "expected", "hint"),
    [
        ("*.example.com", "a domain", A_PATTERN),
        ("*", "a domain", A_PATTERN),
        ("ann@example.com", CHARACTERS, "did you mean `example.com`?"),
        ("a..b", "a domain: no label is empty", None),
        ("[::1]", "a domain: a literal is `[ipv4]` or `[IPv6:ipv6]`, without a zone", None),
    ],
)
def test_a_domain_that_no_entry_could_govern_is_no_question(
    domain: str, expected: str, hint: str | None
) -> None:
    asked = {**ABOUT_DOMAIN, "may_send": False, "domain": domain}
    message = f"expected {expected}, found `{domain}`"
    assert only_problem(document(asked)) == Problem(0, "expect[0].domain", message, hint)


def test_what_is_no_string_is_no_domain_and_no_name() -> None:
    found = problems(document({**ABOUT_DOMAIN, "may_send": False, "domain": 5, "name": 5}))
    assert [(one.path, one.message) for one in found] == [
        ("expect[0].name", "expected a name, found the integer `5`"),
        ("expect[0].domain", "expected a domain, found the integer `5`"),
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(strategies.addresses().filter(is_toml) | TEXTS)
def test_what_is_no_address_is_no_question(address: str) -> None:
    text = document({**FINE, "sender": address, "recipient": address})
    if envelope_domain(address) is None:
        assert [one.path for one in problems(text)] == ["expect[0].sender", "expect[0].recipient"]
    else:
        assert run_expectations(EMPTY, text).passed


@given(strategies.domains().filter(is_toml) | TEXTS)
def test_what_is_no_domain_is_no_question(domain: str) -> None:
    text = document({**ABOUT_DOMAIN, "may_send": False, "domain": domain})
    if canonical_domain(domain) is None:
        assert only_problem(text).path == "expect[0].domain"
    else:
        assert run_expectations(EMPTY, text).passed


@pytest.mark.parametrize("peer", [peer for peer in BAD_PEERS if isinstance(peer, str)], ids=short)
def test_what_is_no_peer_is_no_question(peer: str) -> None:
    assert only_problem(document({**FINE, "peer": peer})).path == "expect[0].peer"


@pytest.mark.parametrize("listener", NO_LISTENERS, ids=short)
def test_what_is_no_listener_is_no_question(listener: str) -> None:
    assert only_problem(document({**FINE, "listener": listener})).path == "expect[0].listener"


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "found"), [("", "an empty string"), (" \t", "` \\u0009`")])
def test_a_name_says_something(name: str, found: str) -> None:
    message = f"expected a name that says something, found {found}"
    assert only_problem(document({**FINE, "name": name})) == Problem(0, "expect[0].name", message)


def test_every_expectation_has_a_name() -> None:
    unnamed = {key: value for key, value in FINE.items() if key != "name"}
    message = "expected `name`, found nothing"
    assert only_problem(document(unnamed)) == Problem(0, "expect[0].name", message)


def test_two_expectations_of_one_name_are_an_error() -> None:
    other = {**FINE, "name": "other"}
    found = problems(document(other, FINE, {**FINE, "peer": "::1"}, FINE))
    message = "expected a name of its own, found that of `expect[1]`"
    assert found == [Problem(0, f"expect[{index}].name", message) for index in (2, 3)]


def test_names_are_unique_in_all_documents() -> None:
    message = "expected a name of its own, found that of `expect[0]` of document 0"
    told_of = Problem(1, "expect[0].name", message)
    assert only_problem(document(FINE), document(FINE)) == told_of


def test_names_that_differ_in_case_are_two() -> None:
    assert run_expectations(EMPTY, document(FINE, {**FINE, "name": "Guarded"})).passed


# --- questions and answers that lack something --------------------------------------------------


@pytest.mark.parametrize("key", ["listener", "peer"])
def test_a_question_has_a_connection(key: str) -> None:
    asked = {name: value for name, value in FINE.items() if name != key}
    told_of = Problem(
        *(0, f"expect[0].{key}", f"expected `{key}`, found nothing"),
        "it may also stand in `[defaults]`",
    )
    assert only_problem(document(asked)) == told_of
    assert run_expectations(EMPTY, document(asked, defaults={key: FINE[key]})).passed


@pytest.mark.parametrize("key", ["sender", "recipient"])
def test_a_question_about_a_recipient_has_both_addresses(key: str) -> None:
    asked = {name: value for name, value in FINE.items() if name != key}
    told_of = Problem(0, f"expect[0].{key}", f"expected `{key}`, found nothing")
    assert only_problem(document(asked)) == told_of
    assert run_expectations(EMPTY, document(asked, defaults={key: FINE[key]})).passed


def test_a_question_has_a_subject() -> None:
    asked = {name: FINE[name] for name in ("name", "listener", "peer", "result")}
    message = "expected `sender` and `recipient`, or `domain`, found none of them"
    assert only_problem(document(asked)) == Problem(0, "expect[0]", message)


@pytest.mark.parametrize("key", ["sender", "recipient"])
def test_a_question_about_a_domain_has_no_address(key: str) -> None:
    asked = {**ABOUT_DOMAIN, "may_send": False, key: "ann@example.com"}
    told_of = Problem(
        *(0, f"expect[0].{key}", f"expected `{key}` or `domain`, found both"),
        "ask about one recipient, or about one domain",
    )
    assert only_problem(document(asked)) == told_of


def test_an_expectation_that_says_nothing_is_an_error() -> None:
    found = problems(document(QUESTION, {**ABOUT_DOMAIN, "name": "other"}))
    hint = "it would always hold"
    assert found == [
        Problem(0, "expect[0]", f"expected {ABOUT_RCPT}, found nothing", hint),
        Problem(0, "expect[1]", f"expected {ABOUT_A_DOMAIN}, found nothing", hint),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("result", "refused"), ("relay", True), ("reply", "250"), ("message", "refused")),
        *(("oob_report", "refused"), ("arf_report", "refused")),
        *(("sender_entry", "*"), ("recipient_entry", "*")),
    ],
)
def test_what_is_said_of_recipients_cannot_be_said_of_a_domain(key: str, value: object) -> None:
    told_of = Problem(0, f"expect[0].{key}", f"expected {ABOUT_A_DOMAIN}, found `{key}`")
    assert only_problem(document({**ABOUT_DOMAIN, key: value})) == told_of


@pytest.mark.parametrize(
    ("key", "value"), [("may_send", True), ("may_receive", True), ("entry", "*")]
)
def test_what_is_said_of_a_domain_cannot_be_said_of_recipients(key: str, value: object) -> None:
    told_of = Problem(0, f"expect[0].{key}", f"expected {ABOUT_RCPT}, found `{key}`")
    assert only_problem(document({**QUESTION, key: value})) == told_of


def test_an_expectation_asks_ten_thousand_questions_at_most() -> None:
    peers = [f"10.0.{number // 200}.{number % 200}" for number in range(100)]
    senders = [f"ann@{number}.example" for number in range(100)]
    most = {**FINE, "peer": peers, "sender": senders}
    (result,) = run_expectations(EMPTY, document(most)).results
    assert len(result.requests) == 10_000
    more = {**most, "peer": [*peers, "::1"], "recipient": ["ann@example.com"] * 10_000}
    message = "expected at most 10000 questions, found more"
    assert only_problem(document(more)) == Problem(0, "expect[0]", message)


# --- documents ----------------------------------------------------------------------------------


def test_an_unknown_key_is_told_with_the_nearest_one() -> None:
    found = problems(
        document(
            {**FINE, "resullt": "refused", "a.b": 1, "expected": {"result": "refused"}},
            defaults={"listner": "mx", "result": "refused"},
        ).replace("a.b", '"a.b"')
    )
    assert [(one.path, one.hint) for one in found] == [
        ("defaults.listner", "did you mean `listener`?"),
        ("defaults.result", None),
        ("expect[0].resullt", "did you mean `result`?"),
        ('expect[0]."a.b"', None),
        ("expect[0].expected", None),
    ]
    assert "(`listener`, `peer`, `auth`, `sender`, `recipient`), found `result`" in told(found)


@pytest.mark.parametrize(
    ("name", "path", "hint"),
    [
        ("expects", "expects", "did you mean `expect`?"),
        ("default", "default", "did you mean `defaults`?"),
        ("a.b", '"a.b"', None),
    ],
)
def test_an_unknown_table_is_told(name: str, path: str, hint: str | None) -> None:
    message = f"expected `[defaults]` and `[[expect]]`, found `{name}`"
    assert only_problem(f"[{path}]\n{document(FINE)}") == Problem(0, path, message, hint)


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("", "expect", "expected at least one table `[[expect]]`, found none", None),
        ("expect = []", "expect", "expected at least one table `[[expect]]`, found none", None),
        (
            *("[expect]", "expect"),
            "expected an array of tables, `[[expect]]`, found a table",
            "write it in two brackets",
        ),
        (
            *("expect = 5", "expect"),
            *("expected an array of tables, `[[expect]]`, found the integer `5`", None),
        ),
        (
            *("expect = ['a']", "expect[0]"),
            *('expected a table of options, found the string `"a"`', None),
        ),
        (
            *(f"defaults = 5\n{document(FINE)}", "defaults"),
            *("expected a table of options, found the integer `5`", None),
        ),
        ("[[expect]", "", None, None),
        (b"\xff", "", "expected UTF-8, found the byte 0xff (line 1)", None),
        (untyped(5), "", "expected TOML as `str` or UTF-8 `bytes`, found the integer `5`", None),
    ],
    ids=short,
)
def test_what_is_no_document_of_expectations_is_told(
    text: str | bytes, path: str, message: str | None, hint: str | None
) -> None:
    problem = only_problem(text)
    assert (problem.document, problem.path, problem.hint) == (0, path, hint)
    assert problem.message == message or (not message and problem.message.startswith("not TOML: "))


def test_all_problems_of_all_documents_are_told_at_once() -> None:
    first = document({**FINE, "peer": "x", "reason": "x"}, {**FINE, "name": "2", "auth": 1})
    second = document({"name": "3", "peer": "x", "relay": "x"})
    assert [(one.document, one.path) for one in problems(first, "[", second)] == [
        *((0, "expect[0].peer"), (0, "expect[0].reason"), (0, "expect[1].auth"), (1, "")),
        *((2, "expect[0].listener"), (2, "expect[0]"), (2, "expect[0].peer")),
        (2, "expect[0].relay"),
    ]


def test_a_policy_is_asked() -> None:
    found = problems_of(lambda: run_expectations(untyped("policy"), document(FINE)))
    assert found == [Problem(None, "policy", 'expected a `Policy`, found the string `"policy"`')]


_scalars = (
    st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    | st.sampled_from(["mx", "10.0.0.1:25", "::1", "ann@a.com", "a.com", "*", "refused", "DENIED"])
)
_values = _scalars | st.lists(_scalars, max_size=3) | st.just({"listener": "mx", "pattern": "*"})
_keys = st.sampled_from([*ExpectationTable.model_fields, "pear"])


@given(st.lists(st.dictionaries(_keys, _values, max_size=3), max_size=3), st.booleans())
def test_any_document_is_checked_or_a_config_error(changes: list[Fields], wrong: bool) -> None:
    tables = [{**FINE, "name": str(index), **change} for index, change in enumerate(changes)]
    defaults = {"pear": 1} if wrong else {"peer": "::1"}
    with suppress(ConfigError):
        report = run_expectations(EMPTY, document(*tables, defaults=defaults))
        assert [result.name for result in report.results] == [table["name"] for table in tables]
        assert not wrong


@given(st.text(st.characters()) | st.binary())
@example("[[expect]]\nname = '\ud800'")
def test_any_text_is_checked_or_a_config_error(text: str | bytes) -> None:
    assert problems(text)  # nobody writes an expectation by chance


# --- the schema for editors ---------------------------------------------------------------------


def test_the_schema_knows_every_key_and_says_what_it_is_for() -> None:
    schema: Any = expectations_json_schema()
    expectation = schema["properties"]["expect"]["items"]
    for table, model in (
        (schema["properties"]["defaults"], Defaults),
        (expectation, ExpectationTable),
    ):
        assert set(table["properties"]) == set(model.model_fields)
        assert table["additionalProperties"] is False
        for written in table["properties"].values():
            assert written["description"]
            assert "default" not in written
    assert expectation["required"] == ["name"]
    answers = {required["required"][0] for required in expectation["anyOf"]}
    assert answers == set(ExpectationTable.model_fields) - set(Defaults.model_fields) - {
        *("name", "domain"),
    }
    assert expectation["properties"]["result"]["enum"] == ["accepted", "refused"]
    assert "$ref" not in json.dumps(schema)


def test_a_schema_that_was_changed_is_not_given_out_again() -> None:
    schema = expectations_json_schema()
    schema.clear()
    changed: Any = expectations_json_schema()
    changed["properties"]["defaults"].clear()
    assert expectations_json_schema() not in (schema, changed)
