"""Clients of a gateway: admission, events, messages, detaching and resuming."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.gateway import GatewayClient, MemorySocket, make_spec, open_test_gateway
from trio_realtime import SessionConfig, function_tool
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.server.gateway.error_details import HIDDEN
from trio_realtime.server.gateway.gateway import GatewaySettings
from trio_realtime.server.gateway.stream import serve_client
from trio_realtime.server.managed import ManagedSession, client_tool
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.transports import ConnectOptions, Transport

LONG_ANSWER = "one two three four five six seven eight nine ten " * 10


async def closed_with(socket: MemorySocket) -> tuple[int, str]:
    """Wait until the gateway closes the WebSocket; return how."""
    async for _ in socket.at_client:
        pass
    assert socket.closed is not None
    return socket.closed


# --- admission ----------------------------------------------------------------------------------


async def test_the_owner_is_welcomed_and_connects_the_session(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = await under_test.attach(created, created.token)
        welcome = client.welcome
        assert welcome["type"] == "welcome"
        assert (welcome["session_id"], welcome["run_id"]) == (created.session_id, created.run_id)
        assert (welcome["role"], welcome["grace"]) == ("owner", 30)
        assert welcome["output_format"] == {"type": "audio/pcm", "rate": 24000}
        await client.receive_until("run_connected")
        await client.send("text", text="Hello!", id="1")
        end = await client.receive_until("realtime_agent_end")
        assert end.data["output"] == "You said: Hello!"
        assert {"type": "ack", "id": "1"} in client.replies


@pytest.mark.parametrize(
    ("hello", "expected"),
    [
        ("no json", "is not valid JSON"),
        ('{"type": "text", "text": "hi"}', "the first message must be a hello"),
        (b"audio", "the first message must be a hello"),
        ('{"type": "hello", "protocol": 7, "token": "t"}', "the server speaks protocol 1"),
        ('{"type": "hello", "protocol": "1", "token": "t"}', "protocol"),
    ],
)
async def test_a_wrong_hello_is_refused(
    hello: str | bytes, expected: str, autojump_clock: MockClock
) -> None:
    async with open_test_gateway() as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        socket = under_test.open_socket(created.session_id)
        await socket.to_server.send(hello)
        code, reason = await closed_with(socket)
        assert code == 4400
        assert expected in reason


async def test_a_client_that_says_nothing_is_refused(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        socket = under_test.open_socket(created.session_id)
        assert (await closed_with(socket))[0] == 4408
        assert trio.current_time() == 10


async def test_a_client_that_does_not_answer_the_close_is_left(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(_socket: MemorySocket, _code: int, _reason: str) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(MemorySocket, "close", close)
    async with open_test_gateway() as under_test:
        socket = MemorySocket()
        await socket.to_server.send("nonsense")
        with trio.fail_after(60):
            await serve_client(under_test.gateway, socket, "sess_1")


async def attempt(
    under_test: Any, session_id: str, token: str | None, **hello: Any
) -> tuple[int, str]:
    client = GatewayClient(under_test.open_socket(session_id))
    fields = {"protocol": 1, **hello} if token is None else {"protocol": 1, "token": token, **hello}
    await client.send("hello", **fields)
    return await closed_with(client.socket)


async def test_nobody_is_admitted_without_a_valid_token(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        gateway = under_test.gateway
        created = await gateway.create_session(tenant="acme")
        other = await gateway.create_session(tenant="acme")
        refused = (4401, "the token is not valid")
        assert await attempt(under_test, created.session_id, None) == refused
        assert await attempt(under_test, created.session_id, "guess") == refused
        assert await attempt(under_test, created.session_id, other.token) == refused
        assert await attempt(under_test, "sess_unknown", created.token) == refused
        client = await under_test.attach(created, created.token)
        assert await attempt(under_test, created.session_id, created.token) == refused
        assert client.socket.closed is None
        await trio.sleep(59.9)
        late = gateway.issue_token(gateway.find(created.session_id).session, "observer")
        await trio.sleep(60)
        assert await attempt(under_test, created.session_id, late, role="observer") == refused


async def test_a_token_for_observers_admits_no_owner(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        token = under_test.gateway.issue_token(hosted.session, "observer")
        code, reason = await attempt(under_test, hosted.session.session_id, token, role="owner")
        assert (code, reason) == (4401, "the token does not admit an owner")


# --- events -------------------------------------------------------------------------------------


async def test_audio_comes_as_binary_frames_as_base64_or_not_at_all(
    autojump_clock: MockClock,
) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call(audio="binary")
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        listeners: dict[str, GatewayClient] = {"binary": owner}
        for audio in ("base64", "none"):
            token = under_test.gateway.issue_token(hosted.session, "observer")
            listeners[audio] = await under_test.attach(
                hosted.session.session_id, token, role="observer", audio=audio
            )
        await owner.send("text", text="Hello!")
        for listener in listeners.values():
            await listener.receive_until("realtime_agent_end")
        sounds = {
            name: b"".join(event.audio or b"" for event in listener.events)
            for name, listener in listeners.items()
        }
        assert len(sounds["binary"]) > 24_000
        assert sounds["base64"] == sounds["binary"]
        assert sounds["none"] == b""


async def test_clients_do_not_see_the_instructions(autojump_clock: MockClock) -> None:
    seen: list[RpcEvent] = []
    async with open_test_gateway(make_spec(), on_event=seen.append) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="Hello!")
        await owner.receive_until("realtime_agent_end")
        assert "realtime_settings_updated" in [event.type for event in seen]
        assert not {"realtime_settings_updated", "run_started"} & set(owner.types)


async def test_a_client_that_resumes_gets_every_event_once_and_in_order(
    autojump_clock: MockClock,
) -> None:
    config = SessionConfig(history_update_interval=0)
    everything: list[RpcEvent] = []
    async with open_test_gateway(
        make_spec(config=config), on_event=everything.append
    ) as under_test:
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        token = under_test.gateway.issue_token(hosted.session, "observer")
        observer = await under_test.attach(
            hosted.session.session_id, token, role="observer", last_seq=0
        )
        seen = owner.events
        await owner.send("text", text=LONG_ANSWER)
        for lost_after in (3, 7, 1, 12, 5):
            for _ in range(lost_after):
                await owner.receive()
            owner.socket.disconnect()
            await wait_all_tasks_blocked()
            assert hosted.attachments.owner is None
            owner = await under_test.attach(
                hosted.session.session_id,
                owner.welcome["resume_token"],
                last_seq=owner.last_seq,
            )
            owner.events = seen = [*seen, *owner.events]
        await owner.receive_until("realtime_agent_end")
        await owner.send("end")
        await owner.receive_all()
        await observer.receive_all()
        hidden = under_test.gateway.settings.hidden_events
        expected = [event.seq for event in everything if event.type not in hidden]
        assert [event.seq for event in seen] == expected
        assert observer.events == seen
        assert owner.types[-1] == "run_ended"


async def test_a_resume_token_works_once(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        session_id, token = owner.welcome["session_id"], owner.welcome["resume_token"]
        owner.socket.disconnect()
        await under_test.attach(session_id, token, last_seq=owner.last_seq)
        assert await attempt(under_test, session_id, token) == (4401, "the token is not valid")


async def test_a_position_that_does_not_exist_is_refused(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        code, reason = await attempt(under_test, created.session_id, created.token, last_seq=99)
        assert code == 4400
        assert "events after 99 were requested" in reason


async def test_a_client_that_reads_nothing_delays_nobody_and_is_detached(
    autojump_clock: MockClock,
) -> None:
    settings = GatewaySettings(send_timeout=5)
    seen: list[RpcEvent] = []
    async with open_test_gateway(settings=settings, on_event=seen.append) as under_test:
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        token = under_test.gateway.issue_token(hosted.session, "observer")
        slow = await under_test.attach(hosted.session.session_id, token, buffer=1, role="observer")
        began = trio.current_time()
        await owner.send("text", text="Hello!")
        await owner.receive_until("realtime_agent_end")
        assert trio.current_time() - began < 2
        assert hosted.attachments.observers == 1
        await trio.sleep(10)
        assert hosted.attachments.observers == 0
        [detached] = [event for event in seen if event.type == "client_detached"]
        assert detached.data["reason"] == "too_slow"
        assert slow.socket.closed is None  # it would not read a close either
        await owner.send("text", text="Still there?")
        await owner.receive_until("realtime_agent_end")


# --- messages of clients ------------------------------------------------------------------------


async def test_audio_of_the_owner_becomes_a_turn(autojump_clock: MockClock) -> None:
    config = SessionConfig(turn_detection=None)
    async with open_test_gateway(
        make_spec(config=config), transcripts=["Good morning"]
    ) as under_test:
        owner = await under_test.call()
        await owner.socket.to_server.send(b"\x10\x20" * 12_000)
        await owner.send("audio", audio=base64.b64encode(bytes(24_000)).decode(), commit=True)
        added = await owner.receive_until("realtime_history_added")
        assert added.data["item"]["role"] == "user"


async def test_messages_that_cannot_be_carried_out_are_answered(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        wrong: list[tuple[str | bytes, str]] = [
            ("nonsense", "invalid_json"),
            ('{"type": "dance", "id": "a"}', "unknown_type"),
            ('{"type": "text", "id": "b"}', "invalid_message"),
            ('{"type": "hello", "protocol": 1, "token": "t", "id": "c"}', "invalid_request"),
        ]
        for message, code in wrong:
            await owner.socket.to_server.send(message)
            reply = await owner.receive_until("error")
            assert reply["code"] == code, message
        await owner.send("ping", id="still here")
        assert await owner.receive_until("pong") == {"type": "pong", "id": "still here"}


class HeldConnector:
    """A connector that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.local = local_connector()
        self.go_on = trio.Event()

    @asynccontextmanager
    async def __call__(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        await self.go_on.wait()
        async with self.local(options) as transport:
            yield transport


async def test_messages_before_the_session_is_connected_are_carried_out_then(
    autojump_clock: MockClock,
) -> None:
    frames = [bytes([number]) * 960 for number in range(50)]
    connector = HeldConnector()
    async with open_test_gateway(connector=connector) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        for frame in frames:
            await client.socket.to_server.send(frame)
        await client.send("text", text="Good morning!", id="1")
        await client.send("ping", id="2")
        await wait_all_tasks_blocked()
        connector.go_on.set()
        await client.receive_until("realtime_agent_end")
        replies = [(reply["id"], reply["type"]) for reply in client.replies if "id" in reply]
        assert replies == [("2", "pong"), ("1", "ack")]
        received = connector.local.connections[0].received
        heard = [base64.b64decode(event["audio"]) for event in received if "audio" in event]
        assert heard == frames
        asked = [event["type"] for event in received].index("conversation.item.create")
        assert asked > len(frames)


async def test_early_messages_are_carried_out_after_their_client_has_gone(
    autojump_clock: MockClock,
) -> None:
    connector = HeldConnector()
    async with open_test_gateway(connector=connector) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        await client.send("text", text="Good morning!", id="1")
        await wait_all_tasks_blocked()
        client.socket.disconnect()
        await trio.sleep(1)
        connector.go_on.set()
        await trio.sleep(5)
        received = connector.local.connections[0].received
        assert "conversation.item.create" in [event["type"] for event in received]


async def test_early_messages_of_a_client_that_has_gone_wait_a_limited_time(
    autojump_clock: MockClock,
) -> None:
    async with open_test_gateway(connector=HeldConnector()) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        await client.send("text", text="Good morning!")
        await wait_all_tasks_blocked()
        hosted = under_test.gateway.find(created.session_id)
        client.socket.disconnect()
        await trio.sleep(4.9)
        assert hosted.attachments.owner is not None
        await trio.sleep(0.2)
        assert hosted.attachments.owner is None


class _AllTypes(frozenset[str]):
    """All types of events."""

    def __contains__(self, _type: object) -> bool:
        return True


async def test_a_client_that_does_not_read_the_answers_to_early_messages_is_detached(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    connector = HeldConnector()
    settings = GatewaySettings(hidden_events=_AllTypes())
    async with open_test_gateway(connector=connector, settings=settings) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id, buffer=1))
        await client.send("hello", protocol=1, token=created.token)
        for _ in range(5):
            await client.send("mute", muted=True, id="1")
        hosted = under_test.gateway.find(created.session_id)
        observer = hosted.session.stream_events()
        connector.go_on.set()
        async for event in observer:
            if isinstance(event, RpcEvent) and event.type == "client_detached":
                assert event.data["reason"] == "too_slow"
                break
        await wait_all_tasks_blocked()
    assert "serving a client failed" not in caplog.text


