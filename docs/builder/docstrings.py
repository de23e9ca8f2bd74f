"""How the package's docstrings are read when the site is built.

They are prose. A line that begins with the name of an argument or of an attribute and a colon is a
point of a list here, and the rules that are cited are links.
"""

import re
import sys
from pathlib import Path
from typing import Any, Final

import griffe

sys.path.insert(0, str(Path(__file__).parent))

from hooks import RULES_PAGE, with_rules_linked

_POINT: Final = re.compile(r"^(\*?[a-z][a-z_]*): (?=\S)")
_SESSION: Final = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


def shown(docstring: str) -> str:
    """A docstring as Markdown."""
    lines: list[str] = []
    for number, line in enumerate(_SESSION.sub(r"```pycon\n\g<0>\n```", docstring).split("\n")):
        point = _POINT.sub(r"- `\1`: ", line) if number else line
        if point != line and lines[-1] and not lines[-1].startswith(("- ", "    ")):
            lines.append("")  # Markdown wants one before a list
        lines.append(point)
    return with_rules_linked("\n".join(lines), f"{RULES_PAGE}.md")


class Docstrings(griffe.Extension):
    """Makes docstrings Markdown, and `__new__` the way in which an object is made."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Show the arguments of a class that is made in `__new__`."""
        made = cls.members.get("__new__")
        if isinstance(made, griffe.Function) and "__init__" not in cls.members:
            shown_instead = griffe.Function("__init__", parameters=made.parameters)
            cls.set_member("__init__", shown_instead)
