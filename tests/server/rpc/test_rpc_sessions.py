"""The events of real sessions with the local server: all of them validate and round-trip."""

from __future__ import annotations

import json
from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from jsonschema import Draft202012Validator
from trio.testing import MockClock

from trio_realtime import (
    AgentContext,
    HostedMcpTool,
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
    output_guardrail,
)
from trio_realtime.local import (
    Call,
    Fail,
    HostedCall,
    LocalConnector,
    Say,
    ScriptedResponder,
    Step,
    local_connector,
)
from trio_realtime.server.rpc import RpcEncoder, RpcEvent, load_schema
from trio_realtime.testing.faults import faulty_connector
from trio_realtime.transports import Connector
from trio_realtime.wire import Transcription

VALIDATOR = Draft202012Validator(load_schema())
LOUD = array("h", [8000, -8000] * 120).tobytes()  # 10 ms
TEXT: Any = {"output_modalities": ("text",)}


@function_tool(needs_approval=True)
async def pay(euros: int) -> dict[str, Any]:
    """Pay."""
    return {"paid": euros, "rate": float("nan")}


@function_tool
async def fail() -> str:
    """Fail."""
    raise LookupError("no such account")


@output_guardrail
async def no_secrets(_about: AgentContext[None], text: str) -> bool:
    return "secret" in text


other = RealtimeAgent[None](name="Other")
agent = RealtimeAgent[None](
    name="Clerk", tools=[pay, fail], handoffs=[other], output_guardrails=[no_secrets]
)


