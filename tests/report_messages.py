"""Messages in the shape of reports, taken apart so that tests can change one thing at a time."""

import base64
import email
import quopri
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import Message
from typing import Final

from hypothesis import strategies as st

from listener_policy import Report

Fields = list[tuple[str, str]]
"""Header fields, or fields of a report, in order."""

REPORT_TYPES: Final = {Report.ARF: "feedback-report", Report.OOB: "delivery-status"}
PART_TYPES: Final = {
    Report.ARF: ["message/feedback-report"],
    Report.OOB: ["message/delivery-status", "message/global-delivery-status"],
}
FEEDBACK: Final[list[Fields]] = [
    [("Feedback-Type", "abuse"), ("User-Agent", "Reporter/1.0"), ("Version", "1")]
]
DELIVERY_STATUS: Final[list[Fields]] = [
    [("Reporting-MTA", "dns; mx.example.net")],
    [("Final-Recipient", "rfc822; u@example.net"), ("Action", "failed"), ("Status", "5.1.1")],
]


@dataclass(frozen=True)
class Part:
    """A body part as it is written."""

    fields: Fields
    body: str

    def lines(self) -> str:
        return written(self.fields) + "\n" + self.body


TEXT: Final = Part([("Content-Type", "text/plain; charset=utf-8")], "Hello.\n")
ORIGINAL: Final = Part([("Content-Type", "message/rfc822")], "From: a@example.com\n\nNews.\n")


def written(fields: Fields) -> str:
    """Fields as they stand in a message."""
    return "".join(f"{name}: {value}\n" for name, value in fields)


def encoded(text: str, encoding: str | None) -> str:
    """A text in a transfer encoding."""
    if encoding == "base64":
        return base64.encodebytes(text.encode()).decode()
    if encoding == "quoted-printable":
        return quopri.encodestring(text.encode()).decode() + "\n"
    return text


@dataclass(frozen=True)
class Draft:
    """A message in the shape of a report."""

    report: Report
    groups: list[Fields]
    content_type: str = "multipart/report"
    parameters: Fields = field(default_factory=list[tuple[str, str]])
    before: list[Part] = field(default_factory=lambda: [TEXT])
    part_fields: Fields = field(default_factory=list[tuple[str, str]])
    encoding: str | None = None
    after: list[Part] = field(default_factory=lambda: [ORIGINAL])
    header: Fields = field(default_factory=lambda: [("MIME-Version", "1.0")])
    linesep: str = "\n"

    def part(self) -> Part:
        """The machine-readable part."""
        text = "\n".join(written(group) for group in self.groups)
        encodings = [("Content-Transfer-Encoding", self.encoding)] if self.encoding else []
        return Part(self.part_fields + encodings, encoded(text, self.encoding) + "\n")

    def text(self) -> str:
        """The message with LF."""
        parameters = "".join(f"; {name}={value}" for name, value in self.parameters)
        fields = [*self.header, ("Content-Type", self.content_type + parameters)]
        parts = [*self.before, self.part(), *self.after]
        body = "".join(f"--BOUND\n{part.lines()}\n" for part in parts)
        return f"{written(fields)}\n{body}--BOUND--\n"

    def message(self) -> Message:
        """The message as a server gets it."""
        return email.message_from_bytes(self.text().replace("\n", self.linesep).encode())


def well_formed(report: Report) -> Draft:
    """A report as the RFCs have it."""
    return Draft(
        report,
        [list(group) for group in (FEEDBACK if report is Report.ARF else DELIVERY_STATUS)],
        parameters=[("report-type", REPORT_TYPES[report]), ("boundary", "BOUND")],
        part_fields=[("Content-Type", PART_TYPES[report][0])],
    )


# Reports as the criteria allow them


def cased(text: str) -> st.SearchStrategy[str]:
    """A text in letters of any case."""
    return st.lists(st.booleans(), min_size=len(text), max_size=len(text)).map(
        lambda uppers: "".join(
            character.upper() if upper else character.lower()
            for character, upper in zip(text, uppers, strict=True)
        )
    )


SPACES: Final = st.sampled_from(["", " ", "\t", "\n ", "\n\t ", "  "])


