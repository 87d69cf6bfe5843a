"""The agent that answers where the user names none, and how to load one that they name."""

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
    """An agent with a few harmless tools."""
    return RealtimeAgent(
        name="Assistant", instructions=INSTRUCTIONS, tools=[get_weather, get_time, count_letters]
    )


def load_agent(spec: str | None) -> RealtimeAgent[None]:
    """The agent that ``module:name`` names, searched in the current directory first.

    Raises:
        MendIt: there is no such module, or no agent of this name in it.
    """
    if spec is None:
        return default_agent()
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise UserFacingError(f"--agent is module:name, for example my_agents:clerk, not {spec!r}")
    found = getattr(_import(module), name, None)
    if not isinstance(found, RealtimeAgent):
        raise UserFacingError(f"--agent {spec}: {module} has no RealtimeAgent named {name!r}")
    return cast("RealtimeAgent[None]", found)


def _import(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (ImportError, RealtimeError) as exc:
        raise UserFacingError(f"--agent: cannot import {module!r}: {exc}") from exc
