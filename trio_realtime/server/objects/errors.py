"""The exceptions of object storages."""

from __future__ import annotations

import re

from trio_realtime._redaction import redact_url
from trio_realtime.errors import RealtimeError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>),]+", re.IGNORECASE)


class ObjectStorageError(RealtimeError):
    """A storage could not do what was asked: the network, permissions or a disk. Trying again may help.

    The message has no credentials, and neither does the cause, which is not chained.
    """


class ObjectNotFound(ObjectStorageError):
    """There is no object with this key."""


def describe(exc: BaseException, secrets: tuple[str, ...]) -> str:
    """Return what an exception says, in one line and without credentials."""
    # obstore appends the internal state of its client after an empty line.
    text = " ".join(str(exc).partition("\n\nDebug source")[0].split())
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return f"{text[:500]} ({type(exc).__name__})"
