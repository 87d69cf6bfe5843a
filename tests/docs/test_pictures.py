"""The pictures are what their scripts draw, and no text is cut."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SCRIPTS = ("draw_diagrams.py", "draw_call.py")


@pytest.fixture(scope="module", params=SCRIPTS)
def files(request: pytest.FixtureRequest) -> dict[Path, str]:
    script: dict[str, Any] = runpy.run_path(str(DOCS / request.param))
    drawn: dict[Path, str] = script["generated_files"]()
    return drawn


def test_the_pictures_are_up_to_date(files: dict[Path, str]) -> None:
    for path, content in files.items():
        assert path.read_text(encoding="utf-8") == content, (
            f"{path.name} is out of date: run the scripts {SCRIPTS} in docs/"
        )


def test_the_pictures_are_xml_with_a_title(files: dict[Path, str]) -> None:
    for content in files.values():
        root = ET.fromstring(content)
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert title.text


def test_each_picture_is_shown_on_a_page(files: dict[Path, str]) -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [path.name for path in files if f"images/{path.name})" not in text] == []


def test_the_call_of_the_readme_shows_an_interruption() -> None:
    picture = (DOCS / "images" / "call.svg").read_text(encoding="utf-8")
    for text in ("get_weather", "search_archive, cancelled", "its answer is truncated at 10"):
        assert text in picture


def test_text_that_would_be_cut_is_an_error() -> None:
    drawing = runpy.run_path(str(DOCS / "svg.py"))["Drawing"]("a picture", 100, 100)
    drawing.text(10, 20, "short")
    with pytest.raises(ValueError, match="does not fit into the picture"):
        drawing.text(80, 20, "longer")
    with pytest.raises(ValueError, match="does not fit into a rectangle"):
        drawing.box(10, 10, 30, 30, "box", "longer")
