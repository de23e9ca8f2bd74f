"""Policy engines side by side: what other libraries take for the same question.

Who may relay is a small question for them, and none of them knows domains with wildcards, of which
the longest governs. So pycasbin and Cedar are told which entry governs by a dictionary walk like
the floor's, and are asked the rest; for the Rego engine the whole decision is written in Rego.
All answer whether this peer may send from a domain and whether anybody may send to it
(`Decision.may_send`, `Decision.may_receive`).

They are no competitors for what they are made for: policies that say more than a table can.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.careful import CarefulPolicy
from benchmarks.checks import check_same
from benchmarks.context import Context, Settings
from benchmarks.measuring import Candidate, compared
from benchmarks.report import Table
from benchmarks.workload import EVERYONE, OTHER, OWN, Workload

Ask = Callable[[str, str, str, str | None], tuple[bool, bool]]
FLOOR: Final = "floor"


def _entry_finder(workload: Workload) -> Callable[[str, str], str]:
    find = CarefulPolicy(workload).find

    def entry_name(listener: str, domain: str) -> str:
        entry = find(listener, domain)
        assert entry is not None  # `*` governs what nothing else governs
        return _entry_name(entry.listener, entry.pattern)

    return entry_name


def _entry_name(listener: str, pattern: str) -> str:
    return f"{listener} {pattern}"


_CASBIN_MODEL: Final = """
[request_definition]
r = listener, entry, peer, auth, act
[policy_definition]
p = kind, key, value
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.act == 'send' && (\
p.kind == 'relay_hosts' && p.key == r.listener && ipMatch(r.peer, p.value) \
|| p.kind == 'relay_from' && p.key == r.entry && ipMatch(r.peer, p.value) \
|| p.kind == 'relay_from_authz' && p.key == r.entry && p.value == r.auth) \
|| r.act == 'receive' && (\
p.kind == 'relay_hosts' && p.key == r.listener && ipMatch(r.peer, p.value) \
|| p.kind == 'relay_to' && p.key == r.entry)
"""


def _pycasbin(workload: Workload) -> Ask:
    casbin = importlib.import_module("casbin")
    model = casbin.Model()
    model.load_model_from_text(_CASBIN_MODEL)
    enforcer = casbin.Enforcer(model)
    rules: list[list[str]] = [
        ["relay_hosts", listener, block]
        for listener in (OWN, OTHER)
        for block in workload.blocks_at(listener).written()
    ]
    for listener, patterns in workload.entries.items():
        for pattern, options in patterns.items():
            name = _entry_name(listener, pattern)
            for kind in ("relay_from", "relay_from_authz"):
                rules += ([kind, name, value] for value in options.get(kind, ()))
            if options.get("relay_to"):
                rules.append(["relay_to", name, "true"])
    enforcer.add_policies(rules)
    find, enforce = _entry_finder(workload), enforcer.enforce

    def ask(listener: str, peer: str, domain: str, auth: str | None) -> tuple[bool, bool]:
        entry = find(listener, domain)
        return (
            enforce(listener, entry, peer, auth or "", "send"),
            enforce(listener, entry, peer, auth or "", "receive"),
        )

    return ask


def _cedar(workload: Workload) -> Ask:
    cedar = importlib.import_module("cedarpy")

    def in_blocks(blocks: list[str]) -> str:
        return " || ".join(f'context.peer.isInRange(ip("{block}"))' for block in blocks)

    policies = [
        f'permit(principal, action, resource) when {{ context.listener == "{listener}" && '
        f"({in_blocks(workload.blocks_at(listener).written())}) }};"
        for listener in (OWN, OTHER)
    ]
    entities: list[dict[str, Any]] = []
    for listener, patterns in workload.entries.items():
        for pattern, options in patterns.items():
            name = _entry_name(listener, pattern)
            entities.append(
                {
                    "uid": {"type": "Entry", "id": name},
                    "attrs": {
                        "relay_to": options.get("relay_to", False),
                        "relay_from_authz": options.get("relay_from_authz", []),
                    },
                    "parents": [],
                }
            )
            if "relay_from" in options:
                policies.append(
                    f'permit(principal, action == Action::"send", resource == Entry::"{name}") '
                    f"when {{ {in_blocks(options['relay_from'])} }};"
                )
    policies += [
        (
            'permit(principal, action == Action::"send", resource) when '
            "{ context has auth && resource.relay_from_authz.contains(context.auth) };"
        ),
        'permit(principal, action == Action::"receive", resource) when { resource.relay_to };',
    ]
    compiled = cedar.PolicySet.from_str("\n".join(policies))
    known = cedar.Entities.from_json_str(json.dumps(entities))
    find, authorized = _entry_finder(workload), cedar.is_authorized_batch

    def ask(listener: str, peer: str, domain: str, auth: str | None) -> tuple[bool, bool]:
        context: dict[str, Any] = {
            "listener": listener,
            "peer": {"__extn": {"fn": "ip", "arg": peer}},
        }
        if auth is not None:
            context["auth"] = auth
        common = {
            "principal": {"type": "Client", "id": "client"},
            "resource": {"type": "Entry", "id": find(listener, domain)},
            "context": context,
        }
        send, receive = authorized(
            [
                {**common, "action": {"type": "Action", "id": "send"}},
                {**common, "action": {"type": "Action", "id": "receive"}},
            ],
            compiled,
            known,
        )
        return send.allowed, receive.allowed

    return ask


_REGO: Final = """
package mail

