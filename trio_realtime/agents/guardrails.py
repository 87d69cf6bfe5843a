"""Guardrails: checks of what the agent and the user say."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar, overload

import attrs

from trio_realtime._declarations import check_callable
from trio_realtime._validation import is_number
from trio_realtime.errors import ConfigurationError
from trio_realtime.events import GuardrailTrip

from ._validation import as_tuple
from .contexts import AgentContext

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds that a check may take by default. A check that hangs would hold back the agent's audio."""


def check_timeout(_guardrail: Any, _attribute: Any, value: Any) -> None:
    """Check the timeout of a guardrail.

    Raises:
        ConfigurationError: it is neither a positive number nor ``None``.
    """
    if value is not None and not (is_number(value) and value > 0):
        raise ConfigurationError(f"timeout must be a number > 0 or None, got {value!r}")


def _check_check(guardrail: Guardrail, _attribute: Any, check: Any) -> None:
    check_callable(check, f"guardrail {guardrail.name!r}", "context", "text")


@attrs.frozen
class GuardrailResult:
    """The verdict of a guardrail's check.

    Args:
        tripped: whether the guardrail objects.
        info: any details, passed on in ``events.GuardrailTripped``.
        message: for tool guardrails: the text that the model receives in place of the call's result.
            With ``None``, or anything but a ``str``, it receives a standard text.
        feedback: for output guardrails: what the model should do instead, for example the policy that
            it violated. The model receives it with the name of the guardrail, and answers again.
            Anything but a ``str`` counts as ``None``.
    """

    tripped: bool
    info: Any = None
    message: str | None = None
    feedback: str | None = None


Verdict: TypeAlias = GuardrailResult | bool
Check: TypeAlias = Callable[[AgentContext[Any], str], Verdict | Awaitable[Verdict]]
FeedbackFormatter: TypeAlias = Callable[[AgentContext[Any], Sequence[GuardrailTrip]], str]
"""Makes the message that tells the model which output guardrails tripped."""


@attrs.frozen(kw_only=True, eq=False)
class Guardrail:
    """A named check of text; the base of :class:`OutputGuardrail` and :class:`InputGuardrail`.

    Args:
        name: the guardrail's name for the model and in events.
        check: a function, sync or async. It is called with the :class:`AgentContext` and the text so
            far, and returns whether the guardrail trips, or a :class:`GuardrailResult`.
        fail_closed: whether the guardrail counts as tripped when ``check`` raises or times out. In
            either case an ``events.Error`` reports it.
        timeout: seconds that ``check`` may take, if it is async; ``None`` for no limit.
    """

    name: str
    check: Check = attrs.field(validator=_check_check, repr=False)
    fail_closed: bool = False
    timeout: float | None = attrs.field(default=DEFAULT_TIMEOUT, validator=check_timeout)


class OutputGuardrail(Guardrail):
    """A check of what the agent says, run while the text grows and once on the full text.

    Make one with :func:`output_guardrail`. The arguments are those of :class:`Guardrail`.
    """


class InputGuardrail(Guardrail):
    """A check of what the user writes, and of the transcript of what the user says.

    Make one with :func:`input_guardrail`. The arguments are those of :class:`Guardrail`.
    """


# --- decorators --------------------------------------------------------------------------------

CheckT = TypeVar("CheckT")
CheckT_contra = TypeVar("CheckT_contra", contravariant=True)
GuardrailT = TypeVar("GuardrailT")
GuardrailT_co = TypeVar("GuardrailT_co", covariant=True)


class _GuardrailClass(Protocol[CheckT_contra, GuardrailT_co]):
    """What the guardrail classes, of agents and of tools, are called with."""

    def __call__(
        self, *, name: str, check: CheckT_contra, fail_closed: bool, timeout: float | None
    ) -> GuardrailT_co: ...


def decorate(
    guardrail_class: _GuardrailClass[CheckT, GuardrailT],
    check: CheckT | None,
    *,
    name: str | None,
    fail_closed: bool,
    timeout: float | None,
) -> GuardrailT | Callable[[CheckT], GuardrailT]:
    """Make a guardrail of ``check``; or, without one, a decorator that does."""

    def make(check: CheckT) -> GuardrailT:
        default = getattr(check, "__name__", type(check).__name__)
        return guardrail_class(
            name=name or default, check=check, fail_closed=fail_closed, timeout=timeout
        )

    return make if check is None else make(check)


@overload
def output_guardrail(check: Check, /) -> OutputGuardrail: ...


@overload
def output_guardrail(
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Callable[[Check], OutputGuardrail]: ...


def output_guardrail(
    check: Check | None = None,
    /,
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> OutputGuardrail | Callable[[Check], OutputGuardrail]:
    """Make a guardrail of a function that checks what the agent says.

    Use it as a decorator, with or without arguments. The function is called with the
    :class:`AgentContext` and the text of the response so far, and returns whether the guardrail trips,
    or a :class:`GuardrailResult`. If it trips, the response is interrupted.

    Args:
        check: the function, sync or async.
        name: the guardrail's name for the model and in events; the function's name by default.
        fail_closed: whether the guardrail counts as tripped when the function raises or times out. In
            either case an ``events.Error`` reports it.
        timeout: seconds that an async function may take; ``None`` for no limit.
    """
    return decorate(OutputGuardrail, check, name=name, fail_closed=fail_closed, timeout=timeout)


@overload
def input_guardrail(check: Check, /) -> InputGuardrail: ...


@overload
def input_guardrail(
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> Callable[[Check], InputGuardrail]: ...


def input_guardrail(
    check: Check | None = None,
    /,
    *,
    name: str | None = None,
    fail_closed: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
) -> InputGuardrail | Callable[[Check], InputGuardrail]:
    """Make a guardrail of a function that checks what the user says.

    Use it as a decorator, with or without arguments. The function is called with the
    :class:`AgentContext` and the user's text or transcript, and returns whether the guardrail trips, or
    a :class:`GuardrailResult`. If it trips, the response to the user is stopped.

    Args:
        check: the function, sync or async.
        name: the guardrail's name for the model and in events; the function's name by default.
        fail_closed: whether the guardrail counts as tripped when the function raises or times out. In
            either case an ``events.Error`` reports it.
        timeout: seconds that an async function may take; ``None`` for no limit.
    """
    return decorate(InputGuardrail, check, name=name, fail_closed=fail_closed, timeout=timeout)


# --- validation --------------------------------------------------------------------------------


def as_guardrails(kind: type[GuardrailT], values: Iterable[Any]) -> tuple[GuardrailT, ...]:
    """Return guardrails of one kind as a tuple.

    Raises:
        ConfigurationError: if there is anything else among them.
    """
    guardrails = as_tuple(values, "guardrails")
    for guardrail in guardrails:
        if not isinstance(guardrail, kind):
            decorator = re.sub(r"\B(?=[A-Z])", "_", kind.__name__).lower()
            raise ConfigurationError(
                f"guardrails: {guardrail!r} is not of type {kind.__name__}: decorate it with "
                f"@{decorator}"
            )
    return guardrails
