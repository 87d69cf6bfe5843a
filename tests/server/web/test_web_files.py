"""The files of the page: complete, without inline code and foreign addresses, and accessible."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from trio_realtime.server import web
from trio_realtime.server.web import static_files

FILES = static_files()
TEXTS = {name: file.content.decode() for name, file in FILES.items()}
SCRIPTS = {name: text for name, text in TEXTS.items() if name.endswith(".js")}
STYLE = TEXTS["style.css"]
VOID = {"input", "link", "meta", "path", "rect"}


class Element:
    """An element of the page.

    Attributes:
        text: the text in it, without that of hidden elements.
    """

    def __init__(self, tag: str, attributes: dict[str, str | None], parent: Element | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.text = ""


class Page(HTMLParser):
    """The elements of the page, in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data.strip()

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def by_id(self, name: str) -> Element:
        (found,) = [e for e in self.elements if e.attributes.get("id") == name]
        return found


PAGE = Page(TEXTS["index.html"])
IDS = {e.attributes["id"] for e in PAGE.elements if "id" in e.attributes}


# --- the files -----------------------------------------------------------------------------------


def test_every_file_of_the_directory_is_served() -> None:
    directory = Path(web.__file__).with_name("static")
    assert {path.name for path in directory.iterdir()} == set(FILES)


