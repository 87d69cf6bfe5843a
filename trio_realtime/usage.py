"""The token usage of a session."""

from __future__ import annotations

import attrs

from .wire import ResponseUsage


@attrs.frozen(kw_only=True)
class Usage:
    """Token totals over the responses of a session, including cancelled and failed responses.

    ``responses`` counts the responses that reported their usage.
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
        """Return the totals with another response added.

        If the response reports no total, its total is the sum of input and output tokens.
        """
        inputs, outputs = usage.input_token_details, usage.output_token_details
        total = usage.total_tokens or usage.input_tokens + usage.output_tokens
        return Usage(
            responses=self.responses + 1,
            total_tokens=self.total_tokens + total,
            input_tokens=self.input_tokens + usage.input_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            input_text_tokens=self.input_text_tokens + inputs.text_tokens,
            input_audio_tokens=self.input_audio_tokens + inputs.audio_tokens,
            input_image_tokens=self.input_image_tokens + inputs.image_tokens,
            cached_tokens=self.cached_tokens + inputs.cached_tokens,
            output_text_tokens=self.output_text_tokens + outputs.text_tokens,
            output_audio_tokens=self.output_audio_tokens + outputs.audio_tokens,
            reasoning_tokens=self.reasoning_tokens + outputs.reasoning_tokens,
        )
