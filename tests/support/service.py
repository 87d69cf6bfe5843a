"""Actions of the service that several tests need, sent by a ``ScriptedPeer``."""

from __future__ import annotations

from trio.testing import wait_all_tasks_blocked

from support.wire import CREATE, Frame, last_settings_update
from trio_realtime.testing import ScriptedPeer


def silence(count: float) -> bytes:
    """Return this many seconds of silence, as PCM16 at 24 kHz."""
    return bytes(int(48_000 * count))


def begin_audio_response(peer: ScriptedPeer, response_id: str, item_id: str, pcm: bytes) -> None:
    """Start a response with a message and send audio."""
    peer.begin_response(response_id)
    peer.open_message(response_id, item_id)
    peer.audio(response_id, item_id, pcm)


async def start_audio_response(
    peer: ScriptedPeer, response_id: str, item_id: str, *, audio: float
) -> None:
    """Start a response with this many seconds of audio, and let the client process it."""
    begin_audio_response(peer, response_id, item_id, silence(audio))
    await wait_all_tasks_blocked()


def end_audio(peer: ScriptedPeer, response_id: str, item_id: str) -> None:
    """Send ``response.output_audio.done`` for an item."""
    peer.send(
        {
            "type": "response.output_audio.done",
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
        }
    )


async def send_text(peer: ScriptedPeer, *deltas: str) -> None:
    """Send text deltas and let the client process them."""
    for delta in deltas:
        peer.text("resp_1", "item_1", delta)
    await wait_all_tasks_blocked()


async def accept_create(peer: ScriptedPeer, response_id: str) -> None:
    """Expect ``response.create`` and start its response."""
    peer.begin_response(response_id, await peer.expect(CREATE))


def message_item(item_id: str, text: str) -> Frame:
    """Return the completed item of a message of the assistant."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text}],
    }


def function_call_item(
    item_id: str, call_id: str, name: str, arguments: str = "{}", *, status: str = "completed"
) -> Frame:
    """Return the item of a function call."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "name": name,
        "call_id": call_id,
        "arguments": arguments,
    }


async def start_call(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """Start a response, send one call without ending the response, and let the tool start."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name, arguments)
    await wait_all_tasks_blocked()


def send_call(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """Send a complete response with one call."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name, arguments)
    peer.end_response("resp_1")


async def send_call_and_wait(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """Send a complete response with one call, and let the client process it."""
    send_call(peer, name, arguments)
    await wait_all_tasks_blocked()


async def reject_next_update(peer: ScriptedPeer) -> None:
    """Let the client send its ``session.update``, and reject it."""
    await wait_all_tasks_blocked()
    peer.reject(last_settings_update(peer), "invalid_value", "no such voice")


def send_spoken_reply(peer: ScriptedPeer, number: int, *, audio: float = 1) -> None:
    """Send a complete response with this number and this many seconds of audio."""
    peer.begin_response(f"resp_{number}")
    peer.say(f"resp_{number}", f"item_{number}", "Good morning", pcm=silence(audio))
    peer.end_response(f"resp_{number}")
