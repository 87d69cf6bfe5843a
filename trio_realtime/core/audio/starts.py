"""Which responses have begun to deliver audio, so that each is announced once."""

from __future__ import annotations

from collections.abc import Sequence

from trio_realtime import events as ev


class AudioStarts:
    """Announces the first audio of each response with an :class:`~trio_realtime.events.AudioStart`.

    The audio path asks it only where an item is new to the playback clock, not for every delta.
    """

    def __init__(self) -> None:
        self._started: set[str] = set()

    def announce(self, event: ev.Audio) -> Sequence[ev.AudioStart | ev.Audio]:
        """Return what to deliver for audio that is about to be delivered."""
        if event.response_id in self._started:
            return (event,)
        self._started.add(event.response_id)
        start = ev.AudioStart(
            response_id=event.response_id,
            item_id=event.item_id,
            content_index=event.content_index,
        )
        return (start, event)

    def forget(self, response_id: str) -> None:
        """Forget a response that delivers no more audio."""
        self._started.discard(response_id)
