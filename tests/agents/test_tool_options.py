"""Options of tools: invalid values are rejected."""

from __future__ import annotations

from typing import Any

import pytest

from support.tools import make_booking_tool, make_failing_tool
from trio_realtime import errors


@pytest.mark.parametrize("options", [{"finish_timeout": 0}, {"timeout": -1}])
def test_times_must_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        make_booking_tool([], **options)


def test_on_interrupt_rejects_unknown_policies() -> None:
    with pytest.raises(ValueError, match="on_interrupt"):
        make_booking_tool([], on_interrupt="ignore")


@pytest.mark.parametrize("options", [{"on_timeout": "ignore"}, {"on_failure": "raise"}])
def test_on_timeout_and_on_failure_reject_unknown_policies(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        make_failing_tool(**options)
