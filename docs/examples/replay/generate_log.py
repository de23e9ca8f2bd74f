"""Writes a log of recipients of any size from a seed: `generate_log.py log.parquet --rows 1000000`.

The same rows come for the same seed, as Parquet, JSON Lines or JSON Lines compressed by gzip. They
look like what a mail server is asked under the policy of `docs/examples/listener_domains.toml`:
sessions with one recipient or many, from strangers and from own networks, some authenticated; few
domains with much mail and many with little; null senders, upper case, names in other scripts,
garbage; and a few rows that nobody can be asked about.
"""

import argparse
import gzip
import importlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Final, TypeAlias

Row: TypeAlias = tuple[str, str, str, str, str | None]

COLUMNS: Final = ("listener", "peer", "sender", "recipient", "auth")
ROW_GROUP: Final = 1 << 17
OWN_DOMAINS: Final = (
    *("example.com", "www.example.com", "news.example.com", "shop.example.com"),
    *("bounces.example.com", "abuse.example.com", "fbl.example.com", "devices.example.com"),
    *("berlin.example.com", "x.labs.example.com", "例え.example", "[192.0.2.25]"),
)
IDENTITIES: Final = ("ann", "bob", "carol", "dave", "shop-mailer")
GARBAGE: Final = (
    *("postmaster", "@", "a@", "a b@exam ple.com", '"a@b"@example.com', "a@-bad-..com", "a@\u2603"),
    *("a@" + "x" * 300 + ".com", "\u202ea@example.com", "a@example.com.", "<ann@example.com>"),
    *("a@[10.0.0.256]", "a@[IPv6:2001:db8::25]", "' OR 1=1 --@example.org"),
)


class Traffic:
    """Endless sessions from a seed."""

    def __init__(self, seed: int, domains: int = 20_000) -> None:
        """`domains`: how many foreign domains there are."""
        self._random = random.Random(seed)  # noqa: S311 - the same rows for the same seed
        chosen = self._random
        endings = ("com", "example.net", "example.org", "co.example", "xn--p1ai")
        self._domains = [f"d{number}.{chosen.choice(endings)}" for number in range(domains)]
        # Zipf's law: the n-th domain has an n-th of the mail of the first
        self._weights = list(accumulate(1 / (place + 1) for place in range(domains)))
        self._own_weights = list(accumulate(1 / (place + 1) for place in range(len(OWN_DOMAINS))))

    def rows(self) -> Iterator[Row]:
        """The recipients of all sessions, one after the other."""
        while True:
            yield from self._session()

    def _session(self) -> Iterator[Row]:
        chosen = self._random
        kind = chosen.random()
        auth: str | None = None
        if kind < 0.7:  # mail to us, and attempts to relay
            listener, peer = self._listener(), self._stranger()
            sender = self._address(own=chosen.random() < 0.05)
            own = chosen.random() < 0.8
        elif kind < 0.9:  # from our staff
            listener, peer = "submission", self._stranger()
            auth = chosen.choice(IDENTITIES) if chosen.random() < 0.95 else None
            sender, own = f"{auth or 'eve'}@example.com", False
        else:  # from our machines
            listener, peer = self._listener(), self._machine()
            sender, own = self._address(own=True), False
        trouble = chosen.random()
        if trouble < 0.05:
            sender = ""
        elif trouble < 0.0502:  # what a proxy or a log that is wrong leaves behind
            listener, peer = chosen.choice([("192.0.2.25", peer), (listener, "unknown")])
        for _ in range(chosen.choice((1, 1, 1, 1, 1, 1, 2, 2, 3, 10))):
            yield listener, peer, sender, self._address(own=own), auth

    def _listener(self) -> str:
        return "192.0.2.25:25" if self._random.random() < 0.8 else "[2001:db8::25]:25"

    def _stranger(self) -> str:
        number = self._random.randrange(1 << 16)
        if number % 8 == 0:
            return f"2001:db8:ffff::{number:x}"
        return f"{'::ffff:' * (number % 8 == 1)}203.0.{113 - number % 13}.{number >> 8}"

    def _machine(self) -> str:
        number = self._random.randrange(1 << 8)
        return (f"10.1.0.{number}", f"10.9.0.{number}", f"198.51.100.{number}")[number % 3]

    def _address(self, *, own: bool) -> str:
        chosen = self._random
        if own:
            (domain,) = chosen.choices(OWN_DOMAINS, cum_weights=self._own_weights)
        else:
            (domain,) = chosen.choices(self._domains, cum_weights=self._weights)
        style = chosen.random()
        if style < 0.002:
            return chosen.choice(GARBAGE)
        if style < 0.03:
            domain = domain.upper()
        return f"user{chosen.randrange(10_000)}@{domain}"


def write(path: Path, rows: Iterator[Row]) -> None:
    """Write all rows, in the format that the name ends in. Raises `ValueError` for other names."""
    if path.name.endswith(".parquet"):
        _write_parquet(path, rows)
    elif path.name.endswith(".jsonl.gz"):
        # without a time in it, the same rows are the same file
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            file.writelines(map(_line, rows))
    elif path.name.endswith(".jsonl"):
        with path.open("wb") as file:
            file.writelines(map(_line, rows))
    else:
        raise ValueError(f"{path}: expected a name that ends in .parquet, .jsonl or .jsonl.gz")


def _line(row: Row) -> bytes:
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False).encode() + b"\n"


def _write_parquet(path: Path, rows: Iterator[Row]) -> None:
    pyarrow: Any = importlib.import_module("pyarrow")  # it has no types
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = pyarrow.schema([(column, pyarrow.string()) for column in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROW_GROUP)):
            columns = [
                pyarrow.array(column, pyarrow.string()) for column in zip(*group, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema), ROW_GROUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a log; 2 if it cannot be written."""
    parser = argparse.ArgumentParser(description="Writes a log of recipients from a seed.")
    parser.add_argument("log", type=Path, help="its name ends in .parquet, .jsonl or .jsonl.gz")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        write(options.log, islice(Traffic(options.seed).rows(), options.rows))
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
