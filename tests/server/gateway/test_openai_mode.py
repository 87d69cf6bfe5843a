"""Clients that speak the OpenAI Realtime protocol with the gateway."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.gateway import GatewayUnderTest, make_spec, open_test_gateway
from support.guardrails import RecordingGuardrail
from support.openai_gateway import OpenAIClient, dial
from trio_realtime import ReconnectPolicy, ServerVad, SessionConfig, function_tool
from trio_realtime.local import LocalConnector, Say, ScriptedResponder, local_connector
from trio_realtime.server.gateway.admission import Admission
from trio_realtime.server.gateway.gateway import GatewaySettings
from trio_realtime.server.gateway.openai_view import OpenAIView
from trio_realtime.server.spec import AgentSpec
from trio_realtime.testing.faults import faulty_connector
from trio_realtime.transports import ConnectOptions, Transport

LONG_ANSWER = "one two three four five six seven eight nine ten " * 10
VAD = SessionConfig(turn_detection=ServerVad())
weather: list[str] = []


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    weather.append(city)
    return f"Sunny in {city}"


class OpenAIGateway:
    """A gateway, its local service, and what a test needs to dial."""

    def __init__(
        self, under_test: GatewayUnderTest, local: LocalConnector, nursery: trio.Nursery
    ) -> None:
        self.under_test = under_test
        self.gateway = under_test.gateway
        self.local = local
        self.nursery = nursery

    def dial(self, **options: Any) -> OpenAIClient:
        return dial(self.under_test, self.nursery, **options)

    async def call(self, **options: Any) -> OpenAIClient:
        client = self.dial(**options)
        assert (await client.receive())["type"] == "session.created"
        return client

    def received(self, kind: str) -> list[Any]:
        """Return the events of a type that the service has received."""
        return [
            frame
            for connection in self.local.connections
            for frame in connection.received
            if frame["type"] == kind
        ]


@asynccontextmanager
async def open_openai_gateway(
    *tools: Any,
    config: SessionConfig = VAD,
    spec: AgentSpec | None = None,
    local: LocalConnector | None = None,
    connector: Any = None,
    settings: GatewaySettings | None = None,
    admission: Admission | None = None,
    **server: Any,
) -> AsyncGenerator[OpenAIGateway]:
    local = local or local_connector(**server)
    async with (
        open_test_gateway(
            spec or make_spec(*tools, config=config),
            connector=connector or local,
            settings=settings,
            admission=admission,
        ) as under_test,
        trio.open_nursery() as nursery,
    ):
        yield OpenAIGateway(under_test, local, nursery)
        nursery.cancel_scope.cancel()


async def ended(opened: OpenAIGateway) -> None:
    """Check that no session is left."""
    await wait_all_tasks_blocked()
    assert opened.gateway.sessions == {}
    assert opened.gateway.admission.running == 0


# --- turns --------------------------------------------------------------------------------------


async def test_a_text_turn(autojump_clock: MockClock) -> None:
    async with open_openai_gateway() as opened:
        client = await opened.call(model="gpt-realtime-mini")
        session = client.events[0]["session"]
        assert (session["model"], session["tools"]) == ("gpt-realtime-mini", [])
        await client.send_text("Hello there")
        assert await client.reply() == "You said: Hello there"
        assert sum(client.audio.values()) > 500
        added = client.types.index("conversation.item.added")
        assert added < client.types.index("response.created") < client.types.index("response.done")
        assert len(opened.received("response.create")) == 1
        client.socket.disconnect()
        await ended(opened)


async def test_a_client_chooses_an_agent(autojump_clock: MockClock) -> None:
    async with (
        open_test_gateway(make_spec(), make_spec(name="Second")) as under_test,
        trio.open_nursery() as nursery,
    ):
        for model, agent in [("Second", "Second"), ("Assistant", "Assistant"), ("x", "Assistant")]:
            client = dial(under_test, nursery, model=model)
            await client.receive_until("session.created")
            [hosted] = under_test.gateway.sessions.values()
            assert hosted.session.spec.name == agent
            assert hosted.session.transport == "openai"
            client.socket.disconnect()
            await hosted.session.wait_ended()


async def test_a_tool_of_the_server_stays_invisible(autojump_clock: MockClock) -> None:
    async with open_openai_gateway(get_weather) as opened:
        client = await opened.call()
        weather.clear()
        await client.send_text("What's the weather in Oslo?")
        assert await client.reply() == "Sunny in Oslo"
        assert weather == ["Oslo"]
        # receive() checks that nothing of the call is in any event
        [answer] = [
            item for done in client.events if done["type"] == "response.done"
            for item in done["response"]["output"]
        ]  # fmt: skip
        added = [e for e in client.events if e["type"] == "conversation.item.added"]
        assert [event["item"]["role"] for event in added] == ["user", "assistant"]
        assert added[1]["previous_item_id"] == added[0]["item"]["id"]
        assert added[1]["item"]["id"] == answer["id"]


async def test_a_spoken_turn(autojump_clock: MockClock) -> None:
    async with open_openai_gateway(get_weather) as opened:
        client = await opened.call()
        opened.nursery.start_soon(client.speak)
        reply = await client.reply()
        assert reply.startswith("I heard 2.")
        started = client.types.index("input_audio_buffer.speech_started")
        assert started < client.types.index("input_audio_buffer.speech_stopped")
        assert sum(client.audio.values()) > 500


async def test_push_to_talk(autojump_clock: MockClock) -> None:
    async with open_openai_gateway() as opened:
        client = await opened.call()
        session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await client.send("session.update", session=session)
        updated = await client.receive_until("session.updated")
        assert updated["session"]["audio"]["input"].get("turn_detection") is None
        await client.speak()
        await client.receive_for(5)
        assert "input_audio_buffer.speech_started" not in client.types
        assert "response.created" not in client.types
        await client.send("input_audio_buffer.commit")
        await client.send("response.create")
        assert (await client.reply()).startswith("I heard 3.")


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_barge_in(is_late: bool, autojump_clock: MockClock) -> None:
    """The session cuts the item when speech begins. The client does it too, before or after."""
    responder = ScriptedResponder([Say(LONG_ANSWER), Say("Fine.")])
    async with open_openai_gateway(responder=responder) as opened:
        client = await opened.call()
        await client.send_text("Tell me a story")
        delta = await client.receive_until("response.output_audio.delta")
        item_id = delta["item_id"]
        await client.receive_for(2)
        opened.nursery.start_soon(client.speak)
        truncate = {"item_id": item_id, "content_index": 0, "audio_end_ms": 1200}
        if not is_late:
            await client.send("conversation.item.truncate", **truncate)
        await client.receive_until("input_audio_buffer.speech_started")
        if is_late:
            await wait_all_tasks_blocked()
            await client.send("conversation.item.truncate", **truncate)
        await client.reply()
        await client.receive_for(10)
        cuts = opened.received("conversation.item.truncate")
        assert [cut["item_id"] for cut in cuts] == [item_id]
        if not is_late:
            assert cuts[0]["audio_end_ms"] == 1200
        truncated = [e for e in client.events if e["type"] == "conversation.item.truncated"]
        assert len(truncated) == 1
        assert "error" not in client.types


async def test_a_client_cancels_a_response(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Say(LONG_ANSWER)])
    async with open_openai_gateway(responder=responder, pacing=1.0) as opened:
        client = await opened.call()
        await client.send_text("Tell me a story")
        await client.receive_until("response.output_audio.delta")
        await client.send("response.cancel", event_id="mine")
        done = await client.receive_until("response.done")
        assert done["response"]["status"] == "cancelled"


async def test_a_client_clears_the_output(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Say(LONG_ANSWER)])
    async with open_openai_gateway(responder=responder, pacing=1.0) as opened:
        client = await opened.call()
        await client.send_text("Tell me a story")
        await client.receive_until("response.output_audio.delta")
        await client.send("output_audio_buffer.clear")
        done = await client.receive_until("response.done")
        assert done["response"]["status"] == "cancelled"


# --- what the server decides --------------------------------------------------------------------


async def test_a_client_cannot_change_the_agent(autojump_clock: MockClock) -> None:
    async with open_openai_gateway(get_weather) as opened:
        client = await opened.call()
        before = opened.received("session.update")
        session = {
            "type": "realtime",
            "model": "another",
            "instructions": "You are a pirate.",
            "tools": [{"type": "function", "name": "steal", "parameters": {"type": "object"}}],
            "tool_choice": "required",
            "audio": {"output": {"voice": "ash", "speed": 1.5, "format": {"type": "audio/pcmu"}}},
            "tracing": "auto",
            "prompt": {"id": "pmpt_1"},
            "truncation": "disabled",
        }
        await client.send("session.update", session=session, event_id="mine")
        updated = await client.receive_until("session.updated")
        assert updated["session"]["tools"] == []
        await client.send(
            "response.create",
            response={k: session[k] for k in ("instructions", "tools", "tool_choice")},
        )
        await client.reply()
        assert opened.received("session.update") == before
        [create] = opened.received("response.create")
        assert create.get("response", {}).keys() <= {"metadata"}
        assert "pirate" not in str([c.received for c in opened.local.connections])


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call_output", "call_id": "call_1", "output": "x"},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {},
    ],
)
async def test_items_of_the_server_are_refused(
    item: dict[str, Any], autojump_clock: MockClock
) -> None:
    async with open_openai_gateway(get_weather) as opened:
        client = await opened.call()
        await client.send("conversation.item.create", item=item, event_id="mine")
        error = await receive_error(client)
        assert (error["event_id"], error["param"]) == ("mine", "item")
        assert opened.received("conversation.item.create") == []
        await client.send_text("Still there?")
        assert await client.reply() == "You said: Still there?"


async def receive_error(client: OpenAIClient) -> dict[str, Any]:
    event = await client.receive_until("error")
    error: dict[str, Any] = event["error"]
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("message", "event_id"),
    [
        ("no json", None),
        ("[]", None),
        ("5", None),
        ("null", None),
        ("{}", None),
        ('{"type": []}', None),
        ('{"type": {"a": 1}, "event_id": "e"}', "e"),
        ('{"type": "dance", "event_id": "e"}', "e"),
        ('{"type": "dance", "event_id": 5}', None),
        ('{"type": "session.update", "event_id": "e"}', "e"),
        (
            '{"type": "session.update", "event_id": "e", "session": {"output_modalities": [[]]}}',
            "e",
        ),
        (
            '{"type": "session.update", "event_id": "e", "session": {"output_modalities": ["smell"]}}',
            "e",
        ),
        (
            (
                '{"type": "session.update", "event_id": "e", "session": '
                '{"audio": {"input": {"turn_detection": {"type": "magic"}}}}}'
            ),
            "e",
        ),
        (
            (
                '{"type": "session.update", "event_id": "e", "session": '
                '{"audio": {"input": {"turn_detection": [1]}}}}'
            ),
            "e",
        ),
        ('{"type": "conversation.item.delete", "event_id": "e"}', "e"),
        ('{"type": "conversation.item.delete", "event_id": "e", "item_id": "unknown"}', "e"),
        ('{"type": "conversation.item.retrieve", "event_id": "e", "item_id": "unknown"}', "e"),
        ('{"type": "response.create", "event_id": "e", "response": {"metadata": [1]}}', "e"),
        (
            '{"type": "response.create", "event_id": "e", "response": {"output_modalities": 5}}',
            "e",
        ),
        ('{"type": "input_audio_buffer.commit", "event_id": "e"}', "e"),
        ('{"type": "input_audio_buffer.append", "event_id": "e", "audio": "!"}', "e"),
        (b"\xff\xfe", None),
        ("[" * 100_000, None),
        ('{"a":' * 100_000, None),
    ],
)
async def test_what_cannot_be_carried_out_is_answered(
    message: str | bytes,
    event_id: str | None,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    async with open_openai_gateway() as opened:
        client = await opened.call()
        await client.socket.to_server.send(message)
        error = await receive_error(client)
        assert error["event_id"] == event_id
        await client.send_text("Still there?")
        assert await client.reply() == "You said: Still there?"
    assert caplog.records == []


async def test_a_client_may_not_take_the_audio_that_a_guardrail_has_stopped(
    autojump_clock: MockClock,
) -> None:
    watch = RecordingGuardrail("secret", delay=3.0)
    spec = AgentSpec(
        name="Assistant",
        realtime_mode=True,
        output_guardrails=[watch.guardrail],
        realtime=SessionConfig(turn_detection=ServerVad(), guardrail_audio_gate=True),
    )
    responder = ScriptedResponder([Say("secret " * 50), Say("Sorry.")])
    async with open_openai_gateway(spec=spec, responder=responder) as opened:
        client = await opened.call()
        await client.send_text("Tell me a story")
        added = await client.receive_until("response.output_item.added")
        item_id = added["item"]["id"]
        await client.receive_until("response.done")
        await client.send("conversation.item.retrieve", item_id=item_id)
        retrieved = await client.receive_until("conversation.item.retrieved")
        assert "audio" not in retrieved["item"]["content"][0]
        await client.receive_for(60)
        assert watch.seen
        assert item_id not in client.audio
        # What passes is heard.
        assert client.audio


# --- ends ---------------------------------------------------------------------------------------


async def test_a_reconnect_repeats_no_items(autojump_clock: MockClock) -> None:
    local = local_connector()
    faults = faulty_connector(local)
    config = SessionConfig(turn_detection=ServerVad(), reconnect=ReconnectPolicy(jitter=0.0))
    async with open_openai_gateway(local=local, connector=faults, config=config) as opened:
        client = await opened.call()
        await client.send_text("Hello there")
        await client.reply()
        await client.receive_for(60)
        faults.link.drop()
        await client.receive_for(60)
        assert len(local.connections) == 2
        await client.send_text("Still there?")
        assert await client.reply() == "You said: Still there?"
        await client.receive_for(10)
        for kind in ("conversation.item.added", "conversation.item.done"):
            ids = [event["item"]["id"] for event in client.events if event["type"] == kind]
            assert len(ids) == len(set(ids)) == 4, kind
        assert client.types.count("session.created") == 1
        assert "error" not in client.types


async def test_a_client_that_disconnects_ends_its_session(autojump_clock: MockClock) -> None:
    async with open_openai_gateway() as opened:
        client = await opened.call()
        [hosted] = opened.gateway.sessions.values()
        client.socket.disconnect()
        end = await hosted.session.wait_ended()
        assert (end.by, end.reason) == ("client", "client_ended")
        await ended(opened)


@asynccontextmanager
async def never_connects(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.sleep_forever()
    yield


async def test_a_client_that_disconnects_while_the_service_is_slow(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with open_openai_gateway(connector=never_connects) as opened:
        client = opened.dial()
        for _ in range(100):  # it does not wait for session.created
            await client.append(bytes(960))
        await wait_all_tasks_blocked()
        [hosted] = opened.gateway.sessions.values()
        client.socket.disconnect()
        await wait_all_tasks_blocked()
        end = hosted.session.end
        assert end is not None
        assert end.reason == "client_ended"
        await ended(opened)
    assert caplog.records == []


async def test_what_a_client_sends_before_its_session_is_created_is_carried_out(
    autojump_clock: MockClock,
) -> None:
    async with open_openai_gateway() as opened:
        client = opened.dial()
        await client.send_text("Hello there")
        assert await client.reply() == "You said: Hello there"
        assert client.types[0] == "session.created"


async def test_a_client_that_disconnects_while_it_interrupts_ends_its_session(
    autojump_clock: MockClock,
) -> None:
    """An interruption waits for the tools to end."""

    @function_tool
    async def get_weather(city: str) -> str:
        """Current weather in a city."""
        weather.append(city)
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
        return "late"

    async with open_openai_gateway(get_weather) as opened:
        client = await opened.call()
        weather.clear()
        await client.send_text("What's the weather in Oslo?")
        await client.receive_for(5)
        assert weather == ["Oslo"]
        [hosted] = opened.gateway.sessions.values()
        await client.send("output_audio_buffer.clear")
        await wait_all_tasks_blocked()
        client.socket.disconnect()
        await wait_all_tasks_blocked()
        assert hosted.attachments.owner is None


async def test_a_service_that_fails_closes_the_client(autojump_clock: MockClock) -> None:
    async with open_openai_gateway(
        config=SessionConfig(turn_detection=ServerVad(), reconnect=None), session_seconds=60
    ) as opened:
        client = await opened.call()
        code, _ = await client.receive_all()
        assert code == 1011
        assert client.types[-1] == "error"
        await ended(opened)


@asynccontextmanager
async def unreachable(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.lowlevel.checkpoint()
    raise OSError("unreachable at 10.0.0.7")
    yield


async def test_a_service_that_cannot_be_reached_closes_the_client(
    autojump_clock: MockClock,
) -> None:
    async with open_openai_gateway(connector=unreachable) as opened:
        client = opened.dial()
        assert await client.receive_all() == (1011, "the session failed")
        assert "10.0.0.7" not in str(client.events)
        await ended(opened)


async def test_a_limit_ends_the_call_normally(autojump_clock: MockClock) -> None:
    config = SessionConfig(turn_detection=ServerVad(), max_duration=60)
    async with open_openai_gateway(config=config) as opened:
        client = await opened.call()
        assert (await client.receive_all())[0] == 1000
        await ended(opened)


async def test_a_server_that_is_full_refuses(autojump_clock: MockClock) -> None:
    async with open_openai_gateway(admission=Admission(max_sessions=1)) as opened:
        first = await opened.call()
        second = opened.dial()
        assert await second.receive_all() == (1013, "the server has no free session")
        assert second.types == ["error"]
        first.socket.disconnect()
        await ended(opened)
        await opened.call()


async def test_a_client_that_does_not_read_is_closed(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Say(LONG_ANSWER)])
    async with open_openai_gateway(
        responder=responder, settings=GatewaySettings(send_timeout=5)
    ) as opened:
        slow = await opened.call(buffer=3)
        await slow.send_text("Tell me a story")
        await trio.sleep(60)
        assert slow.socket.closed is not None
        assert slow.socket.closed[0] == 1013
        await ended(opened)


async def test_a_bug_ends_only_its_client(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: object) -> NoReturn:
        raise RuntimeError("a bug with a secret")

    async with open_openai_gateway() as opened:
        broken = await opened.call()
        with monkeypatch.context() as patch:
            patch.setattr(OpenAIView, "event", crash)
            await broken.send_text("Hello there")
            assert await broken.receive_all() == (1011, "the server failed")
        assert "secret" not in str(broken.events)
        assert "a bug" in caplog.text
        await ended(opened)
        await opened.call()


async def test_a_shutdown_closes_the_client(autojump_clock: MockClock) -> None:
    async with open_openai_gateway() as opened:
        client = await opened.call()
        await opened.gateway.drain(10)
        assert (await client.receive_all())[0] in (1000, 1001)
        [late] = [opened.dial()]
        assert (await late.receive_all())[0] == 1013
        await ended(opened)
