"""The files of the example server; `relay_server_files.py ann >>users` adds a user to one."""

import getpass
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from listener_policy import ConfigError, Dialect, EsmtpListener, Policy

T = TypeVar("T")


def of_files(load: Callable[..., T], *paths: Path) -> T:
    """What is made of the texts of some files. Raises `ValueError`, with the name of the file."""
    try:
        return load(*(path.read_bytes() for path in paths))
    except ConfigError as error:
        problems = (
            f"{'arguments' if problem.document is None else paths[problem.document]}: "
            f"{replace(problem, document=None)}"
            for problem in error.problems
        )
        raise ValueError("\n  ".join(["what is wrong:", *problems])) from error


def read_policy(
    policy: Sequence[Path], listeners: Iterable[Path], relay_hosts: Sequence[str], dialect: Dialect
) -> Policy:
    """The policy of some files, which are merged, and of those of the listeners."""
    known = [one for path in listeners for one in of_files(EsmtpListener.from_toml, path)]
    load = partial(Policy.from_toml, relay_hosts=relay_hosts, listeners=known, dialect=dialect)
    return of_files(load, *policy)


def hashed(password: bytes, n: int = 2**14, salt: bytes = b"") -> str:
    """A password, as far as it is kept; without a salt, something else every time."""
    salt = salt or secrets.token_bytes(16)
    return f"{n}${salt.hex()}${hashlib.scrypt(password, salt=salt, n=n, r=8, p=1).hex()}"


def is_password(password: bytes, kept: str) -> bool:
    """Whether it is the one that is kept; to find out takes the same time if it is not."""
    n, salt, _ = kept.split("$")
    return hmac.compare_digest(hashed(password, int(n), bytes.fromhex(salt)), kept)


NOBODY = hashed(secrets.token_bytes(16))
"""What is kept for those who are unknown, so that they take as long as any other."""


def read_users(path: Path) -> Mapping[bytes, str]:
    """What is kept for each user: a line of the file is a name, a space and a `hashed` password."""
    users: dict[bytes, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, _, kept = line.rpartition(" ")
        if not name or not re.fullmatch(r"[0-9]+\$([0-9a-f]{2})+\$[0-9a-f]{128}", kept):
            raise ValueError(f"{path}: line {number}: expected a name and a hashed password")
        users[name.encode()] = kept
    return users


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: relay_server_files.py NAME >>USERS")
    print(sys.argv[1], hashed(getpass.getpass().encode()))
