"""Making the agent stop: what runs is cancelled, what plays is cut, what is on its way is doomed.

By name throughout: a cancel names its response, a cut its item, so neither can hit what comes after.
A create that is on its way cannot be called back; it is doomed, and its response is cancelled as
soon as it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from trio_realtime import events as ev
from trio_realtime.wire import ConversationItemTruncate, ResponseCancel

from .audio.playback import ItemKey, Playback, TruncatePoint
from .calls.function_calls import FunctionCalls
from .effects import Effect
from .history.items import History
from .replies import ReplyGuard
from .responses.running import RunningResponse, RunningResponses


class _Unfinished:
    """The responses of which more may be heard than was received: they run, or are held back."""

    def __init__(self, responses: RunningResponses, replies: ReplyGuard) -> None:
        self._running = responses.running
        self._replies = replies

    def __contains__(self, response_id: object) -> bool:
        return response_id in self._running or self._replies.holds(str(response_id))


class Interruption:
    """See the module. ``unfinished`` are the responses whose audio is not all at the consumer."""

    def __init__(
        self,
        responses: RunningResponses,
        history: History,
        playback: Playback,
        replies: ReplyGuard,
        calls: FunctionCalls,
        token: Callable[[str], str],
    ) -> None:
        self._responses = responses
        self._history = history
        self._playback = playback
        self._replies = replies
        self._calls = calls
        self._token = token
        self._doomed: set[str] = set()
        self.unfinished: Container[str] = _Unfinished(responses, replies)

    # --- what is on its way

    def doom(self, token: str) -> None:
        """The response of this create is to be cancelled when it begins."""
        self._doomed.add(token)

    def is_doomed(self, token: str) -> bool:
        """Whether the response of this create is to be cancelled when it begins."""
        return token in self._doomed

    def forget(self, token: str) -> None:
        """Nothing will come of this create any more, or all of it has come."""
        self._doomed.discard(token)

    def forget_all(self) -> None:
        """Nothing will come any more."""
        self._doomed.clear()

    def cancel_if_doomed(
        self, state: RunningResponse, tokens: Iterable[str], effects: list[Effect]
    ) -> None:
        """A response has begun that goes by these names."""
        if not self._doomed.isdisjoint(tokens):
            self.cancel(state, effects)

    # --- what runs and what plays

    def stop_all(self, now: float, effects: list[Effect], *, cancel: bool) -> None:
        """Silence all that speaks and stop its calls.

        ``cancel``: the service has to be told; otherwise it stops by itself.
        """
        for state in self._responses.in_conversation():
            state.silenced = True
            if cancel:
                self.cancel(state, effects)
        self.cut(now, effects)
        self._calls.cancel(None, effects)

    def stop(self, response_id: str, now: float, effects: list[Effect]) -> None:
        """The same for one response: nothing of another one is touched."""
        state = self._responses.get(response_id)
        if state is not None:
            self.cancel(state, effects)
        self.silence(response_id, now, effects)

    def silence(self, response_id: str, now: float, effects: list[Effect]) -> None:
        """Cut what plays of a response and stop its calls, without a word to the service about it."""
        state = self._responses.get(response_id)
        if state is not None:
            state.silenced = True
        self.cut(now, effects, only=response_id)
        self._calls.cancel(response_id, effects)

    def cancel(self, state: RunningResponse, effects: list[Effect]) -> None:
        """Have the service stop a response, once."""
        state.silenced = True
        if not state.cancel_sent:
            state.cancel_sent = True
            effects.append(ResponseCancel(event_id=self._token("cancel"), response_id=state.id))

    def cut(self, now: float, effects: list[Effect], only: str | None = None) -> None:
        """Cut what plays, of one response or of all: first the service is told, then the consumer.

        Audio that was held back is dropped; of that the consumer knows nothing.
        """
        positions = self._playback.cut(now, self.unfinished, only)
        for position in positions:
            state = self._responses.get(position.response_id)
            if state is not None:
                state.silenced = True
            self._truncate((position.item_id, position.content_index), position.played_ms, effects)
        for unheard in self._replies.drop(only):
            self._truncate(unheard, 0, effects)
        effects += [_interrupted(position) for position in positions]

    def _truncate(self, key: ItemKey, heard_ms: int, effects: list[Effect]) -> None:
        item_id, index = key
        if self._history.was_deleted(item_id):
            return  # an edit took it away while it played: nothing is left of it to cut
        effects.append(
            ConversationItemTruncate(
                event_id=self._token("truncate"),
                item_id=item_id,
                content_index=index,
                audio_end_ms=heard_ms,
            )
        )


def _interrupted(position: TruncatePoint) -> ev.AudioInterrupted:
    return ev.AudioInterrupted(
        response_id=position.response_id,
        item_id=position.item_id,
        content_index=position.content_index,
        played_ms=position.played_ms,
    )
