"""Type checkers narrow events by ``type`` and by class. mypy and pyright check this file."""

from __future__ import annotations

from typing import assert_never, assert_type, get_args

import pytest

from trio_realtime import EventChannel, RealtimeSession, events
from trio_realtime.events import AnyEvent


def narrow_by_type(event: AnyEvent) -> bytes | str | None:
    if event.type == "audio":
        assert_type(event, events.Audio)
        return event.data
    if event.type == "tool_end":
        assert_type(event, events.ToolEnd)
        assert_type(event.outcome, events.ToolOutcome)
        return event.output_text
    return None


def narrow_by_class(event: AnyEvent) -> bytes | str | None:
    match event:
        case events.Audio(data=data):
            assert_type(data, bytes)
            return data
        case events.AgentEnd():
            assert_type(event.status, events.ResponseStatus)
            return event.output
        case _:
            return None


def narrow_subscription(event: events.Audio | events.AudioEnd) -> str:
    if event.type == "audio":
        return event.item_id
    if event.type == "audio_end":
        return event.response_id
    assert_never(event)


async def channel_types(session: RealtimeSession[None]) -> None:
    assert_type(session.events, EventChannel[AnyEvent])
    with session.subscribe() as everything:
        assert_type(everything, EventChannel[AnyEvent])
        assert_type(await everything.receive(), AnyEvent)
    with session.subscribe(events.Audio) as audio:
        assert_type(audio, EventChannel[events.Audio])
        assert_type(await audio.receive(), events.Audio)
    async for event in session:
        assert_type(event, AnyEvent)


AUDIO = events.Audio(data=b"\0\0", response_id="resp_1", item_id="item_1", content_index=0)


@pytest.mark.parametrize("narrow", [narrow_by_type, narrow_by_class])
def test_both_ways_select_the_same_event(narrow: object) -> None:
    assert callable(narrow)
    assert narrow(AUDIO) == b"\0\0"


def test_the_union_contains_every_event_and_each_type_occurs_once() -> None:
    classes = set(events.SessionEvent.__subclasses__())
    assert classes == set(get_args(AnyEvent))
    names = [kind.type for kind in get_args(AnyEvent)]
    assert len({*names}) == len(names)
