"""Parse the header ``Retry-After`` of HTTP responses (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["parse_retry_after"]

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_retry_after(headers: Iterable[tuple[str, str]]) -> float | None:
    """Return the seconds to wait before the next attempt; ``None`` without a valid header.

    A date is relative to the header ``Date`` of the same response, so that a wrong clock of this
    machine does not matter. A date in the past is 0.
    """
    values = {name.lower(): value.strip() for name, value in headers}
    value = values.get("retry-after", "")
    if _SECONDS.fullmatch(value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    date = _parse_date(value)
    if date is None:
        return None
    now = _parse_date(values.get("date", "")) or datetime.now(UTC)
    return max((date - now).total_seconds(), 0.0)


def _parse_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # The zone "-0000" gives a date without a zone. HTTP dates are always in UTC.
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
