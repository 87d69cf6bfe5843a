"""A web bridge: each WebSocket of a browser gets a session of its own.

Binary messages are audio, 16-bit mono PCM at 24 kHz, in both directions. To the browser, a message
{"type": "audio", "item": ..., "part": ...} says to which item the binary messages after it belong.
The other messages are JSON objects with a "type"; see `Bridge.listen` and `describe`.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
    serve_websocket,
)

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    errors,
    events,
    open_realtime_session,
)

log = logging.getLogger("bridge")
CONFIG = SessionConfig(
    turn_detection=ServerVad(),
    transcription=Transcription(model="gpt-live-transcribe"),
    idle_timeout=60,
    max_duration=15 * 60,
    connect_timeout=5,
)
DRAIN_TIMEOUT = 2  # seconds that an agent may go on speaking after the server was stopped


class Bridge:
    """Serves browsers until `stop` is set."""

    def __init__(self, agent: RealtimeAgent[None], endpoint: Endpoint) -> None:
        self.stop = trio.Event()
        self.open_calls = 0
        self._agent = agent
        self._endpoint = endpoint

    async def serve(
        self, host: str, port: int, *, task_status: trio.TaskStatus[WebSocketServer]
    ) -> None:
        """Take calls until `stop` is set; return when all of them have ended."""
        async with trio.open_nursery() as calls, trio.open_nursery() as listening:
            server: WebSocketServer = await listening.start(
                partial(serve_websocket, self._take, host, port, None, handler_nursery=calls)
            )
            task_status.started(server)
            await self.stop.wait()
            listening.cancel_scope.cancel(reason="the server stops")

    async def _take(self, request: WebSocketRequest) -> None:
        """Take one call. Whatever fails in it ends this call, and no other one."""
        self.open_calls += 1
        try:
            async with await request.accept() as browser:
                await self._connect(browser)
        except* ConnectionClosed:
            pass  # the browser has gone away
        except* errors.RealtimeError as failures:
            for failure in failures.exceptions:
                log.warning("a call failed: %r", failure)
        except* Exception:
            log.exception("a bug of the bridge")
        finally:
            self.open_calls -= 1

    async def _connect(self, browser: WebSocketConnection) -> None:
        async with (
            open_realtime_session(self._agent, endpoint=self._endpoint, config=CONFIG) as session,
            trio.open_nursery() as call,
        ):
            call.start_soon(self._listen, session, browser)
            call.start_soon(self._end_when_stopped, session)
            await report(session, browser.send_message)
            call.cancel_scope.cancel(reason="the session has ended")

    async def _end_when_stopped(self, session: RealtimeSession[None]) -> None:
        await self.stop.wait()
        await session.aclose(drain_timeout=DRAIN_TIMEOUT)

    async def _listen(self, session: RealtimeSession[None], browser: WebSocketConnection) -> None:
        """Pass on what the browser sends, until the browser or the session ends."""
        while True:
            message = await browser.get_message()
            try:
                await handle(session, message)
            except errors.RealtimeError as error:
                if session.end is not None:
                    return  # `report` tells the browser
                log.info("refused a message of the browser: %s", error)


async def handle(session: RealtimeSession[None], message: bytes | str) -> None:
    """Handle one message of the browser, which may be anything."""
    if isinstance(message, bytes):
        await session.send_audio(message)
        return
    try:
        command: Any = json.loads(message)
    except (ValueError, RecursionError):
        return
    match command:
        case {"type": "text", "text": str(text)}:
            await session.send_message(text[:2000])
        case {"type": "interrupt"}:
            await session.interrupt()
        case {"type": "approve", "call": str(call)}:
            await session.approve_tool_call(call)
        case {"type": "reject", "call": str(call), "message": str(reason)}:
            await session.reject_tool_call(call, message=reason)
        case {"type": "played", "item": str(item), "part": int(part), "ms": int() | float() as ms}:
            session.playback.played(item, part, ms)
        case _:
            pass


async def report(
    session: RealtimeSession[None], send: Callable[[bytes | str], Awaitable[None]]
) -> None:
    """Send the browser everything, in the order of the events, until the session ends.

    One task sends both the audio and `interrupted`, so no audio of an interrupted answer can
    follow it.
    """
    playing: tuple[str, int] | None = None
    async for event in session:
        if isinstance(event, events.Audio):
            part = (event.item_id, event.content_index)
            if part != playing:
                playing = part
                await send(json.dumps({"type": "audio", "item": part[0], "part": part[1]}))
            await send(event.data)
        elif (message := describe(event)) is not None:
            await send(json.dumps(message))


def describe(event: events.AnyEvent) -> dict[str, Any] | None:  # noqa: C901 - one case for each event
    """Return the message to the browser about an event."""
    match event:
        case events.UserTranscript(transcript=text):
            return {"type": "transcript", "role": "user", "text": text}
        case events.TranscriptDelta(delta=text):
            return {"type": "words", "text": text}
        case events.AgentEnd(output=text, status=status):
            return {"type": "transcript", "role": "assistant", "text": text, "status": status}
        case events.AudioInterrupted(item_id=item, played_ms=ms):
            return {"type": "interrupted", "item": item, "ms": ms}
        case events.ToolStart(call_id=call, arguments=arguments):
            name = event.tool.name
            return {"type": "tool_start", "call": call, "tool": name, "arguments": arguments}
        case events.ToolEnd(call_id=call, tool_name=name, outcome=outcome, output_text=text):
            return {
                "type": "tool_end",
                "call": call,
                "tool": name,
                "outcome": outcome,
                "output": text,
            }
        case events.ToolCancelled(call_id=call, tool_name=name):
            return {"type": "tool_end", "call": call, "tool": name, "outcome": "cancelled"}
        case events.ToolApprovalRequired(call_id=call, tool_name=name, arguments=arguments):
            return {"type": "approval", "call": call, "tool": name, "arguments": arguments}
        case events.Error(error=error):
            return {"type": "error", "message": type(error).__name__}
        case events.SessionEnded(end=end):
            return {"type": "ended", "reason": end.reason}
        case _:
            return None
