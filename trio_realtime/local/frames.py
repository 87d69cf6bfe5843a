"""Frames of the WebSocket: a message of the client becomes a JSON object, an event becomes text.

Everything else in the local server speaks the GA dialect, so this is where other dialects are
translated.
"""

from __future__ import annotations

import msgspec

from trio_realtime.wire.dialects import DialectName

from .requests import read_message
from .types import Json

__all__ = ["decode", "encode"]


def decode(message: str | bytes, dialect: DialectName) -> Json:  # noqa: ARG001
    """Return the client event in a message, in the GA dialect.

    Raises:
        ProtocolError: the message is binary, not valid JSON, or not an object.
    """
    return read_message(message)


def encode(event: Json, dialect: DialectName) -> str:  # noqa: ARG001
    """Return the text of a server event, in the dialect of the connection."""
    return msgspec.json.encode(event).decode()
