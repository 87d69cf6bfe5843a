"""Keys, tokens and headers. No error message contains a value that may be secret."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePath
from types import TracebackType
from typing import Literal, TypeAlias

import trio

from trio_realtime._redaction import MASK
from trio_realtime._validation import HEADER_NAME
from trio_realtime.errors import ConfigurationError, ConnectFailed

__all__ = [
    "PRINTABLE",
    "Auth",
    "Key",
    "fetch_key",
    "has_credentials",
    "mask_headers",
    "merge_headers",
    "validate_key",
]

#: A key or token, or a function (sync or async, without arguments) that returns one. The function
#: is called for every connection. A sync function runs in the event loop, so it must not block.
Key: TypeAlias = str | Callable[[], str | Awaitable[str]]

#: How the key is sent. ``query`` exposes the key to every proxy that logs URLs.
Auth: TypeAlias = Literal["bearer", "api-key", "query", "none"]

#: ASCII without white space.
PRINTABLE = re.compile(r"[\x21-\x7e]+")

_KEY_HEADERS = frozenset({"authorization", "api-key"})
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")


async def fetch_key(key: Key | None) -> str:
    """Return the key. If it is a function, call it.

    Raises:
        ConfigurationError: The result is not a valid key.
        ConnectFailed: The function raised. The exception is not the cause of this error, because
            its text may contain the key.
    """
    await trio.lowlevel.checkpoint()
    value: object = key
    failure = ""
    if callable(key):
        try:
            value = key()
            value = await value if inspect.isawaitable(value) else value
        except Exception as exc:  # noqa: BLE001  # reported below
            failure = f"{type(exc).__name__} ({_location(exc.__traceback__)})"
    if failure:
        # Raised outside of the handler: inside, the exception would be the context of this one.
        raise ConnectFailed(
            f"the key function raised {failure}. The text of the exception may contain the key and "
            f"is not shown: catch the exception in the key function to see it"
        )
    return validate_key(value)


def _location(tb: TracebackType | None) -> str:
    """Return the line of the key function, and the line that raised the exception."""
    frames = traceback.extract_tb(tb)[1:]  # without the frame of fetch_key
    lines = [f"{PurePath(at.filename).name}, line {at.lineno}, in {at.name}" for at in frames]
    return "; ".join(dict.fromkeys(lines[:1] + lines[-1:])) or "in the call"


def validate_key(key: object) -> str:
    """Return the key.

    Raises:
        ConfigurationError: It is not a str that can be sent in a header.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"expected the API key to be a str, got {type(key).__name__}")
    if not key:
        raise ConfigurationError("the API key is empty")
    if key != key.strip():
        raise ConfigurationError(
            "the API key starts or ends with white space, perhaps a newline: strip it"
        )
    if not PRINTABLE.fullmatch(key):
        raise ConfigurationError("the API key contains invalid characters: check its source")
    return key


def merge_headers(
    given: Mapping[str, str] | None, defaults: Mapping[str, str | None]
) -> tuple[tuple[str, str], ...]:
    """Return the user's headers, and the defaults that have a value and are not overridden.

    Raises:
        ConfigurationError: HTTP does not allow a name or a value.
    """
    user_headers = tuple((given or {}).items())
    names = {name.lower() for name, _ in user_headers}
    added = ((name, value) for name, value in defaults.items() if value)
    headers = (*user_headers, *(pair for pair in added if pair[0].lower() not in names))
    for name, value in headers:
        _validate_header(name, value)
    return headers


def _validate_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise ConfigurationError("a header name contains characters that HTTP does not allow")
    if value and not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(
            f"the value of header {name!r} contains characters that HTTP does not allow, "
            "or starts or ends with white space"
        )


def has_credentials(headers: tuple[tuple[str, str], ...]) -> bool:
    """Return whether the headers authenticate the client."""
    return any(name.lower() in _KEY_HEADERS for name, _ in headers)


def mask_headers(headers: tuple[tuple[str, str], ...]) -> str:
    """Return the names of the headers for a repr."""
    return "<" + ", ".join(f"{name}: {MASK}" for name, _ in headers) + ">"
