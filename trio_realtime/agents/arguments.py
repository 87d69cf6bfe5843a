"""The arguments of a call: JSON text that the model wrote."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["InvalidArguments", "arguments_text", "decode_arguments"]


class InvalidArguments(ValueError):
    """The model's arguments do not match the tool's parameters. The model receives the message."""


def arguments_text(text: str | None) -> str:
    """Return the JSON text of a call's arguments: an object.

    For a call without arguments, models and services write ``{}``, ``null``, or nothing.
    """
    stripped = (text or "").strip()
    return "{}" if stripped in ("", "null") else stripped


def decode_arguments(text: str | None, name: str) -> dict[str, Any]:
    """Return the arguments of a call as the values of JSON.

    Args:
        text: the JSON text.
        name: the name of the tool, for the error message.

    Raises:
        InvalidArguments: the text is not a JSON object.
    """
    try:
        return msgspec.json.decode(arguments_text(text), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidArguments(f"Invalid arguments for {name}: {exc}") from None
