"""Handoffs: another agent takes over when the model asks for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

from ._schema.function_schema import TypeSchema
from ._validation import as_tuple
from .agent import RealtimeAgent
from .contexts import AgentContext, Condition, maybe_await
from .tools import MAX_NAME, check_tool_name

ContextT = TypeVar("ContextT")
NO_ARGUMENTS: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}


def _check_agent(_handoff: Any, _: Any, agent: Any) -> None:
    if not isinstance(agent, RealtimeAgent):
        raise ConfigurationError(f"handoff: {agent!r} is no agent")


@attrs.frozen(kw_only=True, eq=False)
class AgentHandoff(Generic[ContextT]):
    """A handoff as the model sees it: a function without an answer of its own. See :func:`handoff`."""

    agent: RealtimeAgent[ContextT] = attrs.field(validator=_check_agent)
    name: str = attrs.field(validator=check_tool_name)
    description: str = attrs.field(repr=False)
    on_handoff: Callable[..., Any] | None = attrs.field(default=None, repr=False)
    input_type: Any = None
    is_enabled: Condition = True

    def spec(self) -> FunctionToolSpec:
        """The handoff as it stands in the session's settings."""
        return FunctionToolSpec(
            name=self.name, description=self.description, parameters=self._parameters()
        )

    def _parameters(self) -> Mapping[str, Any]:
        if self.input_type is None:
            return NO_ARGUMENTS
        return TypeSchema(self.input_type, self.name).schema()

    async def begin(self, context: AgentContext[Any], arguments: str) -> None:
        """Tell ``on_handoff`` that the model wants it.

        Raises:
            InvalidArguments: the model's input does not fit.
            Exception: whatever ``on_handoff`` raises; there is no handoff then.
        """
        given = self._input(arguments)
        if self.on_handoff is not None:
            extra = () if self.input_type is None else (given,)
            await maybe_await(self.on_handoff(context, *extra))

    def _input(self, arguments: str) -> Any:
        if self.input_type is None:
            return None
        return TypeSchema(self.input_type, self.name).read(arguments)


def handoff(
    agent: RealtimeAgent[ContextT],
    *,
    name: str | None = None,
    description: str | None = None,
    on_handoff: Callable[..., Any] | None = None,
    input_type: Any = None,
    is_enabled: Condition = True,
) -> AgentHandoff[ContextT]:
    """Offer another agent to the model, with more to say than the agent alone.

    Args:
        agent: who takes over.
        name: by default ``transfer_to_`` and the agent's name in lower case, cut to the 64 letters
            that the service takes.
        description: for the model: when to ask for it.
        on_handoff: called, sync or async, before the agent takes over, with the
            :class:`AgentContext` and, with an ``input_type``, the model's input. If it raises, there
            is no handoff and the model is told.
        input_type: what the model has to say with it: a dataclass, attrs class, TypedDict, msgspec
            Struct or pydantic model.
        is_enabled: whether the model is offered it; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: there is no agent, or a name that the service does not take;
            ``on_handoff`` does not take these arguments; an ``input_type`` has nobody to take it, no
            schema, or is no object.
    """
    _check_agent(None, None, agent)
    if input_type is not None and on_handoff is None:
        raise ConfigurationError("handoff: an input_type needs an on_handoff that takes it")
    if on_handoff is not None:
        _check_arity(on_handoff, 1 if input_type is None else 2)
    name = name or f"transfer_to_{_snake(agent.name)}"[:MAX_NAME].rstrip("_")
    if input_type is not None:
        _check_input(input_type, name)
    return AgentHandoff(
        agent=agent,
        name=name,
        description=description or f"Hand the conversation over to {agent.name}.",
        on_handoff=on_handoff,
        input_type=input_type,
        is_enabled=is_enabled,
    )


def _snake(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip(), flags=re.ASCII).strip("_").lower() or "agent"


def _check_input(kind: Any, name: str) -> None:
    """See that the service will take it as the arguments of a function, which are an object."""
    if TypeSchema(kind, name).schema().get("type") != "object":
        raise ConfigurationError(
            f"handoff {name}: the input_type is no object in JSON; use a dataclass with fields"
        )


def _check_arity(function: Callable[..., Any], wanted: int) -> None:
    try:
        inspect.signature(function).bind(*range(wanted))
    except (TypeError, ValueError):  # the latter from builtins, which do not say what they take
        raise ConfigurationError(
            f"handoff: on_handoff has to take {wanted} argument{'s' if wanted > 1 else ''}: "
            f"the context{' and the input' if wanted > 1 else ''}"
        ) from None


def as_handoffs(agent: RealtimeAgent[Any]) -> tuple[AgentHandoff[Any], ...]:
    """The agent's handoffs; plain agents among them as :func:`handoff` makes them."""
    declared = agent.handoffs() if callable(agent.handoffs) else agent.handoffs
    return tuple(_as_handoff(one) for one in as_tuple(declared, "handoffs"))


def _as_handoff(declared: Any) -> AgentHandoff[Any]:
    kind: type[Any] = declared.__class__
    if issubclass(kind, AgentHandoff):
        return declared  # type: ignore[no-any-return]
    if issubclass(kind, RealtimeAgent):
        return handoff(declared)
    raise ConfigurationError(f"{declared!r} is no agent and no handoff")
