"""What the import paths of a spec stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime._declarations import check_callable
from trio_realtime.agents import (
    AgentHandoff,
    FunctionTool,
    InputGuardrail,
    McpServer,
    OutputGuardrail,
    RealtimeAgent,
    function_tool,
)
from trio_realtime.errors import ConfigurationError

from .agent_spec import AgentSpec
from .handoff_table import HandoffSpec
from .imports import import_object, import_object_in_thread
from .mcp_table import McpServerSpec
from .paths import SpecError, describe_type

__all__ = [
    "McpSource",
    "References",
    "check_references",
    "import_references",
    "import_references_in_threads",
]

McpSource: TypeAlias = McpServerSpec | McpServer | Callable[..., Any]


@attrs.frozen(kw_only=True)
class References:
    """The objects of a spec. Those that are built later have the paths of their keys.

    Attributes:
        tools, output_guardrails, input_guardrails: what the agent gets.
        context_builder: the function that makes the context, if there is one.
        mcp_servers: MCP servers, and functions that build some.
        handoffs: handoffs whose ``agent`` is the name of a spec, an agent, a handoff or a function.
    """

    tools: tuple[FunctionTool, ...]
    output_guardrails: tuple[OutputGuardrail, ...]
    input_guardrails: tuple[InputGuardrail, ...]
    context_builder: Callable[..., Any] | None
    mcp_servers: tuple[tuple[str, McpSource], ...]
    handoffs: tuple[tuple[str, HandoffSpec], ...]


def import_references(spec: AgentSpec) -> References:
    """Import everything that a spec names, and check what it is.

    Raises:
        SpecError: an import fails, or an object is not what the key stands for.
    """
    return _resolve(
        spec, {key: import_object(path, spec.path(key)) for key, path in _import_paths(spec)}
    )


async def import_references_in_threads(spec: AgentSpec) -> References:
    """Do the same as :func:`import_references`, but import modules in threads.

    Raises:
        SpecError: as for :func:`import_references`.
    """
    objects = {
        key: await import_object_in_thread(path, spec.path(key))
        for key, path in _import_paths(spec)
    }
    return _resolve(spec, objects)


def check_references(spec: AgentSpec) -> None:
    """Check that everything a spec names can be imported.

    Raises:
        SpecError: as for :func:`import_references`.
    """
    import_references(spec)


def _entries(spec: AgentSpec) -> list[tuple[str, Any]]:
    """Return what a spec refers to, with the paths of the keys."""
    lists: Mapping[str, Sequence[Any]] = {
        "tools": spec.tools,
        "output_guardrails": spec.output_guardrails,
        "input_guardrails": spec.input_guardrails,
        "mcp_servers": spec.mcp_servers,
        "handoffs": [one.agent for one in spec.handoffs if one.spec_name is None],
    }
    positions = [i for i, one in enumerate(spec.handoffs) if one.spec_name is None]
    entries: list[tuple[str, Any]] = [("context_builder", spec.context_builder)]
    for key, values in lists.items():
        indices = positions if key == "handoffs" else range(len(values))
        entries += [(f"{key}[{index}]", one) for index, one in zip(indices, values, strict=True)]
    return entries


def _import_paths(spec: AgentSpec) -> list[tuple[str, str]]:
    return [(key, one) for key, one in _entries(spec) if isinstance(one, str)]


def _resolve(spec: AgentSpec, imported: Mapping[str, Any]) -> References:
    found = {key: imported.get(key, one) for key, one in _entries(spec)}

    def listed(name: str, convert: Callable[[Any, str], Any]) -> tuple[Any, ...]:
        return tuple(
            convert(one, spec.path(key)) for key, one in found.items() if key.startswith(f"{name}[")
        )

    builder = found["context_builder"]
    if builder is not None:
        _check_function(builder, spec.path("context_builder"), "variables", "settings")
    return References(
        tools=listed("tools", _as_tool),
        output_guardrails=listed("output_guardrails", _as_guardrail(OutputGuardrail)),
        input_guardrails=listed("input_guardrails", _as_guardrail(InputGuardrail)),
        context_builder=builder,
        mcp_servers=listed("mcp_servers", _as_mcp_source),
        handoffs=tuple(
            _as_handoff(one, found.get(f"handoffs[{index}]"), spec.path(f"handoffs[{index}]"))
            for index, one in enumerate(spec.handoffs)
        ),
    )


# --- kinds of objects --------------------------------------------------------------------------


# The errors do not quote the objects: a wrong path may lead to a setting of the application, such as a key.


def _check_function(value: Any, path: str, *parameters: str) -> None:
    if not callable(value):
        raise SpecError(path, f"expected a function, got {describe_type(value)}")
    try:
        check_callable(value, "the function", *parameters)
    except ConfigurationError as exc:
        raise SpecError(path, str(exc)) from None


def _as_tool(value: Any, path: str) -> FunctionTool:
    if isinstance(value, FunctionTool):
        return value
    if not callable(value) or isinstance(value, type):
        raise SpecError(path, f"expected a FunctionTool or a function, got {describe_type(value)}")
    try:
        return function_tool(value)
    except ConfigurationError as exc:
        raise SpecError(path, str(exc)) from None


def _as_guardrail(cls: type[Any]) -> Callable[[Any, str], Any]:
    decorator = "output_guardrail" if cls is OutputGuardrail else "input_guardrail"

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, cls):
            raise SpecError(
                path,
                f"expected an {cls.__name__}, got {describe_type(value)}: decorate the function "
                f"with @{decorator}",
            )
        return value

    return convert


def _as_mcp_source(value: Any, path: str) -> tuple[str, McpSource]:
    if not isinstance(value, McpServerSpec | McpServer):
        _check_function(value, path, "settings", "spec")
    return path, value


def _as_handoff(declared: HandoffSpec, value: Any, path: str) -> tuple[str, HandoffSpec]:
    if declared.spec_name is not None:
        return path, declared
    if not isinstance(value, RealtimeAgent | AgentHandoff):
        _check_function(value, path, "settings", "spec")
    return path, attrs.evolve(declared, agent=value)
