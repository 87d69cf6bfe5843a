"""The core against the local service's core, over a wire on which everything may be late.

Both are pure, so Hypothesis decides what happens next: what the user does, which frame arrives, when
a tool ends, how time goes. The promises are checked at every step, and once more when everything
that was under way has arrived.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any

import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trio_realtime import events as ev
from trio_realtime.core import (
    Call,
    CancelCalls,
    CheckReply,
    Conversation,
    Settle,
    StartCall,
    Trip,
)
from trio_realtime.items import item_text
from trio_realtime.local import (
    Call as CallStep,
    ConnectionRequest,
    Fail,
    Frame,
    Incomplete,
    Pause,
    Say,
    ScriptedBrain,
    Service,
    ServiceOptions,
)
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    FunctionCallOutputItem,
    InputAudioBufferAppend,
    InputText,
    MessageItem,
    ResponseCreate,
    ResponseParams,
    decode_server_event,
    encode,
)

LOUD = b"\x00\x40\x00\xc0" * 384 * 10  # 320 ms
QUIET = bytes(48 * 700)

ANSWERS: tuple[tuple[Any, ...], ...] = (
    (Say("A short answer."),),
    (Say("A long answer that plays for a while.", audio_ms=3000),),
    (CallStep("look_up"),),
    (CallStep("look_up"), CallStep("book")),
    (Say("Let me see."), CallStep("book")),
    (Pause(0.5), Say("After a thought.", audio_ms=800)),
    (Pause(math.inf),),
    (Fail("rate_limit_exceeded", "too much"),),
    (Say("Half a"), Incomplete("max_output_tokens")),
    (),
)


class EndlessBrain(ScriptedBrain):
    """Says what the machine chose, and something short when nothing was chosen."""

    def __init__(self) -> None:
        super().__init__([])
        self.chosen: deque[tuple[Any, ...]] = deque()

    def answer(self, turn: Any) -> tuple[Any, ...]:
        return self.chosen.popleft() if self.chosen else ANSWERS[0]


class Pair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.brain = EndlessBrain()
        options = ServiceOptions(brain=self.brain, pacing=20.0, require_key=False)
        self.service = Service(options, connection=ConnectionRequest(), now=self.now)
        self.core = Conversation("agent", guardrail_debounce=12)
        self.to_server: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.server_log: list[dict[str, Any]] = []

        self.running: dict[str, Call] = {}
        self.started: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.completed: set[str] = set()
        self.silenced: set[str] = set()
        self.outstanding: set[str] = set()
        self.waiting: set[str] = set()
        self.settled: Counter[str] = Counter()
        self.texts = 0
        self.questions: list[str] = []
        self.errors: list[Any] = []
        self.kept: set[str] = set()
        self.checks: list[CheckReply] = []
        self.checked: dict[str, list[str]] = {}
        self.tripped: set[str] = set()
        self.replies: dict[str, str] = {}

        self._from_server(self.service.open(self.now))
        while self.to_client:
            self.deliver_to_client()

    # --- the wire

    def _from_server(self, outputs: Any) -> None:
        for output in outputs:
            assert isinstance(output, Frame), output
            self.server_log.append(output.data)
            self.to_client.append(msgspec.json.encode(output.data).decode())

    def _carry_out(self, effects: Any) -> None:
        for effect in effects:
            match effect:
                case ClientEvent():
                    self._note_sent(effect)
                    self.to_server.append(encode(effect))
                case StartCall(call=call):
                    self.started[call.call_id] += 1
                    assert self.started[call.call_id] == 1, "a call ran twice"
                    self.running[call.call_id] = call
                    if call.name == "book":
                        self.core.keep_call(call.call_id)
                        self.kept.add(call.call_id)
                case CancelCalls(call_ids=call_ids):
                    assert set(call_ids) <= self.running.keys() - self.kept
                case CheckReply():
                    self.checks.append(effect)
                    self.checked.setdefault(effect.response_id, []).append(effect.text)
                case Settle(token=token):
                    self.settled[token] += 1
                case _:
                    self._note_event(effect)

    def _note_event(self, event: Any) -> None:
        match event:
            case ev.ResponseEnd(response_id=response_id, output=output):
                self.replies[response_id] = output
            case ev.GuardrailTripped(response_id=str(response_id)):
                assert response_id not in self.tripped, "a response tripped twice"
                self.tripped.add(response_id)
            case ev.AudioInterrupted(response_id=response_id):
                self.silenced.add(response_id)
            case ev.Audio(response_id=response_id):
                assert response_id not in self.silenced, "audio after its interruption"
            case ev.Error(error=error):
                self.errors.append(error)
            case _:
                pass

    def _note_sent(self, event: ClientEvent) -> None:
        match event:
            case ResponseCreate(response=ResponseParams(conversation="none")):
                pass
            case ResponseCreate(event_id=str(token)):
                assert not self.core.is_cancelling, "a create before cancelled calls were answered"
                self.outstanding.add(token)
            case ConversationItemCreate(item=FunctionCallOutputItem(call_id=call_id)):
                self.answered[call_id] += 1
                assert self.answered[call_id] == 1, "a call was answered twice"
            case _:
                pass

    def _note_received(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"type": "response.created", "response": {"metadata": {"trio_realtime": token}}}:
                self.outstanding.discard(token)
            case {"type": "input_audio_buffer.speech_started"} if self.outstanding:
                self.questions.clear()  # the user speaks on: what is on its way is given up
            case {"type": "error", "error": {"event_id": str(token)}}:
                self.outstanding.discard(token)
            case {
                "type": "response.output_item.done",
                "item": {"type": "function_call", "status": "completed", "call_id": call_id},
                "response_id": response_id,
            } if not self._stands_beside(response_id):
                self.completed.add(call_id)
            case _:
                pass

    def _stands_beside(self, response_id: str) -> bool:
        return any(
            frame["type"] == "response.created"
            and frame["response"]["id"] == response_id
            and frame["response"]["conversation_id"] is None
            for frame in self.server_log
        )

    # --- what may happen

    @rule(answer=st.sampled_from(ANSWERS))
    def choose_answer(self, answer: tuple[Any, ...]) -> None:
        self.brain.chosen.append(answer)

    @rule(respond=st.booleans())
    def write(self, respond: bool) -> None:
        self.texts += 1
        if respond:
            self.questions.append(f"text {self.texts}")
        item = MessageItem(role="user", content=(InputText(text=f"text {self.texts}"),))
        self._carry_out(self.core.send_item(item, respond=respond))

    @rule(beside=st.booleans(), through_tools=st.booleans())
    def ask(self, beside: bool, through_tools: bool) -> None:
        params = ResponseParams(conversation="none") if beside else ResponseParams()
        token, effects = self.core.create_response(params, through_tools=through_tools)
        self.waiting.add(token)
        self._carry_out(effects)

    @rule(data=st.data())
    def cancel_what_was_asked(self, data: st.DataObject) -> None:
        if self.waiting:
            token = data.draw(st.sampled_from(sorted(self.waiting)))
            self._carry_out(self.core.cancel_response(token, self.now))

    @rule(loud=st.booleans())
    def microphone(self, loud: bool) -> None:
        audio = LOUD if loud else QUIET
        self.to_server.append(encode(InputAudioBufferAppend(audio=audio)))

    @rule()
    def interrupt(self) -> None:
        if self.outstanding:
            self.questions.clear()  # what is on its way is given up
        self._carry_out(self.core.interrupt(self.now))

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 4))
    def deliver_to_server(self, count: int = 1) -> None:
        for _ in range(min(count, len(self.to_server))):
            self._from_server(self.service.receive(self.to_server.popleft(), self.now))

    @precondition(lambda self: self.to_client)
    @rule(count=st.integers(1, 20))
    def deliver_to_client(self, count: int = 1) -> None:
        for _ in range(min(count, len(self.to_client))):
            text = self.to_client.popleft()
            self._note_received(msgspec.json.decode(text))
            self._carry_out(self.core.receive(decode_server_event(text), self.now))

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.3, 2.0)))
    def time_goes(self, seconds: float) -> None:
        target = self.now + seconds
        while (due := self.service.next_deadline()) is not None and due <= target:
            self.now = max(self.now, due)
            self._from_server(self.service.advance(self.now))
        self.now = target

    @precondition(lambda self: self.running)
    @rule(data=st.data(), wants=st.booleans())
    def tool_ends(self, data: st.DataObject, wants: bool) -> None:
        self._end_tool(data.draw(st.sampled_from(sorted(self.running))), wants=wants)

    def _end_tool(self, call_id: str, *, wants: bool = True) -> None:
        del self.running[call_id]
        self._carry_out(self.core.call_finished(call_id, "done", wants_response=wants, report=None))

    @precondition(lambda self: self.checks)
    @rule(trips=st.booleans(), newest=st.booleans())
    def check_ends(self, trips: bool, newest: bool) -> None:
        check = self.checks.pop(-1 if newest else 0)
        found = [Trip(name="rule")] if trips else []
        self._carry_out(self.core.reply_checked(check.response_id, check.text, found, self.now))

    # --- what always holds

    @invariant()
    def at_most_one_create_is_outstanding(self) -> None:
        assert len(self.outstanding) <= 1

    @invariant()
    def only_races_are_errors(self) -> None:
        # The one refusal that is nobody's mistake: the service itself could not answer a turn of
        # speech, because our own create came first.
        codes = {error.code for error in self.errors}
        assert codes <= {"conversation_already_has_active_response"}, self.errors

    # --- what holds in the end

    def teardown(self) -> None:
        self._let_everything_arrive()
        assert self.core.is_quiet, "something was left waiting"
        assert self.answered.keys() >= self.completed
        assert all(times == 1 for times in self.answered.values())
        assert self.settled.keys() >= self.waiting
        assert all(self.settled[token] == 1 for token in self.waiting)
        self._check_every_question_got_a_response()
        self._check_every_reply_was_seen_in_full()
        self._check_history()

    def _check_every_reply_was_seen_in_full(self) -> None:
        for response_id, text in self.replies.items():
            if text and response_id not in self.tripped:
                assert text in self.checked[response_id], "a reply was not checked in full"

    def _check_every_question_got_a_response(self) -> None:
        unanswered: set[str] = set()
        for frame in self.server_log:
            match frame:
                case {"type": "conversation.item.added", "item": {"content": [{"text": text}]}}:
                    unanswered |= {text} & set(self.questions)
                case {"type": "response.created", "response": {"metadata": {"trio_realtime": _}}}:
                    unanswered.clear()
                case _:
                    pass
        assert not unanswered, "a wish for a response was lost"

    def _let_everything_arrive(self) -> None:
        for _ in range(500):
            if self.to_server:
                self.deliver_to_server(len(self.to_server))
            elif self.to_client:
                self.deliver_to_client(len(self.to_client))
            elif self.checks:
                self.check_ends(trips=False, newest=False)
            elif self.running:
                self._end_tool(next(iter(self.running)))
            elif not self.core.is_quiet or self.service.next_deadline() != math.inf:
                if not self.core.is_quiet and not self._moves():
                    self._end_pauses_for_ever()
                before = self.now
                self.time_goes(2.0)
                if self.core.is_quiet and not self.to_client and not self.to_server:
                    return
                assert self.now > before
        raise AssertionError("it does not come to rest")

    def _end_pauses_for_ever(self) -> None:
        self.interrupt()
        for token in self.waiting - self.settled.keys():
            self._carry_out(self.core.cancel_response(token, self.now))

    def _moves(self) -> bool:
        due = self.service.next_deadline()
        return due is not None and due < self.now + 60

    def _check_history(self) -> None:
        theirs = [item.full_view() for item in self.service._state.conversation]
        ours = self.core.history.snapshot()
        assert [item.id for item in ours] == [item["id"] for item in theirs]
        for mine, item in zip(ours, theirs, strict=True):
            assert mine.type == item["type"]
            if item["type"] == "function_call":
                assert getattr(mine, "arguments", None) == item["arguments"]
            elif item["type"] == "message" and item["role"] == "assistant":
                said = "".join(p.get("text") or p.get("transcript") or "" for p in item["content"])
                assert item_text(mine).startswith(said)


Pair.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestPair = pytest.mark.filterwarnings("error")(Pair.TestCase)
