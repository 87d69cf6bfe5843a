"""Opening, leaving and losing a session: what comes out, how soon, and that nothing stays behind."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, NoReturn, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ModelRefused,
    NetworkError,
    PeerError,
    RealtimeError,
    SessionClosed,
    SessionExpired,
    SettingsRefused,
)
from trio_realtime.testing import (
    TEST_ENDPOINT,
    MemoryTransport,
    ScriptedPeer,
    memory_transport_pair,
)
from trio_realtime.transports import (
    Connector,
    Dial,
    DialFailed,
    DialTimeout,
    HandshakeRejected,
    Transport,
    TransportClosed,
)

Frame: TypeAlias = dict[str, Any]
PATIENCE = 600
"""Virtual seconds after which a test that hangs fails."""


def opened(
    connector: Connector, *tools: FunctionTool, **settings: Any
) -> AbstractAsyncContextManager[RealtimeSession[None]]:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", tools=tools)
    return open_realtime_session(
        agent, endpoint=TEST_ENDPOINT, transport=connector, config=SessionConfig(**settings)
    )


@asynccontextmanager
async def talk(
    connector: Connector, *tools: FunctionTool, **settings: Any
) -> AsyncIterator[RealtimeSession[None]]:
    with trio.fail_after(PATIENCE):
        async with opened(connector, *tools, **settings) as session:
            yield session


async def try_to_open(connector: Connector, **settings: Any) -> None:
    async with talk(connector, **settings):
        pytest.fail("the block must not run")


async def read_all(session: RealtimeSession[None], seen: list[str]) -> None:
    """Note the types of all events, to the end."""
    async for event in session:
        seen.append(event.type)  # noqa: PERF401 - what came before a failure counts


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


class BareWire:
    """A peer without manners: it says what it is told to and does nothing by itself.

    It neither reads nor answers a close, unless a test does so with :attr:`far`.
    """

    far: MemoryTransport

    def __init__(self, *, max_messages: int = 1000) -> None:
        self._max_messages = max_messages

    @asynccontextmanager
    async def connect(self, dial: Dial) -> AsyncIterator[Transport]:
        near, self.far = memory_transport_pair(
            max_messages=self._max_messages, close_timeout=dial.close_timeout
        )
        self.far.ignore_close()
        for kind in ("session.created", "session.updated"):
            await self.far.send(json.dumps({"type": kind, "session": {"type": "realtime"}}))
        try:
            yield near
        finally:
            await near.aclose()

    async def read_all(self) -> NoReturn:
        """Read what there is, until the connection is over."""
        while True:
            await self.far.receive()


@function_tool
async def endless() -> None:
    """Runs until it is cancelled."""
    await trio.sleep_forever()


async def start_tool(peer: ScriptedPeer, name: str = "endless") -> None:
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name)
    await wait_all_tasks_blocked()


# --- connecting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "error", "says"),
    [
        (HandshakeRejected(401, "Incorrect API key"), AuthenticationFailed, "Incorrect API key"),
        (HandshakeRejected(403, "not yours"), AuthenticationFailed, "403"),
        (HandshakeRejected(404, "DeploymentNotFound"), ModelRefused, "DeploymentNotFound"),
        (HandshakeRejected(503, "overloaded"), ConnectFailed, "overloaded"),
        (DialFailed("name not found"), ConnectFailed, "name not found"),
        (DialTimeout("no answer"), ConnectTimeout, "no answer"),
    ],
)
async def test_a_failed_dial_is_one_plain_error(
    failure: Exception, error: type[RealtimeError], says: str
) -> None:
    class Connecting(AbstractAsyncContextManager[Transport]):
        async def __aenter__(self) -> Transport:
            raise failure

        async def __aexit__(self, *_: object) -> None:
            pytest.fail("it was never entered")

    def connect(dial: Dial) -> Connecting:
        return Connecting()

    before = living()
    with pytest.raises(error, match=says) as caught:
        await try_to_open(connect)
    assert caught.type is error
    assert caught.value.__cause__ is failure
    assert living() == before
    if isinstance(failure, HandshakeRejected) and isinstance(caught.value, ConnectFailed):
        assert caught.value.status == failure.status


@pytest.mark.parametrize(
    ("code", "error_code", "error"),
    [
        (3000, "invalid_api_key", AuthenticationFailed),
        (3000, None, AuthenticationFailed),
        (4000, "invalid_model", ModelRefused),
        (4004, "model_not_found", ModelRefused),
        (4000, "beta_api_shape_disabled", PeerError),
        (1011, None, ConnectionLost),
        (1000, None, ConnectionLost),
    ],
)
async def test_a_service_that_accepts_and_then_refuses_is_told_apart(
    code: int, error_code: str | None, error: type[RealtimeError], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer(greet=False)
    if error_code is not None:
        peer.refuse(None, error_code, "what the service says")
    peer.close(code, "the reason")
    before = living()
    with pytest.raises(error) as caught:
        await try_to_open(peer.connect)
    assert caught.type is error
    assert ("what the service says" if error_code else "the reason") in str(caught.value)
    assert living() == before


async def test_refused_settings_come_out_with_the_services_words(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(acknowledge=False)

    async def refuse() -> None:
        await wait_all_tasks_blocked()
        frame = peer.received[0]
        error = {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "Invalid value: 'loud'.",
            "param": "session.audio.output.voice",
            "event_id": frame["event_id"],
        }
        peer.send({"type": "error", "error": error})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(SettingsRefused, match="Invalid value: 'loud'") as caught:
            await try_to_open(peer.connect, voice="loud")
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "session.audio.output.voice"
    assert peer.closed is not None


@pytest.mark.parametrize("greets", [True, False])
async def test_a_service_that_says_nothing_costs_the_connect_timeout(
    greets: bool, autojump_clock: MockClock
) -> None:
    """Silent from the start, or after its greeting."""
    peer = ScriptedPeer(greet=greets, acknowledge=False)
    before, began = living(), trio.current_time()
    with pytest.raises(ConnectTimeout, match="4 s"):
        await try_to_open(peer.connect, connect_timeout=4)
    assert trio.current_time() - began == pytest.approx(4)
    assert peer.sent_types() == ["session.update"] * greets
    assert living() == before


async def test_settings_are_sent_after_the_greeting_and_before_the_block(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", instructions="Be brief.")
    async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
        (update,) = peer.received
    assert update["session"]["type"] == "realtime"
    assert update["session"]["instructions"] == "Be brief."
    assert update["session"]["tools"] == []  # D18: always named, also none


async def test_a_sideband_connection_begins_without_a_greeting(autojump_clock: MockClock) -> None:
    """There, the first frame is ``session.updated``; it does not acknowledge what is sent later."""
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send({"type": "session.updated", "session": peer.session})

    async def acknowledge() -> None:
        await trio.sleep(3)
        peer.send({"type": "session.updated", "session": peer.session})

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        async with talk(peer.connect):
            assert trio.current_time() - began == pytest.approx(3)
    assert peer.sent_types() == ["session.update"]


async def test_a_cancellation_while_connecting_stays_one_and_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False)
    before = living()
    with trio.move_on_after(2) as scope:
        await try_to_open(peer.connect)
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert living() == before


# --- what leaves the block ---------------------------------------------------------------------


Scene: TypeAlias = Callable[[ScriptedPeer], Awaitable[None]]


async def idle(peer: ScriptedPeer) -> None:
    """Nothing goes on."""


async def tool_runs(peer: ScriptedPeer) -> None:
    await start_tool(peer)


async def connection_was_lost(peer: ScriptedPeer) -> None:
    peer.close(1011)
    await wait_all_tasks_blocked()


async def connection_is_being_lost(peer: ScriptedPeer) -> None:
    """The close is on its way when the block is left."""
    peer.close(1011)


async def tool_runs_and_connection_is_being_lost(peer: ScriptedPeer) -> None:
    await start_tool(peer)
    peer.close(1011)


scenes = pytest.mark.parametrize(
    "scene",
    [
        idle,
        tool_runs,
        connection_was_lost,
        connection_is_being_lost,
        tool_runs_and_connection_is_being_lost,
    ],
)


@scenes
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
async def test_an_exception_of_the_block_comes_out_bare(
    scene: Scene, kind: type[BaseException], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    own = kind("the block's own")
    before = living()

    async def fail_in_a_session() -> None:
        async with talk(peer.connect, endless):
            await scene(peer)
            raise own

    with pytest.raises(kind) as caught:
        await fail_in_a_session()
    assert caught.value is own
    assert own.__cause__ is None
    assert living() == before


@scenes
async def test_a_cancellation_from_outside_stays_one(
    scene: Scene, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    before = living()
    with trio.move_on_after(2) as scope:
        async with opened(peer.connect, endless):
            await scene(peer)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert living() == before


@scenes
async def test_leaving_leaves_nothing(scene: Scene, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    before = living()
    async with talk(peer.connect, endless) as session:
        await scene(peer)
    assert living() == before
    assert peer.closed is not None
    assert session.statistics().running_tools == 0


async def test_an_interrupt_from_the_keyboard_that_hits_a_tool_comes_out_bare(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def unlucky() -> None:
        """Where the interpreter happens to be when the key is pressed."""
        raise KeyboardInterrupt

    peer = ScriptedPeer()

    async def stay() -> None:
        async with talk(peer.connect, unlucky):
            await start_tool(peer, "unlucky")
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await stay()
    assert peer.closed is not None


async def test_a_tool_that_fails_while_it_is_stopped_does_not_disturb_the_exit(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def clumsy() -> None:
        """Breaks in its clean-up."""
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("broken clean-up")

    peer = ScriptedPeer()

    async def leave(error: Exception | None) -> None:
        async with talk(peer.connect, clumsy):
            await start_tool(peer, "clumsy")
            if error is not None:
                raise error

    await leave(None)
    assert "broken clean-up" in peer.received[-1]["item"]["output"]
    with pytest.raises(ZeroDivisionError):
        await leave(ZeroDivisionError())


# --- how long leaving takes --------------------------------------------------------------------


@pytest.mark.parametrize("close_timeout", [1, 0.2, 4])
async def test_a_peer_that_never_answers_the_close_costs_no_more_than_the_timeout(
    close_timeout: float, autojump_clock: MockClock
) -> None:
    peer = BareWire()
    async with talk(peer.connect, close_timeout=close_timeout):
        began = trio.current_time()
    assert trio.current_time() - began <= close_timeout


async def test_a_peer_that_never_reads_costs_no_more_than_the_timeout(
    autojump_clock: MockClock,
) -> None:
    peer = BareWire(max_messages=2)
    before = living()
    async with talk(peer.connect) as session:
        for _ in range(10):
            await session.send_message("Are you there?")
        await wait_all_tasks_blocked()
        assert session.statistics().outgoing_frames > 0
        began = trio.current_time()
    assert trio.current_time() - began <= 1
    assert living() == before
    with pytest.raises(TransportClosed) as closed:
        await peer.read_all()
    assert closed.value.code == 1000  # it was told, should it ever read


async def test_everything_bad_together_costs_no_more_than_the_timeout(
    autojump_clock: MockClock,
) -> None:
    """A tool that cleans up for longer than it may, a peer that neither reads nor answers."""

    @function_tool
    async def slow_to_stop() -> None:
        """Needs almost as long as there is."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.9)

    peer = BareWire(max_messages=2)
    async with talk(peer.connect, slow_to_stop) as session:
        item = {
            "id": "item_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": "slow_to_stop",
            "arguments": "{}",
        }
        frame = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
        await peer.far.send(json.dumps({**frame, "output_index": 0}))
        for _ in range(10):
            await session.send_message("Are you there?")
        await wait_all_tasks_blocked()
        assert session.statistics().running_tools == 1
        began = trio.current_time()
    assert trio.current_time() - began <= 1


