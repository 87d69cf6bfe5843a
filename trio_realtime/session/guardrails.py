"""Runs the checks that the core asks for: the guardrails of the agent and of the session, at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime.agents import (
    AgentContext,
    Guardrail,
    GuardrailResult,
    InputGuardrail,
    OutputGuardrail,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    maybe_await,
)
from trio_realtime.core import CheckInput, CheckReply
from trio_realtime.errors import GuardrailFailed
from trio_realtime.events import Error, GuardrailTrip

from .user_code import told_apart, words

if TYPE_CHECKING:
    from .consumers.bus import EventBus
    from .runtime import SessionRuntime

Asked: TypeAlias = Guardrail | ToolInputGuardrail | ToolOutputGuardrail
AskedT = TypeVar("AskedT", bound=Asked)
Verdict: TypeAlias = GuardrailResult | bool


class GuardrailRunner:
    """See the module. A check ends with the session at the latest.

    Args:
        nursery: where checks run.
        context: the session's ``context``.
        outputs, inputs: the session's own guardrails, besides the agents'.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        context: Any,
        outputs: Sequence[OutputGuardrail],
        inputs: Sequence[InputGuardrail],
    ) -> None:
        self._nursery = nursery
        self._context = context
        self._outputs = outputs
        self._inputs = inputs

    def check_reply(self, check: CheckReply, shell: SessionRuntime) -> None:
        """Have a reply checked by the guardrails of the agent that began it."""
        guardrails = _unique((*check.agent.output_guardrails, *self._outputs))
        if not guardrails:
            shell.reply_checked(check, ())
        else:
            self._nursery.start_soon(self._check_reply, guardrails, check, shell)

    async def _check_reply(
        self, guardrails: Sequence[Guardrail], check: CheckReply, shell: SessionRuntime
    ) -> None:
        shell.reply_checked(check, await self._ask(guardrails, check, shell))

    def check_input(self, check: CheckInput, shell: SessionRuntime) -> None:
        """Have what the user said checked by the guardrails of the agent that it was said to."""
        guardrails = _unique((*check.agent.input_guardrails, *self._inputs))
        if guardrails:
            self._nursery.start_soon(self._check_input, guardrails, check, shell)

    async def _check_input(
        self, guardrails: Sequence[Guardrail], check: CheckInput, shell: SessionRuntime
    ) -> None:
        shell.input_checked(check, await self._ask(guardrails, check, shell))

    async def _ask(
        self, guardrails: Sequence[Guardrail], check: CheckReply | CheckInput, shell: SessionRuntime
    ) -> tuple[GuardrailTrip, ...]:
        """Who trips, in the order in which they are declared."""
        about = AgentContext(context=self._context, agent=check.agent)
        found = await ask_all(guardrails, lambda one: one.check(about, check.text), shell.hub)
        return tuple(GuardrailTrip(name=one.name, info=result.info) for one, result in found)


async def ask_all(
    guardrails: Sequence[AskedT],
    ask: Callable[[AskedT], Verdict | Awaitable[Verdict]],
    hub: EventBus,
) -> list[tuple[AskedT, GuardrailResult]]:
    """Ask guardrails at the same time. Returns those that trip, in the order of their declaration."""
    results: dict[int, GuardrailResult] = {}

    async def note(number: int, guardrail: AskedT) -> None:
        results[number] = await _verdict(guardrail, ask, hub)

    async with trio.open_nursery() as nursery:
        for number, guardrail in enumerate(guardrails):
            nursery.start_soon(note, number, guardrail)
    found = [(one, results[number]) for number, one in enumerate(guardrails)]
    return [(one, result) for one, result in found if result.tripped]


async def _verdict(
    guardrail: AskedT,
    ask: Callable[[AskedT], Verdict | Awaitable[Verdict]],
    hub: EventBus,
) -> GuardrailResult:
    try:
        return _as_result(await maybe_await(ask(guardrail)))
    except trio.Cancelled:
        raise
    except BaseException as exc:  # a check that fails is an event and ends nothing
        failure, end = told_apart(exc)
        if failure is None:
            raise
        tell_failure(f"guardrail {guardrail.name} raised {words(failure)}", failure, hub)
        if end is not None:
            raise end from None
        return GuardrailResult(guardrail.fail_closed, info=failure)


def _as_result(found: Any) -> GuardrailResult:
    """What a check has returned, whose truth may be a surprise too."""
    if isinstance(found, GuardrailResult):
        return attrs.evolve(found, tripped=bool(found.tripped))
    return GuardrailResult(bool(found))


def tell_failure(what: str, cause: BaseException | None, hub: EventBus) -> None:
    """Tell that a guardrail has failed."""
    failure = GuardrailFailed(what)
    failure.__cause__ = cause
    hub.emit(Error(error=failure))


def _unique(guardrails: Sequence[Guardrail]) -> tuple[Guardrail, ...]:
    return tuple({id(guardrail): guardrail for guardrail in guardrails}.values())
