"""Who speaks: a name, instructions and tools. A declaration; sessions do the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import UNSET, FunctionToolSpec, Unset

from .tools import FunctionTool

ContextT = TypeVar("ContextT")


def _as_tools(tools: Iterable[Any]) -> tuple[FunctionTool, ...]:
    return tuple(_as_tool(tool) for tool in tools)


def _as_tool(tool: Any) -> FunctionTool:
    if isinstance(tool, FunctionTool):
        return tool
    name = getattr(tool, "__name__", repr(tool))
    raise ConfigurationError(f"{name} is not a tool; decorate it with @function_tool")


def _check_names(agent: RealtimeAgent[Any], _: Any, tools: tuple[FunctionTool, ...]) -> None:
    names = Counter(tool.name for tool in tools)
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise ConfigurationError(
            f"agent {agent.name!r} has more than one tool named {', '.join(twice)}; rename one"
        )


def _tool_names(tools: tuple[FunctionTool, ...]) -> str:
    return repr([tool.name for tool in tools])


@attrs.frozen(kw_only=True, eq=False)
class RealtimeAgent(Generic[ContextT]):
    """An agent of a realtime session.

    Args:
        name: how events and logs call it.
        instructions: what the model is told to be and to do.
        tools: functions that the model may call, made with :func:`function_tool`.
        voice: the agent's voice, where the session's configuration names none. The service does not
            change voices once it has spoken.

    Raises:
        ConfigurationError: a tool is not one, or two have the same name.
    """

    name: str
    instructions: str = attrs.field(default="", repr=False)
    tools: tuple[FunctionTool, ...] = attrs.field(
        default=(), converter=_as_tools, validator=_check_names, repr=_tool_names
    )
    voice: str | Unset = UNSET

    def find_tool(self, name: str) -> FunctionTool | None:
        """The tool of this name, if the agent has it."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def tool_specs(self) -> tuple[FunctionToolSpec, ...]:
        """The tools as the model is told of them."""
        return tuple(tool.spec() for tool in self.tools)