async def test_leaving_by_a_cancellation_takes_no_longer(autojump_clock: MockClock) -> None:
    peer = BareWire(max_messages=2)
    with trio.move_on_after(5) as scope:
        began = trio.current_time()
        async with opened(peer.connect) as session:
            for _ in range(10):
                await session.send_message("Are you there?")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - began - 5 <= 1


async def test_the_connection_closes_in_time_though_a_tool_ignores_its_cancellation(
    autojump_clock: MockClock,
) -> None:
    """Nothing can stop such a tool, so the block waits for it; the service does not have to."""

    @function_tool
    async def stubborn() -> None:
        """Takes 30 s, whatever happens."""
        with trio.CancelScope(shield=True):
            await trio.sleep(30)

    peer = ScriptedPeer()
    closed_after: list[float] = []

    async def watch() -> None:
        began = trio.current_time()
        with pytest.raises(TransportClosed):
            await peer.next()
        closed_after.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        async with talk(peer.connect, stubborn):
            await start_tool(peer, "stubborn")
            nursery.start_soon(watch)
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(30)
    assert closed_after[0] <= 1


async def test_what_was_sent_before_the_exit_arrives(autojump_clock: MockClock) -> None:
    """The peer reads slowly and the wire takes two messages: all the same, everything, in order."""
    peer = BareWire(max_messages=2)
    texts: list[str] = []

    async def read_slowly() -> None:
        with suppress(TransportClosed):
            while True:
                frame = json.loads(await peer.far.receive())
                if frame["type"] == "conversation.item.create":
                    texts.append(frame["item"]["content"][0]["text"])
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery, talk(peer.connect) as session:
        nursery.start_soon(read_slowly)
        for number in range(10):
            await session.send_message(str(number), respond=False)
        assert session.statistics().outgoing_frames > 0
    assert texts == [str(number) for number in range(10)]


