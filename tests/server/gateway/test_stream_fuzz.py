"""Clients that send anything in any order: the gateway goes on, and every session ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.gateway import GatewayClient, GatewayUnderTest, make_spec, open_test_gateway
from support.openai_gateway import OpenAIClient, dial
from trio_realtime import ServerVad, SessionConfig, function_tool
from trio_realtime.server.gateway.gateway import GatewaySettings

Step: TypeAlias = tuple[str, Any]


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    await trio.sleep(0.5)
    return f"Sunny in {city}"


@function_tool(needs_approval=True)
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


@function_tool(on_failure="end_session")
async def explode() -> str:
    """Explode."""
    raise LookupError("boom")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXTS = st.sampled_from(
    ["", "Hello!", "What's the weather in Oslo?", "pay amount 5", "explode", "\ud800", "x" * 5000]
)
HUGE = ["[" * 200_000, '{"a":' * 50_000, '"' + "x" * 300_000, "1" * 100_000, "{}" * 1000]
WAITS = st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 2.0, 8.0]))
RAW = st.tuples(
    st.just("raw"),
    st.one_of(
        st.binary(max_size=100),
        st.sampled_from([b"", b"\0" * 9600, b"\x10\x20" * 4800, b"\0" * 9601]),
        st.sampled_from(HUGE),
        st.text(max_size=20),
        JSON.map(json.dumps),
    ),
)
IDS = st.none() | st.sampled_from(["a", "b", ""])


def message(type_: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Return a message, each of whose fields may be missing or wrong."""
    kinds = {name: strategy | JSON for name, strategy in fields.items()}
    contents = st.fixed_dictionaries({"type": st.just(type_)}, optional=kinds)
    return contents.map(lambda content: ("raw", json.dumps(content)))


CALL_IDS = st.sampled_from(["call_1", "", "x"])
STREAM_STEPS = st.one_of(
    WAITS,
    RAW,
    message("text", id=IDS, text=TEXTS),
    st.sampled_from(["Hello!", "pay amount 5", "What's the weather in Oslo?", "explode"]).map(
        lambda text: ("raw", json.dumps({"type": "text", "text": text}))
    ),
    message("audio", id=IDS, audio=st.sampled_from(["AAAA", "!", ""]), commit=st.booleans()),
    message("commit", id=IDS),
    message("clear", id=IDS),
    message("interrupt", id=IDS),
    message("approve", id=IDS, call_id=CALL_IDS, always=st.booleans()),
    message("reject", id=IDS, call_id=CALL_IDS, always=st.booleans(), message=TEXTS),
    message(
        "playback",
        item_id=st.sampled_from(["item_1", ""]),
        content_index=st.integers(),
        played_ms=st.floats() | st.integers(),
    ),
    message("mute", muted=st.booleans()),
    message("ping", id=IDS),
    message("end", id=IDS),
    message("hello", protocol=st.integers(), token=st.text(max_size=5)),
    st.tuples(st.just("disconnect"), st.none()),
    st.tuples(st.just("resume"), st.sampled_from([None, 0, 3, 10**9, -1])),
    st.tuples(st.just("observe"), st.none()),
    st.tuples(st.just("stranger"), RAW.map(lambda step: step[1])),
)


@contextmanager
def no_errors() -> Generator[None]:
    """Fail if something is logged as an error."""
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collector(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in records] == []


def run(main: Callable[[], Awaitable[None]]) -> None:
    with no_errors():
        trio.run(main, clock=MockClock(autojump_threshold=0))


async def drain(client: Any) -> None:
    try:
        while True:
            await client.receive()
    except (trio.EndOfChannel, trio.ClosedResourceError):
        return


async def check_all_ended(under_test: GatewayUnderTest) -> None:
    await trio.sleep(120)
    await wait_all_tasks_blocked()
    assert under_test.gateway.sessions == {}
    assert under_test.gateway.admission.running == 0
    assert len(under_test.gateway.tokens) == 0


SPEC = make_spec(
    get_weather, pay, explode, config=SessionConfig(turn_detection=ServerVad(), max_duration=60)
)


