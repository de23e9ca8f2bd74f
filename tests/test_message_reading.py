"""Messages are read no further than telling reports needs, whatever they are."""

import codecs
from email import message_from_bytes
from email.message import Message
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_wire import ABUSE, BOUNCE, ORDINARY
from support import calls_made

from listener_policy.messages import LONGEST_CONTENT_TYPE, MOST_PARTS, read_message
from listener_policy.reports import classify

HEAD = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"


def parts_of(message: Message) -> list[Message]:
    payload = message.get_payload()
    return cast("list[Message]", payload) if isinstance(payload, list) else []


@pytest.mark.parametrize("message", [ABUSE, BOUNCE, ORDINARY], ids=["abuse", "bounce", "ordinary"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_4_4_reports_are_read_as_python_reads_them(message: bytes, line_end: bytes) -> None:
    content = message.replace(b"\n", line_end)
    read, whole = read_message(content), message_from_bytes(content)
    assert bytes(read) == bytes(whole)
    assert classify(read) is classify(whole)
    assert [part.items() for part in parts_of(read)] == [part.items() for part in parts_of(whole)]


fragments = st.sampled_from(
    [
        *(b"Content-Type: ", b"multipart/report", b"message/delivery-status", b"message/rfc822"),
        *(b"; boundary=b", b'; report-type="feedback-report"', b"\n--b\n", b"\n--b--\n", b"\n\n"),
        *(b"Content-Type: multipart/mixed; boundary=c\n\n--c\n", b"\n--c--\n", b"\r\n", b"\xff\0"),
        *(HEAD, BOUNCE, ABUSE[:200], b"Final-Recipient: rfc822; a@b\n", b" folded\n"),
    ]
)


@given(st.lists(fragments | st.binary(max_size=9), max_size=20).map(b"".join))
def test_1_2_whatever_arrives_is_read_and_is_the_same_report(content: bytes) -> None:
    assert classify(read_message(content)) is classify(message_from_bytes(content))


def nested(depth: int, lines: int) -> bytes:
    heads = (
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (number, number)
        for number in range(depth)
    )
    return b"".join(heads) + b"x\n" * lines


def test_1_2_parts_of_parts_are_left_as_text() -> None:
    read = read_message(nested(900, 10))
    (part,) = parts_of(read)
    assert isinstance(part.get_payload(), str)
    many = calls_made(lambda: read_message(nested(400, 20_000)))
    few = calls_made(lambda: read_message(nested(1, 20_000)))
    assert many < 2 * few


def test_1_2_messages_in_messages_do_not_overflow_the_stack() -> None:
    read = read_message(b"Content-Type: message/rfc822\n\n" * 10_000)
    assert read.get_content_type() == "message/rfc822"
    assert classify(read) is None


@pytest.mark.parametrize("group", [b"--b\n\n", b"X: y\n\n"], ids=["parts", "groups"])
def test_1_2_what_has_too_many_parts_is_left_as_text(group: bytes) -> None:
    head = HEAD + b"--b\nContent-Type: message/delivery-status\n\n"
    assert parts_of(read_message(head + group * (MOST_PARTS - 10)))
    assert not parts_of(read_message(head + group * (MOST_PARTS + 10)))


@pytest.mark.parametrize(
    "parameters",
    [
        *(b"boundary*=punycode''x%ff", b"boundary*=no-such-codec''b", b"boundary*=''b"),
        *(b"boundary*=x; boundary*0=y", b"boundary*1=b; boundary*0*=idna''b", b"boundary*a*=b"),
        *(b"boundary*0*=utf-7''%2b; boundary*1=b", b"boundary*" + b"9" * 1500 + b"=b"),
        *(b"boundary*=\xff''\xff", b"boundary=\xff", b"boundary=''", b"boundary=", b"boundary"),
    ],
)
def test_1_2_no_boundary_raises_or_has_a_codec_imported(parameters: bytes) -> None:
    looked_up: list[str] = []

    def look_up(name: str) -> None:
        looked_up.append(name)

    codecs.register(look_up)
    try:
        content = b"Content-Type: multipart/report; " + parameters + b"\n\n--b\n\n--b--\n"
        read = read_message(content)
    finally:
        codecs.unregister(look_up)
    assert read.keys() == ["Content-Type"]
    assert classify(read) is None
    assert looked_up == []


def test_1_2_a_content_type_without_end_has_no_boundary() -> None:
    for length, is_read in ((LONGEST_CONTENT_TYPE - 100, True), (LONGEST_CONTENT_TYPE, False)):
        padding = b' x="' + b";" * length + b'";\n'
        head = HEAD.replace(b" report", padding + b" report")
        assert bool(parts_of(read_message(head + b"--b\n\n--b--\n"))) is is_read
