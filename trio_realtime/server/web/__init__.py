"""The web client of the gateway: one page, without a build step."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class StaticFile:
    """A file of the page."""

    content: bytes
    content_type: str
    etag: str


def static_files() -> Mapping[str, StaticFile]:
    """Return the files of the page by their names."""
    return {}
