"""Push one bound of a session ten times over, and print how much memory that took.

``python bounds_program.py NAME`` runs one of the functions below in a process of its own, so that nothing else
counts. It prints a JSON object with the growth of memory in bytes, the bound, and the outcome.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pybase64
import trio

from support.sessions import PassivePeer, open_session_with
from trio_realtime import AgentContext, ReconnectPolicy, ToolContext, errors, events, function_tool
from trio_realtime.testing import response_object
from trio_realtime.transports import ConnectOptions, Transport

MB = 1024 * 1024
BOUND = 8 * MB
TIMES = 10
PIECE = 64 * 1024


def memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Peer(PassivePeer):
    """A peer that sends what a test tells it to.

    Attributes:
        is_away: connecting again takes for ever.
    """

    is_away = False

    @asynccontextmanager
    async def connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        if self.is_away:
            await trio.sleep_forever()
        async with super().connect(options) as transport:
            yield transport

    async def send(self, kind: str, **fields: Any) -> None:
        await self.far.send(json.dumps({"type": kind, "event_id": "e", **fields}))

    async def begin(self, response_id: str = "r", **fields: Any) -> None:
        await self.send("response.created", response=response_object(response_id, **fields))

    async def audio(self, number: int, response_id: str = "r") -> None:
        delta = pybase64.b64encode_as_string(os.urandom(PIECE))
        ids = {"response_id": response_id, "item_id": "i", "output_index": 0, "content_index": 0}
        await self.send("response.output_audio.delta", **ids, delta=delta)


COUNT = BOUND * TIMES // PIECE


async def unread_events() -> str:
    """Nobody reads texts of ten times the bound."""
    peer = Peer(max_messages=16)
    async with open_session_with(peer, max_buffered_bytes=BOUND) as session:
        await peer.begin()
        for number in range(COUNT):
            text = f"{number}" + "x" * PIECE
            await peer.send("error", error={"type": "x", "message": text})
        await settle()
        try:
            async for _ in session:
                pass
        except errors.ConsumerTooSlow:
            return "too slow"
    return "no error"


async def unread_audio() -> str:
    """Nobody reads audio of ten times the bound, whose oldest part is dropped."""
    peer = Peer(max_messages=16)
    options: Any = {"max_buffered_audio": BOUND, "overflow": "drop_oldest_audio"}
    async with open_session_with(peer, **options) as session:
        await peer.begin()
        for number in range(COUNT):
            await peer.audio(number)
        await settle()
        statistics = session.statistics().events
        assert statistics.buffered_audio <= BOUND
        return "dropped" if statistics.dropped_events > 0 else "nothing dropped"


async def gated_audio() -> str:
    """The text that covers the audio never arrives."""
    from trio_realtime import RealtimeAgent, output_guardrail

    @output_guardrail
    async def never(context: AgentContext[Any], text: str) -> bool:
        return False

    peer = Peer(max_messages=16)
    agent = RealtimeAgent[None](name="A", output_guardrails=[never])
    options: Any = {"guardrail_audio_gate": True, "max_buffered_audio": BOUND}
    async with open_session_with(peer, agent=agent, **options) as session:
        await peer.begin()
        for number in range(COUNT):
            await peer.audio(number)
        await settle()
        statistics = session.statistics()
        assert statistics.gated_audio <= BOUND
        return "dropped" if statistics.dropped_audio > 0 else "nothing dropped"


async def out_of_band_audio() -> str:
    """An out-of-band response speaks for ten times the bound."""
    peer = Peer(max_messages=16)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session_with(peer, max_buffered_audio=BOUND, request_timeout=None)
        )
        handle = await session.create_response(conversation="none")
        create: dict[str, Any] = {}
        while create.get("type") != "response.create":
            create = json.loads(await peer.far.receive())
        metadata = create["response"]["metadata"]
        await peer.begin(conversation_id=None, metadata=metadata)
        for number in range(COUNT):
            await peer.audio(number)
        done = response_object("r", conversation_id=None, metadata=metadata, status="completed")
        await peer.send("response.done", response=done)
        outcome = await handle
        assert len(outcome.audio) <= BOUND
        return "dropped" if session.statistics().dropped_audio > 0 else "nothing dropped"


async def outgoing(send: Callable[[Any], Awaitable[None]], **options: Any) -> str:
    peer = Peer(max_messages=4)
    async with open_session_with(peer, close_timeout=0.1, **options) as session:
        for _ in range(4):  # nothing more fits into the transport
            await session.send_raw({"type": "input_audio_buffer.clear"})
        await settle()
        with trio.move_on_after(2) as scope:
            for _ in range(COUNT):
                await send(session)
        return "waits" if scope.cancelled_caught else "accepted all"


async def outgoing_text() -> str:
    """The peer reads nothing, and the user sends texts."""
    return await outgoing(
        lambda session: session.send_message(os.urandom(PIECE // 2).hex(), respond=False),
        max_outgoing_text=BOUND,
    )


async def outgoing_audio() -> str:
    """The peer reads nothing, and the user speaks."""
    return await outgoing(
        lambda session: session.send_audio(os.urandom(PIECE)),
        max_outgoing_audio=BOUND,
        max_audio_latency=None,
    )


async def stalled_connection() -> str:
    """The peer reads nothing while the user speaks for ten times the limit of the latency."""
    peer = Peer(max_messages=4)
    options: Any = {"max_audio_latency": 0.2, "max_outgoing_audio": BOUND, "close_timeout": 0.1}
    async with open_session_with(peer, **options) as session:
        for _ in range(4):
            await session.send_raw({"type": "input_audio_buffer.clear"})
        await settle()
        for _ in range(100):
            await session.send_audio(os.urandom(960))
            await trio.sleep(0.02)
        statistics = session.statistics()
        most = 0.2 * 48_000 + 960
        return "dropped" if statistics.outgoing_audio <= most else "too much waits"


async def audio_while_away() -> str:
    """The user speaks while there is no connection."""
    seconds = BOUND / 48_000
    policy = ReconnectPolicy(max_speech=seconds / 2, max_audio_while_away=seconds / 2)
    peer = Peer(max_messages=16)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session_with(peer, reconnect=policy, close_timeout=0.1)
        )
        peer.is_away = True
        peer.far.drop()
        async for event in session:
            if isinstance(event, events.Reconnecting):
                break
        for _ in range(COUNT):
            await session.send_audio(os.urandom(PIECE))
        size = session._runtime.core._user_audio.size
        assert size <= BOUND + PIECE
        return "bounded"


async def calls() -> str:
    """The model makes ten times as many calls as may be carried out at once."""
    running = most = 0

    @function_tool
    async def work(context: ToolContext[None], text: str) -> str:
        """Work."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        content = bytearray(BOUND // 8)
        await trio.sleep(0.01)
        running -= 1
        return str(len(content))

    peer = Peer(max_messages=16)
    async with open_session_with(peer, work, max_concurrent_calls=8) as session:
        await peer.begin()
        for number in range(8 * TIMES):
            item = {
                "id": f"i{number}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"c{number}",
                "name": "work",
                "arguments": '{"text":"x"}',
            }
            await peer.send(
                "response.output_item.done", response_id="r", output_index=number, item=item
            )
        await settle()
        while session.statistics().running_tools:  # noqa: ASYNC110 - a moment without calls is enough
            await trio.sleep(0.01)
        return f"{most} at once"


