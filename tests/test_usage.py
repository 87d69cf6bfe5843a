"""Usage of a session: the sums over its responses."""

from __future__ import annotations

from typing import Any

from trio_realtime.usage import Usage
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
    result: ResponseUsage = converter.structure(fields, ResponseUsage)
    return result


def test_each_count_is_added_to_its_sum() -> None:
    once = Usage().plus(usage(**SPOKEN))

    assert once == Usage(
        responses=1,
        total_tokens=253,
        input_tokens=132,
        output_tokens=121,
        input_text_tokens=119,
        input_audio_tokens=11,
        input_image_tokens=2,
        cached_tokens=64,
        output_text_tokens=30,
        output_audio_tokens=91,
        reasoning_tokens=7,
    )
    twice = once.plus(usage(**SPOKEN))
    assert twice.responses == 2
    assert twice.total_tokens == 506
    assert twice.reasoning_tokens == 14


def test_a_missing_total_is_the_sum_of_its_parts() -> None:
    sums = Usage().plus(usage(input_tokens=3, output_tokens=4))

    assert (sums.responses, sums.total_tokens) == (1, 7)


def test_a_response_without_tokens_is_counted() -> None:
    assert Usage().plus(usage()) == Usage(responses=1)


def test_null_and_invalid_counts_are_zero() -> None:
    sums = Usage().plus(
        usage(
            total_tokens=5,
            input_tokens=None,
            input_token_details=None,
            output_token_details={"text_tokens": "many", "audio_tokens": 2},
        )
    )

    assert sums == Usage(responses=1, total_tokens=5, output_audio_tokens=2)
