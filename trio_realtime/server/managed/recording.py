"""The recording of one run: what a session says and hears, as calls of the recorder."""

from __future__ import annotations

from typing import Any, Final, final

import trio

from trio_realtime import RealtimeSession
from trio_realtime.events import Audio, AudioInterrupted
from trio_realtime.server.recording import CallRecorder
from trio_realtime.wire import AudioFormat

__all__ = ["RunRecorder", "format_problem"]

#: Seconds between two looks at how much was heard. What was heard is placed before the look, so a longer
#: interval makes the recording no less exact.
_INTERVAL: Final = 0.1


@final
class RunRecorder:
    """Passes to a recorder what the user says, what the agent says, and how much of that is heard.

    Args:
        recorder: records the call.
    """

    def __init__(self, recorder: CallRecorder) -> None:
        self.recorder: CallRecorder = recorder
        # Milliseconds that were received of each item that was not heard to its end.
        self._received: dict[tuple[str, int], float] = {}

    def user_audio(self, data: bytes) -> None:
        """Record audio of the user."""
        self.recorder.user_audio(data, trio.current_time())

    def agent_audio(self, event: Audio, bytes_per_ms: float) -> None:
        """Take audio of the agent, until it is heard."""
        key = (event.item_id, event.content_index)
        self._received[key] = self._received.get(key, 0.0) + len(event.data) / bytes_per_ms
        self.recorder.agent_audio(*key, event.data, trio.current_time())

    def agent_interrupted(self, event: AudioInterrupted) -> None:
        """Cut an item of the agent."""
        key = (event.item_id, event.content_index)
        self._received.pop(key, None)
        self.recorder.agent_interrupted(*key, event.played_ms, trio.current_time())

    def record_heard(self, session: RealtimeSession[Any]) -> None:
        """Record what has been heard since the last call."""
        now = trio.current_time()
        positions = {(p.item_id, p.content_index): p for p in session.playback.positions()}
        for key, received in list(self._received.items()):
            position = positions.get(key)
            if position is not None:
                self.recorder.agent_played(*key, position.played_ms, now)
            elif aiter(session).statistics().buffered_events:
                # An event that was not read yet may say that the item was interrupted. Reporting a later
                # item would end this one.
                return
            else:  # heard to its end
                del self._received[key]
                self.recorder.agent_played(*key, received, now)

    async def follow_playback(self, session: RealtimeSession[Any]) -> None:
        """Record what is heard, until cancelled."""
        while True:
            await trio.sleep(_INTERVAL)
            self.record_heard(session)


def format_problem(
    requested: tuple[AudioFormat, AudioFormat], used: tuple[AudioFormat, AudioFormat]
) -> str | None:
    """Return what to change if audio cannot be recorded, because it has other formats than were requested.

    Args:
        requested: the formats of the user and the agent, in which the recording is written.
        used: those that the service reports.
    """
    if all(
        (first.type, first.bytes_per_ms) == (second.type, second.bytes_per_ms)
        for first, second in zip(requested, used, strict=True)
    ):
        return None
    names = [f"{each.type} with {each.bytes_per_ms:g} bytes per ms" for each in used]
    return (
        f"nothing is recorded, because the service uses {names[0]} for the user and {names[1]} for the agent: "
        "set the input_format and the output_format of the agent to these"
    )
