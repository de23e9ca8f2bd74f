"""Software that is absent is a reason to skip, and a failure where it is required."""

import os

import pytest
from needed import VARIABLE, need_package, need_program, need_root


def test_what_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setenv(VARIABLE, "required")
    assert os.path.isabs(need_program("sh"))  # noqa: PTH117
    need_package("pydantic")
    need_root()


@pytest.mark.parametrize(
    ("value", "refused"), [("", pytest.skip.Exception), ("required", pytest.fail.Exception)]
)
def test_what_is_absent_has_a_reason(
    monkeypatch: pytest.MonkeyPatch, value: str, refused: type[BaseException]
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(refused, match="no-such-program is not installed: apt-get install mta"):
        need_program("no-such-program", package="mta")
    with pytest.raises(refused, match="no_such_package is not installed: pip install no-such"):
        need_package("no_such_package", install="no-such")
    with pytest.raises(refused, match="not run as root"):
        need_root()