async def test_the_messages_before_the_session_is_connected_are_limited(
    autojump_clock: MockClock,
) -> None:
    connector = HeldConnector()
    async with open_test_gateway(connector=connector) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        for _ in range(40):
            await client.socket.to_server.send(bytes(100_000))
        await wait_all_tasks_blocked()
        waiting = client.socket.at_server.statistics().current_buffer_used
        assert waiting == 40 - 11 - 11  # 1 MiB of early messages, and 1 MiB that was read ahead
        connector.go_on.set()
        await client.receive_until("run_connected")
        await wait_all_tasks_blocked()
        assert client.socket.at_server.statistics().current_buffer_used == 0


async def test_a_session_is_ended_before_it_is_connected(autojump_clock: MockClock) -> None:
    connector = HeldConnector()
    async with open_test_gateway(connector=connector) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        client = GatewayClient(under_test.open_socket(created.session_id))
        await client.send("hello", protocol=1, token=created.token)
        await client.send("text", text="Good morning!", id="1")
        await client.send("end", id="2")
        with trio.fail_after(1):
            ended = await client.receive_until("run_ended")
        assert (ended.data["by"], ended.data["reason"]) == ("client", "client_ended")


async def test_an_observer_only_listens(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        token = under_test.gateway.issue_token(hosted.session, "observer")
        observer = await under_test.attach(hosted.session.session_id, token, role="observer")
        for type_, fields in [("text", {"text": "hi"}), ("interrupt", {}), ("end", {})]:
            await observer.send(type_, **fields, id=type_)
            reply = await observer.receive_until("error")
            assert (reply["id"], reply["code"]) == (type_, "not_owner")
        await observer.socket.to_server.send(b"audio")
        assert (await observer.receive_until("error"))["code"] == "not_owner"
        await observer.send("ping")
        assert await observer.receive_until("pong") == {"type": "pong"}
        assert hosted.session.end is None


async def test_the_owner_runs_a_tool(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Call("show_map", {"place": "Oslo"}), Say("There it is.")])
    async with open_test_gateway(
        make_spec(client_tool("show_map")), responder=responder
    ) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="Where is Oslo?")
        required = await owner.receive_until("tool_result_required")
        assert required.data["arguments"] == '{"place":"Oslo"}'
        await owner.send(
            "tool_result", call_id=required.data["call_id"], output="It is shown.", id="1"
        )
        end = await owner.receive_until("realtime_tool_end")
        assert end.data["output"] == "It is shown."
        await owner.receive_until("realtime_agent_end")
        assert {"type": "ack", "id": "1"} in owner.replies