@st.composite
def parameter(draw: st.DrawFn, name: str, value: str) -> Fields:
    """A parameter in any of its forms."""
    name = draw(cased(name))
    middle = draw(st.integers(0, len(value)))
    percent = "".join(f"%{ord(character):02X}" for character in value)
    forms: list[Fields] = [
        [(name, value)],
        [(name, f'"{value}"')],
        [(name, '"' + "".join(f"\\{character}" for character in value) + '"')],
        [(f"{name}*", f"us-ascii'en'{percent}")],
        [(f"{name}*", f"UTF-8''{value}")],
        [(f"{name}*", f"''{value}")],
        [(f"{name}*0", value[:middle]), (f"{name}*1", f'"{value[middle:]}"')],
        [(f"{name}*0*", f"''{value[:middle]}"), (f"{name}*1*", percent[3 * middle :])],
    ]
    return [(draw(SPACES) + key, form) for key, form in draw(st.sampled_from(forms))]


OPTIONAL: Final[dict[Report, Fields]] = {
    Report.ARF: [
        ("Source-IP", "192.0.2.1"),
        ("Reported-Uri", "http://example.com/"),
        ("Reported-Uri", "mailto:a@example.com"),
        ("Authentication-Results", "mx.example.net;\n spf=fail smtp.mailfrom=example.com"),
        ("X-Extension", "=_\u00fc"),
    ],
    Report.OOB: [
        ("Diagnostic-Code", "smtp; 550 5.1.1\n unknown =\n user"),
        ("Arrival-Date", "Tue, 3 Mar 2026 09:00:00 +0000"),
        ("X-Queue-ID", "4A"),
        ("X-Queue-ID", "4A"),
        ("Remote-MTA", ""),
    ],
}
VALUES: Final = {
    "Feedback-Type": ["abuse", "auth-failure", "not-spam", "Fraud (phishing)", "other", "x-new"],
    "User-Agent": ["A/1", "Yahoo!-Mail-Feedback/2.0", "two words (and a comment)"],
    "Version": ["1", "0.1", "1.0", "1 (first)"],
    "Reporting-MTA": ["dns; mx.example.net", "dns;mx", "mx.example.net", "X-Notes; CN=A"],
    "Final-Recipient": [
        "rfc822; u@example.net",
        "RFC822;<u@example.net>",
        "u@example.net",
        "utf-8; \u00fc",
    ],
    "Action": ["failed", "Delayed", "DELIVERED", "relayed (to a host)", "expanded\n (list)"],
    "Status": ["5.1.1", "4.4.7 (timeout)", "2.0.0", "5.7.133", "5.0.0 no thanks", "5.1.1;x"],
}
PARTS: Final = st.sampled_from(
    [
        TEXT,
        ORIGINAL,
        Part([], "No type.\n"),
        Part([("Content-Type", "text/html")], "<p>Hello.</p>\n"),
        Part([("Content-Type", "text/rfc822-headers")], "From: a@example.com\n"),
        Part([("Content-Type", "not a type")], "Hello.\n"),
        Part([("Content-Type", 'multipart/mixed; boundary="in"')], f"--in\n{TEXT.lines()}--in--\n"),
    ]
)