labels := split(input.domain, ".")

patterns := array.concat(
    array.concat([input.domain], [pattern |
        some start in numbers.range(1, count(labels))
        start < count(labels)
        pattern := concat(".", array.concat(["*"], array.slice(labels, start, count(labels))))
    ]),
    ["*"],
)

found := [entry |
    some listener in [input.listener, "*"]
    some pattern in patterns
    entry := data.entries[listener][pattern]
]

default in_relay_hosts := false
in_relay_hosts if {
    some block in data.relay_hosts[input.listener]
    net.cidr_contains(block, input.peer)
}

default from_relay_from := false
from_relay_from if {
    some block in found[0].relay_from
    net.cidr_contains(block, input.peer)
}

default from_identity := false
from_identity if input.auth in found[0].relay_from_authz

default to_domain := false
to_domain if found[0].relay_to

decision := {
    "send": true in [in_relay_hosts, from_relay_from, from_identity],
    "receive": true in [in_relay_hosts, to_domain],
}
"""


def _rego(workload: Workload) -> Ask:
    engine = importlib.import_module("regorus").Engine()
    engine.add_policy("mail.rego", _REGO)
    entries: Mapping[str, Any] = {OWN: {}, OTHER: {}, EVERYONE: {}, **workload.entries}
    hosts = {listener: workload.blocks_at(listener).written() for listener in (OWN, OTHER)}
    engine.add_data({"entries": entries, "relay_hosts": hosts})

    def ask(listener: str, peer: str, domain: str, auth: str | None) -> tuple[bool, bool]:
        engine.set_input({"listener": listener, "peer": peer, "domain": domain, "auth": auth})
        decision = engine.eval_rule("data.mail.decision")
        return decision["send"], decision["receive"]

    return ask


ENGINES: Final[dict[str, tuple[Callable[[Workload], Ask], int, str]]] = {
    "cedarpy": (_cedar, 1_000, ""),
    "Rego (regorus)": (_rego, 1_000, "; gordon-to-regorus is one build of it"),
    "pycasbin": (_pycasbin, 1_000, ""),
}
"""How they are made, for how many entries at most, and what to say of one that is absent."""


def measure(settings: Settings, skipped: list[str]) -> Table:
    """The table; what is not installed is added to `skipped`."""
    table = Table("engines", "Policy engines, relative to the floor", "entries")
    missing: set[str] = set()
    for size in sorted({min(size, 1_000) for size in settings.sizes}):
        context = Context(size, settings)
        policy, floor = context.policy, context.floor
        asked: dict[str, Ask] = {}
        for name, (make, most, hint) in ENGINES.items():
            if size <= most and name not in missing:
                try:
                    asked[name] = make(context.workload)
                except ImportError as error:
                    missing.add(name)
                    skipped.append(f"{name}: {error}{hint}")

        def may(*question: Any, context: Context = context) -> tuple[bool, bool]:
            decision = context.policy.decide(*question)
            return decision.may_send, decision.may_receive

        check_same(may, asked, context.workload.first_seen(min(2_000, 200_000 // size)))
        questions = context.workload.first_seen
        share = 0.1 if size <= 10 else 0.01
        measured = compared(
            {
                FLOOR: Candidate(floor.decide, questions),
                "Policy.decide": Candidate(policy.decide, questions),
                **{name: Candidate(ask, questions, share) for name, ask in asked.items()},
            },
            FLOOR,
            count=settings.count,
            rounds=max(5, settings.rounds // 5),
        )
        for name, figures in measured.items():
            table.add(name, context.column, figures.ratio)
    return table
