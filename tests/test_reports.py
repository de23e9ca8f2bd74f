"""What is a report, and what is none: the shapes that senders give them (rule 4.4)."""

import email
import re
from dataclasses import replace
from email import policy
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesHeaderParser
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from report_messages import (
    BREAKS,
    DELIVERY_STATUS,
    FEEDBACK,
    REPORT_TYPES,
    Fields,
    Part,
    well_formed,
    with_field,
    written,
)
from support import short, untyped

import listener_policy
from listener_policy import Policy, Report, RequestError, reports
from listener_policy.reports import classify

CORPUS: Final = Path(__file__).parent / "data" / "reports"
FOLDERS: Final = {"arf": Report.ARF, "oob": Report.OOB, "neither": None}
FILES: Final = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.eml"))
POLICIES: Final[dict[str, Any]] = {
    "compat32": policy.compat32,
    "default": policy.default,
    "SMTP": policy.SMTP,
    "SMTPUTF8": policy.SMTPUTF8,
}


def contents(name: str) -> list[bytes]:
    """A message with LF and with CRLF."""
    content = (CORPUS / name).read_bytes()
    return [content, content.replace(b"\n", b"\r\n")]


@pytest.mark.parametrize("how", POLICIES)
@pytest.mark.parametrize("name", FILES)
def test_4_4_each_shape_is_what_it_is(name: str, how: str) -> None:
    expected = FOLDERS[name.partition("/")[0]]
    for content in contents(name):
        assert classify(email.message_from_bytes(content, policy=POLICIES[how])) is expected
    text = contents(name)[0].decode()
    assert classify(email.message_from_string(text, policy=POLICIES[how])) is expected


@pytest.mark.parametrize("name", FILES)
def test_4_4_a_message_is_as_it_was(name: str) -> None:
    for content in contents(name):
        for how in POLICIES.values():
            message = email.message_from_bytes(content, policy=how)
            raw, defects = list(message.raw_items()), list(message.defects)
            classify(message)
            assert list(message.raw_items()) == raw
            assert message.defects == defects
            untouched = email.message_from_bytes(content, policy=how)
            assert message.as_bytes() == untouched.as_bytes()


@pytest.mark.parametrize("name", FILES)
def test_4_4_the_header_alone_is_no_report(name: str) -> None:
    assert classify(BytesHeaderParser().parsebytes(contents(name)[0])) is None


def test_the_index_of_the_shapes_is_complete() -> None:
    index = (CORPUS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\S+\.eml)` \| \S", index, re.MULTILINE) == [
        name for folder in FOLDERS for name in FILES if name.startswith(f"{folder}/")
    ]
    assert {name.partition("/")[0] for name in FILES} == set(FOLDERS)
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted([*FOLDERS, "README.md"])


PAGE: Final = (CORPUS.parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")


def test_the_page_says_what_becomes_of_deviations() -> None:
    rows = re.findall(r"^\| .* \| (report|`None`) \| `(\S+)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == PAGE.count(".eml` |") > 20
    for result, name in rows:
        assert name in FILES
        assert (FOLDERS[name.partition("/")[0]] is None) is (result == "`None`")


def test_the_page_has_the_criteria_that_the_code_cites() -> None:
    source = Path(reports.__file__).read_text(encoding="utf-8")
    cited = re.findall(r"\(criteri(?:on|a) (\d)(?: (to|and) (\d))?\)", source)
    numbers = {n for first, _, last in cited for n in range(int(first), int(last or first) + 1)}
    assert numbers == {int(n) for n in re.findall(r"^(\d)\. ", PAGE, re.MULTILINE)}
    assert f"{reports.LIMIT:,} characters" in PAGE
    for name in reports.MACHINE_READABLE:
        assert name.replace("global-disposition", "disposition").partition("+")[0] in PAGE


def test_the_links_of_the_page_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^):]+)\)", PAGE)
    assert [link for link in links if not (CORPUS.parents[2] / "docs" / link).exists()] == []


DOCUMENTATION: Final = [
    *map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
]


@pytest.mark.parametrize("name", FILES)
def test_the_shapes_name_nobody_who_exists(name: str) -> None:
    text = contents(name)[0].decode()
    for domain in re.findall(r"[\w.-]+@([\w.-]+\w)|//([\w.-]+\w)/", text):
        assert re.search(r"(?:^|\.)example(?:\.(?:com|net|org|edu))?$", max(domain)), domain
    for address in re.findall(
        r"(?<![\d.-])\d+\.\d+\.\d+\.\d+(?![\d.])", text.replace("5.5.2653.19", "")
    ):
        assert any(ip_address(address) in block for block in DOCUMENTATION), address


