"""A thousand clients of the example server at once, each with an answer of its own."""

import asyncio
import resource
from base64 import b64encode
from pathlib import Path

from needed import do_without

from end_to_end.relay_server import ORDINARY, PATIENCE, POLICY, RelayServer

CLIENTS = 1000
OK = "250 2.1.5 OK"
DENIED = "550 5.7.1 relaying not permitted"
ANOTHER_TRANSACTION = "452 4.5.3 send to this recipient in another transaction"
PRIVATE = "".join(
    f'["n{number}.example"]\nrelay_from = ["127.0.{number // 200 + 1}.{number % 200 + 1}"]\n'
    for number in range(CLIENTS)
)
"""For every client a domain that only its address may send from."""


def allow_files(number: int) -> None:
    """Let this process, and those that it starts, have some files open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        do_without(f"a process may have no more than {hard} files open")
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


class Caller:
    """One of the clients."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.source = f"127.0.{number // 200 + 1}.{number % 200 + 1}"

    async def connect(self, port: int, at_once: asyncio.Semaphore) -> None:
        async with at_once:  # a system may let no more than 128 wait to be taken
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(self.source, 0)
            )
            assert (await self.hear()).startswith("220 ")
        assert (await self.say(f"EHLO c{self.number}.test")).startswith("250 ")

    async def hear(self) -> str:
        while True:
            line = (await self.reader.readline()).decode().rstrip("\r\n")
            if line[3:4] != "-":
                return line

    async def say(self, line: str) -> str:
        self.writer.write(f"{line}\r\n".encode())
        return await self.hear()

    async def ask(self) -> None:
        """Questions that nobody else asks, some of them with a login, and the right answers."""
        own, other = self.number, (self.number + 1) % CLIENTS
        assert await self.say(f"MAIL FROM:<c@n{own}.example>") == "250 OK"
        assert await self.say(f"RCPT TO:<u{own}@evil.example>") == OK
        assert await self.say("RSET") == "250 OK"
        assert await self.say(f"MAIL FROM:<c@n{other}.example>") == "250 OK"
        assert await self.say(f"RCPT TO:<u{own}@evil.example>") == DENIED
        assert await self.say(f"RCPT TO:<u{own}@reports.example>") == OK
        assert await self.say(f"RCPT TO:<u{own}@here.example>") == ANOTHER_TRANSACTION
        assert await self.say("RSET") == "250 OK"
        is_staff = self.number % 3 == 0
        if is_staff:
            login = b64encode(b"\0ann\0secret").decode()
            assert (await self.say(f"AUTH PLAIN {login}")).startswith("235 ")
        assert await self.say("MAIL FROM:<c@staff.example>") == "250 OK"
        said = await self.say(f"RCPT TO:<u{own}@evil.example>")
        assert said == (OK if is_staff else DENIED)
        assert await self.say("RSET") == "250 OK"

    async def send(self) -> str:
        assert await self.say(f"MAIL FROM:<c{self.number}@evil.example>") == "250 OK"
        assert await self.say(f"RCPT TO:<u{self.number}@here.example>") == OK
        assert (await self.say("DATA")).startswith("354 ")
        self.writer.write(ORDINARY.replace("\r\n.", "\r\n..").encode())
        reply = await self.say(".")
        assert reply.startswith("250 2.0.0 OK ")
        return reply.rpartition(" ")[2]

    async def leave(self) -> None:
        assert await self.say("QUIT") == "221 Bye"
        assert await self.reader.read() == b""
        self.writer.close()
        await self.writer.wait_closed()


async def everybody(port: int, server: RelayServer) -> dict[int, str]:
    """The number of the message of each client, who are all connected all the time."""
    callers = [Caller(number) for number in range(CLIENTS)]
    at_once = asyncio.Semaphore(100)
    async with asyncio.timeout(3 * PATIENCE):
        await asyncio.gather(*(caller.connect(port, at_once) for caller in callers))
        assert server.connections() >= CLIENTS
        await asyncio.gather(*(caller.ask() for caller in callers))
        numbers = await asyncio.gather(*(caller.send() for caller in callers))
        assert server.connections() >= CLIENTS
        await asyncio.gather(*(caller.leave() for caller in callers))
    return dict(enumerate(numbers))


def test_a_thousand_connections_at_once_get_the_right_answers(tmp_path: Path) -> None:
    allow_files(2 * CLIENTS + 200)
    policy = POLICY + PRIVATE
    with RelayServer(tmp_path, listen=("mx=127.0.0.1:0",), policy=policy) as running:
        numbers = asyncio.run(everybody(running.port("mx"), running))
        assert len(set(numbers.values())) == CLIENTS
        assert running.numbers("relay") == set(numbers.values())
        for number, written in numbers.items():
            record = running.record("relay", written)
            assert record["sender"] == f"c{number}@evil.example"
            assert [one["address"] for one in record["recipients"]] == [f"u{number}@here.example"]
        assert running.stop() == 0
        assert not [line for line in running.lines if "Traceback" in line]