async def play(steps: Sequence[Step]) -> None:
    settings_ = GatewaySettings(grace=5, attach_timeout=5, hello_timeout=3, send_timeout=3)
    async with (
        open_test_gateway(SPEC, settings=settings_) as under_test,
        trio.open_nursery() as nursery,
    ):
        created = await under_test.gateway.create_session(tenant="acme")
        client = await under_test.attach(created, created.token)
        nursery.start_soon(drain, client)
        token = client.welcome["resume_token"]
        for action, value in steps:
            match action:
                case "wait":
                    await trio.sleep(value)
                case "disconnect":
                    client.socket.disconnect()
                case "resume":
                    client = GatewayClient(under_test.open_socket(created.session_id))
                    await client.send("hello", protocol=1, token=token, last_seq=value)
                    nursery.start_soon(drain, client)
                case "stranger":  # its first message is no valid hello
                    stranger = GatewayClient(under_test.open_socket(created.session_id))
                    await stranger.socket.to_server.send(value)
                    nursery.start_soon(drain, stranger)
                case "observe":
                    try:
                        session = under_test.gateway.find(created.session_id).session
                    except Exception:  # noqa: BLE001 - it has ended
                        continue
                    secret = under_test.gateway.issue_token(session, "observer")
                    observer = GatewayClient(under_test.open_socket(created.session_id))
                    await observer.send("hello", protocol=1, token=secret, role="observer")
                    nursery.start_soon(drain, observer)
                case _:
                    try:
                        await client.socket.to_server.send(value)
                    except trio.ClosedResourceError:  # disconnected
                        continue
        await check_all_ended(under_test)
        nursery.cancel_scope.cancel()


@given(st.lists(STREAM_STEPS, max_size=15))
@settings(max_examples=150, deadline=None)
def test_a_client_of_the_stream_may_send_anything(steps: list[Step]) -> None:
    run(partial(play, steps))


# --- the OpenAI protocol ------------------------------------------------------------------------

ITEMS = st.fixed_dictionaries(
    {"type": st.just("message") | JSON, "role": st.just("user") | JSON},
    optional={
        "id": st.sampled_from(["i1", "i2"]) | JSON,
        "content": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["input_text", "input_audio", "input_image", "new"])},
                optional={"text": TEXTS, "audio": JSON, "image_url": JSON},
            ),
            max_size=2,
        )
        | JSON,
    },
)
DETECTIONS = JSON | st.fixed_dictionaries(
    {"type": st.sampled_from(["server_vad", "semantic_vad", "none"])},
    optional={"threshold": JSON, "create_response": JSON, "silence_duration_ms": JSON},
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "output_modalities": st.sampled_from([["text"], ["audio"], ["text", "audio"]]) | JSON,
        "audio": st.fixed_dictionaries(
            {"input": st.fixed_dictionaries({}, optional={"turn_detection": DETECTIONS})}
        )
        | JSON,
        "instructions": TEXTS,
    },
)
TEXT_ITEM = {
    "type": "conversation.item.create",
    "item": {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "What's the weather in Oslo?"}],
    },
}
OPENAI_STEPS = st.one_of(
    WAITS,
    RAW,
    st.just(("raw", json.dumps(TEXT_ITEM))),
    st.just(("raw", '{"type": "response.create"}')),
    message("session.update", event_id=IDS, session=SETTINGS),
    message("conversation.item.create", event_id=IDS, item=ITEMS, previous_item_id=JSON),
    message("conversation.item.delete", event_id=IDS, item_id=st.sampled_from(["i1", "x"])),
    message("conversation.item.retrieve", event_id=IDS, item_id=st.sampled_from(["i1", "x"])),
    message(
        "conversation.item.truncate",
        event_id=IDS,
        item_id=st.sampled_from(["i1", "x"]),
        content_index=st.integers(),
        audio_end_ms=st.integers() | st.floats(),
    ),
    message("input_audio_buffer.append", event_id=IDS, audio=st.sampled_from(["AAAA", "!", "A"])),
    message("input_audio_buffer.commit", event_id=IDS),
    message("input_audio_buffer.clear", event_id=IDS),
    message(
        "response.create",
        event_id=IDS,
        response=st.fixed_dictionaries(
            {},
            optional={
                "output_modalities": st.just(["text"]) | JSON,
                "max_output_tokens": st.just("inf") | JSON,
                "metadata": JSON,
                "instructions": TEXTS,
            },
        ),
    ),
    message("response.cancel", event_id=IDS, response_id=JSON),
    message("output_audio_buffer.clear", event_id=IDS),
    st.tuples(st.just("disconnect"), st.none()),
)


async def play_openai(steps: Sequence[Step]) -> None:
    async with (
        open_test_gateway(SPEC, settings=GatewaySettings(send_timeout=3)) as under_test,
        trio.open_nursery() as nursery,
    ):
        client: OpenAIClient = dial(under_test, nursery)
        await client.receive()
        nursery.start_soon(drain, client)
        for action, value in steps:
            if action == "wait":
                await trio.sleep(value)
            elif action == "disconnect":
                client.socket.disconnect()
                break
            else:
                await client.socket.to_server.send(value)
        await check_all_ended(under_test)
        assert client.socket.closed is None or client.socket.closed[0] == 1000
        nursery.cancel_scope.cancel()


@given(st.lists(OPENAI_STEPS, max_size=15))
@settings(max_examples=150, deadline=None)
def test_a_client_of_the_openai_protocol_may_send_anything(steps: list[Step]) -> None:
    run(partial(play_openai, steps))