async def test_a_call_waits_for_the_decision_of_the_owner(autojump_clock: MockClock) -> None:
    paid: list[int] = []

    @function_tool(needs_approval=True)
    async def pay(amount: int) -> str:
        """Pay an amount."""
        paid.append(amount)
        return "paid"

    async with open_test_gateway(make_spec(pay)) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="pay amount 5")
        required = await owner.receive_until("realtime_tool_approval_required")
        assert required.data["tool_name"] == "pay"
        assert paid == []
        await owner.send("approve", call_id=required.data["call_id"], id="1")
        ended = await owner.receive_until("realtime_tool_end")
        assert (ended.data["outcome"], len(paid)) == ("completed", 1)
        assert {"type": "ack", "id": "1"} in owner.replies
        await owner.receive_until("realtime_agent_end")
        await owner.send("text", text="pay amount 6")
        required = await owner.receive_until("realtime_tool_approval_required")
        await owner.send("reject", call_id=required.data["call_id"], message="Not today.")
        ended = await owner.receive_until("realtime_tool_end")
        assert (ended.data["outcome"], ended.data["output_text"]) == ("rejected", "Not today.")
        assert len(paid) == 1


@asynccontextmanager
async def tool_that_refuses_to_end(may_end: trio.Event) -> AsyncGenerator[GatewayClient]:
    """Yield the owner of a session whose tool runs until the test lets it end."""

    @function_tool
    async def search(query: str) -> str:
        """Search."""
        with trio.CancelScope(shield=True):
            await may_end.wait()
        return "found"

    async with open_test_gateway(make_spec(search)) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="search query cats")
        await owner.receive_until("realtime_tool_start")
        yield owner


