"""Configuration of the server."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime.local import (
    local_connector,
)


@pytest.mark.parametrize(
    "settings", [{"pacing": 0.0}, {"pacing": -1.0}, {"latency": -0.1}, {"session_seconds": 0.0}]
)
def test_settings_out_of_range_are_rejected(settings: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        local_connector(**settings)
