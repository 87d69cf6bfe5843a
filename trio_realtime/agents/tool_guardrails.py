"""Guardrails of tools: checks of what a tool is called with, and of what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, overload

import attrs

from .contexts import ToolContext
from .guardrails import Verdict, check_name

InputCheck: TypeAlias = Callable[[ToolContext[Any], dict[str, Any]], Verdict | Awaitable[Verdict]]
OutputCheck: TypeAlias = Callable[[ToolContext[Any], Any], Verdict | Awaitable[Verdict]]


@attrs.frozen(kw_only=True, eq=False)
class ToolInputGuardrail:
    """Checks the arguments of a call; if it trips, the tool is not run.

    Args:
        name: what the events call it.
        check: called, sync or async, with the :class:`ToolContext` and the arguments as the model
            gave them; returns whether it trips, or a :class:`GuardrailResult`, whose ``message`` the
            model is told then.
        fail_closed: whether it counts as tripped when ``check`` raises. The error is an event
            either way.
    """

    name: str
    check: InputCheck = attrs.field(repr=False)
    fail_closed: bool = False


@attrs.frozen(kw_only=True, eq=False)
class ToolOutputGuardrail:
    """Checks what a tool returns, as the object it returns; if it trips, the model is not told.

    The arguments are those of :class:`ToolInputGuardrail`; ``check`` is called with the
    :class:`ToolContext` and the result.
    """

    name: str
    check: OutputCheck = attrs.field(repr=False)
    fail_closed: bool = False


@overload
def tool_input_guardrail(check: InputCheck, /) -> ToolInputGuardrail: ...


@overload
def tool_input_guardrail(
    *, name: str | None = None, fail_closed: bool = False
) -> Callable[[InputCheck], ToolInputGuardrail]: ...


def tool_input_guardrail(
    check: InputCheck | None = None, /, *, name: str | None = None, fail_closed: bool = False
) -> ToolInputGuardrail | Callable[[InputCheck], ToolInputGuardrail]:
    """Make a guardrail of a function that checks arguments; see :class:`ToolInputGuardrail`."""

    def make(check: InputCheck) -> ToolInputGuardrail:
        return ToolInputGuardrail(
            name=name or check_name(check), check=check, fail_closed=fail_closed
        )

    return make if check is None else make(check)


@overload
def tool_output_guardrail(check: OutputCheck, /) -> ToolOutputGuardrail: ...


@overload
def tool_output_guardrail(
    *, name: str | None = None, fail_closed: bool = False
) -> Callable[[OutputCheck], ToolOutputGuardrail]: ...


def tool_output_guardrail(
    check: OutputCheck | None = None, /, *, name: str | None = None, fail_closed: bool = False
) -> ToolOutputGuardrail | Callable[[OutputCheck], ToolOutputGuardrail]:
    """Make a guardrail of a function that checks results; see :class:`ToolOutputGuardrail`."""

    def make(check: OutputCheck) -> ToolOutputGuardrail:
        return ToolOutputGuardrail(
            name=name or check_name(check), check=check, fail_closed=fail_closed
        )

    return make if check is None else make(check)
