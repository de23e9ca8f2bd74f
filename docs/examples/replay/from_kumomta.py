"""Turns log records of KumoMTA into rows for `replay.py`: JSON Lines in, JSON Lines out.

    zstdcat /var/log/kumomta/* | python from_kumomta.py >log.jsonl

A row is a recipient of a message that came by SMTP: records of type `Reception` whose
`reception_protocol` is `ESMTP`. The listener and the identity are in a record if the server is
configured to log them: `configure_local_logs { meta = { 'received_via', 'authz_id' } }`.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

Record = dict[str, Any]


class RecordError(Exception):
    """Something that is no such record, with its line."""


def rows(lines: Iterable[str], others: Counter[str]) -> Iterator[Record]:
    """The rows of records. Those of other types are counted in `others`.

    Raises `RecordError` for what is no record, or one without the listener.
    """
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            kind, protocol = record["type"], record.get("reception_protocol")
            if (kind, protocol) != ("Reception", "ESMTP"):
                others[f"{kind} {protocol}" if kind == "Reception" else str(kind)] += 1
                continue
            recipients = record["recipient"]  # of one message: one, or in newer versions several
            if isinstance(recipients, str):
                recipients = [recipients]
            for recipient in cast("list[Any]", recipients):
                yield {
                    "listener": record["meta"]["received_via"],
                    "peer": record["peer_address"]["addr"],
                    "sender": record["sender"],
                    "recipient": recipient,
                    "auth": record["meta"].get("authz_id"),
                    "time": record.get("timestamp"),
                    "id": record.get("id"),
                }
        except KeyError as error:
            hint = "; is it in `meta` of configure_local_logs?" * ("received_via" in error.args)
            raise RecordError(f"line {number}: no {error}{hint}") from None
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise RecordError(f"line {number}: expected a log record of KumoMTA") from None


def main(source: TextIO = sys.stdin, target: TextIO = sys.stdout) -> int:
    """Turn standard input into standard output; 2 if it holds anything but records."""
    others = Counter[str]()
    try:
        target.writelines(json.dumps(row) + "\n" for row in rows(source, others))
    except RecordError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    left_out = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
    sys.stderr.write(f"left out: {left_out or 'nothing'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
