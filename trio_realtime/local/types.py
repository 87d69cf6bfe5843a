"""The plain shapes the room passes around: JSON values, outputs, the request of a connection."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard
from urllib.parse import parse_qs, urlsplit

import attrs

__all__ = ["Close", "ConnectionRequest", "Frame", "Json", "Output", "is_array", "is_object"]

Json: TypeAlias = dict[str, Any]

_KEY_PROTOCOL = "openai-insecure-api-key."


def is_object(value: object) -> TypeGuard[Json]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a JSON array."""
    return isinstance(value, list)


@attrs.frozen
class Frame:
    """One server event to send as one TEXT frame."""

    data: Json

    @property
    def type(self) -> str:
        """The wire type, for example ``response.done``."""
        return str(self.data["type"])


@attrs.frozen
class Close:
    """Close the connection with this code, after everything that was put out before it."""

    code: int
    reason: str = ""


Output: TypeAlias = Frame | Close


def _hide(headers: tuple[tuple[str, str], ...]) -> str:
    return f"<{len(headers)} headers>"


@attrs.frozen
class ConnectionRequest:
    """What a client said before the first frame: the upgrade request.

    Args:
        path: path with query, for example ``/v1/realtime?model=gpt-realtime``.
        headers: name and value pairs; names in any case. Never part of the repr.
        subprotocols: those the client offered, in its order. Never part of the repr.
        serial: number of the connection on its server; it seeds the ids.
    """

    path: str = attrs.field(default="/v1/realtime?model=gpt-realtime", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=_hide)
    subprotocols: tuple[str, ...] = attrs.field(default=(), repr=False)
    serial: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def query(self, name: str) -> str | None:
        """The first value of a query parameter; None where it is missing or empty."""
        return parse_qs(urlsplit(self.path).query).get(name, [None])[0]

    @property
    def route(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path

    @property
    def model(self) -> str | None:
        """The model asked for; Azure's older form calls it ``deployment``."""
        return self.query("model") or self.query("deployment")

    @property
    def api_key(self) -> str | None:
        """The key, from whichever of the known places has one."""
        return self._bearer() or self.header("api-key") or self._offered_key() or self._query_key()

    def _bearer(self) -> str | None:
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        return key.strip() or None if scheme.lower() in {"bearer", "basic"} else None

    def _offered_key(self) -> str | None:
        keys = (p[len(_KEY_PROTOCOL) :] for p in self.subprotocols if p.startswith(_KEY_PROTOCOL))
        return next(keys, None)

    def _query_key(self) -> str | None:
        return self.query("api-key") or self.query("api_key")
