"""What realtime clients get wrong, and this one does not: a test for each row of a list, D1 to D20.

Each docstring says what goes wrong, and the test fails on it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_channel, drain_events, text_deltas
from support.guardrails import RecordingGuardrail, begin_reply
from support.service import (
    accept_create,
    end_audio,
    send_call,
    send_call_and_wait,
    silence,
    start_audio_response,
    start_call,
)
from support.sessions import PassivePeer, open_session_with, open_test_session, task_count
from support.tools import make_cleanup_tool, wait
from support.wire import (
    CREATE,
    ITEM,
    TRUNCATE,
    Frame,
    sent_frames,
    sent_outputs,
    sent_settings,
    sent_types,
)
from trio_realtime import (
    AgentContext,
    AgentHooks,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    SessionHooks,
    events,
    function_tool,
    item_text,
    open_realtime_session,
)
from trio_realtime.errors import ConnectionLost, ConsumerTooSlow, ToolFailed
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer, message

Session: TypeAlias = RealtimeSession[None]
Agent: TypeAlias = RealtimeAgent[Any]
Context: TypeAlias = AgentContext[Any]
Told: TypeAlias = list[tuple[str, Any]]


def guarded(watch: RecordingGuardrail) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Guarded", output_guardrails=[watch.guardrail])


def types_of(found: list[events.SessionEvent]) -> list[str]:
    return [event.type for event in found]


def cuts(frames: list[Frame]) -> list[tuple[str, int]]:
    """Item and milliseconds of each truncate."""
    return [
        (frame["item_id"], frame["audio_end_ms"]) for frame in frames if frame["type"] == TRUNCATE
    ]


# --- D1: hooks ---------------------------------------------------------------------------------


class Noted:
    """What hooks of either kind are told of tools, and what they were told of all."""

    def __init__(self) -> None:
        self.told: Told = []

    async def on_tool_start(
        self, context: Context, agent: Agent, tool: FunctionTool, event: events.ToolStart
    ) -> None:
        assert context.agent is agent is event.agent
        self.told.append(("tool start", tool.name))

    async def on_tool_end(
        self,
        context: Context,
        agent: Agent,
        tool: FunctionTool | None,
        result: Any,
        event: events.ToolEnd,
    ) -> None:
        assert context.agent is agent
        assert event.tool is tool
        self.told.append(("tool end", result))


class OfAgent(Noted, AgentHooks[None]):
    """Notes what it is told."""

    async def on_start(self, context: Context, agent: Agent, event: events.AgentStart) -> None:
        self.told.append(("start", context.agent is agent is event.agent))

    async def on_end(
        self, context: Context, agent: Agent, output: str, event: events.AgentEnd
    ) -> None:
        assert context.agent is agent is event.agent
        self.told.append(("end", output))


class OfSession(Noted, SessionHooks[None]):
    """Notes what it is told."""

    async def on_agent_start(
        self, context: Context, agent: Agent, event: events.AgentStart
    ) -> None:
        self.told.append(("start", context.agent is agent is event.agent))

    async def on_agent_end(
        self, context: Context, agent: Agent, output: str, event: events.AgentEnd
    ) -> None:
        assert context.agent is agent is event.agent
        self.told.append(("end", output))


async def test_hooks_of_agent_and_session_are_called(autojump_clock: MockClock) -> None:
    """D1: hooks may be declared, and nobody ever calls them."""
    of_agent, of_session = OfAgent(), OfSession()
    agent = RealtimeAgent[None](name="A", tools=[wait], hooks=of_agent)
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, hooks=of_session):
        send_call(peer, "wait", '{"seconds": 1}')
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.say("resp_2", "item_2", "Done.")
        peer.end_response("resp_2")
        await wait_all_tasks_blocked()
        assert of_agent.told == [
            ("start", True),
            ("tool start", "wait"),
            ("tool end", "waited 1"),
            ("end", "Done."),
        ]
        assert of_session.told == of_agent.told


# --- D2: short replies -------------------------------------------------------------------------


@pytest.mark.parametrize("spoken", [True, False])
async def test_a_reply_shorter_than_the_debounce_length_is_checked(
    spoken: bool, autojump_clock: MockClock
) -> None:
    """D2: checks run at multiples of a length only, so a short reply is never checked."""
    watch = RecordingGuardrail("hunter2")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch)):
        begin_reply(peer, "the password is ", "hunter2", spoken=spoken)
        peer.end_response("resp_1")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert watch.seen == ["the password is hunter2"]


# --- D3: events before a failure ---------------------------------------------------------------


async def test_what_came_before_a_failure_is_read_before_it_is_raised(
    autojump_clock: MockClock,
) -> None:
    """D3: once the connection fails, iteration raises at once and forgets what it had queued."""
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        for word in ("one", "two", "three", "four", "five"):
            peer.text("resp_1", "item_1", word)
        peer.close(1011, "internal error")
        await wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="1011"):
            await collect_events(session, seen)
    assert text_deltas(seen) == ["one", "two", "three", "four", "five"]


# --- D4: whose response ------------------------------------------------------------------------


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_text_that_lost_to_the_users_voice_is_answered(
    refused_first: bool, autojump_clock: MockClock
) -> None:
    """D4: the service's own response is taken for ours; ours is refused and never asked for again.

    The user's text gets no answer.
    """
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("Hello?")
        await peer.expect(ITEM)
        create = await peer.expect(CREATE)
        lost = "conversation_already_has_active_response"
        if refused_first:
            peer.reject(create, lost)
        peer.begin_response("resp_of_the_voice")
        if not refused_first:
            peer.reject(create, lost)
        await peer.expect_nothing()
        peer.end_response("resp_of_the_voice")
        again = await peer.expect(CREATE)
        peer.begin_response("resp_1", again)
        peer.end_response("resp_1")
        await peer.expect_nothing()
        assert not drain_events(session.events, events.Error)


# --- D5: parallel calls ------------------------------------------------------------------------


async def test_parallel_calls_are_answered_together_before_one_create(
    autojump_clock: MockClock,
) -> None:
    """D5: the first answer asks for a response while the other call still runs, and so does that."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 1}')
        peer.call("resp_1", "item_2", "call_2", "wait", '{"seconds": 9}')
        peer.end_response("resp_1")
        await trio.sleep(5)
        assert await sent_types(peer) == [ITEM]
        await trio.sleep(5)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        await trio.sleep(20)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]


