"""Mask the credentials of a connection where the service repeats them."""

from __future__ import annotations

import json
import re

from trio_realtime._redaction import MASK, secret_values
from trio_realtime.transports import ConnectOptions

_CREDENTIAL_HEADERS = frozenset({"authorization", "api-key", "cookie", "proxy-authorization"})
_MIN_LENGTH = 8
"""Shorter values are no keys, and masking them would damage the text."""


class SecretMask:
    """Replaces the credentials of a connection in what the service sends.

    Only credentials are masked, and no other header: what the service says may contain the value of a
    header such as ``X-Team`` by chance.
    """

    def __init__(self, options: ConnectOptions) -> None:
        keys = set(secret_values(options.url))
        for name, value in options.headers:
            if name.lower() in _CREDENTIAL_HEADERS:
                # "Bearer <key>" and "name=<key>" may be quoted without their first word.
                keys |= {value, *re.split(r"[ =;]+", value)}
        # "openai-insecure-api-key.<key>"
        keys |= {name.partition(".")[2] for name in options.subprotocols}
        # A service may write a slash as "\/".
        escaped = {json.dumps(key)[1:-1] for key in keys} | {k.replace("/", r"\/") for k in keys}
        self._texts = sorted(
            (key for key in keys | escaped if len(key) >= _MIN_LENGTH), key=len, reverse=True
        )
        self._bytes = [key.encode() for key in self._texts]

    def __call__(self, frame: str | bytes) -> str | bytes:
        """Return a frame with the credentials masked."""
        if isinstance(frame, str):
            return self.text(frame)
        for key in self._bytes:
            if key in frame:
                frame = frame.replace(key, MASK.encode())
        return frame

    def text(self, text: str) -> str:
        """Return a text with the credentials masked."""
        for key in self._texts:
            if key in text:
                text = text.replace(key, MASK)
        return text
