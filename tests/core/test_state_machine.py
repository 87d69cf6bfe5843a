"""The core against the local service's core, over a wire on which everything may be late.

Both are pure, so Hypothesis decides what happens next: what the user does, which frame arrives, when
a tool ends, who takes over, what is approved, refused or edited, how time goes. The promises are
checked at every step (``support.invariants``), and once more when everything that was under way has
arrived.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from support.invariants import InvariantChecker
from trio_realtime import events as ev
from trio_realtime.core import (
    CancelCalls,
    CheckReply,
    Conversation,
    ResolveRequest,
    StartCall,
)
from trio_realtime.errors import RequestRejected, SettingsRejected, UsageError
from trio_realtime.events import GuardrailTrip
from trio_realtime.items import HistoryItem, item_text
from trio_realtime.local import (
    Call as CallStep,
    ConnectionRequest,
    Fail,
    Frame,
    Incomplete,
    Pause,
    Say,
    ScriptedResponder,
    ServerConfig,
    ServerProtocol,
)
from trio_realtime.wire import (
    AudioOutput,
    AudioSettings,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemTruncate,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudioBufferAppend,
    InputText,
    MessageItem,
    ResponseCancel,
    ResponseParams,
    Session,
    decode_server_event,
    encode,
)

Items: TypeAlias = list[HistoryItem]

LOUD = b"\x00\x40\x00\xc0" * 384 * 10  # 320 ms
QUIET = bytes(48 * 700)

# What a call asks of its tool: "book" may finish, "note" too and then speaks, "transfer" is a
# handoff, "pay" waits for approval.
ANSWERS: tuple[tuple[Any, ...], ...] = (
    (Say("A short answer."),),
    (Say("A long answer that plays for a while.", audio_ms=3000),),
    (CallStep("look_up"),),
    (CallStep("look_up"), CallStep("book")),
    (CallStep("pay"), CallStep("look_up"), CallStep("pay")),
    (Say("One moment, please."), CallStep("transfer")),
    (CallStep("transfer"), CallStep("note")),
    (Say("Let me see."), CallStep("book")),
    (Pause(0.5), Say("After a thought.", audio_ms=800)),
    (Pause(math.inf),),
    (Fail("rate_limit_exceeded", "too much"),),
    (Say("Half a"), Incomplete("max_output_tokens")),
    (),
)
KEPT = {"book": False, "note": True}


class EndlessResponder(ScriptedResponder):
    """Says what the machine chose, and something short when nothing was chosen."""

    def __init__(self) -> None:
        super().__init__([])
        self.chosen: deque[tuple[Any, ...]] = deque()

    def respond(self, turn: Any) -> tuple[Any, ...]:
        return self.chosen.popleft() if self.chosen else ANSWERS[0]


def notice(text: str) -> MessageItem:
    return MessageItem(role="system", content=(InputText(text=text),))


# --- edits of the conversation ------------------------------------------------------------------


def drop_one(items: Items, place: int) -> Items:
    """Without one message; the newest is the first to go."""
    messages = [item for item in items[::-1] if isinstance(item, MessageItem)]
    return [item for item in items if not messages or item is not messages[place % len(messages)]]


def drop_answered(items: Items, place: int) -> Items:
    """Without the calls that are answered, and their answers."""
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    return [
        item
        for item in items
        if not isinstance(item, FunctionCallItem | FunctionCallOutputItem)
        or item.call_id not in outputs
    ]


def reword(items: Items, place: int) -> Items:
    """The user has said something else."""
    said = (InputText(text="something else"),)
    return [
        attrs.evolve(item, content=said)
        if isinstance(item, MessageItem) and item.role == "user" and number % 3 == place % 3
        else item
        for number, item in enumerate(items)
    ]


def insert(items: Items, place: int) -> Items:
    place %= len(items) + 1
    return [*items[:place], notice("Be polite."), *items[place:]]


def swap(items: Items, place: int) -> Items:
    """Two neighbours change places, if there are two that may."""
    place %= max(len(items) - 1, 1)
    return [*items[:place], *items[place : place + 2][::-1], *items[place + 2 :]]


EDITS: tuple[Callable[[Items, int], Items], ...] = (
    drop_one,
    drop_answered,
    reword,
    insert,
    swap,
)


# --- the machine --------------------------------------------------------------------------------


class Pair(RuleBasedStateMachine):
    core: Conversation
    promises: InvariantChecker

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.responder = EndlessResponder()
        config = ServerConfig(responder=self.responder, pacing=20.0, require_key=False)
        self.service = ServerProtocol(config, connection=ConnectionRequest(), now=self.now)
        self.to_server: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.server_log: list[dict[str, Any]] = []
        self.delivered: list[str] = []
        self.ended: set[str] = set()

        self.agents = 0
        self.taking_over: dict[str, str] = {}  # the call that waits for these settings
        self.on_their_way: set[str] = set()  # settings and edits not settled yet
        self.hopeless: set[str] = set()  # settings that no service takes
        self.approved: set[str] = set()
        self.edited = False
        self.refused_edits = 0
        self.texts = 0
        self.questions: list[str] = []
        self.checks: list[CheckReply] = []

    @initialize(gated=st.booleans())
    def begin(self, gated: bool) -> None:
        self.core = Conversation("agent 0", guardrail_debounce=12, audio_gate=gated)
        self.promises = InvariantChecker("agent 0", gated=gated)
        self._update("agent 0")
        self._from_server(self.service.open(self.now))
        while self.to_client or self.to_server:
            self.deliver_to_server(1)
            self.deliver_to_client(1)

    # --- the wire

    def _from_server(self, outputs: Any) -> None:
        for output in outputs:
            assert isinstance(output, Frame), output
            self.server_log.append(output.data)
            self.to_client.append(msgspec.json.encode(output.data).decode())

    def _carry_out(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            self.promises.effect(effect)
            match effect:
                case ClientEvent():
                    self.to_server.append(encode(effect))
                case CheckReply():
                    self.checks.append(effect)
                case StartCall(call=call) if call.name in KEPT:
                    self._keep(call.call_id, insists=KEPT[call.name])
                case ResolveRequest(token=token, outcome=outcome):
                    self.on_their_way.discard(token)
                    self.refused_edits += isinstance(outcome, RequestRejected)
                    if token in self.hopeless:
                        assert isinstance(outcome, SettingsRejected)
                case _:
                    pass

    def _keep(self, call_id: str, *, insists: bool = False) -> None:
        self.promises.protected.add(call_id)
        self.core.keep_call(call_id, insists=insists)

    def _receive(self, text: str) -> None:
        frame = msgspec.json.decode(text)
        self.promises.frame(frame)
        if frame["type"] == "input_audio_buffer.speech_started":
            self._user_goes_on()
        if frame["type"] == "response.done":
            self.ended.add(frame["response"]["id"])
        self._carry_out(self.core.receive(decode_server_event(text), self.now))

    def _user_goes_on(self) -> None:
        if self.promises.outstanding:
            self.questions.clear()  # what is on its way is given up
        self.promises.interrupted()

    # --- what the user does

    @rule(answer=st.sampled_from(ANSWERS))
    def choose_answer(self, answer: tuple[Any, ...]) -> None:
        self.responder.chosen.append(answer)

    @rule(respond=st.booleans())
    def write(self, respond: bool) -> None:
        self.texts += 1
        item = MessageItem(role="user", content=(InputText(text=f"text {self.texts}"),))
        if respond:
            self.questions.append(f"text {self.texts}")
            self.promises.request()
        self._carry_out(self.core.send_item(item, respond=respond))

    @rule(kind=st.sampled_from(("plain", "beside", "wrong")), through_tools=st.booleans())
    def ask(self, kind: str, through_tools: bool) -> None:
        params = {
            "plain": ResponseParams(),
            "beside": ResponseParams(conversation="none"),
            "wrong": ResponseParams(max_output_tokens=0),
        }[kind]
        token, effects = self.core.create_response(params, through_tools=through_tools)
        if kind == "beside":
            self.promises.waiting.add(token)
        else:
            self.promises.request(token)
        self._carry_out(effects)

    @rule(data=st.data())
    def cancel_what_was_asked(self, data: st.DataObject) -> None:
        if self.promises.waiting:
            self._cancel(data.draw(st.sampled_from(sorted(self.promises.waiting))))

    def _cancel(self, token: str) -> None:
        self.promises.cancel_request(token)
        self._carry_out(self.core.cancel_response(token, self.now))

    @rule(loud=st.booleans())
    def microphone(self, loud: bool) -> None:
        audio = LOUD if loud else QUIET
        self.to_server.append(encode(InputAudioBufferAppend(audio=audio)))

    @rule()
    def interrupt(self) -> None:
        self._user_goes_on()
        self._carry_out(self.core.interrupt(self.now))

    @rule(answer=st.sampled_from(ANSWERS), seconds=st.sampled_from((0.02, 0.3)))
    def a_turn_goes_by(self, answer: tuple[Any, ...], seconds: float) -> None:
        """Or the beginning of one: what else takes many steps of luck."""
        self.choose_answer(answer)
        self.write(respond=True)
        self.deliver_to_server(len(self.to_server))
        self.time_goes(seconds)
        self.deliver_to_client(len(self.to_client))

    # --- settings, and who speaks

    def _update(self, name: str) -> str:
        """Another agent is to take over."""
        token, effects = self.core.update_settings(Session(instructions=name), name)
        self._expect(token, effects)
        return token

    def _expect(self, token: str, effects: Sequence[Any]) -> None:
        self.promises.waiting.add(token)
        if not any(isinstance(effect, ResolveRequest) for effect in effects):
            self.on_their_way.add(token)
        self._carry_out(effects)

    def update_agent(self) -> str:
        self.agents += 1
        return self._update(f"agent {self.agents}")

    @rule()
    def somebody_takes_over(self) -> None:
        self.update_agent()

    @rule(key=st.sampled_from(("speed", "voice", "model")), choice=st.integers(0, 1))
    def update_settings(self, key: str, choice: int) -> None:
        """The service refuses a speed while a response runs, a voice that has spoken, and models."""
        output = {
            "speed": AudioOutput(speed=(1.0, 1.2)[choice]),
            "voice": AudioOutput(voice=("echo", "sage")[choice]),
        }
        if key == "model":
            self._update_in_vain()
        else:
            wanted = Session(audio=AudioSettings(output=output[key]))
            self._expect(*self.core.update_settings(wanted))

    def _update_in_vain(self) -> str:
        wanted = Session(model="another", instructions="nobody")
        token, effects = self.core.update_settings(wanted, "nobody")
        self.hopeless.add(token)
        self._expect(token, effects)
        return token

    @precondition(lambda self: self._callable("transfer"))
    @rule(data=st.data(), refused=st.booleans())
    def hand_over(self, data: st.DataObject, refused: bool) -> None:
        call_id = data.draw(st.sampled_from(self._callable("transfer")))
        self._keep(call_id)
        self.taking_over[self._update_in_vain() if refused else self.update_agent()] = call_id

    def _callable(self, name: str) -> list[str]:
        taken = self.taking_over.values()
        return sorted(
            call_id
            for call_id, call in self.promises.running.items()
            if call.name == name and call_id not in {*taken, *self.promises.cancelling}
        )

    # --- edits

    @rule(edit=st.sampled_from(EDITS), place=st.integers(0, 9))
    def update_history(self, edit: Callable[[Items, int], Items], place: int) -> None:
        wanted = edit([*self.core.history.snapshot()], place)
        with contextlib.suppress(UsageError):  # audio of the assistant, that cannot be created
            token, effects = self.core.update_history(wanted)
            self.edited = True
            self._expect(token, effects)

    @precondition(lambda self: not self.to_server and not self.to_client)
    @rule(edit=st.sampled_from(EDITS), place=st.integers(0, 9))
    def update_history_undisturbed(self, edit: Callable[[Items, int], Items], place: int) -> None:
        wanted = edit([*self.core.history.snapshot()], place)
        refused = self.refused_edits
        self.update_history(edit, place)
        if not self.to_server:
            return  # there is nothing to do, or it cannot be done
        self.deliver_to_server(len(self.to_server))
        self.deliver_to_client(len(self.to_client))
        assert not self.on_their_way
        if self.refused_edits == refused:
            got = self.core.history.snapshot()
            assert [item_text(item) for item in got] == [item_text(item) for item in wanted]

    @rule()
    def drop_what_is_being_said(self) -> None:
        """Which the service refuses."""
        self.a_turn_goes_by(ANSWERS[1], 0.02)
        self.update_history(drop_one, 0)
        self.deliver_to_server(len(self.to_server))

    # --- time and the wire

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 4))
    def deliver_to_server(self, count: int) -> None:
        for _ in range(min(count, len(self.to_server))):
            self._from_server(self.service.receive(self.to_server.popleft(), self.now))

    @precondition(lambda self: self.to_client)
    @rule(count=st.integers(1, 20))
    def deliver_to_client(self, count: int) -> None:
        for _ in range(min(count, len(self.to_client))):
            text = self.to_client.popleft()
            if '"response' in text:
                self.delivered.append(text)
            self._receive(text)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def something_comes_late(self, data: st.DataObject) -> None:
        """A frame of a response that has ended comes once more, or an item's end at any time."""
        text = data.draw(st.sampled_from(self.delivered))
        frame = msgspec.json.decode(text)
        response_id = frame.get("response_id") or frame.get("response", {}).get("id")
        if response_id in self.ended or frame["type"] == "response.output_item.done":
            self._receive(text)

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.3, 2.0)))
    def time_goes(self, seconds: float) -> None:
        target = self.now + seconds
        while (due := self.service.next_deadline()) is not None and due <= target:
            self.now = max(self.now, due)
            self._from_server(self.service.advance(self.now))
        self.now = target

    # --- tools and guardrails

    def _parked(self) -> list[str]:
        """Calls that wait for a decision."""
        free = self.approved | self.promises.cancelling
        return [id_ for id_ in self._running("pay") if id_ not in free]

    def _running(self, name: str) -> list[str]:
        running = self.promises.running
        return sorted(call_id for call_id, call in running.items() if call.name == name)

    def _able_to_end(self) -> list[str]:
        """Calls that neither wait for a decision nor for the service."""
        waits = {self.taking_over[token] for token in self.on_their_way & self.taking_over.keys()}
        return sorted(self.promises.running.keys() - waits - {*self._parked()})

    @precondition(lambda self: self._able_to_end())
    @rule(data=st.data(), wants=st.booleans())
    def tool_ends(self, data: st.DataObject, wants: bool) -> None:
        """Or answers early: it is no call any more, and no interrupt may hit it."""
        self._end_tool(data.draw(st.sampled_from(self._able_to_end())), wants=wants)

    def _end_tool(self, call_id: str, *, wants: bool = True) -> None:
        hit = call_id in self.promises.cancelling
        assert self.core.was_cancelled(call_id) == hit
        self.promises.end_call(call_id)
        wants = wants and not hit
        self._carry_out(self.core.call_finished(call_id, "done", wants_response=wants, report=None))
        assert not self.core.call_finished(call_id, "again", wants_response=True, report=None)

    @precondition(lambda self: self.promises.answered)
    @rule(respond=st.booleans())
    def what_was_answered_early_ends(self, respond: bool) -> None:
        if respond:
            self.promises.request()
        self._carry_out(self.core.send_item(notice("The result is 42."), respond=respond))

    @precondition(lambda self: self._parked())
    @rule(data=st.data(), approve=st.booleans())
    def somebody_decides(self, data: st.DataObject, approve: bool) -> None:
        call_id = data.draw(st.sampled_from(self._parked()))
        self.approved.add(call_id)
        if not approve:
            self._end_tool(call_id)

    @precondition(lambda self: self.checks)
    @rule(trips=st.booleans(), newest=st.booleans())
    def check_ends(self, trips: bool, newest: bool) -> None:
        check = self.checks.pop(-1 if newest else 0)
        found = [GuardrailTrip(name="rule")] if trips else []
        if not trips:
            self.promises.text_passed(check.response_id, len(check.text))
        effects = self.core.reply_checked(check.response_id, check.text, found, self.now)
        if any(isinstance(effect, ConversationItemCreate) for effect in effects):
            self.promises.request()  # of the feedback
        self._check_touches_only(check.response_id, effects)
        self._carry_out(effects)
        self.promises.check_released(check.response_id)

    def _check_touches_only(self, response_id: str, effects: Sequence[Any]) -> None:
        """6: a trip touches nothing of another response."""
        for effect in effects:
            match effect:
                case CancelCalls(call_ids=call_ids):
                    owners = {self.promises.running[id_].response_id for id_ in call_ids}
                    assert owners == {response_id}
                case ev.AudioInterrupted() | ResponseCancel():
                    assert effect.response_id == response_id
                case ConversationItemTruncate(item_id=item_id):
                    assert self._owner(item_id) == response_id
                case _:
                    pass

    def _owner(self, item_id: str) -> str:
        return next(
            str(frame["response_id"])
            for frame in self.server_log
            if frame["type"] == "response.output_item.added" and frame["item"]["id"] == item_id
        )

    # --- what always holds; most of it stands in the promises

    @invariant()
    def only_races_are_errors(self) -> None:
        # The one refusal that is nobody's mistake: the service itself could not answer a turn of
        # speech, because our own create came first.
        races = {"conversation_already_has_active_response"}
        if self.edited:
            # What was deleted while it played cannot be cut, and a call that was, not be answered.
            races |= {"item_truncate_invalid_item_id", "invalid_tool_call_id"}
        codes = {error.code for error in self.promises.errors}
        assert codes <= races, self.promises.errors

    @invariant()
    def who_speaks_is_who_the_service_accepted(self) -> None:
        assert self.core.agent == self.promises.agent

    # --- what holds in the end

    def teardown(self) -> None:
        self._let_everything_arrive()
        assert self.core.is_quiet, "something was left waiting"
        assert not self.on_their_way
        assert not self.promises.violations
        self.promises.check_final_state()
        self._check_every_question_got_a_response()
        self._check_history()

    def _check_every_question_got_a_response(self) -> None:
        """3: a wish for a response is never lost."""
        questions, unanswered = set(self.questions), set[str]()
        for frame in self.server_log:
            match frame:
                case {"type": "conversation.item.added", "item": {"content": [{"text": text}]}}:
                    unanswered |= {text} & questions
                    questions.discard(text)
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
            elif able := self._able_to_end():
                self._end_tool(able[0])
            elif parked := self._parked():
                self.approved.update(parked)
            else:
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
        for token in self.promises.waiting - self.promises.resolved.keys():
            self._cancel(token)

    def _moves(self) -> bool:
        due = self.service.next_deadline()
        return due is not None and due < self.now + 60

    def _check_history(self) -> None:
        """9: in order and content."""
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


Pair.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestPair = pytest.mark.filterwarnings("error")(Pair.TestCase)
