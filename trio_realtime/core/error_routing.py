"""Route each ``error`` event to the request that it answers; report all others to the consumers."""

from __future__ import annotations

from trio_realtime import events as ev
from trio_realtime.errors import PeerError
from trio_realtime.wire import ErrorEvent

from .audio.retention import RetainedAudio
from .audio.user_audio import UserAudio
from .effects import Effect
from .error_events import NOTHING_TO_CANCEL, peer_error
from .history.edits import HistoryEdits
from .history.outgoing import OutgoingItems
from .responses.lifecycle import ResponseLifecycle
from .responses.requests import ResponseRequests
from .responses.running import RunningResponses
from .settings import SessionSettings


class ErrorRouter:
    """Finds the request that an ``error`` event answers.

    Attributes:
        last_error: the last error that may explain why the connection ends.
    """

    def __init__(
        self,
        settings: SessionSettings,
        edits: HistoryEdits,
        retention: RetainedAudio,
        requests: ResponseRequests,
        responses: RunningResponses,
        lifecycle: ResponseLifecycle,
        outgoing: OutgoingItems,
        user_audio: UserAudio,
    ) -> None:
        self.last_error: PeerError | None = None
        self._settings = settings
        self._edits = edits
        self._retention = retention
        self._requests = requests
        self._responses = responses
        self._lifecycle = lifecycle
        self._outgoing = outgoing
        self._user_audio = user_audio

    def on_error(self, event: ErrorEvent, now: float) -> list[Effect]:
        """Route an error; deliver it as an event if it answers no request."""
        details = event.error
        rejected = self._settings.reject(details) or self._edits.reject(details)
        if rejected is not None:
            self.last_error, effects = rejected
            return effects
        if details.code == NOTHING_TO_CANCEL:
            # The response ended before the cancel arrived. If it still runs here, its end was lost.
            response = self._responses.cancelled_with(details.event_id)
            return [] if response is None else self._lifecycle.end_lost(response, now)
        if self._retention.rejected(details.event_id):
            return []  # the library made that request, so its rejection is not reported
        effects_of_create = self._requests.reject(details)
        if effects_of_create is not None:
            return effects_of_create
        self._outgoing.rejected(details.event_id)
        if (details.code or "").startswith("input_audio_buffer_commit"):
            self._user_audio.commit_rejected()
        self.last_error = peer_error(details)
        return [ev.Error(error=self.last_error)]
