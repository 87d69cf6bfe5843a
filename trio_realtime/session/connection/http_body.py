"""Find the reason in the body of an HTTP response that rejects a connection."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

_MAX_CHARS = 300
_HTML = re.compile(r"\s*<(!doctype|html|head|body|title|h1|p|center|!--|\?xml)\b", re.IGNORECASE)
_INVISIBLE = frozenset({"script", "style"})


class _ErrorBody(msgspec.Struct):
    """The ``error`` object in the body of an HTTP response of the service."""

    message: str = ""
    code: str | int | None = None


class _Body(msgspec.Struct):
    """The body of an HTTP response of the service."""

    error: _ErrorBody


def read_error(body: str) -> tuple[str, str | None]:
    """Return the message and the code of a body in the service's form.

    Other bodies have no code. Their message is their text in one line: of HTML, the title, or the
    text without tags.
    """
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _one_line(_text_of_html(body) if _HTML.match(body) else body), None
    code = None if error.code is None else str(error.code)
    return error.message or _one_line(body), code


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARS else line[: _MAX_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _text_of_html(body: str) -> str:
    parser = _TextParser()
    parser.feed(body)
    parser.close()
    return parser.title.strip() or parser.text


class _TextParser(HTMLParser):
    """Collects the title and the visible text of a page, which may be incomplete.

    Attributes:
        title: The text of the title.
        text: The visible text of the page without its title.
    """

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.text = ""
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._tag = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "title":
            self.title += data
        elif self._tag not in _INVISIBLE:
            self.text += f" {data}"
