"""Basic types of the local server: JSON values, outputs, and the upgrade request."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard
from urllib.parse import SplitResult, parse_qs, urlsplit

import attrs
import msgspec

from .transcriber import TranscriptionRequest

__all__ = [
    "ClientSecret",
    "Close",
    "ConnectionRequest",
    "Frame",
    "Json",
    "Output",
    "is_array",
    "is_object",
]

Json: TypeAlias = dict[str, Any]

_KEY_PROTOCOL = "openai-insecure-api-key."


def is_object(value: object) -> TypeGuard[Json]:
    """Return whether the value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether the value is a JSON array."""
    return isinstance(value, list)


@attrs.frozen
class Frame:
    """A server event, to be sent as one text message."""

    data: Json

    @property
    def type(self) -> str:
        """Type of the event, for example ``response.done``."""
        return str(self.data["type"])


@attrs.frozen
class Close:
    """Close the connection with this code, after all earlier outputs were sent."""

    code: int
    reason: str = ""


Output: TypeAlias = Frame | Close | TranscriptionRequest


def _split(path: str) -> SplitResult:
    try:
        return urlsplit(path)
    except ValueError:  # ``//[`` starts like a host, and is none
        return SplitResult("", "", path, "", "")


def _count_headers(headers: tuple[tuple[str, str], ...]) -> str:
    return f"<{len(headers)} headers>"


@attrs.frozen
class ClientSecret:
    """An ephemeral key, and the session that it opens.

    Args:
        value: the key. The repr hides it.
        expires_at: when the key expires, in seconds on the clock of the server.
        kind: type of the session, ``realtime`` or ``transcription``.
        model: model of the session; None leaves it to the client.
        session: settings of the session, as in a validated ``session.update``.
    """

    value: str = attrs.field(repr=False)
    expires_at: float
    kind: str
    model: str | None
    session: Json = attrs.field(repr=False)

    @property
    def size(self) -> int:
        """Size of the settings, in bytes of JSON."""
        return len(msgspec.json.encode(self.session))


@attrs.frozen
class ConnectionRequest:
    """The HTTP request that opens a WebSocket connection.

    Args:
        path: path and query, for example ``/v1/realtime?model=gpt-realtime-2.1``.
        headers: pairs of name and value; names in any case. The repr hides them.
        subprotocols: offered subprotocols, in order. The repr hides them.
        serial: number of the connection on its server. It is part of the seed of the ids.
        client_secret: the ephemeral key of the request, if it is valid.
    """

    path: str = attrs.field(default="/v1/realtime?model=gpt-realtime-2.1", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=_count_headers)
    subprotocols: tuple[str, ...] = attrs.field(default=(), repr=False)
    serial: int = 0
    client_secret: ClientSecret | None = None

    def header(self, name: str) -> str | None:
        """Return the first value of a header; the name is case-insensitive."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter; None if it is missing or empty."""
        return parse_qs(_split(self.path).query).get(name, [None])[0]

    @property
    def route(self) -> str:
        """The path without the query."""
        return _split(self.path).path

    @property
    def model(self) -> str | None:
        """The model that the URL or the ephemeral key names. The older Azure API says ``deployment``."""
        named = self.query("model") or self.query("deployment")
        return self.client_secret.model if named is None and self.client_secret else named

    @property
    def api_key(self) -> str | None:
        """The API key, from a header, a subprotocol or the query."""
        return (
            self._bearer() or self.header("api-key") or self._subprotocol_key() or self._query_key()
        )

    def _bearer(self) -> str | None:
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        return key.strip() or None if scheme.lower() in {"bearer", "basic"} else None

    def _subprotocol_key(self) -> str | None:
        keys = (p[len(_KEY_PROTOCOL) :] for p in self.subprotocols if p.startswith(_KEY_PROTOCOL))
        return next(keys, None)

    def _query_key(self) -> str | None:
        return self.query("api-key") or self.query("api_key")
