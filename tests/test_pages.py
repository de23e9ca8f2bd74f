"""The pages in docs/: followed from top to bottom, found on the site, and none is forgotten."""

import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import jsonschema
import pytest
import tomli
from pages import DOCS, ROOT, Reader, blocks_of

import listener_policy
from listener_policy import PolicyConfig, analysis, messages, reports, strategies
from listener_policy.adapters import aiosmtpd, postfix

FOLLOWED: Final[dict[str, dict[str, int]]] = {
    "command-line.md": {"console": 10, "file": 4},
    "index.md": {"console": 2, "file": 2},
    "move-from-kumomta.md": {"console": 4, "file": 3},
    "reload.md": {"console": 1, "python": 3},
    "toml-format.md": {"console": 5, "file": 6},
    "tutorial.md": {"console": 19, "file": 10, "text": 5},
    "why.md": {"pycon": 5},
}
"""The pages that tests follow, and how many blocks there are of each kind: none can get lost."""
PORTS: Final = {"tutorial.md": ("2525", "2587")}
PAGES: Final = sorted(page.name for page in DOCS.glob("*.md"))
SCHEMA: Final[Any] = jsonschema.Draft202012Validator(
    cast("dict[str, Any]", PolicyConfig.json_schema())
)
MODULES: Final = (
    *(listener_policy, analysis, strategies, reports, messages),
    *(aiosmtpd, postfix),
)


@pytest.mark.parametrize("page", FOLLOWED)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    blocks = blocks_of(DOCS / page)
    kinds = Counter("file" if block.title else block.language for block in blocks)
    assert kinds == FOLLOWED[page]
    with Reader(tmp_path, *PORTS.get(page, ())) as reader:
        for block in blocks:
            reader.follow(block)


def test_every_page_with_code_has_a_test() -> None:
    tests = "".join(
        test.read_text(encoding="utf-8") for test in (ROOT / "tests").rglob("test_*.py")
    )
    pages = {page for page in PAGES if blocks_of(DOCS / page)}
    assert len(pages) > 10
    # a page with nothing but sessions needs no test of its own: `test_docs.py` finds it
    others = {
        page for page in pages if {block.language for block in blocks_of(DOCS / page)} != {"pycon"}
    }
    assert {page for page in others if f'"{page}"' not in tests} <= {"specification.md"}


def test_the_navigation_has_every_page_once() -> None:
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = configuration[configuration.index("\nnav:") : configuration.index("\nexclude_docs:")]
    assert sorted(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https:)([^)\s#]+)", text)
    assert [link for link in links if not (DOCS / link).exists()] == []


@pytest.mark.parametrize("module", MODULES, ids=[module.__name__ for module in MODULES])
def test_every_public_name_is_in_the_reference_once(module: ModuleType) -> None:
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("api*.md")]
    shown = re.findall(rf"^::: {re.escape(module.__name__)}\.(\w+)$", "".join(pages), re.MULTILINE)
    others = {name.rpartition(".")[2] for name in (one.__name__ for one in MODULES)}
    names = [name for name in shown if name not in others | {"adapters"}]
    assert sorted(names) == sorted(module.__all__)


def test_the_schema_takes_what_the_loader_takes() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)
    documents = [
        (DOCS / "examples" / "listener_domains.toml").read_text(encoding="utf-8"),
        *(
            block.code
            for page in PAGES
            for block in blocks_of(DOCS / page)
            if block.language == "toml" and block.title in {None, "listener_domains.toml"}
        ),
    ]
    accepted = 0
    for text in documents:
        document = tomli.loads(text)
        if "expect" not in document:
            PolicyConfig.from_toml(text)
            assert list(SCHEMA.iter_errors(document)) == [], text
            accepted += 1
    assert accepted > 40


@pytest.mark.parametrize(
    "entry",
    ["relay_too = true", "relay_to = 1", 'relay_from = "any"', 'log_oob = "Ignor"'],
)
def test_the_schema_marks_what_the_page_says(entry: str) -> None:
    document = tomli.loads(f'["example.com"]\n{entry}\n')
    assert not SCHEMA.is_valid(document)


def test_what_the_schema_leaves_to_the_loader() -> None:
    text = '["example.com"]\nrelay_from = ["10.0.0.1/24"]\n'
    assert SCHEMA.is_valid(tomli.loads(text))
    with pytest.raises(listener_policy.ConfigError):
        PolicyConfig.from_toml(text)
