"""Sessions on asyncio, with the local server in memory. Trio's thread runs in real time."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest
import trio

from trio_realtime import (
    PCM24K,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    errors,
    events,
    function_tool,
)
from trio_realtime.local import Call, LocalConnector, Pause, Say, ScriptedResponder, local_connector
from trio_realtime.server.asyncio_bridge import AsyncioBridge, AsyncioSession, asyncio_tool
from trio_realtime.server.asyncio_bridge.crossing import Outcome, Returned, wait_outcome
from trio_realtime.session import EventChannel
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import ConnectOptions

T = TypeVar("T")
TIMEOUT = 30


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run a program on asyncio that leaves no task and no thread behind."""

    async def checked() -> T:
        async with asyncio.timeout(TIMEOUT):
            result = await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    result = asyncio.run(checked())
    assert bridge_threads() == []
    return result


def bridge_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "bridge" in thread.name]


def service(*script: Any, **settings: Any) -> LocalConnector:
    if script:
        settings["responder"] = ScriptedResponder(script)
    return local_connector(pacing=float("inf"), **settings)


@asynccontextmanager
async def open_session(
    bridge: AsyncioBridge,
    server: LocalConnector,
    *tools: FunctionTool,
    config: SessionConfig | None = None,
    **settings: Any,
) -> AsyncGenerator[AsyncioSession[None]]:
    agent = RealtimeAgent[None](name="Assistant", tools=tools, **settings)
    async with bridge.open_session(
        agent, endpoint=server.endpoint, transport=server, config=config
    ) as session:
        yield session


# --- the session's methods


def test_a_conversation() -> None:
    async def main() -> None:
        server = service(Say("Hello!"), Say("Bye!"))
        async with AsyncioBridge() as bridge, open_session(bridge, server) as session:
            assert "AsyncioSession" in repr(session)
            assert (await session.ask("Hi")).text == "Hello!"
            await session.send_message("And now?")
            seen: list[str] = []
            async for event in session:
                seen.append(event.type)
                if isinstance(event, events.AgentEnd) and event.output == "Bye!":
                    break
            assert seen.count("agent_start") == 2
            assert [item.type for item in await session.history()] == ["message"] * 4
            assert session.usage.output_tokens > 0
            assert session.end is None
            await session.aclose()
            assert session.end is not None
            rest = [event async for event in session]
            assert isinstance(rest[-1], events.SessionEnded)
            with pytest.raises(errors.SessionClosed):
                await session.send_audio(bytes(960))

    run(main)