# Criteria 1 to 3: the header


TYPES: Final = [
    "multipart/report; report-type=delivery-status; boundary=BOUND",
    "MULTIPART/REPORT; REPORT-TYPE=DELIVERY-STATUS; BOUNDARY=BOUND",
    ' multipart/report ; report-type = "delivery-status" ; boundary = "BOUND" ',
    "multipart/report;\n\treport-type=delivery-status;\n boundary=BOUND",
    "\n multipart/report; boundary=BOUND; report-type=delivery-status;",
    "multipart/report; boundary=BOUND; report-type=delivery-status; ; ;\n ",
    "multipart/report;; boundary=BOUND; report-type=delivery-status",
    'multipart/report; report-type="delivery\\-status"; boundary=BOUND',
    'multipart/report; report-type=" delivery-status"; boundary=BOUND',
    "multipart/report; boundary=BOUND; report-type*=us-ascii'en'delivery%2dstatus",
    "multipart/report; boundary=BOUND; report-type*='' delivery-status",
    "multipart/report; boundary=BOUND; report-type*0=delivery; report-type*1=-status",
    "multipart/report; boundary=BOUND; report-type*1=-status; report-type*0=delivery",
    "multipart/report; boundary=BOUND; report-type*0*=utf-8''deliver%79; report-type*1=-status",
    "multipart/report; boundary=BOUND; report-type*0=delivery; report-type*1*=%2Dstatus",
    'multipart/report; boundary=BOUND; x="a;b=\\"c"; report-type=delivery-status',
    "multipart/report; boundary=BOUND; name=two words; report-type=delivery-status",
]
NO_TYPES: Final = [
    "",
    "multipart",
    "multipart/report",
    "multipart/report; boundary=BOUND",
    "multipart/reports; report-type=delivery-status; boundary=BOUND",
    "multipart/mixed; report-type=delivery-status; boundary=BOUND",
    "multipart /report; report-type=delivery-status; boundary=BOUND",
    "multipart/report (comment); report-type=delivery-status; boundary=BOUND",
    "multipart/report, text/html; report-type=delivery-status; boundary=BOUND",
    "multipart/report report-type=delivery-status; boundary=BOUND",
    "multipart/report; report-type=delivery-status (comment); boundary=BOUND",
    "multipart/report; report-type=; boundary=BOUND",
    "multipart/report; report-type; boundary=BOUND",
    'multipart/report; boundary=BOUND; report-type="delivery-status',
    'multipart/report; boundary=BOUND; report-type=delivery-"status"',
    "multipart/report; boundary=BOUND; report-type=delivery-status; nonsense",
    "multipart/report; boundary=BOUND; report-type=delivery status",
    "multipart/report; boundary=BOUND; report_type=delivery-status",
    "multipart/report; boundary=BOUND; report-type=delivery-status; Report-Type=delivery-status",
    "multipart/report; boundary=BOUND; report-type=delivery-status; report-type*=''delivery-status",
    "multipart/report; boundary=BOUND; report-type=delivery-status; report-type*0=delivery-status",
    "multipart/report; boundary=BOUND; report-type*=''delivery-; report-type*1=status",
    "multipart/report; boundary=BOUND; report-type*=''a; report-type*0*=''delivery-status",
    "multipart/report; boundary=BOUND; report-type*=delivery-status",
    "multipart/report; boundary=BOUND; report-type*=utf-16''delivery-status",
    "multipart/report; boundary=BOUND; report-type*0=delivery-; report-type*2=status",
    "multipart/report; boundary=BOUND; report-type*1=delivery-status",
    "multipart/report; boundary=BOUND; report-type*00=delivery-status",
    "multipart/report; boundary=BOUND; report-type**=''delivery-status",
    "multipart/report; boundary=BOUND; report-type=disposition-notification",
    "multipart/report; boundary=BOUND; report-type==?us-ascii?Q?delivery-status?=",
]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [*((written, Report.OOB) for written in TYPES), *((written, None) for written in NO_TYPES)],
)
def test_4_4_spellings_of_the_content_type(content_type: str, expected: Report | None) -> None:
    text = well_formed(Report.OOB).text()
    written = "multipart/report; report-type=delivery-status; boundary=BOUND"
    assert written in text
    for linesep in ("\n", "\r\n"):
        content = text.replace(written, content_type).replace("\n", linesep).encode()
        assert classify(email.message_from_bytes(content)) is expected
        if expected is not None:  # for some of the others, Python's parser raises
            message = email.message_from_bytes(content, policy=policy.default)
            assert classify(message) is expected


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        *(("7bit", Report.OOB), (" 8BIT ", Report.OOB), ("binary", Report.OOB)),
        *(("base64", None), ("quoted-printable", None), ("", None), ("7bit\nX: y", Report.OOB)),
        ("7bit\nContent-Transfer-Encoding: 7bit", None),
    ],
)
def test_4_4_encodings_of_the_whole(encoding: str, expected: Report | None) -> None:
    text = f"Content-Transfer-Encoding: {encoding}\n{well_formed(Report.OOB).text()}"
    assert classify(email.message_from_string(text)) is expected


