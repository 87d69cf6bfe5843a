"""Shows a spoken conversation on the terminal: what the user said before what the agent answered."""

from __future__ import annotations

from trio_realtime import events

from .console import Terminal
from .exit import print_message


class SpokenTerminal:
    """Shows the events of a spoken conversation.

    The transcript of the user's speech often arrives while the agent is answering. The answer is
    withheld until then, or until it is complete.

    Args:
        terminal: shows all events but those of the user's speech.
        transcribes: whether the service was asked for transcripts.
    """

    def __init__(self, terminal: Terminal, *, transcribes: bool) -> None:
        self._terminal = terminal
        self._transcribes = transcribes
        self._untranscribed: set[str] = set()
        self._withheld: list[events.SessionEvent] = []

    @property
    def awaits_transcript(self) -> bool:
        """Whether speech was detected whose transcript has not arrived."""
        return bool(self._untranscribed)

    def show(self, event: events.SessionEvent) -> None:
        """Show one event, now or later."""
        match event:
            case events.SpeechStarted(item_id=item_id) if self._transcribes:
                self._untranscribed.add(item_id)
            case events.UserTranscript(item_id=item_id, transcript=text):
                self._end_line()
                if text.strip():
                    print(f"you: {text.strip()}", flush=True)
                self._transcribed(item_id)
            case events.UserTranscriptFailed(item_id=item_id, message=message):
                self._end_line()
                print_message(f"your speech was not transcribed: {message}")
                self._transcribed(item_id)
            case events.TextDelta() | events.TranscriptDelta() if self._untranscribed:
                self._withheld.append(event)
            case events.AgentEnd():
                self._release()
                self._terminal.show(event)
            case _:
                self._terminal.show(event)

    def finish(self) -> None:
        """Show what was withheld, and end the line."""
        self._release()
        self._end_line()

    def _transcribed(self, item_id: str) -> None:
        self._untranscribed.discard(item_id)
        if not self._untranscribed:
            self._release()

    def _release(self) -> None:
        for event in self._withheld:
            self._terminal.show(event)
        self._withheld.clear()

    def _end_line(self) -> None:
        self._terminal.finish()
