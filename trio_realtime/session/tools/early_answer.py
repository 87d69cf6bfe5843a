"""The answer that a call may get while its tool goes on; see ``ToolContext.answer_early``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from trio_realtime.agents import BackgroundResult, FunctionTool, ToolContext
from trio_realtime.core import CallFinished, SendItem, ToolCall
from trio_realtime.errors import UsageError
from trio_realtime.session.runtime_interface import Runtime
from trio_realtime.wire import ConversationItemCreate, InputText, MessageItem

from .execution import checked_result
from .results import (
    ToolResult,
    cancelled_event,
    completed_result,
    early_event,
    ended_event,
    limited_result,
)

_Stage: TypeAlias = Literal["open", "checking", "given", "over"]
_WHY_NOT: Mapping[_Stage, str] = {
    "checking": "is already being answered early",
    "given": "was already answered early",
    "over": "has ended",
}


class EarlyAnswer:
    """The early answer of one call.

    A call that an interruption has cancelled gets the answer only when its tool has ended: until then
    the ``finally`` blocks of the tool run, and the conversation must not go on.

    Attributes:
        was_given: whether the call is answered by it.
    """

    def __init__(self, call: ToolCall, runtime: Runtime, max_output: int | None = None) -> None:
        self.was_given: bool = False
        self._max_output = max_output
        self._call = call
        self._runtime = runtime
        self._stage: _Stage = "open"
        self._postponed: tuple[FunctionTool, ToolResult] | None = None

    async def give(
        self,
        tool: FunctionTool,
        context: ToolContext[Any],
        value: Any,
        respond: bool,  # noqa: FBT001
    ) -> None:
        """Answer the call.

        Raises:
            UsageError: the call was answered early before, or has ended.
        """
        self._expect("open")
        self._stage = "checking"
        try:
            output = value if respond else BackgroundResult(value)
            result = await checked_result(tool, context, output, self._runtime.emit)
        except BaseException:
            self._reopen()
            raise
        self._expect("checking")  # the call may have ended in the meantime
        self._answer(tool, limited_result(self._call, result, self._max_output))

    def give_text(self, tool: FunctionTool, text: str) -> None:
        """Answer the call with a text of the library, unless the tool has answered it.

        The model is not asked to respond.
        """
        if self._stage == "open":
            self._answer(tool, completed_result(tool, BackgroundResult(text)))

    def _answer(self, tool: FunctionTool, result: ToolResult) -> None:
        self._stage = "given"
        self.was_given = True
        if self._runtime.core.was_cancelled(self._call.call_id):
            self._postponed = (tool, result)
        else:
            self._send(tool, result, wants_response=result.wants_response)

    def _expect(self, stage: _Stage) -> None:
        if self._stage != stage:
            raise UsageError(f"call {self._call.call_id} {_WHY_NOT[self._stage]}")

    def _reopen(self) -> None:
        if self._stage == "checking":
            self._stage = "open"

    def _send(self, tool: FunctionTool, result: ToolResult, *, wants_response: bool) -> None:
        self._runtime.feed(
            CallFinished(
                call_id=self._call.call_id,
                output=result.text,
                wants_response=wants_response,
                report=early_event(self._call, tool, result),
            )
        )

    def close(self) -> None:
        """Take no more answers: the call has ended."""
        self._stage = "over"

    def report_end(self, result: ToolResult | None, duration: float | None) -> None:
        """Tell the model what the tool of a call that was answered early returned in the end."""
        runtime, call = self._runtime, self._call
        if self._postponed is not None:
            self._send(*self._postponed, wants_response=False)
        if result is None:
            runtime.emit(cancelled_event(call, ""))
            return
        if result.outcome == "completed" and result.output is None:
            result = attrs.evolve(result, text="")
        else:
            text = f"Result of {call.name} ({call.call_id}): {result.text}"
            item = MessageItem(role="system", content=(InputText(text=text),))
            respond = result.wants_response and self._postponed is None
            runtime.feed(SendItem(item=ConversationItemCreate(item=item), respond=respond))
        runtime.emit(ended_event(call, result, duration))
