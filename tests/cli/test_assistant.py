"""The built-in agent."""

from __future__ import annotations

from typing import Any

from trio_realtime.cli.assistant import get_weather


async def test_the_weather_is_made_up_but_stays_the_same() -> None:
    tool: Any = get_weather
    assert await tool.invoke(None, '{"city": "Oslo"}') == "It is sunny in Oslo, 25 degrees."
