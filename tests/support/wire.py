"""What the client sent, once everybody has done what they can."""

from __future__ import annotations

from typing import Any, TypeAlias

from trio.testing import wait_all_tasks_blocked

from trio_realtime.testing import ScriptedPeer

Frame: TypeAlias = dict[str, Any]

ITEM = "conversation.item.create"
TRUNCATE = "conversation.item.truncate"
CREATE = "response.create"
CANCEL = "response.cancel"


async def wire(peer: ScriptedPeer) -> list[Frame]:
    """All frames of the client but settings."""
    await wait_all_tasks_blocked()
    return [frame for frame in peer.received if frame["type"] != "session.update"]


async def kinds(peer: ScriptedPeer) -> list[str]:
    """Their types."""
    return [frame["type"] for frame in await wire(peer)]


def creates(peer: ScriptedPeer) -> list[Frame]:
    """The creates that have come so far."""
    return [frame for frame in peer.received if frame["type"] == CREATE]


def answers(peer: ScriptedPeer) -> list[tuple[str, str]]:
    """Call id and output of each answer to a call that has come so far, in order."""
    return [
        (frame["item"]["call_id"], frame["item"]["output"])
        for frame in peer.received
        if frame["type"] == ITEM and frame["item"]["type"] == "function_call_output"
    ]


def updates(peer: ScriptedPeer) -> list[Frame]:
    """The settings that were sent so far."""
    return [frame["session"] for frame in peer.received if frame["type"] == "session.update"]