# --- D6: tools and interruptions ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["the user speaks", "interrupt()", "the service cancels"])
async def test_an_interruption_stops_the_tools(how: str, autojump_clock: MockClock) -> None:
    """D6: tools run on after a barge-in, and their late answers make the agent speak again."""
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_call(peer, "careful")
        if how == "the user speaks":
            peer.start_user_speech()
        elif how == "interrupt()":
            await session.interrupt()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(60)
        assert careful.log == ["started", "cleaned up"]
        ((call_id, _),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert CREATE not in await sent_types(peer)


# --- D7: a consumer that does not read ---------------------------------------------------------


async def test_what_is_left_unread_is_bounded_and_kept_once(autojump_clock: MockClock) -> None:
    """D7: a queue without bounds, in which each piece of audio stands several times over."""
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=1000) as session:
        await wait_all_tasks_blocked()
        before = session.statistics().events.buffered_events
        peer.begin_response("resp_1")
        peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        first = session.statistics().events.buffered_events
        for _ in range(400):
            peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        held = session.statistics().events
        assert (held.buffered_events, held.buffered_audio) == (first + 400, 401 * 480)
        assert first - before <= 3
        for _ in range(4600):
            peer.audio("resp_1", "item_1", bytes(480))
        await wait_all_tasks_blocked()
        held = session.statistics().events
        assert held.buffered_events == 1000
        assert held.buffered_audio <= 1000 * 480
        seen: list[events.SessionEvent] = []
        with pytest.raises(ConsumerTooSlow):
            await collect_events(session, seen)
        assert len(seen) == 1000