def test_files_have_types_and_tags_of_their_content() -> None:
    types = {name.rpartition(".")[2]: file.content_type for name, file in FILES.items()}
    assert types == {
        "css": "text/css; charset=utf-8",
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
    assert len({file.etag for file in FILES.values()}) == len(FILES)
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', file.etag) for file in FILES.values())


def test_the_files_are_read_once_and_cannot_be_changed() -> None:
    assert static_files() is FILES
    with pytest.raises(TypeError):
        FILES["index.html"] = FILES["app.js"]  # type: ignore[index]


def test_every_file_that_the_page_names_exists() -> None:
    named = {
        value
        for element in PAGE.elements
        for key in ("src", "href")
        if (value := element.attributes.get(key)) is not None and not value.startswith("#")
    }
    assert named == {"app.js", "style.css", "icon.svg"}
    assert named <= set(FILES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_imported_module_exists(name: str) -> None:
    imported = set(re.findall(r"""(?:from|import\()\s*["']\./([^"']+)["']""", SCRIPTS[name]))
    assert imported <= set(FILES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_imported_name_is_exported(name: str) -> None:
    for names, module in re.findall(
        r'^import \{([^}]+)\} from "\./([^"]+)";', SCRIPTS[name], re.MULTILINE
    ):
        for imported in filter(None, map(str.strip, names.split(","))):
            assert re.search(
                rf"^export (?:async )?(?:function|class|const) {imported}\b",
                SCRIPTS[module],
                re.MULTILINE,
            ), f"{imported} of {module}"


def test_worklets_import_no_module_that_needs_the_page() -> None:
    reached = {"capture-worklet.js", "playback-worklet.js"}
    while True:
        found = {m for name in reached for m in re.findall(r'from "\./([^"]+)"', SCRIPTS[name])}
        if found <= reached:
            break
        reached |= found
    for name in reached:
        assert not re.search(r"\b(window|document|navigator|fetch|performance)\b", SCRIPTS[name])


def test_every_module_is_used() -> None:
    imported = {m for text in SCRIPTS.values() for m in re.findall(r'\./([\w-]+\.js)"', text)}
    assert set(SCRIPTS) - imported == {"app.js", "capture-worklet.js", "playback-worklet.js"}
    assert "playback-worklet.js" in SCRIPTS["app.js"]
    assert "capture-worklet.js" in SCRIPTS["app.js"]


# --- the Content-Security-Policy -----------------------------------------------------------------


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name, text in TEXTS.items():
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert "data:" not in re.sub(r"[\w{,(] ?data: ", "", text) or name.endswith(".js")
    assert not re.search(r"@import|url\(", STYLE)


def test_the_page_has_no_inline_scripts_and_styles() -> None:
    assert not [e for e in PAGE.all("style") if e.text]
    assert all(element.text == "" for element in PAGE.all("script"))
    for element in PAGE.elements:
        inline = [key for key in element.attributes if key == "style" or key.startswith("on")]
        assert not inline, element.tag


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_of_the_server_is_never_parsed_as_html(name: str) -> None:
    dangerous = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        r"|DOMParser|srcdoc|setAttribute\(\"(?:style|on)|javascript:"
    )
    assert not re.search(dangerous, SCRIPTS[name])


# --- ids -----------------------------------------------------------------------------------------


def test_ids_are_unique() -> None:
    ids = [e.attributes["id"] for e in PAGE.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def test_every_id_that_the_script_uses_exists() -> None:
    used = set(re.findall(r'\belement\("([^"]+)"\)', SCRIPTS["app.js"]))
    assert len(used) > 20
    assert used <= IDS


def test_every_reference_of_the_page_exists() -> None:
    for element in PAGE.elements:
        for key in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            value = element.attributes.get(key)
            assert value is None or set(value.split()) <= IDS
        link = element.attributes.get("href") or ""
        assert not link.startswith("#") or link[1:] in IDS


# --- accessibility --------------------------------------------------------------------------------


def test_the_page_has_a_language_a_title_and_may_be_zoomed() -> None:
    (html,) = PAGE.all("html")
    assert html.attributes["lang"] == "en"
    (title,) = PAGE.all("title")
    assert title.text
    (viewport,) = [e for e in PAGE.all("meta") if e.attributes.get("name") == "viewport"]
    assert "user-scalable" not in (viewport.attributes["content"] or "")
    assert "maximum-scale" not in (viewport.attributes["content"] or "")


def test_the_page_has_landmarks_and_headings_without_gaps() -> None:
    assert len(PAGE.all("main")) == len(PAGE.all("header")) == len(PAGE.all("h1")) == 1
    levels = [int(e.tag[1]) for e in PAGE.all("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_control_has_a_name() -> None:
    labels = {e.attributes.get("for"): e.text for e in PAGE.all("label")}
    for element in PAGE.all("input", "select", "textarea"):
        assert labels.get(element.attributes["id"]), element.attributes["id"]
    for button in PAGE.all("button"):
        assert button.text or button.attributes.get("aria-label"), button.attributes["id"]
        assert button.attributes.get("type") in ("button", "submit")


def test_the_keyboard_order_is_that_of_the_page() -> None:
    indices = [e.attributes["tabindex"] for e in PAGE.elements if "tabindex" in e.attributes]
    assert set(indices) <= {"0", "-1"}
    first = PAGE.all("a")[0]
    assert first.attributes["class"] == "skip-link"


def test_pictures_are_hidden_from_screen_readers() -> None:
    assert all(e.attributes.get("aria-hidden") == "true" for e in PAGE.all("svg"))
    assert not PAGE.all("img")


def test_the_transcript_is_announced_politely_and_errors_at_once() -> None:
    transcript = PAGE.by_id("scroller").attributes
    assert transcript["role"] == "log"
    assert transcript["aria-live"] == "polite"
    assert transcript["tabindex"] == "0"
    assert PAGE.by_id("alert-text").attributes["aria-live"] == "assertive"
    assert PAGE.by_id("connection").attributes["role"] == "status"
    assert "aria-busy" in SCRIPTS["transcript-view.js"]


def test_motion_can_be_reduced_and_focus_is_visible() -> None:
    assert "prefers-reduced-motion: reduce" in STYLE
    assert re.search(r":focus-visible \{\s*outline: 3px", STYLE)
    assert "outline: none" not in STYLE
    assert "outline: 0" not in STYLE


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes() -> list[dict[str, str]]:
    blocks = re.findall(r":root \{([^}]+)\}", STYLE)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]


TEXT_PAIRS = [
    *(
        (text, ground)
        for text in ("text", "muted")
        for ground in ("background", "surface", "surface-2", "tint")
    ),
    *(
        (text, ground)
        for text in ("accent", "good", "caution", "bad")
        for ground in ("background", "surface")
    ),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("caution", "caution-tint"),
    ("text", "caution-tint"),
    ("bad", "bad-tint"),
]
"""Text and what it is written on: at least 4.5 (WCAG 1.4.3)."""

SHAPE_PAIRS = [
    *(
        (shape, ground)
        for shape in ("control-line", "accent")
        for ground in ("background", "surface")
    ),
]
"""Borders of controls and focus outlines: at least 3 (WCAG 1.4.11)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_have_enough_contrast(scheme: str) -> None:
    light, dark = palettes()
    colors = light if scheme == "light" else dark
    assert set(light) == set(dark)
    for text, ground in TEXT_PAIRS:
        assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for shape, ground in SHAPE_PAIRS:
        assert contrast(colors[shape], colors[ground]) >= 3, (shape, ground)
