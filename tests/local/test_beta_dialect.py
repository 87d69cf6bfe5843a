"""Sessions with a local server that speaks the beta dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from support.events import drain_channel
from trio_realtime import (
    PCMU,
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.errors import ConfigurationError, SettingsRejected
from trio_realtime.items import FunctionCallItem, FunctionCallOutputItem, InputAudio
from trio_realtime.local import Call, LocalConnector, Say, ScriptedResponder, Step, local_connector
from trio_realtime.wire import MessageItem, Reasoning, Transcription

SPEECH = b"\x00\x20" * 24_000
SILENCE = bytes(48_000)


@function_tool
async def get_weather(city: str) -> str:
    return f"Sunny in {city}"


def beta_service(*answers: Step, **settings: Any) -> LocalConnector:
    return local_connector(dialect="beta", responder=ScriptedResponder(answers), **settings)


@asynccontextmanager
async def open_with(
    service: LocalConnector, **settings: Any
) -> AsyncGenerator[RealtimeSession[None]]:
    agent = RealtimeAgent[None](name="Assistant", instructions="Be brief.", tools=[get_weather])
    with trio.fail_after(600):
        async with open_realtime_session(
            agent, endpoint=service.endpoint, transport=service, config=SessionConfig(**settings)
        ) as session:
            yield session
            failures = [
                event
                for event in drain_channel(session.events)
                if isinstance(event, events.Error | events.SessionWarning)
            ]
            assert failures == []


def frame_types(service: LocalConnector, direction: str) -> set[str]:
    (connection,) = service.connections
    frames = connection.sent if direction == "sent" else connection.received
    return {frame["type"] for frame in frames}


async def test_a_text_turn(autojump_clock: MockClock) -> None:
    service = beta_service(Say("Hello, world"))
    async with open_with(service, output_modalities=("text",)) as session:
        assert (await session.ask("Hi")).text == "Hello, world"
        assert [item.type for item in session.history] == ["message", "message"]
        effective = await session.update_settings(speed=1.2)
        assert effective.output_modalities == ("text",)
    (connection,) = service.connections
    update = connection.received[0]["session"]
    assert update["modalities"] == ["text"]
    assert "type" not in update
    assert frame_types(service, "sent") >= {"response.text.delta", "conversation.item.created"}
    assert not {
        t for t in frame_types(service, "sent") if "output_text" in t or "item.done" in t
    } - {"response.output_item.done"}


async def test_a_tool_call(autojump_clock: MockClock) -> None:
    service = beta_service(Call("get_weather", {"city": "Oslo"}), Say("It is sunny."))
    async with open_with(service) as session:
        assert (await session.ask("Weather?")).text == "It is sunny."
        _, call, output, answer = session.history
        assert isinstance(call, FunctionCallItem)
        assert isinstance(output, FunctionCallOutputItem)
        assert isinstance(answer, MessageItem)
        assert (call.arguments, output.output) == ('{"city":"Oslo"}', "Sunny in Oslo")


async def test_a_spoken_turn(autojump_clock: MockClock) -> None:
    service = beta_service(Say("I hear you.", audio_ms=500), transcripts=["Can you hear me?"])
    transcription = Transcription(model="gpt-4o-mini-transcribe-2025-12-15")
    async with open_with(service, transcription=transcription) as session:
        with session.subscribe(events.AgentEnd, events.UserTranscript) as ends:
            await session.send_audio(SILENCE + SPEECH + SILENCE)
            seen = [await ends.receive(), await ends.receive()]
        assert {type(event) for event in seen} == {events.AgentEnd, events.UserTranscript}
        question, answer = session.history
        assert isinstance(question, MessageItem)
        assert isinstance(question.content[0], InputAudio)
        assert question.content[0].transcript == "Can you hear me?"
        audio = [e.data for e in drain_channel(session.events) if isinstance(e, events.Audio)]
        assert len(b"".join(audio)) == 500 * 48
        assert isinstance(answer, MessageItem)
    assert "response.audio.delta" in frame_types(service, "sent")


async def test_a_barge_in(autojump_clock: MockClock) -> None:
    service = beta_service(Say("A long story", audio_ms=10_000), Say("Yes?"))
    async with open_with(service, turn_detection=ServerVad(interrupt_response=True)) as session:
        await session.send_message("Tell me a story.")
        await trio.sleep(1)
        await session.send_audio(SILENCE + SPEECH)
        await trio.lowlevel.checkpoint()
        with session.subscribe(events.AudioInterrupted) as interruptions:
            await session.send_audio(SPEECH)
            cut = await interruptions.receive()
        assert 0 < cut.played_ms < 10_000
        await session.send_audio(SILENCE)
        await session.drain()
    (connection,) = service.connections
    (truncation,) = [f for f in connection.received if f["type"] == "conversation.item.truncate"]
    assert truncation["audio_end_ms"] == cut.played_ms
    assert "conversation.item.truncated" in frame_types(service, "sent")


async def test_g711_in_both_directions(autojump_clock: MockClock) -> None:
    service = beta_service(Say("Hi", audio_ms=1000))
    async with open_with(service, input_format=PCMU, output_format=PCMU) as session:
        await session.ask("Hi")
        audio = [e.data for e in drain_channel(session.events) if isinstance(e, events.Audio)]
        assert len(b"".join(audio)) == 8000
    (connection,) = service.connections
    assert connection.received[0]["session"]["input_audio_format"] == "g711_ulaw"


async def test_a_setting_that_beta_lacks_is_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    service = beta_service()
    with pytest.raises(ConfigurationError, match="'reasoning'"):
        async with open_with(service, reasoning=Reasoning(effort="low")):
            pytest.fail("the block must not run")
    assert service.connections == []


@pytest.mark.parametrize("server", ["ga", "beta"])
async def test_a_wrong_dialect_is_named(server: Any, autojump_clock: MockClock) -> None:
    """The server refuses the settings, and the error says which dialect it speaks."""
    service = local_connector(dialect=server)
    other: Any = {"ga": "beta", "beta": "ga"}[server]
    endpoint = Endpoint.compatible(
        "ws://localhost", api_key="k", model="gpt-realtime-2.1", dialect=other, headers={}, proxy=""
    )
    if server == "ga":  # it would refuse the header of the beta protocol first
        endpoint = Endpoint.compatible(
            "ws://localhost",
            model="gpt-realtime-2.1",
            dialect=other,
            headers={"Authorization": "Bearer k", "OpenAI-Beta": ""},
            proxy="",
        )
    with pytest.raises(Exception, match=r".") as caught:
        async with open_realtime_session(
            RealtimeAgent(name="A"), endpoint=endpoint, transport=service
        ):
            pytest.fail("the block must not run")
    if server == "beta":
        assert isinstance(caught.value, SettingsRejected)
        assert "speaks the beta dialect" in "".join(caught.value.__notes__)
