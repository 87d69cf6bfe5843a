"""Frames of the WebSocket: a message of the client becomes a JSON object, an event becomes text.

Everything else in the local server speaks the GA dialect, so this is where other dialects are
translated.
"""

from __future__ import annotations

from typing import Final

import msgspec

from trio_realtime.wire.dialects import DialectName, client_event_to_ga, server_event_to_beta

from .errors import ProtocolError, unknown_parameter
from .requests import read_message
from .types import Json, is_object

__all__ = ["decode", "encode"]

#: A longer message may have audio or images, but not many values: each takes up to a hundred bytes.
_LONG: Final = 1024 * 1024
_MAX_VALUES: Final = 500_000


#: Keys of the GA session that the beta protocol refuses, as Azure's preview versions do.
_GA_SESSION_KEYS: Final = ("type", "audio", "output_modalities", "max_output_tokens")


def decode(message: str | bytes, dialect: DialectName) -> Json:
    """Return the client event in a message, in the GA dialect.

    Raises:
        ProtocolError: the message is binary, not valid JSON, not an object, or has too many values.
    """
    if isinstance(message, str) and len(message) > _LONG:
        separators = sum(map(message.count, ",[{"))
        if separators > _MAX_VALUES:
            detail = f"Invalid event: more than {_MAX_VALUES} values in one event."
            raise ProtocolError(detail, code="invalid_event")
    event = read_message(message)
    return event if dialect == "ga" else _from_beta(event)


def _from_beta(event: Json) -> Json:
    for name in ("session", "response"):
        inner = event.get(name)
        if is_object(inner):
            for key in _GA_SESSION_KEYS:
                if key in inner:
                    raise unknown_parameter(f"{name}.{key}")
            # The local server has no use for it.
            event = {**event, name: {k: v for k, v in inner.items() if k != "temperature"}}
    return client_event_to_ga(event)


def encode(event: Json, dialect: DialectName) -> str | None:
    """Return the text of a server event, in the dialect of the connection.

    Returns ``None`` for an event that the dialect does not have.
    """
    translated = event if dialect == "ga" else server_event_to_beta(event)
    return None if translated is None else msgspec.json.encode(translated).decode()
