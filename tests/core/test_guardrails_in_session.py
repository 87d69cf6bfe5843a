"""Guardrails on replies and user input: when they check, and what a trip does."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.guardrails import (
    RecordingGuardrail,
    agent_with_guardrails,
    begin_reply,
    drain_trips,
    guarded_agent,
    next_trip,
)
from support.service import message_item, silence
from support.sessions import open_test_session
from support.tools import make_cleanup_tool
from support.wire import CANCEL, CREATE, ITEM, TRUNCATE, sent_frames, sent_types, user_message_text
from trio_realtime import (
    AgentContext,
    RealtimeAgent,
    events,
    function_tool,
    input_guardrail,
)
from trio_realtime.testing import ScriptedPeer

# --- when replies are checked ------------------------------------------------------------------


LONG = "and so it goes on and on, "  # 26 characters


@pytest.mark.parametrize("spoken", [True, False])
async def test_reply_shorter_than_the_debounce_length_is_checked(
    spoken: bool, autojump_clock: MockClock
) -> None:
    recorder = RecordingGuardrail("hunter2")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(recorder)):
        begin_reply(peer, "the password is ", "hunter2", spoken=spoken)
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert recorder.seen == ["the password is hunter2"]


async def test_reply_without_deltas_is_checked(autojump_clock: MockClock) -> None:
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_guardrails(recorder.guardrail)):
        peer.begin_response("resp_1")
        item = message_item("item_1", "all at once")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1", output=[item])
        await trio.sleep(1)
    assert recorder.seen == ["all at once"]


async def test_a_final_text_that_contradicts_the_deltas_is_checked(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail("hunter2")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(recorder)) as session:
        begin_reply(peer, "the password is secret", spoken=False)
        item = message_item("item_1", "the password is hunter2")
        peer.close_item("resp_1", item)
        peer.end_response("resp_1", output=[item])
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert len(drain_trips(session)) == 1
    assert recorder.seen[-1] == "the password is secret\nthe password is hunter2"


async def test_all_messages_of_a_reply_without_deltas_are_checked(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(recorder)):
        peer.begin_response("resp_1")
        items = [
            message_item(f"item_{number}", text)
            for number, text in enumerate(["a secret", "and good bye"])
        ]
        peer.end_response("resp_1", output=items)
        await wait_all_tasks_blocked()
        assert any("secret" in text for text in recorder.seen)


@pytest.mark.parametrize(("debounce", "checks"), [(52, [52, 104, 130]), (0, [130])])
async def test_growing_reply_is_checked_at_each_debounce_length(
    debounce: int, checks: list[int], autojump_clock: MockClock
) -> None:
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=agent_with_guardrails(recorder.guardrail), guardrail_debounce=debounce
    ):
        begin_reply(peer, *[LONG] * 5)
        peer.end_response("resp_1")
        await trio.sleep(1)
    assert sorted(map(len, recorder.seen)) == checks


# --- trips while the response runs -------------------------------------------------------------


async def test_trip_interrupts_the_reply_and_names_all_tripped_guardrails(
    autojump_clock: MockClock,
) -> None:
    first, second, calm = (
        RecordingGuardrail(name="first"),
        RecordingGuardrail(name="second"),
        RecordingGuardrail("other", name="calm"),
    )
    peer = ScriptedPeer()
    agent = guarded_agent(first, calm, second)
    async with open_test_session(peer, agent=agent, guardrail_debounce=52) as session:
        begin_reply(peer, LONG, audio=silence(5))
        await trio.sleep(2)
        assert await sent_types(peer) == []
        peer.transcript("resp_1", "item_1", "here is the secret: hunter2")
        cancel, truncate, item = [await peer.next() for _ in range(3)]
        assert (cancel["type"], cancel["response_id"]) == (CANCEL, "resp_1")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_1", 2000)
        assert user_message_text(item) == "guardrail triggered: first, second"
        await peer.expect_nothing()
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await peer.expect(CREATE)
        await peer.expect_nothing()
        (trip,) = drain_trips(session)
        assert [found.name for found in trip.guardrail_results] == ["first", "second"]


async def test_trip_cancels_the_tools_of_its_response_and_sends_feedback_once(
    autojump_clock: MockClock,
) -> None:
    first, second = RecordingGuardrail(name="first"), RecordingGuardrail(name="second")
    ended: list[str] = []

    @function_tool
    async def slow() -> None:
        try:
            await trio.sleep(100)
        finally:
            ended.append("slow")

    peer = ScriptedPeer()
    agent = agent_with_guardrails(first.guardrail, second.guardrail, tools=[slow])
    async with open_test_session(peer, agent=agent, guardrail_debounce=10) as session:
        begin_reply(peer, "here it comes", audio=bytes(48 * 2000))
        peer.call("resp_1", "item_2", "call_1", "slow")
        await trio.sleep(0.5)
        peer.transcript("resp_1", "item_1", " and so is my secret")
        event = await next_trip(session)
        assert [trip.name for trip in event.guardrail_results] == ["first", "second"]
        assert event.response_id == "resp_1"
        sent = [await peer.next() for _ in range(4)]
        assert [frame["type"] for frame in sent] == [
            "response.cancel",
            "conversation.item.truncate",
            "conversation.item.create",
            "conversation.item.create",
        ]
        assert sent[0]["response_id"] == "resp_1"
        texts = [str(frame["item"]) for frame in sent[2:]]
        assert any("guardrail triggered: first, second" in text for text in texts)
        assert any("function_call_output" in text for text in texts)
        peer.audio("resp_1", "item_1", bytes(480))
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        await peer.expect("response.create")
        await peer.expect_nothing()
        assert ended == ["slow"]


async def test_concurrent_checks_that_both_trip_count_as_one(autojump_clock: MockClock) -> None:
    recorder = RecordingGuardrail(delay=3)
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(recorder), guardrail_debounce=10
    ) as session:
        begin_reply(peer, "the first secret", audio=silence(9))
        await trio.sleep(1)
        peer.transcript("resp_1", "item_1", " and another one")
        await trio.sleep(1)
        assert len(recorder.seen) == 2
        await trio.sleep(5)
        assert await sent_types(peer) == [CANCEL, TRUNCATE, ITEM]
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        assert await sent_types(peer) == [CANCEL, TRUNCATE, ITEM, CREATE]
        assert len(drain_trips(session)) == 1


async def test_trip_in_a_text_reply_does_not_affect_older_audio(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(RecordingGuardrail()), guardrail_debounce=5
    ) as session:
        begin_reply(peer, "a story", audio=silence(60))
        peer.end_response("resp_1")
        await trio.sleep(1)
        begin_reply(peer, "the secret", number=2, spoken=False)
        await peer.expect(CANCEL, response_id="resp_2")
        assert "guardrail triggered" in user_message_text(await peer.expect(ITEM))
        await peer.expect_nothing()
        types = [event.type for event in drain_channel(session.events)]
        assert "guardrail_tripped" in types
        assert "audio_interrupted" not in types
        assert session.playback.remaining > 55


# --- late trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("spoken", [True, False])
async def test_late_trip_truncates_its_own_audio_and_does_not_affect_a_newer_response(
    spoken: bool, autojump_clock: MockClock
) -> None:
    """It sends neither a cancel nor feedback, since the conversation has moved on."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(RecordingGuardrail(delay=3))) as session:
        audio = silence(60) if spoken else b""
        begin_reply(peer, "the secret", audio=audio, spoken=spoken)
        peer.end_response("resp_1")
        await trio.sleep(2)
        begin_reply(peer, "a story", number=2, audio=silence(60))
        await trio.sleep(5)
        (trip,) = drain_trips(session)
        assert trip.response_id == "resp_1"
        cut = [frame for frame in await sent_frames(peer) if frame["type"] == TRUNCATE]
        assert await sent_types(peer) == ([TRUNCATE] if spoken else [])
        assert [(frame["item_id"], frame["audio_end_ms"]) for frame in cut] == (
            [("item_1", 3000)] if spoken else []
        )
        peer.audio("resp_2", "item_2", silence(1))
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.Audio)) == 1, "the newer response continues"


