"""Run the guardrail checks that the core requests.

The checks arrive through a memory channel. Each check is a task; the guardrails of one check run at the
same time, a single guardrail in the task of the check itself.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime._nursery import OnDemandTask
from trio_realtime.agents import (
    AgentContext,
    FeedbackFormatter,
    Guardrail,
    GuardrailResult,
    InputGuardrail,
    OutputGuardrail,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    maybe_await,
)
from trio_realtime.core import CheckInput, CheckReply, InputChecked, ReplyChecked
from trio_realtime.errors import GuardrailFailed
from trio_realtime.events import Error, GuardrailTrip, SessionEvent

from .runtime_interface import Runtime
from .user_code import Raised, Returned, as_text, call_user_code, describe_exception

AnyGuardrail: TypeAlias = Guardrail | ToolInputGuardrail | ToolOutputGuardrail
GuardrailT = TypeVar("GuardrailT", bound=AnyGuardrail)
Check: TypeAlias = CheckReply | CheckInput
Verdict: TypeAlias = GuardrailResult | bool
Emit: TypeAlias = Callable[[SessionEvent], None]


class GuardrailRunner:
    """The guardrail checks of a session.

    Args:
        context: the session's ``context``.
        outputs, inputs: the session's own guardrails, in addition to the agents'.
        format_feedback: makes the message that tells the model which guardrails tripped; ``None`` for
            the standard message.

    Attributes:
        running: the number of checks that run.
    """

    def __init__(
        self,
        context: Any,
        outputs: Sequence[OutputGuardrail],
        inputs: Sequence[InputGuardrail],
        format_feedback: FeedbackFormatter | None = None,
    ) -> None:
        self.running: int = 0
        self._context = context
        self._format_feedback = format_feedback
        self._outputs = outputs
        self._inputs = inputs
        self._send, self._receive = trio.open_memory_channel[Check](math.inf)
        self._task = OnDemandTask()

    def attach(self, start: Callable[[], None]) -> None:
        """Start the task that runs the checks with this function, now or with the first check."""
        waiting = self._send.statistics().current_buffer_used
        self._task.attach(start, is_needed=waiting > 0)

    def is_guarded(self, agent: Any) -> bool:
        """Return whether there is a guardrail for the replies of an agent."""
        return bool(agent.output_guardrails or self._outputs)

    def start(self, check: Check, runtime: Runtime) -> None:
        """Start a check, or report at once that nothing tripped if there are no guardrails."""
        if self._guardrails(check):
            self._send.send_nowait(check)
            self._task.start()
        elif isinstance(check, CheckReply):
            runtime.feed(_result(check, ()))

    def stop_receiving(self) -> None:
        """Start no more checks: the session is over."""
        self._task.stop()

    async def run(self, runtime: Runtime) -> None:
        """Run checks until the session cancels this task."""
        async with trio.open_nursery() as nursery:
            async for check in self._receive:
                about = check.response_id if isinstance(check, CheckReply) else "input"
                names = ", ".join(guardrail.name for guardrail in self._guardrails(check))
                nursery.start_soon(self._run, check, runtime, name=f"guardrail {names} {about}")

    async def _run(self, check: Check, runtime: Runtime) -> None:
        about = AgentContext(context=self._context, agent=check.agent)
        self.running += 1
        try:
            found = await run_guardrails(
                self._guardrails(check),
                lambda guardrail: guardrail.check(about, check.text),
                runtime.emit,
            )
            trips = tuple(_trip(guardrail, result) for guardrail, result in found)
            feedback = None
            if trips and isinstance(check, CheckReply):
                feedback = await self._feedback(about, trips, runtime.emit)
        finally:
            self.running -= 1
        runtime.feed(_result(check, trips, feedback))

    async def _feedback(
        self, about: AgentContext[Any], trips: tuple[GuardrailTrip, ...], emit: Emit
    ) -> str | None:
        """Return the application's message for the model; ``None`` for the standard message."""
        formatter = self._format_feedback
        if formatter is None:
            return None

        async def format_feedback() -> str:
            return as_text(formatter(about, trips))

        def report(failure: BaseException) -> None:
            problem = f"format_guardrail_feedback raised {describe_exception(failure)}"
            report_failure(problem, failure, emit)

        outcome = await call_user_code(format_feedback, report=report)
        return None if isinstance(outcome, Raised) else outcome.value

    def _guardrails(self, check: Check) -> tuple[Guardrail, ...]:
        if isinstance(check, CheckReply):
            declared: Sequence[Guardrail] = (*check.agent.output_guardrails, *self._outputs)
        else:
            declared = (*check.agent.input_guardrails, *self._inputs)
        if not declared:
            return ()
        return tuple({id(guardrail): guardrail for guardrail in declared}.values())