# --- the other side ends it --------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4321])
async def test_events_before_a_close_are_delivered_first_and_only_1000_is_a_plain_end(
    code: int, autojump_clock: MockClock
) -> None:
    peer = BareWire()
    seen: list[str] = []
    raised: list[RealtimeError] = []
    async with talk(peer.connect) as session:
        for number in range(3):
            response = {"id": f"resp_{number}", "object": "realtime.response"}
            await peer.far.send(json.dumps({"type": "response.created", "response": response}))
        if code == 1006:
            peer.far.drop()
        else:
            await peer.far.aclose(code, "going away")
        await wait_all_tasks_blocked()
        try:
            await read_all(session, seen)
        except RealtimeError as exc:
            raised.append(exc)
    assert seen.count("response_start") == 3
    if code == 1000:
        assert raised == []
    else:
        (error,) = raised
        assert type(error) is ConnectionLost
        assert error.code == code


async def test_after_the_end_every_consumer_gets_the_same_answer_again_and_again(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer.connect) as session:
        with session.subscribe(events.Audio) as early:
            peer.close(1011)
            await wait_all_tasks_blocked()
            with session.subscribe(events.Audio) as late:
                for channel in (early, late, early, late):
                    with pytest.raises(ConnectionLost):
                        await channel.receive()