def test_every_public_member_of_a_session_is_there() -> None:
    def names(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert names(RealtimeSession) <= names(AsyncioSession)


def test_methods_have_the_arguments_of_the_session() -> None:
    for name, method in inspect.getmembers(RealtimeSession, inspect.iscoroutinefunction):
        if not name.startswith("_") and name != "update_agent":
            there = inspect.signature(getattr(AsyncioSession, name)).parameters
            assert there == inspect.signature(method).parameters


def test_state_and_responses() -> None:
    async def main() -> None:
        server = service(Say("One."), Pause(float("inf")), Say("Three."))
        async with AsyncioBridge() as bridge, open_session(bridge, server) as session:
            response = await session.create_response(instructions="Speak.")
            assert (await response).text == "One."
            assert response.is_done
            waiting = await session.create_response()
            await waiting.cancel()
            with pytest.raises(errors.ResponseFailed):
                await waiting.wait()
            await session.mute(True)
            assert session.is_muted
            other = RealtimeAgent[None](name="Other")
            await session.update_agent(other)
            assert session.current_agent is other
            assert session.context is None
            assert session.input_format == session.output_format == PCM24K
            assert (await session.statistics()).running_tools == 0
            await session.interrupt()
            with pytest.raises(errors.UsageError, match="voices"):
                await session.update_settings(voices="x")  # type: ignore[call-arg]

    run(main)


def test_playback_is_reported() -> None:
    async def main() -> None:
        server = service(Say("Hello!", audio_ms=2000))
        async with AsyncioBridge() as bridge, open_session(bridge, server) as session:
            await session.send_message("Hi")
            async for event in session:
                if isinstance(event, events.Audio):
                    await session.playback.played(event.item_id, 0, 50)
                    assert await session.playback.position(event.item_id) == 50
                if isinstance(event, events.AudioEnd):
                    break
            assert await session.playback.remaining() == pytest.approx(1.95)
            await session.playback.stop_reports()
            assert await session.playback.remaining() == 0

    run(main)


def test_subscriptions_and_paced_audio() -> None:
    async def main() -> None:
        server = service(Say("Hello!", audio_ms=100))
        async with AsyncioBridge() as bridge, open_session(bridge, server) as session:
            async with session.subscribe(events.AgentEnd) as ends, session.paced_audio() as frames:
                await session.send_message("Hi")
                assert [len((await frames.receive()).data) for _ in range(5)] == [960] * 5
                assert (await ends.receive()).output == "Hello!"
                assert (await ends.statistics()).buffered_events == 0
            with pytest.raises(trio.ClosedResourceError):
                await ends.receive()
            with pytest.raises(errors.UsageError, match="event class"):
                async with session.subscribe(int):  # type: ignore[type-var]
                    pass

    run(main)


@pytest.mark.parametrize("method", ["subscribe", "paced_audio"])
def test_a_channel_whose_opening_is_cancelled_is_closed_on_trio(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[EventChannel[Any]] = []
    closed_in: list[str] = []
    close = EventChannel.close

    def record_close(channel: EventChannel[Any]) -> None:
        if channel in opened:
            closed_in.append(threading.current_thread().name)
        close(channel)

    monkeypatch.setattr(EventChannel, "close", record_close)

    async def main() -> None:
        async with AsyncioBridge() as bridge, open_session(bridge, service()) as session:
            bus = session.trio_session._runtime.bus
            open_channel = bus.open_channel
            loop = asyncio.get_running_loop()

            def open_and_cancel(*args: Any, **options: Any) -> EventChannel[Any]:
                opened.append(open_channel(*args, **options))
                loop.call_soon_threadsafe(task.cancel)  # before the channel arrives
                return opened[-1]

            monkeypatch.setattr(bus, "open_channel", open_and_cancel)

            async def consume() -> None:
                async with getattr(session, method)():
                    pass

            task = asyncio.create_task(consume())
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (len(opened), closed_in) == (1, ["trio_realtime bridge"])

    run(main)


def test_a_tool_waits_for_approval() -> None:
    @function_tool(needs_approval=True)
    async def refund(order: int) -> str:
        """Refund an order."""
        return f"refunded {order}"

    async def main() -> None:
        script = [
            Call("refund", {"order": 1}),
            Say("Done."),
            Call("refund", {"order": 2}),
            Say("No."),
        ]
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(*script), refund) as session,
            asyncio.TaskGroup() as group,
        ):

            async def decide() -> list[str]:
                outputs: list[str] = []
                async for event in session:
                    match event:
                        case events.ToolApprovalRequired(call_id=call_id):
                            if outputs:
                                assert await session.reject_tool_call(call_id, message="no")
                            else:
                                assert await session.approve_tool_call(call_id)
                        case events.ToolEnd(output_text=text):
                            outputs.append(text)
                        case _:
                            pass
                    if len(outputs) == 2:
                        break
                return outputs

            decisions = group.create_task(decide())
            assert (await session.ask("Refund 1")).text == "Done."
            assert (await session.ask("Refund 2")).text == "No."
            assert await decisions == ["refunded 1", "no"]

    run(main)


# --- back-pressure