# Criteria 4 and 5: the machine-readable part


@pytest.mark.parametrize(
    "other",
    [
        *("message/feedback-report", "message/delivery-status", "message/global-delivery-status"),
        *("message/disposition-notification", "message/global-disposition-notification"),
        *("message/tracking-status", "application/tlsrpt+gzip", "application/tlsrpt+json"),
    ],
)
def test_4_4_two_machine_readable_parts_are_in_doubt(other: str) -> None:
    for report in Report:
        text = well_formed(report).text()
        part = Part([("Content-Type", f"{other}; x=y")], "").lines()
        assert (
            classify(email.message_from_string(text.replace("--BOUND--", f"--BOUND\n{part}")))
            is None
        )


@pytest.mark.parametrize(
    ("part_type", "expected"),
    [
        ("message/delivery-status", True),
        ("MESSAGE/Delivery-Status", True),
        ("\n message/delivery-status ; name = report.txt", True),
        ("message/delivery-status; nonsense", True),
        ("message/global-delivery-status", True),
        ("message/delivery-status (report)", False),
        ("message/delivery-statuses", False),
        ("message/delivery-status, text/plain", False),
        ("message / delivery-status", False),
        ("text/plain; name=message/delivery-status", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_4_4_types_of_the_machine_readable_part(part_type: str, expected: bool) -> None:
    draft = replace(well_formed(Report.OOB), part_fields=[("Content-Type", part_type)])
    assert classify(draft.message()) is (Report.OOB if expected else None)


@pytest.mark.parametrize("report", Report)
@pytest.mark.parametrize("name", BREAKS)
def test_4_4_each_break_of_a_criterion(report: Report, name: str) -> None:
    draft = well_formed(report)
    assert classify(draft.message()) is report
    assert classify(BREAKS[name](draft).message()) is None


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("feedback-type", "abuse", True),
        ("feedback-type", "x-anything.else", True),
        ("feedback-type", "fraud(phishing)", True),
        ("feedback-type", "abuse, fraud", False),
        ("feedback-type", "(abuse)", False),
        ("feedback-type", "buy now", False),
        ("feedback-type", "abus\u00e9", False),
        ("user-agent", "x", True),
        ("user-agent", " \t ", False),
        ("version", "1", True),
        ("version", "0.1", True),
        ("version", "12.0.3 (c)", True),
        ("version", "one", False),
        ("version", "1.", False),
        ("version", "-1", False),
        ("version", "\u0661", False),
    ],
)
def test_4_4_fields_of_abuse_reports(field: str, value: str, expected: bool) -> None:
    draft = with_field(well_formed(Report.ARF), field, lambda key, _: [(key, value)])
    assert classify(draft.message()) is (Report.ARF if expected else None)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("reporting-mta", "dns; mx", True),
        ("reporting-mta", "mx", True),
        ("reporting-mta", "dns;", False),
        ("reporting-mta", "dns; ", False),
        ("reporting-mta", ";", False),
        ("final-recipient", "rfc822;u", True),
        ("final-recipient", "u@example.net", True),
        ("final-recipient", "rfc822;\n u@example.net", True),
        ("final-recipient", "rfc822;", False),
        ("action", "failed", True),
        ("action", "FAILED (really)", True),
        ("action", "failure", False),
        ("action", "failed or delayed", False),
        ("action", "none", False),
        ("status", "5.1.1", True),
        ("status", "2.0.0", True),
        ("status", "4.999.999 (x)", True),
        ("status", "5", False),
        ("status", "5.1", False),
        ("status", "3.1.1", False),
        ("status", "5.1.1000", False),
        ("status", "5.1.1.1", False),
        ("status", "550 5.1.1", False),
        ("status", "\u0665.1.1", False),
    ],
)
def test_4_4_fields_of_delivery_reports(field: str, value: str, expected: bool) -> None:
    draft = with_field(well_formed(Report.OOB), field, lambda key, _: [(key, value)])
    assert classify(draft.message()) is (Report.OOB if expected else None)


