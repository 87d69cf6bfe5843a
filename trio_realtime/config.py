"""What may be set for a session, apart from the agent and the endpoint.

The settings of the service's own session object keep its names and its types
(:class:`~trio_realtime.wire.Session`), so nothing that it can do is out of reach. What stays at
``UNSET`` is not sent: the service keeps its default.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import validators

from .wire import (
    PCM24K,
    UNSET,
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioSettings,
    CustomVoice,
    NoiseReduction,
    Reasoning,
    SemanticVad,
    ServerVad,
    Session,
    ToolSpec,
    Transcription,
    TurnDetection,
    Unset,
)

OverflowPolicy = Literal["fail", "drop_oldest"]


def _positive(_config: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be greater than 0, not {value}")


def _modalities(value: tuple[str, ...] | list[str] | Unset) -> tuple[str, ...] | Unset:
    return value if isinstance(value, Unset) else tuple(value)


def _check_modalities(_config: Any, _: Any, value: tuple[str, ...] | Unset) -> None:
    if not isinstance(value, Unset) and value not in (("audio",), ("text",)):
        raise ValueError(f'output_modalities is ("audio",) or ("text",), not {value!r}')


@attrs.frozen(kw_only=True)
class SessionConfig:
    """Settings of one session.

    Args:
        model: the model's name; the endpoint's default where ``None``.
        output_modalities: ``("audio",)`` or ``("text",)``; the service takes one of them.
        input_format, output_format: how audio travels. PCM16 24 kHz, or G.711 for phone lines.
        turn_detection: :class:`ServerVad`, :class:`SemanticVad`, or ``None`` for push-to-talk.
        transcription: which model transcribes the user; ``None`` for none.
        noise_reduction, voice, speed, tool_choice, parallel_tool_calls: as the service takes them.
        max_output_tokens, reasoning, tracing, truncation, prompt, include: likewise.
        barge_in: whether the user's speech interrupts the agent also where the service does not do
            so itself (``interrupt_response`` off). ``False`` leaves such speech without effect.
        connect_timeout: seconds to connect and have the settings acknowledged.
        close_timeout: seconds that leaving the block may take for the peer's sake.
        max_message_size: characters of one incoming frame; larger ones end the connection (1009).
        max_buffered_events: events that a consumer may leave unread.
        max_buffered_audio: bytes of audio that a consumer may leave unread.
        overflow: what happens to a consumer that exceeds one of the two: ``"fail"`` raises
            :class:`~trio_realtime.errors.ConsumerTooSlow` at its next read after what is buffered;
            ``"drop_oldest"`` forgets its oldest events.
        max_outgoing_audio: bytes of audio that may wait to be sent; ``send_audio`` waits beyond.
    """

    model: str | None = None
    output_modalities: tuple[str, ...] | Unset = attrs.field(
        default=UNSET, converter=_modalities, validator=_check_modalities
    )
    input_format: AudioFormat = PCM24K
    output_format: AudioFormat = PCM24K
    turn_detection: TurnDetection | Unset | None = UNSET
    transcription: Transcription | Unset | None = UNSET
    noise_reduction: NoiseReduction | Unset | None = UNSET
    voice: str | CustomVoice | Unset = UNSET
    speed: float | Unset = UNSET
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | Unset = UNSET
    max_output_tokens: int | str | Unset = UNSET
    reasoning: Reasoning | Unset = UNSET
    tracing: Any = UNSET
    truncation: Any = UNSET
    prompt: Any = UNSET
    include: tuple[str, ...] | Unset | None = UNSET

    barge_in: bool = True
    connect_timeout: float = attrs.field(default=10.0, validator=_positive)
    close_timeout: float = attrs.field(default=1.0, validator=_positive)
    max_message_size: int = attrs.field(default=32 * 1024 * 1024, validator=_positive)
    max_buffered_events: int = attrs.field(default=16_384, validator=_positive)
    max_buffered_audio: int = attrs.field(default=32 * 1024 * 1024, validator=_positive)
    overflow: OverflowPolicy = attrs.field(
        default="fail", validator=validators.in_(("fail", "drop_oldest"))
    )
    max_outgoing_audio: int = attrs.field(default=1024 * 1024, validator=_positive)

    def session_settings(
        self, *, instructions: str, tools: tuple[ToolSpec, ...], voice: str | Unset = UNSET
    ) -> Session:
        """The ``session.update`` for an agent with these instructions and tools.

        Tools are always named, also none of them: the service would keep the old ones.
        """
        return Session(
            output_modalities=self.output_modalities,
            instructions=instructions,
            tools=tools,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            max_output_tokens=self.max_output_tokens,
            reasoning=self.reasoning,
            tracing=self.tracing,
            truncation=self.truncation,
            prompt=self.prompt,
            include=self.include,
            audio=self._audio(voice),
        )

    def _audio(self, voice: str | Unset) -> AudioSettings:
        return AudioSettings(
            input=AudioInput(
                format=self.input_format,
                transcription=self.transcription,
                noise_reduction=self.noise_reduction,
                turn_detection=self.turn_detection,
            ),
            output=AudioOutput(
                format=self.output_format,
                voice=self.voice if not isinstance(self.voice, Unset) else voice,
                speed=self.speed,
            ),
        )


__all__ = ["OverflowPolicy", "SemanticVad", "ServerVad", "SessionConfig"]
