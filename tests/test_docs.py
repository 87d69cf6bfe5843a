"""The reference documents each public name under the name that users import."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import trio_realtime

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
ENTRY = re.compile(r"^\.\. (currentmodule|py:module|auto\w+|py:data):: ([\w.]+)", re.MULTILINE)


def documented_names() -> set[str]:
    found: set[str] = set()
    for page in REFERENCE.glob("*.md"):
        module = ""
        for directive, name in ENTRY.findall(page.read_text()):
            if directive in ("currentmodule", "py:module", "automodule"):
                module = name
            else:
                found.add(name if name.startswith("trio_realtime.") else f"{module}.{name}")
    return found


@pytest.mark.parametrize("name", sorted(trio_realtime.__all__))
def test_each_public_name_is_in_the_reference(name: str) -> None:
    # The whole exception tree is on the page of its module. Modules have pages, not entries.
    if name != "RealtimeError" and not isinstance(getattr(trio_realtime, name), ModuleType):
        assert f"trio_realtime.{name}" in documented_names()
