"""Read the frames that the client sent."""

from __future__ import annotations

from typing import Any, TypeAlias

from trio.testing import wait_all_tasks_blocked

from trio_realtime.testing import ScriptedPeer

Frame: TypeAlias = dict[str, Any]

ITEM = "conversation.item.create"
TRUNCATE = "conversation.item.truncate"
CREATE = "response.create"
CANCEL = "response.cancel"


async def sent_frames(peer: ScriptedPeer) -> list[Frame]:
    """Wait until all tasks are blocked, and return all frames of the client except settings."""
    await wait_all_tasks_blocked()
    return [frame for frame in peer.received if frame["type"] != "session.update"]


async def sent_types(peer: ScriptedPeer) -> list[str]:
    """Wait until all tasks are blocked, and return the types of all frames except settings."""
    return [frame["type"] for frame in await sent_frames(peer)]


def sent_creates(peer: ScriptedPeer) -> list[Frame]:
    """Return the ``response.create`` frames received so far."""
    return [frame for frame in peer.received if frame["type"] == CREATE]


def sent_outputs(peer: ScriptedPeer) -> list[tuple[str, str]]:
    """Return the call id and output of each function call output received so far, in order."""
    return [
        (frame["item"]["call_id"], frame["item"]["output"])
        for frame in peer.received
        if frame["type"] == ITEM and frame["item"]["type"] == "function_call_output"
    ]


def sent_settings(peer: ScriptedPeer) -> list[Frame]:
    """Return the session object of each ``session.update`` received so far."""
    return [frame["session"] for frame in peer.received if frame["type"] == "session.update"]


def last_settings_update(peer: ScriptedPeer) -> Frame:
    """Return the last ``session.update`` received so far."""
    return [frame for frame in peer.received if frame["type"] == "session.update"][-1]


async def late_result_messages(peer: ScriptedPeer) -> list[Frame]:
    """Return the messages that carry results of calls that were answered early."""
    return [
        frame["item"]
        for frame in await sent_frames(peer)
        if frame["type"] == ITEM and frame["item"]["type"] == "message"
    ]


def user_message_text(frame: Frame) -> str:
    """Return the text of a ``conversation.item.create`` with a message of the user."""
    assert (frame["item"]["type"], frame["item"]["role"]) == ("message", "user")
    (part,) = frame["item"]["content"]
    assert part["type"] == "input_text"
    return str(part["text"])