@pytest.mark.parametrize("overflow", ["fail", "drop_oldest_audio"])
def test_a_slow_consumer_is_bounded_by_the_policy_of_the_session(overflow: Any) -> None:
    async def main() -> None:
        config = SessionConfig(max_buffered_audio=48_000, overflow=overflow)
        server = service(Say("Hello!", audio_ms=20_000))
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, server, config=config) as session,
        ):
            async with session.subscribe(events.AgentEnd, overflow="fail") as ends:
                await session.send_message("Hi")
                await ends.receive()
            assert (await session.statistics()).events.buffered_audio <= 48_000
            audio = 0
            with pytest.raises(errors.ConsumerTooSlow) if overflow == "fail" else no_error():
                async for event in session:
                    if isinstance(event, events.Audio):
                        audio += len(event.data)
                    if isinstance(event, events.AgentEnd):
                        break
            # One event may have crossed before.
            assert audio <= 2 * 48_000

    run(main)


class no_error:  # noqa: N801 - as a function
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_the_history_of_an_event_is_safe_to_read() -> None:
    async def main() -> None:
        async with AsyncioBridge() as bridge, open_session(bridge, service(Say("a"))) as session:
            await session.ask("Hi")
            updates: list[events.HistoryUpdated] = []
            async for event in session:
                if isinstance(event, events.HistoryUpdated):
                    updates.append(event)
                if isinstance(event, events.AgentEnd):
                    break
            assert not any(update.shares_text for update in updates)
            assert updates[-1].history[-1].type == "message"

    run(main)


# --- cancellation and exceptions


def test_a_cancelled_call_is_cancelled_on_trio() -> None:
    async def main() -> None:
        started, ended = asyncio.Event(), []
        loop = asyncio.get_running_loop()

        async def wait() -> None:
            try:
                loop.call_soon_threadsafe(started.set)
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()
                ended.append(True)

        async with AsyncioBridge() as bridge:
            task = asyncio.create_task(bridge.run(wait))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == [True]
            task = asyncio.create_task(bridge.run(wait))
            await asyncio.sleep(0)
            task.cancel()  # perhaps before trio has started it
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


def test_a_task_that_is_cancelled_again_and_again_tells_trio_once() -> None:
    """As anyio does until the task has ended: each message would wake trio."""

    async def main() -> None:
        future: asyncio.Future[Outcome[None]] = asyncio.get_running_loop().create_future()
        messages: list[str] = []
        task = asyncio.create_task(wait_outcome(future, lambda: messages.append("cancel")))
        for _ in range(5):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        future.set_result(Returned(None))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert messages == ["cancel"]

    run(main)


def test_cancelling_a_receive_loses_no_event() -> None:
    async def main() -> None:
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(Say("Hello!", audio_ms=300))) as session,
            session.subscribe() as reference,
        ):
            task = asyncio.create_task(session.ask("Hi"))
            expected: list[events.AnyEvent] = []
            async for event in reference:
                expected.append(event)
                if isinstance(event, events.AgentEnd):
                    break
            await task
            received: list[events.AnyEvent] = []
            while not received or received[-1] != expected[-1]:
                receiving = asyncio.create_task(session.events.receive())
                await asyncio.sleep(0)
                receiving.cancel()
                try:
                    received.append(await receiving)
                except asyncio.CancelledError:  # noqa: ASYNC103 - of the other task
                    received.append(await session.events.receive())  # noqa: ASYNC102
            assert received[-len(expected) :] == expected

    run(main)


def test_a_timeout_around_a_receive_works() -> None:
    async def main() -> None:
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service()) as session,
            session.subscribe(events.AgentEnd) as ends,
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await ends.receive()
            await session.ask("Hi")
            assert (await ends.receive()).status == "completed"

    run(main)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LookupError("a bug"),
        lambda: ExceptionGroup("several", [LookupError("a"), ValueError("b")]),
        StopAsyncIteration,
        trio.EndOfChannel,
    ],
)
def test_an_exception_of_the_block_closes_the_session_and_comes_out_unchanged(
    make: Callable[[], Exception],
) -> None:
    async def main() -> None:
        failure = make()
        async with AsyncioBridge() as bridge:
            with pytest.raises(type(failure)) as caught:
                async with open_session(bridge, service()) as session:
                    raise failure
            assert caught.value is failure
            assert session.end is not None
            assert (session.end.reason, session.end.error) == ("block_raised", failure)
            assert "_hold" not in [entry.name for entry in caught.traceback]

    run(main)


