"""Whatever the user did, every wish ends and nothing is left waiting.

The service here keeps to the protocol, but it may be one that echoes no metadata, and its frames may
come twice; its user does what Hypothesis says.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from hypothesis import given, settings, strategies as st

from support.core import CoreDriver
from trio_realtime import events as ev
from trio_realtime.core import Effect, ResolveRequest, StartCall
from trio_realtime.testing import response_object
from trio_realtime.wire import (
    InputText,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    structure_server_event,
)

Frame = dict[str, Any]
ACTS = (
    "say",
    "ask",
    "create",
    "beside",
    "interrupt",
    "cancel",
    "speech",
    "answer",
    "tool",
    "twice",
)
STEPS = st.tuples(st.sampled_from((*ACTS, *["serve"] * 6)), st.integers(0, 3))
MAX_CALLS = 8


@attrs.define(eq=False)
class Writing:
    """A response that the service writes."""

    id: str
    metadata: Frame | None
    conversation_id: str | None


class Play:
    """A conversation, its service, and what is on its way between the two."""

    def __init__(self, *, echoes: bool, repeats: bool) -> None:
        self.core = CoreDriver("agent")
        self.now = 0.0
        self.echoes = echoes
        self.repeats = repeats
        self.requests: deque[ResponseCreate | ResponseCancel] = deque()
        self.frames: deque[Frame] = deque()
        self.active: Writing | None = None
        self.beside: list[Writing] = []
        self.calls: list[str] = []
        self.asked: list[str] = []
        self.settled: set[str] = set()
        self.silenced: set[str] = set()
        self.begun = 0
        self.called = 0

    # --- the client

    def carry_out(self, effects: Any) -> None:
        for effect in effects:
            self._note(effect)

    def _note(self, effect: Effect) -> None:
        match effect:
            case ResponseCreate() | ResponseCancel():
                self.requests.append(effect)
            case StartCall(call=call):
                self.calls.append(call.call_id)
            case ResolveRequest(token=token):
                assert token not in self.settled, "told twice"
                self.settled.add(token)
            case ev.AudioInterrupted(response_id=response_id):
                self.silenced.add(response_id)
            case ev.Audio(response_id=response_id):
                assert response_id not in self.silenced, "audio after its interruption"
            case _:
                pass

    def act(self, what: str, choice: int) -> None:
        match what:
            case "say":
                item = MessageItem(role="user", content=(InputText(text="hi"),))
                self.carry_out(self.core.send_item(item, respond=True))
            case "ask" | "create" | "beside":
                self._wish(what)
            case "interrupt":
                self.carry_out(self.core.interrupt(self.now))
            case "cancel" if self.asked:
                token = self.asked[choice % len(self.asked)]
                if token not in self.settled:
                    self.carry_out(self.core.cancel_response(token, self.now))
            case "tool" if self.calls:
                self._end_call()
            case _:
                self.serve(what, choice)

    def _wish(self, what: str) -> None:
        if what == "beside" and not self.echoes:
            return  # such a server does not tell which of several it is
        params = ResponseParams(conversation="none") if what == "beside" else None
        token, effects = self.core.create_response(params, until_turn_end=what == "ask")
        self.asked.append(token)
        self.carry_out(effects)

    def _end_call(self) -> None:
        call_id = self.calls.pop(0)
        self.carry_out(self.core.call_finished(call_id, "done", wants_response=True, report=None))

    def deliver(self, *, twice: bool = False) -> None:
        if self.frames:
            frame = self.frames.popleft()
            for _ in range(2 if twice and self.repeats else 1):
                self.carry_out(self.core.receive(structure_server_event(frame), self.now))

    # --- the service

    def tell(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, "event_id": "event", **fields})

    def serve(self, what: str, choice: int) -> None:
        if what == "speech":
            self.tell("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
            if self.active is not None:
                self._end(self.active, "cancelled")
        elif what == "answer" and self.active is None:
            self.tell("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=0)
            self._begin("own", None, "conv")
        elif what == "serve":
            self.step(choice)

    def step(self, choice: int) -> None:
        if self.requests:
            self._take(self.requests.popleft())
        elif self.active is not None and choice == 0:
            self._speak(self.active)
        elif self.active is not None and choice == 1 and self.called < MAX_CALLS:
            self._call(self.active)
        elif self.active is not None:
            self._end(self.active, "completed")
        elif self.beside:
            self._end(self.beside[0], "completed")

    def _take(self, request: ResponseCreate | ResponseCancel) -> None:
        if isinstance(request, ResponseCancel):
            self._cancel(request)
            return
        assert request.response is not None
        metadata = dict(request.response.metadata or {})
        if request.response.conversation == "none":
            self._begin("beside", metadata, None)
        elif self.active is not None:
            code = "conversation_already_has_active_response"
            told = f"CoreDriver already has an active response in progress: {self.active.id}."
            self.tell("error", error={"code": code, "message": told, "event_id": request.event_id})
        else:
            self._begin("asked", metadata if self.echoes else None, "conv")

    def _cancel(self, request: ResponseCancel) -> None:
        for writing in [*self.beside, *([self.active] if self.active else [])]:
            if writing.id == request.response_id:
                self._end(writing, "cancelled")
                return
        error = {"code": "response_cancel_not_active", "event_id": request.event_id}
        self.tell("error", error={**error, "message": "no active response found"})

    def _begin(self, kind: str, metadata: Frame | None, conversation_id: str | None) -> None:
        self.begun += 1
        writing = Writing(f"resp_{kind}_{self.begun}", metadata, conversation_id)
        if kind == "beside":
            self.beside.append(writing)
        else:
            self.active = writing
        self._tell_response("response.created", writing, "in_progress")

    def _end(self, writing: Writing, status: str) -> None:
        self._tell_response("response.done", writing, status)
        if writing is self.active:
            self.active = None
        else:
            self.beside.remove(writing)

    def _tell_response(self, kind: str, writing: Writing, status: str) -> None:
        response = response_object(
            writing.id,
            status=status,
            metadata=writing.metadata,
            conversation_id=writing.conversation_id,
        )
        self.tell(kind, response=response)

    def _speak(self, writing: Writing) -> None:
        where = {"response_id": writing.id, "item_id": f"item_{writing.id}"}
        self.tell(
            "response.output_audio.delta", **where, output_index=0, content_index=0, delta="AAAA"
        )

    def _call(self, writing: Writing) -> None:
        self.called += 1
        item = {
            "id": f"item_call_{self.called}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{self.called}",
            "name": "look_up",
            "arguments": "{}",
        }
        self.tell("response.output_item.done", response_id=writing.id, output_index=0, item=item)

    # --- to the end

    def finish(self) -> None:
        for _ in range(500):
            self.deliver()
            self.step(2)
            while self.calls:
                self._end_call()
            if not (self.frames or self.requests or self.active or self.beside or self.calls):
                return
        raise AssertionError("it does not come to rest")


@settings(max_examples=300, deadline=None)
@given(echoes=st.booleans(), repeats=st.booleans(), steps=st.lists(STEPS, max_size=60))
def test_every_wish_ends_and_nothing_is_left_waiting(
    echoes: bool, repeats: bool, steps: list[tuple[str, int]]
) -> None:
    play = Play(echoes=echoes, repeats=repeats)
    for what, choice in steps:
        play.now += 0.003
        play.act(what, choice)
        if choice % 2:
            play.deliver(twice=choice == 3)
    play.finish()
    assert set(play.asked) <= play.settled
    assert play.core.is_quiet
