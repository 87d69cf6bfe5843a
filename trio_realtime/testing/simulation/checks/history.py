"""Invariant 9: the history equals the server's conversation when nothing is under way."""

from __future__ import annotations

from typing import Any

from trio_realtime.items import HistoryItem, InputAudio, InputText
from trio_realtime.testing.simulation.log import Entry, Frame, InvariantViolation
from trio_realtime.testing.simulation.subject import Subject
from trio_realtime.wire import FunctionCallItem, FunctionCallOutputItem, MessageItem, OutputAudio
from trio_realtime.wire.items import OutputText

__all__ = ["HistoryCheck"]


class HistoryCheck:
    """Checks invariant 9 at quiet moments.

    The server deletes the transcript of truncated audio, and the session keeps it. That is the only
    difference.

    Args:
        subject: the session to check.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        subject.log.observe(self._quiet, "quiet")

    def _quiet(self, _entry: Entry) -> None:
        assert self._subject.session is not None
        ours = self._subject.session.history
        theirs = self._subject.network.server_items
        our_ids, their_ids = [item.id for item in ours], [item["id"] for item in theirs]
        if our_ids != their_ids:
            raise InvariantViolation(9, f"the items are {our_ids}, and the server has {their_ids}")
        for our_item, their_item in zip(ours, theirs, strict=True):
            difference = _difference(our_item, their_item)
            if difference is not None:
                raise InvariantViolation(9, f"item {our_item.id} differs: {difference}")


def _difference(ours: HistoryItem, theirs: Frame) -> str | None:
    match ours:
        case MessageItem():
            mine: Any = (ours.type, ours.role, [_part(part) for part in ours.content])
            given = [_given_part(part) for part in theirs.get("content", ())]
            other: Any = (theirs["type"], theirs.get("role"), given)
            for our_part, their_part in zip(mine[2], given, strict=False):
                if their_part[1] is None:
                    our_part[1] = None  # truncated, or not transcribed
        case FunctionCallItem():
            mine = (ours.type, ours.call_id, ours.name, ours.arguments)
            other = tuple(theirs.get(key) for key in ("type", "call_id", "name", "arguments"))
        case FunctionCallOutputItem():
            mine = (ours.type, ours.call_id, ours.output)
            other = tuple(theirs.get(key) for key in ("type", "call_id", "output"))
        case _:
            mine, other = ours.type, theirs["type"]
    return None if mine == other else f"{mine} instead of {other}"


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
