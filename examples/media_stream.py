"""A phone bridge: telephone clients on a WebSocket, each connected with a session of its own.

The messages are JSON, as those of telephony services. Audio is mu-law at 8 kHz, in base64:

    {"event": "media", "payload": "..."}   both ways: 20 ms of audio
    {"event": "clear"}                     to the client: drop the audio that was not played
    {"event": "stop"}                      from the client: the caller has hung up

The fake client at the end makes a call, interrupts the agent, and checks what it hears.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    WebSocketServer,
    open_websocket_url,
    serve_websocket,
)

from trio_realtime import (
    PCMU,
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    errors,
    events,
    open_realtime_session,
    serve_local,
)
from trio_realtime.audio import duration_ms, frames, silence
from trio_realtime.local import Say, ScriptedResponder

FRAME_MS = 20

agent = RealtimeAgent[None](name="Hotline", instructions="You answer the phone. Be brief.")
config = SessionConfig(
    input_format=PCMU,
    output_format=PCMU,
    turn_detection=ServerVad(silence_duration_ms=400),
    transcription=Transcription(model="gpt-live-transcribe"),
    connect_timeout=5,
    max_duration=15 * 60,
)


def media(audio: bytes) -> str:
    """Return the message with a frame of audio."""
    return json.dumps({"event": "media", "payload": base64.b64encode(audio).decode()})


def parse(message: bytes | str) -> Any:
    """Return a message of the other end; None if it is no JSON."""
    try:
        return json.loads(message)
    except ValueError:
        return None


# --- the bridge


async def answer(endpoint: Endpoint, request: WebSocketRequest) -> None:
    """Answer one call, until the caller hangs up or the session ends."""
    line: WebSocketConnection
    async with await request.accept() as line:
        try:
            async with (
                open_realtime_session(agent, endpoint=endpoint, config=config) as session,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(speak, session, line)
                nursery.start_soon(report, session, line)
                await hear(line, session)
                nursery.cancel_scope.cancel()
        except* ConnectionClosed:
            print("bridge: the line was closed")
        except* errors.RealtimeError as failures:
            print(f"bridge: {failures.exceptions[0]}")


async def hear(line: WebSocketConnection, session: RealtimeSession[None]) -> None:
    """Pass on the caller's audio until the caller hangs up. Ignore what is not understood."""
    while True:
        match parse(await line.get_message()):
            case {"event": "media", "payload": str(payload)}:
                try:
                    audio = base64.b64decode(payload, validate=True)
                except ValueError:
                    continue
                await session.send_audio(audio)
            case {"event": "stop"}:
                return
            case _:
                pass


async def speak(session: RealtimeSession[None], line: WebSocketConnection) -> None:
    """Send the agent's audio, each frame when it is due."""
    async with session.paced_audio(frame_ms=FRAME_MS, pad=True) as voice:
        async for frame in voice:
            await line.send_message(media(frame.data))


async def report(session: RealtimeSession[None], line: WebSocketConnection) -> None:
    """Clear the client's buffer when the caller interrupts, and print the conversation."""
    async for event in session:
        match event:
            case events.AudioInterrupted(played_ms=ms):
                await line.send_message('{"event": "clear"}')
                print(f"bridge: interrupted after {ms} ms")
            case events.UserTranscript(transcript=text):
                print(f"bridge: caller: {text}")
            case events.AgentEnd(output=text, status="completed"):
                print(f"bridge: agent: {text}")
            case events.Error(error=error):
                print(f"bridge: error: {error}")
            case _:
                pass


# --- a fake client: a telephone with a jitter buffer

JITTER_MS = 200
HUM = (b"\x90" * 10 + b"\x10" * 10) * 8  # 20 ms of a loud 400 Hz tone
QUIET = silence(FRAME_MS, PCMU)


class Phone:
    """Plays what it receives, 200 ms late, and counts.

    Attributes:
        played: milliseconds that were heard.
        dropped: milliseconds that a "clear" took out of the buffer.
        log: "media" and "clear" with their times, in the order of arrival.
    """

    def __init__(self, line: WebSocketConnection) -> None:
        self.played = 0
        self.dropped = 0
        self.log: list[tuple[str, float]] = []
        self._line = line
        self._buffer: list[bytes] = []
        self._arrived = trio.Event()

    async def listen(self) -> None:
        """Receive messages until the line is closed."""
        while True:
            try:
                message = parse(await self._line.get_message())
            except ConnectionClosed:
                return
            self.log.append((message["event"], trio.current_time()))
            match message:
                case {"event": "media", "payload": payload}:
                    audio = base64.b64decode(payload)
                    assert duration_ms(audio, PCMU) == FRAME_MS, len(audio)
                    self._buffer.append(audio)
                    self._arrived.set()
                case {"event": "clear"}:
                    self.dropped += FRAME_MS * len(self._buffer)
                    self._buffer.clear()
                case _:
                    pass

    async def play(self) -> None:
        """Play a frame every 20 ms, once the jitter buffer is full."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            due = trio.current_time() + JITTER_MS / 1000
            await trio.sleep_until(due)
            while self._buffer:
                self._buffer.pop(0)
                self.played += FRAME_MS
                due += FRAME_MS / 1000
                await trio.sleep_until(due)

    async def say(self, frame: bytes, seconds: float) -> None:
        """Send the same frame for some time, as a microphone does."""
        start = trio.current_time()
        count = round(seconds * 1000 / FRAME_MS)
        for number, piece in enumerate(frames(frame * count, PCMU, frame_ms=FRAME_MS)):
            await trio.sleep_until(start + number * FRAME_MS / 1000)
            await self._line.send_message(media(piece))


async def call(url: str) -> None:
    """Ask, listen for two seconds, interrupt, listen to the second answer, and hang up."""
    async with open_websocket_url(url) as line, trio.open_nursery() as nursery:
        phone = Phone(line)
        nursery.start_soon(phone.listen)
        nursery.start_soon(phone.play)
        await line.send_message("no JSON")  # the bridge ignores it
        for frame, seconds in ((HUM, 0.8), (QUIET, 2.0), (HUM, 0.8), (QUIET, 2.0)):
            await phone.say(frame, seconds)
        await line.send_message('{"event": "stop"}')
        nursery.cancel_scope.cancel()
    kinds = [kind for kind, _ in phone.log]
    times = [time for _, time in phone.log]
    clear = kinds.index("clear")
    assert kinds.count("clear") == 1
    pause = times[clear + 1] - times[clear]
    before = clear * FRAME_MS
    took = times[clear - 1] - times[0]
    print(f"client: {before} ms of the first answer came in {took * 1000:.0f} ms")
    print(f"client: clear dropped {phone.dropped} ms, then {pause * 1000:.0f} ms of silence")
    print(f"client: {phone.played} ms were heard")
    assert phone.dropped > 0, "the buffer was not cleared"
    assert pause > 0.4, "audio of the first answer came after the clear"
    assert abs(took * 1000 - before) < 100, "the audio was not paced"


async def main() -> None:
    """Run the bridge and the local server, and make a call."""
    words = ["What are your opening hours?", "Thank you!"]
    said = [Say("We are open from nine to five, every day but Sunday. " * 2), Say("Goodbye!")]
    async with (
        serve_local(transcripts=words, responder=ScriptedResponder(said)) as service,
        trio.open_nursery() as nursery,
    ):
        handler = partial(answer, service.endpoint)
        server: WebSocketServer = await nursery.start(
            partial(serve_websocket, handler, "127.0.0.1", 0, None)
        )
        await call(f"ws://127.0.0.1:{server.port}/call")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
