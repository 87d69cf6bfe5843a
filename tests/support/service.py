"""What the service does in more than one test, said by a ``ScriptedPeer``."""

from __future__ import annotations

from trio.testing import wait_all_tasks_blocked

from support.wire import CREATE, Frame
from trio_realtime.testing import ScriptedPeer


def seconds(count: float) -> bytes:
    """Silence of this length, as PCM16 at 24 kHz."""
    return bytes(int(48_000 * count))


def begin_speech(peer: ScriptedPeer, response_id: str, item_id: str, pcm: bytes) -> None:
    """A response that runs and has sent this audio."""
    peer.begin_response(response_id)
    peer.open_message(response_id, item_id)
    peer.audio(response_id, item_id, pcm)


async def speak(peer: ScriptedPeer, response_id: str, item_id: str, *, audio: float) -> None:
    """The same with this many seconds of audio, and the client knows."""
    begin_speech(peer, response_id, item_id, seconds(audio))
    await wait_all_tasks_blocked()


def end_audio(peer: ScriptedPeer, response_id: str, item_id: str) -> None:
    """All audio of an item is sent."""
    peer.send(
        {
            "type": "response.output_audio.done",
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
        }
    )


async def write(peer: ScriptedPeer, *deltas: str) -> None:
    """Deltas of text, and the client has taken them in."""
    for delta in deltas:
        peer.text("resp_1", "item_1", delta)
    await wait_all_tasks_blocked()


async def accept(peer: ScriptedPeer, response_id: str) -> None:
    """The next that the client sends is a create, and its response begins."""
    peer.begin_response(response_id, await peer.expect(CREATE))


def called(
    item_id: str, call_id: str, name: str, arguments: str = "{}", *, status: str = "completed"
) -> Frame:
    """The item of a function call."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "name": name,
        "call_id": call_id,
        "arguments": arguments,
    }


async def start_call(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """A response that has made one call and goes on; the tool has been started."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name, arguments)
    await wait_all_tasks_blocked()


def make_call(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """A response that makes one call and is done."""
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name, arguments)
    peer.end_response("resp_1")


async def one_call(peer: ScriptedPeer, name: str, arguments: str = "{}") -> None:
    """The same, and the client has done with it what it can."""
    make_call(peer, name, arguments)
    await wait_all_tasks_blocked()
