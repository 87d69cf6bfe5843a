"""Usage as the service reports it."""

from __future__ import annotations

from typing import Any

from trio_realtime.wire import ResponseUsage, converter

SPOKEN: dict[str, Any] = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 11,
        "image_tokens": 2,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91, "reasoning_tokens": 7},
}


def usage(**fields: Any) -> ResponseUsage:
    """Return the usage of a response with these fields."""
    result: ResponseUsage = converter.structure(fields, ResponseUsage)
    return result
