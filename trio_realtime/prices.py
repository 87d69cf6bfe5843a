"""What the usage of a session costs, by prices that the application gives."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import attrs

from .errors import ConfigurationError, UsageError
from .usage import Usage
from .wire import ResponseUsage

Price: TypeAlias = Decimal | int | float | str
"""A price, for example ``"0.40"``. A float counts as the decimal number that it prints."""


def _price(value: Price | None) -> Decimal | None:
    if value is None:
        return None
    given: Any = value
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if isinstance(given, bool) or not price.is_finite() or price < 0:
        raise ConfigurationError(f"a price must be a number >= 0, got {value!r}")
    return price


_MILLION = Decimal(1_000_000)


@attrs.frozen(kw_only=True)
class PriceTable:
    """Prices of a model and of a transcription model, in any currency.

    The library knows no prices: fill in those of your service. A price that you do not need may be left
    out.

    Args:
        input_text, input_audio, input_image: prices of a million input tokens.
        cached_text, cached_audio, cached_image: prices of a million cached input tokens; by default, those
            of tokens that are not cached.
        output_text, output_audio: prices of a million output tokens.
        transcription_minute: price of a minute of transcribed audio.
        transcription_input, transcription_output: prices of a million tokens of the transcription model.

    Raises:
        ConfigurationError: a price is negative or no number.
    """

    input_text: Decimal | None = attrs.field(default=None, converter=_price)
    input_audio: Decimal | None = attrs.field(default=None, converter=_price)
    input_image: Decimal | None = attrs.field(default=None, converter=_price)
    cached_text: Decimal | None = attrs.field(default=None, converter=_price)
    cached_audio: Decimal | None = attrs.field(default=None, converter=_price)
    cached_image: Decimal | None = attrs.field(default=None, converter=_price)
    output_text: Decimal | None = attrs.field(default=None, converter=_price)
    output_audio: Decimal | None = attrs.field(default=None, converter=_price)
    transcription_minute: Decimal | None = attrs.field(default=None, converter=_price)
    transcription_input: Decimal | None = attrs.field(default=None, converter=_price)
    transcription_output: Decimal | None = attrs.field(default=None, converter=_price)

    def cost(self, usage: Usage | ResponseUsage) -> Decimal:
        """Return what a session, a turn or a response costs.

        Tokens whose modality the service did not report count as text.

        Args:
            usage: the usage of a session (``s.usage``), of a turn (``AgentEnd.usage``) or of a response
                (``ResponseEnd.usage``).

        Raises:
            UsageError: the usage has tokens or audio for which the table has no price.
        """
        used = Usage().plus(usage) if isinstance(usage, ResponseUsage) else usage
        by_modality = used.cached_audio_tokens + used.cached_image_tokens
        cached_text = max(used.cached_text_tokens, used.cached_tokens - by_modality)
        input_text = used.input_tokens - used.input_audio_tokens - used.input_image_tokens
        output_text = used.output_tokens - used.output_audio_tokens
        tokens = {
            "input_text": max(used.input_text_tokens, input_text) - cached_text,
            "input_audio": used.input_audio_tokens - used.cached_audio_tokens,
            "input_image": used.input_image_tokens - used.cached_image_tokens,
            "cached_text": cached_text,
            "cached_audio": used.cached_audio_tokens,
            "cached_image": used.cached_image_tokens,
            "output_text": max(used.output_text_tokens, output_text),
            "output_audio": used.output_audio_tokens,
            "transcription_input": used.transcription_input_tokens,
            "transcription_output": used.transcription_output_tokens,
        }
        million_tokens = sum(
            (self._price_of(name) * count for name, count in tokens.items() if count > 0),
            Decimal(0),
        )
        cost = million_tokens / _MILLION
        if used.transcription_seconds > 0:
            minutes = Decimal(str(used.transcription_seconds)) / 60
            cost += self._price_of("transcription_minute") * minutes
        return cost

    def _price_of(self, name: str) -> Decimal:
        price: Decimal | None = getattr(self, name)
        if price is None and name.startswith("cached"):
            return self._price_of(name.replace("cached", "input"))
        if price is None:
            raise UsageError(f"the usage has {name}, and the table has no price: give {name}=")
        return price
