"""An executable specification: the rules of docs/specification.md, as naively as they read.

To be read side by side with the specification: each function names the rules that it carries
out, and stands where they stand.  There is no index, no cache and no shortcut, and nothing is
shared with the library, so that the two can be compared.

The documents are valid ones, as `tomli` parses them.  The model refuses what has no canonical
form (part 1) and what is no block (3.1), with a `ValueError`; that options are of their types
(3.3) and that no key is there twice (1.5) it takes for granted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple, TypeAlias, TypedDict, cast

import idna

Address: TypeAlias = IPv4Address | IPv6Address
Dialect: TypeAlias = Literal["documented", "kumomta"]
LogReport: TypeAlias = Literal["Ignore", "LogThenDrop", "LogThenRelay"]
Report: TypeAlias = Literal["arf", "oob"]
Reason: TypeAlias = Literal[
    "RELAY_HOSTS", "RELAY_FROM", "RELAY_FROM_AUTHZ", "RELAY_TO", "LOG_ARF", "LOG_OOB", "DENIED"
]

LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"  # 1.4
REFUSED = "550 5.7.1 relaying not permitted"  # 4.3, 4.4


# 1. The question


def unwrapped(address: Address) -> Address:
    """Return the address that is meant: IPv4 where it is mapped, and without a zone (1.3)."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def address_and_port(text: str) -> tuple[Address, int]:
    """Return what `ip:port` or `[v6]:port` says (1.1, 1.3)."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise ValueError(f"no port: {text!a}")
    if host.startswith("[") and host.endswith("]"):
        return unwrapped(IPv6Address(host[1:-1])), int(port)
    return IPv4Address(host), int(port)


def socket_address(value: object) -> tuple[Address, int]:
    """Return what a socket address tuple says: 2 or 4 items, address and port first (1.1, 1.3)."""
    if isinstance(value, tuple) and len(items := cast("tuple[object, ...]", value)) in (2, 4):
        host, port = items[:2]
        is_bool = isinstance(port, bool)
        if isinstance(host, str) and isinstance(port, int) and not is_bool and 0 <= port <= 65535:
            return unwrapped(ip_address(host)), port
    raise ValueError(f"no socket address: {value!a}")


def is_written_as_address(text: str) -> bool:
    """Tell whether a listener's text is an address with a port or an error, and no name (1.1)."""
    before, colon, _ = text.rpartition(":")
    return text.startswith("[") or (colon == ":" and set(before) <= set("0123456789."))


