"""Logs of recipients, in parts that can be read apart from each other, and in batches.

A row is a recipient that a server was asked about: `listener`, `peer`, `sender` and `recipient` as
`Policy.decide_rcpt` takes them, and `auth`, which may be null or absent. Other columns are left
alone. A log is Parquet (with pyarrow) or JSON Lines, an object a line, plain or compressed by gzip.
"""

import gzip
import importlib
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias, cast

COLUMNS: Final = ("listener", "peer", "sender", "recipient")
AUTH: Final = "auth"
BATCH: Final = 16_384
"""Rows that are taken at a time."""
PART: Final = 1 << 24
"""Octets of JSON Lines in a part. A Parquet file has its row groups."""
LONGEST_LINE: Final = 1 << 20
"""Octets of a line that is still read: what is longer might be endless."""
SHOWN: Final = 12
"""Names of columns that a message lists at most."""

Question: TypeAlias = tuple[Any, Any, Any, Any, Any]
"""The arguments of `Policy.decide_rcpt`, of whatever types the log has."""


class LogError(Exception):
    """A log that cannot be used as a whole, with the reason."""


class Format(StrEnum):
    """How a log is written, by the end of its name."""

    PARQUET = ".parquet"
    JSON_LINES = ".jsonl"
    GZIP = ".jsonl.gz"


class Batch(NamedTuple):
    """Some rows of a part. Lines and rows are counted from 1, in the part."""

    questions: Sequence[Question]
    lines: Sequence[int]
    """Where the questions are."""
    broken: Sequence[tuple[int, str]]
    """Where there is no question, and why."""
    octets: int
    """How much of the file they took, in the measure of `Part.octets`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a log: a row group of Parquet, some lines of JSON Lines, or all of a gzip file."""

    number: int
    """Its place among all parts of all logs."""
    name: str
    """The log, as it was named."""
    path: str
    format: Format
    start: int
    """The row group, or the octet before which no line of the part begins."""
    stop: int
    """The octet from which on no line of the part begins."""
    octets: int
    """How much of the file it is."""

    def batches(self) -> Iterator[Batch]:
        """What is in it. Raises `LogError` if it cannot be read to its end."""
        try:
            yield from _parquet(self) if self.format is Format.PARQUET else _json_lines(self)
        except (OSError, EOFError, zlib.error) as error:
            raise LogError(f"{self.name}: cannot be read: {_reason(error)}") from None
        except ValueError as error:  # so are pyarrow's own, of which nothing else is raised
            if self.format is not Format.PARQUET:
                raise
            raise LogError(f"{self.name}: cannot be read: {error}") from None


def parts_of(names: Sequence[str]) -> list[Part]:
    """All parts of some logs, in order.

    Raises `LogError` for a log that cannot be read, or that has not the columns.
    """
    parts: list[Part] = []
    for name in names:
        path = Path(name).absolute()
        written = next((known for known in reversed(Format) if name.endswith(known)), None)
        if written is None:
            expected = ", ".join(f"`{known}`" for known in Format)
            raise LogError(f"{name}: expected a name that ends in one of {expected}")
        try:
            size = path.stat().st_size
            if written is Format.PARQUET:
                sizes = _row_groups(name, path)
                bounds = [(number, number + 1, octets) for number, octets in enumerate(sizes)]
            else:
                _check_first_record(name, path, written)
                length = PART if written is Format.JSON_LINES else max(size, 1)
                starts = range(0, size, length)
                bounds = [
                    (start, stop, stop - start)
                    for start in starts
                    for stop in [min(start + length, size)]
                ]
        except (OSError, EOFError, zlib.error) as error:
            raise LogError(f"{name}: cannot be read: {_reason(error)}") from None
        parts += (
            Part(number, name, str(path), written, *bound)
            for number, bound in enumerate(bounds, len(parts))
        )
    return parts


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _check_columns(name: str, found: Sequence[str]) -> None:
    """Raises `LogError` if columns are missing, with the names of those that are there."""
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        raise LogError(f"{name}: {_missing(missing, found)}")


def _missing(missing: Sequence[str], found: Sequence[str]) -> str:
    there = ", ".join(ascii(column[:100]) for column in found[:SHOWN]) or "none"
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"expected the columns {', '.join(map(repr, missing))}; there are {there}{more}"


# --- JSON Lines ----------------------------------------------------------------------------------


def _check_first_record(name: str, path: Path, written: Format) -> None:
    """Raises `LogError` if the first object of a log lacks a column: so will the others."""
    for batch in _json_lines(Part(0, name, str(path), written, 0, PART, 0), check=True):
        for _, reason in batch.broken:
            raise LogError(f"{name}: {reason}")
        return


