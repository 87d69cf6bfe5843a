"""Read frames of both directions."""

from __future__ import annotations

from typing import Any

from trio_realtime.testing.simulation.log import Frame, member

__all__ = ["answered_call", "completed_call", "create_token", "created_token", "message_text"]


def completed_call(frame: Frame) -> Frame | None:
    """Return the function call that a server event completes, if it does."""
    if frame["type"] != "response.output_item.done":
        return None
    item: Frame = frame["item"]
    is_call = item["type"] == "function_call" and item["status"] == "completed"
    return item if is_call else None


def answered_call(frame: Frame) -> str | None:
    """Return the id of the call that a client event answers, if it does.

    An output that has an id of its own is part of an edit.
    """
    if frame["type"] != "conversation.item.create":
        return None
    item: Frame = frame["item"]
    is_answer = item["type"] == "function_call_output" and item.get("id") is None
    return str(item["call_id"]) if is_answer else None


def message_text(frame: Frame) -> str:
    """Return the text of the message that an event creates or reports; empty for another event."""
    item: Any = frame.get("item")
    if not item or item.get("type") != "message":
        return ""
    return "".join(part.get("text") or "" for part in item.get("content", ()))


def create_token(frame: Frame) -> str | None:
    """Return the id of a ``response.create`` for the conversation; ``None`` for another event."""
    if frame["type"] != "response.create":
        return None
    if member(frame, "response").get("conversation") == "none":
        return None
    return str(frame.get("event_id"))


def created_token(frame: Frame) -> str | None:
    """Return the id of the create that a ``response.created`` answers, if the session sent one."""
    if frame["type"] != "response.created":
        return None
    token: str | None = member(frame["response"], "metadata").get("trio_realtime")
    return token