async def test_late_trip_of_the_latest_response_truncates_and_sends_feedback(
    autojump_clock: MockClock,
) -> None:
    recorder = RecordingGuardrail(delay=5)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent_with_guardrails(recorder.guardrail)) as session:
        begin_reply(peer, "a secret", audio=bytes(48 * 60_000))
        peer.end_response("resp_1")
        await next_trip(session)
        truncate = await peer.expect("conversation.item.truncate")
        assert truncate["audio_end_ms"] == 5000
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


async def test_trip_after_the_end_cancels_nothing_and_sends_feedback(
    autojump_clock: MockClock,
) -> None:
    """Its ``response.create`` follows at once, since no response is running."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(RecordingGuardrail(delay=3))):
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await peer.expect_nothing()
        assert user_message_text(await peer.expect(ITEM)) == "guardrail triggered: watch"
        await peer.expect(CREATE)
        await peer.expect_nothing()


async def test_trip_after_the_end_sends_no_feedback_if_a_response_was_requested_since(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(RecordingGuardrail(delay=3))) as session:
        begin_reply(peer, "the secret", spoken=False)
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_message("Something else")
        await trio.sleep(5)
        assert len(drain_trips(session)) == 1
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_trip_cancels_the_tools_of_its_response_although_a_create_is_pending(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool(0)
    agent = RealtimeAgent[None](
        name="G", tools=[careful.tool], output_guardrails=[RecordingGuardrail(delay=1).guardrail]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "a secret")
        peer.call("resp_1", "item_2", "call_1", "careful")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_message("And?")
        await trio.sleep(3)
        assert careful.log == ["started", "cleaned up"]


async def test_audio_of_a_response_can_be_truncated_until_its_check_ends(
    autojump_clock: MockClock,
) -> None:
    """Both this response and a newer one are done."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded_agent(RecordingGuardrail(delay=7))):
        begin_reply(peer, "the secret", audio=silence(5))
        peer.open_message("resp_1", "item_1b")
        peer.audio("resp_1", "item_1b", silence(5))
        peer.end_response("resp_1")
        await trio.sleep(1)
        begin_reply(peer, "a story", number=2, audio=silence(5))
        peer.end_response("resp_2")
        await trio.sleep(7)
        cut = [(frame["item_id"], frame["audio_end_ms"]) for frame in await sent_frames(peer)]
        assert cut == [("item_1b", 2000)]


