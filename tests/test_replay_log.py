"""Reading logs: every row once, whatever it holds, and a clear error for what is no log."""

import gzip
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import replay_log
from from_kumomta import main as convert
from hypothesis import given
from hypothesis import strategies as st
from replay_log import LogError, Part, Question, parts_of
from replaying import generated, json_lines, need_replay

ROW: Question = ("mx", "203.0.113.9", "a@example.com", "b@example.com", None)


def read(*paths: Path) -> tuple[list[Question], list[tuple[int, int, str]]]:
    """All questions and all broken rows of some logs, with part and line."""
    questions: list[Question] = []
    broken: list[tuple[int, int, str]] = []
    for part in parts_of([str(path) for path in paths]):
        for batch in part.batches():
            questions += batch.questions
            assert len(batch.lines) == len(batch.questions)
            broken += ((part.number, line, why) for line, why in batch.broken)
    return questions, broken


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 24])
def test_every_line_is_read_once_wherever_parts_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    path = generated(tmp_path / name, 40)
    monkeypatch.setattr(replay_log, "BATCH", 3)
    whole, _ = read(path)
    monkeypatch.setattr(replay_log, "PART", size)
    parts = parts_of([str(path), str(path)])
    assert len(parts) == 2 if name.endswith(".gz") or size > 10_000 else len(parts) > 2
    assert [part.number for part in parts] == list(range(len(parts)))
    assert sum(part.octets for part in parts) == 2 * path.stat().st_size
    assert read(path, path) == (2 * whole, [])
    assert len(whole) == 40


