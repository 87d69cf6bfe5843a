"""A fake Twilio: it opens media streams as Twilio does, and knows exactly what its caller heard.

It calls a server at an address, or a function in memory, where virtual time works::

    async with dial_media_stream(partial(run_media_stream, open_session=open_session)) as call:
        await call.say(speech)
        await call.wait_heard(1500)
        await call.press("5")
        await call.hang_up()
    assert call.heard_ms >= 1500
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final, Protocol, TypeAlias

import attrs
import msgspec
import pybase64
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from trio_realtime import PCMU
from trio_realtime.wire import AudioFormat

__all__ = [
    "Clear",
    "FakeTwilio",
    "FakeWebSocket",
    "PhoneLine",
    "ReturnedMark",
    "SupportsEncode",
    "dial_media_stream",
]

_RATE: Final = 8000
_SILENCE: Final = b"\xff"
_CLOSED: Final = (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError)


# --- the line -------------------------------------------------------------------------------------


class PhoneLine:
    """Plays audio in real time, as Twilio does. Times are seconds; nothing here reads a clock.

    Args:
        start: when the line was opened.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._played: list[tuple[int, bytes]] = []  # the first sample, and the audio
        self._end = 0
        self._marks: deque[tuple[int, str]] = deque()

    def _position(self, now: float) -> int:
        return math.floor((now - self._start) * _RATE + 1e-3)

    def add_audio(self, audio: bytes, now: float) -> None:
        """Play audio after what was added before."""
        begin = max(self._end, self._position(now))
        self._played.append((begin, audio))
        self._end = begin + len(audio)

    def add_mark(self, name: str, now: float) -> None:
        """Add a mark after the audio that was added before."""
        self._marks.append((max(self._end, self._position(now)), name))

    def take_due_marks(self, now: float) -> list[str]:
        """Remove and return the marks whose audio was played."""
        position = self._position(now)
        due: list[str] = []
        while self._marks and self._marks[0][0] <= position:
            due.append(self._marks.popleft()[1])
        return due

    @property
    def next_mark_at(self) -> float:
        """When the next mark is due; ``inf`` without one."""
        return self._start + self._marks[0][0] / _RATE if self._marks else math.inf

    def clear(self, now: float) -> list[str]:
        """Drop what was not played, and return the outstanding marks."""
        position = self._position(now)
        self._played = [
            (begin, audio[: position - begin]) for begin, audio in self._played if begin < position
        ]
        self._end = min(self._end, position)
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def heard_ms(self, now: float) -> float:
        """Return the milliseconds of audio that were played until then."""
        position = self._position(now)
        samples = sum(min(len(audio), max(position - begin, 0)) for begin, audio in self._played)
        return samples * 1000 / _RATE

    @property
    def ends_at(self) -> float:
        """When everything that was added will have been played. It is in the past in silence."""
        return self._start + self._end / _RATE

    def recording(self, now: float) -> bytes:
        """Return everything that the caller has heard, the silence included, as mu-law."""
        position = self._position(now)
        heard = bytearray(_SILENCE * position)
        for begin, audio in self._played:
            part = audio[: max(position - begin, 0)]
            heard[begin : begin + len(part)] = part
        return bytes(heard)


# --- WebSockets -----------------------------------------------------------------------------------


