"""The pages on the internals agree with the code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGE = REPOSITORY / "trio_realtime"
INTERNALS = REPOSITORY / "docs" / "internals"
PAGES = [*sorted(INTERNALS.glob("*.md")), REPOSITORY / "CONTRIBUTING.md"]
GENERATOR = REPOSITORY / "docs" / "generate_internals.py"

# A file or folder: `core/dispatch.py`, `docs/guides/tools.md`, `wire/`.
PATH = re.compile(r"`([\w.]+(?:/[\w.]+)*(?:\.py|\.md|\.json|\.toml|/))`")


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(GENERATOR))


def test_generated_files_are_up_to_date(generator: dict[str, Any]) -> None:
    for path, expected in generator["generated_files"]().items():
        assert path.read_text(encoding="utf-8") == expected, (
            f"{path.name} differs from the code: run python docs/generate_internals.py"
        )


def test_the_dispatch_page_lists_every_input_of_the_table(generator: dict[str, Any]) -> None:
    conversation = generator["Conversation"]("agent", max_history_audio=1)
    table = generator["dispatch_table"](conversation._components)
    page = (INTERNALS / "dispatch.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", page, re.MULTILINE))
    expected = {
        getattr(kind, "type", kind.__name__): [
            handler.__qualname__
            if hasattr(handler, "__self__")
            else f"forwarded_events.{handler.__name__}"
            for handler in handlers
        ]
        for kind, handlers in table.items()
    }
    assert {name: re.findall(r"`([^`]+)`", cell) for name, cell in rows.items()} == expected


@pytest.mark.parametrize("change", ["state", "route"])
def test_a_diagram_without_a_position_is_an_error(generator: dict[str, Any], change: str) -> None:
    diagram = generator["FUNCTION_CALL"]
    evolve = generator["attrs"].evolve
    if change == "state":
        boxes = [*diagram.boxes.items()]
        broken = evolve(diagram, boxes=dict(boxes[:-1]))
    else:
        broken = evolve(diagram, routes={})
    with pytest.raises(ValueError, match="differ from the code: missing"):
        generator["render"](broken)


def named_paths(page: Path) -> set[str]:
    return set(PATH.findall(page.read_text(encoding="utf-8")))


def exists(path: str) -> bool:
    return (PACKAGE / path).exists() or (REPOSITORY / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_source_files_exist(page: Path) -> None:
    assert {path for path in named_paths(page) if not exists(path)} == set()


def test_the_architecture_page_names_every_package_and_every_module_of_core_and_session() -> None:
    named = named_paths(INTERNALS / "architecture.md")
    expected = {
        *(f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()),
        *(path.name for path in PACKAGE.glob("*.py")),
        *(
            str(path.relative_to(PACKAGE))
            for layer in ("core", "session")
            for path in (PACKAGE / layer).rglob("*.py")
            if path.name != "__init__.py"
        ),
    }
    assert expected - named == set()


def test_the_invariants_are_numbered_from_1_to_13() -> None:
    page = (INTERNALS / "invariants.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE)] == [
        *range(1, 14)
    ]
    assert page.count("- enforced in: ") == page.count("- tests: ") == 13