async def test_late_done_of_an_earlier_response_does_not_affect_checks(
    autojump_clock: MockClock,
) -> None:
    """It ends no second turn and sends no create."""
    recorder = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=guarded_agent(recorder), guardrail_debounce=5
    ) as session:
        begin_reply(peer, "hello")
        peer.end_response("resp_1")
        begin_reply(peer, "a st", number=2)
        await wait_all_tasks_blocked()
        await session.send_message("And then?")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await peer.expect(ITEM)
        await peer.expect_nothing()
        ends = drain_events(session.events, events.AgentEnd)
        assert [end.response_id for end in ends] == ["resp_1"]
        peer.transcript("resp_2", "item_2", "ory with a secret")
        await peer.expect(CANCEL, response_id="resp_2")
        await peer.expect(ITEM)
        await peer.expect_nothing()
        peer.end_response("resp_2", "cancelled", reason="client_cancelled")
        await peer.expect(CREATE)
        await peer.expect_nothing()
    assert recorder.seen == ["hello", "a story with a secret"]


# --- user input --------------------------------------------------------------------------------


async def test_message_of_the_user_is_checked_and_the_reply_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    @input_guardrail
    async def rude(_about: AgentContext[None], text: str) -> bool:
        await trio.sleep(1)
        return "!" in text

    peer = ScriptedPeer()
    agent = RealtimeAgent[None](name="A", input_guardrails=[rude])
    async with open_test_session(peer, agent=agent) as session:
        await session.send_message("Hey!")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        event = await next_trip(session)
        assert (event.response_id, event.message) == (None, "Hey!")
        await peer.expect("response.cancel", response_id="resp_1")


async def test_transcript_of_the_user_is_checked(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    @input_guardrail
    def note(_about: AgentContext[None], text: str) -> bool:
        seen.append(text)
        return False

    peer = ScriptedPeer()
    async with open_test_session(peer, input_guardrails=[note]):
        peer.send(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "item_1",
                "content_index": 0,
                "transcript": "hello there",
                "usage": {"type": "duration", "seconds": 1},
            }
        )
        await trio.sleep(1)
    assert seen == ["hello there"]


async def test_late_trip_of_older_input_does_not_affect_the_reply_to_newer_input(
    autojump_clock: MockClock,
) -> None:
    @input_guardrail
    async def rude(_about: AgentContext[None], text: str) -> bool:
        await trio.sleep(5 if "!" in text else 0)
        return "!" in text

    peer = ScriptedPeer()
    async with open_test_session(peer, input_guardrails=[rude]) as session:
        await session.send_message("Hey!", respond=False)
        await trio.sleep(1)
        await session.send_message("Sorry.")
        await peer.expect("conversation.item.create")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_1", create)
        await next_trip(session)
        await peer.expect_nothing()