def is_plain_address(text: str) -> bool:
    """Tell whether text is an address without a port (1.1)."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def canonical_listener(value: object) -> str:
    """Return `ip:port`, `[v6]:port` or a name, the form in which listeners compare (1.1, 2.7)."""
    if isinstance(value, str) and not is_written_as_address(value):
        if value in ("", "*") or is_plain_address(value):
            raise ValueError(f"no listener: {value!a}")
        return value  # 2.7: a name compares exactly
    address, port = address_and_port(value) if isinstance(value, str) else socket_address(value)
    return f"{address}:{port}" if isinstance(address, IPv4Address) else f"[{address}]:{port}"


def peer_address(value: object) -> Address:
    """Return the address of a peer; a port is ignored (1.1, 1.3)."""
    if isinstance(value, IPv4Address | IPv6Address):
        return unwrapped(value)
    if isinstance(value, str):
        is_plain = is_plain_address(value)
        return unwrapped(ip_address(value)) if is_plain else address_and_port(value)[0]
    return socket_address(value)[0]


def canonical_domain(text: str) -> str | None:
    """Return the form in which domains compare, or None for one that is not valid (1.4)."""
    if text == "":
        return ""
    if len(text) > 254:
        return None
    if text.startswith("[") and text.endswith("]"):
        return canonical_literal(text[1:-1])
    try:
        mapped = idna.uts46_remap(text, std3_rules=False)
        labels = [
            label if label.isascii() else idna.alabel(label).decode("ascii")
            for label in mapped.split(".")
        ]
    except idna.IDNAError:
        return None
    name = ".".join(labels).removesuffix(".")
    is_valid = all(re.fullmatch(LABEL, label) for label in name.split("."))
    return name if is_valid and len(name) <= 253 else None


def canonical_literal(inside: str) -> str | None:
    """Return the form in which literals compare, given what is between the brackets (1.4, 1.3)."""
    try:
        if inside.lower().startswith("ipv6:") and "%" not in inside:
            address = unwrapped(IPv6Address(inside[len("ipv6:") :]))
        else:
            address = IPv4Address(inside)
    except ValueError:
        return None
    return f"[{address}]" if isinstance(address, IPv4Address) else f"[ipv6:{address}]"


def canonical_pattern(text: str) -> str:
    """Return the canonical form of a key: exact name, literal, `*.suffix` or `*` (1.5, 2.2)."""
    if text == "*":
        return "*"
    wildcard = "*." if text.startswith("*.") else ""
    name = canonical_domain(text.removeprefix(wildcard))
    if not name or (wildcard and name.startswith("[")):
        raise ValueError(f"no valid key: {text!a}")
    if len(text) > 254 or len(wildcard + name) > 253:  # 1.4, of the key as a whole
        raise ValueError(f"too long a key: {text!a}")
    return wildcard + name


def envelope_domain(address: str) -> str | None:
    """Return the canonical domain of an envelope address, or None if it is not valid (1.7)."""
    if address.startswith("<") and address.endswith(">"):
        address = address[1:-1]
    if address == "":
        return ""
    if "@" not in address:
        return "" if address.lower() == "postmaster" else None
    domain = address.rpartition("@")[2]
    return None if domain == "" else canonical_domain(domain)


# 2. Which entry governs a domain


class Options(TypedDict, total=False):
    """What is written in an entry, its alias resolved and `ttl` left out (part 3)."""

    relay_to: bool
    relay_from: Sequence[str]
    relay_from_authz: Sequence[str]
    log_oob: bool | LogReport
    log_arf: bool | LogReport


Document: TypeAlias = Mapping[str, object]
Entries: TypeAlias = Mapping[str, Mapping[str, object]]  # by pattern, as written
Table: TypeAlias = dict[str, Options]  # by canonical pattern


def governs(table: Collection[str], name: str, dialect: Dialect) -> str | None:
    """Return the pattern of one table that governs a canonical name, or None (2.3, 2.4)."""
    is_in_tree = name != "" and not name.startswith("[")  # neither empty domain nor literal
    if dialect == "kumomta" and is_in_tree:
        return governs_in_tree(table, name)
    if name in table:
        return name
    suffixes = [key for key in table if key.startswith("*.") and name.endswith(key[1:])]
    if suffixes and is_in_tree:
        return max(suffixes, key=len)
    return "*" if "*" in table else None


def governs_in_tree(table: Collection[str], name: str) -> str | None:
    """Return the pattern of one table that governs a name of the tree, or None (2.4)."""
    nodes = {""}  # the root
    for key in table:
        if not key.startswith("["):
            nodes.update([key, *ancestors(key)])
    if name in nodes:
        return name if name in table else None
    closest = next(ancestor for ancestor in ancestors(name) if ancestor in nodes)
    wildcard = f"*.{closest}" if closest else "*"
    return wildcard if wildcard in table else None


def ancestors(key: str) -> list[str]:
    """Return the names above a name or wildcard, closest first, last the root (2.4)."""
    labels = key.split(".")
    return [".".join(labels[above:]) for above in range(1, len(labels) + 1)]


def tables(document: Document) -> dict[str, Table]:
    """Return the tables of one document by canonical listener (2.1, 2.7)."""
    of_listener: dict[str, Table] = {"*": {}}
    for key, entries in cast("Mapping[str, Entries]", document.get("listener", {})).items():
        listener = "*" if key == "*" else canonical_listener(key)
        of_listener[listener] = canonical_table(entries)
    top_level = {key: entry for key, entry in document.items() if key != "listener"}
    of_listener["*"].update(canonical_table(cast("Entries", top_level)))  # 2.1: replaces
    return of_listener


def canonical_table(entries: Entries) -> Table:
    """Return the table that entries make (1.5)."""
    return {canonical_pattern(key): options(written) for key, written in entries.items()}


def merged(documents: Iterable[Document]) -> dict[str, Table]:
    """Return the tables that documents make, later options replacing the same options (2.8)."""
    of_listener: dict[str, Table] = {"*": {}}
    for document in documents:
        for listener, table in tables(document).items():
            earlier = of_listener.setdefault(listener, {})
            for pattern, later in table.items():
                earlier[pattern] = earlier.get(pattern, Options()) | later
    return of_listener


# 3. Options of an entry


def options(written: Mapping[str, object]) -> Options:
    """Return the options of an entry: `log_fbl` is `log_arf`, `ttl` is without meaning (3)."""
    names = {"log_fbl": "log_arf"}
    meant = {names.get(name, name): value for name, value in written.items() if name != "ttl"}
    return cast("Options", meant)


def log_report(written: bool | LogReport, dialect: Dialect) -> LogReport:
    """Return the value of KumoMTA that an entry's `log_oob` or `log_arf` stands for (3, S2)."""
    if written is True:
        return "LogThenDrop" if dialect == "documented" else "LogThenRelay"
    return "Ignore" if written is False else written