async def test_a_session_that_expired_says_so(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with talk(peer.connect) as session:
        peer.refuse(None, "session_expired", "Your session hit the maximum duration of 60 minutes.")
        peer.close(1001)
        with pytest.raises(SessionExpired, match="60 minutes"):
            await read_all(session, [])


@pytest.mark.parametrize("code", [1000, 1011])
async def test_who_waits_or_sends_when_the_connection_is_gone_is_told_why(
    code: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    told: list[Exception] = []

    async def told_why(wait: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(NetworkError) as caught:
            await wait()
        told.append(caught.value)

    async with talk(peer.connect) as session, trio.open_nursery() as nursery:
        handle = await session.create_response()
        nursery.start_soon(told_why, handle.wait)
        nursery.start_soon(told_why, lambda: session.ask("Hello?"))
        nursery.start_soon(told_why, session.drain)
        await wait_all_tasks_blocked()
        peer.close(code, "gone fishing")
        await wait_all_tasks_blocked()
        nursery.start_soon(told_why, lambda: session.send_message("Hello?"))
        nursery.start_soon(told_why, lambda: session.send_audio(b"\0\0"))
        nursery.start_soon(told_why, session.interrupt)
    assert len(told) == 6
    assert all(isinstance(error, ConnectionLost) for error in told)
    assert all(error.code == code for error in told if isinstance(error, ConnectionLost))
    assert all("gone fishing" in str(error) for error in told)


async def test_a_lost_connection_stops_the_tools(autojump_clock: MockClock) -> None:
    """Nobody is left whom they could answer."""
    peer = ScriptedPeer()
    async with talk(peer.connect, endless) as session:
        await start_tool(peer)
        assert session.statistics().running_tools == 1
        peer.close(1011)
        await wait_all_tasks_blocked()
        assert session.statistics().running_tools == 0


async def test_a_lost_connection_does_not_disturb_who_does_not_ask(
    autojump_clock: MockClock,
) -> None:
    """The block is the user's: it ends when it ends."""
    peer = ScriptedPeer()
    async with talk(peer.connect):
        peer.close(1011)
        await trio.sleep(60)


# --- this side ends it -------------------------------------------------------------------------


async def test_closing_twice_and_at_once_is_closing(autojump_clock: MockClock) -> None:
    peer = BareWire()
    async with talk(peer.connect) as session:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(session.aclose)
        await session.aclose()
    assert trio.current_time() - began <= 1


async def test_after_closing_everything_says_that_the_session_was_closed(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with talk(peer.connect) as session:
        handle = await session.create_response()
    uses: list[Callable[[], Awaitable[Any]]] = [
        lambda: session.send_message("Hello"),
        lambda: session.send_audio(b"\0\0"),
        session.commit_audio,
        session.clear_audio,
        session.create_response,
        lambda: session.ask("Hello"),
        session.interrupt,
        session.drain,
        handle.wait,
    ]
    for use in uses:
        with pytest.raises(SessionClosed):
            await use()
    await session.aclose()
    await read_all(session, [])
    with pytest.raises(trio.EndOfChannel):
        await session.events.receive()
    assert session.history == ()
    handle.cancel()


async def test_closing_wakes_whoever_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    ended: list[str] = []

    async def consume(session: RealtimeSession[None]) -> None:
        async for _ in session:
            pass
        ended.append("consumer")

    async def wait(session: RealtimeSession[None]) -> None:
        with pytest.raises(SessionClosed):
            await session.ask("Hello")
        ended.append("asker")

    async with talk(peer.connect) as session, trio.open_nursery() as nursery:
        nursery.start_soon(consume, session)
        nursery.start_soon(wait, session)
        await wait_all_tasks_blocked()
        await session.aclose()
    assert sorted(ended) == ["asker", "consumer"]


async def test_a_session_writes_nothing_to_the_logs_of_its_user_when_all_is_well(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    with caplog.at_level(logging.INFO):
        async with talk(peer.connect, endless):
            await start_tool(peer)
    assert caplog.records == []
