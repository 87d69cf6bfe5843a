"""Random conversations with random drops: the history equals the service's conversation in the end.

Each example is a whole session with the local server, over connections that are dropped at drawn frames:
during replays, between acknowledgements, several in a row. In the end the service's conversation on the last
connection is what the history says, nothing of the user is lost or doubled, each call has one output, each
question ends, and each event that begins something has its counterpart.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import wait_all_tasks_blocked

from support.events import collect_events
from support.sessions import task_count
from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    Transcription,
    errors,
    events as ev,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call, LocalConnector, Say, Step, Turn, local_connector
from trio_realtime.testing.faults import (
    Close,
    Drop,
    FailDial,
    Fault,
    FaultPlan,
    FaultyConnector,
    Incoming,
    Outgoing,
    faulty_connector,
)
from trio_realtime.testing.simulation.scheduling import run_seeded
from trio_realtime.wire import (
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
)

EXAMPLES = int(os.environ.get("RECONNECTING_EXAMPLES", "40"))

POLICY = ReconnectPolicy(
    max_attempts=30, max_speech=120.0, max_audio_while_away=120.0, initial_delay=0.1, max_delay=1.0
)

LOUD = b"\x00\x20" * 480
"""20 ms of speech."""


# --- what happens --------------------------------------------------------------------------------


@attrs.frozen
class Action:
    """What the user does, and when, in seconds after the action before."""

    kind: str
    delay: float
    number: int


KINDS = [
    "message",
    "message",
    "ask",
    "ask",
    "speech",
    "speech",
    "out_of_band",
    "interrupt",
    "delete",
    "insert",
    "settings",
    "agent",
    "reconnect",
]

actions = st.builds(
    Action,
    kind=st.sampled_from(KINDS),
    delay=st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 3.0]),
    number=st.integers(0, 2),
)

ACKNOWLEDGEMENTS = [
    "session.created",
    "session.updated",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.deleted",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "response.created",
    "response.output_item.done",
    "response.done",
]
REQUESTS = [
    "session.update",
    "conversation.item.create",
    "conversation.item.delete",
    "response.create",
    "input_audio_buffer.append",
]

moments = st.sampled_from(["before", "mid_frame", "instead", "after"])
triggers = st.one_of(
    st.builds(Incoming, st.integers(1, 60), moment=moments),
    st.builds(Outgoing, st.integers(1, 60), moment=moments),
    st.builds(Incoming, st.integers(1, 4), st.sampled_from(ACKNOWLEDGEMENTS), moment=moments),
    st.builds(Outgoing, st.integers(1, 4), st.sampled_from(REQUESTS), moment=moments),
)
drops: st.SearchStrategy[Fault] = st.one_of(
    st.builds(Drop, triggers),
    st.builds(Drop, triggers),
    st.builds(lambda at: Close(1001, at=at), triggers),
    st.just(FailDial()),
)
first_drops = st.builds(Drop, triggers)

REPLIES: Sequence[Sequence[Step]] = [
    [Say("It is a fine day and there is nothing to add.", audio_ms=1500)],
    [Call("look_up", {"seconds": 0})],
    [Say("One moment.", audio_ms=400), Call("look_up", {"seconds": 2})],
    [Call("look_up", {"seconds": 1}), Call("look_up", {"seconds": 0})],
    [Say("Ok.", audio_ms=100)],
]


@attrs.frozen
class Plan:
    """One example."""

    actions: tuple[Action, ...]
    first: Fault
    dials: tuple[Fault, ...]
    replies: tuple[int, ...]
    audio: bool
    pacing: float
    seed: int


plans = st.builds(
    Plan,
    actions=st.lists(actions, min_size=1, max_size=10).map(tuple),
    first=first_drops,
    dials=st.lists(drops, max_size=5).map(tuple),
    replies=st.lists(st.integers(0, len(REPLIES) - 1), max_size=8).map(tuple),
    audio=st.booleans(),
    pacing=st.sampled_from([1.0, 20.0]),
    seed=st.integers(0, 3),
)


class Responder:
    """Gives the drawn replies, and short ones after that."""

    def __init__(self, plan: Plan) -> None:
        self._replies = [*plan.replies]

    def respond(self, turn: Turn) -> Sequence[Step]:
        if turn.out_of_band or not self._replies:
            return REPLIES[4]
        steps = REPLIES[self._replies.pop(0)]
        if turn.items and turn.items[-1].kind == "function_call_output":
            steps = [step for step in steps if not isinstance(step, Call)]
        return steps


# --- one session ---------------------------------------------------------------------------------


Session: TypeAlias = RealtimeSession[None]


class Run:
    """One session with its user, its service, and what both have seen."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.server: LocalConnector = local_connector(
            responder=Responder(plan), pacing=plan.pacing, transcriber=_transcribe
        )
        self.connector: FaultyConnector = faulty_connector(self.server)
        self.events: list[ev.SessionEvent] = []
        self.sent: list[str] = []
        self.deleted: set[str] = set()
        self.runs: Counter[str] = Counter()
        self.utterances = 0
        self.open_waits = 0
        self.was_interrupted = False
        self._speaking = trio.Lock()
        self._editing = trio.Lock()  # the later one of two edits at once knows nothing of the other

    async def run(self) -> None:
        before = task_count()
        with trio.fail_after(600):
            await self._run()
        assert task_count() == before

    async def _run(self) -> None:
        @function_tool
        async def look_up(seconds: float) -> str:
            self.runs["look_up"] += 1
            await trio.sleep(seconds)
            return "found"

        self.tools = (look_up,)
        config = SessionConfig(
            reconnect=POLICY,
            request_timeout=20.0,
            output_modalities=("audio",) if self.plan.audio else ("text",),
            transcription=Transcription(model="whisper-1"),
        )
        async with open_realtime_session(
            RealtimeAgent[None](name="A", instructions="a", tools=self.tools),
            endpoint=self.server.endpoint,
            transport=self.connector,
            config=config,
        ) as s:
            self.connector.plan = FaultPlan([(), *self.plan.dials])
            self.connector.link.apply(self.plan.first)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._collect, s)
                await wait_all_tasks_blocked()
                async with trio.open_nursery() as users:
                    for action in self.plan.actions:
                        await trio.sleep(action.delay)
                        users.start_soon(self._perform, s, action)
                await self._settle(s)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            self._check(s)
        assert s.end is not None
        assert s.end.by == "application"

    async def _collect(self, s: Session) -> None:
        await collect_events(s, self.events)

    async def _settle(self, s: Session) -> None:
        """Wait until the session is connected and nothing has happened for a while."""
        while True:
            count = len(self.events)
            await s.drain()
            await trio.sleep(45)
            if count == len(self.events) and s._runtime.core.link.is_open:
                return

    async def _perform(self, s: Session, action: Action) -> None:
        self.open_waits += 1
        try:
            await getattr(self, f"_{action.kind}")(s, action)
        except (errors.ResponseFailed, errors.RequestRejected):
            pass
        finally:
            self.open_waits -= 1

    def _text(self) -> str:
        self.sent.append(f"text {len(self.sent)}")
        return self.sent[-1]

    async def _message(self, s: Session, action: Action) -> None:
        await s.send_message(self._text(), respond=action.number > 0)

    async def _ask(self, s: Session, action: Action) -> None:
        await s.ask(self._text())

    async def _speech(self, s: Session, action: Action) -> None:
        async with self._speaking:
            self.utterances += 1
            for _ in range(30):
                await s.send_audio(LOUD)
                await trio.sleep(0.02)
            for _ in range(60):
                await s.send_audio(bytes(960))
                await trio.sleep(0.02)

    async def _out_of_band(self, s: Session, action: Action) -> None:
        await (await s.create_response(conversation="none", instructions="x"))

    async def _interrupt(self, s: Session, action: Action) -> None:
        await s.interrupt()

    async def _delete(self, s: Session, action: Action) -> None:
        def without_one(items: Sequence[Any]) -> Sequence[Any]:
            messages = [item for item in items if text_of(item) in self.sent]
            if len(messages) <= action.number:
                return items
            victim = messages[action.number]
            self.deleted.add(text_of(victim))
            return [item for item in items if item is not victim]

        async with self._editing:
            await s.update_history(without_one)

    async def _insert(self, s: Session, action: Action) -> None:
        item = MessageItem(role="user", content=(InputText(text=self._text()),))
        async with self._editing:
            await s.update_history(lambda items: [item, *items])

    async def _settings(self, s: Session, action: Action) -> None:
        await s.update_settings(max_output_tokens=100 + action.number)

    async def _agent(self, s: Session, action: Action) -> None:
        name = "ABC"[action.number]
        await s.update_agent(RealtimeAgent[None](name=name, instructions=name, tools=self.tools))

    async def _reconnect(self, s: Session, action: Action) -> None:
        try:
            await s.reconnect()
        except errors.ConnectFailed:
            pass
        except errors.ConnectionLost:
            pass

    # --- what must hold in the end

    def _check(self, s: Session) -> None:
        assert self.open_waits == 0
        core = s._runtime.core
        service = self.server.connections[-1].items
        known = [item for item in s.history if core.history.is_on_connection(item.id or "")]
        assert [item.id for item in known] == [item["id"] for item in service]
        for item, theirs in zip(known, service, strict=True):
            check_same(item, theirs)
        for item in s.history:
            if item not in known:
                check_cannot_be_created(item, s.history)
        # Nothing of the user is lost or doubled.
        texts = Counter(text for item in s.history if (text := text_of(item)) in self.sent)
        for text in self.sent:
            assert texts[text] == 1 or (text in self.deleted and not texts[text]), text
        spoken = [item for item in s.history if is_speech(item)]
        assert len(spoken) == self.utterances
        # Each call has one output.
        calls = Counter(
            item.call_id
            for item in known
            if isinstance(item, FunctionCallItem) and item.status != "incomplete"
        )
        outputs = Counter(
            item.call_id for item in known if isinstance(item, FunctionCallOutputItem)
        )
        assert calls == outputs
        assert all(count == 1 for count in calls.values())
        # The settings are those of the current agent.
        sent = self.server.connections[-1].sent
        last = [frame["session"] for frame in sent if frame["type"] == "session.updated"][-1]
        assert last["instructions"] == s.current_agent.instructions
        assert s._runtime.core.session is not None
        assert last.get("max_output_tokens") == s._runtime.core.session.max_output_tokens
        self._check_events()

    def _check_events(self) -> None:
        check_alternates(self.events, ev.SpeechStarted, ev.SpeechStopped)
        starts = [e.response_id for e in self.events if isinstance(e, ev.ResponseStart)]
        ends = [e.response_id for e in self.events if isinstance(e, ev.ResponseEnd)]
        assert sorted(starts) == sorted(ends)
        tools = [e.call_id for e in self.events if isinstance(e, ev.ToolStart)]
        tool_ends = Counter(
            e.call_id for e in self.events if isinstance(e, ev.ToolEnd | ev.ToolCancelled)
        )
        assert len({*tools}) == len(tools)
        assert all(tool_ends[call_id] == 1 for call_id in tools)
        turns = sum(isinstance(e, ev.AgentStart) for e in self.events)
        assert turns == sum(isinstance(e, ev.AgentEnd) for e in self.events)


