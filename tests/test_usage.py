"""Usage of a session: the sums over its responses and transcriptions."""

from __future__ import annotations

from support.usage import SPOKEN, usage
from trio_realtime.usage import Usage
from trio_realtime.wire import TranscriptionUsage


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
        cached_text_tokens=64,
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


def test_cached_tokens_are_added_by_modality() -> None:
    sums = (
        Usage()
        .plus(usage(**SPOKEN))
        .plus(
            usage(
                input_token_details={
                    "cached_tokens": 30,
                    "cached_tokens_details": {"audio_tokens": 20, "image_tokens": 10},
                }
            )
        )
    )

    assert sums.cached_tokens == 94
    assert (sums.cached_text_tokens, sums.cached_audio_tokens, sums.cached_image_tokens) == (
        64,
        20,
        10,
    )


def test_transcriptions_are_added_apart_from_responses() -> None:
    by_duration = TranscriptionUsage(type="duration", seconds=3)
    by_tokens = TranscriptionUsage(type="tokens", total_tokens=14, input_tokens=12, output_tokens=2)
    sums = Usage().plus_transcription(by_duration).plus_transcription(by_tokens)

    assert sums == Usage(
        transcriptions=2,
        transcription_seconds=3.0,
        transcription_input_tokens=12,
        transcription_output_tokens=2,
    )