async def test_an_interruption_is_answered_while_a_tool_refuses_to_end(
    autojump_clock: MockClock,
) -> None:
    may_end = trio.Event()
    async with tool_that_refuses_to_end(may_end) as owner:
        await owner.send("interrupt", id="1")
        await owner.send("ping", id="2")
        await owner.receive_until("pong")
        assert {"type": "ack", "id": "1"} not in owner.replies
        may_end.set()
        await owner.receive_until("ack")


async def test_interruptions_that_wait_for_a_tool_are_bounded(autojump_clock: MockClock) -> None:
    may_end = trio.Event()
    async with tool_that_refuses_to_end(may_end) as owner:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for number in range(100):
            await owner.send("interrupt", id=str(number))
        await owner.send("end")  # is not one of them
        await wait_all_tasks_blocked()
        more_tasks = trio.lowlevel.current_statistics().tasks_living - tasks
        may_end.set()
        assert more_tasks < 20
        refused = await owner.receive_until("error")
        assert (refused["id"], refused["code"]) == ("8", "invalid_request")
        await owner.receive_all()
        answered = [reply["id"] for reply in owner.replies if reply["type"] in ("ack", "error")]
        assert sorted(answered, key=int) == [str(number) for number in range(100)]
        assert owner.types[-1] == "run_ended"


