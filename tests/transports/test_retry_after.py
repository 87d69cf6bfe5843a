"""The header Retry-After, in both forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from trio_realtime.transports._retry_after import parse_retry_after

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("Retry-After", "120"),), 120.0),
        ((("retry-after", " 1.5 "),), 1.5),
        ((("Retry-After", "0"),), 0.0),
        ((("Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT"), ("Date", DATE)), 30.0),
        ((("Retry-After", "Wed, 21 Oct 2026 07:28:30 -0000"), ("Date", DATE)), 30.0),
        ((("Retry-After", DATE), ("Date", "Wed, 21 Oct 2026 08:00:00 GMT")), 0.0),
        ((("Retry-After", "Mon, 01 Jan 2001 00:00:00 GMT"),), 0.0),
        ((), None),
        ((("Retry-After", ""),), None),
        ((("Retry-After", "soon"),), None),
        ((("Retry-After", "-5"),), None),
        ((("Retry-After", "9" * 400),), None),
        ((("Retry-After", "Wed, 99 Oct 2026 07:28:30 GMT"),), None),
        ((("Retry-After", "Wed, 21 Oct 99999999999 07:28:30 GMT"),), None),
    ],
)
def test_retry_after_is_parsed(headers: tuple[tuple[str, str], ...], seconds: float | None) -> None:
    assert parse_retry_after(headers) == seconds


def test_a_date_without_the_date_of_the_response_is_relative_to_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = parse_retry_after((("Retry-After", date),))
    assert seconds is not None
    assert 50 < seconds <= 100