async def _transcribe(*_args: Any) -> str:
    await trio.sleep(0.1)
    return "spoken words"


def text_of(item: Any) -> str:
    if isinstance(item, MessageItem) and item.role == "user":
        for part in item.content:
            if isinstance(part, InputText):
                return part.text
    return ""


def is_speech(item: Any) -> bool:
    if not isinstance(item, MessageItem) or item.role != "user":
        return False
    return any(
        isinstance(part, InputAudio) or getattr(part, "text", "") == "spoken words"
        for part in item.content
    )


def check_same(ours: Any, theirs: dict[str, Any]) -> None:
    assert ours.type == theirs["type"]
    match ours:
        case MessageItem():
            assert ours.role == theirs["role"]
            for part, other in zip(ours.content, theirs["content"], strict=True):
                check_same_part(part, other)
        case FunctionCallItem():
            assert (ours.call_id, ours.arguments) == (theirs["call_id"], theirs["arguments"])
        case FunctionCallOutputItem():
            assert (ours.call_id, ours.output) == (theirs["call_id"], theirs["output"])
        case _:
            raise AssertionError(ours)


def check_same_part(part: Any, theirs: dict[str, Any]) -> None:
    other = theirs.get("text") or theirs.get("transcript")
    match part:
        case InputText(text=text) | OutputText(text=text):
            assert (other or "") == text
        case OutputAudio(transcript=transcript, heard_ms=None) if theirs["type"] == "output_text":
            assert other
            assert (transcript or "").startswith(other)
        case OutputAudio(transcript=transcript) | InputAudio(transcript=transcript):
            # The service deletes the transcript of truncated audio, and transcribes no created audio.
            assert other is None or (transcript or "").startswith(other)
        case _:
            raise AssertionError(part)


def check_cannot_be_created(item: Any, history: Sequence[Any]) -> None:
    """Only what nobody has heard and calls without an output may be missing."""
    match item:
        case FunctionCallItem(call_id=call_id):
            outputs = [other for other in history if isinstance(other, FunctionCallOutputItem)]
            assert call_id not in {output.call_id for output in outputs}
        case MessageItem(role="assistant"):
            pass
        case _:
            raise AssertionError(f"{item} is not on the connection")


def check_alternates(events: Sequence[Any], first: type, second: type) -> None:
    kinds = [type(event) for event in events if isinstance(event, first | second)]
    assert kinds == [first, second] * (len(kinds) // 2)


@given(plan=plans)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_history_equals_the_conversation_after_random_drops(plan: Plan) -> None:
    run_seeded(plan.seed, Run(plan).run)