def test_4_4_one_recipient_is_enough() -> None:
    draft = well_formed(Report.OOB)
    message, recipient = draft.groups
    for groups in (
        [message, [("X", "y")], recipient],
        [message, [*recipient, ("Status", "5.1.1")], recipient],
        [[*message, *recipient]],
        [[("X", "y"), *message], recipient],
    ):
        draft.groups[:] = groups
        assert classify(draft.message()) is Report.OOB
    for groups in ([recipient, message], [message, [*recipient, ("Status", "5.1.1")]], [recipient]):
        draft.groups[:] = groups
        assert classify(draft.message()) is None


# Messages that were not parsed, and what is no message


def built(report: Report, part: Message) -> MIMEMultipart:
    message = MIMEMultipart("report", report_type=REPORT_TYPES[report])
    message.attach(MIMEText("Hello."))
    message.attach(part)
    return message


def group_of(fields: Fields) -> Message:
    group = Message()
    for name, value in fields:
        group[name] = value
    return group


def test_4_4_a_message_that_was_built_of_messages() -> None:
    part = MIMEBase("message", "delivery-status")
    part.set_payload([group_of(fields) for fields in DELIVERY_STATUS])
    assert classify(built(Report.OOB, part)) is Report.OOB
    group = group_of(FEEDBACK[0])
    message = built(Report.ARF, MIMEMessage(group, "feedback-report"))
    assert classify(message) is Report.ARF
    group["Content-Type"] = "text/plain"
    assert classify(message) is Report.ARF
    untyped(group)["X-Header"] = Header("a")
    assert classify(message) is Report.ARF
    del group["Version"]
    untyped(group)["Version"] = Header("1")
    assert classify(message) is None


def test_4_4_a_message_that_was_built_of_text_is_a_report_once_it_was_parsed() -> None:
    part = MIMEBase("message", "feedback-report")
    part.set_payload(written(FEEDBACK[0]))
    message = built(Report.ARF, part)
    assert classify(message) is None
    assert classify(email.message_from_bytes(bytes(message))) is Report.ARF


@pytest.mark.parametrize("payload", [None, "text", b"bytes", [], ["text"], [None], 5])
def test_4_4_any_payload(payload: object) -> None:
    message = built(Report.OOB, Message())
    message.set_payload(untyped(payload))
    assert classify(message) is None
    part = MIMEBase("message", "delivery-status")
    part.set_payload(untyped(payload))
    assert classify(built(Report.OOB, part)) is None


def test_4_4_fields_that_are_no_text() -> None:
    for name in ("Content-Type", "Content-Transfer-Encoding"):
        for index in (None, 1):
            message = well_formed(Report.OOB).message()
            part: Any = message if index is None else message.get_payload(index)
            del part[name]
            part[name] = Header("7bit")
            assert classify(message) is None


@pytest.mark.parametrize(
    "wrong", [None, b"From: a\n\n", "From: a\n\n", 5, [], Message, {"From": "a"}], ids=short
)
def test_4_4_what_is_no_message_is_refused(wrong: object) -> None:
    with pytest.raises(RequestError, match=r"^message: expected an `email\.message\.Message`"):
        classify(untyped(wrong))


def test_4_4_what_is_told_goes_into_a_decision() -> None:
    decision = Policy.from_toml(
        '["a.example"]\nlog_oob = "LogThenDrop"\nlog_arf = true'
    ).decide_rcpt("mx", "203.0.113.9", "<>", "<b@a.example>")
    for report in (*Report, None):
        message = EmailMessage() if report is None else well_formed(report).message()
        assert decision.after_data(classify(message)).log is (report is not None)


def test_what_is_public() -> None:
    assert reports.__all__ == ["classify"]
    assert listener_policy.Report is Report
