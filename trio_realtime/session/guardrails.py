"""Runs the checks that the core asks for: the guardrails of the agent and of the session, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio

from trio_realtime.agents import (
    AgentContext,
    Guardrail,
    GuardrailResult,
    InputGuardrail,
    OutputGuardrail,
    settled,
)
from trio_realtime.core import CheckInput, CheckReply, Trip
from trio_realtime.errors import GuardrailFailed
from trio_realtime.events import Error

if TYPE_CHECKING:
    from .shell import Shell


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

    def check_reply(self, check: CheckReply, shell: Shell) -> None:
        """Have a reply checked by the guardrails of the agent that began it."""
        guardrails = _unique((*check.agent.output_guardrails, *self._outputs))
        if not guardrails:
            shell.reply_checked(check, ())
        else:
            self._nursery.start_soon(self._check_reply, guardrails, check, shell)

    async def _check_reply(
        self, guardrails: Sequence[Guardrail], check: CheckReply, shell: Shell
    ) -> None:
        shell.reply_checked(check, await self._ask(guardrails, check, shell))

    def check_input(self, check: CheckInput, shell: Shell) -> None:
        """Have what the user said checked by the guardrails of the agent that it was said to."""
        guardrails = _unique((*check.agent.input_guardrails, *self._inputs))
        if guardrails:
            self._nursery.start_soon(self._check_input, guardrails, check, shell)

    async def _check_input(
        self, guardrails: Sequence[Guardrail], check: CheckInput, shell: Shell
    ) -> None:
        shell.input_checked(check, await self._ask(guardrails, check, shell))

    async def _ask(
        self, guardrails: Sequence[Guardrail], check: CheckReply | CheckInput, shell: Shell
    ) -> tuple[Trip, ...]:
        """Who trips, in the order in which they are declared."""
        about = AgentContext(context=self._context, agent=check.agent)
        trips: dict[str, Trip] = {}

        async def ask(guardrail: Guardrail) -> None:
            result = await _verdict(guardrail, about, check.text, shell)
            if result.tripped:
                trips[guardrail.name] = Trip(name=guardrail.name, info=result.info)

        async with trio.open_nursery() as nursery:
            for guardrail in guardrails:
                nursery.start_soon(ask, guardrail)
        return tuple(trips[one.name] for one in guardrails if one.name in trips)


async def _verdict(
    guardrail: Guardrail, about: AgentContext[Any], text: str, shell: Shell
) -> GuardrailResult:
    try:
        found = await settled(guardrail.check(about, text))
    except Exception as exc:  # noqa: BLE001 - a check that fails is an event and ends nothing
        failure = GuardrailFailed(f"guardrail {guardrail.name} raised {type(exc).__name__}: {exc}")
        failure.__cause__ = exc
        shell.hub.emit(Error(error=failure))
        return GuardrailResult(guardrail.fail_closed, info=exc)
    return found if isinstance(found, GuardrailResult) else GuardrailResult(bool(found))


def _unique(guardrails: Sequence[Guardrail]) -> tuple[Guardrail, ...]:
    return tuple({id(guardrail): guardrail for guardrail in guardrails}.values())
