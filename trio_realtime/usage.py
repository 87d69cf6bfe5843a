"""The usage of a session: tokens and transcribed audio."""

from __future__ import annotations

import attrs

from .wire import ResponseUsage, TranscriptionUsage


@attrs.frozen(kw_only=True)
class Usage:
    """The usage of a session, or of one turn of the agent.

    Cancelled and failed responses count too.

    Attributes:
        responses: the responses that reported their usage.
        total_tokens, input_tokens, output_tokens: tokens of the responses.
        input_text_tokens, input_audio_tokens, input_image_tokens: input tokens by modality, cached ones
            included.
        cached_tokens: input tokens that the service had cached.
        cached_text_tokens, cached_audio_tokens, cached_image_tokens: cached tokens by modality, as far as
            the service reports them.
        output_text_tokens, output_audio_tokens: output tokens by modality.
        reasoning_tokens: output tokens of the model's reasoning, which are among the text tokens.
        transcriptions: the transcriptions of the user's audio that reported their usage. A turn has none.
        transcription_seconds: seconds of audio, of transcription models that are billed by duration.
        transcription_input_tokens, transcription_output_tokens: tokens, of transcription models that are
            billed by tokens. They are not among the tokens of the responses.
    """

    responses: int = 0
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cached_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    cached_image_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    reasoning_tokens: int = 0
    transcriptions: int = 0
    transcription_seconds: float = 0.0
    transcription_input_tokens: int = 0
    transcription_output_tokens: int = 0

    def plus(self, usage: ResponseUsage) -> Usage:
        """Return the totals with another response added.

        If the response reports no total, its total is the sum of input and output tokens.
        """
        inputs, outputs = usage.input_token_details, usage.output_token_details
        cached = inputs.cached_tokens_details
        total = usage.total_tokens or usage.input_tokens + usage.output_tokens
        return attrs.evolve(
            self,
            responses=self.responses + 1,
            total_tokens=self.total_tokens + total,
            input_tokens=self.input_tokens + usage.input_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            input_text_tokens=self.input_text_tokens + inputs.text_tokens,
            input_audio_tokens=self.input_audio_tokens + inputs.audio_tokens,
            input_image_tokens=self.input_image_tokens + inputs.image_tokens,
            cached_tokens=self.cached_tokens + inputs.cached_tokens,
            cached_text_tokens=self.cached_text_tokens + cached.text_tokens,
            cached_audio_tokens=self.cached_audio_tokens + cached.audio_tokens,
            cached_image_tokens=self.cached_image_tokens + cached.image_tokens,
            output_text_tokens=self.output_text_tokens + outputs.text_tokens,
            output_audio_tokens=self.output_audio_tokens + outputs.audio_tokens,
            reasoning_tokens=self.reasoning_tokens + outputs.reasoning_tokens,
        )

    def plus_transcription(self, usage: TranscriptionUsage) -> Usage:
        """Return the totals with a transcription of the user's audio added."""
        return attrs.evolve(
            self,
            transcriptions=self.transcriptions + 1,
            transcription_seconds=self.transcription_seconds + usage.seconds,
            transcription_input_tokens=self.transcription_input_tokens + usage.input_tokens,
            transcription_output_tokens=self.transcription_output_tokens + usage.output_tokens,
        )
