"""What the tests of replaying share: logs, policies, and what needs software that may be absent.

`LISTENER_POLICY_REPLAY=required` makes a failure of what is absent, so that CI cannot pass by
skipping.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from generate_log import COLUMNS, Traffic, write

from listener_policy import EsmtpListener, Policy

DOCS: Final = Path(__file__).parent.parent / "docs"
EXAMPLES: Final = DOCS / "examples"
REPLAY: Final = EXAMPLES / "replay"
VARIABLE: Final = "LISTENER_POLICY_REPLAY"
POLICY: Final = EXAMPLES / "listener_domains.toml"
LISTENERS: Final = EXAMPLES / "listeners.toml"
CHANGE: Final = """
["berlin.example.com"]
log_arf = "LogThenDrop"
["*.labs.example.com"]
relay_to = false
["shop.example.com"]
relay_from = ["203.0.113.0/24"]
"""
POLICY_OPTIONS: Final = ["--policy", str(POLICY), "--listeners", str(LISTENERS)]


def need_replay() -> None:
    """The software of the extra `replay`."""
    for package in ("pyarrow", "distributed"):
        if find_spec(package) is None:
            reason = f"{package} is not installed: pip install 'listener-policy[replay]'"
            if os.environ.get(VARIABLE) == "required":
                pytest.fail(f"{VARIABLE}=required, but {reason}", pytrace=False)
            pytest.skip(reason)


def example_policy(*changes: str) -> Policy:
    """The example's policy, with changes."""
    listeners = EsmtpListener.from_toml(LISTENERS.read_bytes())
    return Policy.from_toml(POLICY.read_bytes(), *changes, listeners=listeners)


def generated(path: Path, rows: int, *, seed: int = 1) -> Path:
    """A log in the format that its name ends in."""
    write(path, islice(Traffic(seed).rows(), rows))
    return path


def json_lines(path: Path, rows: Iterable[Any]) -> Path:
    """A log of JSON Lines: mappings, questions, or lines as they stand there."""
    lines: list[bytes] = []
    for row in rows:
        if isinstance(row, bytes):
            lines.append(row)
        else:
            mapping: Any = row
            if not isinstance(row, dict):
                mapping = dict(zip(COLUMNS, row, strict=True))
            lines.append(json.dumps(mapping).encode())
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def command(program: str, *arguments: object) -> Sequence[str]:
    """A command that replays."""
    return [sys.executable, "-W", "error", str(REPLAY / program), *map(str, arguments)]