@st.composite
def groups(draw: st.DrawFn, report: Report) -> list[Fields]:
    """The fields of a report: the required ones, and others among them."""
    made: list[Fields] = []
    for group in FEEDBACK if report is Report.ARF else DELIVERY_STATUS:
        fields = [(name, draw(st.sampled_from(VALUES[name]))) for name, _ in group]
        fields += draw(st.lists(st.sampled_from(OPTIONAL[report]), max_size=3))
        order = draw(st.permutations(fields))
        made.append([(draw(cased(name)), draw(SPACES) + value) for name, value in order])
    if report is Report.OOB and draw(st.booleans()):
        made.append([("X-Extension", "a group that is none of a recipient")])
    return made


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Reports in any form that the criteria allow."""
    report = draw(st.sampled_from(Report))
    report_type = draw(cased(REPORT_TYPES[report]))
    parameters = [
        draw(parameter("report-type", report_type)),
        [("boundary", draw(st.sampled_from(["BOUND", '"BOUND"'])))],
        draw(st.sampled_from([[], [("charset", "utf-8")], [(" x", '"a;\\"b"')]])),
    ]
    part_type = draw(st.sampled_from(PART_TYPES[report]))
    name = draw(st.sampled_from(["", "; name=details.txt", " ; charset=us-ascii;"]))
    others: Fields = [("From", "<>"), ("MIME-Version", "1.0"), ("Subject", "multipart/mixed")]
    return Draft(
        report,
        draw(groups(report)),
        content_type=draw(SPACES) + draw(cased("multipart/report")),
        parameters=[pair for form in draw(st.permutations(parameters)) for pair in form],
        before=draw(st.lists(PARTS, max_size=2)),
        part_fields=[(draw(cased("Content-Type")), draw(SPACES) + draw(cased(part_type)) + name)],
        encoding=draw(st.sampled_from([None, "7bit", "8bit", "base64", "quoted-printable"])),
        after=draw(st.lists(PARTS, max_size=3)),
        header=draw(st.lists(st.sampled_from(others), unique=True)),
        linesep=draw(st.sampled_from(["\n", "\r\n"])),
    )


# What breaks a criterion


def _other(report: Report) -> Report:
    return Report.OOB if report is Report.ARF else Report.ARF


def _without_parameter(draft: Draft) -> Draft:
    kept = [pair for pair in draft.parameters if "report-type" not in pair[0].lower()]
    return replace(draft, parameters=kept)


def _again(draft: Draft) -> Draft:
    return replace(draft, after=[*draft.after, draft.part()])


def _of_other_kind(draft: Draft) -> Draft:
    return replace(draft, after=[*draft.after, well_formed(_other(draft.report)).part()])


BREAKS: Final[dict[str, Callable[[Draft], Draft]]] = {
    "another multipart": lambda draft: replace(draft, content_type="multipart/mixed"),
    "no report type": _without_parameter,
    "an unknown report type": lambda draft: replace(
        draft, parameters=[("report-type", "tlsrpt"), ("boundary", "BOUND")]
    ),
    "the other report type": lambda draft: replace(
        draft,
        parameters=[("report-type", REPORT_TYPES[_other(draft.report)]), ("boundary", "BOUND")],
    ),
    "a parameter twice": lambda draft: replace(
        draft, parameters=[*draft.parameters, ("Boundary", "BOUND")]
    ),
    "a content type before": lambda draft: replace(
        draft, header=[("Content-type", "multipart/report"), *draft.header]
    ),
    "an encoding of it all": lambda draft: replace(
        draft, header=[*draft.header, ("Content-Transfer-Encoding", "base64")]
    ),
    "no machine-readable part": lambda draft: replace(
        draft, part_fields=[("Content-Type", "text/plain")]
    ),
    "a machine-readable part of the other kind": lambda draft: replace(
        draft, part_fields=[("Content-Type", PART_TYPES[_other(draft.report)][0])]
    ),
    "the fields in a read receipt": lambda draft: replace(
        draft, part_fields=[("Content-Type", "message/disposition-notification")]
    ),
    "another part of two types": lambda draft: replace(
        draft, after=[*draft.after, Part([*TEXT.fields, ("content-type", "text/html")], "")]
    ),
    "two machine-readable parts": _again,
    "parts of both kinds": _of_other_kind,
    "a read receipt besides": lambda draft: replace(
        draft, before=[Part([("Content-Type", "message/disposition-notification")], "")]
    ),
    "a part of two types": lambda draft: replace(
        draft, part_fields=[*draft.part_fields, ("content-type", "text/plain")]
    ),
    "an unknown encoding": lambda draft: replace(draft, encoding="x-uuencode"),
    "no fields": lambda draft: replace(draft, groups=[]),
    "nothing before a group of no use": lambda draft: replace(
        draft, groups=[[("X-Extension", "a")], *draft.groups]
    ),
}
"""By what is wrong afterwards."""

REQUIRED: Final = {
    Report.ARF: ["feedback-type", "user-agent", "version"],
    Report.OOB: ["reporting-mta", "final-recipient", "action", "status"],
}


def with_field(draft: Draft, name: str, change: Callable[[str, str], Fields]) -> Draft:
    """The report with other fields in place of one."""
    changed = [
        [
            pair
            for key, value in group
            for pair in (change(key, value) if key.lower() == name else [(key, value)])
        ]
        for group in draft.groups
    ]
    return replace(draft, groups=changed)
