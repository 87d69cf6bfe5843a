"""The credentials of a connection: how a user part is sent, and masking what a peer repeats."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit

from trio_realtime._redaction import MASK, secret_values

from .base import ConnectOptions

__all__ = ["basic_credentials", "mask_secrets"]

_MIN_LENGTH = 8
_MIN_PASSWORD_LENGTH = 4


def basic_credentials(parts: SplitResult) -> str | None:
    """Return the value of an ``Authorization`` header for the user part of a URL, if it has one."""
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode("ascii")


def mask_secrets(text: str, options: ConnectOptions) -> str:
    """Mask the credentials of the connection in a text of the server or the proxy.

    Values of headers, subprotocols and the URL may be secret. Those with fewer than 8 characters are
    not masked: they are no keys, and masking them would only garble the text. Shorter passwords are
    masked where they are a word. At the end of the text, the beginning of a secret is masked too,
    because close reasons and incomplete bodies are cut anywhere.
    """
    secrets = _secrets(options)
    for secret in secrets:
        text = text.replace(secret, MASK)
    for password in _passwords(options):
        text = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", MASK, text)
    return _mask_end(text, secrets)


def _mask_end(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        for length in range(min(len(secret), len(text)), _MIN_LENGTH - 1, -1):
            if text.endswith(secret[:length]):
                return text[:-length] + MASK
    return text


def _secrets(options: ConnectOptions) -> list[str]:
    """Return the values that may be secret, longest first."""
    urls = _urls(options)
    values = [value for _, value in options.headers]
    values += options.subprotocols
    values += [value for url in urls for value in secret_values(url)]
    values += [basic_credentials(urlsplit(url)) or "" for url in urls]
    # "Bearer <key>" and "protocol.<key>" may be quoted without their first word.
    words = {part for value in values for part in (value, *re.split(r"[ .]", value, maxsplit=1))}
    return sorted((word for word in words if len(word) >= _MIN_LENGTH), key=len, reverse=True)


def _passwords(options: ConnectOptions) -> set[str]:
    passwords = {urlsplit(url).password or "" for url in _urls(options)}
    passwords |= {unquote(password) for password in passwords}
    return {password for password in passwords if len(password) >= _MIN_PASSWORD_LENGTH}


def _urls(options: ConnectOptions) -> list[str]:
    return [options.url, *([options.proxy] if options.proxy is not None else [])]
