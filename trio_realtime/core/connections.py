"""From one connection to the next: what ends with a connection, and what the next one is given.

=============================================  ====================================================
when a connection is lost                      then
=============================================  ====================================================
a response runs                                it ends as failed with the reason ``disconnected``, and
                                               its audio is interrupted
a create was sent, its response not begun      it returns to the queue
the service was about to answer the user       a response is requested, once the speech is an item
the user's speech was committed, not reported  its audio is created as an item
a call runs                                    it goes on; its output is sent to the next connection
a hosted MCP call runs or waits for approval   it ends: the next connection does not know it
settings or an edit were sent                  they are sent again: they name what to reach
an item was sent and not acknowledged          it is sent again
the user speaks                                the speech ends, and its audio is sent again
=============================================  ====================================================

Everything that the conversation decides before the next connection is ready waits. The components that
belong to a connection are made anew for each one, so nothing of an earlier connection can act on a later.
"""

from __future__ import annotations

from collections.abc import Callable

from trio_realtime import events as ev
from trio_realtime.items import MAX_ID_LENGTH
from trio_realtime.wire import ConversationItemCreate, InputAudio, MessageItem

from .audio.retention import RetainedAudio
from .audio.user_audio import UserAudio
from .barge_in import BargeIn
from .calls.hosted_mcp import HostedMcpCalls
from .effects import DropConnection, Effect
from .history.edits import HistoryEdits
from .history.items import History
from .history.outgoing import OutgoingItems
from .inputs import ConnectionLost, ConnectionRestored, DeadlinePassed, Disconnected
from .interruption import Interruption
from .link import Link
from .request_timer import RequestTimer
from .responses.lifecycle import ResponseLifecycle
from .responses.requests import ResponseRequests
from .responses.running import RunningResponses
from .settings import SessionSettings


class Connections:
    """Ends what belongs to one connection, and begins the next.

    Args:
        renew: makes the components of the next connection.
        drop: drops everything that waits, at the end of the session.
    """

    def __init__(
        self,
        link: Link,
        timer: RequestTimer,
        history: History,
        outgoing: OutgoingItems,
        user_audio: UserAudio,
        retention: RetainedAudio,
        settings: SessionSettings,
        edits: HistoryEdits,
        responses: RunningResponses,
        requests: ResponseRequests,
        interruption: Interruption,
        barge_in: BargeIn,
        hosted: HostedMcpCalls,
        lifecycle: ResponseLifecycle,
        renew: Callable[[], None],
        drop: Callable[[], None],
    ) -> None:
        self._link = link
        self._timer = timer
        self._history = history
        self._outgoing = outgoing
        self._user_audio = user_audio
        self._retention = retention
        self._settings = settings
        self._edits = edits
        self._responses = responses
        self._requests = requests
        self._interruption = interruption
        self._barge_in = barge_in
        self._hosted = hosted
        self._lifecycle = lifecycle
        self._renew = renew
        self._drop = drop

    def on_connection_lost(self, event: ConnectionLost, now: float) -> list[Effect]:
        """End what belongs to the connection, and queue again what has not begun."""
        if not self._link.is_open:
            return []
        self._link.close(now)
        effects: list[Effect] = []
        for response in [*self._responses.running.values()]:
            response.audio_suppressed = True
            if not event.is_last:
                effects += self._interruption.cut_lost(response.id, now)
            effects += self._lifecycle.end_disconnected(response, event.message, now)
        effects += self._hosted.connection_lost()
        is_heard_again = self._user_audio.enabled and self._user_audio.is_in_turn
        if self._barge_in.is_answer_due and not is_heard_again:
            effects += self._barge_in.request_answer()
        effects += self._requests.connection_lost(is_heard_again=is_heard_again)
        effects += self._requests.after_call_finished()
        self._settings.connection_lost()
        self._edits.connection_lost()
        effects += [
            ev.HistoryUpdated(item=item, read=self._history.snapshot)
            for item in self._history.end_open_items()
        ]
        effects += self._user_audio.connection_lost()
        if not event.is_last:
            effects += self._create_unreported_speech()
        self._timer.clear()
        self._renew()
        return effects

    def _create_unreported_speech(self) -> list[Effect]:
        """Create the items whose speech was committed and that were not reported."""
        return [
            effect
            for item_id, audio in self._user_audio.take_unreported(self._history.is_known)
            for effect in self._outgoing.send(
                ConversationItemCreate(
                    item=MessageItem(
                        id=item_id if len(item_id) <= MAX_ID_LENGTH else None,
                        role="user",
                        content=(InputAudio(audio=audio),),
                    )
                )
            )
        ]

    def on_connection_restored(self, event: ConnectionRestored, now: float) -> list[Effect]:
        """Send everything that waits. The items that the connection was told of are on it."""
        self._link.open()
        replay = event.replay
        new_ids = self._history.take_replay_ids(replay.acknowledged)
        self._user_audio.rename_clips(new_ids)
        self._retention.rename_clips(new_ids)
        for item_id in replay.acknowledged:
            self._history.note_reported(item_id)
        settings = self._settings.restored(replay.session)
        audio = self._user_audio.send_again(now, self._link.lost_at)
        reconnected = ev.Reconnected(
            attempts=event.attempts,
            duration=now - self._link.lost_at,
            items_sent=len(replay.acknowledged) + len(replay.rejected),
            items_acknowledged=len(replay.acknowledged),
            lost_audio_ms=round(self._user_audio.take_dropped_ms()),
            state_restored=not replay.rejected,
        )
        return [
            reconnected,
            *settings,
            *self._outgoing.send_again(),
            *audio,
            *self._requests.send_out_of_band(),
            *self._edits.restored(),
            *self._requests.send_next(),
        ]

    def on_deadline_passed(self, _event: DeadlinePassed, _now: float) -> list[Effect]:
        """Drop a connection whose service is silent, or else give up what was not answered in time."""
        if self._timer.is_silent():
            self._timer.clear()
            return [DropConnection(reason=self._timer.silence())]
        self._outgoing.expire()
        self._user_audio.expire()
        return [*self._requests.expire(), *self._settings.expire(), *self._edits.expire()]

    def on_disconnected(self, _event: Disconnected, now: float) -> list[Effect]:
        """Drop everything that waits: the session is over."""
        self._timer.clear()
        self._link.close(now)
        self._drop()
        self._renew()
        return []
