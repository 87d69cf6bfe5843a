"""The life of a managed session, and what goes wrong in it."""

from __future__ import annotations

import math
import threading
import wave
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.cancellation import (
    StepTrigger,
    cancel_after_steps,
    for_every_step,
    installed,
)
from support.gateway import make_spec
from trio_realtime import McpServerStdio, RealtimeError, SessionConfig, function_tool
from trio_realtime.errors import ConfigurationError, ConnectFailed, UsageError
from trio_realtime.local import Say, ScriptedResponder, ServerConfigDict, local_connector
from trio_realtime.server.managed import ManagedSession, SessionStores
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.store import Row, open_history_store
from trio_realtime.transports import ConnectOptions, Connector, Transport

LONG_ANSWER = "one two three four five six seven eight nine ten " * 10


def make_session(
    *tools: Any,
    spec: AgentSpec | None = None,
    config: SessionConfig | None = None,
    server: ServerConfigDict | None = None,
    connector: Connector | None = None,
    **options: Any,
) -> ManagedSession:
    """Return a session on a local server in memory."""
    local = local_connector(**(server or {}))
    return ManagedSession(
        spec or make_spec(*tools, config=config),
        endpoint=local.endpoint,
        connector=connector or local,
        **options,
    )


@asynccontextmanager
async def unreachable(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.lowlevel.checkpoint()
    raise OSError("unreachable")
    yield


@asynccontextmanager
async def never_connects(_options: ConnectOptions) -> AsyncGenerator[Transport]:
    await trio.sleep_forever()
    yield


@asynccontextmanager
async def no_task_left() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery in which no task runs at the end of the block."""
    with trio.fail_after(600):
        async with trio.open_nursery() as nursery:
            yield nursery
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks


def events_of(session: ManagedSession) -> list[RpcEvent]:
    """Return all events of a session that has ended, without waiting."""
    log = session._events._log
    events: list[RpcEvent] = []
    for seq in range(log.first_seq - 1, log.last_seq):
        event = log.item_after(seq)
        assert isinstance(event, RpcEvent)
        events.append(event)
    return events


def check_end(session: ManagedSession, by: str, reason: str) -> list[RpcEvent]:
    """Check how the run ended, and that its last event says so, once. Return its events."""
    assert session.end is not None
    assert (session.end.by, session.end.reason) == (by, reason)
    assert session.state == "ended"
    events = events_of(session)
    types = [event.type for event in events]
    assert types[0] == "run_started"
    assert types[-1] == "run_ended"
    assert types.count("run_started") == types.count("run_ended") == 1
    assert [event.seq for event in events] == list(range(events[0].seq, events[-1].seq + 1))
    assert (events[-1].data["by"], events[-1].data["reason"]) == (by, reason)
    assert {event.run_id for event in events} == {session.run_id}
    return events


async def receive_until(session: ManagedSession, type_: str, after: int = 0) -> RpcEvent:
    async for event in session.stream_events(after):
        assert isinstance(event, RpcEvent)
        if event.type == type_:
            return event
    raise AssertionError(f"there was no {type_}")


# --- the life of a run --------------------------------------------------------------------------


async def test_the_steps_of_a_run(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        assert (session.state, session.end, session.run_id) == ("new", None, "")
        run_id = await session.start()
        assert (session.state, session.run_id) == ("started", run_id)
        await session.connect()
        assert session.state == "connected"
        await session.send_text("Hello!")
        end = await receive_until(session, "realtime_agent_end")
        assert end.data["output"] == "You said: Hello!"
        await trio.sleep(30)
        ended = await session.stop()
        assert ended is session.end
        assert ended.duration == pytest.approx(trio.current_time())
        assert ended.error is None
        events = check_end(session, "application", "stopped")
        assert [event.type for event in events[:2]] == ["run_started", "run_connected"]
        assert events[-2].type == "realtime_session_ended"


async def test_a_block_runs_the_session(autojump_clock: MockClock) -> None:
    async with no_task_left():
        async with make_session().managed() as session:
            assert session.state == "connected"
        check_end(session, "application", "stopped")


async def test_every_reader_gets_every_event(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        received: list[list[int]] = []

        async def read(session: ManagedSession, delay: float) -> None:
            seqs: list[int] = []
            async for event in session.stream_events():
                assert isinstance(event, RpcEvent)
                seqs.append(event.seq)
                await trio.sleep(delay)
            received.append(seqs)

        async with make_session().managed() as session:
            nursery.start_soon(read, session, 0)
            nursery.start_soon(read, session, 0.5)
            await session.send_text("Hello!")
            await receive_until(session, "realtime_agent_end")
        await trio.sleep(500)
        assert received[0] == received[1] == [event.seq for event in events_of(session)]


async def test_a_session_is_started_once(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        with pytest.raises(UsageError, match="called before, and the session is started"):
            await session.start()
        await session.connect()
        for step in (session.start, session.connect):
            with pytest.raises(UsageError, match="the session is connected"):
                await step()
        with pytest.raises(UsageError, match="the session is connected"):
            async with session.managed():
                pass
        assert session.end is None
        await session.stop()
        for step in (session.start, session.connect):
            with pytest.raises(UsageError, match="the session is ended"):
                await step()
        check_end(session, "application", "stopped")


async def test_of_two_starts_at_once_one_is_refused(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        refused: list[UsageError] = []

        async def start() -> None:
            try:
                await session.start()
            except UsageError as exc:
                refused.append(exc)

        async with trio.open_nursery() as starting:
            starting.start_soon(start)
            starting.start_soon(start)
        assert len(refused) == 1
        await session.connect()
        await session.stop()
        check_end(session, "application", "stopped")


async def test_of_two_connects_at_once_one_is_refused(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        refused: list[UsageError] = []

        async def connect() -> None:
            try:
                await session.connect()
            except UsageError as exc:
                refused.append(exc)

        async with trio.open_nursery() as connecting:
            connecting.start_soon(connect)
            connecting.start_soon(connect)
        assert len(refused) == 1
        await session.stop()
        check_end(session, "application", "stopped")


async def test_a_session_without_a_nursery_is_refused() -> None:
    session = make_session()
    with pytest.raises(UsageError, match=r"managed\(\)"):
        await session.start()
    assert session.state == "new"


def test_a_connector_needs_an_endpoint() -> None:
    with pytest.raises(UsageError, match="endpoint="):
        ManagedSession(make_spec(), connector=unreachable)


@pytest.mark.parametrize("session_id", ["", "../other", "a/b", "x" * 129, "a\0", ".."])
def test_an_id_must_be_the_name_of_a_directory(session_id: str) -> None:
    with pytest.raises(UsageError, match="session_id must have"):
        make_session(session_id=session_id)


async def test_use_in_the_wrong_state(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        before_start: list[Callable[[], Any]] = [
            lambda: session.last_seq,
            lambda: session.config,
            lambda: session.input_format,
            lambda: session.output_format,
            session.stream_events,
            partial(session.warn, "code", "message"),
            partial(session.fail_part, "history", "message"),
        ]
        for use in before_start:
            with pytest.raises(UsageError, match=r"start\(\)"):
                use()
        with pytest.raises(UsageError, match="not started"):
            await session.stop()
        with pytest.raises(UsageError, match=r"start\(\) before connect"):
            await session.connect()
        while_connected: list[Callable[[], Awaitable[object]]] = [
            partial(session.send_text, "hi"),
            partial(session.send_audio, b"\0\0"),
            partial(session.send_audio, "AAA="),
            session.commit_audio,
            session.clear_audio,
            session.interrupt,
            partial(session.approve_tool_call, "call_1"),
            partial(session.reject_tool_call, "call_1"),
        ]
        sync: list[Callable[[], object]] = [
            partial(session.mute, True),
            partial(session.report_played, "item_1", 0, 1),
        ]
        for _ in range(2):
            for action in while_connected:
                with pytest.raises(UsageError, match=r"call start\(\) and connect\(\)"):
                    await action()
            for function in sync:
                with pytest.raises(UsageError, match=r"call start\(\) and connect\(\)"):
                    function()
            if session.state == "new":
                await session.start()
        await session.connect()
        await session.stop()
        for action in while_connected:
            with pytest.raises(RealtimeError):
                await action()
        for function in sync:
            function()  # it may come late
        check_end(session, "application", "stopped")


@pytest.mark.parametrize("audio", ["no base64", "AAA", "ä", "AA\nAA"])
async def test_audio_that_is_not_base64_is_refused(audio: str, autojump_clock: MockClock) -> None:
    async with make_session().managed() as session:
        with pytest.raises(UsageError, match="base64"):
            await session.send_audio(audio)


async def test_a_missing_key_is_found_by_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with no_task_left() as nursery:
        session = ManagedSession(make_spec(), nursery=nursery)
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            await session.start()
        assert session.state == "new"
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
        await session.start()  # may be called again
        await session.stop()
        check_end(session, "application", "stopped")


@pytest.mark.parametrize("value", [object(), {1, 2}, math.nan, b"bytes"])
def test_metadata_must_be_json(value: object) -> None:
    with pytest.raises(UsageError, match="metadata"):
        make_session(metadata={"x": value})


# --- the end of a run ---------------------------------------------------------------------------


async def test_stopping_before_connecting(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        end = await session.stop("client_lost")
        assert end.session is None
        assert await session.stop() is end
        assert await session.wait_connected() is end
        events = check_end(session, "client", "client_lost")
        assert len(events) == 2


async def test_stopping_while_it_connects(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery, connector=never_connects)
        await session.start()
        raised: list[BaseException] = []

        async def connect() -> None:
            try:
                await session.connect()
            except RealtimeError as exc:
                raised.append(exc)

        nursery.start_soon(connect)
        await wait_all_tasks_blocked()
        await session.stop("server_drain")
        await wait_all_tasks_blocked()
        check_end(session, "server", "server_drain")
        [error] = raised
        assert "stopped" in str(error)


async def test_the_first_reason_counts(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        await session.connect()
        async with trio.open_nursery() as stopping:
            for reason in ("client_ended", "server_drain", "stopped"):
                stopping.start_soon(session.stop, reason)
                await trio.lowlevel.checkpoint()
        check_end(session, "client", "client_ended")


async def test_a_drain_lets_the_agent_finish(autojump_clock: MockClock) -> None:
    server: ServerConfigDict = {"responder": ScriptedResponder([Say(LONG_ANSWER)]), "pacing": 1.0}
    async with no_task_left():
        async with make_session(server=server).managed() as session:
            await session.send_text("Tell me a story")
            await receive_until(session, "realtime_audio")
            before = trio.current_time()
            await session.stop("server_drain", drain_timeout=300)
            assert trio.current_time() - before > 5
        events = check_end(session, "server", "server_drain")
        assert [event for event in events if event.type == "realtime_agent_end"]


async def test_a_service_that_cannot_be_reached(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery, connector=unreachable)
        await session.start()
        with pytest.raises(ConnectFailed):
            await session.connect()
        check_end(session, "network", "connect_failed")
        assert isinstance((await session.stop()).error, ConnectFailed)
        blocked = make_session(connector=unreachable)
        with pytest.raises(ConnectFailed):
            async with blocked.managed():
                pytest.fail("the block must not begin")
        events = check_end(blocked, "network", "connect_failed")
        assert events[-1].data["error"]["type"] == "ConnectFailed"


async def test_a_part_that_crashes_before_the_session_is_connected(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    async with no_task_left() as nursery:
        monkeypatch.setattr(SessionStores, "record", crash)
        session = make_session(nursery=nursery)
        await session.start()
        with pytest.raises(RuntimeError, match="a bug"):
            await session.connect()
        check_end(session, "server", "crashed")


async def test_a_part_that_crashes_during_the_call_ends_only_this_run(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        await session.connect()
        await session.send_text("Hello!")
        monkeypatch.setattr(session._events, "record", crash)
        await session.wait_ended()
        events = check_end(session, "server", "crashed")
        assert events[-1].data["error"]["type"] == "RuntimeError"
        assert "a part of the server crashed" in caplog.text


async def test_what_the_callbacks_raise_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> NoReturn:
        raise LookupError("mine")

    async with no_task_left() as nursery:
        session = make_session(nursery=nursery, on_event=fail, on_end=fail)
        await session.start()
        await session.connect()
        await session.stop()
        check_end(session, "application", "stopped")
        assert "on_event raised" in caplog.text
        assert "on_end raised" in caplog.text


async def test_connecting_after_the_nursery_was_left(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
    with pytest.raises(UsageError, match="nursery of the session was left"):
        await session.connect()
    with trio.fail_after(600):
        await session.stop()
    check_end(session, "application", "cancelled")


async def test_a_block_of_a_started_session_is_refused(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery)
        await session.start()
        with pytest.raises(UsageError, match="the session is started"):
            async with session.managed():
                pass
        await session.connect()  # in the nursery that it was given
        await session.stop()
        check_end(session, "application", "stopped")


async def test_a_block_that_raises(autojump_clock: MockClock) -> None:
    async with no_task_left():
        session = make_session()
        with pytest.raises(LookupError, match="mine"):
            async with session.managed():
                raise LookupError("mine")
        check_end(session, "application", "stopped")


async def test_a_block_that_is_cancelled(autojump_clock: MockClock) -> None:
    async with no_task_left():
        session = make_session()
        with trio.move_on_after(5) as scope:
            async with session.managed():
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert session.end is not None
        assert session.end.by == "application"
        assert session.end.reason in ("stopped", "cancelled")
        check_end(session, session.end.by, session.end.reason)


async def test_start_may_be_cancelled_at_any_point(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def attempt(steps: int) -> bool:
        async with no_task_left() as nursery:
            session = make_session(nursery=nursery)
            reached = await cancel_after_steps(steps, session.start)
            if session.state == "new":
                await session.start()
            await session.stop()
            check_end(session, "application", "stopped")
            return reached

    await for_every_step(attempt, at_least=1)


async def test_connect_may_be_cancelled_at_any_point(autojump_clock: MockClock) -> None:
    async def attempt(steps: int) -> bool:
        async with no_task_left() as nursery:
            session = make_session(nursery=nursery)
            await session.start()
            reached = await cancel_after_steps(steps, session.connect)
            if session.end is None:
                assert session.state == "connected"
                await session.stop()
            assert session.end is not None
            check_end(session, "application", session.end.reason)
            assert session.end.reason in ("stopped", "cancelled")
            return reached

    await for_every_step(attempt, at_least=1)


@pytest.mark.parametrize("task", ["connections", "reader of connection 1"])
async def test_connect_may_be_cancelled_at_any_step_of_the_connection(
    task: str, autojump_clock: MockClock
) -> None:
    """The cancellation may arrive while the task that connects reports that it is ready."""

    async def attempt(steps: int) -> bool:
        async with no_task_left() as nursery:
            session = make_session(nursery=nursery)
            await session.start()
            trigger = StepTrigger(steps, lambda each: each.name == task, scope.cancel)
            with scope, installed(trigger):
                await session.connect()
            if session.state == "connected":
                await session.stop()
            assert session.end is not None
            check_end(session, "application", session.end.reason)
            return trigger.was_reached

    for steps in range(100):
        scope = trio.CancelScope()
        if not await attempt(steps):
            break
    assert steps > 1


async def test_stop_may_be_cancelled_at_any_point(autojump_clock: MockClock) -> None:
    async def attempt(steps: int) -> bool:
        async with no_task_left() as nursery:
            session = make_session(nursery=nursery)
            await session.start()
            await session.connect()
            await session.send_text("Hello!")
            reached = await cancel_after_steps(steps, session.stop)
            await session.stop()
            check_end(session, "application", "stopped")
            return reached

    await for_every_step(attempt, at_least=1)


async def test_the_block_may_be_cancelled_at_any_point(autojump_clock: MockClock) -> None:
    async def attempt(steps: int) -> bool:
        async with no_task_left():
            session = make_session()

            async def block() -> None:
                async with session.managed():
                    await session.send_text("Hello!")
                    await receive_until(session, "realtime_agent_end")

            reached = await cancel_after_steps(steps, block)
            if session.state != "new":
                assert session.end is not None
                assert session.end.reason in ("stopped", "cancelled")
                check_end(session, "application", session.end.reason)
            return reached

    await for_every_step(attempt, at_least=3)


async def test_a_service_that_closes_the_session(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(
            nursery=nursery, server={"session_seconds": 60}, config=SessionConfig(reconnect=None)
        )
        await session.start()
        await session.connect()
        end = await session.wait_ended()
        assert trio.current_time() >= 60
        assert end.session is not None
        check_end(session, "service", "session_expired")
        with pytest.raises(RealtimeError):
            await session.send_text("Hello?")
        assert await session.stop() is end


async def test_a_tool_that_fails_ends_the_session(autojump_clock: MockClock) -> None:
    @function_tool(on_failure="end_session")
    async def weather(city: str) -> str:
        """Weather."""
        raise LookupError("no such city")

    async with no_task_left() as nursery:
        session = make_session(weather, nursery=nursery)
        await session.start()
        await session.connect()
        await session.send_text("weather city Oslo")
        end = await session.wait_ended()
        check_end(session, "user_code", "tool_failed")
        assert isinstance(end.error, RealtimeError)


async def test_a_limit_ends_the_session(autojump_clock: MockClock) -> None:
    async with no_task_left() as nursery:
        session = make_session(nursery=nursery, config=SessionConfig(max_duration=90))
        await session.start()
        await session.connect()
        await session.wait_ended()
        check_end(session, "limit", "max_duration")


async def test_a_session_that_ends_by_itself_ends_the_stream_of_a_block(
    autojump_clock: MockClock,
) -> None:
    async with no_task_left():
        async with make_session(config=SessionConfig(max_duration=90)).managed() as session:
            async for _ in session.stream_events():
                pass
        check_end(session, "limit", "max_duration")


async def test_nothing_follows_the_end(autojump_clock: MockClock) -> None:
    seen: list[RpcEvent] = []
    async with no_task_left():
        async with make_session(on_event=seen.append).managed() as session:
            pass
        session.warn("late", "a late warning")
        session.fail_part("history", "a late failure")
        check_end(session, "application", "stopped")
        assert seen == events_of(session)


async def test_nothing_follows_the_end_when_a_part_fails_meanwhile(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """For example, the queue of the history is full when the last event is put into it."""

    def fail(event: RpcEvent) -> None:
        if event.type == "run_ended":
            session.fail_part("history", "the queue is full")

    async with no_task_left() as nursery:
        session = make_session(nursery=nursery, on_event=fail)
        await session.start()
        await session.connect()
        await session.stop()
        check_end(session, "application", "stopped")
        assert "the queue is full" in caplog.text


# --- parts that fail ----------------------------------------------------------------------------


def a_file_as_directory(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"")
    return path


def files_in(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*")]


def failures_of(session: ManagedSession) -> list[tuple[str, str]]:
    assert session.end is not None
    return [(failure.part, failure.message) for failure in session.end.failures]


async def test_a_recording_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    stores = SessionStores(recordings=a_file_as_directory(tmp_path))
    async with no_task_left():
        async with make_session(stores=stores).managed() as session:
            await session.send_audio(bytes(4800))
            await session.send_text("Hello!")
            await receive_until(session, "realtime_agent_end")
        events = check_end(session, "application", "stopped")
        [(part, message)] = failures_of(session)
        assert part == "recording"
        assert "cannot be written" in message
        warnings = [event.data["code"] for event in events if event.type == "run_warning"]
        assert warnings == ["recording_failed"]


class FullDisk:
    """Opens files of which none takes a byte."""

    def __call__(self, path: Path) -> Any:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_reported_and_the_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trio_realtime.server.managed import stores as stores_module
    from trio_realtime.server.recording import open_recorder

    monkeypatch.setattr(
        stores_module, "open_recorder", partial(open_recorder, open_file=FullDisk())
    )
    stores = SessionStores(recordings=tmp_path)
    async with no_task_left():
        async with make_session(stores=stores).managed() as session:
            await session.send_audio(bytes(4800))
            await session.send_text("Hello!")
            await receive_until(session, "realtime_agent_end")
        events = check_end(session, "application", "stopped")
        (_, first), (_, second) = failures_of(session)  # of the writing, and of the recording
        assert "No space left" in first
        assert "recording" in second
        warnings = [event.data["code"] for event in events if event.type == "run_warning"]
        assert warnings == ["recording_failed"] * 2


async def test_a_call_is_recorded(tmp_path: Path) -> None:
    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db") as history,
    ):
        stores = SessionStores(history=history, recordings=tmp_path / "recordings")
        async with make_session(stores=stores).managed() as session:
            await session.send_text("Hello!")
            await session.send_audio(b"\x10\x20" * 24_000)
            await receive_until(session, "realtime_agent_end")
        check_end(session, "application", "stopped")
        assert failures_of(session) == []
        await history.writer.flush()
        path = await stores.recording_of(session.session_id)
        assert path is not None
        with wave.open(str(path)) as file:
            assert file.getnchannels() == 2
            assert any(file.readframes(file.getnframes()))


async def test_a_run_that_ends_at_once_has_its_recording_in_the_history(tmp_path: Path) -> None:
    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db") as history,
    ):
        stores = SessionStores(history=history, recordings=tmp_path / "recordings")
        async with make_session(stores=stores).managed() as session:
            pass
        assert failures_of(session) == []
        await history.writer.flush()
        assert len(await history.artifacts(session.session_id)) == 1


async def test_a_session_is_continued_at_once(tmp_path: Path) -> None:
    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db") as history,
    ):
        stores = SessionStores(history=history)
        async with make_session(stores=stores).managed() as first:
            await first.send_text("Hello!")
            await receive_until(first, "realtime_agent_end")
        id_ = first.session_id
        async with make_session(stores=stores, session_id=id_).managed() as second:
            pass
        events = check_end(second, "application", "stopped")
        assert events[0].seq == first.last_seq + 1
        await history.writer.flush()
        stored = await history.events(id_)
        assert {event["run_id"] for event in stored} == {first.run_id, second.run_id}
        assert stored[-1]["seq"] == second.last_seq


async def test_continuing_a_session_changes_no_text_of_it(tmp_path: Path) -> None:
    """The model is given only what the user heard of an interrupted answer."""
    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db") as history,
    ):
        stores = SessionStores(history=history)
        async with make_session(stores=stores).managed() as first:
            await first.send_text(LONG_ANSWER)
            await receive_until(first, "realtime_audio")
            await first.interrupt()
        await history.writer.flush()
        before = await history.items(first.session_id)
        assert [item["text"] == item["heard_text"] for item in before] == [False, False]
        async with make_session(stores=stores, session_id=first.session_id).managed() as second:
            await second.send_text("Hello!")
            await receive_until(second, "realtime_agent_end", after=first.last_seq)
        await history.writer.flush()
        after = await history.items(first.session_id)
        assert (len(before), len(after)) == (2, 4)
        assert after[:2] == before


async def test_a_session_whose_end_is_unknown_is_continued_with_other_numbers(
    tmp_path: Path,
) -> None:
    """Its process may have been killed, and no node has found its sessions yet."""
    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db") as history,
    ):
        stores = SessionStores(history=history)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                first = make_session(stores=stores, nursery=nursery)
                await first.start()
                await history.writer.flush()
                stored = await history.get_session(first.session_id)
                assert stored is not None
                assert stored["status"] == "running"
                last_seq = stored["last_seq"]
                scope.cancel()
        async with make_session(stores=stores, session_id=first.session_id).managed() as second:
            pass
        events = check_end(second, "application", "stopped")
        assert events[0].seq == last_seq + 1_000_001


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Lock a database against writers."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def test_a_locked_database_does_not_delay_the_call(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with (
        no_task_left(),
        open_history_store(path, busy_timeout=0.01) as history,
    ):
        stores = SessionStores(history=history)
        with locked(path):
            async with make_session(stores=stores).managed() as session:
                await session.send_text("Hello!")
                await receive_until(session, "realtime_agent_end")
            check_end(session, "application", "stopped")
            assert await history.get_session(session.session_id) is None
        await history.writer.flush()
        stored = await history.get_session(session.session_id)
        assert stored is not None
        assert (stored["status"], stored["end_reason"]) == ("ended", "stopped")


async def test_a_recording_is_in_the_history_when_the_database_is_back(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with (
        no_task_left(),
        open_history_store(path, busy_timeout=0.01) as history,
    ):
        stores = SessionStores(history=history, recordings=tmp_path / "recordings")
        with locked(path):
            async with make_session(stores=stores).managed() as session:
                await session.send_audio(bytes(4800))
            check_end(session, "application", "stopped")
            assert failures_of(session) == []
        await history.writer.flush()
        recording = await stores.recording_of(session.session_id)
        assert recording is not None
        assert recording.stat().st_size > 44


async def test_a_database_that_does_not_answer_does_not_delay_the_end(tmp_path: Path) -> None:
    writing, answer = threading.Event(), threading.Event()

    def wait(row: Row) -> Row:
        writing.set()
        answer.wait()
        return row

    async with (
        no_task_left(),
        open_history_store(tmp_path / "history.db", redact=wait) as history,
    ):
        stores = SessionStores(history=history, recordings=tmp_path / "recordings")
        try:
            async with make_session(stores=stores).managed() as session:
                await trio.to_thread.run_sync(writing.wait)
            check_end(session, "application", "stopped")
        finally:
            answer.set()


async def test_a_session_that_fails_has_its_recording(tmp_path: Path) -> None:
    @function_tool(on_failure="end_session")
    async def weather(city: str) -> str:
        """Weather."""
        raise LookupError("no such city")

    async with no_task_left() as nursery:
        session = make_session(weather, nursery=nursery, stores=SessionStores(recordings=tmp_path))
        await session.start()
        await session.connect()
        await session.send_audio(bytes(4800))
        await session.send_text("weather city Oslo")
        await session.wait_ended()
        check_end(session, "user_code", "tool_failed")
    names = files_in(tmp_path)
    assert names.count("recording.wav") == 1
    assert not any(name.endswith(".pcm") for name in names)


async def test_recordings_of_unknown_sessions_do_not_stop_the_others(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A crash may lose the row of a session and leave its segments."""
    recordings = tmp_path / "recordings"
    for _ in range(2):  # two sessions that the database does not know
        with trio.CancelScope() as scope:
            async with make_session(stores=SessionStores(recordings=recordings)).managed() as lost:
                await lost.send_audio(bytes(48_000))
                scope.cancel()
                await trio.sleep_forever()
    async with open_history_store(tmp_path / "history.db") as history:
        stores = SessionStores(history=history, recordings=recordings)
        assert len(await stores.recover()) == 2
        assert len(list(recordings.rglob("*.wav"))) == 2


async def test_an_mcp_server_that_fails_is_skipped_unless_it_is_required() -> None:
    for required in (False, True):
        server = McpServerStdio(name="files", command="/no/such/program", required=required)
        spec = AgentSpec(name="Assistant", realtime_mode=True, mcp_servers=[server])
        async with no_task_left() as nursery:
            session = make_session(spec=spec, nursery=nursery)
            await session.start()
            if required:
                with pytest.raises(RealtimeError):
                    await session.connect()
                assert session.end is not None
                assert session.end.reason == "connect_failed"
                continue
            await session.connect()
            await session.send_text("Hello!")
            await receive_until(session, "realtime_agent_end")
            await session.stop()
            events = check_end(session, "application", "stopped")
            assert any(
                "files" in str(event.data)
                for event in events
                if "error" in event.type or "warning" in event.type or "mcp" in event.type
            )
