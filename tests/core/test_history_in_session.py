"""The history: order of items, transcripts, and the events that report changes."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.service import begin_audio_response, silence
from support.sessions import open_test_session
from support.wire import ITEM, Frame
from trio_realtime import events, item_text
from trio_realtime.testing import ScriptedPeer

# --- order -------------------------------------------------------------------------------------


async def test_items_are_inserted_after_their_predecessor(
    autojump_clock: MockClock,
) -> None:
    """The service names no predecessor for the first item, whether or not that place was asked for."""
    peer = ScriptedPeer()

    def said(item_id: str) -> Frame:
        content = [{"type": "input_text", "text": item_id}]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    async with open_test_session(peer) as session:
        peer.add_item(said("a"), None)
        peer.add_item(said("c"), "a")
        peer.add_item(said("b"), "a")
        peer.add_item(said("last"), None)
        await session.send_message("first", previous_item_id="root", respond=False)
        create = await peer.expect(ITEM)
        peer.add_item(said(create["item"]["id"]), None)
        await wait_all_tasks_blocked()
        assert [item.id for item in session.history] == [
            *(create["item"]["id"], "a", "b", "c", "last"),
        ]


@pytest.mark.parametrize("told_by", ["added", "done"])
async def test_order_of_items_is_independent_of_the_order_of_arrival(
    told_by: str, autojump_clock: MockClock
) -> None:
    def said(item_id: str) -> Frame:
        content = [{"type": "input_text", "text": item_id}]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        for item_id, previous in (("a", None), ("c", "a"), ("b", "a")):
            peer.send(
                {
                    "type": f"conversation.item.{told_by}",
                    "item": said(item_id),
                    "previous_item_id": previous,
                }
            )
        await wait_all_tasks_blocked()
        assert [item.id for item in session.history] == ["a", "b", "c"]
        added = drain_events(session.events, events.HistoryAdded)
        assert [event.item.id for event in added] == ["a", "c", "b"]


# --- transcripts -------------------------------------------------------------------------------


def spoken_item(item_id: str, transcript: str | None, *, status: str = "completed") -> Frame:
    part = {"type": "output_audio", "transcript": transcript}
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part],
    }


@pytest.mark.parametrize("final", [True, False])
async def test_version_without_a_transcript_keeps_the_known_one(
    final: bool, autojump_clock: MockClock
) -> None:
    """The final transcript, or else the concatenated deltas."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_audio_response(peer, "resp_1", "item_1", bytes(48_000))
        peer.transcript("resp_1", "item_1", "Once upon ")
        peer.transcript("resp_1", "item_1", "a time")
        if final:
            peer.close_item("resp_1", spoken_item("item_1", "Once upon a time."))
        peer.send(
            {
                "type": "conversation.item.truncated",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 500,
            }
        )
        peer.send({"type": "conversation.item.retrieved", "item": spoken_item("item_1", None)})
        await wait_all_tasks_blocked()
        (item,) = session.history
        assert item_text(item) == ("Once upon a time." if final else "Once upon a time")


async def test_late_deltas_do_not_change_a_final_transcript(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "Hello wor")
        peer.close_item("resp_1", spoken_item("item_1", "Hello world."))
        peer.transcript("resp_1", "item_1", "stale")
        await wait_all_tasks_blocked()
        (item,) = session.history
        assert item_text(item) == "Hello world."


async def test_transcript_of_the_user_is_added_to_its_item_without_a_request(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        said = {"id": "item_u", "type": "message", "role": "user", "status": "completed"}
        peer.add_item({**said, "content": [{"type": "input_audio", "transcript": None}]})
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good morning.", pcm=silence(1))
        peer.send(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "item_u",
                "content_index": 0,
                "transcript": "Hello",
                "usage": {"type": "duration", "seconds": 1},
            }
        )
        await peer.expect_nothing()
        assert [(item.id, item_text(item)) for item in session.history] == [
            ("item_u", "Hello"),
            ("item_1", "Good morning."),
        ]


# --- events ------------------------------------------------------------------------------------


async def test_growing_transcript_is_reported(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with session.subscribe(events.HistoryUpdated) as changes:
            peer.begin_response("resp_1")
            peer.open_message("resp_1", "item_1")
            seen: list[str] = []
            for piece in ("Once ", "upon ", "a time"):
                peer.transcript("resp_1", "item_1", piece)
                await trio.sleep(1)
                found = drain_events(changes, events.HistoryUpdated)
                seen += [item_text(event.item) for event in found if event.item is not None]
    assert seen == ["Once ", "Once upon ", "Once upon a time"]


async def test_last_change_of_an_unfinished_reply_is_reported(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "Good ")
        peer.text("resp_1", "item_1", "morning")
        peer.end_response("resp_1", "failed")
        await trio.sleep(1)
        assert drain_events(session.events, events.HistoryUpdated)[-1].item == session.history[0]


def user_item(item_id: str, part: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [part],
    }


async def test_last_change_of_a_failed_transcription_is_reported(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    about = {"item_id": "item_1", "content_index": 0}
    kind = "conversation.item.input_audio_transcription"
    async with open_test_session(peer) as session:
        peer.add_item(user_item("item_1", {"type": "input_audio", "transcript": None}))
        for delta in ("Good ", "morning"):
            peer.send({"type": f"{kind}.delta", **about, "delta": delta})
        peer.send({"type": f"{kind}.failed", **about, "error": {"type": "x", "message": "x"}})
        await trio.sleep(1)
        assert drain_events(session.events, events.HistoryUpdated)[-1].item == session.history[0]
