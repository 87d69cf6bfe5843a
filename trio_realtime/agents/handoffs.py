"""Handoffs: functions with which the model transfers the conversation to another agent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

import attrs

from trio_realtime._declarations import check_callable, explains
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

from ._schema.type_schema import TypeSchema
from ._validation import as_tuple
from .agent import RealtimeAgent
from .contexts import AgentContext, Condition, check_condition, maybe_await
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
        raise ConfigurationError(f"handoff: expected a RealtimeAgent, got {agent!r}")


def _check_is_enabled(handoff: AgentHandoff[Any], _: Any, condition: Any) -> None:
    check_condition(condition, f"is_enabled of handoff {handoff.name}", "context")


@attrs.frozen(kw_only=True, eq=False)
class AgentHandoff(Generic[ContextT]):
    """A function with which the model transfers the conversation. Make one with :func:`handoff`.

    Args:
        agent: the agent that takes over.
        name: the function's name: up to 64 ASCII letters, digits, ``_`` and ``-``.
        description: when to transfer the conversation, for the model.
        on_handoff: called before the agent takes over; see :func:`handoff`.
        input_type: the type of the input that the model passes; ``None`` for no input.
        is_enabled: whether the model may call the function; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: if ``agent`` or ``name`` is invalid.
    """

    agent: RealtimeAgent[ContextT] = attrs.field(validator=_check_agent)
    name: str = attrs.field(validator=check_tool_name)
    description: str = attrs.field(repr=False)
    on_handoff: Callable[..., Any] | None = attrs.field(default=None, repr=False)
    input_type: Any = None
    is_enabled: Condition = attrs.field(default=True, validator=_check_is_enabled)

    on_interrupt: ClassVar[Literal["cancel"]] = "cancel"

    def spec(self) -> FunctionToolSpec:
        """Return the handoff's entry in the ``tools`` of the session's settings."""
        return FunctionToolSpec(
            name=self.name, description=self.description, parameters=self._parameters()
        )

    def _parameters(self) -> Mapping[str, Any]:
        if self.input_type is None:
            return NO_ARGUMENTS
        return TypeSchema(self.input_type, self.name).json_schema()

    async def begin(self, context: AgentContext[Any], arguments: str) -> None:
        """Decode the model's input and call ``on_handoff``, before the agent takes over.

        Args:
            context: the session's context and the agent that hands over.
            arguments: the model's input as JSON text.

        Raises:
            InvalidArguments: if the input does not match ``input_type``.
            Exception: anything that ``on_handoff`` raises. The handoff must not take place then.
        """
        inputs = () if self.input_type is None else (self._decode_input(arguments),)
        if self.on_handoff is not None:
            await maybe_await(self.on_handoff(context, *inputs))

    def _decode_input(self, arguments: str) -> Any:
        return TypeSchema(self.input_type, self.name).decode(arguments)


@explains(
    {
        "tool_name_override": "write name=",
        "tool_description_override": "write description=",
        "input_filter": "the next agent sees the whole conversation, which the service keeps",
    }
)
def handoff(
    agent: RealtimeAgent[ContextT],
    *,
    name: str | None = None,
    description: str | None = None,
    on_handoff: Callable[..., Any] | None = None,
    input_type: Any = None,
    is_enabled: Condition = True,
) -> AgentHandoff[ContextT]:
    """Make a handoff to an agent.

    Without options, this is equivalent to listing the agent itself in ``handoffs``.

    Args:
        agent: the agent that takes over.
        name: the name of the function that the model calls; by default ``transfer_to_`` and the agent's
            name in lower case, cut to 64 characters, the most that the service accepts.
        description: when to transfer the conversation, for the model.
        on_handoff: a function, sync or async, called before the agent takes over. It receives the
            :class:`AgentContext` and, if there is an ``input_type``, the model's input. If it raises,
            the handoff does not take place and the model receives the error.
        input_type: the type of the input that the model must pass: a dataclass, attrs class, TypedDict,
            msgspec Struct or pydantic model. It requires ``on_handoff``.
        is_enabled: whether the model may call the function; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: if ``agent`` is not a :class:`RealtimeAgent`; if the service does not accept
            the name; if ``on_handoff`` does not accept its arguments, or is missing although there is
            an ``input_type``; or if the ``input_type`` is not an object in JSON.
    """
    _check_agent(None, None, agent)
    if input_type is not None and on_handoff is None:
        raise ConfigurationError(
            "handoff: input_type requires an on_handoff that accepts the input"
        )
    if on_handoff is not None:
        parameters = ("context",) if input_type is None else ("context", "input")
        check_callable(on_handoff, f"on_handoff of the handoff to {agent.name!r}", *parameters)
    name = name or f"transfer_to_{_snake_case(agent.name)}"[:MAX_NAME].rstrip("_")
    if input_type is not None:
        _check_input_type(input_type, name)
    return AgentHandoff(
        agent=agent,
        name=name,
        description=description or f"Hand the conversation over to {agent.name}.",
        on_handoff=on_handoff,
        input_type=input_type,
        is_enabled=is_enabled,
    )


def _snake_case(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip(), flags=re.ASCII).strip("_").lower() or "agent"


def _check_input_type(input_type: Any, name: str) -> None:
    """Check that a type is an object in JSON, as the arguments of a function must be."""
    if TypeSchema(input_type, name).json_schema().get("type") != "object":
        raise ConfigurationError(
            f"handoff {name}: input_type must be an object in JSON: use a dataclass with fields"
        )


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