def _trip(guardrail: Guardrail, result: GuardrailResult) -> GuardrailTrip:
    given: Any = result.feedback
    feedback = given if isinstance(given, str) else None
    return GuardrailTrip(name=guardrail.name, info=result.info, feedback=feedback)


def _result(
    check: Check, trips: tuple[GuardrailTrip, ...], feedback: str | None = None
) -> ReplyChecked | InputChecked:
    if isinstance(check, CheckReply):
        return ReplyChecked(
            response_id=check.response_id, text=check.text, trips=trips, feedback=feedback
        )
    return InputChecked(serial=check.serial, text=check.text, trips=trips)


async def run_guardrails(
    guardrails: Sequence[GuardrailT],
    check: Callable[[GuardrailT], Verdict | Awaitable[Verdict]],
    emit: Emit,
) -> list[tuple[GuardrailT, GuardrailResult]]:
    """Run guardrails at the same time. Returns those that trip, in the order of their declaration."""
    results: dict[int, GuardrailResult] = {}

    async def run(number: int, guardrail: GuardrailT) -> None:
        results[number] = await _run_guardrail(guardrail, check, emit)

    if len(guardrails) == 1:
        await run(0, guardrails[0])
    else:
        async with trio.open_nursery() as nursery:
            for number, guardrail in enumerate(guardrails):
                nursery.start_soon(run, number, guardrail, name=f"guardrail {guardrail.name}")
    found = [(guardrail, results[number]) for number, guardrail in enumerate(guardrails)]
    return [(guardrail, result) for guardrail, result in found if result.tripped]


async def _run_guardrail(
    guardrail: GuardrailT,
    check: Callable[[GuardrailT], Verdict | Awaitable[Verdict]],
    emit: Emit,
) -> GuardrailResult:
    def report(failure: BaseException) -> None:
        report_failure(
            f"guardrail {guardrail.name} raised {describe_exception(failure)}", failure, emit
        )

    async def evaluate() -> GuardrailResult:
        return _as_result(await maybe_await(check(guardrail)))

    outcome: Returned[GuardrailResult] | Raised | None = None
    with trio.move_on_after(math.inf if guardrail.timeout is None else guardrail.timeout):
        outcome = await call_user_code(evaluate, report=report)
    if outcome is None:
        problem = f"guardrail {guardrail.name} took longer than {guardrail.timeout:g} s"
        return GuardrailResult(guardrail.fail_closed, info=report_failure(problem, None, emit))
    if isinstance(outcome, Raised):
        return GuardrailResult(guardrail.fail_closed, info=outcome.failure)
    return outcome.value


def _as_result(found: Any) -> GuardrailResult:
    """Return a check's verdict. It may be any object, whose ``bool()`` may raise."""
    if isinstance(found, GuardrailResult):
        return attrs.evolve(found, tripped=bool(found.tripped))
    return GuardrailResult(bool(found))


def report_failure(problem: str, cause: BaseException | None, emit: Emit) -> GuardrailFailed:
    """Deliver the failure of a guardrail as an event. Returns the exception."""
    failure = GuardrailFailed(problem)
    failure.__cause__ = cause
    emit(Error(error=failure))
    return failure
