"""The event log: every reader gets each event once and in order, or learns what it has missed."""

from __future__ import annotations

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from trio_realtime.errors import UsageError
from trio_realtime.server.managed.event_log import EventLog, EventReader, EventsMissed
from trio_realtime.server.rpc import RpcEvent


def event(seq: int, *, audio: bytes | None = None, text: str = "") -> RpcEvent:
    return RpcEvent(
        type="realtime_audio" if audio is not None else "realtime_text_delta",
        session_id="sess_1",
        run_id="run_1",
        seq=seq,
        time=0.0,
        data={"delta": text},
        audio=audio,
    )


def filled(count: int, **limits: int) -> EventLog:
    log = EventLog(**limits)
    for seq in range(1, count + 1):
        log.append(event(seq))
    return log


async def read_all(reader: EventReader) -> list[int | EventsMissed]:
    return [item if isinstance(item, EventsMissed) else item.seq async for item in reader]


async def test_a_reader_gets_what_is_there_and_what_follows_in_order() -> None:
    log = filled(2)
    seen: list[int | EventsMissed] = []

    async def read() -> None:
        seen.extend(await read_all(log.read(after=0)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        log.append(event(3))
        await wait_all_tasks_blocked()
        log.append(event(4))
        log.finish()
    assert seen == [1, 2, 3, 4]


def test_texts_in_items_count() -> None:
    log = EventLog(max_bytes=10_000)
    for seq in range(1, 21):
        item = {"type": "message", "content": [{"type": "text", "text": "x" * 1000}]}
        log.append(attrs.evolve(event(seq), data={"item": item, "history": [item]}))
    assert log.last_seq - log.first_seq < 5


async def test_a_reader_goes_on_after_the_event_that_it_names() -> None:
    log = filled(5)
    log.finish()
    assert await read_all(log.read(after=3)) == [4, 5]
    assert await read_all(log.read(after=5)) == []


async def test_a_reader_without_a_position_gets_later_events_only() -> None:
    log = filled(5)
    reader = log.read(after=None)
    log.append(event(6))
    log.finish()
    assert await read_all(reader) == [6]


async def test_a_log_of_a_continued_session_goes_on_with_its_numbers() -> None:
    log = EventLog(last_seq=7)
    assert (log.first_seq, log.last_seq) == (8, 7)
    log.append(event(8))
    log.finish()
    assert await read_all(log.read(after=7)) == [8]
    assert await read_all(log.read(after=0)) == [EventsMissed(1, 7), 8]


@pytest.mark.parametrize("after", [-1, 6])
def test_a_position_that_does_not_exist_is_refused(after: int) -> None:
    with pytest.raises(
        UsageError, match=r"events after -?\d were requested, and the latest one is 5"
    ):
        filled(5).read(after=after)


async def test_a_slow_reader_learns_what_it_has_missed() -> None:
    log = filled(1, max_events=3)
    reader = log.read(after=0)
    for seq in range(2, 10):
        log.append(event(seq))
    log.finish()
    assert reader.waiting == 9
    assert await read_all(reader) == [EventsMissed(1, 6), 7, 8, 9]


async def test_audio_and_text_count_as_bytes() -> None:
    log = EventLog(max_bytes=10_000)
    log.append(event(1, audio=bytes(6000)))
    log.append(event(2, text="x" * 2000))
    assert log.first_seq == 1
    log.append(event(3, audio=bytes(4000)))
    assert log.first_seq == 2


async def test_an_event_larger_than_the_log_is_missed_by_everybody() -> None:
    log = filled(1, max_bytes=2000)
    log.append(event(2, audio=bytes(5000)))
    log.finish()
    assert await read_all(log.read(after=0)) == [EventsMissed(1, 2)]


async def test_a_cancelled_wait_loses_no_event() -> None:
    log = filled(1)
    reader = log.read(after=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await reader.__anext__()
    assert scope.cancelled_caught
    log.append(event(2))
    log.finish()
    assert await read_all(reader) == [2]


@given(
    st.lists(st.sampled_from(["append", "read slow", "read fast"]), max_size=60),
    st.integers(1, 5),
)
def test_what_a_reader_gets_and_misses_covers_every_event_once(
    steps: list[str], max_events: int
) -> None:
    async def check() -> None:
        log = EventLog(max_events=max_events)
        readers = {"read slow": log.read(0), "read fast": log.read(0)}
        covered: dict[str, list[int]] = {name: [] for name in readers}

        async def read(name: str) -> None:
            if readers[name].waiting:
                found = await readers[name].__anext__()
                missed = isinstance(found, EventsMissed)
                covered[name] += (
                    range(found.first, found.last + 1)
                    if isinstance(found, EventsMissed)
                    else [found.seq]
                )
                assert readers[name].position == covered[name][-1]
                assert not missed or log.last_seq - covered[name][-1] == max_events

        for step in steps:
            if step == "append":
                log.append(event(log.last_seq + 1))
            else:
                await read(step)
        for name, reader in readers.items():
            while reader.waiting:
                await read(name)
            assert covered[name] == list(range(1, log.last_seq + 1))

    trio.run(check)