def _json_lines(part: Part, *, check: bool = False) -> Iterator[Batch]:
    """The batches of JSON Lines.

    check: give one batch, with the first object alone.
    """
    questions: list[Question] = []
    lines: list[int] = []
    broken: list[tuple[int, str]] = []
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(Path(part.path).open("rb"))
        file = raw
        if part.format is Format.GZIP:
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=raw)))
        taken = raw.tell()
        for number, line in _lines(file, part):
            read = _record(line)
            if read is None:
                continue
            if isinstance(read, str):
                if not check:
                    broken.append((number, read))
            elif missing := [column for column in COLUMNS if column not in read]:
                broken.append((number, _missing(missing, [*read])))
            else:
                questions.append(
                    (
                        read["listener"],
                        read["peer"],
                        read["sender"],
                        read["recipient"],
                        read.get(AUTH),
                    )
                )
                lines.append(number)
            if len(questions) + len(broken) >= (1 if check else BATCH):
                now = raw.tell()
                yield Batch(questions, lines, broken, now - taken)
                questions, lines, broken, taken = [], [], [], now
        yield Batch(questions, lines, broken, raw.tell() - taken)


def _lines(file: IO[bytes], part: Part) -> Iterator[tuple[int, bytes | None]]:
    """The lines that begin in a part, with their numbers in it; `None` for one that is too long."""
    position, number = part.start, 0
    if position:  # the line that begins before belongs to the part before
        file.seek(position - 1)
        position -= 1
        while True:
            piece = file.readline(LONGEST_LINE)
            position += len(piece)
            if not piece or piece.endswith(b"\n"):
                break
    while part.format is Format.GZIP or position < part.stop:
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        number += 1
        position += len(line)
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (piece := file.readline(LONGEST_LINE)) and not piece.endswith(b"\n"):
                position += len(piece)
            position += len(piece)
            yield number, None
        else:
            yield number, line


def _record(line: bytes | None) -> dict[str, Any] | str | None:
    """An object, why there is none, or `None` for an empty line."""
    if line is None:
        return f"a line of more than {LONGEST_LINE:,} octets"
    try:
        # as servers have it: octets that are no UTF-8 are lone surrogates, in no valid domain
        read = json.loads(line.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return "not JSON" if line.strip() else None
    return cast("dict[str, Any]", read) if isinstance(read, dict) else "not a JSON object"


# --- Parquet -------------------------------------------------------------------------------------


def _pyarrow(module: str) -> Any:
    """A module of pyarrow, which only Parquet needs, and which has no types."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LogError("Parquet needs pyarrow: pip install 'listener-policy[replay]'") from None


def _row_groups(name: str, path: Path) -> list[int]:
    """The sizes of the row groups of a file, in octets."""
    parquet, pyarrow = _pyarrow("pyarrow.parquet"), _pyarrow("pyarrow")
    try:
        with parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except ValueError as error:
        raise LogError(f"{name}: cannot be read: {error}") from None
    _check_columns(name, schema.names)
    types = pyarrow.types
    for column in (*COLUMNS, AUTH):
        if column not in schema.names:
            continue
        found = schema.field(column).type
        plain = found.value_type if types.is_dictionary(found) else found
        if not any(is_type(plain) for is_type in _text_types(types)):
            raise LogError(f"{name}: {column}: expected strings, found {found}")
    return [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]


def _text_types(types: Any) -> list[Any]:
    return [types.is_string, types.is_large_string, types.is_string_view, types.is_null]


def _parquet(part: Part) -> Iterator[Batch]:
    """The batches of a row group."""
    with _pyarrow("pyarrow.parquet").ParquetFile(part.path) as file:
        names = [column for column in (*COLUMNS, AUTH) if column in file.schema_arrow.names]
        rows = file.metadata.row_group(part.start).num_rows
        done = 0
        # as many threads as there are workers are enough
        for read in file.iter_batches(
            batch_size=BATCH, row_groups=[part.start], columns=names, use_threads=False
        ):
            count = read.num_rows
            columns = [_texts(read.column(name)) for name in names]
            if AUTH not in names:
                columns.append([None] * count)
            lines = range(done + 1, done + count + 1)
            octets = part.octets * (done + count) // rows - part.octets * done // rows
            done += count
            yield Batch(list(zip(*columns, strict=True)), lines, (), octets)


def _texts(column: Any) -> list[str | None]:
    """The strings of a column, in which octets that are no UTF-8 are lone surrogates."""
    try:
        return cast("list[str | None]", column.to_pylist())
    except UnicodeDecodeError:
        octets: list[bytes | None] = column.cast("binary").to_pylist()
        return [None if one is None else one.decode("utf-8", "surrogateescape") for one in octets]