class _WebSocket(Protocol):
    """The client's end of a WebSocket. The exceptions are those of trio's channels."""

    async def receive(self) -> str | bytes: ...
    async def send(self, text: str) -> None: ...
    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class FakeWebSocket:
    """One end of a WebSocket in memory, which :func:`dial_media_stream` passes to its function.

    Attributes:
        close_code: the code with which either end closed it; ``None`` while it is open.
    """

    def __init__(
        self, outgoing: trio.MemorySendChannel[str], incoming: trio.MemoryReceiveChannel[str]
    ) -> None:
        self.close_code: int | None = None
        self._outgoing = outgoing
        self._incoming = incoming
        self._peer: FakeWebSocket | None = None

    @classmethod
    def pair(cls) -> tuple[FakeWebSocket, FakeWebSocket]:
        """Return the two ends of a new WebSocket."""
        left_send, right_receive = trio.open_memory_channel[str](math.inf)
        right_send, left_receive = trio.open_memory_channel[str](math.inf)
        left, right = cls(left_send, left_receive), cls(right_send, right_receive)
        left._peer, right._peer = right, left
        return left, right

    async def receive(self) -> str:
        """Return the next message.

        Raises:
            trio.EndOfChannel: either end has closed the WebSocket.
        """
        try:
            return await self._incoming.receive()
        except trio.ClosedResourceError:
            raise trio.EndOfChannel from None

    async def send(self, text: str) -> None:
        """Send a message.

        Raises:
            trio.BrokenResourceError: either end has closed the WebSocket.
        """
        try:
            await self._outgoing.send(text)
        except trio.ClosedResourceError:
            raise trio.BrokenResourceError("the WebSocket is closed") from None

    async def close(self, code: int = 1000, reason: str = "") -> None:  # noqa: ARG002
        """Close the WebSocket. The other end still receives what was sent before."""
        await trio.lowlevel.checkpoint()
        for end in (self, self._peer):
            if end is not None and end.close_code is None:
                end.close_code = code
                end._outgoing.close()  # noqa: SLF001 - the other end
        self._incoming.close()


