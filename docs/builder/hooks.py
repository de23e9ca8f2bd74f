"""What the builder of the site does besides building: links for the site, and nothing from outside.

The pages are written for the forge too. There a link may lead out of `docs/`, a block may be marked
for tests, and nothing knows that a number in parentheses is a rule. What is wrong is a warning, and
`--strict` makes it an error.
"""

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).resolve().parent.parent
RULES_PAGE: Final = "specification"

log = logging.getLogger("mkdocs.hooks.listener_policy")  # `--strict` counts what mkdocs warns of

_VERBATIM: Final = re.compile(
    r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)$"  # code
    r"|^#[^\n]*$"  # headings, whose anchors go by their text
    r"|(?P<ticks>`+).*?(?P=ticks)"
    r"|!?\[(?:[^\]`]|`[^`]*`)*\]\([^)\s]*\)",
    re.DOTALL | re.MULTILINE,
)
_LINK: Final = re.compile(r"(?<!!)\[((?:[^\]`]|`[^`]*`)*)\]\((?!https?:)([^)\s#]+)\)")
_NUMBER: Final = r"(?:\d\.\d|S[1-4])"
_CITED: Final = re.compile(
    rf"\brules? {_NUMBER}(?:(?:,| and| to|, and) {_NUMBER})*"
    rf"|\({_NUMBER}(?:(?:,| and| to) {_NUMBER})*\)"
)


def with_rules_linked(text: str, target: str) -> str:
    """Markdown in which the rules that are cited are links; `target` is where the rules are."""

    def linked(found: re.Match[str]) -> str:
        return re.sub(_NUMBER, lambda number: f"[{number[0]}]({target}#rule-{number[0]})", found[0])

    parts: list[str] = []
    end = 0
    for verbatim in _VERBATIM.finditer(text):
        parts += [_CITED.sub(linked, text[end : verbatim.start()]), verbatim[0]]
        end = verbatim.end()
    return "".join([*parts, _CITED.sub(linked, text[end:])])


def with_rules_anchored(text: str) -> str:
    """The specification, in which every rule can be linked to."""
    anchored = re.sub(r"^(\*\*(\d\.\d)\*\*)(?= )", r"\1{ #rule-\2 }", text, flags=re.MULTILINE)
    return re.sub(r"^\| (\*\*(S\d)\*\*)(?= )", r"| \1{ #rule-\2 }", anchored, flags=re.MULTILINE)


def without_links_outside(text: str) -> str:
    """Markdown in which what is not on the site is named, and no longer linked to.

    Not on the site are files outside of `docs/`, and folders.
    """

    def named(found: re.Match[str]) -> str:
        target = (DOCS / found[2]).resolve()
        if target.is_relative_to(DOCS) and not target.is_dir():
            return found[0]
        if not target.exists():
            log.warning("a link leads to `%s`, which does not exist", found[2])
        path = target.relative_to(DOCS.parent).as_posix()
        return f"`{path}`" if found[1].startswith("`") else f"{found[1]} (`{path}`)"

    return _LINK.sub(named, text)


class _Sources(HTMLParser):
    """What a browser would load from elsewhere to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at what loads, which a link that is clicked on does not."""
        loads = {"href"} if tag == "link" else {"src", "srcset", "data", "poster", "style"}
        for name, value in attrs:
            if name in loads and re.search(r"(?:^|[\s(,'\"])(?:https?:)?//", value or ""):
                self.outside.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        """Look at the style sheets that are written in the page."""
        if self.lasttag == "style" and re.search(r"(?:@import|url\()[^;)]*//", data):
            self.outside.append("<style>")


def loaded_from_outside(page: str) -> list[str]:
    """What a page in HTML loads from other hosts when it is shown."""
    sources = _Sources()
    sources.feed(page)
    sources.close()
    return sources.outside


def without_marks(text: str) -> str:
    """Markdown in which code is marked by its language and title, and by nothing else.

    `text failed` tells a test which of two it is. To the builder it would be no code at all.
    """
    return re.sub(r"^(`{3,}[\w.]+) \w+$", r"\1", text, flags=re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Prepare a page for the site."""
    is_specification = page.file.name == RULES_PAGE
    if is_specification:
        markdown = with_rules_anchored(markdown)
    target = "" if is_specification else f"{RULES_PAGE}.md"
    return with_rules_linked(without_links_outside(without_marks(markdown)), target)


def on_post_page(output: str, page: Any, **_: object) -> str:
    """Warn of what would be loaded from other hosts."""
    for source in loaded_from_outside(output):
        log.warning("%s loads from outside: %s", page.file.src_uri, source)
    return output


def on_post_build(config: Any, **_: object) -> None:
    """Warn of style sheets that load from other hosts."""
    for sheet in Path(config.site_dir).rglob("*.css"):
        if re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", sheet.read_text("utf-8")):
            log.warning("%s loads from outside", sheet.name)