class Conversation:
    """A session, and all of its events so far as they are sent to clients."""

    def __init__(self, session: RealtimeSession[None]) -> None:
        self.session = session
        self.events: list[RpcEvent] = []
        self._encoder = RpcEncoder("session", "run", bytes_per_ms=48)
        self._changed = trio.lowlevel.ParkingLot()

    async def read(self, channel: Any) -> None:
        async for event in channel:
            own = event.to_dict()
            json.dumps(own, allow_nan=False)
            self.events.append(self._encoder.encode(event, time=trio.current_time()))
            self._changed.unpark_all()

    async def read_raw(self) -> None:
        with self.session.subscribe(events.RawModelEvent) as channel:
            await self.read(channel)

    async def wait_for(self, kind: str, count: int = 1) -> RpcEvent:
        while len(found := self.of(kind)) < count:
            await self._changed.park()
        return found[count - 1]

    def of(self, kind: str) -> list[RpcEvent]:
        return [event for event in self.events if event.type == f"realtime_{kind}"]

    async def say(self, milliseconds: int, silence: int = 0) -> None:
        await self.session.send_audio(LOUD * (milliseconds // 10) + bytes(silence * 48))

    def check(self, *types: str) -> None:
        """Check all events, and that the session had events of these types."""
        for number, event in enumerate(self.events, 1):
            assert event.seq == number
            value = event.to_dict()
            VALIDATOR.validate(value)
            assert RpcEvent.from_dict(json.loads(json.dumps(value, allow_nan=False))) == event
            assert RpcEvent.from_frame(event.to_frame()) == event
        assert {f"realtime_{kind}" for kind in types} <= {event.type for event in self.events}


@asynccontextmanager
async def conversation(
    *script: Step | Sequence[Step],
    of: RealtimeAgent[None] = agent,
    config: SessionConfig | None = None,
    server: LocalConnector | None = None,
    transport: Connector | None = None,
) -> AsyncGenerator[Conversation]:
    server = server or local_connector(responder=ScriptedResponder(script), pacing=1.0)
    async with trio.open_nursery() as nursery:
        async with open_realtime_session(
            of, endpoint=server.endpoint, transport=transport or server, config=config
        ) as session:
            result = Conversation(session)
            nursery.start_soon(result.read, session.events)
            nursery.start_soon(result.read_raw)
            yield result
            await session.aclose()
        await result.wait_for("session_ended")
        nursery.cancel_scope.cancel()


async def test_a_spoken_turn_with_a_tool_and_an_approval(autojump_clock: MockClock) -> None:
    with trio.fail_after(60):
        config = SessionConfig(transcription=Transcription(model="gpt-live-transcribe"))
        script = Call("pay", {"euros": 3}), Say("Paid.", audio_ms=400)
        async with conversation(*script, config=config) as talk:
            await talk.say(600, silence=1500)
            request = await talk.wait_for("tool_approval_required")
            assert request.data["tool"] == "pay"
            assert json.loads(request.data["arguments"]) == {"euros": 3}
            await talk.session.approve_tool_call(request.data["call_id"])
            await talk.wait_for("agent_end")
    talk.check(
        *("history_updated", "settings_updated", "speech_started", "speech_stopped"),
        *("agent_start", "response_start", "tool_start", "tool_end", "audio_start", "audio"),
        *("audio_end", "transcript_delta", "response_end", "agent_end", "raw_model_event"),
        *("history_added", "session_ended", "user_transcript"),
    )
    (ended,) = talk.of("tool_end")
    assert ended.data["output"] == {"paid": 3, "rate": None}
    assert ended.data["agent"] == "Clerk"
    audio = talk.of("audio")
    assert sum(event.data["delta_ms"] for event in audio) == 400
    assert b"".join(event.audio or b"" for event in audio) != b""
    assert talk.of("history_updated")[0].data["history"] == []
    frames = [event.data["frame"]["type"] for event in talk.of("raw_model_event")]
    assert "response.done" in frames
    assert talk.of("session_ended")[0].data["end"]["reason"] == "closed"


async def test_a_barge_in(autojump_clock: MockClock) -> None:
    with trio.fail_after(60):
        async with conversation(Say("A long story.", audio_ms=20_000), Say("Yes?")) as talk:
            await talk.session.send_message("Tell me a story.")
            await talk.wait_for("audio", 3)
            await trio.sleep(1)
            await talk.say(600, silence=1500)
            await talk.wait_for("audio_interrupted")
            await talk.wait_for("agent_end", 2)
    talk.check("audio_interrupted", "speech_started", "history_updated")
    (cut,) = talk.of("audio_interrupted")
    assert 0 < cut.data["played_ms"] < 20_000
    assert talk.of("agent_end")[0].data["status"] == "cancelled"
    parts = [
        part
        for event in talk.of("history_updated")
        for part in (event.data["item"] or {}).get("content", ())
    ]
    assert cut.data["played_ms"] in [part.get("heard_ms") for part in parts]


async def test_a_handoff(autojump_clock: MockClock) -> None:
    with trio.fail_after(60):
        script = Call("transfer_to_other"), Say("Hello.")
        async with conversation(*script, config=SessionConfig(**TEXT)) as talk:
            await talk.session.send_message("Other, please.")
            await talk.wait_for("agent_end")
    talk.check("handoff", "tool_end", "text_delta")
    (handoff,) = talk.of("handoff")
    # Clients see the name of the agent, and not its instructions.
    (end,) = talk.of("tool_end")
    assert end.data["output"] == "Other"
    assert handoff.data == {"from_agent": "Clerk", "to_agent": "Other"}
    assert talk.of("agent_end")[0].data["agent"] == "Other"


async def test_a_guardrail_trips(autojump_clock: MockClock) -> None:
    with trio.fail_after(60):
        async with conversation(
            Say("The secret is long and has many more words."),
            Say("Sorry."),
            config=SessionConfig(guardrail_debounce=1, **TEXT),
        ) as talk:
            await talk.session.send_message("Tell me.")
            await talk.wait_for("guardrail_tripped")
            await talk.wait_for("agent_end", 2)
    talk.check("guardrail_tripped")
    (trip,) = talk.of("guardrail_tripped")
    assert trip.data["guardrail_results"] == [
        {"name": "no_secrets", "info": None, "feedback": None}
    ]


async def test_a_reconnect(autojump_clock: MockClock) -> None:
    server = local_connector(responder=ScriptedResponder([Say("One."), Say("Two.")]))
    faults = faulty_connector(server)
    config = SessionConfig(reconnect=ReconnectPolicy(jitter=0.0, max_attempts=4), **TEXT)
    with trio.fail_after(60):
        async with conversation(server=server, transport=faults, config=config) as talk:
            await talk.session.send_message("First.")
            await talk.wait_for("agent_end")
            faults.link.drop()
            await talk.wait_for("reconnected")
            await talk.session.send_message("Second.")
            await talk.wait_for("agent_end", 2)
    talk.check("reconnecting", "reconnected")
    error = talk.of("reconnecting")[0].data["error"]
    assert (error["type"], error["code"]) == ("ConnectionLost", 1006)
    assert talk.of("reconnected")[0].data["state_restored"] is True


async def test_errors(autojump_clock: MockClock) -> None:
    with trio.fail_after(60):
        script = Call("fail"), Say("It failed."), Fail(code="rate_limit_exceeded")
        async with conversation(*script, config=SessionConfig(**TEXT)) as talk:
            await talk.session.send_message("Fail.")
            await talk.wait_for("agent_end")
            await talk.session.send_raw({"type": "nonsense"})
            await talk.wait_for("error")
            await talk.session.send_message("Again.")
            await talk.wait_for("agent_end", 2)
    talk.check("tool_end", "error", "agent_end")
    (ended,) = talk.of("tool_end")
    assert ended.data["error"] == {"type": "LookupError", "message": "no such account"}
    assert ended.data["outcome"] == "failed"
    assert "RequestRejected" in [event.data["error"]["type"] for event in talk.of("error")]
    assert talk.of("agent_end")[1].data["reason"] == "rate_limit_exceeded"


async def test_a_lost_session(autojump_clock: MockClock) -> None:
    server = local_connector(responder=ScriptedResponder([Say("One.")]))
    faults = faulty_connector(server)
    records: list[Conversation] = []
    with trio.fail_after(60), pytest.raises(ExceptionGroup):
        config = SessionConfig(reconnect=None)
        async with conversation(server=server, transport=faults, config=config) as talk:
            records.append(talk)
            faults.link.drop()
            await trio.sleep(1)
    records[0].check("session_ended")
    end = records[0].of("session_ended")[0].data["end"]
    assert (end["by"], end["reason"], end["code"]) == ("network", "connection_lost", 1006)
    assert end["error"]["type"] == "ConnectionLost"


async def test_hosted_tools_whose_credentials_stay_secret(autojump_clock: MockClock) -> None:
    tool = HostedMcpTool(
        server_label="docs",
        server_url="https://docs.example/mcp?key=sk-very-secret",
        authorization="sk-very-secret",
        headers={"x-key": "sk-very-secret"},
        require_approval="never",
    )
    server = local_connector(
        responder=ScriptedResponder([HostedCall("docs", "find", {"q": "x"}), Say("Found.")]),
        hosted_servers={"docs": {"find": "result"}},
    )
    with trio.fail_after(60):
        async with conversation(
            of=RealtimeAgent[None](name="Reader", hosted_tools=[tool]),
            server=server,
            config=SessionConfig(**TEXT),
        ) as talk:
            await talk.session.send_message("Find x.")
            await talk.wait_for("mcp_tool_call_completed")
            await talk.wait_for("agent_end")
    talk.check("mcp_tool_call_completed", "settings_updated")
    (call,) = talk.of("mcp_tool_call_completed")
    assert call.data["item"]["output"] == "result"
    assert "sk-very-secret" not in json.dumps([event.to_dict() for event in talk.events])
