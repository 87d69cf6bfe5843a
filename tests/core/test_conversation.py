"""The whole core against the protocol core of the local server, with delays in both directions.

Both are sans-I/O, so Hypothesis chooses each step: an action of the user, the arrival of a frame, the
end of a tool, a change of the agent, a decision, an edit, or the passage of time.
:mod:`support.invariants` asserts the invariants at each step, and once more in the final state.
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
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.core import CoreDriver, ToolDouble, ToolsetDouble
from support.invariants import InvariantChecker
from trio_realtime import events as ev
from trio_realtime.core import CancelCalls, CheckReply, ResolveRequest, StartCall
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

# "book" finishes despite interruptions, "note" too and then requests a response, "transfer" is a
# handoff, "pay" needs approval.
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
TOOLSET = ToolsetDouble(ToolDouble("book", "finish"))
PROTECTED = {"note": True}


class ChosenResponder(ScriptedResponder):
    """Responds with the chosen answers, then with a short one."""

    def __init__(self) -> None:
        super().__init__([])
        self.chosen: deque[tuple[Any, ...]] = deque()

    def respond(self, turn: Any) -> tuple[Any, ...]:
        return self.chosen.popleft() if self.chosen else ANSWERS[0]


def notice(text: str) -> MessageItem:
    return MessageItem(role="system", content=(InputText(text=text),))


# --- edits of the conversation ------------------------------------------------------------------


def drop_one(items: Items, place: int) -> Items:
    """Remove one message; place 0 is the newest."""
    messages = [item for item in items[::-1] if isinstance(item, MessageItem)]
    return [item for item in items if not messages or item is not messages[place % len(messages)]]


def drop_answered(items: Items, place: int) -> Items:
    """Remove the answered calls and their outputs."""
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutputItem)}
    return [
        item
        for item in items
        if not isinstance(item, FunctionCallItem | FunctionCallOutputItem)
        or item.call_id not in outputs
    ]


def reword(items: Items, place: int) -> Items:
    """Replace the text of some messages of the user."""
    content = (InputText(text="something else"),)
    return [
        attrs.evolve(item, content=content)
        if isinstance(item, MessageItem) and item.role == "user" and number % 3 == place % 3
        else item
        for number, item in enumerate(items)
    ]


def insert(items: Items, place: int) -> Items:
    place %= len(items) + 1
    return [*items[:place], notice("Be polite."), *items[place:]]


def swap(items: Items, place: int) -> Items:
    """Swap two adjacent items."""
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


class ConversationAndServer(RuleBasedStateMachine):
    """A conversation, a server, and the messages in transit between the two."""

    core: CoreDriver
    checker: InvariantChecker

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.responder = ChosenResponder()
        config = ServerConfig(responder=self.responder, pacing=20.0, require_key=False)
        self.server = ServerProtocol(config, connection=ConnectionRequest(), now=self.now)
        self.to_server: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.server_log: list[dict[str, Any]] = []
        self.delivered: list[str] = []
        self.ended: set[str] = set()

        self.agents = 0
        self.waiting_handoffs: dict[str, str] = {}  # token of the settings -> handoff call
        self.pending_requests: set[str] = set()  # settings and edits without outcome
        self.invalid_settings: set[str] = set()  # settings that the server rejects
        self.approved: set[str] = set()
        self.edited = False
        self.rejected_edits = 0
        self.text_count = 0
        self.raw_count = 0
        self.questions: list[str] = []
        self.checks: list[CheckReply] = []

    @initialize(gated=st.booleans())
    def connect(self, gated: bool) -> None:
        self.core = CoreDriver("agent 0", TOOLSET, guardrail_debounce=12, audio_gate=gated)
        self.checker = InvariantChecker("agent 0", gated=gated)
        self._update_agent_settings("agent 0")
        self._from_server(self.server.open(self.now))
        while self.to_client or self.to_server:
            self.deliver_to_server(1)
            self.deliver_to_client(1)

    # --- the wire

    def _from_server(self, outputs: Any) -> None:
        for output in outputs:
            assert isinstance(output, Frame), output
            self.server_log.append(output.data)
            self.to_client.append(msgspec.json.encode(output.data).decode())

    def _run_effects(self, effects: Sequence[Any]) -> None:
        for effect in effects:
            self.checker.effect(effect)
            match effect:
                case ClientEvent():
                    self.to_server.append(encode(effect))
                case CheckReply():
                    self.checks.append(effect)
                case StartCall(call=call) if call.name in TOOLSET.tools:
                    self.checker.protected.add(call.call_id)
                case StartCall(call=call) if call.name in PROTECTED:
                    self._protect(call.call_id, respond=PROTECTED[call.name])
                case ResolveRequest(token=token, outcome=outcome):
                    self.pending_requests.discard(token)
                    self.rejected_edits += isinstance(outcome, RequestRejected)
                    if token in self.invalid_settings:
                        assert isinstance(outcome, SettingsRejected)
                case _:
                    pass

    def _protect(self, call_id: str, *, respond: bool = False) -> None:
        self.checker.protected.add(call_id)
        self.core.protect_call(call_id, respond=respond)

    def _receive(self, text: str) -> None:
        frame = msgspec.json.decode(text)
        self.checker.frame(frame)
        if frame["type"] == "input_audio_buffer.speech_started":
            self._interruption()
        if frame["type"] == "response.done":
            self.ended.add(frame["response"]["id"])
        self._run_effects(self.core.receive(decode_server_event(text), self.now))

    def _interruption(self) -> None:
        if self.checker.outstanding:
            self.questions.clear()  # their creates are cancelled
        self.checker.interrupted()

    # --- actions of the user

    @rule(answer=st.sampled_from(ANSWERS))
    def choose_answer(self, answer: tuple[Any, ...]) -> None:
        self.responder.chosen.append(answer)

    @rule(respond=st.booleans())
    def send_message(self, respond: bool) -> None:
        self.text_count += 1
        item = MessageItem(role="user", content=(InputText(text=f"text {self.text_count}"),))
        if respond:
            self.questions.append(f"text {self.text_count}")
            self.checker.request()
        self._run_effects(self.core.send_item(item, respond=respond))

    @rule(kind=st.sampled_from(("plain", "out_of_band", "wrong")), until_turn_end=st.booleans())
    def request_response(self, kind: str, until_turn_end: bool) -> None:
        params = {
            "plain": ResponseParams(),
            "out_of_band": ResponseParams(conversation="none"),
            "wrong": ResponseParams(max_output_tokens=0),
        }[kind]
        token, effects = self.core.create_response(params, until_turn_end=until_turn_end)
        if kind == "out_of_band":
            self.checker.waiting.add(token)
        else:
            self.checker.request(token)
        self._run_effects(effects)

    @rule(out_of_band=st.booleans())
    def send_raw_create(self, out_of_band: bool) -> None:
        self.raw_count += 1
        token = f"raw_{self.raw_count}"
        response = {"conversation": "none"} if out_of_band else {"instructions": "Be brief."}
        if not out_of_band:
            self.checker.raw_request(token)
        event = {"type": "response.create", "event_id": token, "response": response}
        self._run_effects(self.core.send_raw(event, self.now))

    @rule(named=st.booleans())
    def send_raw_cancel(self, named: bool) -> None:
        event = {"type": "response.cancel"}
        if named:
            if self.checker.active_response is None:
                return
            event["response_id"] = self.checker.active_response
        else:
            self._interruption()
        self._run_effects(self.core.send_raw(event, self.now))

    @rule(place=st.sampled_from((None, "root")))
    def send_raw_item(self, place: str | None) -> None:
        self.raw_count += 1
        part = {"type": "input_text", "text": f"raw {self.raw_count}", "note": "unknown"}
        item = {"id": f"raw_{self.raw_count}", "type": "message", "role": "user", "content": [part]}
        event = {"type": "conversation.item.create", "previous_item_id": place, "item": item}
        del part["note"]  # the local server accepts no unknown keys
        self._run_effects(self.core.send_raw(event, self.now))

    @rule(data=st.data())
    def send_raw_output(self, data: st.DataObject) -> None:
        """Answer a call by hand. Its tool goes on, and its result is not sent."""
        done = self.checker.cancelling | self.checker.answered.keys()
        open_calls = [id_ for id_ in self._ready_to_finish() if id_ not in done]
        if open_calls:
            call_id = data.draw(st.sampled_from(open_calls))
            item = {"type": "function_call_output", "call_id": call_id, "output": "by hand"}
            event = {"type": "conversation.item.create", "item": item}
            self._run_effects(self.core.send_raw(event, self.now))

    @rule(tokens=st.sampled_from((100, 200)))
    def send_raw_settings(self, tokens: int) -> None:
        session = {"type": "realtime", "max_output_tokens": tokens}
        event = {"type": "session.update", "session": session}
        self._run_effects(self.core.send_raw(event, self.now))

    @rule(data=st.data())
    def cancel_request(self, data: st.DataObject) -> None:
        if self.checker.waiting:
            self._cancel(data.draw(st.sampled_from(sorted(self.checker.waiting))))

    def _cancel(self, token: str) -> None:
        self.checker.cancel_request(token)
        self._run_effects(self.core.cancel_response(token, self.now))

    @rule(loud=st.booleans())
    def send_audio(self, loud: bool) -> None:
        audio = LOUD if loud else QUIET
        self.to_server.append(encode(InputAudioBufferAppend(audio=audio)))

    @rule()
    def interrupt(self) -> None:
        self._interruption()
        self._run_effects(self.core.interrupt(self.now))

    @rule(answer=st.sampled_from(ANSWERS), seconds=st.sampled_from((0.02, 0.3)))
    def run_turn(self, answer: tuple[Any, ...], seconds: float) -> None:
        """Run a turn, or its beginning, which random steps alone rarely reach."""
        self.choose_answer(answer)
        self.send_message(respond=True)
        self.deliver_to_server(len(self.to_server))
        self.advance_time(seconds)
        self.deliver_to_client(len(self.to_client))

    # --- settings and the current agent

    def _update_agent_settings(self, name: str) -> str:
        """Make another agent current."""
        token, effects = self.core.update_settings(Session(instructions=name), name)
        self._track_request(token, effects)
        return token

    def _track_request(self, token: str, effects: Sequence[Any]) -> None:
        self.checker.waiting.add(token)
        if not any(isinstance(effect, ResolveRequest) for effect in effects):
            self.pending_requests.add(token)
        self._run_effects(effects)

    def update_agent(self) -> str:
        self.agents += 1
        return self._update_agent_settings(f"agent {self.agents}")

    @rule()
    def change_agent(self) -> None:
        self.update_agent()

    @rule(key=st.sampled_from(("speed", "voice", "tokens")), choice=st.integers(0, 1))
    def update_settings(self, key: str, choice: int) -> None:
        """The server rejects a speed during a response, a voice after audio, and no tokens."""
        output = {
            "speed": AudioOutput(speed=(1.0, 1.2)[choice]),
            "voice": AudioOutput(voice=("echo", "sage")[choice]),
        }
        if key == "tokens":
            self._update_rejected_settings()
        else:
            wanted = Session(audio=AudioSettings(output=output[key]))
            self._track_request(*self.core.update_settings(wanted))

    def _update_rejected_settings(self) -> str:
        wanted = Session(max_output_tokens=0, instructions="rejected agent")
        token, effects = self.core.update_settings(wanted, "rejected agent")
        self.invalid_settings.add(token)
        self._track_request(token, effects)
        return token

    @precondition(lambda self: self._unhandled_calls("transfer"))
    @rule(data=st.data(), rejected=st.booleans())
    def hand_off(self, data: st.DataObject, rejected: bool) -> None:
        call_id = data.draw(st.sampled_from(self._unhandled_calls("transfer")))
        self._protect(call_id)
        self.waiting_handoffs[
            self._update_rejected_settings() if rejected else self.update_agent()
        ] = call_id

    def _unhandled_calls(self, name: str) -> list[str]:
        waiting = self.waiting_handoffs.values()
        return sorted(
            call_id
            for call_id, call in self.checker.running.items()
            if call.name == name and call_id not in {*waiting, *self.checker.cancelling}
        )

    # --- edits

    @rule(edit=st.sampled_from(EDITS), place=st.integers(0, 9))
    def update_history(self, edit: Callable[[Items, int], Items], place: int) -> None:
        wanted = edit([*self.core.history.snapshot()], place)
        with contextlib.suppress(UsageError):  # audio of the assistant cannot be created
            token, effects = self.core.update_history(wanted)
            self.edited = True
            self._track_request(token, effects)

    @precondition(lambda self: not self.to_server and not self.to_client)
    @rule(edit=st.sampled_from(EDITS), place=st.integers(0, 9))
    def update_history_without_races(self, edit: Callable[[Items, int], Items], place: int) -> None:
        wanted = edit([*self.core.history.snapshot()], place)
        rejected = self.rejected_edits
        self.update_history(edit, place)
        if not self.to_server:
            return  # nothing has to change, or the edit is invalid
        self.deliver_to_server(len(self.to_server))
        self.deliver_to_client(len(self.to_client))
        assert not self.pending_requests
        if self.rejected_edits == rejected:
            reached = self.core.history.snapshot()
            assert [item_text(item) for item in reached] == [item_text(item) for item in wanted]

    @rule()
    def delete_current_output(self) -> None:
        """Delete the item of the running response, which the server rejects."""
        self.run_turn(ANSWERS[1], 0.02)
        self.update_history(drop_one, 0)
        self.deliver_to_server(len(self.to_server))

    # --- time and the wire

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 4))
    def deliver_to_server(self, count: int) -> None:
        for _ in range(min(count, len(self.to_server))):
            self._from_server(self.server.receive(self.to_server.popleft(), self.now))

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
    def repeat_frame(self, data: st.DataObject) -> None:
        """Repeat a frame of a response that has ended, or the end of any item."""
        text = data.draw(st.sampled_from(self.delivered))
        frame = msgspec.json.decode(text)
        response_id = frame.get("response_id") or frame.get("response", {}).get("id")
        if response_id in self.ended or frame["type"] == "response.output_item.done":
            self._receive(text)

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.3, 2.0)))
    def advance_time(self, seconds: float) -> None:
        target = self.now + seconds
        while (due := self.server.next_deadline()) is not None and due <= target:
            self.now = max(self.now, due)
            self._from_server(self.server.advance(self.now))
        self.now = target

    # --- tools and guardrails

    def _undecided(self) -> list[str]:
        """Return the calls that wait for a decision."""
        decided = self.approved | self.checker.cancelling
        return [id_ for id_ in self._running("pay") if id_ not in decided]

    def _running(self, name: str) -> list[str]:
        running = self.checker.running
        return sorted(call_id for call_id, call in running.items() if call.name == name)

    def _ready_to_finish(self) -> list[str]:
        """Return the calls that wait neither for a decision nor for the server."""
        blocked = {
            self.waiting_handoffs[token]
            for token in self.pending_requests & self.waiting_handoffs.keys()
        }
        return sorted(self.checker.running.keys() - blocked - {*self._undecided()})

    @precondition(lambda self: self._ready_to_finish())
    @rule(data=st.data(), wants_response=st.booleans())
    def finish_call(self, data: st.DataObject, wants_response: bool) -> None:
        """Finish a call. An early answer has the same input: interrupts must not affect it later."""
        self._finish_call(
            data.draw(st.sampled_from(self._ready_to_finish())), wants_response=wants_response
        )

    def _finish_call(self, call_id: str, *, wants_response: bool = True) -> None:
        cancelled = call_id in self.checker.cancelling
        assert self.core.was_cancelled(call_id) == cancelled
        self.checker.end_call(call_id)
        wants_response = wants_response and not cancelled
        self._run_effects(
            self.core.call_finished(call_id, "done", wants_response=wants_response, report=None)
        )
        assert not self.core.call_finished(call_id, "again", wants_response=True, report=None)

    @precondition(lambda self: self.checker.answered)
    @rule(respond=st.booleans())
    def send_late_result(self, respond: bool) -> None:
        if respond:
            self.checker.request()
        self._run_effects(self.core.send_item(notice("The result is 42."), respond=respond))

    @precondition(lambda self: self._undecided())
    @rule(data=st.data(), approve=st.booleans())
    def decide(self, data: st.DataObject, approve: bool) -> None:
        call_id = data.draw(st.sampled_from(self._undecided()))
        self.approved.add(call_id)
        if not approve:
            self._finish_call(call_id)

    @precondition(lambda self: self.checks)
    @rule(trips=st.booleans(), newest=st.booleans())
    def finish_check(self, trips: bool, newest: bool) -> None:
        check = self.checks.pop(-1 if newest else 0)
        tripped = [GuardrailTrip(name="rule")] if trips else []
        if not trips:
            self.checker.text_passed(check.response_id, len(check.text))
        effects = self.core.reply_checked(check.response_id, check.text, tripped, self.now)
        if any(isinstance(effect, ConversationItemCreate) for effect in effects):
            self.checker.request()  # for the feedback
        self._check_affects_only(check.response_id, effects)
        self._run_effects(effects)
        self.checker.check_released(check.response_id)

    def _check_affects_only(self, response_id: str, effects: Sequence[Any]) -> None:
        """Invariant 6: a trip does not affect another response."""
        for effect in effects:
            match effect:
                case CancelCalls(call_ids=call_ids):
                    owners = {self.checker.running[id_].response_id for id_ in call_ids}
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

    # --- invariants; the checker asserts most of them

    @invariant()
    def only_races_are_errors(self) -> None:
        # Not an error of the client: the server could not respond to speech, because a create of the
        # client came first.
        races = {"conversation_already_has_active_response"}
        if self.edited:
            # A deleted item cannot be truncated, and a deleted call cannot be answered.
            races |= {"item_truncate_invalid_item_id", "invalid_tool_call_id"}
        codes = {error.code for error in self.checker.errors}
        assert codes <= races, self.checker.errors

    @invariant()
    def the_agent_is_the_accepted_one(self) -> None:
        assert self.core.agent == self.checker.agent

    # --- final state

    def teardown(self) -> None:
        self._run_to_the_end()
        assert self.core.is_quiet, "something is still pending"
        assert not self.pending_requests
        assert not self.checker.violations
        self.checker.check_final_state()
        self._check_every_question_was_answered()
        self._check_history()

    def _check_every_question_was_answered(self) -> None:
        """Invariant 3: a request for a response is never lost."""
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
        assert not unanswered, "a request for a response was lost"

    def _run_to_the_end(self) -> None:
        for _ in range(500):
            if self.to_server:
                self.deliver_to_server(len(self.to_server))
            elif self.to_client:
                self.deliver_to_client(len(self.to_client))
            elif self.checks:
                self.finish_check(trips=False, newest=False)
            elif ready := self._ready_to_finish():
                self._finish_call(ready[0])
            elif undecided := self._undecided():
                self.approved.update(undecided)
            else:
                if not self.core.is_quiet and not self._has_deadline_soon():
                    self._end_infinite_pauses()
                before = self.now
                self.advance_time(2.0)
                if self.core.is_quiet and not self.to_client and not self.to_server:
                    return
                assert self.now > before
        raise AssertionError("the conversation does not become quiet")

    def _end_infinite_pauses(self) -> None:
        self.interrupt()
        for token in self.checker.waiting - self.checker.resolved.keys():
            self._cancel(token)
        for response_id in self.checker.out_of_band - self.ended:  # nobody waits for raw ones
            event = {"type": "response.cancel", "response_id": response_id}
            self._run_effects(self.core.send_raw(event, self.now))

    def _has_deadline_soon(self) -> bool:
        due = self.server.next_deadline()
        return due is not None and due < self.now + 60

    def _check_history(self) -> None:
        """Invariant 9: the history equals the server's conversation in order and content."""
        server_items = [item.full_view() for item in self.server._state.conversation]
        client_items = self.core.history.snapshot()
        assert [item.id for item in client_items] == [item["id"] for item in server_items]
        for client_item, item in zip(client_items, server_items, strict=True):
            assert client_item.type == item["type"]
            if item["type"] == "function_call":
                assert getattr(client_item, "arguments", None) == item["arguments"]
            elif item["type"] == "message" and item["role"] == "assistant":
                content = "".join(
                    p.get("text") or p.get("transcript") or "" for p in item["content"]
                )
                assert item_text(client_item).startswith(content)


ConversationAndServer.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None
)
TestConversation = pytest.mark.filterwarnings("error")(ConversationAndServer.TestCase)
