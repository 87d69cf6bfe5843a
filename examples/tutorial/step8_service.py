"""Step 8: the agents as a service. Each WebSocket connection is one call.

A call sends and receives binary messages of raw audio: 16-bit mono samples at 24 kHz.

    OPENAI_API_KEY   the key, or one of the other variables that name a service
    RECEPTION_HOST   the address to listen on; 127.0.0.1 by default
    RECEPTION_PORT   the port to listen on; 8000 by default
"""

import logging
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import trio
from step6_approval import Hotel, decide, reception
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
    serve_websocket,
)

from trio_realtime import (
    Endpoint,
    RealtimeSession,
    ReconnectPolicy,
    ServerVad,
    SessionConfig,
    Transcription,
    UsageLimits,
    errors,
    events,
    open_realtime_session,
)

MAX_CALLS = 50
SHUTDOWN_TIMEOUT = 20  # seconds that open calls may take to end

config = SessionConfig(
    turn_detection=ServerVad(),
    transcription=Transcription(model="gpt-live-transcribe"),
    connect_timeout=5,
    reconnect=ReconnectPolicy(max_attempts=4),  # a caller does not wait for a minute
    idle_timeout=60,
    max_duration=15 * 60,
    limits=UsageLimits(total_tokens=100_000, tool_rounds=5),
    max_message_size=4 * 1024 * 1024,
)
log = logging.getLogger("reception")


class Service:
    """Takes calls.

    Attributes:
        open_calls: the number of calls that are open.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.open_calls = 0
        self._endpoint = endpoint
        self._count = 0

    async def take(self, request: WebSocketRequest) -> None:
        """Take one call. Whatever fails in it ends this call, and no other one."""
        if self.open_calls >= MAX_CALLS:
            await request.reject(503, body=b"all lines are busy")
            return
        with self._counted() as number:
            line = await request.accept()
            async with line:
                await self._answer(line, number)

    @contextmanager
    def _counted(self) -> Generator[int, None, None]:
        self._count += 1
        self.open_calls += 1
        try:
            yield self._count
        finally:
            self.open_calls -= 1

    async def _answer(self, line: WebSocketConnection, number: int) -> None:
        try:
            async with (
                open_realtime_session(
                    reception, endpoint=self._endpoint, config=config, context=Hotel()
                ) as session,
                trio.open_nursery() as call,
            ):
                log.info("call %d: began", number)
                call.start_soon(report, session, number, call.cancel_scope)
                call.start_soon(decide, session)
                call.start_soon(speak, session, line)
                await hear(line, session)
                call.cancel_scope.cancel(reason="the caller hung up")
        except* errors.RealtimeError as failures:
            for failure in failures.exceptions:
                log.warning("call %d: failed: %s: %s", number, type(failure).__name__, failure)
        except* Exception:
            log.exception("call %d: a bug", number)
        else:
            reason = "unknown" if session.end is None else session.end.reason
            log.info("call %d: ended: %s", number, reason)


async def hear(line: WebSocketConnection, session: RealtimeSession[Hotel]) -> None:
    """Send the caller's audio, until the caller hangs up."""
    try:
        while True:
            message = await line.get_message()
            if isinstance(message, bytes):
                await session.send_audio(message)
    except ConnectionClosed:
        pass


async def speak(session: RealtimeSession[Hotel], line: WebSocketConnection) -> None:
    """Send the agent's audio when it is due, so that an interruption takes effect at once."""
    async with session.paced_audio(frame_ms=20) as frames:
        async for frame in frames:
            try:
                await line.send_message(frame.data)
            except ConnectionClosed:
                return


async def report(session: RealtimeSession[Hotel], number: int, call: trio.CancelScope) -> None:
    """Log what happens, and end the call when the session has ended, for example at a limit."""
    async for event in session:
        match event:
            case events.ToolEnd(tool_name=name, outcome=outcome):
                log.info("call %d: %s: %s", number, name, outcome)
            case events.AgentEnd(agent=agent, status=status, tool_calls=calls):
                log.info("call %d: %s: %s, %d tool calls", number, agent.name, status, calls)
            case events.Reconnecting(attempt=attempt, error=error):
                log.warning("call %d: attempt %d to reconnect: %s", number, attempt, error)
            case events.LimitReached(limit=limit):
                log.warning("call %d: reached %s", number, limit)
            case events.Error(error=error):
                log.error("call %d: %s", number, error)
            case _:
                pass
    call.cancel(reason="the session has ended")


async def main() -> None:
    """Take calls until SIGTERM or Ctrl-C; then let the open calls end."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    service = Service(Endpoint.from_env())
    host = os.environ.get("RECEPTION_HOST", "127.0.0.1")
    port = int(os.environ.get("RECEPTION_PORT", "8000"))
    async with trio.open_nursery() as calls:
        async with trio.open_nursery() as listening:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                server: WebSocketServer = await listening.start(
                    partial(serve_websocket, service.take, host, port, None, handler_nursery=calls)
                )
                log.info("listening on port %d", server.port)
                await anext(signals)
            listening.cancel_scope.cancel(reason="the service stops")
        log.info("stopping, %d open calls", service.open_calls)
        calls.cancel_scope.deadline = trio.current_time() + SHUTDOWN_TIMEOUT


if __name__ == "__main__":
    trio.run(main)
