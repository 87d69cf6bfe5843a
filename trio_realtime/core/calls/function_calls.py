"""Function calls: from the model's completed item to a started tool, and from a result to an output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from trio_realtime import events as ev
from trio_realtime.core.effects import CancelCalls, Effect, StartCall, ToolCall
from trio_realtime.core.history.outgoing import OutgoingItems
from trio_realtime.core.inputs import CallFinished, ProtectCall
from trio_realtime.core.responses.requests import ResponseRequests
from trio_realtime.core.responses.running import RunningResponse
from trio_realtime.errors import ProtocolViolation
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
)

from .ledger import ToolLedger

CANCELLED_OUTPUT: Final = "The call was cancelled: the user interrupted before it finished."
"""What the model is given for a call that an interruption cancelled."""

REPEATED_OUTPUT: Final = "The call did not run: its call id belongs to an earlier call."
"""What the model is given for a call that has the id of an earlier one."""


class FunctionCalls:
    """Starts the calls of responses and sends their outputs.

    Args:
        ledger: the state of every call.
        outgoing: sends the outputs.
        requests: request the response that follows the outputs.
        token: makes event ids.
    """

    def __init__(
        self,
        ledger: ToolLedger,
        outgoing: OutgoingItems,
        requests: ResponseRequests,
        token: Callable[[str], str],
    ) -> None:
        self._ledger = ledger
        self._outgoing = outgoing
        self._requests = requests
        self._token = token

    # --- from the model

    def start_missed(
        self, items: Iterable[Item], response: RunningResponse, *, completed: bool
    ) -> list[Effect]:
        """Start the calls of a finished response whose own events did not arrive.

        Args:
            items: the output items of the response.
            response: the response.
            completed: whether it completed. If not, only calls that say so are complete.
        """
        effects: list[Effect] = []
        for item in items:
            if not isinstance(item, FunctionCallItem):
                continue
            if completed or item.status in ("completed", None):
                effects += self._start(item, response)
        return effects

    def start(self, item: FunctionCallItem, response: RunningResponse) -> list[Effect]:
        """Start the call of a complete output item, unless its response was interrupted.

        Arguments that are in no event so far may come with the end of the response.
        """
        if not item.arguments and (item.id or item.call_id):
            return []
        response.started_calls.add(item.call_id)
        return self._start(item, response)

    def _start(self, item: FunctionCallItem, response: RunningResponse) -> list[Effect]:
        if item.status == "incomplete":
            return []  # so are its arguments
        if not item.call_id:
            return [
                _violation(f"function call {item.name!r} has no call_id: it cannot be answered")
            ]
        fingerprint = (item.name, item.arguments)
        if not self._ledger.begin(item.call_id, response.id, fingerprint):
            return self._repeated(item.call_id, response, fingerprint)
        tool = response.toolset.tools.get(item.name) if response.toolset is not None else None
        call = ToolCall(
            call_id=item.call_id,
            name=item.name,
            arguments=item.arguments,
            response_id=response.id,
            agent=response.agent,
            tool=tool,
        )
        if response.audio_suppressed:
            return self._answer_unstarted(call)
        if tool is not None and tool.on_interrupt != "cancel":
            # Before the tool's task exists: an interruption may be the very next input.
            self._ledger.protect(call.call_id, respond=tool.on_interrupt == "background")
        return [StartCall(call=call)]

    def _repeated(
        self, call_id: str, response: RunningResponse, fingerprint: tuple[str, str]
    ) -> list[Effect]:
        """Handle a call whose id is known. A call id runs at most once.

        The answer to the first call answers this one too, if it is still to come.
        """
        if self._ledger.made_by(call_id, response.id):
            if self._ledger.is_repetition(call_id, fingerprint):
                return []
            return [
                _violation(
                    f"call_id {call_id!r} was used again with another name or other arguments: "
                    f"it does not run twice"
                )
            ]
        if not self._ledger.note_repeated(call_id, response.id):
            return []
        effects: list[Effect] = []
        if self._ledger.is_answered(call_id):
            self._ledger.answered_at_once(response.id, wants_response=not response.audio_suppressed)
            effects += self._output(call_id, REPEATED_OUTPUT)
        problem = (
            f"call_id {call_id!r} of an earlier response was used again: it does not run twice"
        )
        return [*effects, _violation(problem)]

    def _answer_unstarted(self, call: ToolCall) -> list[Effect]:
        """Answer a call whose response was interrupted before the call was complete."""
        others = [id_ for id_ in self._ledger.interrupt(call.response_id) if id_ != call.call_id]
        effects: list[Effect] = [CancelCalls(call_ids=tuple(others))] if others else []
        self._ledger.finish(call.call_id, wants_response=False)
        effects += self._output(call.call_id, CANCELLED_OUTPUT)
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
        return effects

    # --- from the session

    def on_call_finished(self, result: CallFinished, _now: float) -> list[Effect]:
        """Send the output of a call, once, and what follows from it."""
        if not self._ledger.finish(
            result.call_id, wants_response=result.wants_response, cancelled=result.cancelled
        ):
            # The user has answered the call by hand.
            return [] if result.report is None else [result.report]
        effects = self._output(result.call_id, result.output)
        if result.report is not None:
            effects.append(result.report)
        return [*effects, *self._requests.after_call_finished()]

    def on_protect_call(self, command: ProtectCall, _now: float) -> list[Effect]:
        """Let interruptions leave a call alone."""
        self._ledger.protect(command.call_id, respond=command.respond)
        return []

    def _output(self, call_id: str, output: str) -> list[Effect]:
        return self._outgoing.send(
            ConversationItemCreate(
                event_id=self._token("output"),
                item=FunctionCallOutputItem(call_id=call_id, output=output),
            )
        )


def _violation(problem: str) -> ev.Error:
    return ev.Error(error=ProtocolViolation(problem))