def test_a_cancelled_block_closes_the_session_as_cancelled() -> None:
    async def main() -> None:
        opened = asyncio.Event()
        sessions: list[AsyncioSession[None]] = []

        async def hold(bridge: AsyncioBridge) -> None:
            async with open_session(bridge, service()) as session:
                sessions.append(session)
                opened.set()
                await asyncio.sleep(TIMEOUT)

        async with AsyncioBridge() as bridge:
            task = asyncio.create_task(hold(bridge))
            await opened.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            end = sessions[0].end
            assert end is not None
            assert end.reason == "cancelled"

    run(main)


def test_opening_can_be_cancelled() -> None:
    async def main() -> None:
        peer = ScriptedPeer(greet=False)
        agent = RealtimeAgent[None](name="Assistant")
        async with AsyncioBridge() as bridge:
            with pytest.raises(TimeoutError):
                async with (
                    asyncio.timeout(0.05),
                    bridge.open_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect),
                ):
                    pytest.fail("it was opened")

    run(main)


def test_exceptions_of_opening_come_out() -> None:
    async def main() -> None:
        server = service(api_keys={"right"})
        agent = RealtimeAgent[None](name="Assistant")
        async with AsyncioBridge() as bridge:
            with pytest.raises(errors.ConfigurationError):
                async with bridge.open_session(agent, endpoint="ws://"):  # type: ignore[call-overload]
                    pass
            with pytest.raises(errors.AuthenticationFailed):
                async with bridge.open_session(agent, endpoint=TEST_ENDPOINT, transport=server):
                    pass
            async with open_session(bridge, service(Say("Still there."))) as session:
                assert (await session.ask("Hi")).text == "Still there."

    run(main)


@pytest.mark.parametrize("notices", [True, False])
def test_a_lost_session_raises_where_it_is_noticed_or_at_the_end(notices: bool) -> None:
    async def main() -> None:
        peer = ScriptedPeer()
        agent = RealtimeAgent[None](name="Assistant")
        config = SessionConfig(reconnect=None)
        async with AsyncioBridge() as bridge:

            async def close() -> None:
                peer.close(4000, "gone")

            with pytest.raises(errors.ClosedByService):
                async with bridge.open_session(
                    agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
                ) as session:
                    async with session.subscribe(events.SessionEnded) as ends:
                        await bridge.run(close)
                        await ends.receive()
                    if notices:
                        async for _ in session:
                            pass
                        pytest.fail("it has ended normally")

    run(main)


# --- the end of the bridge


def test_closing_the_bridge_ends_the_sessions_of_other_tasks() -> None:
    async def main() -> None:
        opened = asyncio.Event()
        reasons: list[str] = []

        async def follow(bridge: AsyncioBridge) -> None:
            async with open_session(bridge, service()) as session:
                opened.set()
                async for _ in session:
                    pass
                assert session.end is not None
                reasons.append(session.end.reason)
                with pytest.raises(errors.SessionClosed):
                    await session.send_message("Hi")

        async def wait(bridge: AsyncioBridge) -> None:
            with pytest.raises(errors.SessionClosed, match="bridge"):
                await bridge.run(trio.sleep_forever)

        async with asyncio.TaskGroup() as group, AsyncioBridge() as bridge:
            group.create_task(follow(bridge))
            group.create_task(wait(bridge))
            await opened.wait()
        assert reasons == ["closed"]
        with pytest.raises(errors.SessionClosed, match="bridge"):
            await bridge.run(trio.sleep, 0)
        with pytest.raises(errors.SessionClosed, match="bridge"):
            async with open_session(bridge, service()):
                pass

    run(main)


