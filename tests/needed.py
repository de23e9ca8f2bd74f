"""What end-to-end tests need besides this package: whoever lacks it gets a reason, not a failure.

`LISTENER_POLICY_END_TO_END=required` makes a failure of it, so that CI cannot pass by skipping.
"""

import os
import shutil
import socket
from importlib.util import find_spec
from typing import Final, NoReturn

import pytest

VARIABLE: Final = "LISTENER_POLICY_END_TO_END"


def need_program(program: str, *, package: str | None = None) -> str:
    """The path of a program, which a Debian package of the same name or of another one has."""
    path = shutil.which(program)
    if path is None:
        do_without(f"{program} is not installed: apt-get install {package or program}")
    return path


def need_package(name: str, *, install: str | None = None) -> None:
    """A Python package that can be imported, by its name; `install` is what pip calls it."""
    if find_spec(name) is None:
        do_without(f"{name} is not installed: pip install {install or name}")


def need_root() -> None:
    """The rights of root, which a mail server gives up itself."""
    if os.name != "posix" or os.geteuid() != 0:
        do_without("not run as root, without whose rights the mail server does not start")


def need_ipv6() -> None:
    """A loopback address of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        do_without(f"there is no ::1: {error}")


def do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it where end-to-end tests are required."""
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(f"{VARIABLE}=required, but {reason}", pytrace=False)
    pytest.skip(reason)
