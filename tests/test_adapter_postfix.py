"""Postfix's policy delegation, what is read: requests, however they are cut, or an error."""

import tracemalloc
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import pytest
from fuzz.fuzz_postfix import read
from hypothesis import given
from hypothesis import strategies as st
from support import short, untyped

from listener_policy import Policy, PolicyError, RequestError
from listener_policy.adapters.postfix import (
    LONGEST_REQUEST,
    Action,
    Attributes,
    ProtocolError,
    RequestParser,
    action,
)

POLICY: Final = Policy.from_toml('["example.com"]\nrelay_to = true\n')
RCPT: Final = {
    "request": "smtpd_access_policy",
    "protocol_state": "RCPT",
    "client_address": "203.0.113.9",
    "server_address": "192.0.2.25",
    "server_port": "25",
    "sender": "ann@example.net",
    "recipient": "bob@example.org",
    "sasl_username": "",
}
"""What a stranger asks; nothing is granted."""
SENT_BY_POSTFIX: Final = b"""\
request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=203.0.113.9
client_name=unknown
client_port=34252
reverse_client_name=x.test
server_address=192.0.2.25
server_port=25
helo_name=x.test
queue_id=
sender=
recipient=a b=c@example.com
recipient_count=0
instance=5f21.65600000.1a2b.0
size=0
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=ann
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=
encryption_cipher=
encryption_keysize=0
policy_context=

"""


def sent(attributes: Mapping[str, str]) -> bytes:
    """A request as Postfix sends it."""
    lines = [f"{name}={value}\n" for name, value in attributes.items()]
    return "".join([*lines, "\n"]).encode(errors="surrogateescape")


def received(*portions: bytes) -> tuple[list[Attributes], str | None]:
    """All requests in a stream, and the error that ends them, if one does."""
    return read(list(portions))


def test_what_postfix_sends_is_read() -> None:
    (attributes,), error = received(SENT_BY_POSTFIX)
    assert error is None
    assert len(attributes) == SENT_BY_POSTFIX.count(b"\n") - 1
    assert sent(attributes) == SENT_BY_POSTFIX
    assert attributes["recipient"] == "a b=c@example.com"
    assert hash(attributes) == hash(received(SENT_BY_POSTFIX)[0][0])
    assert action(POLICY, attributes) is Action.OK


def test_a_stream_holds_any_number_of_requests() -> None:
    assert received() == ([], None)
    assert received(b"", b"") == ([], None)
    requests, error = received(SENT_BY_POSTFIX * 3 + sent(RCPT))
    assert error is None
    assert [request["recipient"] for request in requests] == [
        *["a b=c@example.com"] * 3,
        "bob@example.org",
    ]


BEGUN: Final = b"request=smtpd_access_policy\n"
MALFORMED: Final = {
    b"\n": "request: expected `smtpd_access_policy`, found no such attribute",
    b"a=b\n\n": "request: expected `smtpd_access_policy`, found no such attribute",
    b"request=smtpd\n\n": "request: expected `smtpd_access_policy`, found `'smtpd'`",
    b"request=smtpd_access_policy\r\n\r\n": "expected `name=value` without NUL, found `b'\\r'`",
    b"GET / HTTP/1.1\r\n": "expected `name=value` without NUL, found `b'GET / HTTP/1.1\\r'`",
    b"=smtpd\n": "expected `name=value` without NUL, found `b'=smtpd'`",
    b"request\n": "expected `name=value` without NUL, found `b'request'`",
    BEGUN + b"sender=a\0@b\n": "expected `name=value` without NUL, found `b'sender=a\\x00@b'`",
    BEGUN + b"\0=\n": "expected `name=value` without NUL, found `b'\\x00='`",
    BEGUN + b"a=1\nb=\na=1\n\n": "expected each attribute once, found a second `'a'`",
    BEGUN + b"\xff=1\n\xff=2\n": "expected each attribute once, found a second `'\\udcff'`",
    BEGUN: "expected the end of the request, found the end of the stream",
    b"r": "expected the end of the request, found the end of the stream",
    b"a" * (LONGEST_REQUEST + 1): "expected at most 65536 octets in a request",
    BEGUN * LONGEST_REQUEST: "expected each attribute once, found a second `'request'`",
}


@pytest.mark.parametrize("stream", MALFORMED, ids=short)
def test_what_is_no_request_is_an_error_and_the_end(stream: bytes) -> None:
    assert received(stream) == ([], MALFORMED[stream])
    assert received(SENT_BY_POSTFIX + stream) == (received(SENT_BY_POSTFIX)[0], MALFORMED[stream])


@pytest.mark.parametrize("stream", MALFORMED, ids=short)
def test_after_an_error_there_is_nothing_but_that_error(stream: bytes) -> None:
    parser = RequestParser()

    def end() -> None:
        assert list(parser.feed(stream)) == []
        parser.close()

    for ask in (end, parser.close, lambda: list(parser.feed(SENT_BY_POSTFIX)), end):
        with pytest.raises(PolicyError) as caught:
            ask()
        assert type(caught.value) is ProtocolError
        assert str(caught.value) == MALFORMED[stream]


