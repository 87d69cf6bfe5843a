"""Whole calls in virtual time: a fake Twilio, the local realtime server, and the bridge between them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import (
    PCM24K,
    PCMU,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.audio import PcmAudio
from trio_realtime.errors import (
    ClosedByService,
    ConfigurationError,
    ConnectionLost,
    ConsumerTooSlow,
    UsageError,
)
from trio_realtime.local import (
    Call,
    LocalConnector,
    Pause,
    Responder,
    Say,
    ScriptedResponder,
    Step,
    Turn,
    local_connector,
)
from trio_realtime.server.twilio import (
    CallEnd,
    StreamSettings,
    StreamStart,
    StreamTokens,
    run_media_stream,
)
from trio_realtime.testing.twilio import FakeTwilio, FakeWebSocket, dial_media_stream

SPEECH = (b"\x90" * 10 + b"\x10" * 10) * 400  # one second of a loud tone
GREETING = Say("Good morning, this is the shop. What can I do for you today?", audio_ms=3000)


def phone_config(**settings: Any) -> SessionConfig:
    return SessionConfig(
        **{
            "input_format": PCMU,
            "output_format": PCMU,
            "turn_detection": ServerVad(silence_duration_ms=400),
            "transcription": Transcription(model="gpt-live-transcribe"),
            "reconnect": None,
            **settings,
        }
    )


class Shop:
    """Serves calls with a local server, and remembers what happened in their sessions."""

    def __init__(
        self,
        *script: Sequence[Step] | Step,
        tools: Sequence[FunctionTool] = (),
        transcripts: Sequence[str] = (),
        responder: Responder | None = None,
        **settings: Any,
    ) -> None:
        self.service: LocalConnector = local_connector(
            responder=responder or ScriptedResponder(script), transcripts=transcripts
        )
        self.agent = RealtimeAgent[None](name="Shop", tools=tools)
        self.settings = settings
        self.starts: list[StreamStart] = []
        self.events: list[events.AnyEvent] = []

    @asynccontextmanager
    async def open_session(self, start: StreamStart) -> AsyncGenerator[RealtimeSession[None]]:
        self.starts.append(start)
        async with open_realtime_session(
            self.agent,
            endpoint=self.service.endpoint,
            transport=self.service,
            config=phone_config(**self.settings),
        ) as session:
            yield session

    async def greet(self, session: RealtimeSession[None]) -> None:
        await session.create_response(instructions="Greet the caller.")
        async for event in session:
            self.events.append(event)

    @asynccontextmanager
    async def dial(self, **options: Any) -> AsyncGenerator[FakeTwilio]:
        parameters = options.pop("parameters", None)
        options = {"on_session": self.greet, **options}
        serve = partial(run_media_stream, open_session=self.open_session, **options)
        with trio.fail_after(120):
            async with dial_media_stream(serve, parameters=parameters) as call:
                yield call

    def of_type(self, *types: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, types)]

    def truncations(self) -> list[dict[str, Any]]:
        """What was reported to the service about interrupted items."""
        (connection,) = self.service.connections
        return [
            frame for frame in connection.received if frame["type"] == "conversation.item.truncate"
        ]


def end_of(call: FakeTwilio) -> CallEnd:
    return cast("CallEnd", call.result)


# --- the conversation


async def test_a_call_with_a_greeting_a_barge_in_a_tool_keys_and_a_hang_up(
    autojump_clock: MockClock,
) -> None:
    """The heard time is that of the marks, and the service gets a report of what the caller has heard."""
    looked_up: list[int] = []
    keys: list[str] = []

    @function_tool
    async def lookup_order(number: int) -> str:
        """Look up an order."""
        looked_up.append(number)
        return "It was shipped."

    shop = Shop(
        GREETING,
        Call("lookup_order", {"number": 42}),
        Say("It was shipped.", audio_ms=900),
        Say("You have pressed five.", audio_ms=700),
        tools=[lookup_order],
        transcripts=["What about order 42?"],
    )
    async with shop.dial(
        parameters={"caller": "+1555"},
        on_dtmf=lambda _session, key: keys.append(key),
        settings=StreamSettings(dtmf_message="The caller pressed {key}."),
    ) as call:
        await call.wait_heard(1300)
        assert call.heard_ms == pytest.approx(1300, abs=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.say, SPEECH)
            clear = await call.wait_clear()
        (truncation,) = shop.truncations()
        assert 0 <= clear.heard_ms - truncation["audio_end_ms"] <= 200
        last_mark = [mark for mark in call.marks if mark.played][-1]
        assert truncation["audio_end_ms"] == last_mark.heard_ms
        assert any(not mark.played for mark in call.marks), "marks came back after the clear"
        await call.wait_heard(clear.heard_ms + 900)
        await call.wait_quiet(1)
        assert looked_up == [42]
        assert call.heard_ms == pytest.approx(clear.heard_ms + 900, abs=1)
        await call.press("5")
        await call.wait_heard(clear.heard_ms + 1600)
        await call.wait_quiet(1)
        await call.hang_up()
    end = end_of(call)
    assert (end.reason, end.error) == ("hung_up", None)
    assert end.session_end is not None
    assert (end.session_end.by, end.session_end.reason) == ("user", "hung_up")
    assert end.start is not None
    assert end.start.parameters == {"caller": "+1555"}
    assert shop.starts == [end.start]
    assert keys == ["5"]
    (transcript,) = shop.of_type(events.UserTranscript)
    assert transcript.transcript == "What about order 42?"
    (interrupted,) = shop.of_type(events.AudioInterrupted)
    assert interrupted.played_ms == truncation["audio_end_ms"]
    statistics = end.statistics
    assert statistics.clears == len(call.clears) == 1
    assert statistics.heard_ms == truncation["audio_end_ms"] + 1600
    assert statistics.lost_ms == statistics.dropped_ms == statistics.malformed_messages == 0
    assert statistics.keys == 1


@pytest.mark.parametrize("at", [50, 199, 201, 777, 2600])
async def test_the_service_is_told_what_was_heard_within_a_mark(
    autojump_clock: MockClock, at: float
) -> None:
    shop = Shop(GREETING, Say("Yes?"))
    async with shop.dial() as call:
        await call.wait_heard(at)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.say, SPEECH)
            clear = await call.wait_clear()
        (truncation,) = shop.truncations()
        assert 0 <= clear.heard_ms - truncation["audio_end_ms"] <= 200
        assert call.heard_ms == pytest.approx(clear.heard_ms, abs=1)


async def test_audio_is_paced_and_heard_without_a_gap(autojump_clock: MockClock) -> None:
    shop = Shop(GREETING)
    async with shop.dial(settings=StreamSettings(max_ahead=0.5)) as call:
        await call.wait_heard(3000)
        await call.wait_quiet(0.5)
        heard = call.recording.rstrip(b"\xff").lstrip(b"\xff")
        assert 0.4 < call.max_ahead <= 0.5 + 0.2 + 0.001
        assert len(call.marks) == 15
        assert len(heard) / 8 == pytest.approx(3000, abs=100), "no silence in between"
    assert end_of(call).statistics.heard_ms == 3000


async def test_the_session_ends_after_the_goodbye_was_heard_and_then_the_stream(
    autojump_clock: MockClock,
) -> None:
    async def serve(session: RealtimeSession[None]) -> None:
        await session.create_response()
        await session.end_call(instructions="Say goodbye.")

    shop = Shop(GREETING, Say("Goodbye!", audio_ms=1200))
    async with shop.dial(on_session=serve) as call:
        await call.wait_over()
        assert call.heard_ms == pytest.approx(4200)
    end = end_of(call)
    assert end.reason == "session_ended"
    assert end.session_end is not None
    assert end.session_end.reason == "end_call"
    assert end.session_end.unheard_audio_ms == 0


@pytest.mark.parametrize("follows", [True, False])
async def test_what_the_agent_has_said_is_heard_also_if_the_session_is_lost(
    autojump_clock: MockClock, follows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(GREETING)

    async def lose(session: RealtimeSession[None]) -> None:
        await (await session.create_response())
        shop.service.connections[0].scope.cancel()
        if follows:
            async for _ in session:
                pass

    async with shop.dial(on_session=lose) as call:
        await call.wait_over()
        assert call.heard_ms == pytest.approx(3000)
    end = end_of(call)
    assert end.reason == "failed"
    assert isinstance(end.error, ClosedByService)
    assert end.session_end is not None
    assert end.session_end.reason == "closed_by_service"
    assert "failed" in caplog.text


async def test_a_session_that_is_closed_is_heard_to_its_end(autojump_clock: MockClock) -> None:
    shop = Shop(GREETING)

    async def close(session: RealtimeSession[None]) -> None:
        await (await session.create_response())
        await session.aclose()
        await session.send_message("too late")

    async with shop.dial(on_session=close) as call:
        await call.wait_over()
        assert call.heard_ms == pytest.approx(3000)


async def test_a_callback_for_keys_that_raises_fails_the_call(autojump_clock: MockClock) -> None:
    def on_dtmf(_session: RealtimeSession[Any], key: str) -> None:
        raise LookupError(key)

    shop = Shop(GREETING)
    async with shop.dial(on_dtmf=on_dtmf) as call:
        await call.press("1")
        await call.wait_over()
    end = end_of(call)
    assert isinstance(end.error, LookupError)
    assert end.session_end is not None
    assert (end.session_end.reason, end.session_end.error) == ("block_raised", end.error)


@pytest.mark.parametrize("is_message", [True, False])
async def test_a_key_after_the_end_of_the_session_is_ignored(
    autojump_clock: MockClock, is_message: bool
) -> None:
    async def on_dtmf(session: RealtimeSession[Any], key: str) -> None:
        await session.send_message(f"Key {key}")

    async def close(session: RealtimeSession[None]) -> None:
        await (await session.create_response())
        await session.aclose()

    shop = Shop(GREETING)
    options: dict[str, Any] = (
        {"settings": StreamSettings(dtmf_message="Key {key}")}
        if is_message
        else {"on_dtmf": on_dtmf}
    )
    async with shop.dial(on_session=close, **options) as call:
        await call.wait_heard(1500)
        await call.press("1")
        await call.wait_over()
        assert call.heard_ms == pytest.approx(3000)
    assert end_of(call).reason == "session_ended"


async def test_a_line_that_returns_no_marks_is_closed_after_a_while(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def serve(session: RealtimeSession[None]) -> None:
        await (await session.create_response())
        await session.aclose()

    shop = Shop(GREETING)
    ends: list[CallEnd] = []
    client, served = FakeWebSocket.pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def run() -> None:
            ends.append(await run_media_stream(served, shop.open_session, on_session=serve))

        await client.send('{"event": "start", "start": {"streamSid": "MZ1"}}')
        began = trio.current_time()
        with pytest.raises(trio.EndOfChannel):
            while True:
                await client.receive()
    assert trio.current_time() - began < 3 + 2 + 3
    assert ends[0].reason == "session_ended"
    assert ends[0].statistics.heard_ms == 0
    assert "marks did not come back" in caplog.text


class StalledWebSocket:
    """A WebSocket whose peer stops to read."""

    def __init__(self, inner: FakeWebSocket, *, after: int) -> None:
        self._inner = inner
        self._left = after

    async def receive(self) -> str:
        return await self._inner.receive()

    async def send(self, text: str) -> None:
        if self._left == 0:
            await trio.sleep_forever()
        self._left -= 1
        await self._inner.send(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)


@pytest.mark.parametrize("interrupts", [False, True])
async def test_a_line_that_takes_nothing_more_is_closed_after_a_while(
    autojump_clock: MockClock, interrupts: bool
) -> None:
    """Neither audio nor a clear may keep the call from its end."""

    async def serve(session: RealtimeSession[None]) -> None:
        await (await session.create_response())
        if interrupts:
            await session.interrupt()
        await session.aclose()

    shop = Shop(GREETING)
    client, served = FakeWebSocket.pair()
    stalled = StalledWebSocket(served, after=3)
    await client.send('{"event": "start", "start": {"streamSid": "MZ1"}}')
    with trio.fail_after(20):
        end = await run_media_stream(stalled, shop.open_session, on_session=serve)
    assert end.reason == "session_ended"
    assert client.close_code == 1000


# --- keys


async def test_keys_are_passed_on_in_order_and_are_no_messages_by_default(
    autojump_clock: MockClock,
) -> None:
    keys: list[str] = []

    async def on_dtmf(_session: RealtimeSession[Any], key: str) -> None:
        await trio.sleep(0.1)
        keys.append(key)

    responder = ScriptedResponder([GREETING])
    shop = Shop(responder=responder)
    async with shop.dial(on_dtmf=on_dtmf) as call:
        for key in "12#":
            await call.press(key)
        await trio.sleep(1)
    assert "".join(keys) == "12#"
    assert len(responder.turns) == 1


# --- what goes wrong


async def test_malformed_messages_are_ignored_and_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(GREETING)
    async with shop.dial() as call:
        await call.wait_heard(500)
        for text in ["", "[]", '{"event": "media"}', '{"event": "later"}', '{"event": "mark"}']:
            await call.send_raw(text)
        await call.wait_heard(3000)
    assert end_of(call).reason == "hung_up"
    assert end_of(call).statistics.malformed_messages == 4
    assert caplog.text.count("ignored a message") == 4


async def test_lost_frames_are_counted(autojump_clock: MockClock) -> None:
    shop = Shop(GREETING)
    async with shop.dial() as call:
        await trio.sleep(0.5)
        call.lose_frames(7)
        await trio.sleep(0.5)
    assert end_of(call).statistics.lost_ms == 140


@pytest.mark.parametrize("how", ["stop", "disconnect"])
async def test_a_caller_who_hangs_up_while_the_session_opens_is_not_connected(
    autojump_clock: MockClock, how: str
) -> None:
    closed = trio.Event()

    @asynccontextmanager
    async def open_session(_start: StreamStart) -> AsyncGenerator[RealtimeSession[None]]:
        try:
            await trio.sleep_forever()
        finally:
            closed.set()
        yield cast("RealtimeSession[None]", None)

    serve = partial(run_media_stream, open_session=open_session)
    async with dial_media_stream(serve) as call:
        await trio.sleep(1)
        await (call.hang_up() if how == "stop" else call.disconnect())
        await closed.wait()
    assert (end_of(call).reason, end_of(call).session_end) == ("hung_up", None)


async def test_a_session_that_ends_while_tasks_of_the_application_use_it_is_heard(
    autojump_clock: MockClock,
) -> None:
    """A nursery wraps the SessionClosed that they get."""

    async def converse(session: RealtimeSession[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, session)
            await (await session.create_response())
            await session.aclose()

    async def send(session: RealtimeSession[None]) -> None:
        while True:
            await trio.sleep(0.1)
            await session.send_raw({"type": "input_audio_buffer.clear"})

    async def on_dtmf(session: RealtimeSession[Any], key: str) -> None:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - as the docstring says
            nursery.start_soon(session.send_message, key)

    shop = Shop(GREETING)
    async with shop.dial(on_session=converse, on_dtmf=on_dtmf) as call:
        await call.wait_heard(1500)
        await call.press("1")
        await call.wait_over()
        assert call.heard_ms == pytest.approx(3000)
    assert (end_of(call).reason, end_of(call).error) == ("session_ended", None)


async def test_a_hang_up_while_the_application_waits_is_no_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait(session: RealtimeSession[None]) -> None:
        await session.ask("Greet the caller.")

    shop = Shop([GREETING, Pause(60)])
    async with shop.dial(on_session=wait) as call:
        await call.wait_heard(500)
        await call.hang_up()
    assert (end_of(call).reason, end_of(call).error) == ("hung_up", None)
    assert "failed" not in caplog.text


async def test_a_broken_connection_is_a_hang_up(autojump_clock: MockClock) -> None:
    shop = Shop(GREETING)
    async with shop.dial() as call:
        await call.wait_heard(500)
        await call.disconnect()
    end = end_of(call)
    assert end.reason == "hung_up"
    assert end.session_end is not None
    assert end.session_end.by == "user"


async def test_a_session_with_another_format_is_refused(autojump_clock: MockClock) -> None:
    shop = Shop(GREETING, output_format=PCM24K)
    async with shop.dial() as call:
        await call.wait_over()
    assert end_of(call).reason == "failed"
    assert isinstance(end_of(call).error, ConfigurationError)
    assert "output_format=PCMU" in str(end_of(call).error)


async def test_too_much_audio_fails_the_call(autojump_clock: MockClock) -> None:
    shop = Shop(Say("Well.", audio_ms=60_000))
    async with shop.dial(settings=StreamSettings(max_buffered=10)) as call:
        await call.wait_over()
        assert call.heard_ms < 20_000
    assert isinstance(end_of(call).error, ConsumerTooSlow)


async def test_a_stream_needs_a_valid_token(autojump_clock: MockClock) -> None:
    tokens = StreamTokens()
    shop = Shop(GREETING)
    token = tokens.issue(trio.current_time())
    async with shop.dial(tokens=tokens, parameters={"token": token, "a": "b"}) as call:
        await call.wait_heard(200)
    assert shop.starts[0].parameters == {"a": "b"}
    for parameters in ({"token": token}, {}):
        async with shop.dial(tokens=tokens, parameters=parameters) as call:
            await call.wait_over()
        assert end_of(call).reason == "refused"
        assert isinstance(end_of(call).error, UsageError)
    assert len(shop.starts) == 1


async def test_a_stream_must_begin_in_time(autojump_clock: MockClock) -> None:
    client, served = FakeWebSocket.pair()
    await client.send('{"event": "connected"}')
    began = trio.current_time()
    end = await run_media_stream(served, Shop().open_session)
    assert end.reason == "refused"
    assert trio.current_time() - began == pytest.approx(10)
    assert client.close_code == 1008


async def test_a_stream_of_another_encoding_is_refused(autojump_clock: MockClock) -> None:
    client, served = FakeWebSocket.pair()
    await client.send(
        '{"event":"start","start":{"streamSid":"MZ1","mediaFormat":{"encoding":"audio/x-l16"}}}'
    )
    assert (await run_media_stream(served, Shop().open_session)).reason == "refused"


async def test_a_websocket_that_fails_before_the_stream_begins_fails_the_call(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    client, served = FakeWebSocket.pair()
    no_text: Any = 3  # as a server with a bug passes on
    await client.send(no_text)
    end = await run_media_stream(served, Shop().open_session)
    assert (end.reason, type(end.error), client.close_code) == ("failed", TypeError, 1011)
    assert "failed before it began" in caplog.text


async def test_a_stream_that_ends_before_it_began_is_a_hang_up(autojump_clock: MockClock) -> None:
    client, served = FakeWebSocket.pair()
    await client.close()
    assert (await run_media_stream(served, Shop().open_session)).reason == "hung_up"


@pytest.mark.parametrize("websocket", [None, object(), "ws://"])
async def test_other_objects_are_no_websockets(autojump_clock: MockClock, websocket: Any) -> None:
    with pytest.raises(UsageError, match="trio-websocket"):
        await run_media_stream(websocket, Shop().open_session)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_ms", 10),
        ("mark_ms", 0),
        ("max_ahead", 0),
        ("mark_timeout", float("nan")),
        ("dtmf_message", "a key"),
        ("input_ms", 40.0),
    ],
)
def test_settings_that_cannot_work_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        StreamSettings(**{name: value})


# --- several calls


async def raise_an_error(_session: RealtimeSession[Any]) -> None:
    await trio.sleep(0.3)
    raise LookupError("a bug")


async def lose_the_session(session: RealtimeSession[Any]) -> None:
    await trio.sleep(0.3)
    raise ConnectionLost("gone")


class Greeter:
    """Says the greeting in each turn."""

    def respond(self, _turn: Turn) -> Sequence[Step]:
        return [GREETING]


@pytest.mark.parametrize("failure", [raise_an_error, lose_the_session])
async def test_a_call_that_fails_does_not_disturb_the_others(
    autojump_clock: MockClock,
    failure: Callable[[RealtimeSession[Any]], Awaitable[object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(responder=Greeter())
    ends: dict[int, CallEnd] = {}
    heard: dict[int, float] = {}

    async def make_call(number: int) -> None:
        options = {"on_session": failure} if number == 2 else {}
        async with shop.dial(parameters={"n": str(number)}, **options) as call:
            await call.wait_heard(3000)
            await call.wait_quiet(0.2)
            heard[number] = call.heard_ms
        ends[number] = end_of(call)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(make_call, number)
    assert {number: end.reason for number, end in ends.items()} == {
        number: "failed" if number == 2 else "hung_up" for number in range(5)
    }
    assert [heard[number] for number in (0, 1, 3, 4)] == [pytest.approx(3000)] * 4
    assert isinstance(ends[2].error, LookupError | ConnectionLost)
    assert "failed" in caplog.text


async def test_a_cancelled_call_closes_its_session_and_its_websocket(
    autojump_clock: MockClock,
) -> None:
    shop = Shop(GREETING)
    sessions: list[RealtimeSession[None]] = []

    async def remember(session: RealtimeSession[None]) -> None:
        sessions.append(session)

    serve = partial(run_media_stream, on_session=remember)
    client, served = FakeWebSocket.pair()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, served, shop.open_session)
            await client.send('{"event": "start", "start": {"streamSid": "MZ1"}}')
            await trio.sleep(1)
            scope.cancel()
    assert scope.cancelled_caught
    assert client.close_code == 1011
    end = sessions[0].end
    assert end is not None
    assert end.reason == "cancelled"
    (connection,) = shop.service.connections
    assert connection.ended.is_set()


async def test_the_speech_of_a_caller_may_be_pcm(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    shop = Shop(GREETING, Say("Yes.", audio_ms=500), transcripts=["Hello?"])
    async with shop.dial() as call:
        await call.wait_heard(3000)
        tone = PcmAudio((b"\x00\x20" * 10 + b"\x00\xe0" * 10) * 400, 8000)
        await call.say(tone)
        await call.wait_heard(3500)
    (transcript,) = shop.of_type(events.UserTranscript)
    assert transcript.transcript == "Hello?"
    assert caplog.text == ""