# --- D8: what is not known ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.dreamt", "dream": {"sheep": [1, 2]}},
        {"type": "response.output_text.delta", "delta": 7},
        {"type": "conversation.item.added", "item": {"type": "hologram", "id": "item_h"}},
    ],
)
async def test_an_event_that_nobody_knows_is_no_error(
    frame: Frame, autojump_clock: MockClock
) -> None:
    """D8: a type that is new to the client becomes an ``error`` event."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery():
        with session.subscribe(events.RawModelEvent) as raw:
            peer.send({"event_id": "event_new", **frame})
            await wait_all_tasks_blocked()
            (seen,) = drain_events(raw, events.RawModelEvent)
            assert seen.json() == {"event_id": "event_new", **frame}
        assert not drain_events(session.events, events.Error)
        await session.send_message("And on it goes")
        await peer.expect(ITEM)


# --- D9: tools that fail -----------------------------------------------------------------------


@function_tool
async def broken() -> None:
    """Fail."""
    raise LookupError("no such thing")


@function_tool(timeout=2)
async def slow() -> None:
    """Take too long."""
    await trio.sleep_forever()


@pytest.mark.parametrize(("tool", "told"), [(broken, "no such thing"), (slow, "timed out")])
async def test_a_tool_that_fails_is_answered_and_the_session_goes_on(
    tool: Any, told: str, autojump_clock: MockClock
) -> None:
    """D9: the call gets no answer, the model waits for it, and iteration ends with the exception."""
    peer = ScriptedPeer()
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, tool.name)
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.text("resp_2", "item_2", "Sorry.")
        await wait_all_tasks_blocked()
        assert text_deltas(drain_channel(session.events)) == ["Sorry."]
    ((call_id, output),) = sent_outputs(peer)
    assert call_id == "call_1"
    assert told in output


async def test_a_tool_may_end_the_session_and_is_answered_all_the_same(
    autojump_clock: MockClock,
) -> None:
    """D9: what an exception of a tool does to the session is not for its author to say."""

    @function_tool(on_failure="end_session")
    async def vital() -> None:
        """Fail for good."""
        raise LookupError("no such thing")

    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer, vital) as session:
        await send_call_and_wait(peer, "vital")
        with pytest.raises(ToolFailed) as caught:
            await collect_events(session, seen)
        assert isinstance(caught.value.__cause__, LookupError)
        assert "tool_end" in types_of(seen)
    ((call_id, output),) = sent_outputs(peer)
    assert call_id == "call_1"
    assert "no such thing" in output


# --- D10: one session after another ------------------------------------------------------------


async def test_a_session_knows_nothing_of_the_one_before(autojump_clock: MockClock) -> None:
    """D10: what played in the first session is cut in the second, whose service never heard of it."""
    agent = RealtimeAgent[None](name="A")
    config = SessionConfig()
    peer = ScriptedPeer()
    for number in (1, 2):
        peer.received.clear()
        async with open_realtime_session(
            agent, endpoint=TEST_ENDPOINT, transport=peer.connect, config=config
        ) as session:
            assert session.history == ()
            peer.start_user_speech()
            await session.interrupt()
            assert await sent_frames(peer) == []
            await start_audio_response(peer, f"resp_{number}", f"item_{number}", audio=60)
    assert len(peer.connections) == 2


# --- D11: leaving ------------------------------------------------------------------------------


async def test_leaving_takes_no_longer_than_it_may(autojump_clock: MockClock) -> None:
    """D11: closing waits ten seconds and more for a service that never answers the close."""
    line = PassivePeer()
    before = task_count()
    async with open_session_with(line, close_timeout=1.0):
        began = trio.current_time()
    assert trio.current_time() - began <= 1.0
    assert task_count() == before


# --- D12: several items in the queue -----------------------------------------------------------


async def test_what_is_cut_is_the_item_that_plays(autojump_clock: MockClock) -> None:
    """D12: time is counted from the arrival of the last item, so that one is cut, and the wrong way."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=6)
        peer.open_message("resp_1", "item_2")
        peer.audio("resp_1", "item_2", silence(6))
        await trio.sleep(2)
        await session.interrupt()
        assert cuts(await sent_frames(peer)) == [("item_1", 2000), ("item_2", 0)]


# --- D13, D14, D15: history --------------------------------------------------------------------


async def test_the_users_transcript_is_put_where_it_belongs_and_nothing_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    """D13: the service is asked for the last item that the agent spoke, which is not the user's."""
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


@pytest.mark.parametrize("told_by", ["added", "done"])
async def test_an_item_stands_where_the_service_says(
    told_by: str, autojump_clock: MockClock
) -> None:
    """D14: items stand in the order of their arrival, whatever the service says of their places."""

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


async def test_a_transcript_that_grows_is_told_of_as_history(autojump_clock: MockClock) -> None:
    """D15: the history changes with each piece of a transcript, and no event says so."""
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


# --- D16: beside the conversation --------------------------------------------------------------


async def test_what_is_asked_beside_the_conversation_stays_beside_it(
    autojump_clock: MockClock,
) -> None:
    """D16: it waits for the response that runs, and its items, turns and checks are the agent's."""
    watch = RecordingGuardrail()
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=guarded(watch)) as session:
        begin_reply(peer, "a story")
        await wait_all_tasks_blocked()
        before = session.history
        drain_channel(session.events)
        handle = await session.create_response(conversation="none", instructions="One word.")
        create = await peer.expect(CREATE)
        peer.begin_response("resp_beside", create, conversation_id=None)
        said = message("item_beside", "secret")
        peer.send(
            {
                "type": "response.output_item.done",
                "response_id": "resp_beside",
                "output_index": 0,
                "item": said,
            }
        )
        peer.end_response("resp_beside", output=[said], conversation_id=None)
        assert (await handle).text == "secret"
        await peer.expect_nothing()
        assert drain_channel(session.events) == []
        assert (session.history, watch.seen) == (before, [])