@given(
    lines=st.lists(st.sampled_from([b"", b" ", b"{}", b"[1", b"x" * 50, b"\xff"]), max_size=9),
    last=st.booleans(),
    size=st.integers(1, 60),
)
def test_lines_keep_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], last: bool, size: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    first = json.dumps(dict(zip(replay_log.COLUMNS, ROW, strict=False))).encode()
    path.write_bytes(b"\n".join([first, *lines]) + b"\n" * last)
    octets = path.stat().st_size
    found: list[tuple[int, int]] = []
    for start in range(0, octets, size):
        stop = min(start + size, octets)
        part = Part(start, "", str(path), replay_log.Format.JSON_LINES, start, stop, 0)
        for batch in part.batches():
            found += ((start, line) for line, _ in batch.broken)
            found += ((start, line) for line in batch.lines)
    begins = [0]
    for line in [first, *lines]:
        begins.append(begins[-1] + len(line) + 1)
    expected: list[tuple[int, int]] = []
    counts: dict[int, int] = {}
    for begin, line in zip(begins, [first, *lines], strict=False):
        start = begin // size * size
        counts[start] = counts.get(start, 0) + 1
        if line.strip():
            expected.append((start, counts[start]))
    assert sorted(found) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"peer": "::1", "sender": "", "x": 1}', "'listener', 'recipient'; there are 'peer'"),
        (b'{"' + b"x" * (1 << 21) + b'": 1}', "a line of more than 1,048,576 octets"),
    ],
    ids=range(7),
)
def test_a_line_that_is_no_row_is_told_with_its_place(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = json_lines(tmp_path / "log.jsonl", [ROW, b"", line, ROW])
    questions, broken = read(path)
    assert questions == [ROW, ROW]
    ((part, number, reason),) = broken
    assert (part, number) == (0, 3)
    assert why in reason


def test_octets_that_are_no_utf_8_are_lone_surrogates(tmp_path: Path) -> None:
    line = b'\xef\xbb\xbf{"listener":"mx","peer":"::1","sender":"a@\xff","recipient":"\\udc80"}'
    assert read(json_lines(tmp_path / "log.jsonl", [line]))[0] == [
        ("mx", "::1", "a@\udcff", "\udc80", None)
    ]


def absent(_path: Path) -> None:
    """Nothing is there."""


def text(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


TRUNCATED = gzip.compress(os.urandom(10_000))[:5000]


@pytest.mark.parametrize(
    ("name", "write", "why"),
    [
        ("log.csv", text(b""), "expected a name that ends in one of `.parquet`, `.jsonl`"),
        ("log.jsonl", absent, "cannot be read: No such file"),
        ("log.jsonl", Path.mkdir, "cannot be read: Is a directory"),
        ("log.jsonl", text(b'{"listener":"","ip":"","from":""}'), "columns 'peer', 'sender', 're"),
        ("log.jsonl", text(b'x\n[]\n\n{"\\u001b":1}'), "'recipient'; there are '\\x1b'"),
        ("log.jsonl", text(b"{}"), "'recipient'; there are none"),
        ("log.jsonl.gz", text(b"{}"), "cannot be read: Not a gzipped file"),
        ("log.jsonl.gz", text(TRUNCATED), "cannot be read: Compressed file ended"),
    ],
)
def test_what_is_no_log_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path], object], why: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(LogError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert why in str(error.value)


def test_names_that_are_there_are_not_listed_without_end(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "log.jsonl", [{f"c{number}" * 80: 1 for number in range(100)}])
    with pytest.raises(LogError, match="and 88 more") as error:
        read(path)
    assert len(str(error.value)) < 2000


def test_an_empty_log_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    (tmp_path / "log.jsonl.gz").write_bytes(gzip.compress(b"\n"))
    assert read(tmp_path / "log.jsonl", tmp_path / "log.jsonl.gz") == ([], [])


def test_parquet_without_pyarrow_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(name: str) -> None:
        raise ImportError(name)

    (tmp_path / "log.parquet").touch()
    monkeypatch.setattr(importlib, "import_module", not_found)
    with pytest.raises(LogError, match=r"pip install 'listener-policy\[replay\]'"):
        read(tmp_path / "log.parquet")


# --- Parquet -------------------------------------------------------------------------------------


@pytest.mark.replay
def test_parquet_holds_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_replay()
    monkeypatch.setattr("generate_log.ROW_GROUP", 300)
    monkeypatch.setattr(replay_log, "BATCH", 128)
    parquet = generated(tmp_path / "log.parquet", 1000)
    rows = read(parquet)
    assert rows == read(generated(tmp_path / "log.jsonl", 1000))
    parts = parts_of([str(parquet)])
    assert len(parts) == 4
    for part in parts:
        batches = list(part.batches())
        assert sum(batch.octets for batch in batches) == part.octets > 0
        lines = [line for batch in batches for line in batch.lines]
        assert lines == list(range(1, len(lines) + 1))


def table(path: Path, **columns: Any) -> Path:
    pyarrow: Any = importlib.import_module("pyarrow")
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.replay
def test_parquet_columns_may_be_of_any_kind_of_text(tmp_path: Path) -> None:
    need_replay()
    pyarrow: Any = importlib.import_module("pyarrow")
    path = table(
        tmp_path / "log.parquet",
        recipient=pyarrow.array(["c@d", None], pyarrow.large_string()),
        listener=pyarrow.array(["mx", "mx"]).dictionary_encode(),
        sender=pyarrow.array([b"a@\xff", b"a@b"], pyarrow.binary()).cast(
            pyarrow.string(), safe=False
        ),
        peer=["::1", "::2"],
        other=[1, 2],
    )
    assert read(path)[0] == [
        ("mx", "::1", "a@\udcff", "c@d", None),
        ("mx", "::2", "a@b", None, None),
    ]


@pytest.mark.replay
def test_parquet_that_is_no_log_is_refused(tmp_path: Path) -> None:
    need_replay()
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(LogError, match="cannot be read: "):
        read(path)
    with pytest.raises(LogError, match=r"'recipient'; there are 'listener', 'peer', 'ip'$"):
        read(table(path, listener=["a"], peer=["b"], ip=["c"]))
    columns = {"listener": ["a"], "sender": ["b"], "recipient": ["c"]}
    with pytest.raises(LogError, match="peer: expected strings, found int64"):
        read(table(path, peer=[1], **columns))
    generated(path, 5000)
    content = bytearray(path.read_bytes())
    content[100:3000] = bytes(2900)
    path.write_bytes(content)
    with pytest.raises(LogError, match="cannot be read: "):
        read(path)


# --- KumoMTA -------------------------------------------------------------------------------------

RECEPTION: dict[str, Any] = {
    "type": "Reception",
    "id": "d7ef132b5d7711eea8c8000c29c33806",
    "sender": "a@example.com",
    "recipient": "b@example.com",
    "peer_address": {"name": "mail.example.net", "addr": "203.0.113.9"},
    "timestamp": 1695847980,
    "meta": {"received_via": "192.0.2.25:25", "authz_id": "ann"},
    "reception_protocol": "ESMTP",
}


def test_records_of_kumomta_become_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "records"
    several = {**RECEPTION, "recipient": ["c@d", "e@f"], "meta": {"received_via": "mx"}}
    others = [{"type": "Delivery"}, {**RECEPTION, "reception_protocol": "HTTP"}]
    json_lines(records, [RECEPTION, several, *others])
    path = tmp_path / "log.jsonl"
    with records.open() as source, path.open("w") as target:
        assert convert(source, target) == 0
    assert capsys.readouterr().err == "left out: 1 Delivery, 1 Reception HTTP\n"
    assert read(path)[0] == [
        ("192.0.2.25:25", "203.0.113.9", "a@example.com", "b@example.com", "ann"),
        ("mx", "203.0.113.9", "a@example.com", "c@d", None),
        ("mx", "203.0.113.9", "a@example.com", "e@f", None),
    ]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({**RECEPTION, "meta": {}}, "line 2: no 'received_via'; is it in `meta` of"),
        ({"id": 1}, "line 2: no 'type'\n"),
        (b"{", "line 2: expected a log record of KumoMTA"),
        (b"[]", "line 2: expected a log record of KumoMTA"),
        ({**RECEPTION, "peer_address": None}, "line 2: expected a log record of KumoMTA"),
    ],
)
def test_what_is_no_record_of_kumomta_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Any, why: str
) -> None:
    records = json_lines(tmp_path / "records", [RECEPTION, record])
    with records.open() as source, (tmp_path / "log.jsonl").open("w") as target:
        assert convert(source, target) == 2
    assert why in capsys.readouterr().err
