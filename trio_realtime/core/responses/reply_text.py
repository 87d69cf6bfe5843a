"""The texts, transcripts and arguments of running responses: each is delivered once, however it arrives.

A service sends a text as deltas, and again in several events when it is complete. Some services leave out
the deltas, or some of them. What a complete text has beyond the deltas is delivered as one more delta. A
complete text that contradicts its deltas goes into the history only.
"""

from __future__ import annotations

from collections.abc import Iterator

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect
from trio_realtime.core.guardrails import ReplyGuard
from trio_realtime.core.history.items import History
from trio_realtime.core.history.updates import HistoryUpdater
from trio_realtime.items import FunctionCallItem
from trio_realtime.wire import Item, MessageItem, OutputAudio, OutputText

from .running import PartKind, RunningResponse


class ReplyText:
    """Delivers the texts of responses to the consumers, the history and the guardrails.

    Args:
        history: gets text and arguments.
        updates: reports the growth of items.
        guard: requests checks of text.
    """

    def __init__(self, history: History, updates: HistoryUpdater, guard: ReplyGuard) -> None:
        self._history = history
        self._updates = updates
        self._guard = guard

    # --- texts and transcripts

    def add(
        self,
        response: RunningResponse,
        item_id: str,
        index: int,
        delta: str,
        kind: PartKind,
        now: float,
    ) -> list[Effect]:
        """Deliver more of a text or transcript."""
        response.add_text(item_id, index, delta, kind)
        if response.out_of_band:
            return []
        self._history.append_text(item_id, index, delta, kind)
        event = ev.TextDelta if kind is OutputText else ev.TranscriptDelta
        return [
            event(delta=delta, response_id=response.id, item_id=item_id, content_index=index),
            *self._updates.note_growth(item_id, now),
            *self._guard.text(response.id, response.agent, delta, now),
        ]

    def complete_part(
        self,
        response: RunningResponse,
        item_id: str,
        index: int,
        text: str | None,
        kind: PartKind,
        now: float,
    ) -> list[Effect]:
        """Deliver what a complete text has beyond its deltas."""
        known = response.text_of(item_id, index)
        if not text or len(text) <= len(known) or not text.startswith(known):
            return []
        return self.add(response, item_id, index, text[len(known) :], kind, now)

    def complete_item(self, response: RunningResponse, item: Item, now: float) -> list[Effect]:
        """Deliver what the parts of a complete message have beyond their deltas.

        If the deltas have counted the parts otherwise, the parts are compared as one text.
        """
        if not isinstance(item, MessageItem) or not item.id:
            return []
        parts = [*_texts_of(item)]
        if response.parts_continue(item.id, {index: text for index, text, _ in parts}):
            return [
                effect
                for index, text, kind in parts
                for effect in self.complete_part(response, item.id, index, text, kind, now)
            ]
        known = response.text_of(item.id)
        if not "".join(text for _, text, _ in parts).startswith(known):
            return []
        effects: list[Effect] = []
        to_skip = len(known)
        for index, text, kind in parts:
            if len(text) > to_skip:
                effects += self.add(response, item.id, index, text[to_skip:], kind, now)
            to_skip = max(to_skip - len(text), 0)
        return effects

    def end(self, response: RunningResponse, *, completed: bool) -> list[Effect]:
        """Put messages into the history that the service has not reported as items."""
        effects: list[Effect] = []
        for item_id, parts in response.texts.items():
            if item_id in self._history or self._history.was_deleted(item_id):
                continue
            content = tuple(
                OutputText(text=part.text)
                if part.kind is OutputText
                else OutputAudio(transcript=part.text)
                for _, part in sorted(parts.items())
            )
            status = "completed" if completed else "incomplete"
            effects += self._updates.finish_item(
                MessageItem(id=item_id, role="assistant", status=status, content=content)
            )
        return effects

    # --- arguments of function calls

    def add_arguments(
        self, response: RunningResponse, item_id: str, call_id: str, delta: str, now: float
    ) -> list[Effect]:
        """Deliver more of the arguments of a call."""
        self._history.append_arguments(item_id, delta)
        response.arguments.setdefault(item_id or call_id, []).append(delta)
        item = self._history.get(item_id)
        return [
            ev.ToolArgumentsDelta(
                delta=delta,
                tool_name=item.name if isinstance(item, FunctionCallItem) else "",
                call_id=call_id,
                response_id=response.id,
                item_id=item_id,
            ),
            *self._updates.note_growth(item_id, now),
        ]

    def complete_arguments(
        self, response: RunningResponse, item_id: str, call_id: str, arguments: str, now: float
    ) -> list[Effect]:
        """Deliver what complete arguments have beyond their deltas."""
        known = "".join(response.arguments.get(item_id or call_id, ()))
        if len(arguments) <= len(known) or not arguments.startswith(known):
            return []
        return self.add_arguments(response, item_id, call_id, arguments[len(known) :], now)


def _texts_of(item: MessageItem) -> Iterator[tuple[int, str, PartKind]]:
    """Yield index, text and kind of each part of a message that has text."""
    for index, part in enumerate(item.content):
        match part:
            case OutputText(text=text):
                yield index, text, OutputText
            case OutputAudio(transcript=str(text)):
                yield index, text, OutputAudio
            case _:
                pass
