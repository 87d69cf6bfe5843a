"""Function calls as they come from the service, and their answers as they go back to it."""

from __future__ import annotations

from collections.abc import Callable

from trio_realtime import events as ev
from trio_realtime.core.effects import CancelCalls, Effect, StartCall, ToolCall
from trio_realtime.core.responses.running import RunningResponse
from trio_realtime.errors import ProtocolViolation
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    FunctionCallItem,
    FunctionCallOutputItem,
    ResponseObject,
)

from .ledger import ToolLedger

CANCELLED_OUTPUT = "The call was cancelled: the user interrupted before it finished."


class FunctionCalls:
    """Enters calls into the ledger, and says what is to be done about them."""

    def __init__(self, ledger: ToolLedger, token: Callable[[str], str]) -> None:
        self._ledger = ledger
        self._token = token

    def take_missed(
        self, response: ResponseObject, state: RunningResponse, effects: list[Effect]
    ) -> None:
        """Take the calls of a finished response that nothing has told of before."""
        for item in response.output:
            if isinstance(item, FunctionCallItem):
                self.take(item, state, effects)

    def take(self, item: FunctionCallItem, state: RunningResponse, effects: list[Effect]) -> None:
        """A call is complete: have it run, unless its response was interrupted before."""
        if item.status not in ("completed", None):
            return  # cut off: the arguments are a fragment
        if not item.call_id:
            problem = f"function call {item.name!r} has no call_id, so it cannot be answered"
            effects.append(ev.Error(error=ProtocolViolation(problem)))
            return
        asked = (item.name, item.arguments)
        if not self._ledger.begin(item.call_id, state.id, asked):
            if not self._ledger.is_same(item.call_id, asked):
                problem = f"call_id {item.call_id!r} came again with another name or arguments"
                effects.append(ev.Error(error=ProtocolViolation(f"{problem}; it is not run twice")))
            return
        call = ToolCall(
            call_id=item.call_id,
            name=item.name,
            arguments=item.arguments,
            response_id=state.id,
            agent=state.agent,
        )
        if state.silenced:
            self._answer_unstarted(call, effects)
        else:
            effects.append(StartCall(call=call))

    def _answer_unstarted(self, call: ToolCall, effects: list[Effect]) -> None:
        """The response was interrupted before this call was complete: it does not run at all."""
        others = [hit for hit in self._ledger.cancel(call.response_id) if hit != call.call_id]
        if others:
            effects.append(CancelCalls(call_ids=tuple(others)))
        self._ledger.finished(call.call_id, wants_response=False)
        effects.append(self.answer(call.call_id, CANCELLED_OUTPUT))
        effects.append(
            ev.ToolCancelled(
                agent=call.agent,
                tool_name=call.name,
                call_id=call.call_id,
                arguments=call.arguments,
                output_text=CANCELLED_OUTPUT,
                response_id=call.response_id,
            )
        )

    def answer(self, call_id: str, output: str) -> ClientEvent:
        """The answer to a call."""
        return ConversationItemCreate(
            event_id=self._token("output"),
            item=FunctionCallOutputItem(call_id=call_id, output=output),
        )

    def cancel(self, response_id: str | None, effects: list[Effect]) -> None:
        """An interrupt hits the calls of one response, or of all."""
        cancelled = self._ledger.cancel(response_id)
        if cancelled:
            effects.append(CancelCalls(call_ids=tuple(cancelled)))
