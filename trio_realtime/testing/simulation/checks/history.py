"""Invariant 9: the history equals the server's conversation when nothing is under way."""

from __future__ import annotations

from collections.abc import Sequence, Set as AbstractSet
from typing import Any, Final

from trio_realtime.items import HistoryItem, InputAudio, InputText
from trio_realtime.testing.simulation.log import Entry, Frame, InvariantViolation
from trio_realtime.testing.simulation.subject import Subject
from trio_realtime.wire import FunctionCallItem, FunctionCallOutputItem, MessageItem, OutputAudio
from trio_realtime.wire.items import OutputText

__all__ = ["HistoryCheck"]

_LONGEST_AUDIO: Final = 20.0
_AS_TEXT: Final = {"output_audio": "output_text", "input_audio": "input_text"}
"""What a new connection is given instead of audio."""


class HistoryCheck:
    """Checks invariant 9 at quiet moments.

    The server deletes the transcript of truncated audio, and the session keeps it. A new connection is
    told the text of audio, as far as it was heard, and of no call that is still open. There is no other
    difference.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._added_at: dict[str, float] = {}
        self._unheard: set[str] = set()
        log = subject.log
        log.observe(self._added, "in")
        log.observe(self._truncated, "out")
        log.observe(self._connected, "connected")
        log.observe(self._quiet, "quiet")

    def _added(self, entry: Entry) -> None:
        if entry.about["type"] == "conversation.item.added":
            self._added_at[entry.about["item"]["id"]] = entry.time

    def _truncated(self, entry: Entry) -> None:
        if entry.about["type"] == "conversation.item.truncate":
            self._unheard.add(entry.about["item_id"])

    def _connected(self, entry: Entry) -> None:
        """The loss of a connection ends the audio that plays."""
        recent = entry.time - _LONGEST_AUDIO
        self._unheard |= {item_id for item_id, at in self._added_at.items() if at >= recent}

    def _quiet(self, _entry: Entry) -> None:
        assert self._subject.session is not None
        ours = list(self._subject.session.history)
        theirs = self._subject.network.server_items
        replayed = len(self._subject.network.connections) > 1
        their_ids = [item["id"] for item in theirs]
        if replayed:
            known = set(their_ids)
            incomplete = _incomplete_calls(ours)
            ours = [i for i in ours if i.id in known or not self._may_be_missing(i, incomplete)]
        our_ids = [item.id for item in ours]
        if our_ids != their_ids:
            raise InvariantViolation(9, f"the items are {our_ids}, and the server has {their_ids}")
        for our_item, their_item in zip(ours, theirs, strict=True):
            difference = _difference(our_item, their_item, replayed=replayed)
            if difference is not None:
                raise InvariantViolation(9, f"item {our_item.id} differs: {difference}")

    def _may_be_missing(self, item: HistoryItem, incomplete: AbstractSet[str | None]) -> bool:
        """Return whether a new connection is not told of an item.

        That is a message of which nothing was heard, a call without its output, or the reverse.
        """
        match item:
            case MessageItem():
                return item.id in self._unheard or not any(_part(part)[1] for part in item.content)
            case FunctionCallItem() | FunctionCallOutputItem():
                return item.call_id in incomplete
            case _:
                return False


def _incomplete_calls(items: Sequence[HistoryItem]) -> set[str | None]:
    """Return the ids of calls without an output, and of outputs without a call."""
    calls = {item.call_id for item in items if isinstance(item, FunctionCallItem)}
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    return calls ^ outputs


def _difference(ours: HistoryItem, theirs: Frame, *, replayed: bool) -> str | None:
    match ours:
        case MessageItem():
            mine: Any = (ours.type, ours.role, [_part(part) for part in ours.content])
            given = [_given_part(part) for part in theirs.get("content", ())]
            other: Any = (theirs["type"], theirs.get("role"), given)
            for our_part, their_part in zip(mine[2], given, strict=False):
                if their_part[1] is None:
                    our_part[1] = None  # truncated, or not transcribed
                if replayed and _AS_TEXT.get(our_part[0]) == their_part[0]:
                    _compare_heard_text(our_part, their_part)
        case FunctionCallItem():
            mine = (ours.type, ours.call_id, ours.name, ours.arguments)
            other = tuple(theirs.get(key) for key in ("type", "call_id", "name", "arguments"))
        case FunctionCallOutputItem():
            mine = (ours.type, ours.call_id, ours.output)
            other = tuple(theirs.get(key) for key in ("type", "call_id", "output"))
        case _:
            mine, other = ours.type, theirs["type"]
    return None if mine == other else f"{mine} instead of {other}"


def _compare_heard_text(ours: list[Any], theirs: list[Any]) -> None:
    """Make parts equal if one is the text of what was heard of the other."""
    if (ours[1] or "").startswith(theirs[1].removesuffix("…").rstrip()):
        ours[:] = theirs


def _part(part: Any) -> list[Any]:
    match part:
        case InputText() | OutputText():
            return [part.type, part.text]
        case InputAudio() | OutputAudio():
            return [part.type, part.transcript]
        case _:
            return [part.type, None]


def _given_part(part: Frame) -> list[Any]:
    return [part["type"], part.get("text") if "text" in part else part.get("transcript")]