def test_closing_the_bridge_stops_a_session_that_is_opening() -> None:
    async def main() -> None:
        peer = ScriptedPeer(greet=False)
        agent = RealtimeAgent[None](name="Assistant")
        connecting, loop = asyncio.Event(), asyncio.get_running_loop()

        def connect(options: ConnectOptions) -> Any:
            loop.call_soon_threadsafe(connecting.set)
            return peer.connect(options)

        async def hold(bridge: AsyncioBridge) -> None:
            with pytest.raises(errors.SessionClosed, match="bridge"):
                async with bridge.open_session(agent, endpoint=TEST_ENDPOINT, transport=connect):
                    pytest.fail("it was opened")

        async with asyncio.TaskGroup() as group, AsyncioBridge() as bridge:
            group.create_task(hold(bridge))
            await connecting.wait()

    run(main)


def test_the_bridge_can_be_cancelled_at_any_moment() -> None:
    async def use() -> None:
        async with AsyncioBridge() as bridge, open_session(bridge, service()) as session:
            await session.ask("Hi")

    async def main() -> None:
        for steps in range(40):
            task = asyncio.create_task(use())
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.wait([task])
            assert bridge_threads() == []
            assert task.cancelled() or task.exception() is None

    run(main)


def test_a_keyboard_interrupt_closes_everything() -> None:
    """As asyncio.run handles it: the main task is cancelled."""
    sessions: list[AsyncioSession[None]] = []

    async def main() -> None:
        async with AsyncioBridge() as bridge, open_session(bridge, service()) as session:
            sessions.append(session)
            asyncio.get_running_loop().call_soon(raise_interrupt)
            await asyncio.sleep(TIMEOUT)

    def raise_interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert bridge_threads() == []
    end = sessions[0].end
    assert end is not None
    assert end.reason == "cancelled"


CRASH = """
import asyncio, contextlib, trio
from trio_realtime import RealtimeAgent, errors
from trio_realtime.local import local_connector
from trio_realtime.server.asyncio_bridge import AsyncioBridge

async def crash():
    trio.lowlevel.reschedule(trio.lowlevel.current_task())

async def main():
    service = local_connector()
    agent = RealtimeAgent(name="Assistant")
    try:
        async with AsyncioBridge() as bridge:
            waiting = asyncio.create_task(bridge.run(trio.sleep_forever))
            async with bridge.open_session(
                agent, transport=service, endpoint=service.endpoint
            ) as session:
                receiving = asyncio.create_task(session.events.receive())
                await receiving
                with contextlib.suppress(errors.SessionClosed):
                    await bridge.run(crash)
                for task in (waiting, asyncio.create_task(session.send_message("Hi"))):
                    try:
                        await task
                    except errors.SessionClosed:
                        print("closed")
    except errors.SessionClosed:
        print("the session is closed")
    except trio.TrioInternalError:
        print("crashed")

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_crash_of_trio_raises_everywhere_and_hangs_nothing() -> None:
    """In a process of its own: what a crash leaves behind cannot be cleaned up."""
    result = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["closed", "closed", "crashed"]


ABANDONED = """
import asyncio
from trio_realtime import RealtimeAgent
from trio_realtime.local import local_connector
from trio_realtime.server.asyncio_bridge import AsyncioBridge

bridge = AsyncioBridge()
service = local_connector()
manager = None

async def main():
    global manager
    await bridge.__aenter__()
    manager = bridge.open_session(
        RealtimeAgent(name="Assistant"), transport=service, endpoint=service.endpoint
    )
    session = await manager.__aenter__()
    print((await session.ask("Hi")).text)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
