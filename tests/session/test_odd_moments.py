"""Odd moments: ends, edits, trips and interrupts that meet what they usually do not meet."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import audio_response_ids, drain_events
from support.service import send_call_and_wait, silence
from support.sessions import open_test_session
from support.tools import endless, make_cleanup_tool
from support.wire import CREATE, ITEM, sent_creates, sent_frames, sent_types
from trio_realtime import (
    AgentContext,
    HostedMcpTool,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    SessionHooks,
    events,
    function_tool,
    handoff,
    open_realtime_session,
    output_guardrail,
)
from trio_realtime.agents import OutputGuardrail
from trio_realtime.errors import ConfigurationError, ConnectionLost, RealtimeError, UsageError
from trio_realtime.local import RuleResponder, local_connector
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import InputText, MessageItem

MCP_CALL: dict[str, Any] = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "docs",
    "name": "search",
    "arguments": "{}",
}
MCP_ASK: dict[str, Any] = {**MCP_CALL, "id": "ask_1", "type": "mcp_approval_request"}


def librarian(url: str = "https://example.com/mcp", name: str = "Librarian") -> RealtimeAgent[None]:
    return RealtimeAgent(
        name=name, hosted_tools=[HostedMcpTool(server_label="docs", server_url=url)]
    )


def open_mcp_call(peer: ScriptedPeer, response_id: str, item: dict[str, Any] = MCP_CALL) -> None:
    peer.send(
        {"type": "response.output_item.added", "response_id": response_id, "item": item},
        {"type": "conversation.item.added", "item": item},
        {"type": "response.mcp_call.in_progress", "item_id": item["id"]},
    )


def finish_mcp_call(peer: ScriptedPeer, item: dict[str, Any] = MCP_CALL) -> None:
    peer.send(
        {"type": "response.mcp_call.completed", "item_id": item["id"]},
        {"type": "conversation.item.done", "item": {**item, "output": "found"}},
    )


def ask_approval(peer: ScriptedPeer, item: dict[str, Any] = MCP_ASK) -> None:
    peer.send(
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
    )


async def park_approval_of_response(peer: ScriptedPeer, status: str) -> None:
    """A hosted call waits for a decision, and its response ends like this."""
    peer.begin_response("resp_1")
    ask_approval(peer)
    await wait_all_tasks_blocked()
    peer.end_response("resp_1", status)
    await wait_all_tasks_blocked()


def say(peer: ScriptedPeer, number: int, *, audio: float = 1) -> None:
    peer.begin_response(f"resp_{number}")
    peer.say(f"resp_{number}", f"item_{number}", "Good morning", pcm=silence(audio))
    peer.end_response(f"resp_{number}")


def user_item(item_id: str, part: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [part],
    }


# --- waits that never end, sessions that never speak again ---------------------------------------


async def test_update_agent_ends_with_the_session_while_the_agent_is_described(
    autojump_clock: MockClock,
) -> None:

    async def slow(_about: AgentContext[None]) -> str:
        await trio.sleep(1)
        return "Be brief."

    peer = ScriptedPeer()
    hung: list[bool] = []

    async def update(session: RealtimeSession[None]) -> None:
        with trio.move_on_after(30) as patience:
            with pytest.raises(RealtimeError):
                await session.update_agent(RealtimeAgent(name="Next", instructions=slow))
        hung.append(patience.cancelled_caught)

    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionLost):
            async with open_test_session(peer) as session:
                nursery.start_soon(update, session)
                await trio.sleep(0.5)
                peer.close(1011)
                async for _ in session:
                    pass
    assert hung == [False]


async def test_a_response_that_cannot_be_encoded_leaves_the_session_able_to_speak(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.create_response(tool_choice=object())
        with pytest.raises(UsageError):
            await session.send_message([object()])  # type: ignore[list-item]
        await session.send_message("Hello")
        assert CREATE in await sent_types(peer)


async def test_settings_that_cannot_be_encoded_leave_the_session_able_to_change(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError):
            await session.update_settings(tool_choice=object())
        with trio.fail_after(10):
            await session.update_settings(speed=1.2)


@pytest.mark.parametrize("status", ["incomplete", "failed", "cancelled"])
async def test_a_hosted_call_is_decided_about_however_its_response_ended(
    autojump_clock: MockClock, status: str
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        await park_approval_of_response(peer, status)
        cancelled = status == "cancelled"
        assert await session.approve_tool_call("ask_1") == (not cancelled)
        (sent,) = [frame["item"] for frame in await sent_frames(peer) if frame["type"] == ITEM]
        assert (sent["approval_request_id"], sent["approve"]) == ("ask_1", not cancelled)


async def test_an_interrupt_ends_the_wait_for_an_approval_of_a_response_that_was_cut_off(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        await park_approval_of_response(peer, "incomplete")
        await session.interrupt()
        with trio.fail_after(30):
            await session.drain()


async def test_a_tool_that_shields_itself_may_interrupt(autojump_clock: MockClock) -> None:
    sessions: list[RealtimeSession[None]] = []
    hung: list[bool] = []

    @function_tool
    async def hush() -> None:
        """Make the agent stop."""
        with trio.move_on_after(5, shield=True) as patience:
            await sessions[0].interrupt()
        hung.append(patience.cancelled_caught)

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        await send_call_and_wait(peer, "hush")
        await trio.sleep(10)
        assert hung == [False]


async def test_an_item_that_is_not_to_be_cut_does_not_stop_drain(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        say(peer, 1)
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, -1)
        with trio.fail_after(30):
            await session.drain()


async def test_drain_hears_of_a_report(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        say(peer, 1, audio=10)
        await wait_all_tasks_blocked()
        session.playback.played("item_1", 0, 10)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.drain)
            await trio.sleep(1)
            session.playback.played("item_1", 0, 10_000)
        assert trio.current_time() - began < 2


# --- the end -------------------------------------------------------------------------------------


class _Notes(SessionHooks[None]):
    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_tool_start(self, context: Any, agent: Any, tool: Any, event: Any) -> None:
        self.told.append("start")

    async def on_tool_end(
        self, context: Any, agent: Any, tool: Any, result: Any, event: Any
    ) -> None:
        self.told.append("end")

    async def on_tool_cancelled(self, context: Any, agent: Any, event: Any) -> None:
        self.told.append("cancelled")


async def test_hooks_are_told_of_the_end_of_a_tool_also_when_the_connection_is_lost(
    autojump_clock: MockClock,
) -> None:
    peer, notes = ScriptedPeer(), _Notes()
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer, endless, hooks=notes) as session:
            await send_call_and_wait(peer, "endless")
            peer.close(1011)
            async for _ in session:
                pass
    assert notes.told == ["start", "cancelled"]


class _Talkative(SessionHooks[None]):
    session: RealtimeSession[None]

    async def on_tool_start(self, context: Any, agent: Any, tool: Any, event: Any) -> None:
        await trio.sleep(1)
        await self.session.send_message("A tool runs")


async def test_a_loss_that_only_a_hook_was_told_of_is_raised_by_the_block(
    autojump_clock: MockClock,
) -> None:
    peer, hooks = ScriptedPeer(), _Talkative()
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer, endless, hooks=hooks, close_timeout=5) as session:
            hooks.session = session
            await send_call_and_wait(peer, "endless")
            peer.close(1011)
            await trio.sleep(3)


# --- hosted tools --------------------------------------------------------------------------------


async def test_a_hosted_call_of_an_interrupted_response_is_not_spoken_of(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        open_mcp_call(peer, "resp_1")
        finish_mcp_call(peer)
        peer.end_response("resp_1")
        assert CREATE not in await sent_types(peer)


async def test_a_hosted_call_of_a_response_beside_the_conversation_never_asks_for_another(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        await session.create_response(conversation="none")
        peer.begin_response("resp_1", await peer.expect(CREATE), conversation_id=None)
        open_mcp_call(peer, "resp_1")
        peer.end_response("resp_1", conversation_id=None)
        finish_mcp_call(peer)
        await wait_all_tasks_blocked()
        assert len(sent_creates(peer)) == 1


async def test_an_approval_for_good_of_a_hosted_tool_holds_for_its_server_only(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        ask_approval(peer)
        await wait_all_tasks_blocked()
        assert await session.approve_tool_call("ask_1", always=True)
        await session.update_agent(librarian("https://elsewhere.example/mcp", "Stranger"))
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1
        ask_approval(peer, {**MCP_ASK, "id": "ask_2"})
        await wait_all_tasks_blocked()
        assert len(drain_events(session.events, events.ToolApprovalRequired)) == 1


async def test_hosted_calls_that_are_over_are_forgotten(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        for number in range(600):
            item = {**MCP_CALL, "id": f"mcp_{number}"}
            peer.begin_response(f"resp_{number}")
            open_mcp_call(peer, f"resp_{number}", item)
            if number % 2:
                finish_mcp_call(peer, item)
            peer.end_response(f"resp_{number}", "cancelled")
        await wait_all_tasks_blocked()
        hosted: Any = session._shell.core._hosted
        assert max(len(hosted._owners), len(hosted._reported)) <= 256


async def test_where_a_hosted_server_is_stays_out_of_events(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=librarian("https://example.com/mcp?key=very-secret")
    ) as session:
        assert "very-secret" not in repr(await session.update_settings(speed=1.2))
        assert "very-secret" not in repr(drain_events(session.events, events.SettingsUpdated))


# --- guardrails ----------------------------------------------------------------------------------


def watch(seen: list[str], takes: float = 0) -> OutputGuardrail:
    @output_guardrail
    async def watch(_about: AgentContext[None], text: str) -> bool:
        seen.append(text)
        await trio.sleep(takes)
        return "secret" in text

    return watch


async def test_a_guardrail_sees_all_messages_of_a_reply_without_deltas(
    autojump_clock: MockClock,
) -> None:
    seen: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=RealtimeAgent(name="G", output_guardrails=[watch(seen)])
    ):
        peer.begin_response("resp_1")
        items = [
            {
                "id": f"item_{number}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text}],
            }
            for number, text in enumerate(["a secret", "and good bye"])
        ]
        peer.end_response("resp_1", output=items)
        await wait_all_tasks_blocked()
        assert any("secret" in text for text in seen)


async def test_what_trips_is_not_let_through_the_gate_when_its_response_ends(
    autojump_clock: MockClock,
) -> None:
    agent = RealtimeAgent[None](name="G", output_guardrails=[watch([], takes=1)])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, guardrail_audio_gate=True) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.transcript("resp_1", "item_1", "a secret")
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.begin_response("resp_2")
        await trio.sleep(2)
        peer.audio("resp_1", "item_1", silence(0.1))
        peer.end_response("resp_1")
        await trio.sleep(2)
        assert audio_response_ids(drain_events(session.events, events.Audio)) == []


async def test_a_trip_cancels_the_tools_of_its_response_also_when_a_create_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool(0)
    agent = RealtimeAgent[None](
        name="G", tools=[careful.tool], output_guardrails=[watch([], takes=1)]
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


# --- the history and its edits -----------------------------------------------------------------------


async def test_the_last_of_a_reply_without_an_end_is_told(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.text("resp_1", "item_1", "Good ")
        peer.text("resp_1", "item_1", "morning")
        peer.end_response("resp_1", "failed")
        await trio.sleep(1)
        assert drain_events(session.events, events.HistoryUpdated)[-1].item == session.history[0]


async def test_the_last_of_a_transcript_that_fails_is_told(autojump_clock: MockClock) -> None:
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


def text_item(text: str) -> MessageItem:
    return MessageItem(role="user", content=(InputText(text=text),))


async def test_two_edits_at_once_do_not_trip_over_each_other(autojump_clock: MockClock) -> None:
    local = local_connector(responder=RuleResponder())
    agent = RealtimeAgent[None](name="Assistant")
    with trio.fail_after(100):
        async with open_realtime_session(
            agent, transport=local, endpoint=local.endpoint
        ) as session:
            await session.send_message("old", respond=False)
            await trio.sleep(1)
            failures: list[RealtimeError] = []

            async def clear() -> None:
                try:
                    await session.update_history([])
                except RealtimeError as exc:
                    failures.append(exc)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(clear)
                nursery.start_soon(clear)
            assert failures == []


async def test_an_earlier_history_can_be_put_back_when_its_audio_was_dropped(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_history_audio=60_000) as session:
        say(peer, 1)
        await wait_all_tasks_blocked()
        before = session.history
        say(peer, 2)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await session.update_history(before)
        deleted = [
            f["item_id"] for f in await sent_frames(peer) if f["type"].endswith("item.delete")
        ]
        assert deleted == ["item_2"]


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"max_history_audio": None}, "max_history_audio must be a number"),
        ({"close_timeout": "1"}, "close_timeout must be a number greater than 0, not '1'"),
        ({"max_buffered_events": True}, "max_buffered_events must be a number"),
        ({"speed": "fast"}, "'>='|speed|supported"),
        ({"overflow": "block"}, "overflow is one of fail, drop_oldest, not 'block'"),
        ({"turn_detection": "server_vad"}, "a ServerVad, a SemanticVad, or None"),
        ({"transcription": "whisper-1"}, "transcription is a Transcription"),
        ({"voice": 3}, "voice is a name or a CustomVoice, not 3"),
        ({"format_rejection": 3}, "format_rejection is a function, not 3"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SessionConfig(**setting)


@pytest.mark.parametrize("history", ["abc", [1], [{"type": "message"}], lambda _items: None])
async def test_a_history_that_is_none_is_refused_in_words(
    history: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="takes a sequence of items"):
            await session.update_history(history)
        assert await sent_frames(peer) == []


async def test_an_endpoint_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match="expected endpoint to be an Endpoint"):
        async with open_realtime_session(
            RealtimeAgent[None](name="A"),
            endpoint=cast("Any", "http://localhost"),
        ):
            raise AssertionError("it opened")


async def test_what_on_handoff_raises_is_told(autojump_clock: MockClock) -> None:
    def refuse(_about: AgentContext[None]) -> None:
        raise LookupError("nobody there")

    peer = ScriptedPeer()
    other = RealtimeAgent[None](name="Other")
    agent = RealtimeAgent[None](name="A", handoffs=[handoff(other, on_handoff=refuse)])
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_other")
        await wait_all_tasks_blocked()
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, type(end.error)) == ("failed", LookupError)


async def test_a_hosted_call_that_an_interrupt_withdraws_is_an_event(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=librarian()) as session:
        ask_approval(peer)
        await wait_all_tasks_blocked()
        await session.interrupt()
        (withdrawn,) = drain_events(session.events, events.ToolCancelled)
        assert withdrawn.call_id == "ask_1"
