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


PACKAGE = REFERENCE.parent.parent / "trio_realtime"
# The first is an implementation detail, the second a command.
WITHOUT_PAGE = {"core", "cli"}
PUBLIC_MODULES = {
    path.stem for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/")) if path.stem[0] not in "_."
} - WITHOUT_PAGE


@pytest.mark.parametrize("module", sorted(PUBLIC_MODULES))
def test_each_public_module_has_a_page_in_the_reference(module: str) -> None:
    texts = [page.read_text() for page in REFERENCE.glob("*.md")]
    assert any(
        re.search(rf"^\.\. (?:auto|py:)module:: trio_realtime\.{module}$", text, re.MULTILINE)
        for text in texts
    )


@pytest.mark.parametrize("name", sorted(trio_realtime.__all__))
def test_each_public_name_is_in_the_reference(name: str) -> None:
    # The whole exception tree is on the page of its module. Modules have pages, not entries.
    if name != "RealtimeError" and not isinstance(getattr(trio_realtime, name), ModuleType):
        assert f"trio_realtime.{name}" in documented_names()
