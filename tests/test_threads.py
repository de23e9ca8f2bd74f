"""One policy, many threads, no locks (5.2)."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Barrier

import pytest

from listener_policy import Decision, Dialect, Policy, RcptDecision

THREADS = 16
TEXT = """
["*"]
log_oob = true
["b\u00fccher.example"]
relay_from = ["10.0.0.0/8"]
["*.example.com"]
relay_to = true
relay_from_authz = ["ann"]
[listener.mx."a.example.com"]
log_arf = true
"""
LISTENERS = ("mx", "10.1.2.3:25", "[2001:db8::1]:25")
PEERS = ("10.0.0.7", "::ffff:127.0.0.1", "203.0.113.9:25")
DOMAINS = ("a.example.com", "B\u00dcCHER.example", "", "x.y.example.com.", "not..valid")
IDENTITIES = (None, "ann", "bob")


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def ask(policy: Policy) -> tuple[list[Decision | RcptDecision], str, int]:
    answers: list[Decision | RcptDecision] = []
    for listener, peer, domain, auth in product(LISTENERS, PEERS, DOMAINS, IDENTITIES):
        answers.append(policy.decide(listener, peer, domain, auth))
        connection = policy.connection(listener, peer).authenticated(auth)
        answers.append(connection.decide_rcpt(f"x@{domain}", f"y@{domain}"))
    return answers, policy.fingerprint, hash(policy)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("dialect", Dialect)
def test_5_2_threads_may_ask_one_policy_at_a_time(dialect: Dialect) -> None:
    expected = ask(Policy.from_toml(TEXT, dialect=dialect))
    policy = Policy.from_toml(TEXT, dialect=dialect)
    start = Barrier(THREADS)

    def wait_and_ask(_: int) -> tuple[list[Decision | RcptDecision], str, int]:
        start.wait()
        return ask(policy)

    with ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(wait_and_ask, range(THREADS))) == [expected] * THREADS
