"""Every test of this folder is marked `end_to_end`: it talks to real mail servers."""

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # of the whole run, wherever this file stands
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)
