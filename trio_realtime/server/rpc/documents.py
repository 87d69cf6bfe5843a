"""The documents that are installed with the package: the JSON Schema of the events, and the AsyncAPI document."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

__all__ = ["load_asyncapi", "load_schema"]

SCHEMA_FILE: Final = "events.schema.json"
ASYNCAPI_FILE: Final = "asyncapi.json"

DIRECTORY: Final = Path(__file__).parent
"""Where the documents are in the sources."""


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of all events: one definition for each type, joined by ``oneOf``."""
    return _load(SCHEMA_FILE)


def load_asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document (3.0.0) of the gateway's stream."""
    return _load(ASYNCAPI_FILE)


def _load(name: str) -> dict[str, Any]:
    text = resources.files("trio_realtime.server.rpc").joinpath(name).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def document_text(document: dict[str, Any]) -> str:
    """Return the text of a document as it is installed."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_document(directory: Path, name: str, document: dict[str, Any]) -> Path:
    """Write a document into a directory, and return its path."""
    path = directory / name
    path.write_text(document_text(document), encoding="utf-8")
    return path
