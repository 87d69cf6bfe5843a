"""The keys of objects. A key is a relative path: ``sess_1/run_1/recording.wav``."""

from __future__ import annotations

from typing import Any, Final

from trio_realtime.errors import UsageError

MAX_KEY_BYTES: Final = 1024


def check_key(key: str) -> str:
    """Return the key if it is valid on all storages.

    Raises:
        UsageError: it is not. The message says why.
    """
    problem = _problem(key)
    if problem:
        raise UsageError(
            f"the key {key!r:.120} {problem}; expected a relative path such as 'sess_1/recording.wav'"
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return a prefix without its last slash, if it is valid. The empty one stands for all objects.

    Raises:
        UsageError: it is not valid. The message says why.
    """
    given: Any = prefix
    return check_key(prefix.removesuffix("/")) if not isinstance(given, str) or prefix else ""


def _problem(key: Any) -> str | None:
    if not isinstance(key, str):
        return "is not a str"
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        return f"has more than {MAX_KEY_BYTES} bytes"
    if "\\" in key or not key.isprintable():
        return "has a backslash or a character that cannot be printed"
    for part in key.split("/"):
        if not part:
            return "is empty, or begins or ends with a slash, or has two in a row"
        if part.startswith("."):
            return "has a part that begins with a dot"
    return None
