"""A scenario that every client can run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

import attrs

from benchmarks.conversation import OpenConversation

Run: TypeAlias = Callable[..., Coroutine[Any, Any, dict[str, float]]]


@attrs.frozen
class Scenario:
    """A coroutine function that uses no library of either kind, with its settings.

    Attributes:
        function: takes a function that opens a conversation, and the settings as keywords. Returns
            its figures.
        settings: the settings.
        has_tool: whether the agent has a tool.
    """

    function: Run
    settings: Mapping[str, Any]
    has_tool: bool = False

    @classmethod
    def load(cls, module: str, settings: Mapping[str, Any]) -> Scenario:
        """Return the scenario of a module: its function ``run_client`` and its ``HAS_TOOL``."""
        loaded = importlib.import_module(module)
        return cls(loaded.run_client, settings, getattr(loaded, "HAS_TOOL", False))

    async def run(self, open_conversation: OpenConversation) -> dict[str, float]:
        """Run the scenario with one client."""
        return await self.function(open_conversation, **self.settings)
