"""What a session has cost so far, in tokens."""

from __future__ import annotations

import attrs

from .wire import ResponseUsage


@attrs.frozen(kw_only=True)
class Usage:
    """Sums over the responses of a session, cancelled and failed ones too.

    ``responses`` counts those that told their usage.
    """

    responses: int = 0
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cached_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    reasoning_tokens: int = 0

    def plus(self, usage: ResponseUsage) -> Usage:
        """These sums with one more response; a missing total is the sum of its parts."""
        ins, outs = usage.input_token_details, usage.output_token_details
        total = usage.total_tokens or usage.input_tokens + usage.output_tokens
        return Usage(
            responses=self.responses + 1,
            total_tokens=self.total_tokens + total,
            input_tokens=self.input_tokens + usage.input_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            input_text_tokens=self.input_text_tokens + ins.text_tokens,
            input_audio_tokens=self.input_audio_tokens + ins.audio_tokens,
            input_image_tokens=self.input_image_tokens + ins.image_tokens,
            cached_tokens=self.cached_tokens + ins.cached_tokens,
            output_text_tokens=self.output_text_tokens + outs.text_tokens,
            output_audio_tokens=self.output_audio_tokens + outs.audio_tokens,
            reasoning_tokens=self.reasoning_tokens + outs.reasoning_tokens,
        )
