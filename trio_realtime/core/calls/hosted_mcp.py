"""Tools of MCP servers that the service itself calls.

The service makes these calls, so nothing is run here; but it neither goes on by itself when one is
done nor asks its user. So a hosted call stands in the ledger like any other: it belongs to its
response, the model goes on when all calls of that are done, and an interrupt means that it does not.

============================  ====================================================================
told by the service           then
============================  ====================================================================
tools listed                  an event with their names; an ``Error`` where that failed
call begun                    it is entered in the ledger; an interrupt cannot stop it
call done or failed           it leaves the ledger, and an event tells of it
approval wanted               the shell decides, like about a function call; an interrupt means no
response not completed        its calls are over with it
============================  ====================================================================

Some of these events do not say to which response they belong. It is the one that opened the item,
while that runs; else the one that runs; else the call stands alone, and is answered in a new turn.
Responses beside the conversation are whoever asked's: they get the items, and nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trio_realtime import events as ev
from trio_realtime.core.dispatch import Handlers
from trio_realtime.core.effects import Effect, StartCall, ToolCall
from trio_realtime.core.history.items import History
from trio_realtime.core.responses.queue import ResponseQueue
from trio_realtime.core.responses.running import RunningResponse, RunningResponses
from trio_realtime.errors import PeerError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ClientEvent,
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

MAX_NOTED = 256
"""Items of which something is remembered that need not have an end."""


class HostedMcpCalls:
    """See the module. ``handlers`` are by the class of the server event.

    Args:
        agent: asked for who speaks, for calls of no response.
    """

    def __init__(
        self,
        responses: RunningResponses,
        gate: ResponseQueue,
        ledger: ToolLedger,
        history: History,
        token: Callable[[str], str],
        agent: Callable[[], Any],
    ) -> None:
        self._responses = responses
        self._gate = gate
        self._ledger = ledger
        self._history = history
        self._token = token
        self._agent = agent
        self._owners: dict[str, str] = {}
        self._beside: dict[str, None] = {}
        self._calls: dict[str, str] = {}
        self._asked: dict[str, str] = {}
        self._reported: dict[str, None] = {}
        self.handlers: Handlers = {
            ConversationItemDone: self._on_item_done,
            ResponseOutputItemAdded: self._on_opened,
            ResponseMcpCallInProgress: self._on_begun,
            ResponseMcpCallCompleted: self._on_ended,
            ResponseMcpCallFailed: self._on_ended,
            McpListToolsFailed: self._on_list_failed,
        }

    # --- whose

    def _on_opened(self, event: ResponseOutputItemAdded, _now: float) -> Sequence[Effect]:
        item = event.item
        if isinstance(item, McpCallItem | McpApprovalRequestItem) and item.id:
            owner = self._responses.get(event.response_id)
            if owner is not None and owner.beside:
                _remember(self._beside, item.id, None)
            else:
                _remember(self._owners, item.id, event.response_id)
        return ()

    def _owner(self, item_id: str) -> RunningResponse | None:
        named = self._responses.get(self._owners.get(item_id, ""))
        running = self._gate.running
        if named is not None or running is None:
            return named
        return self._responses.get(running)

    def _enter(self, item_id: str, owner: RunningResponse | None, entered: dict[str, str]) -> bool:
        """Put a call into the ledger. Returns whether it is new."""
        response_id = owner.id if owner is not None else f"none of {item_id}"
        if not self._ledger.begin(item_id, response_id):
            return False
        entered[item_id] = response_id
        if owner is None:
            self._ledger.response_done(response_id)
        return True

    # --- lists

    def _on_list_failed(self, event: McpListToolsFailed, _now: float) -> Sequence[Effect]:
        item = self._history.get(event.item_id)
        server = item.server_label if isinstance(item, McpListToolsItem) else event.item_id
        problem = f"the service could not list the tools of the MCP server {server!r}"
        return [ev.Error(error=PeerError(problem))]

    # --- calls

    def _on_begun(self, event: ResponseMcpCallInProgress, _now: float) -> Sequence[Effect]:
        item_id = event.item_id
        owner = self._owner(item_id)
        if item_id not in self._beside and self._enter(item_id, owner, self._calls):
            self._ledger.keep(item_id, insists=False)
        return ()

    def _on_ended(
        self, event: ResponseMcpCallCompleted | ResponseMcpCallFailed, _now: float
    ) -> Sequence[Effect]:
        self._end(event.item_id)
        return ()

    def _end(self, item_id: str) -> None:
        if item_id in self._beside:
            return
        owner = self._owner(item_id)
        self._enter(item_id, owner, self._calls)
        self._owners.pop(item_id, None)
        if self._calls.pop(item_id, None) is not None:
            silenced = owner is not None and owner.silenced
            self._ledger.finished(item_id, wants_response=not silenced)

    def response_ended(self, response_id: str, *, completed: bool) -> None:
        """A response has ended. The calls that it did not complete will not be completed.

        What was asked is still to be answered: whoever decides may need longer than that.
        """
        if completed:
            return
        for item_id in [item_id for item_id, owner in self._calls.items() if owner == response_id]:
            del self._calls[item_id]
            self._ledger.finished(item_id, wants_response=False)

    # --- items

    def _on_item_done(self, event: ConversationItemDone, _now: float) -> Sequence[Effect]:
        return self.item_done(event.item)

    def item_done(self, item: HistoryItem) -> Sequence[Effect]:
        """An item has its final version."""
        match item:
            case McpListToolsItem(server_label=server, tools=tools):
                names = tuple(tool.name for tool in tools)
                return [ev.McpToolsChanged(server=server, tools=names)]
            case McpCallItem(id=str()) if _is_over(item):
                return self._call_done(item)
            case McpApprovalRequestItem(id=str(item_id)):
                return self._ask(item_id, item)
            case _:
                return ()

    def _call_done(self, item: McpCallItem) -> Sequence[Effect]:
        item_id = item.id or ""
        if item_id in self._reported or item_id in self._beside:
            return ()
        _remember(self._reported, item_id, None)
        self._end(item_id)
        return [ev.McpToolCallCompleted(item=item)]

    def _ask(self, item_id: str, item: McpApprovalRequestItem) -> Sequence[Effect]:
        owner = self._owner(item_id)
        if item_id in self._beside or not self._enter(item_id, owner, self._asked):
            return ()
        call = ToolCall(
            call_id=item_id,
            name=item.name,
            arguments=item.arguments,
            response_id=owner.id if owner is not None else "",
            agent=self._agent() if owner is None else owner.agent,
            server_label=item.server_label,
        )
        if owner is None or not owner.silenced:
            return [StartCall(call=call)]
        return self.decided(item_id, approve=False, reason="interrupted", wants_response=False)

    def decided(
        self, item_id: str, *, approve: bool, reason: str | None, wants_response: bool
    ) -> list[Effect]:
        """It was decided about a call that needs approval: tell the service, once."""
        if self._asked.pop(item_id, None) is None:
            return []
        self._owners.pop(item_id, None)
        self._ledger.finished(item_id, wants_response=wants_response)
        return [self._answer(item_id, approve=approve, reason=reason)]

    def _answer(self, item_id: str, *, approve: bool, reason: str | None) -> ClientEvent:
        return ConversationItemCreate(
            event_id=self._token("approval"),
            previous_item_id=item_id if item_id in self._history else None,
            item=McpApprovalResponseItem(
                id=self._token("item_approval"),
                approval_request_id=item_id,
                approve=approve,
                reason=reason,
            ),
        )


V = TypeVar("V")


def _remember(known: dict[str, V], item_id: str, value: V) -> None:
    """Note something of an item, and forget what was noted of the oldest."""
    known[item_id] = value
    if len(known) > MAX_NOTED:
        del known[next(iter(known))]


def _is_over(item: McpCallItem) -> bool:
    return (
        item.output is not None
        or item.error is not None
        or item.status in ("completed", "failed", "incomplete")
    )
