"""The tool of the agent that runs on the gateway."""

from __future__ import annotations

from trio_realtime import function_tool


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"
