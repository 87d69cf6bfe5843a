"""Frames of the WebSocket: a message of the client becomes a JSON object, an event becomes text.

Everything else in the local server speaks the GA dialect, so this is where other dialects are
translated.
"""

from __future__ import annotations

from typing import Final

import msgspec

from trio_realtime.wire.dialects import DialectName

from .errors import ProtocolError
from .requests import read_message
from .types import Json

__all__ = ["decode", "encode"]

#: A longer message may have audio or images, but not many values: each takes up to a hundred bytes.
_LONG: Final = 1024 * 1024
_MAX_VALUES: Final = 500_000


def decode(message: str | bytes, dialect: DialectName) -> Json:  # noqa: ARG001
    """Return the client event in a message, in the GA dialect.

    Raises:
        ProtocolError: the message is binary, not valid JSON, not an object, or has too many values.
    """
    if isinstance(message, str) and len(message) > _LONG:
        separators = sum(map(message.count, ",[{"))
        if separators > _MAX_VALUES:
            detail = f"Invalid event: more than {_MAX_VALUES} values in one event."
            raise ProtocolError(detail, code="invalid_event")
    return read_message(message)


def encode(event: Json, dialect: DialectName) -> str:  # noqa: ARG001
    """Return the text of a server event, in the dialect of the connection."""
    return msgspec.json.encode(event).decode()
