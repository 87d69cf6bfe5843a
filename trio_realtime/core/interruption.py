"""Stop the agent: cancel its response, cut its audio, cancel its calls.

Every client event here names its target by id. A cancel names its response and a truncation names its item, so neither
can hit what comes after. A create that was already sent cannot be recalled: its response is cancelled
as soon as it is created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from trio_realtime import events as ev
from trio_realtime.wire import (
    ConversationItemTruncate,
    MessageItem,
    ResponseCancel,
)

from .audio.playback import ItemKey, Playback, TruncatePoint
from .calls.ledger import ToolLedger
from .effects import CancelCalls, Effect
from .guardrails import ReplyGuard
from .history.edits import HistoryEdits
from .history.items import History
from .history.replayed import heard_parts
from .inputs import Interrupt
from .link import Link
from .responses.queue import ResponseQueue
from .responses.running import RunningResponse, RunningResponses


class Interruption:
    """Decides what an interruption stops, and tells the service and the consumers.

    Args:
        responses: the responses that run.
        queue: knows the create that was sent and not answered.
        history: knows which items were deleted.
        playback: knows how much of each item was heard.
        guard: holds back audio that is not checked yet.
        ledger: knows which calls run.
        edits: replace items whose audio came over an earlier connection.
        link: whether anything can be sent now.
        token: makes event ids.
        count: how often everything was interrupted on earlier connections.

    Attributes:
        count: how often everything was interrupted: by the user, or for the user.
    """

    def __init__(
        self,
        responses: RunningResponses,
        queue: ResponseQueue,
        history: History,
        playback: Playback,
        guard: ReplyGuard,
        ledger: ToolLedger,
        edits: HistoryEdits,
        link: Link,
        token: Callable[[str], str],
        *,
        count: int = 0,
    ) -> None:
        self._responses = responses
        self._queue = queue
        self._history = history
        self._playback = playback
        self._guard = guard
        self._ledger = ledger
        self._edits = edits
        self._link = link
        self._token = token
        self._cancelled_in_advance: set[str] = set()
        self.count: int = count

    # --- inputs

    def on_interrupt(self, _event: Interrupt, now: float) -> list[Effect]:
        """Stop all current and pending speech of the agent."""
        return self.interrupt_all(now)

    # --- requests that were sent

    def cancel_when_created(self, token: str) -> None:
        """Cancel the response of this request as soon as it is created."""
        self._cancelled_in_advance.add(token)

    def is_cancelled_in_advance(self, token: str) -> bool:
        """Return whether the response of this request is to be cancelled when it is created."""
        return token in self._cancelled_in_advance

    def forget(self, token: str) -> None:
        """Forget a request that has its outcome."""
        self._cancelled_in_advance.discard(token)

    def cancel_if_marked(self, response: RunningResponse, tokens: Iterable[str]) -> list[Effect]:
        """Cancel a response that was created for one of these requests, if that request was marked."""
        if self._cancelled_in_advance.isdisjoint(tokens):
            return []
        return self._cancel(response)

    # --- responses that run, and audio that plays

    def interrupt_all(self, now: float, *, cancel: bool = True) -> list[Effect]:
        """Stop every response of the conversation and its calls.

        Args:
            now: seconds.
            cancel: send ``response.cancel``; not needed where the service cancels by itself.
        """
        self.count += 1
        if self._queue.outstanding is not None:
            self.cancel_when_created(self._queue.outstanding.token)
        effects: list[Effect] = []
        for response in self._responses.in_conversation():
            response.audio_suppressed = True
            if cancel:
                effects += self._cancel(response)
        return [*effects, *self._cut(now), *self.cancel_calls()]

    def interrupt_response(self, response_id: str, now: float) -> list[Effect]:
        """Stop one response and its calls. Nothing of another response is touched."""
        response = self._responses.get(response_id)
        cancel = [] if response is None else self._cancel(response)
        return [*cancel, *self.silence(response_id, now)]

    def cancelled_by_user(self, cancel: ResponseCancel, now: float) -> list[Effect]:
        """Stop what a ``response.cancel`` cancels that the user has sent."""
        if cancel.response_id is None:
            for response in self._responses.in_conversation():
                response.cancel_sent, response.cancel_id = True, cancel.event_id
            return self.interrupt_all(now)
        named = self._responses.get(cancel.response_id)
        if named is None:
            return []
        named.cancel_sent, named.cancel_id = True, cancel.event_id
        return self.interrupt_response(named.id, now)

    def silence(self, response_id: str, now: float) -> list[Effect]:
        """Cut the audio of a response and cancel its calls, without cancelling the response."""
        response = self._responses.get(response_id)
        if response is not None:
            response.audio_suppressed = True
        return [*self._cut(now, only=response_id), *self.cancel_calls(response_id)]

    def cut_lost(self, response_id: str, now: float) -> list[Effect]:
        """Cut the audio of a response whose connection is gone. Its calls go on."""
        return self._cut(now, only=response_id)

    def unfinished(self) -> set[str]:
        """Return the ids of the responses that may still deliver audio."""
        return {*self._responses.running, *self._guard.holding}

    def _cancel(self, response: RunningResponse) -> list[Effect]:
        response.audio_suppressed = True
        if response.cancel_sent or not self._link.is_open:
            return []
        response.cancel_sent = True
        response.cancel_id = self._token("cancel")
        return [ResponseCancel(event_id=response.cancel_id, response_id=response.id)]

    def cancel_calls(self, response_id: str | None = None) -> list[Effect]:
        """Cancel the open calls of one response, or of all responses."""
        call_ids = self._ledger.interrupt(response_id)
        return [CancelCalls(call_ids=tuple(call_ids))] if call_ids else []

    def _cut(self, now: float, only: str | None = None) -> list[Effect]:
        """Truncate the items that play, then report their interruption to the consumers.

        An item whose audio was held back is only truncated: consumers have received nothing of it.
        """
        points = self._playback.cut(now, self.unfinished(), only)
        effects: list[Effect] = []
        for point in points:
            response = self._responses.get(point.response_id)
            if response is not None:
                response.audio_suppressed = True
            key = (point.item_id, point.content_index)
            if point.received_ms > 0:
                self._history.note_heard(*key, point.played_ms / point.received_ms)
            is_sent = self._link.is_open and self._responses.is_known(point.response_id)
            effects += self._truncate(key, point.played_ms, is_sent=is_sent)
        for unheard in self._guard.discard(only):
            self._history.note_heard(*unheard, 0.0)
            effects += self._truncate(unheard, 0, is_sent=self._link.is_open)
        return [*effects, *map(_interrupted_event, points)]

    def _truncate(self, key: ItemKey, heard_ms: int, *, is_sent: bool) -> list[Effect]:
        item_id, index = key
        if self._history.was_deleted(item_id):
            return []  # an edit removed the item while it played
        if not is_sent:
            return self._cut_in_history(item_id, index, heard_ms)
        return [
            ConversationItemTruncate(
                event_id=self._token("truncate"),
                item_id=item_id,
                content_index=index,
                audio_end_ms=heard_ms,
            )
        ]

    def _cut_in_history(self, item_id: str, index: int, heard_ms: int) -> list[Effect]:
        """Note a truncation that no service can report: the connection of the audio is gone.

        The next connection was told of the whole text if its replay came before the interruption.
        """
        item = self._history.truncate(item_id, index, heard_ms)
        if item is None:
            return []
        updated = ev.HistoryUpdated(item=item, read=self._history.snapshot)
        if not self._link.is_open or not isinstance(item, MessageItem):
            return [updated]
        content = tuple(heard_parts(item, self._history))
        return [updated, *self._edits.cut_replayed(attrs.evolve(item, content=content))]


def _interrupted_event(point: TruncatePoint) -> ev.AudioInterrupted:
    return ev.AudioInterrupted(
        response_id=point.response_id,
        item_id=point.item_id,
        content_index=point.content_index,
        played_ms=point.played_ms,
    )