# --- D17: how it ended -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("completed", None),
        ("cancelled", "turn_detected"),
        ("incomplete", "max_output_tokens"),
        ("failed", "server_error"),
    ],
)
async def test_the_end_of_a_turn_says_how_it_ended(
    status: str, reason: str | None, autojump_clock: MockClock
) -> None:
    """D17: a response that failed or was cut off ends like any other."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_reply(peer, "Once upon")
        peer.end_response("resp_1", status, reason=reason)
        await wait_all_tasks_blocked()
        seen = drain_channel(session.events)
    (end,) = [event for event in seen if isinstance(event, events.AgentEnd)]
    assert (end.status, end.reason, end.output) == (status, reason, "Once upon")
    (response,) = [event for event in seen if isinstance(event, events.ResponseEnd)]
    assert (response.status, response.reason) == (status, reason)


async def test_a_failed_transcription_and_the_rate_limits_are_told(
    autojump_clock: MockClock,
) -> None:
    """D17: and nobody hears of what went wrong with the user's words, or of what is left to use."""
    limit = {"name": "tokens", "limit": 100, "remaining": 7, "reset_seconds": 60}
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        drain_channel(session.events)
        peer.send(
            {
                "type": "conversation.item.input_audio_transcription.failed",
                "item_id": "item_u",
                "content_index": 0,
                "error": {"type": "transcription_error", "code": "unclear", "message": "noise"},
            },
            {"type": "rate_limits.updated", "rate_limits": [limit]},
        )
        await wait_all_tasks_blocked()
        failed, limits = drain_channel(session.events)
    assert isinstance(failed, events.UserTranscriptFailed)
    assert (failed.item_id, failed.code, failed.message) == ("item_u", "unclear", "noise")
    assert isinstance(limits, events.RateLimitsUpdated)
    assert limits.rate_limits[0].remaining == 7


# --- D18, D20: settings ------------------------------------------------------------------------


@pytest.mark.parametrize("by_the_model", [True, False])
async def test_an_agent_without_tools_takes_away_those_of_the_one_before(
    by_the_model: bool, autojump_clock: MockClock
) -> None:
    """D18: no tools are not mentioned at all, so the service keeps the old ones."""
    plain = RealtimeAgent[None](name="Plain", instructions="Just talk.")
    agent = RealtimeAgent[None](name="A", tools=[wait], handoffs=[plain])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        if by_the_model:
            await send_call_and_wait(peer, "transfer_to_plain")
        else:
            await session.update_agent(plain)
        assert session.current_agent is plain
    assert sent_settings(peer)[-1]["tools"] == []


async def test_generation_that_has_ended_is_not_playback_that_has_ended(
    autojump_clock: MockClock,
) -> None:
    """D19: with the last piece of audio all is taken for heard; who then speaks interrupts nothing."""
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=8)
        end_audio(peer, "resp_1", "item_1")
        peer.end_response("resp_1")
        await trio.sleep(3)
        peer.start_user_speech()
        assert cuts(await sent_frames(peer)) == [("item_1", 3000)]
        (cut,) = drain_events(session.events, events.AudioInterrupted)
        assert (cut.item_id, cut.played_ms) == ("item_1", 3000)


async def test_only_what_changes_is_sent(autojump_clock: MockClock) -> None:
    """D20: the voice and every default go along with each change, and services refuse the voice."""
    peer = ScriptedPeer()
    first = RealtimeAgent[None](name="A", instructions="One.", voice="marin", tools=[wait])
    second = RealtimeAgent[None](name="B", instructions="Two.", voice="marin", tools=[wait])
    async with open_test_session(peer, agent=first) as session:
        await session.update_settings(max_output_tokens=100)
        await session.update_agent(second)
    beginning, change, takeover = sent_settings(peer)
    assert beginning["audio"]["output"]["voice"] == "marin"
    assert "speed" not in beginning["audio"]["output"]
    assert "noise_reduction" not in beginning["audio"].get("input", {})
    assert change == {"type": "realtime", "max_output_tokens": 100}
    assert takeover == {"type": "realtime", "instructions": "Two."}
