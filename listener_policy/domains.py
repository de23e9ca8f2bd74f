"""Mail domains and the patterns that stand for them (rules 1.4 to 1.7 and 2.2).

A domain has one canonical form, or it is not valid and no entry governs it:

- a name: A-labels, lower case, no trailing dot (`xn--bcher-kva.example`);
- an address literal: `[10.0.0.1]`, `[ipv6:2001:db8::1]`;
- the empty domain `""`, for the null sender and a bare `Postmaster`.

Names arrive from the network, and any string may. Nothing here raises because of what a string
contains, and nothing takes time that grows faster than its length: what is longer than 254 code
points is not looked at, and `idna` is asked about short labels only.
"""

from __future__ import annotations

import re
from encodings import punycode
from typing import Final, cast

from idna import IDNAError, alabel, uts46_remap, uts46data

from listener_policy._display import quoted, shown
from listener_policy._problems import Malformed
from listener_policy.addresses import IPV4_END, IPV4_START, ip_address, parse_address
from listener_policy.errors import RequestError

__all__ = [
    "EVERY_DOMAIN",
    "WILDCARD",
    "canonical_domain",
    "canonical_of_unusual",
    "canonical_pattern",
    "envelope_domain",
    "is_ordinary",
    "is_ordinary_pattern",
    "why_not_valid",
]

_LOADED_EARLY: Final = (punycode, uts46data)
"""idna imports these when it first needs them; but to decide must not mean to import."""

EVERY_DOMAIN: Final = "*"
"""The pattern that governs what no other pattern governs (rule 2.2)."""

WILDCARD: Final = "*."
"""How a pattern for all names below a suffix begins (rule 2.2)."""

_LONGEST_TEXT = 254
_LONGEST_NAME = 253
_LONGEST_SUFFIX = _LONGEST_NAME - len("a.")
_LONGEST_LABEL = 63
_LONGEST_U_LABEL = _LONGEST_LABEL - len("xn--")
"""An A-label is `xn--` and at least one octet for each code point of the U-label."""

_NAME = re.compile(r"[a-z0-9_]++(?:(?:\.|-++)[a-z0-9_]++)*+")
"""Labels of any length. Possessive: nothing is tried twice, so that it takes linear time."""
is_ordinary: Final = _NAME.fullmatch
"""Whether a text of at most 63 characters is canonical as it is: a name, and no literal."""
_CHARACTERS = re.compile(r"[a-z0-9_.-]++")
_SHORT_LABELS = re.compile(r"(?:.{0,63}\.)*+.{1,63}")
"""From dot to dot, each time as far as there is one within reach: few steps, not one a label."""
_LITERAL = re.compile(r"\[(?:(?P<ipv4>[0-9.]+)|(?i:ipv6):(?P<ipv6>[0-9a-fA-F:.]+))\]")


def canonical_domain(domain: str) -> str | None:
    """The canonical form of a mail domain, or `None` if it is not valid (rule 1.4).

    Route on this form, so that the name that is routed is the name that was decided about.
    Raises `RequestError` if `domain` is no `str`, and for nothing else.

    >>> canonical_domain("Bücher.Example.")
    'xn--bcher-kva.example'
    >>> canonical_domain("[IPv6:::ffff:10.0.0.1]")
    '[10.0.0.1]'
    >>> canonical_domain("exam ple.com") is None
    True
    """
    if type(domain) is str and len(domain) <= _LONGEST_LABEL and _NAME.fullmatch(domain):
        return domain  # as nearly all are
    return canonical_of_unusual(_text("domain", domain))


def canonical_of_unusual(domain: str) -> str | None:
    """The same for a plain `str` that need not be tried for being canonical as it is."""
    if len(domain) > _LONGEST_TEXT:
        return None
    name = domain.lower() if domain.isascii() else _a_labels(domain)
    if name is None:
        return None
    if name[-1:] == ".":
        name = name[:-1]
    if len(name) > _LONGEST_LABEL:
        return name if _is_long_name(name) else None
    if is_ordinary(name):
        return name
    if domain[:1] == "[":
        return _canonical_literal(domain)
    return None if domain else ""


def envelope_domain(address: str) -> str | None:
    """The canonical domain of an envelope address, or `None` if it has no valid one (rule 1.7).

    `""` is the domain of the null sender, `<>`, and of a bare `Postmaster`. Raises `RequestError`
    if `address` is no `str`.

    >>> envelope_domain("<Ann@Example.COM>")
    'example.com'
    >>> envelope_domain("<>")
    ''
    >>> envelope_domain("example.com") is None
    True
    """
    address = _text("address", address)
    if len(address) > 1 and address[0] == "<" and address[-1] == ">":
        address = address[1:-1]
    if not address:
        return ""
    _, at, domain = address.rpartition("@")
    if not at:
        bare_postmaster = len(address) == len("postmaster") and address.lower() == "postmaster"
        return "" if bare_postmaster else None
    return canonical_domain(domain) if domain else None


def why_not_valid(domain: str) -> str | None:
    """What rule 1.4 says that a mail domain does not meet, or `None` if it is valid.

    Raises `RequestError` if `domain` is no `str`.
    """
    if canonical_domain(domain) is not None:
        return None
    if len(domain) > _LONGEST_TEXT:
        return f"at most {_LONGEST_TEXT} characters"
    why = _why_not(domain)
    return "no `*`, which is for patterns" if why == _NO_MAPPED_STAR else why


