"""What a stranger may send so that telling reports apart costs too much, or fails (rule 4.4)."""

import base64
import email
import tracemalloc
from collections.abc import Callable
from email import policy
from email.message import Message
from typing import Any, Final

import pytest
from report_messages import DELIVERY_STATUS, ORIGINAL, Part, well_formed, written
from support import calls_made, short

from listener_policy import Report
from listener_policy.reports import LIMIT, classify

MILLION: Final = 10**6
TYPE: Final = "multipart/report; report-type=delivery-status; boundary=BOUND"


def status_of(text: str, *, encoding: str = "8bit", part: str = "delivery-status") -> Message:
    """A message with this text as its machine-readable part."""
    fields = [("Content-Type", f"message/{part}"), ("Content-Transfer-Encoding", encoding)]
    body = "".join(f"--BOUND\n{one.lines()}\n" for one in (Part([], ""), Part(fields, text)))
    return email.message_from_string(f"Content-Type: {TYPE}\n\n{body}--BOUND--\n")


STATUS: Final = "\n".join(written(group) for group in DELIVERY_STATUS)


def with_content_type(value: str) -> Message:
    """A message of two empty parts whose content type no parser has seen."""
    message = well_formed(Report.OOB).message()
    message.replace_header("Content-Type", value)
    return message


