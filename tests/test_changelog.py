"""The form of the changelog: what changes decisions stands apart, and the newest comes first."""

import datetime as dt
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from packaging.version import Version

from listener_policy import __version__

PAGE: Final = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
RULE: Final = re.compile(r"\(rule \d\.\d+\)|\(S[1-4]\)")
SECTIONS: Final = (*(f"Decisions {kind.lower()}" for kind in KINDS), *KINDS)
"""In this order; those of decisions name a rule."""
UNRELEASED: Final = "Unreleased"


def problems_of(page: str) -> list[str]:
    """What is wrong with the form of a changelog."""
    introduction, *versions = re.split(r"^## ", page, flags=re.MULTILINE)
    problems = [] if introduction.startswith("# Changelog\n\n") else ["no title"]
    headings = [version.partition("\n")[0] for version in versions]
    if headings[:1] != [f"[{UNRELEASED}]"]:
        problems.append("what is unreleased is not on top")
    problems += problems_of_headings(headings[1:])
    for version in versions:
        heading, _, text = version.partition("\n")
        problems += [f"{heading}: {problem}" for problem in problems_of_sections(text)]
    # a link to a comparison of versions is written at the end, for all of them or for none
    defined = re.findall(r"^\[(.*?)\]: https://\S+$", page, re.MULTILINE)
    known = [re.findall(r"\[(.*?)\]", heading)[:1] for heading in headings]
    if defined and [[name] for name in defined] != known:
        problems.append("links that are not those of the versions, in their order")
    return problems


def problems_of_headings(headings: list[str]) -> list[str]:
    problems: list[str] = []
    released: list[tuple[Version, dt.date]] = []
    for heading in headings:
        match = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading)
        if match is None:
            problems.append(f"{heading}: not a version and a day")
        else:
            released.append((Version(match[1]), dt.date.fromisoformat(match[2])))
    numbers = [number for number, _ in released]
    if any(later <= earlier for later, earlier in pairwise(numbers)):
        problems.append("versions do not descend")
    days = [day for _, day in released]
    if days != sorted(days, reverse=True):
        problems.append("days do not descend")
    return problems


def problems_of_sections(text: str) -> list[str]:
    before, *sections = re.split(r"^### ", text, flags=re.MULTILINE)
    problems = ["text before the first section"] if before.strip() else []
    titles = [section.partition("\n")[0] for section in sections]
    if set(titles) - set(SECTIONS):
        problems.append(f"not the title of a section: {set(titles) - set(SECTIONS)}")
    elif titles != sorted(set(titles), key=SECTIONS.index):
        problems.append("sections that are not in order, or there twice")
    for title, section in zip(titles, sections, strict=True):
        body = re.sub(r"^\[.*?\]: .*\n", "", section.partition("\n")[2], flags=re.MULTILINE)
        if not re.fullmatch(r"\n(- \S.*\n(  \S.*\n)*)+\n?", body):
            problems.append(f"{title}: not a list")
        for entry in re.split(r"^- ", body, flags=re.MULTILINE)[1:]:
            if not entry.rstrip().endswith("."):
                problems.append(f"{title}: no sentence: {entry!r}")
            if title.startswith("Decisions") and not re.search(
                r"\(rule \d\.\d+\)|\(S[1-4]\)", entry
            ):
                problems.append(f"{title}: no rule: {entry!r}")
    return problems


def test_the_changelog_has_its_form() -> None:
    assert problems_of(PAGE) == []


def test_a_version_that_is_released_is_in_the_changelog() -> None:
    newest = re.findall(r"^## \[(\d.*?)\]", PAGE, re.MULTILINE)[:1]
    version = Version(__version__)
    if version.is_devrelease:
        assert all(Version(number) < version for number in newest)
    else:
        assert newest == [__version__]


def test_the_introduction_names_every_section() -> None:
    introduction = PAGE.partition("## ")[0]
    named = re.findall(r"`(.+?)`", introduction)
    assert [name for name in named if name not in SECTIONS] == []
    assert set(KINDS) <= set(named)


FORM: Final = """# Changelog

Words.

## [Unreleased]

### Decisions fixed

- What was wrong is right (rule 2.3).

### Added

- Something with a long
  description.

## [0.2.0] - 2030-02-01

## [0.1.0] - 2030-01-01

### Added

- All of it.
"""
LINKS: Final = "".join(
    f"\n[{name}]: https://example.com/{name}" for name in (UNRELEASED, "0.2.0", "0.1.0")
)


@pytest.mark.parametrize("page", [FORM, f"{FORM}{LINKS}\n"])
def test_what_has_the_form_passes(page: str) -> None:
    assert problems_of(page) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("# Changelog", "# History", "no title"),
        ("## [Unreleased]\n", "", "not on top"),
        ("[0.2.0]", "0.2.0", "0.2.0 - 2030-02-01: not a version and a day"),
        ("2030-02-01", "February", "not a version and a day"),
        ("[0.2.0]", "[0.0.9]", "versions do not descend"),
        ("[0.2.0]", "[0.1.0]", "versions do not descend"),
        ("2030-02-01", "2029-02-01", "days do not descend"),
        ("## [Unreleased]\n", "## [Unreleased]\n\nText.\n", "text before the first section"),
        ("### Added", "### New", "not the title of a section"),
        ("### Decisions fixed", "### Fixed", "sections that are not in order"),
        ("### Decisions fixed", "### Added", "sections that are not in order"),
        ("- All of it.", "All of it.", "[0.1.0] - 2030-01-01: Added: not a list"),
        ("- All of it.\n", "", "Added: not a list"),
        ("- All of it.", "- All of it", "no sentence"),
        (" (rule 2.3)", "", "[Unreleased]: Decisions fixed: no rule"),
        ("- All of it.\n", "- All of it.\n\n[0.2.0]: https://example.com/\n", "links"),
    ],
)
def test_what_has_another_form_is_told(old: str, new: str, problem: str) -> None:
    assert old in FORM
    assert [told for told in problems_of(FORM.replace(old, new)) if problem in told]