is_ordinary_pattern: Final = re.compile(
    r"(?=.{1,63}\Z)(?:\*\.)?+[a-z0-9_]++(?:[.-][a-z0-9_]++)*+"
).fullmatch
"""Whether a key is certainly in canonical form. Most are, and this tells it in a fifth of a
microsecond; of those it passes over (long ones, `xn--`), `canonical_pattern` knows the form."""


def canonical_pattern(key: str) -> str:
    """The canonical form of a key of the configuration (rules 1.5 and 2.2).

    An exact name or literal in canonical form, `*.suffix` with the suffix in canonical form, or
    `*`. Raises `Malformed` with the reason for anything else.
    """
    if key == EVERY_DOMAIN or is_ordinary_pattern(key):
        return key
    if len(key) > _LONGEST_TEXT:
        raise Malformed(f"at most {_LONGEST_TEXT} characters", quoted(key))
    wildcard = key.startswith(WILDCARD)
    name = key[len(WILDCARD) :] if wildcard else key
    if "*" in name:
        raise Malformed(
            "a domain, `*.` before a domain, or `*`; any other `*` matches nothing",
            quoted(key),
            _nearest_wildcard(key),
        )
    canonical = canonical_domain(name)
    if not canonical:
        raise Malformed(f"a domain: {_why_not(name)}", quoted(key), _nearest_pattern(key))
    if wildcard and canonical[0] == "[":
        raise Malformed(
            "a domain behind `*.`: an address literal has no subdomains",
            quoted(key),
            f"did you mean {quoted(canonical)}?",
        )
    if wildcard and len(canonical) > _LONGEST_SUFFIX:
        raise Malformed(
            f"at most {_LONGEST_SUFFIX} octets behind `*.`: no longer name can have a subdomain",
            quoted(key),
        )
    return WILDCARD + canonical if wildcard else canonical


def _text(what: str, value: str) -> str:
    """`value` as a plain `str`: a subclass may have another idea of equality and hash."""
    if type(value) is str:
        return value
    if isinstance(cast("object", value), str):
        return str.__str__(value)
    raise RequestError(f"{what}: expected a string, found `{shown(value)}`")


def _is_long_name(name: str) -> bool:
    """Whether a text, in lower case and without the dot at its end, is a name (rule 1.4).

    A long name may have so many labels that to match each takes longer than all the rest of a
    decision. To look for what no name has takes a third of that.
    """
    return (
        len(name) <= _LONGEST_NAME
        and _CHARACTERS.fullmatch(name) is not None
        and ".." not in name
        and ("-" not in name or (".-" not in name and "-." not in name))
        and name[0] not in ".-"
        and name[-1] not in ".-"
        and _SHORT_LABELS.fullmatch(name) is not None
    )


def _a_labels(domain: str) -> str | None:
    """A name that is not ASCII, mapped, with A-labels (rule 1.4), or `None` if idna refuses it."""
    try:
        mapped = uts46_remap(domain, std3_rules=False, transitional=False)
        return ".".join(
            label if label.isascii() else _a_label(label) for label in mapped.split(".")
        )
    except UnicodeError:  # IDNAError is one, and so is what a codec raises
        return None


def _a_label(label: str) -> str:
    if len(label) > _LONGEST_U_LABEL:
        raise IDNAError("label too long")
    return alabel(label).decode("ascii")


def _canonical_literal(domain: str) -> str | None:
    literal = _LITERAL.fullmatch(domain)
    address = literal and parse_address(literal["ipv4"] or literal["ipv6"])
    if literal is None or address is None or (literal["ipv6"] and ":" not in literal["ipv6"]):
        return None
    ip = ip_address(address)
    return f"[{ip}]" if IPV4_START <= address < IPV4_END else f"[ipv6:{ip}]"


_NO_MAPPED_STAR: Final = "a `*` must be written in ASCII"


def _why_not(name: str) -> str:
    """Why a name, which has no canonical form or an empty one, is not valid; for messages."""
    if not name:
        return "the empty domain has no entry of its own, `*` governs it"
    if name[0] == "[":
        return "a literal is `[ipv4]` or `[IPv6:ipv6]`, without a zone"
    mapped = name.lower() if name.isascii() else _a_labels(name)
    if mapped is None:
        return "each label that is not ASCII must be a valid U-label of IDNA 2008"
    mapped = mapped.removesuffix(".")
    if len(mapped) > _LONGEST_NAME:
        return f"at most {_LONGEST_NAME} octets"
    if "*" in mapped:
        return _NO_MAPPED_STAR
    labels = mapped.split(".")
    if "" in labels:
        return "no label is empty"
    if any(len(label) > _LONGEST_LABEL for label in labels):
        return f"each label has at most {_LONGEST_LABEL} octets"
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        return "no label begins or ends with a hyphen"
    return "letters, digits, `_` and `-` only"


def _nearest_wildcard(key: str) -> str | None:
    """What was probably meant by `*example.com` or `*.*.example.com`."""
    suffix = canonical_domain(key.lstrip("*."))
    if key[0] != "*" or not suffix or suffix[0] == "[":
        return None
    return f"did you mean {quoted(WILDCARD + suffix)}?"


def _nearest_pattern(key: str) -> str | None:
    """What was probably meant by a key that is no domain."""
    if key in ("", WILDCARD):
        return f"did you mean `{EVERY_DOMAIN}`?"
    candidate = key.strip().strip(".").rpartition("@")[2]
    if candidate in ("", key):
        return None
    try:
        return f"did you mean {quoted(canonical_pattern(candidate))}?"
    except Malformed:
        return None