async def settle() -> None:
    """Let the session take what has arrived."""
    for _ in range(20):
        await trio.sleep(0.005)


async def measure(run: Callable[[], Awaitable[str]]) -> None:
    most = memory()

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, memory())
            await trio.sleep(0.01)

    async with open_session_with(Peer()):
        pass  # everything is imported
    before = most = memory()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        outcome = await run()
        nursery.cancel_scope.cancel()
    sys.stdout.write(json.dumps({"grown": most - before, "bound": BOUND, "outcome": outcome}))


PROGRAMS: dict[str, tuple[Callable[[], Awaitable[str]], str]] = {
    "unread events": (unread_events, "too slow"),
    "unread audio": (unread_audio, "dropped"),
    "gated audio": (gated_audio, "dropped"),
    "audio of an out-of-band response": (out_of_band_audio, "dropped"),
    "outgoing text": (outgoing_text, "waits"),
    "outgoing audio": (outgoing_audio, "waits"),
    "audio on a stalled connection": (stalled_connection, "dropped"),
    "audio while away": (audio_while_away, "bounded"),
    "calls at once": (calls, "8 at once"),
}
"""What pushes each bound, and the outcome that is documented."""

if __name__ == "__main__":
    trio.run(measure, PROGRAMS[sys.argv[1]][0])
