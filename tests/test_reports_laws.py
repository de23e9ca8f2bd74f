"""Whatever the criteria allow is a report, and whatever breaks one of them is none (rule 4.4)."""

import email
import string
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, Message
from typing import Any, Final

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from report_messages import BREAKS, REQUIRED, Draft, drafts, well_formed, with_field

from listener_policy import Report
from listener_policy.reports import classify

POLICIES: Final[list[Any]] = [policy.compat32, policy.default, policy.SMTPUTF8, policy.SMTP]


@given(drafts())
def test_4_4_what_the_criteria_allow_is_a_report(draft: Draft) -> None:
    event(f"{draft.report}, {draft.encoding}")
    assert classify(draft.message()) is draft.report


@pytest.mark.parametrize("name", BREAKS)
@given(draft=drafts())
def test_4_4_what_breaks_a_criterion_is_no_report(name: str, draft: Draft) -> None:
    assert classify(BREAKS[name](draft).message()) is None


@given(drafts(), st.data())
def test_4_4_a_required_field_that_is_missing_empty_or_there_twice(
    draft: Draft, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(REQUIRED[draft.report]))
    fields = data.draw(st.sampled_from([0, 1, 2]))
    broken = with_field(
        draft, name, lambda key, value: [(key, value if fields == 2 else "")] * fields
    )
    assert classify(broken.message()) is None


@pytest.mark.parametrize("report", Report)
@pytest.mark.parametrize("name", BREAKS)
def test_each_break_breaks_one_thing(report: Report, name: str) -> None:
    draft = well_formed(report)
    assert classify(draft.message()) is report
    assert draft.text() != BREAKS[name](draft).text()


@given(drafts(), st.sampled_from(["multipart/mixed", "multipart/signed", "multipart/report"]))
def test_4_4_a_report_in_another_message_is_no_report(draft: Draft, outer: str) -> None:
    text = draft.text()
    inside = f"--OUT\nContent-Type: text/plain\n\nSee below.\n--OUT\n{text}\n--OUT--\n"
    wrapped = f"Content-Type: {outer}; report-type=delivery-status; boundary=OUT\n\n{inside}"
    attached = f"Content-Type: message/rfc822\n\n{text}"
    assert classify(email.message_from_bytes(wrapped.encode())) is None
    assert classify(email.message_from_bytes(attached.encode())) is None


WORDS: Final = st.sampled_from(
    [
        *("multipart/report", "message/delivery-status", "message/feedback-report", "text/plain"),
        *("Content-Type: ", "Content-Transfer-Encoding: ", "report-type=", "delivery-status"),
        *(
            "feedback-report",
            "boundary=B",
            "--B\n",
            "--B--\n",
            ";",
            "; ",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
        ),
        *(
            " ",
            "\t",
            '"',
            "\\",
            "*",
            "*0*",
            "'",
            "%",
            "=",
            "(",
            ")",
            ":",
            "base64",
            "quoted-printable",
        ),
        *("charset=\x00", "charset=idna", "\x00", "\x85", "\x0b", "\u2028", "\udc80", "\u00fc"),
        *("Feedback-Type: abuse\n", "User-Agent: A\n", "Version: 1\n", "Reporting-MTA: dns; a\n"),
        *(
            "Final-Recipient: rfc822; a\n",
            "Action: failed\n",
            "Status: 5.1.1\n",
            "From \n",
            "a" * 80,
        ),
    ]
)
FRAGMENTS: Final = st.lists(WORDS, max_size=40).map("".join)
BEGINNING: Final = (
    "Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n--B\n"
)


def parsed(content: bytes | str, how: Any = policy.compat32) -> Message:
    """The message that Python's parser makes of it; an empty one where the parser raises."""
    parse: Any = (
        email.message_from_bytes if isinstance(content, bytes) else email.message_from_string
    )
    try:
        message: Message = parse(content, policy=how)
    except (MessageError, LookupError, TypeError, ValueError, AttributeError):
        return Message()  # that it raises is none of ours
    return message


@given(st.binary() | FRAGMENTS.map(lambda text: text.encode("utf-8", "surrogateescape")))
@example(b"Content-Type: multipart/report; report-type*=utf-8''%FF; boundary=B\n\n--B\n\n--B--")
def test_4_4_any_bytes_are_decided_about(content: bytes) -> None:
    for how in POLICIES:
        for beginning in (b"", BEGINNING.encode()):
            assert classify(parsed(beginning + content, how)) in {None, *Report}


@given(FRAGMENTS, FRAGMENTS)
def test_4_4_any_text_is_decided_about(one: str, other: str) -> None:
    for beginning in ("", BEGINNING):
        for text in (one, other, one + other, f"Content-Type: message/delivery-status\n\n{one}"):
            assert classify(parsed(beginning + text)) in {None, *Report}


@given(FRAGMENTS)
def test_4_4_nothing_without_its_name_is_a_report(text: str) -> None:
    if "multipart/report" not in text:
        assert classify(parsed(text)) is None


PRINTABLE: Final = st.text(string.printable.translate({11: None, 12: None}))
SUBJECTS: Final = st.text(string.ascii_letters + string.digits + " /;=-")


@given(SUBJECTS, PRINTABLE, st.lists(st.tuples(st.booleans(), PRINTABLE), max_size=3), PRINTABLE)
def test_4_4_ordinary_mail_is_no_report(
    subject: str, text: str, attachments: list[tuple[bool, str]], forwarded: str
) -> None:
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(text)
    for is_html, content in attachments:
        message.add_attachment(content, subtype="html" if is_html else "plain")
    assert classify(message) is None
    inner = EmailMessage()
    inner.set_content(forwarded)
    message.add_attachment(inner)
    assert classify(message) is None
    assert classify(email.message_from_bytes(bytes(message))) is None
