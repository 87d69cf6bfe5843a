"""Guardrails: checks of what is said, by the agent or by the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, TypeVar, overload

import attrs

from trio_realtime.errors import ConfigurationError

from ._validation import as_tuple
from .contexts import AgentContext


@attrs.frozen
class GuardrailResult:
    """What a guardrail found.

    Attributes:
        tripped: whether it objects.
        info: for whoever reads the ``guardrail_tripped`` event.
        message: of a tool's guardrail, what the model is told instead; ``None`` for the usual words,
            which also stand in for what is no text.
    """

    tripped: bool
    info: Any = None
    message: str | None = None


Verdict: TypeAlias = GuardrailResult | bool
Check: TypeAlias = Callable[[AgentContext[Any], str], Verdict | Awaitable[Verdict]]


@attrs.frozen(kw_only=True, eq=False)
class Guardrail:
    """A check with a name.

    Args:
        name: what the model and the events call it.
        check: called, sync or async, with the :class:`AgentContext` and the text so far; returns
            whether it trips, or a :class:`GuardrailResult`.
        fail_closed: whether it counts as tripped when ``check`` raises, whatever it is. The error is
            an event either way.
    """

    name: str
    check: Check = attrs.field(repr=False)
    fail_closed: bool = False


class OutputGuardrail(Guardrail):
    """Checks what the agent says, while it says it and once more in full."""


class InputGuardrail(Guardrail):
    """Checks what the user writes, or was heard to say."""


@overload
def output_guardrail(check: Check, /) -> OutputGuardrail: ...


@overload
def output_guardrail(
    *, name: str | None = None, fail_closed: bool = False
) -> Callable[[Check], OutputGuardrail]: ...


def output_guardrail(
    check: Check | None = None, /, *, name: str | None = None, fail_closed: bool = False
) -> OutputGuardrail | Callable[[Check], OutputGuardrail]:
    """Make a guardrail of a function that checks what the agent says; see :class:`Guardrail`."""

    def make(check: Check) -> OutputGuardrail:
        return OutputGuardrail(name=name or check_name(check), check=check, fail_closed=fail_closed)

    return make if check is None else make(check)


@overload
def input_guardrail(check: Check, /) -> InputGuardrail: ...


@overload
def input_guardrail(
    *, name: str | None = None, fail_closed: bool = False
) -> Callable[[Check], InputGuardrail]: ...


def input_guardrail(
    check: Check | None = None, /, *, name: str | None = None, fail_closed: bool = False
) -> InputGuardrail | Callable[[Check], InputGuardrail]:
    """Make a guardrail of a function that checks what the user says; see :class:`Guardrail`."""

    def make(check: Check) -> InputGuardrail:
        return InputGuardrail(name=name or check_name(check), check=check, fail_closed=fail_closed)

    return make if check is None else make(check)


G = TypeVar("G")


def guardrails_of(kind: type[G], given: Iterable[Any]) -> tuple[G, ...]:
    """Guardrails of one kind.

    Raises:
        ConfigurationError: something else is among them.
    """
    guardrails = as_tuple(given, "guardrails")
    for guardrail in guardrails:
        if not isinstance(guardrail, kind):
            raise ConfigurationError(f"{guardrail!r} is no {kind.__name__}: decorate it as one")
    return guardrails


def check_name(check: Any) -> str:
    """What a check is called that was given no name: as the function."""
    return getattr(check, "__name__", type(check).__name__)
