"""Guardrails of tools: checks of a call's arguments and of its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, overload

import attrs

from trio_realtime._declarations import check_callable

from .contexts import ToolContext
from .guardrails import DEFAULT_TIMEOUT, Verdict, check_timeout, decorate

InputCheck: TypeAlias = Callable[[ToolContext[Any], dict[str, Any]], Verdict | Awaitable[Verdict]]
OutputCheck: TypeAlias = Callable[[ToolContext[Any], Any], Verdict | Awaitable[Verdict]]


def _check_input_check(guardrail: ToolInputGuardrail, _: Any, check: Any) -> None:
    check_callable(check, f"tool guardrail {guardrail.name!r}", "context", "arguments")


def _check_output_check(guardrail: ToolOutputGuardrail, _: Any, check: Any) -> None:
    check_callable(check, f"tool guardrail {guardrail.name!r}", "context", "result")


@attrs.frozen(kw_only=True, eq=False)
class ToolInputGuardrail:
    """A check of a call's arguments. If it trips, the tool does not run.

    Make one with :func:`tool_input_guardrail`.

    Args:
        name: the guardrail's name in events.
        check: a function, sync or async. It is called with the :class:`ToolContext` and the arguments
            as the model sent them, decoded from JSON. It returns whether the guardrail trips, or a
            :class:`GuardrailResult`, whose ``message`` the model receives as the result of the call.
        fail_closed: whether the guardrail counts as tripped when ``check`` raises or times out. In
            either case an ``events.Error`` reports it.
        timeout: seconds that ``check`` may take, if it is async; ``None`` for no limit.
    """

    name: str
    check: InputCheck = attrs.field(validator=_check_input_check, repr=False)
    fail_closed: bool = False
    timeout: float | None = attrs.field(default=DEFAULT_TIMEOUT, validator=check_timeout)


@attrs.frozen(kw_only=True, eq=False)
class ToolOutputGuardrail:
    """A check of a call's result. If it trips, the model does not receive the result.

    Make one with :func:`tool_output_guardrail`.

    Args:
        name: the guardrail's name in events.
        check: a function, sync or async. It is called with the :class:`ToolContext` and the object
            that the tool returned. It returns whether the guardrail trips, or a
            :class:`GuardrailResult`, whose ``message`` the model receives in place of the result.
        fail_closed: whether the guardrail counts as tripped when ``check`` raises or times out. In
            either case an ``events.Error`` reports it.
        timeout: seconds that ``check`` may take, if it is async; ``None`` for no limit.
    """

    name: str
    check: OutputCheck = attrs.field(validator=_check_output_check, repr=False)
    fail_closed: bool = False
    timeout: float | None = attrs.field(default=DEFAULT_TIMEOUT, validator=check_timeout)


@overload
def tool_input_guardrail(check: InputCheck, /) -> ToolInputGuardrail: ...


@overload
def tool_input_guardrail(
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Callable[[InputCheck], ToolInputGuardrail]: ...


def tool_input_guardrail(
    check: InputCheck | None = None,
    /,
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> ToolInputGuardrail | Callable[[InputCheck], ToolInputGuardrail]:
    """Make a guardrail of a function that checks a call's arguments.

    Use it as a decorator, with or without arguments, and pass the result to
    ``function_tool(input_guardrails=...)``.

    Args:
        check: the function, sync or async; :class:`ToolInputGuardrail` says what it is called with
            and returns.
        name: the guardrail's name in events; the function's name by default.
        fail_closed: whether the guardrail counts as tripped when the function raises or times out.
        timeout: seconds that an async function may take; ``None`` for no limit.
    """
    return decorate(ToolInputGuardrail, check, name=name, fail_closed=fail_closed, timeout=timeout)


@overload
def tool_output_guardrail(check: OutputCheck, /) -> ToolOutputGuardrail: ...


@overload
def tool_output_guardrail(
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Callable[[OutputCheck], ToolOutputGuardrail]: ...


def tool_output_guardrail(
    check: OutputCheck | None = None,
    /,
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> ToolOutputGuardrail | Callable[[OutputCheck], ToolOutputGuardrail]:
    """Make a guardrail of a function that checks a call's result.

    Use it as a decorator, with or without arguments, and pass the result to
    ``function_tool(output_guardrails=...)``.

    Args:
        check: the function, sync or async; :class:`ToolOutputGuardrail` says what it is called with
            and returns.
        name: the guardrail's name in events; the function's name by default.
        fail_closed: whether the guardrail counts as tripped when the function raises or times out.
        timeout: seconds that an async function may take; ``None`` for no limit.
    """
    return decorate(ToolOutputGuardrail, check, name=name, fail_closed=fail_closed, timeout=timeout)
