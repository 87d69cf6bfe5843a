"""The rows of real sessions with the local server."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import trio
from trio.testing import MockClock

from support.session_rows import apply, table
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call, Say, ScriptedResponder, Step, local_connector
from trio_realtime.server.rpc import RpcEncoder
from trio_realtime.server.store import Row, SessionJournal
from trio_realtime.server.store.rows import storable
from trio_realtime.testing.faults import faulty_connector
from trio_realtime.transports import Connector
from trio_realtime.wire import Transcription

LOUD = array("h", [8000, -8000] * 120).tobytes()  # 10 ms


@function_tool(needs_approval=True)
async def pay(euros: int) -> str:
    """Pay."""
    return f"paid {euros}"


agent = RealtimeAgent[None](name="Clerk", tools=[pay])


class RecordedSession:
    """A session whose events become rows."""

    def __init__(self, session: RealtimeSession[None]) -> None:
        self.session = session
        self.rows: list[Row] = []
        self.types: list[str] = []
        self._encoder = RpcEncoder("session_1", "run_1")
        self._journal = SessionJournal()
        self._changed = trio.lowlevel.ParkingLot()
        self.make("run_started", {"agent": "Clerk"})
        self.make("run_connected", {})

    def make(self, kind: str, data: dict[str, Any]) -> None:
        self.rows += self._journal.record(self._encoder.make(kind, data, time=trio.current_time()))

    async def read(self) -> None:
        async for event in self.session.events:
            self.rows += self._journal.record(self._encoder.encode(event, time=trio.current_time()))
            self.types.append(event.type)
            self._changed.unpark_all()

    async def wait_for(self, kind: str, count: int = 1) -> None:
        while self.types.count(kind) < count:
            await self._changed.park()


async def record(
    script: Sequence[Step],
    talk: Callable[[RecordedSession], Any],
    *,
    transport: Callable[[Connector], Connector] = lambda server: server,
    **config: Any,
) -> list[Row]:
    server = local_connector(responder=ScriptedResponder(script), pacing=1.0)
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            async with open_realtime_session(
                agent,
                endpoint=server.endpoint,
                transport=transport(server),
                config=SessionConfig(**config),
            ) as session:
                recorded = RecordedSession(session)
                nursery.start_soon(recorded.read)
                await talk(recorded)
                await session.aclose()
            await recorded.wait_for("session_ended")
    for row in recorded.rows:
        storable(row)
    return recorded.rows


def messages(rows: list[Row]) -> list[dict[str, Any]]:
    found = [row for row in table(rows, "items") if row.get("kind") == "message"]
    return sorted(found, key=lambda row: row["ord"])


async def test_a_spoken_turn_with_a_tool(autojump_clock: MockClock) -> None:
    async def talk(recorded: RecordedSession) -> None:
        await recorded.session.send_audio(LOUD * 60 + bytes(1500 * 48))
        await recorded.wait_for("tool_approval_required")
        (call,) = table(recorded.rows, "tool_calls")
        await recorded.session.approve_tool_call(call["call_id"])
        await recorded.wait_for("agent_end")

    rows = await record(
        [Call("pay", {"euros": 3}), Say("Paid.", audio_ms=400)],
        talk,
        transcription=Transcription(model="gpt-live-transcribe"),
    )
    user, answer = messages(rows)
    assert (user["role"], answer["role"], answer["agent"]) == ("user", "assistant", "Clerk")
    assert answer["text"] == "Paid."
    assert user["text"]
    assert user["audio_end_ms"] > user["audio_start_ms"]
    assert "heard_text" not in answer
    assert "response_id" not in user
    responses = {row["response_id"]: row for row in table(rows, "responses")}
    assert len(responses) == 2
    assert responses[answer["response_id"]]["status"] == "completed"
    assert "first_audio_at" in responses[answer["response_id"]]
    (call,) = table(rows, "tool_calls")
    assert (call["state"], call["approval"], call["output"]) == ("completed", "approved", "paid 3")
    assert call["response_id"] in responses
    kinds = [row["kind"] for row in table(rows, "usage")]
    assert kinds.count("response") == 2
    (session,) = table(rows, "sessions")
    assert (session["status"], session["end_reason"]) == ("ended", "closed")
    (connection,) = table(rows, "connections")
    assert {"provider_session_id", "opened_at", "closed_at"} <= connection.keys()
    seqs = [row["seq"] for row in table(rows, "events")]
    assert seqs == sorted(set(seqs))
    assert session["last_seq"] == seqs[-1]


async def test_a_barge_in(autojump_clock: MockClock) -> None:
    story = "Once upon a time there was a very long story about nothing at all."

    async def talk(recorded: RecordedSession) -> None:
        await recorded.session.send_message("Tell me a story.")
        await recorded.wait_for("audio", 3)
        await trio.sleep(8)
        await recorded.session.send_audio(LOUD * 60 + bytes(1500 * 48))
        await recorded.wait_for("agent_end", 2)

    rows = await record([Say(story, audio_ms=20_000), Say("Yes?")], talk)
    _, interrupted, _, answer = messages(rows)
    heard = interrupted["heard_text"]
    assert heard
    assert story.startswith(heard)
    assert len(heard) < len(interrupted["text"])
    assert 0 < interrupted["interrupted_at_ms"] < 20_000
    assert (answer["text"], answer.get("heard_text")) == ("Yes?", None)
    statuses = [row["status"] for row in table(rows, "responses")]
    assert statuses == ["cancelled", "completed"]


async def test_a_lost_connection(autojump_clock: MockClock) -> None:
    faults: list[Any] = []

    def transport(server: Connector) -> Connector:
        faults.append(faulty_connector(server))
        return faults[0]  # type: ignore[no-any-return]

    async def talk(recorded: RecordedSession) -> None:
        await recorded.session.send_message("First.")
        await recorded.wait_for("agent_end")
        faults[0].link.drop()
        await recorded.wait_for("reconnected")
        await recorded.session.send_message("Second.")
        await recorded.wait_for("agent_end", 2)

    rows = await record(
        [Say("One."), Say("Two.")],
        talk,
        transport=transport,
        reconnect=ReconnectPolicy(jitter=0.0, max_attempts=4),
        output_modalities=("text",),
    )
    assert [row["text"] for row in messages(rows)] == ["First.", "One.", "Second.", "Two."]
    first, second = table(rows, "connections")
    assert (first["reason"], first["close_code"]) == ("initial", 1006)
    assert (second["reason"], second["state_restored"]) == ("drop", True)
    assert first["closed_at"] <= second["opened_at"] <= second["closed_at"]
    # The session does not report the id of its second connection.
    assert "provider_session_id" in first
    assert "provider_session_id" not in second
    assert len(apply(rows)) == len({row.key for row in rows})
