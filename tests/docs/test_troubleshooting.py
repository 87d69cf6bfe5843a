"""Each text on the page about troubleshooting is one that the library produces."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_realtime import (
    Endpoint,
    LocalServerWarning,
    RealtimeAgent,
    SessionConfig,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Say, ScriptedResponder, local_connector
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.testing.faults import SlowDial, faulty_connector

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "guides" / "troubleshooting.md"
TEXTS = re.findall(
    r"^```text\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)

agent = RealtimeAgent[None](name="Assistant")


def session(server: Any = None, *, transport: Any = None, **settings: Any) -> Any:
    server = local_connector() if server is None else server
    return open_realtime_session(
        agent,
        transport=server if transport is None else transport,
        endpoint=server.endpoint,
        config=SessionConfig(**{"reconnect": None, **settings}),
    )


async def open_and_close(server: Any = None, **options: Any) -> None:
    async with session(server, **options):
        pass


# --- each produces an exception, a warning or an event, as the page shows it


async def no_service() -> object:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with open_realtime_session(agent):
            pass
    (warning,) = [entry.message for entry in caught if entry.category is LocalServerWarning]
    return warning


async def no_endpoint_in_the_environment() -> None:
    Endpoint.from_env()


async def wrong_key() -> None:
    server = local_connector(api_keys={"right-key"})
    endpoint = Endpoint.compatible("ws://localhost/v1/realtime", api_key="wrong-key", proxy="")
    async with open_realtime_session(agent, transport=server, endpoint=endpoint):
        pass


async def wrong_model() -> None:
    await open_and_close(local_connector(models={"gpt-realtime-2.1"}), model="gpt-4o")


async def wrong_setting() -> None:
    SessionConfig(speed=9)


async def nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        async with open_realtime_session(
            agent, endpoint=Endpoint.compatible(f"ws://127.0.0.1:{port}/v1", proxy="")
        ):
            pass
    except errors.ConnectFailed as failure:
        raise errors.ConnectFailed(str(failure).replace(str(port), "9")) from None


async def nothing_answers() -> None:
    server = local_connector()
    await open_and_close(server, transport=faulty_connector(server, every=[SlowDial()]))


async def tool_without_annotation() -> None:
    async def find_room(nights) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        pass

    function_tool(find_room)


async def tool_with_a_strange_type() -> None:
    async def find_room(nights: complex) -> None:
        pass

    function_tool(find_room)


async def connection_lost() -> None:
    server = local_connector()
    connector = faulty_connector(server)
    async with session(server, transport=connector) as s:
        connector.link.drop()
        async for _ in s:
            pass


async def session_expired() -> None:
    async with session(local_connector(session_seconds=5)) as s:
        async for _ in s:
            pass


async def used_after_its_block() -> None:
    async with session() as s:
        pass
    await s.send_message("Hello")


async def task_of_a_nursery_raises() -> None:
    async with session(), trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(no_endpoint_in_the_environment)


async def another_thread() -> None:
    async with session() as s:
        await trio.to_thread.run_sync(lambda: trio.run(s.send_message, "Hello"))


async def empty_commit() -> object:
    async with session() as s:
        with s.subscribe(events.Error) as failures:
            await s.commit_audio()
            return (await failures.receive()).error


async def no_answer() -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, transport=peer.connect, endpoint=TEST_ENDPOINT, config=SessionConfig(reconnect=None)
    ) as s:
        request = await s.create_response()
        await trio.sleep(1)
        peer.send({"type": "rate_limits.updated", "rate_limits": []})  # the service is alive
        await request


async def interrupted() -> None:
    async with session() as s:
        with s.subscribe(events.AudioStart) as starts:
            request = await s.create_response()
            await starts.receive()
            await s.interrupt()
            await request


async def script_too_short() -> None:
    async with session(local_connector(responder=ScriptedResponder([Say("Hello")]))) as s:
        await s.ask("One")
        await s.ask("Two")


async def channel_is_not_read() -> None:
    async with session(max_buffered_events=20) as s:
        await s.ask("x" * 40)
        async for _ in s:
            pass


async def slow_upload() -> object:
    server = local_connector()
    connector = faulty_connector(server)
    async with session(server, transport=connector) as s:
        with s.subscribe(events.SessionWarning) as received:
            connector.link.trickle(1000)
            start = trio.current_time()
            for number in range(250):
                await trio.sleep_until(start + number * 0.02)
                await s.send_audio(bytes(960))
            return await received.receive()


PRODUCERS: list[Callable[[], Awaitable[object]]] = [
    no_service,
    no_endpoint_in_the_environment,
    wrong_key,
    wrong_model,
    wrong_setting,
    nothing_listens,
    nothing_answers,
    tool_without_annotation,
    tool_with_a_strange_type,
    connection_lost,
    session_expired,
    used_after_its_block,
    task_of_a_nursery_raises,
    another_thread,
    empty_commit,
    no_answer,
    interrupted,
    script_too_short,
    channel_is_not_read,
    slow_upload,
]
REAL_TIME = {nothing_listens, another_thread}


async def text_of(producer: Callable[[], Awaitable[object]]) -> str:
    try:
        with trio.fail_after(60):
            produced = await producer()
    except Exception as exc:  # noqa: BLE001 - the test compares it
        produced = exc
    text = produced.message if isinstance(produced, events.SessionWarning) else str(produced)
    return f"{type(produced).__name__}: {text}"


@pytest.mark.parametrize(
    "index", range(len(PRODUCERS)), ids=lambda index: PRODUCERS[index].__name__
)
def test_a_text_of_the_page_is_produced(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_REALTIME_URL"):
        monkeypatch.delenv(name, raising=False)
    producer = PRODUCERS[index]
    clock = None if producer in REAL_TIME else trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(text_of, producer, clock=clock) == TEXTS[index]


def test_each_text_of_the_page_has_a_test() -> None:
    assert len(TEXTS) == len(PRODUCERS)
