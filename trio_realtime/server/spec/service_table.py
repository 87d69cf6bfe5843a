"""The table ``service`` of a spec: which service its sessions prefer. It has no credentials."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from trio_realtime._redaction import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS

from .kinds import Choice, Flag, MapOf, Table, Text
from .paths import SpecError, join

__all__ = ["SERVICE"]

_INSTEAD: Final = (
    "a spec has no credentials: set the variable OPENAI_API_KEY, AZURE_OPENAI_API_KEY or "
    "AZURE_VOICELIVE_API_KEY, or give ServiceSettings(api_key=...)"
)
_ENTRA_INSTEAD: Final = "a spec has no credentials: give ServiceSettings(token=...)"


class _Url:
    """The kind of a URL without credentials."""

    expected = "a URL"

    def accepts(self, value: Any) -> bool:
        """Return whether it is a string."""
        return isinstance(value, str)

    def read(self, value: Any, path: str) -> str:
        """Return the URL.

        Raises:
            SpecError: it is none, or it contains credentials. The message does not quote it.
        """
        url = Text(expected=self.expected, is_secret=True).read(value, path)
        try:
            parts = urlsplit(url)
            names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        except ValueError:
            raise SpecError(path, "expected a URL: it cannot be parsed") from None
        if "@" in parts.netloc or names & CREDENTIAL_PARAMETERS:
            raise SpecError(path, f"the URL contains credentials; {_INSTEAD}")
        if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.netloc:
            raise SpecError(
                path, "expected a URL that begins with https://, http://, wss:// or ws://"
            )
        return url

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": "^(?:https?|wss?)://"}


class _Headers:
    """The kind of headers without credentials."""

    expected = "a table"

    def __init__(self) -> None:
        self._kind = MapOf(Text(is_secret=True))

    def accepts(self, value: Any) -> bool:
        """Return whether it is a table."""
        return self._kind.accepts(value)

    def read(self, value: Any, path: str) -> dict[str, str]:
        """Return the headers.

        Raises:
            SpecError: a value is no string, or a header is for credentials.
        """
        headers = self._kind.read(value, path)
        for name in headers:
            if name.lower() in CREDENTIAL_HEADERS:
                raise SpecError(join(path, name), f"{_INSTEAD} or ServiceSettings(headers=...)")
        return headers

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self._kind.schema()


_URL: Final = _Url()
_TEXT: Final = Text(is_secret=True)

SERVICE: Final = Table(
    fields={
        "realtime_url": _URL,
        "base_url": _URL,
        "azure_endpoint": _URL,
        "voice_live_endpoint": _URL,
        "deployment": _TEXT,
        "api_version": _TEXT,
        "headers": _Headers(),
        "force_api_key_header": Flag(),
        "api_key_in_query": Flag(),
        "organization": _TEXT,
        "project": _TEXT,
        "dialect": Choice(("ga", "beta", "voice_live")),
    },
    refused={
        **dict.fromkeys(
            ("api_key", "apikey", "key", "secret", "password", "authorization"), _INSTEAD
        ),
        **dict.fromkeys(("token", "entra_token", "access_token"), _ENTRA_INSTEAD),
    },
    places={
        "url": "base_url",
        "deployment_name": "deployment",
        "realtime_deployment": "deployment",
        "model": "model in the table realtime",
        "realtime_model": "model in the table realtime",
    },
)
"""The kind of ``service``. It reads a table, and returns a dict with the same keys."""