print("the loop is closed")
"""


@pytest.mark.slow
def test_a_program_whose_loop_ends_without_leaving_the_bridge_can_exit() -> None:
    result = subprocess.run(
        [sys.executable, "-c", ABANDONED], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["You said: Hi", "the loop is closed"]


def test_leaving_that_asyncio_abandons_does_not_wait_for_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the loop is closed while a tool never ends: the program must be able to exit."""
    joined: list[bool] = []

    async def main() -> None:
        bridge = AsyncioBridge()
        await bridge.__aenter__()
        thread, is_free = bridge._thread, threading.Event()
        assert thread is not None
        bridge._side().post(is_free.wait)  # trio's thread does not end before
        with monkeypatch.context() as patch:
            patch.setattr(thread, "join", lambda: joined.append(True))
            leaving = bridge.__aexit__(None, None, None)
            leaving.send(None)
            leaving.close()
        is_free.set()
        thread.join()

    run(main)
    assert joined == []


def test_a_bridge_is_entered_once() -> None:
    async def main() -> None:
        bridge = AsyncioBridge()
        with pytest.raises(errors.UsageError, match="enter the bridge"):
            await bridge.run(trio.sleep, 0)
        async with bridge:
            assert await bridge.run(trio.sleep, 0) is None  # type: ignore[func-returns-value]
        with pytest.raises(errors.UsageError, match="used once"):
            async with bridge:
                pass

    run(main)


def test_exceptions_and_results_of_functions_cross() -> None:
    class Odd(BaseException):
        pass

    async def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        async with AsyncioBridge() as bridge:
            for error in (ValueError("x"), Odd("y"), trio.WouldBlock()):
                with pytest.raises(type(error)) as caught:
                    await bridge.run(fail, error)
                assert caught.value is error

            async def add(a: int, b: int) -> int:
                return a + b

            assert await asyncio.gather(*(bridge.run(add, n, 1) for n in range(100))) == list(
                range(1, 101)
            )

    run(main)


# --- tools on asyncio

user: ContextVar[str] = ContextVar("user", default="nobody")


def asyncio_tools() -> Sequence[FunctionTool]:
    """Tools that run on asyncio, and need it."""

    @function_tool
    @asyncio_tool
    async def lookup(number: int) -> str:
        """Look up an order.

        Args:
            number: the number of the order.
        """
        await asyncio.sleep(0)
        user.set(user.get() + "!")
        return f"{user.get()} {number} {threading.current_thread() is threading.main_thread()}"

    @function_tool
    @asyncio_tool
    async def fail() -> str:
        """Fail."""
        await asyncio.sleep(0)
        raise LookupError("no such order")

    return [lookup, fail]


def test_a_tool_runs_on_asyncio_with_its_context_variables() -> None:
    async def main() -> None:
        lookup, fail = asyncio_tools()
        assert lookup.description == "Look up an order."
        script = [
            *([Call("lookup", {"number": 1}), Call("fail")], Say("ok")),
            *(Call("lookup", {"number": 2}), Say("ok")),
        ]
        user.set("Ann")
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(*script), lookup, fail) as session,
            session.subscribe(events.ToolEnd) as ends,
        ):
            await session.ask("Look up 1")
            await session.ask("Look up 2")
            results = [await ends.receive() for _ in range(3)]
            outputs = {result.output_text for result in results if result.outcome == "completed"}
            assert outputs == {"Ann! 1 True", "Ann! 2 True"}
            (failed,) = [result for result in results if result.outcome == "failed"]
            assert isinstance(failed.error, LookupError)
        assert user.get() == "Ann"

    run(main)


def test_an_interruption_cancels_the_task_of_a_tool() -> None:
    async def main() -> None:
        started = asyncio.Event()
        steps: list[str] = []

        @function_tool
        @asyncio_tool
        async def wait() -> str:
            """Wait."""
            started.set()
            try:
                await asyncio.sleep(TIMEOUT)
            finally:
                await asyncio.sleep(0)  # noqa: ASYNC102 - asyncio cancels a task once
                steps.append("cleaned up")
            return ""

        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(Call("wait"), Say("ok")), wait) as session,
            session.subscribe(events.ToolCancelled) as cancelled,
        ):
            await session.send_message("Wait")
            await started.wait()
            await session.interrupt()
            steps.append("interrupted")
            assert (await cancelled.receive()).tool_name == "wait"
        assert steps == ["cleaned up", "interrupted"]

    run(main)


