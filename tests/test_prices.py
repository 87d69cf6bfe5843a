"""What the usage of a session costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from support.usage import SPOKEN, usage
from trio_realtime import PriceTable, Usage
from trio_realtime.errors import ConfigurationError, UsageError

PRICES = PriceTable(
    input_text="4",
    input_audio=32,
    input_image=5.0,
    cached_text="0.4",
    output_text=16,
    output_audio=64,
    transcription_minute="0.006",
    transcription_input="1.25",
    transcription_output=5,
)


def test_cost_is_the_sum_over_all_kinds_of_tokens() -> None:
    """Input tokens include the cached ones, which have a price of their own."""
    expected = (
        (119 - 64) * Decimal(4)
        + 64 * Decimal("0.4")
        + 11 * Decimal(32)
        + 2 * Decimal(5)
        + 30 * Decimal(16)
        + 91 * Decimal(64)
    ) / 1_000_000

    assert PRICES.cost(Usage().plus(usage(**SPOKEN))) == expected
    assert PRICES.cost(usage(**SPOKEN)) == expected


def test_cached_tokens_without_a_price_cost_as_much_as_others() -> None:
    table = attrs.evolve(PRICES, cached_text=None)

    assert table.cost(usage(**SPOKEN)) - PRICES.cost(usage(**SPOKEN)) == (
        64 * (Decimal(4) - Decimal("0.4")) / 1_000_000
    )


def test_tokens_without_a_modality_cost_as_text() -> None:
    assert PRICES.cost(usage(input_tokens=1_000_000, output_tokens=500_000)) == 4 + 8


def test_transcriptions_are_billed_by_minutes_and_by_tokens() -> None:
    assert PRICES.cost(Usage(transcription_seconds=90.0)) == Decimal("0.009")
    tokens = Usage(transcription_input_tokens=1_000_000, transcription_output_tokens=200_000)
    assert PRICES.cost(tokens) == Decimal("2.25")


def test_nothing_costs_nothing_without_prices() -> None:
    assert PriceTable().cost(Usage(responses=3)) == 0


@pytest.mark.parametrize(
    ("used", "name"),
    [
        (Usage(output_tokens=5, output_audio_tokens=5), "output_audio"),
        (Usage(input_tokens=5, cached_tokens=5, cached_text_tokens=5), "input_text"),
        (Usage(transcription_seconds=1.0), "transcription_minute"),
    ],
)
def test_missing_price_is_named(used: Usage, name: str) -> None:
    with pytest.raises(UsageError, match=f"the table has no price: give {name}="):
        PriceTable().cost(used)


@pytest.mark.parametrize("price", [-1, "free", "", float("nan"), float("inf"), True, b"4"])
def test_price_must_be_a_number(price: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a price must be a number >= 0, got"):
        PriceTable(output_audio=price)


@given(
    counts=st.lists(
        st.fixed_dictionaries(
            {"input_tokens": st.integers(0, 9), "output_tokens": st.integers(0, 9)}
        )
    )
)
def test_cost_of_a_session_is_the_sum_of_the_costs_of_its_responses(
    counts: list[dict[str, int]],
) -> None:
    responses = [usage(**count) for count in counts]
    total = Usage()
    for response in responses:
        total = total.plus(response)

    assert PRICES.cost(total) == sum(map(PRICES.cost, responses))
