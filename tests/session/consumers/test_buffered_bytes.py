"""The bytes of unread events are bounded, whatever the events are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any, get_args

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import EventChannel, events
from trio_realtime.config import OverflowPolicy
from trio_realtime.errors import ConsumerTooSlow, PeerError
from trio_realtime.items import FunctionCallItem, McpCallItem
from trio_realtime.session.consumers.bus import EventBus
from trio_realtime.session.consumers.channel import BufferLimits
from trio_realtime.session.consumers.event_size import size_of, size_of_value
from trio_realtime.session.ending import EndState
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import MessageItem, OutputText, ResponseDone, ResponseObject, Session

MB = 1024 * 1024
TEXT = "x" * 1000
AGENT: Any = None
TOOL: Any = None

LARGE_EVENTS: dict[type[events.SessionEvent], Callable[[str], events.SessionEvent]] = {
    events.TextDelta: lambda text: events.TextDelta(
        delta=text, response_id="", item_id="", content_index=0
    ),
    events.UserTranscript: lambda text: events.UserTranscript(
        transcript=text, item_id="", content_index=0
    ),
    events.ToolArgumentsDelta: lambda text: events.ToolArgumentsDelta(
        delta=text, tool_name="", call_id="", response_id="", item_id=""
    ),
    events.ToolStart: lambda text: events.ToolStart(
        agent=AGENT, tool=TOOL, call_id="", arguments=text, response_id=""
    ),
    events.ToolCancelled: lambda text: events.ToolCancelled(
        agent=AGENT, tool_name="", call_id="", arguments="", output_text=text, response_id=""
    ),
    events.HistoryAdded: lambda text: events.HistoryAdded(
        item=MessageItem(content=(OutputText(text=text),))
    ),
    events.HistoryUpdated: lambda text: events.HistoryUpdated(
        item=FunctionCallItem(arguments=text), read=tuple
    ),
    events.McpToolCallCompleted: lambda text: events.McpToolCallCompleted(
        item=McpCallItem(output=text)
    ),
    events.GuardrailTripped: lambda text: events.GuardrailTripped(
        guardrail_results=(), message=text, response_id=None
    ),
    events.Error: lambda text: events.Error(error=PeerError(text)),
    events.SettingsUpdated: lambda text: events.SettingsUpdated(
        session=Session(instructions=text, extra={"nested": [text]})
    ),
    events.McpToolsChanged: lambda text: events.McpToolsChanged(server="", tools=(text,)),
    events.RawModelEvent: lambda text: events.RawModelEvent(
        data=ResponseDone(event_id="", response=ResponseObject(id="")), frame=text
    ),
}


def open_channel(**limits: Any) -> tuple[EventBus, EventChannel]:
    """Return a channel without limits other than these, and its bus."""
    no_limits: dict[str, Any] = {
        "max_events": 1_000_000,
        "max_audio": 1_000_000_000,
        "max_bytes": 1_000_000_000,
        "overflow": "fail",
    }
    bus = EventBus(BufferLimits(**{**no_limits, **limits}), EndState())
    return bus, bus.open_channel(get_args(events.AnyEvent))


def audio(size: int, response_id: str = "") -> events.Audio:
    return events.Audio(data=bytes(size), response_id=response_id, item_id="", content_index=0)


@pytest.mark.parametrize("kind", LARGE_EVENTS, ids=lambda kind: kind.__name__)
def test_large_events_of_each_kind_are_bounded(kind: type[events.SessionEvent]) -> None:
    """Ten times the limit is put into the channel, and no more than the limit stays in it."""
    event = LARGE_EVENTS[kind](TEXT)
    assert 1000 <= size_of(event) <= 2100
    bus, channel = open_channel(max_bytes=20_000)
    fitting = 20_000 // size_of(event)
    for _ in range(fitting):
        bus.emit(event)
    assert channel.statistics().dropped_events == 0  # at the limit
    for _ in range(9 * fitting):
        bus.emit(event)
    statistics = channel.statistics()
    assert (statistics.buffered_events, statistics.dropped_events) == (fitting, 9 * fitting)
    assert statistics.buffered_bytes == fitting * size_of(event)
    for _ in range(fitting):
        channel.receive_nowait()
    with pytest.raises(ConsumerTooSlow, match="max_buffered_bytes"):
        channel.receive_nowait()
    assert channel.statistics().buffered_bytes == 0


@pytest.mark.parametrize("policy", ["drop_oldest_audio", "drop_oldest"])
def test_the_oldest_audio_makes_space_for_other_events(policy: OverflowPolicy) -> None:
    bus, channel = open_channel(max_bytes=5000, overflow=policy)
    for _ in range(10):
        bus.emit(audio(500))
    for _ in range(5):
        bus.emit(LARGE_EVENTS[events.TextDelta](TEXT[:800]))
    statistics = channel.statistics()
    assert statistics.buffered_bytes == 5 * 800 + 1000
    assert (statistics.buffered_audio, statistics.dropped_events) == (1000, 8)
    for _ in range(10):
        bus.emit(LARGE_EVENTS[events.TextDelta](TEXT))
    while channel.statistics().buffered_events:
        assert not isinstance(channel.receive_nowait(), events.Audio)
    with pytest.raises(ConsumerTooSlow, match="only audio is dropped"):
        channel.receive_nowait()


def test_an_interruption_frees_the_bytes_of_its_audio() -> None:
    bus, channel = open_channel()
    for response_id in ("a", "b"):
        bus.emit(audio(500, response_id))
    bus.emit(events.AudioInterrupted(response_id="a", item_id="", content_index=0, played_ms=0))
    statistics = channel.statistics()
    assert (statistics.buffered_audio, statistics.buffered_bytes) == (500, 502)


def test_a_single_event_may_be_larger_than_the_limit() -> None:
    """Otherwise no consumer could receive it."""
    bus, channel = open_channel(max_bytes=1000)
    event = LARGE_EVENTS[events.TextDelta](TEXT * 10)
    bus.emit(event)
    assert channel.receive_nowait() is event
    bus.emit(event)
    bus.emit(event)
    assert channel.receive_nowait() is event
    with pytest.raises(ConsumerTooSlow):
        channel.receive_nowait()


async def test_large_events_reach_a_consumer_that_only_reads(autojump_clock: MockClock) -> None:
    """Each frame becomes several events that exceed the limit together."""
    peer = ScriptedPeer()
    async with (
        open_test_session(peer, max_buffered_bytes=10_000) as session,
        trio.open_nursery() as nursery,
    ):
        with session.subscribe(events.RawModelEvent, events.TextDelta) as channel:

            async def count() -> None:
                for _ in range(400):
                    await channel.receive()
                nursery.cancel_scope.cancel()

            nursery.start_soon(count)
            for _ in range(200):
                peer.text("resp_1", "item_1", TEXT * 5)
            await trio.sleep(1)
            pytest.fail("the consumer got too few events")


async def test_raw_events_cost_no_more_memory_than_twice_the_limit(
    autojump_clock: MockClock,
) -> None:
    """Ten times the limit arrives, and nobody reads it."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_bytes=4 * MB) as session:
        session.events.close()
        with session.subscribe(events.RawModelEvent) as channel:
            tracemalloc.start()
            try:
                for _ in range(40):
                    peer.send({"type": "response.future", "text": "x" * MB})
                    await wait_all_tasks_blocked()
                used, _peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert used < 8 * MB
            assert channel.statistics().buffered_events == 1  # a second one exceeds 4 MB
            assert channel.statistics().dropped_events == 39


def test_texts_of_other_scripts_count_as_their_bytes() -> None:
    assert size_of(LARGE_EVENTS[events.TextDelta]("\N{HIRAGANA LETTER A}" * 10)) == 40
    assert size_of_value(["\N{GREEK SMALL LETTER ALPHA}", b"ab", 7, None]) == 6


def test_deeply_nested_json_is_counted() -> None:
    value: Any = "x"
    for _ in range(100_000):
        value = [value]
    assert size_of_value({"key": value}) == 4


def test_the_output_of_a_tool_counts_unless_the_event_shares_it() -> None:
    def event(output: object, text: str) -> events.ToolEnd:
        return events.ToolEnd(
            agent=AGENT,
            tool=None,
            tool_name="",
            call_id="",
            arguments="",
            output=output,
            output_text=text,
            outcome="completed",
            response_id="",
        )

    assert size_of(event(TEXT, TEXT)) == 1000
    assert size_of(event(b"x" * 500, TEXT)) == 1500
    assert size_of(event(object(), TEXT)) == 1000