def test_a_task_that_asyncio_cancels_fails_its_call() -> None:
    async def main() -> None:
        @function_tool
        @asyncio_tool
        async def give_up() -> str:
            """Give up."""
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(TIMEOUT)
            return ""

        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(Call("give_up"), Say("ok")), give_up) as session,
            session.subscribe(events.ToolEnd) as ends,
        ):
            assert (await session.ask("Hi")).text == "ok"
            end = await ends.receive()
            assert (end.outcome, str(end.error)) == ("failed", "asyncio has cancelled the task")

    run(main)


@pytest.mark.parametrize("method", ["end_call", "interrupt", "drain"])
def test_a_tool_on_asyncio_may_call_its_session(method: str) -> None:
    """The session knows that the call comes from a tool, so it does not wait for that tool."""

    async def main() -> None:
        sessions: list[AsyncioSession[None]] = []
        results: list[Any] = []

        @function_tool
        @asyncio_tool
        async def use_session() -> str:
            """Use the session."""
            try:
                results.append(await getattr(sessions[0], method)())
            except errors.UsageError as exc:
                results.append(exc)
            return ""

        script = [Call("use_session"), Say("Bye.", audio_ms=20), Say("Bye.", audio_ms=20)]
        async with (
            AsyncioBridge() as bridge,
            open_session(bridge, service(*script), use_session) as session,
        ):
            sessions.append(session)
            await session.send_message("Hi")
            if method == "end_call":
                async for _ in session:
                    pass
                assert session.end is not None
                assert session.end.reason == "end_call"
                return
            async with session.subscribe(events.AgentEnd) as ends:
                await ends.receive()
        if method == "drain":
            assert isinstance(results[0], errors.UsageError)

    run(main)


async def test_a_tool_on_asyncio_needs_a_bridge() -> None:
    @asyncio_tool
    async def tool() -> str:
        return ""

    with pytest.raises(errors.UsageError, match="AsyncioBridge"):
        await tool()


# --- other loops and threads


@pytest.mark.parametrize("call", ["run", "open_session", "method", "receive", "leave"])
def test_a_bridge_belongs_to_one_loop(call: str) -> None:
    """A wait on another loop would not be woken. The call must not be carried out either."""

    async def main() -> None:
        sent: list[int] = []

        async def send() -> None:
            sent.append(1)

        async def misuse(bridge: AsyncioBridge, session: AsyncioSession[None]) -> None:
            match call:
                case "run":
                    await bridge.run(send)
                case "open_session":
                    async with open_session(bridge, service()):
                        sent.append(1)
                case "method":
                    await session.call(send)
                case "receive":
                    await session.events.receive()
                case _:
                    await bridge.__aexit__(None, None, None)

        async with AsyncioBridge() as bridge, open_session(bridge, service()) as session:
            # A receive that waits belongs to the right loop, and goes on.
            receiving = asyncio.create_task(session.events.receive())
            await asyncio.sleep(0)
            with pytest.raises(errors.UsageError, match="loop of asyncio"):
                await asyncio.to_thread(asyncio.run, misuse(bridge, session))
            assert isinstance(await receiving, events.SessionEvent)
            await session.statistics()
        assert sent == []

    run(main)


async def test_a_bridge_is_not_used_on_trio() -> None:
    """Trio code uses the session itself."""
    bridge = AsyncioBridge()

    async def main() -> None:
        async with bridge:
            with pytest.raises(errors.UsageError, match="loop of asyncio"):
                await bridge.run(misuse)

    async def misuse() -> None:
        await bridge.run(trio.sleep, 0)

    await trio.to_thread.run_sync(asyncio.run, main())
