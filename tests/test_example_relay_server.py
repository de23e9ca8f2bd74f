"""The spool of the example server: who can read it, and what is left of it after a crash."""

import asyncio
import os
from pathlib import Path

import pytest
from aiosmtpd.smtp import Envelope, Session

from listener_policy.adapters.aiosmtpd import Delivery

if os.name != "posix":
    pytest.skip("its signals and modes are POSIX's", allow_module_level=True)
from relay_server import Spool


async def kept(spool: Spool) -> str:
    session = Session(asyncio.get_running_loop())
    envelope = Envelope()
    envelope.mail_from, envelope.original_content = "ann@example.net", b"Subject: private\r\n"
    return await spool.keep("relay", session, envelope, Delivery(None, ()))


def test_nobody_else_reads_what_is_spooled(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        number = asyncio.run(kept(Spool(tmp_path / "var" / "spool")))
    finally:
        os.umask(before)
    for name in ("tmp", "relay", "log", f"relay/{number}"):
        assert (tmp_path / "var" / "spool" / name).stat().st_mode & 0o077 == 0


def test_what_is_answered_250_is_still_there_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    relay = tmp_path / "relay"

    def fsync(opened: int) -> None:
        synced.append((os.fstat(opened).st_ino, any(relay.iterdir())))

    spool = Spool(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    number = asyncio.run(kept(spool))
    message = relay / number
    # the files and their names before the message appears, and the name of the message after
    before = [message / "message.eml", message / "envelope.json", message]
    assert synced == [(path.stat().st_ino, False) for path in before] + [
        (relay.stat().st_ino, True)
    ]