def test_what_is_shown_of_a_line_is_short() -> None:
    _, error = received(b"x" * 60_000 + b"\n")
    assert error is not None
    assert len(error) < 200


@pytest.mark.parametrize("wrong", [None, "request=", 5, [b"a"], memoryview(b"a")], ids=short)
def test_what_is_no_octets_is_an_error(wrong: object) -> None:
    with pytest.raises(RequestError, match="octets: expected `bytes`"):
        RequestParser().feed(untyped(wrong))


def test_octets_may_be_a_bytearray_that_is_used_again() -> None:
    parser, octets = RequestParser(), bytearray(sent(RCPT))
    first = parser.feed(octets[:-1])
    rest = parser.feed(octets[-1:])
    octets.clear()
    assert [*first, *rest] == [RCPT]


def test_connections_share_nothing() -> None:
    one, other = RequestParser(), RequestParser()
    assert list(one.feed(SENT_BY_POSTFIX[:99])) == []
    assert list(other.feed(sent(RCPT))) == [RCPT]
    assert len(list(one.feed(SENT_BY_POSTFIX[99:]))) == 1


LINES: Final = st.sampled_from(
    [b"request=smtpd_access_policy\n", b"\n", b"sender=\n", b"recipient=b@example.com\n", b"a\n"]
)
STREAMS: Final = st.lists(
    st.sampled_from([SENT_BY_POSTFIX, sent(RCPT), b"x=" + b"y" * 65_532 + b"\n", b"z" * 70_000])
    | LINES
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 70_000)))
def test_however_a_stream_is_cut_it_says_the_same(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    assert received(*(stream[a:b] for a, b in pairwise(edges))) == received(stream)


@pytest.mark.parametrize("stream", [SENT_BY_POSTFIX, *MALFORMED], ids=short)
def test_a_stream_may_come_octet_by_octet(stream: bytes) -> None:
    octets = (stream[at : at + 1] for at in range(min(len(stream), LONGEST_REQUEST + 2)))
    assert received(*octets) == received(stream)


@pytest.mark.parametrize("line", [b"a", b"\0", b"=", b"a=", b"%d=1\n", b"%d=\xff\n"])
@pytest.mark.parametrize("size", [1, 999, 10**7])
def test_what_is_kept_of_an_endless_request_is_bounded(line: bytes, size: int) -> None:
    """`size` octets at once; what is measured is all that is allocated on their behalf."""
    stream = b"".join(line % number if b"%" in line else line for number in range(70_000))
    stream += b"a" * (10**7 - len(stream) if size == 10**7 else 0)
    portions = [stream[at : at + size] for at in range(0, len(stream), size)]
    parser, fed, error = RequestParser(), 0, None
    tracemalloc.start()
    for portion in portions:
        fed += len(portion)
        try:
            assert list(parser.feed(portion)) == []
        except ProtocolError as raised:
            error = str(raised)
            break
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error == f"expected at most {LONGEST_REQUEST} octets in a request"
    assert LONGEST_REQUEST < fed <= LONGEST_REQUEST + size
    assert kept < 10_000
    if size < 10**7:
        assert peak < 50 * LONGEST_REQUEST


def read_simply(stream: bytes) -> list[dict[bytes, bytes]]:
    """The requests in a stream, by someone who trusts that all is well."""
    return [
        {line.partition(b"=")[0]: line.partition(b"=")[2] for line in request.split(b"\n")}
        for request in stream.split(b"\n\n")[:-1]
    ]


GRANTED: Final = {**RCPT, "recipient": "bob@example.com"}


@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(sent(GRANTED))),
            st.integers(0, 3),
            st.binary(max_size=3) | st.sampled_from([b"\n", b"\n\n", b"\r", b"%", b"recipient="]),
        ),
        max_size=3,
    )
)
def test_a_damaged_request_is_never_granted_what_it_does_not_ask_for(
    edits: list[tuple[int, int, bytes]],
) -> None:
    stream = sent(GRANTED)
    for at, removed, added in edits:
        stream = stream[:at] + added + stream[at + removed :]
    requests, _ = received(stream)
    for attributes, simply in zip(requests, read_simply(stream), strict=False):
        assert sent(attributes) == b"".join(
            [*(name + b"=" + value + b"\n" for name, value in simply.items()), b"\n"]
        )
        try:
            answer = action(POLICY, attributes)
        except ProtocolError:
            continue
        if answer is Action.OK:
            _, _, domain = simply[b"recipient"].rpartition(b"@")
            assert domain.lower().removesuffix(b".") == b"example.com"


NOTHING_BUT_REPORTS: Final = Policy.from_toml('["*"]\nlog_oob = true\nlog_arf = true\n')


@given(stream=STREAMS | st.binary())
def test_hostile_octets_are_granted_nothing(stream: bytes) -> None:
    requests, _ = received(stream)
    for attributes in requests:
        try:
            assert action(NOTHING_BUT_REPORTS, attributes) is not Action.OK
        except ProtocolError as error:
            assert str(error)  # noqa: PT017 - it may be raised, and nothing else
