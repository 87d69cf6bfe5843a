"""What a tool returns, and how the model is told of it."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from ._schema.pydantic import is_model


@attrs.frozen
class BackgroundResult:
    """A tool's result that the agent is told without being asked to speak of it."""

    value: Any


def result_text(result: Any) -> str:
    """What the model is told of a tool's result: text as it is, anything else as JSON.

    Dataclasses, attrs classes, pydantic models, enums, dates and the like become JSON; what cannot is
    told as ``str(result)``.
    """
    if isinstance(result, str):
        return result
    try:
        return msgspec.json.encode(result, enc_hook=_as_json).decode()
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _as_json(value: Any) -> Any:
    """What msgspec does not know: pydantic's models as they say themselves, the rest in words."""
    if is_model(type(value)):
        return msgspec.Raw(value.model_dump_json().encode())
    return str(value)
