"""The pages on embedding do what they say: their code is run, and a client speaks to it."""

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import Mailbox
from smtp_wire import BOUNCE, ORDINARY, Wire, in_a_loop

from listener_policy import Report
from listener_policy.adapters.aiosmtpd import ANOTHER_TRANSACTION, NOT_NOW, PolicyHandler

ROOT = Path(__file__).parent.parent
PAGES = ("embed-in-aiosmtpd.md", "embed-in-your-own-server.md")


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def python_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "page", "exec"), names)


def test_the_server_of_ones_own_does_what_the_page_says() -> None:
    codes = python_of("embed-in-your-own-server.md")
    assert sum(code.count("assert ") for code in codes) > 20
    names: dict[str, Any] = {"__name__": "server"}
    for code in codes:
        run(code, names)


def test_the_handler_for_aiosmtpd_does_what_the_page_says(tmp_path: Path) -> None:
    first, maildir, reload, thread = python_of("embed-in-aiosmtpd.md")
    names: dict[str, Any] = {"__name__": "server"}
    run(first, names)
    handler, refused = names["handler"], "550 5.7.1 relaying not permitted"
    store = handler._handler

    async def test() -> None:
        async with Wire(handler) as wire:
            await wire.greet()
            recipients = ["a@example.com", "nobody@example.com", "a@example.net"]
            replies = await wire.mail("eve@example.org", *recipients, "b@bounces.example.com")
            assert replies == [
                *("250 2.1.5 OK", "550 5.1.1 no such user", refused, ANOTHER_TRANSACTION)
            ]
            assert await wire.data(ORDINARY) == "250 2.0.0 queued"
            assert store.relayed == [(("a@example.com",), ORDINARY.replace(b"\n", b"\r\n"))]
            for message, reply in ((BOUNCE, "250 2.0.0 OK"), (ORDINARY, refused)):
                await wire.mail("", "b@bounces.example.com")
                assert await wire.data(message) == reply
            assert store.logged == [(("b@bounces.example.com",), Report.OOB)]
            assert await wire.mail("", "a@example.com") == ["250 2.1.5 OK"]
            run(reload, names)
            assert await wire.say("RCPT TO:<b@example.com>") == "250 2.1.5 OK"
            replies = await wire.mail_again("", "a@example.com", "a@example.net")
            assert replies == [refused, "250 2.1.5 OK"]
        async with Wire(handler, peer="") as wire:
            await wire.greet()
            assert await wire.mail("", "a@example.com") == [NOT_NOW]

    in_a_loop(test())
    run(thread, names)
    assert asyncio.run(names["handler"]._report(BOUNCE)) is Report.OOB

    run(maildir, names)
    into: Any = names["IntoAMaildir"](str(tmp_path / "mail"))
    assert issubclass(names["IntoAMaildir"], Mailbox)

    async def store_one() -> None:
        async with Wire(PolicyHandler(names["policy"], into)) as wire:
            await wire.greet()
            await wire.mail("eve@example.org", "a@example.com")
            assert await wire.data(ORDINARY) == "250 OK"
            await wire.mail("", "b@bounces.example.com")
            assert await wire.data(BOUNCE) == "451 4.3.0 nobody logs reports here"

    in_a_loop(store_one())
    (kept,) = (tmp_path / "mail" / "new").iterdir()
    assert b"X-RcptTo: a@example.com" in kept.read_bytes()


def test_the_replies_on_the_pages_are_those_that_are_given() -> None:
    assert f"```text\n{ANOTHER_TRANSACTION}\n```" in text_of("embed-in-aiosmtpd.md")
    assert f"`{NOT_NOW}`" in text_of("embed-in-aiosmtpd.md")
    assert f'"{ANOTHER_TRANSACTION}"' in text_of("embed-in-your-own-server.md")


def test_the_command_for_the_example_server_is_understood(tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\n(python .*)\n```", text_of("embed-in-aiosmtpd.md"))
    python, *arguments = shlex.split(command)
    assert python == "python"
    # with one thing wrong that is noticed after all the others
    ended = subprocess.run(
        [sys.executable, *arguments, "--spool", str(tmp_path), "--listen", "192.0.2.1:2526"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (2, "")
    assert "address" in ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^):#]+)", text_of(page))
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