@pytest.mark.parametrize(
    "piece",
    [
        *(
            " ",
            "\n ",
            ";",
            "; ",
            ";a=b",
            ';a="b"',
            '"',
            "\\",
            "=",
            "/",
            "a",
            "a=",
            "*",
            "(",
            "'",
            "%",
        ),
        *('; report-type="', "; report-type*0", "; report-type*", "\x00", "\u212a", "\udc80", " ;"),
    ],
    ids=short,
)
def test_4_4_a_million_times_the_same_in_a_content_type(piece: str) -> None:
    many = piece * (MILLION // len(piece))
    for value in (
        many,
        f"{TYPE}{many}",
        f"{TYPE}; x={many}",
        f'{TYPE}; x="{many}',
        f"{TYPE};{many}",
    ):
        assert classify(with_content_type(value)) in {None, Report.OOB}


def test_4_4_a_hundred_thousand_parameters() -> None:
    numbers = range(100_000)
    others = "".join(f"; x{number}=y" for number in numbers)
    pieces = "".join(f"; report-type*{number}=a" for number in numbers)
    assert classify(with_content_type(TYPE + others)) is Report.OOB
    assert (
        classify(with_content_type(TYPE.replace("; report-type=delivery-status", pieces))) is None
    )


@pytest.mark.parametrize(
    "piece",
    [
        *(
            " ",
            "\n",
            "\r",
            "\n ",
            "\n \n",
            "a",
            ":",
            "a:",
            "a:\n",
            "\n a",
            "X: y\n",
            "=",
            "=\n",
            "(",
            ";",
        ),
        *("\x00", "\x85", "\u2028", "\xfc", "\udc80", "Action: failed\n", "Status: 5.1.1 (" * 2),
    ],
    ids=short,
)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("part", ["delivery-status", "global-delivery-status", "feedback-report"])
def test_4_4_a_long_machine_readable_part(piece: str, encoding: str, part: str) -> None:
    # Python's parser makes a message of each group
    length = LIMIT // 8 if part == "delivery-status" else 2 * LIMIT
    text = piece * (length // len(piece))
    assert classify(status_of(text, encoding=encoding, part=part)) is None
    for group in STATUS, STATUS.replace("\n\n", f"\nX: {piece}\n\n"):
        classify(status_of(group + "X: " + text, encoding=encoding, part=part))


@pytest.mark.parametrize("part", ["delivery-status", "global-delivery-status"])
def test_4_4_what_is_looked_at_is_the_beginning(part: str) -> None:
    other = "\n" + written([("X-Other", "a")])
    fit = LIMIT // len(other) - len(STATUS) // len(other) - 10
    message, _, recipient = STATUS.partition("\n\n")
    inside = f"{message}\n{other * fit}\n{recipient}\n\n"
    outside = f"{message}\n{other * (fit + 20)}\n{recipient}\n\n"
    after = f"{STATUS}{other * fit * 3}"
    for text, expected in ((inside, True), (outside, False), (after, True)):
        assert (classify(status_of(text, part=part)) is Report.OOB) is expected
        digits = base64.encodebytes(text.encode()).decode()
        if text is not inside:
            encoded = classify(status_of(digits, encoding="base64", part=part))
            assert (encoded is Report.OOB) is expected


def test_4_4_a_group_that_is_cut_does_not_count() -> None:
    long = f"X-Long: {'a' * LIMIT}\n"
    message, _, recipient = STATUS.partition("\n\n")
    assert classify(status_of(f"{message}\n\n{recipient}{long}")) is None
    assert classify(status_of(f"{message}\n\n{recipient}\n\n{long}")) is Report.OOB
    whole, stripped = STATUS + "\n", STATUS.strip()
    for part in ("delivery-status", "global-delivery-status"):
        for more in range(-3, 4):  # from a group that just ends to one that just does not
            filler = "X: " + "a" * (LIMIT - len(whole) - len("X: \n\n") + more) + "\n\n"
            text = f"{message}\n\n{filler}{recipient}\n"
            found = classify(status_of(f"{text}{STATUS}", part=part))
            assert found is (Report.OOB if more <= 0 else None), more
        digits = base64.encodebytes(stripped.encode()).decode()
        assert classify(status_of(digits, encoding="base64", part=part)) is Report.OOB
    blank = "\n" * LIMIT
    assert (
        classify(status_of(f"{STATUS}{blank}{STATUS}", part="global-delivery-status")) is Report.OOB
    )
    feedback = well_formed(Report.ARF)
    feedback.groups[0].append(("X-Long", "a" * LIMIT))
    assert classify(feedback.message()) is None


@pytest.mark.parametrize(
    "digits", ["A", "AAA", "====", "A===", "AAAA=A==", "!!!!", "\u00fc", "UmVw", ""]
)
def test_4_4_what_is_not_base64(digits: str) -> None:
    assert classify(status_of(f"{digits}\n", encoding="base64")) is None


def test_4_4_lines_that_are_no_fields_are_passed_over() -> None:
    text = STATUS.replace("Action", "550 not a field\n\tnor this\nAction ").replace("\n", "\r\n")
    for part in ("delivery-status", "global-delivery-status"):
        assert classify(status_of(text, part=part)) is Report.OOB
    for odd in ("\x0c", "\xa0", " ", "\t", "\x0b\x0b"):
        draft = STATUS.replace("Action", f"{odd}\nAction")
        assert classify(status_of(draft, part="global-delivery-status")) is Report.OOB
        assert classify(status_of(draft)) is Report.OOB
    empty = f"\n\n\n{STATUS}\n\n\n"
    assert classify(status_of(empty)) is Report.OOB


@pytest.mark.parametrize("linesep", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("part", ["delivery-status", "global-delivery-status"])
def test_4_4_line_ends_under_an_encoding(part: str, linesep: str) -> None:
    digits = base64.encodebytes(STATUS.replace("\n", linesep).encode()).decode()
    assert classify(status_of(digits, encoding="base64", part=part)) is Report.OOB


@pytest.mark.parametrize("field", ["Content-Type: text/x; charset=", "Content-Transfer-Encoding: "])
@pytest.mark.parametrize(
    "value", ["\x00", "shift_jis", "multipart/mixed; boundary=x", "base64", "a" * 999]
)
def test_4_4_fields_of_messages_in_a_part_are_not_obeyed(field: str, value: str) -> None:
    message, _, recipient = STATUS.partition("\n\n")
    text = f"{message}\n{field}{value}\n\n{recipient}\n"
    parsed = status_of(text.replace("unknown", "\udcfc"))
    assert classify(parsed) is Report.OOB
    assert classify(status_of(text, part="global-delivery-status")) is None


def test_4_4_text_that_was_never_bytes() -> None:
    for odd in ("\ud800", "\udc80", "\u00fc\udc80", "\U0001f44d"):
        text = STATUS.replace("Action", f"X-Odd: {odd}\n{odd}\nAction")
        for part in ("delivery-status", "global-delivery-status"):
            for encoding in ("8bit", "quoted-printable", "base64"):
                found = classify(status_of(text, encoding=encoding, part=part))
                assert found is None or encoding != "base64"


def test_4_4_a_part_whose_text_python_cannot_give(monkeypatch: pytest.MonkeyPatch) -> None:
    message = status_of(STATUS)
    assert classify(message) is Report.OOB
    get_payload = Message.get_payload

    def raising(self: Message, *arguments: Any) -> Any:
        # as some versions of Python do for surrogates that stand for no octet
        if not self.is_multipart():
            "\ud800".encode()
        return get_payload(self, *arguments)

    monkeypatch.setattr(Message, "get_payload", raising)
    assert classify(message) is Report.OOB  # the fields are there, whatever stands below them


# Depth and size


def nested(depth: int) -> Message:
    """A report whose original message is nested so deep that no parser would have read it."""
    inner = Message()
    inner["Content-Type"] = "text/plain"
    for _ in range(depth):
        outer = Message()
        outer["Content-Type"] = "multipart/mixed"
        outer.attach(inner)
        inner = outer
    message = well_formed(Report.OOB).message()
    message.attach(inner)
    return message


def test_4_4_depth_does_not_matter() -> None:
    deep, flat = nested(50_000), nested(1)
    assert classify(deep) is Report.OOB
    assert calls_made(lambda: classify(deep)) == calls_made(lambda: classify(flat))
    rest: Any = deep
    while rest.is_multipart():  # or freeing it would be as deep
        rest = rest.get_payload(-1)


def test_4_4_a_message_that_contains_itself() -> None:
    message = well_formed(Report.OOB).message()
    parts: Any = message.get_payload()
    parts.append(message)
    assert classify(message) is Report.OOB
    parts[1].set_payload([parts[1]])
    assert classify(message) is None
    parts.clear()


def grown(count: int) -> Message:
    """A report that returns a message of so many parts, and says so many things besides."""
    inner = "".join(f"--in\nX: {number}\n\nHello.\n" for number in range(count))
    original = Part(
        ORIGINAL.fields, f"Content-Type: multipart/mixed; boundary=in\n\n{inner}--in--\n"
    )
    return email.message_from_string(
        well_formed(Report.OOB)
        .text()
        .replace("--BOUND--", f"--BOUND\n{original.lines()}\n--BOUND--")
    )


def test_4_4_the_original_message_is_not_looked_at() -> None:
    assert classify(grown(1000)) is Report.OOB
    assert costs(grown, 10) == costs(grown, 1000)


def costs(make: Callable[[int], Message], count: int) -> int:
    message = make(count)
    return calls_made(lambda: classify(message))


def many_fields(count: int) -> Message:
    return email.message_from_string("X: y\n" * count + well_formed(Report.OOB).text())


def many_parts(count: int) -> Message:
    text = well_formed(Report.OOB).text()
    return email.message_from_string(text.replace("--BOUND--", "--BOUND\n\n" * count + "--BOUND--"))


def many_recipients(count: int) -> Message:
    return status_of(STATUS + "".join(f"\n{written(DELIVERY_STATUS[1])}" for _ in range(count)))


@pytest.mark.parametrize("make", [many_fields, many_parts])
def test_4_4_the_cost_grows_no_faster_than_the_message(make: Callable[[int], Message]) -> None:
    assert costs(make, 3000) - costs(make, 2000) == costs(make, 2000) - costs(make, 1000)


def test_4_4_the_cost_of_the_machine_readable_part_is_bounded() -> None:
    assert costs(many_recipients, 4000) == costs(many_recipients, 5000)


def peak(ask: Callable[[], object]) -> int:
    """How many bytes were held at most while something was asked."""
    tracemalloc.start()
    try:
        ask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_4_4_no_content_is_copied() -> None:
    content = "a" * (20 * MILLION)
    message = email.message_from_string(
        well_formed(Report.OOB).text().replace("News.", content).replace("Hello.", content)
    )
    long = status_of(f"{STATUS}\nX: {content}\n{content}\n")
    assert peak(lambda: classify(message)) < MILLION
    assert peak(lambda: classify(long)) < MILLION
    assert peak(content.encode) > MILLION


# What Python's parser does by itself, which the page on reports tells


def levels(depth: int) -> bytes:
    parts = "".join(
        f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(depth)
    )
    return f"Content-Type: {TYPE.replace('BOUND', 'b0')}\n\n{parts}".encode()


def test_the_parser_gives_up_at_some_depth() -> None:
    assert classify(email.message_from_bytes(levels(100))) is None
    with pytest.raises(RecursionError):
        email.message_from_bytes(levels(5000))


@pytest.mark.parametrize("how", [policy.compat32, policy.default])
@pytest.mark.parametrize(
    "parameter",
    [
        *("boundary*=punycode''x%ff", "boundary*=idna''x%ff", "boundary*=undefined''x"),
        *("boundary*=a\x00''x", "boundary=BOUND; x*=utf-16''abc"),
    ],
)
def test_what_the_parser_raises_for_some_parameters_is_a_value_error(
    parameter: str, how: Any
) -> None:
    content = f"Content-Type: {TYPE.replace('boundary=BOUND', parameter)}\n\n--BOUND--\n".encode()
    try:
        message = email.message_from_bytes(content, policy=how)
    except ValueError:
        message = Message()
    assert classify(message) is None