class _ClientWebSocket:
    """A client of trio-websocket."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.get_message()
        except ConnectionClosed:
            raise trio.EndOfChannel from None

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as exc:
            raise trio.BrokenResourceError(str(exc)) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.aclose(code, reason)


# --- the call -------------------------------------------------------------------------------------


class SupportsEncode(Protocol):
    """Audio that can be encoded as mu-law: a :class:`~trio_realtime.audio.PcmAudio`."""

    def encode(self, audio_format: AudioFormat, /) -> bytes:
        """Return the audio in a format."""
        ...


@attrs.frozen(kw_only=True)
class ReturnedMark:
    """A mark that was returned.

    Attributes:
        name: its name.
        at: when it was returned, on trio's clock.
        played: whether its audio was played; ``False`` if a ``clear`` dropped it.
        heard_ms: milliseconds of the agent's audio that were heard until then.
    """

    name: str
    at: float
    played: bool
    heard_ms: float


@attrs.frozen(kw_only=True)
class Clear:
    """A ``clear`` of the server.

    Attributes:
        at: when it arrived, on trio's clock.
        heard_ms: milliseconds of the agent's audio that were heard until then.
    """

    at: float
    heard_ms: float


class FakeTwilio:
    """One phone call. :func:`dial_media_stream` makes it.

    It refuses what Twilio would refuse: a message of the server that is not valid raises
    ``AssertionError``.

    Attributes:
        stream_sid, call_sid: the ids of the call.
        marks: the marks that were returned, in order.
        clears: the ``clear`` messages of the server.
        max_ahead: the most seconds of audio that waited to be played.
        result: what the function returned that serves the call in memory, once it has.
    """

    def __init__(
        self,
        websocket: _WebSocket,
        *,
        call_sid: str,
        stream_sid: str,
        parameters: Mapping[str, str],
        frame_ms: int = 20,
    ) -> None:
        self.call_sid = call_sid
        self.stream_sid = stream_sid
        self.marks: list[ReturnedMark] = []
        self.clears: list[Clear] = []
        self.max_ahead: float = 0.0
        self.result: Any = None
        self._websocket = websocket
        self._parameters = dict(parameters)
        self._frame_ms = frame_ms
        self._line = PhoneLine(trio.current_time())
        self._frames: deque[bytes] = deque()
        self._lost_frames = 0
        self._sequence = count(1)
        self._ended_at: float | None = None
        self._ended = trio.Event()
        self._changed = trio.lowlevel.ParkingLot()

    # --- what was heard

    def _now(self) -> float:
        return trio.current_time() if self._ended_at is None else self._ended_at

    @property
    def heard_ms(self) -> float:
        """Milliseconds of the agent's audio that the caller has heard."""
        return self._line.heard_ms(self._now())

    @property
    def recording(self) -> bytes:
        """Everything that the caller has heard, the silence included, as mu-law at 8 kHz."""
        return self._line.recording(self._now())

    @property
    def is_over(self) -> bool:
        """Whether either end has ended the call."""
        return self._ended_at is not None

    # --- what the caller does

    async def say(self, audio: bytes | SupportsEncode) -> None:
        """Speak, and return when it was sent. Without speech, the caller is silent.

        Args:
            audio: mu-law at 8 kHz, or a :class:`~trio_realtime.audio.PcmAudio`, for example of
                :func:`~trio_realtime.audio.read_wav`.
        """
        data = audio if isinstance(audio, bytes) else audio.encode(PCMU)
        size = self._frame_ms * _RATE // 1000
        for start in range(0, len(data), size):
            self._frames.append(data[start : start + size].ljust(size, _SILENCE))
        while self._frames and not self.is_over:
            await self._changed.park()
        await trio.lowlevel.checkpoint()

    async def press(self, key: str) -> None:
        """Press a key."""
        await self._send("dtmf", dtmf={"track": "inbound_track", "digit": key})

    async def hang_up(self) -> None:
        """End the call. It has no effect on one that is over."""
        if not self.is_over:
            await self._send("stop", stop={"accountSid": "AC" + "0" * 32, "callSid": self.call_sid})
        await self.disconnect()

    async def disconnect(self) -> None:
        """Close the WebSocket without a ``stop`` message."""
        self._end()
        await self._websocket.close()

    def lose_frames(self, number: int) -> None:
        """Do not send the next frames, as if they were lost on their way to Twilio."""
        self._lost_frames += number

    async def send_raw(self, text: str) -> None:
        """Send any text, such as one that is not a message of Twilio."""
        await self._websocket.send(text)

    # --- waiting

    async def wait_heard(self, ms: float) -> None:
        """Wait until the caller has heard this much of the agent's audio, or the call is over."""
        while self.heard_ms < ms and not self.is_over:
            left = (ms - self.heard_ms) / 1000
            is_playing = self._line.ends_at > trio.current_time()
            await self._wait_change(left if is_playing else math.inf)
        await trio.lowlevel.checkpoint()

    async def wait_quiet(self, seconds: float = 1.0) -> None:
        """Wait until the caller has heard nothing for some time, or the call is over."""
        began = trio.current_time()
        while not self.is_over:
            left = max(began, self._line.ends_at) + seconds - trio.current_time()
            if not await self._wait_change(left):
                break
        await trio.lowlevel.checkpoint()

    async def wait_clear(self) -> Clear:
        """Wait for the next ``clear``, and return it. :attr:`clears` has those that came before.

        Raises:
            AssertionError: the call ended without one.
        """
        before = len(self.clears)
        while len(self.clears) == before:
            assert not self.is_over, "the call ended, and the server has sent no clear"
            await self._wait_change(math.inf)
        return self.clears[before]

    async def wait_over(self) -> None:
        """Wait until the server has ended the call."""
        await self._ended.wait()

    async def _wait_change(self, timeout: float) -> bool:
        """Wait for a message of the server or the end of the call. Returns whether there was one."""
        with trio.move_on_after(timeout):
            await self._changed.park()
            return True
        return False

    # --- the tasks

    async def start(self) -> None:
        """Send the first two messages."""
        await self._websocket.send(
            msgspec.json.encode(
                {"event": "connected", "protocol": "Call", "version": "1.0.0"}
            ).decode()
        )
        await self._send(
            "start",
            start={
                "accountSid": "AC" + "0" * 32,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": self._parameters,
            },
        )

    async def _send(self, event: str, **fields: Any) -> None:
        message = {
            "event": event,
            "sequenceNumber": str(next(self._sequence)),
            **fields,
            "streamSid": self.stream_sid,
        }
        try:
            await self._websocket.send(msgspec.json.encode(message).decode())
        except _CLOSED:
            self._end()

    def _end(self) -> None:
        if self._ended_at is None:
            self._ended_at = trio.current_time()
        self._ended.set()
        self._changed.unpark_all()

    async def run(self) -> None:
        """Run the call until either end ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak)
            nursery.start_soon(self._return_marks)
            await self._listen()
            nursery.cancel_scope.cancel()

    async def _speak(self) -> None:
        begin = trio.current_time()
        for number in count():
            await trio.sleep_until(begin + number * self._frame_ms / 1000)
            frame = _SILENCE * (self._frame_ms * _RATE // 1000)
            if self._frames:
                frame = self._frames.popleft()
                if not self._frames:
                    self._changed.unpark_all()
            if self._lost_frames:
                self._lost_frames -= 1
                continue
            await self._send(
                "media",
                media={
                    "track": "inbound",
                    "chunk": str(number + 1),
                    "timestamp": str(number * self._frame_ms),
                    "payload": pybase64.b64encode(frame).decode(),
                },
            )

    async def _return_marks(self) -> None:
        while True:
            for name in self._line.take_due_marks(trio.current_time()):
                await self._return(name, played=True)
            next_at = self._line.next_mark_at
            await self._wait_change(next_at - trio.current_time())

    async def _return(self, name: str, *, played: bool) -> None:
        now = trio.current_time()
        heard = self.clears[-1].heard_ms if not played else self.heard_ms
        self.marks.append(ReturnedMark(name=name, at=now, played=played, heard_ms=heard))
        await self._send("mark", mark={"name": name})

    async def _listen(self) -> None:
        while True:
            try:
                text = await self._websocket.receive()
            except _CLOSED:
                self._end()
                return
            await self._handle(_decode(text))
            self._changed.unpark_all()

    async def _handle(self, message: dict[str, Any]) -> None:
        now = trio.current_time()
        assert message.get("streamSid") == self.stream_sid, f"a wrong streamSid: {message!r:.200}"
        match message:
            case {"event": "media", "media": {"payload": str(payload), **others}}:
                assert not others, f"Twilio would refuse {list(others)}"
                self._line.add_audio(_decode_audio(payload), now)
                self.max_ahead = max(self.max_ahead, self._line.ends_at - now)
            case {"event": "mark", "mark": {"name": str(name)}}:
                self._line.add_mark(name, now)
            case {"event": "clear"}:
                self.clears.append(Clear(at=now, heard_ms=self._line.heard_ms(now)))
                for name in self._line.take_due_marks(now):
                    await self._return(name, played=True)
                for name in self._line.clear(now):
                    await self._return(name, played=False)
            case _:
                raise AssertionError(f"Twilio would refuse {message!r:.200}")


def _decode(text: str | bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise AssertionError(f"Twilio would refuse {text!r:.200}: {exc}") from None


def _decode_audio(payload: str) -> bytes:
    try:
        return pybase64.b64decode(payload, validate=True)
    except ValueError as exc:
        raise AssertionError(f"Twilio would refuse the payload {payload!r:.200}: {exc}") from None


Serve: TypeAlias = Callable[[FakeWebSocket], Awaitable[object]]
"""A function that serves a media stream in memory."""

_numbers = count(1)


@asynccontextmanager
async def dial_media_stream(
    server: str | Serve,
    *,
    parameters: Mapping[str, str] | None = None,
    call_sid: str | None = None,
    frame_ms: int = 20,
) -> AsyncGenerator[FakeTwilio]:
    """Make a phone call for the duration of an ``async with`` block. Leaving it hangs up.

    Leaving also waits until the function that serves a call in memory has returned. Exceptions of that
    function, of the block and of the fake come out in an ``ExceptionGroup``.

    Args:
        server: the address of a media-stream server, ``ws://...``; or an async function that takes the
            WebSocket, which is called in memory.
        parameters: the ``<Parameter>`` elements of the TwiML.
        call_sid: the id of the call; by default a new one.
        frame_ms: milliseconds of audio in a message.
    """
    number = next(_numbers)
    sid = call_sid if call_sid is not None else f"CA{number:032x}"

    def make(websocket: _WebSocket) -> FakeTwilio:
        return FakeTwilio(
            websocket,
            call_sid=sid,
            stream_sid=f"MZ{number:032x}",
            parameters=parameters or {},
            frame_ms=frame_ms,
        )

    if isinstance(server, str):
        async with open_websocket_url(server) as connection:
            call = make(_ClientWebSocket(connection))
            async with _running(call):
                yield call
        return
    client, served = FakeWebSocket.pair()
    call = make(client)

    async def serve() -> None:
        call.result = await server(served)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with _running(call):
            yield call


@asynccontextmanager
async def _running(call: FakeTwilio) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        await call.start()
        nursery.start_soon(call.run)
        try:
            yield
        finally:
            with trio.move_on_after(2, shield=True):
                await call.hang_up()
        nursery.cancel_scope.cancel()
