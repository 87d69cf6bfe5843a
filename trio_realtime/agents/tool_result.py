"""Results of tools, and the text that the model receives for them."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from trio_realtime.wire.plain_values import plain_value

from ._schema.pydantic import is_pydantic_model


@attrs.frozen
class BackgroundResult:
    """A tool result that the model receives without being asked to respond.

    Return it from a tool, for example to record a note or to deliver prefetched data. The model knows
    the result from then on, but no response is requested for it.

    Args:
        value: the result, converted by :func:`~trio_realtime.agents.result_text` like any other.
    """

    value: Any


def result_text(result: Any) -> str:
    """Return the text that the model receives for a tool's result.

    A ``str`` is sent unchanged and anything else as JSON, including dataclasses, attrs classes,
    pydantic models, enums, dates, and numbers and arrays of NumPy. If the result cannot be converted to JSON, ``str(result)`` is
    sent.
    """
    if isinstance(result, str):
        return str.__str__(result)  # a subclass may not be encoded later
    try:
        return msgspec.json.encode(result, enc_hook=_encode_unsupported).decode()
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _encode_unsupported(value: Any) -> Any:
    """Encode what msgspec cannot: pydantic models by their own method, the rest as ``str``."""
    if is_pydantic_model(type(value)):
        return msgspec.Raw(value.model_dump_json().encode())
    try:
        return plain_value(value)
    except TypeError:
        return str(value)
