"""The built-in agent, and loading an agent by its import path."""

from __future__ import annotations

import importlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from trio_realtime import RealtimeAgent, RealtimeError, function_tool

from .exit import UserFacingError

INSTRUCTIONS = "You are a friendly assistant at a terminal. Answer in one or two short sentences."


@function_tool
async def get_weather(city: str) -> str:
    """Made-up weather in a city, always the same for the same city."""
    skies = ("sunny", "cloudy", "rainy", "windy", "snowy")
    seed = sum(city.casefold().encode())
    return f"It is {skies[seed % len(skies)]} in {city}, {seed % 30} degrees."


@function_tool
async def get_time() -> str:
    """The time on this machine."""
    return f"It is {datetime.now().astimezone():%H:%M}."


@function_tool
async def count_letters(word: str) -> str:
    """How many letters a word has."""
    return f"{word} has {sum(map(str.isalpha, word))} letters."


def default_agent() -> RealtimeAgent[None]:
    """Create the built-in agent, which has a few harmless tools."""
    return RealtimeAgent(
        name="Assistant", instructions=INSTRUCTIONS, tools=[get_weather, get_time, count_letters]
    )


def load_agent(spec: str | None) -> RealtimeAgent[None]:
    """Import the agent that ``module:name`` names, searching the current directory first.

    Returns the built-in agent if ``spec`` is None.

    Raises:
        UserFacingError: the module cannot be imported, or has no agent of that name.
    """
    if spec is None:
        return default_agent()
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise UserFacingError(
            f"--agent must be module:name, for example my_agents:clerk; got {spec!r}"
        )
    agent = getattr(_import(module), name, None)
    if not isinstance(agent, RealtimeAgent):
        raise UserFacingError(f"--agent {spec}: {module} has no RealtimeAgent named {name!r}")
    return cast("RealtimeAgent[None]", agent)


def _import(module: str) -> Any:
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(module)
    except (ImportError, RealtimeError) as exc:
        raise UserFacingError(f"--agent: cannot import {module!r}: {exc}") from exc
