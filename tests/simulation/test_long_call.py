"""A call of three hours, in which the service ends each connection after a while."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    ServerVad,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.items import FunctionCallItem, FunctionCallOutputItem, InputAudio
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.session import PacedAudio
from trio_realtime.wire import MessageItem

HOURS = 3
FRAME_MS = 100
VOICE = b"\x00\x20\x00\xe0" * (FRAME_MS * 12)
SILENCE = bytes(FRAME_MS * 48)
MINUTE = 600
"""Frames of one minute."""


class Caller:
    """A user whose microphone is always on. In each minute, they speak for some seconds."""

    def __init__(self, session: RealtimeSession[None], seconds: int, begin: int = 0) -> None:
        self.session = session
        self.spoken = 0
        self._frames = range(begin, begin + seconds * 10)

    async def talk(self) -> None:
        began = trio.current_time()
        number = 0
        while True:
            speaks = number % MINUTE in self._frames
            self.spoken += speaks
            await self.session.send_audio(VOICE if speaks else SILENCE)
            number += 1
            await trio.sleep_until(began + number * FRAME_MS / 1000)


class Listener:
    """Plays the agent's audio, and notes each pause inside of an item."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, float]] = []

    async def play(self, paced: PacedAudio) -> None:
        async for frame in paced:
            self.frames.append((frame.item_id, trio.current_time()))

    def longest_pause(self) -> float:
        pauses = [b[1] - a[1] for a, b in pairwise(self.frames) if a[0] == b[0]]
        return max(pauses)


@pytest.mark.slow
async def test_a_call_of_three_hours_is_not_cut_and_each_call_is_answered_once(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def get_weather(city: str) -> str:
        """Current weather in a city."""
        await trio.sleep(2)
        return f"Sunny in {city}"

    turn: list[Call | Say] = [
        Call("get_weather", {"city": "Oslo"}),
        Say("It is sunny in Oslo.", audio_ms=3000),
    ]
    service = local_connector(
        responder=ScriptedResponder(turn * (HOURS * 60)), session_seconds=3600, pacing=4.0
    )
    seen: list[events.SessionEvent] = []
    note = seen.append
    listener = Listener()

    async def observe(session: RealtimeSession[None]) -> None:
        types = (
            events.Reconnected,
            events.Reconnecting,
            events.SpeechStarted,
            events.SpeechStopped,
        )
        with session.subscribe(*types, events.ToolEnd, events.AgentEnd, events.Error) as channel:
            async for event in channel:
                note(event)

    config = SessionConfig(turn_detection=ServerVad(), overflow="drop_oldest")
    async with (
        open_realtime_session(
            RealtimeAgent(name="Assistant", tools=[get_weather]),
            endpoint=service.endpoint,
            transport=service,
            config=config,
        ) as session,
        trio.open_nursery() as nursery,
        session.paced_audio(frame_ms=20) as paced,
    ):
        nursery.start_soon(observe, session)
        nursery.start_soon(listener.play, paced)
        nursery.start_soon(Caller(session, 4).talk)
        await trio.sleep_until(trio.current_time() + HOURS * 3600 - 20)
        history = session.history
        nursery.cancel_scope.cancel()

    def of(kind: type[events.SessionEvent]) -> list[events.SessionEvent]:
        return [event for event in seen if type(event) is kind]

    turns = HOURS * 60
    assert not of(events.Error)
    assert not of(events.Reconnecting)
    refreshes = of(events.Reconnected)
    assert len(refreshes) == HOURS
    for refresh in refreshes:
        assert isinstance(refresh, events.Reconnected)
        assert refresh.state_restored
        assert (refresh.duration, refresh.lost_audio_ms) == (0, 0)
    assert [len(of(kind)) for kind in (events.SpeechStarted, events.SpeechStopped)] == [turns] * 2
    assert len(of(events.ToolEnd)) == len(of(events.AgentEnd)) == turns
    calls = [item.call_id for item in history if isinstance(item, FunctionCallItem)]
    outputs = [item.call_id for item in history if isinstance(item, FunctionCallOutputItem)]
    assert len(calls) == turns
    assert calls == outputs
    assert listener.longest_pause() == pytest.approx(0.02)
    assert len(listener.frames) == turns * 150


async def test_an_utterance_over_a_forced_refresh_is_not_cut(autojump_clock: MockClock) -> None:
    """The user never stops for long enough, so the session replaces the connection while they speak."""
    service = local_connector(responder=ScriptedResponder([Say("Yes.")] * 9), session_seconds=60)
    policy = ReconnectPolicy(refresh_before=20, force_before=10)
    config = SessionConfig(
        turn_detection=ServerVad(), reconnect=policy, max_history_audio=100_000_000
    )
    async with (
        open_realtime_session(
            RealtimeAgent(name="Assistant"),
            endpoint=service.endpoint,
            transport=service,
            config=config,
        ) as session,
        trio.open_nursery() as nursery,
    ):
        caller = Caller(session, 20, begin=350)  # from 35 s to 55 s; forced at 50 s
        nursery.start_soon(caller.talk)
        async for event in session:
            if isinstance(event, events.AgentEnd):
                break
        nursery.cancel_scope.cancel()
        assert len(service.connections) == 2
        (said,) = [
            part
            for item in session.history
            if isinstance(item, MessageItem)
            for part in item.content
            if isinstance(part, InputAudio)
        ]
    assert said.audio is not None
    assert said.audio.count(VOICE) == caller.spoken