async def test_what_was_heard_is_reported_to_the_service(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Say(LONG_ANSWER)])
    async with open_test_gateway(responder=responder) as under_test:
        owner = await under_test.call()
        await owner.send("text", text="Tell me a story")
        audio = await owner.receive_until("realtime_audio")
        item_id = audio.data["item_id"]
        await owner.send("playback", item_id=item_id, content_index=0, played_ms=100, id="1")
        await owner.receive_until("ack")
        await trio.sleep(1)
        await owner.send("interrupt")
        interrupted = await owner.receive_until("realtime_audio_interrupted")
        assert (interrupted.data["item_id"], interrupted.data["played_ms"]) == (item_id, 100)


async def test_a_muted_owner_is_not_heard(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        session = under_test.gateway.find(owner.welcome["session_id"]).session
        for muted in (True, False):
            await owner.send("mute", muted=muted, id="1")
            await owner.receive_until("ack")
            assert session.session.is_muted is muted


# --- attaching and detaching --------------------------------------------------------------------


async def test_a_session_without_an_owner_ends(autojump_clock: MockClock) -> None:
    seen: list[RpcEvent] = []
    settings = GatewaySettings(attach_timeout=20, grace=30)
    async with open_test_gateway(settings=settings, on_event=seen.append) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        await trio.sleep(21)
        assert under_test.gateway.sessions == {}
        assert seen[-1].type == "run_ended"
        assert seen[-1].data["reason"] == "client_lost"
        assert await attempt(under_test, created.session_id, created.token) == (
            4401,
            "the token is not valid",
        )
        assert under_test.gateway.admission.running == 0


async def test_an_owner_that_stays_away_loses_the_session(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        hosted = under_test.gateway.find(owner.welcome["session_id"])
        owner.socket.disconnect()
        await trio.sleep(29)
        assert hosted.session.end is None
        end = await hosted.session.wait_ended()
        assert (end.by, end.reason) == ("client", "client_lost")


async def test_an_owner_that_is_lost_while_its_message_waits_is_away(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message waits for example while the service reads nothing."""

    async def wait(_session: ManagedSession, _text: str) -> None:
        await trio.sleep_forever()

    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        session = under_test.gateway.find(owner.welcome["session_id"]).session
        monkeypatch.setattr(ManagedSession, "send_text", wait)
        await owner.send("text", text="Hello!")
        await owner.send("ping")
        await wait_all_tasks_blocked()
        owner.socket.disconnect()
        with trio.fail_after(60):
            end = await session.wait_ended()
        assert end.reason == "client_lost"


async def test_what_an_owner_sends_before_it_goes_is_carried_out(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        session = under_test.gateway.find(owner.welcome["session_id"]).session
        await owner.send("mute", muted=True, id="1")
        await owner.send("ping")
        await owner.send("end")
        owner.socket.disconnect()
        began = trio.current_time()
        end = await session.wait_ended()
        assert end.reason == "client_ended"
        assert trio.current_time() - began < 1  # virtual seconds, and not the grace


async def test_an_owner_that_comes_back_replaces_its_lost_connection(
    autojump_clock: MockClock,
) -> None:
    async with open_test_gateway() as under_test:
        first = await under_test.call()
        session_id = first.welcome["session_id"]
        second = await under_test.attach(
            session_id, first.welcome["resume_token"], last_seq=first.last_seq
        )
        assert await closed_with(first.socket) == (4409, "another client became the owner")
        await trio.sleep(60)
        await second.send("text", text="Hello!", id="1")
        await second.receive_until("realtime_agent_end")


async def test_the_client_may_end_the_session(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        owner = await under_test.call()
        await owner.send("end")
        await owner.receive_all()
        assert owner.types[-2:] == ["realtime_session_ended", "run_ended"]
        assert owner.events[-1].data["reason"] == "client_ended"
        assert owner.socket.closed == (1000, "the session has ended")
        assert under_test.gateway.sessions == {}


@asynccontextmanager
async def unreachable(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    raise OSError("unreachable")
    yield


async def test_a_service_that_cannot_be_reached_ends_the_run(autojump_clock: MockClock) -> None:
    async with open_test_gateway(connector=unreachable) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        owner = await under_test.attach(created, created.token)
        await owner.receive_all()
        assert owner.events[-1].type == "run_ended"
        assert owner.events[-1].data["reason"] == "connect_failed"
        assert under_test.gateway.admission.running == 0


@pytest.mark.parametrize("details", [False, True])
async def test_the_text_of_an_error_is_for_those_who_may_know_it(
    details: bool, autojump_clock: MockClock
) -> None:
    settings = GatewaySettings(error_details=details)
    seen: list[RpcEvent] = []
    async with open_test_gateway(
        connector=unreachable, settings=settings, on_event=seen.append
    ) as under_test:
        created = await under_test.gateway.create_session(tenant="acme")
        owner = await under_test.attach(created, created.token)
        await owner.send("text", text="Hello!", id="1")
        await owner.receive_all()
        assert "unreachable" in str(seen[-1].data)  # for metrics and the history
        received = [owner.events[-1].data["message"], owner.events[-1].data["error"]["message"]]
        assert [("unreachable" in text, text == HIDDEN) for text in received] == [
            *((details, not details), (details, not details)),
        ]


# --- failures -----------------------------------------------------------------------------------


async def test_a_crash_of_a_handler_ends_only_that_client(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_test_gateway() as under_test:
        healthy, broken = await under_test.call(), await under_test.call()

        def crash(*_: object) -> NoReturn:
            raise RuntimeError("a bug")

        session = under_test.gateway.find(broken.welcome["session_id"]).session
        monkeypatch.setattr(ManagedSession, "report_played", crash)
        with caplog.at_level(logging.ERROR):
            await broken.send("playback", item_id="item_1", content_index=0, played_ms=1)
            assert await closed_with(broken.socket) == (1011, "the server failed")
        assert "serving a client failed" in caplog.text
        assert session.end is None
        await healthy.send("text", text="Hello!")
        await healthy.receive_until("realtime_agent_end")


async def test_a_gateway_that_shuts_down_ends_its_sessions(autojump_clock: MockClock) -> None:
    async with open_test_gateway() as under_test:
        gateway = under_test.gateway
        first, second = await under_test.call(), await under_test.call()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(gateway.drain, 60))
            await wait_all_tasks_blocked()
            await first.send("end")
            await first.receive_all()
            assert second.socket.closed is None
        await second.receive_all()
        assert trio.current_time() >= 60
        assert first.events[-1].data["reason"] == "client_ended"
        assert second.events[-1].data["reason"] == "server_drain"
        assert gateway.admission.running == 0
