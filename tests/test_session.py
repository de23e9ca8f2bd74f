"""A connection as a server holds it: no answer ever remembers another question."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from listener_policy import Connection, Policy, RcptDecision, Report, strategies


class Session(RuleBasedStateMachine):
    """EHLO, AUTH, MAIL, RCPT, RSET, XCLIENT and a reload, in any order that SMTP allows.

    The server keeps one `Connection` and derives the next from it. Whatever came before, its
    answers must be those of a policy that has never been asked.
    """

    policy: Policy
    connection: Connection
    sender: str | None = None

    @initialize(data=st.data(), policy=strategies.policies())
    def connect(self, data: st.DataObject, policy: Policy) -> None:
        self.policy = policy
        request = data.draw(strategies.rcpt_requests(policy))
        self.connection = policy.connection(request.listener, request.peer)
        self.answers: list[tuple[RcptDecision, tuple[object, ...]]] = []

    @rule()
    def ehlo_or_rset(self) -> None:
        self.sender = None
        assert self.connection.auth == self.connection.authenticated(self.connection.auth).auth

    @precondition(lambda self: self.sender is None)
    @rule(identity=strategies.identities())
    def auth(self, identity: str | None) -> None:
        before = self.connection.auth
        authenticated = self.connection.authenticated(identity)
        assert self.connection.auth == before
        self.connection = authenticated

    @precondition(lambda self: self.sender is None)
    @rule(data=st.data())
    def xclient(self, data: st.DataObject) -> None:
        peer = data.draw(strategies.rcpt_requests(self.policy)).peer
        old = self.connection
        self.connection = self.policy.connection(old.listener, peer, old.auth)

    @precondition(lambda self: self.sender is None)
    @rule(policy=strategies.policies())
    def reload(self, policy: Policy) -> None:
        old = self.connection
        self.policy = policy
        self.connection = policy.connection(old.listener, old.peer, old.auth)

    @precondition(lambda self: self.sender is None)
    @rule(data=st.data())
    def mail(self, data: st.DataObject) -> None:
        self.sender = data.draw(strategies.rcpt_requests(self.policy)).sender

    @precondition(lambda self: self.sender is not None)
    @rule(data=st.data())
    def rcpt(self, data: st.DataObject) -> None:
        assert self.sender is not None
        recipient = data.draw(strategies.rcpt_requests(self.policy)).recipient
        now = self.connection
        decision = now.decide_rcpt(self.sender, recipient)
        unasked = Policy(
            self.policy.config,
            relay_hosts=self.policy.relay_hosts,
            listeners=self.policy.listeners,
            dialect=self.policy.dialect,
        )
        assert decision == unasked.decide_rcpt(
            now.listener, now.peer, self.sender, recipient, now.auth
        )
        self.answers.append((decision, self.dispositions(decision)))

    @invariant()
    def answers_stay_what_they_were(self) -> None:
        for decision, dispositions in getattr(self, "answers", []):
            assert self.dispositions(decision) == dispositions

    @staticmethod
    def dispositions(decision: RcptDecision) -> tuple[object, ...]:
        return tuple(decision.after_data(report) for report in (None, *Report))


TestSession = Session.TestCase