def cidr_block(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `ip` or `ip/length` stands for (3.1, 1.3)."""
    _, slash, length = text.partition("/")
    if "%" in text or (slash and not re.fullmatch(r"0|[1-9][0-9]*", length)):
        raise ValueError(f"no CIDR block: {text!a}")
    network = ip_network(text)  # 3.1: refuses a bit beyond the length
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:  # 1.3: inside `::ffff:0:0/96`
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def in_blocks(address: Address, blocks: Iterable[str]) -> bool:
    """Tell whether an address, as `peer_address` gives it, is in one of the blocks (3.1, 3.2)."""
    return any(block == "any" or address in cidr_block(block) for block in blocks)


# 4. What is granted


@dataclass(frozen=True)
class Answer:
    """The answers about one domain (4.2); `entry` is listener and pattern of what governs it."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    relay_to: bool
    log_oob: LogReport
    log_arf: LogReport
    entry: tuple[str, str] | None


class Disposition(NamedTuple):
    """What becomes of a message (4.4)."""

    accept: bool
    log: bool
    relay: bool
    reply: str


@dataclass(frozen=True)
class RcptAnswer:
    """The answer about one recipient (4.3, 4.5)."""

    accept: bool
    relay: bool
    log_oob: LogReport
    log_arf: LogReport
    reason: Reason
    reply: str
    dialect: Dialect

    def after_data(self, report: Report | None) -> Disposition:
        """Return what becomes of the message, once it is known what it is (4.4)."""
        option = {"arf": self.log_arf, "oob": self.log_oob, None: "Ignore"}[report]
        log = self.accept and option != "Ignore"
        relay = self.accept and self.relay
        if log:
            relay = option == "LogThenRelay" and (self.relay or self.dialect == "kumomta")  # S3
        return Disposition(log or relay, log, relay, "250 2.0.0 OK" if log or relay else REFUSED)


class Model:
    """The policy that documents, `relay_hosts`, listeners and a dialect make."""

    def __init__(
        self,
        documents: Sequence[Document],
        relay_hosts: Sequence[str] = ("127.0.0.1", "::1"),
        listeners: Sequence[tuple[object, Sequence[str] | None]] = (),
        dialect: Dialect = "documented",
    ) -> None:
        """Settle the canonical forms of everything that has one (1, 2.8, 4.1)."""
        self.tables = merged(documents)
        self.relay_hosts = relay_hosts
        self.listeners = [(canonical_listener(listen), blocks) for listen, blocks in listeners]
        self.dialect: Dialect = dialect
        if len({listen for listen, _ in self.listeners}) < len(self.listeners):
            raise ValueError("a listener is listed twice")  # 4.1

    def entry(self, listener: str, name: str | None) -> tuple[str, str] | None:
        """Return listener and pattern of the entry that governs a canonical name (2.5)."""
        if name is None:  # 1.2: what is not valid is governed by no entry, not even `*`
            return None
        for asked in (listener, "*"):
            pattern = governs(self.tables.get(asked, {}), name, self.dialect)
            if pattern is not None:
                return asked, pattern
        is_asked_last = self.dialect == "kumomta" and "*" in self.tables["*"]
        return ("*", "*") if is_asked_last else None

    def relay_hosts_of(self, listener: str) -> Sequence[str]:
        """Return the `relay_hosts` that hold at a canonical listener (4.1)."""
        asked = [listener]
        if is_written_as_address(listener):
            port = listener.rpartition(":")[2]
            wildcards = [f"0.0.0.0:{port}", f"[::]:{port}"]
            asked += wildcards[1:] if listener.startswith("[") else wildcards
        stated = [blocks for key in asked for listen, blocks in self.listeners if listen == key]
        return next((blocks for blocks in stated if blocks is not None), self.relay_hosts)

    def decide(self, listener: object, peer: object, domain: str, auth: str | None) -> Answer:
        """Answer about one domain (4.2)."""
        return self.answer(listener, peer, canonical_domain(domain), auth)

    def answer(self, listener: object, peer: object, name: str | None, auth: str | None) -> Answer:
        """Answer about one canonical name, None standing for all that are not valid (4.2)."""
        listener, address = canonical_listener(listener), peer_address(peer)
        entry = self.entry(listener, name)
        written = Options() if entry is None else self.tables[entry[0]][entry[1]]  # 2.6
        return Answer(
            relay_hosts=in_blocks(address, self.relay_hosts_of(listener)),
            relay_from=in_blocks(address, written.get("relay_from", [])),
            relay_from_authz=auth is not None and auth in written.get("relay_from_authz", []),
            relay_to=written.get("relay_to", False),
            log_oob=log_report(written.get("log_oob", False), self.dialect),
            log_arf=log_report(written.get("log_arf", False), self.dialect),
            entry=entry,
        )

    def decide_rcpt(
        self, listener: object, peer: object, sender: str, recipient: str, auth: str | None
    ) -> RcptAnswer:
        """Answer about one recipient (4.3, 4.5)."""
        of_sender = self.answer(listener, peer, envelope_domain(sender), auth)
        of_recipient = self.answer(listener, peer, envelope_domain(recipient), auth)
        log_oob, log_arf = of_recipient.log_oob, of_recipient.log_arf
        if of_recipient.relay_hosts and self.dialect == "documented":  # S4
            log_oob, log_arf = "Ignore", "Ignore"
        relay = (
            of_recipient.relay_hosts
            or of_sender.relay_from
            or of_sender.relay_from_authz
            or of_recipient.relay_to
        )
        accept = relay or log_oob != "Ignore" or log_arf != "Ignore"
        grounds: list[tuple[Reason, bool]] = [
            ("RELAY_HOSTS", of_recipient.relay_hosts),
            ("RELAY_FROM", of_sender.relay_from),
            ("RELAY_FROM_AUTHZ", of_sender.relay_from_authz),
            ("RELAY_TO", of_recipient.relay_to),
            ("LOG_ARF", log_arf != "Ignore"),
            ("LOG_OOB", log_oob != "Ignore"),
            ("DENIED", True),
        ]
        reason: Reason = next(reason for reason, holds in grounds if holds)
        reply = "250 2.1.5 OK" if accept else REFUSED
        return RcptAnswer(accept, relay, log_oob, log_arf, reason, reply, self.dialect)
