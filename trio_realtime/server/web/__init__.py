"""The web client of the gateway: one page, without a build step.

The files need nothing but a server that sends each of them at its name, with ``index.html`` at the root. They
have no inline scripts or styles, and load nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import attrs

__all__ = ["StaticFile", "static_files"]

_CONTENT_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@attrs.frozen(kw_only=True)
class StaticFile:
    """A file of the page.

    Attributes:
        content: the bytes.
        content_type: the value of the header ``Content-Type``.
        etag: the value of the header ``ETag``, with its quotes. It changes with the content.
    """

    content: bytes = attrs.field(repr=False)
    content_type: str
    etag: str


@lru_cache(maxsize=1)
def static_files() -> Mapping[str, StaticFile]:
    """Return the files of the page by their names, such as ``index.html``. They are read once."""
    found: dict[str, StaticFile] = {}
    for entry in sorted(files(__name__).joinpath("static").iterdir(), key=lambda entry: entry.name):
        content_type = _CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            found[entry.name] = _read(entry.read_bytes(), content_type)
    return MappingProxyType(found)


def _read(content: bytes, content_type: str) -> StaticFile:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return StaticFile(content=content, content_type=content_type, etag=f'"{digest}"')
