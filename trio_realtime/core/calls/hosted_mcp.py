"""Tools of MCP servers that the service calls itself.

The service makes these calls, so nothing runs here. But the service does not continue by itself
when a call is done, and it leaves approval to the client. So the ledger counts a hosted call like
any other: the call belongs to its response, and the model goes on when all calls of that response
are done, unless an interruption came in between.

=============================  ===================================================================
reported by the service        then
=============================  ===================================================================
tools listed                   an event with their names; an ``Error`` event if the listing failed
call begun                     the call enters the ledger; an interruption cannot stop it
call completed or failed       the call leaves the ledger, and an event reports it
approval requested             the session decides, as about a function call; an interruption rejects
response not completed         its calls are over with it
=============================  ===================================================================

Some of these events do not name the response that they belong to. It is the response that opened the
item, while that response runs; otherwise the response that runs; otherwise the call belongs to no
response and is answered in a new turn. The items of an out-of-band response have no effects: they
belong to the caller that requested it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from trio_realtime import events as ev
from trio_realtime.core.effects import CancelCalls, Effect, StartCall, ToolCall
from trio_realtime.core.history.items import History
from trio_realtime.core.history.outgoing import OutgoingItems
from trio_realtime.core.inputs import ApprovalDecided
from trio_realtime.core.responses.queue import ResponseQueue
from trio_realtime.core.responses.requests import ResponseRequests
from trio_realtime.core.responses.running import RunningResponse, RunningResponses
from trio_realtime.core.settings import SessionSettings
from trio_realtime.errors import PeerError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ConversationItemCreate,
    ConversationItemDone,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
    McpCallItem,
    McpListToolsFailed,
    McpListToolsItem,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
)

from .ledger import ToolLedger

MAX_REMEMBERED: Final = 256
"""The number of items of which something is remembered although they may never end."""


class HostedMcpCalls:
    """Counts the service's own MCP calls in the ledger, and requests decisions about them.

    Args:
        responses, queue: find the response that an item belongs to.
        ledger: the state of every call.
        history: knows the items of the conversation.
        outgoing: sends the decisions.
        settings: the current agent, for calls that belong to no response.
        requests: request the response that follows the calls.
        token: makes event ids and item ids.
    """

    def __init__(
        self,
        responses: RunningResponses,
        queue: ResponseQueue,
        ledger: ToolLedger,
        history: History,
        outgoing: OutgoingItems,
        settings: SessionSettings,
        requests: ResponseRequests,
        token: Callable[[str], str],
    ) -> None:
        self._responses = responses
        self._queue = queue
        self._ledger = ledger
        self._history = history
        self._outgoing = outgoing
        self._settings = settings
        self._requests = requests
        self._token = token
        self._owners: dict[str, str] = {}
        self._out_of_band: dict[str, None] = {}
        self._calls: dict[str, str] = {}
        self._undecided: dict[str, str] = {}
        self._reported: dict[str, None] = {}

    # --- which response an item belongs to

    def on_output_item_added(self, event: ResponseOutputItemAdded, _now: float) -> Sequence[Effect]:
        """Remember which response opened an item."""
        item = event.item
        if isinstance(item, McpCallItem | McpApprovalRequestItem) and item.id:
            owner = self._responses.get(event.response_id)
            if owner is not None and owner.out_of_band:
                _remember(self._out_of_band, item.id, None)
            else:
                _remember(self._owners, item.id, event.response_id)
        return ()

    def _owner(self, item_id: str) -> RunningResponse | None:
        named = self._responses.get(self._owners.get(item_id, ""))
        running = self._queue.running
        if named is not None or running is None:
            return named
        return self._responses.get(running)

    def _enter(self, item_id: str, owner: RunningResponse | None, calls: dict[str, str]) -> bool:
        """Add a call to the ledger. Returns whether the call is new."""
        response_id = owner.id if owner is not None else f"none of {item_id}"
        if not self._ledger.begin(item_id, response_id):
            return False
        calls[item_id] = response_id
        if owner is None:
            self._ledger.response_done(response_id)
        return True

    # --- lists of tools

    def on_list_tools_failed(self, event: McpListToolsFailed, _now: float) -> Sequence[Effect]:
        """Report that the service could not list the tools of a server."""
        item = self._history.get(event.item_id)
        server = item.server_label if isinstance(item, McpListToolsItem) else event.item_id
        problem = f"the service could not list the tools of the MCP server {server!r}"
        return [ev.Error(error=PeerError(problem))]

    # --- calls

    def on_call_in_progress(
        self, event: ResponseMcpCallInProgress, _now: float
    ) -> Sequence[Effect]:
        """Count a call that the service has begun. An interruption cannot stop it."""
        item_id = event.item_id
        owner = self._owner(item_id)
        if item_id in self._out_of_band or not self._enter(item_id, owner, self._calls):
            return ()
        self._ledger.protect(item_id)
        if len(self._calls) <= MAX_REMEMBERED:
            return ()
        # The service has lost the end of the oldest one.
        oldest = next(iter(self._calls))
        del self._calls[oldest]
        self._ledger.finish(oldest, wants_response=False)
        return self._requests.after_call_finished()

    def on_call_ended(
        self, event: ResponseMcpCallCompleted | ResponseMcpCallFailed, _now: float
    ) -> Sequence[Effect]:
        """Count a call that is over, and let the model go on."""
        self._end_call(event.item_id)
        return self._requests.after_call_finished()

    def _end_call(self, item_id: str) -> None:
        if item_id in self._out_of_band:
            return
        owner = self._owner(item_id)
        self._enter(item_id, owner, self._calls)
        self._owners.pop(item_id, None)
        if self._calls.pop(item_id, None) is not None:
            interrupted = owner is not None and owner.audio_suppressed
            self._ledger.finish(item_id, wants_response=not interrupted)

    def response_ended(self, response_id: str, *, completed: bool) -> None:
        """End the calls that an incomplete response has left open.

        Calls that wait for approval stay open: the decision may take longer than the response.
        """
        if completed:
            return
        for item_id in [item_id for item_id, owner in self._calls.items() if owner == response_id]:
            del self._calls[item_id]
            self._ledger.finish(item_id, wants_response=False)

    def connection_lost(self) -> list[Effect]:
        """End every call: only the service could carry it out, and the next connection does not know it."""
        undecided = tuple(self._undecided)
        for item_id in (*self._calls, *undecided):
            self._ledger.finish(item_id, wants_response=False)
        self._calls.clear()
        self._undecided.clear()
        return [CancelCalls(call_ids=undecided)] if undecided else []

    # --- items

    def on_item_done(self, event: ConversationItemDone, _now: float) -> Sequence[Effect]:
        """Take the final version of an item of the conversation."""
        if not isinstance(event.item, McpListToolsItem | McpCallItem | McpApprovalRequestItem):
            return ()
        effects = self.finish_item(event.item)
        return [*effects, *self._requests.after_call_finished()] if effects else ()

    def finish_item(self, item: HistoryItem) -> Sequence[Effect]:
        """Report a list of tools or a completed call, or request a decision about a call."""
        match item:
            case McpListToolsItem(server_label=server, tools=tools):
                names = tuple(tool.name for tool in tools)
                return [ev.McpToolsChanged(server=server, tools=names)]
            case McpCallItem(id=str()) if _is_over(item):
                return self._report_call(item)
            case McpApprovalRequestItem(id=str(item_id)):
                return self._request_decision(item_id, item)
            case _:
                return ()

    def _report_call(self, item: McpCallItem) -> Sequence[Effect]:
        item_id = item.id or ""
        if item_id in self._reported or item_id in self._out_of_band:
            return ()
        _remember(self._reported, item_id, None)
        self._end_call(item_id)
        return [ev.McpToolCallCompleted(item=item)]

    def _request_decision(self, item_id: str, item: McpApprovalRequestItem) -> Sequence[Effect]:
        owner = self._owner(item_id)
        if item_id in self._out_of_band or not self._enter(item_id, owner, self._undecided):
            return ()
        toolset = self._settings.toolset if owner is None else owner.toolset
        call = ToolCall(
            call_id=item_id,
            name=item.name,
            arguments=item.arguments,
            response_id=owner.id if owner is not None else "",
            agent=self._settings.agent if owner is None else owner.agent,
            tool=toolset.hosted.get(item.server_label) if toolset is not None else None,
            server_label=item.server_label,
        )
        if owner is None or not owner.audio_suppressed:
            return [StartCall(call=call)]
        rejected = ApprovalDecided(item_id=item_id, approve=False, reason="interrupted")
        return self._decide(rejected, wants_response=False)

    # --- decisions

    def on_approval_decided(self, result: ApprovalDecided, _now: float) -> Sequence[Effect]:
        """Send a decision, and let the model go on."""
        wants_response = not self._ledger.was_cancelled(result.item_id)
        effects = self._decide(result, wants_response=wants_response)
        return [*effects, *self._requests.after_call_finished()]

    def decided_by_user(self, item_id: str) -> bool:
        """Note that the user sends a decision as an event. Returns whether one was awaited."""
        if self._undecided.pop(item_id, None) is None:
            return False
        self._owners.pop(item_id, None)
        return self._ledger.finish(item_id, wants_response=False)

    def _decide(self, result: ApprovalDecided, *, wants_response: bool) -> list[Effect]:
        item_id = result.item_id
        if self._undecided.pop(item_id, None) is None:
            return []
        self._owners.pop(item_id, None)
        self._ledger.finish(item_id, wants_response=wants_response)
        return self._outgoing.send(self._answer(result))

    def _answer(self, result: ApprovalDecided) -> ConversationItemCreate:
        item_id = result.item_id
        return ConversationItemCreate(
            event_id=self._token("approval"),
            previous_item_id=item_id if item_id in self._history else None,
            item=McpApprovalResponseItem(
                id=self._token("item_approval"),
                approval_request_id=item_id,
                approve=result.approve,
                reason=result.reason,
            ),
        )


ValueT = TypeVar("ValueT")


def _remember(known: dict[str, ValueT], item_id: str, value: ValueT) -> None:
    """Remember something of an item, and forget the oldest item above the limit."""
    known[item_id] = value
    if len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]


def _is_over(item: McpCallItem) -> bool:
    return (
        item.output is not None
        or item.error is not None
        or item.status in ("completed", "failed", "incomplete")
    )
