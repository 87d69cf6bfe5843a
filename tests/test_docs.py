"""The reference has an entry for each public name, under the name that it is imported by."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import trio_realtime

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
ENTRY = re.compile(r"^\.\. (currentmodule|py:module|auto\w+|py:data):: ([\w.]+)", re.MULTILINE)


def entries() -> set[str]:
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
def test_each_public_name_has_an_entry(name: str) -> None:
    # The tree of errors stands together, on the page of its module; modules are pages.
    if name != "RealtimeError" and not isinstance(getattr(trio_realtime, name), ModuleType):
        assert f"trio_realtime.{name}" in entries()
