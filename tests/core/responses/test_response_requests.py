"""Requests for responses: rejected ones are sent again, and every request is resolved.

In the property test, Hypothesis chooses the actions of the user. The service follows the protocol,
but it may not echo metadata, and its frames may be repeated.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from support.core import CoreDriver, CoreScenario, effects_of
from trio_realtime import events as ev
from trio_realtime.core import Effect, ResolveRequest, StartCall
from trio_realtime.core.responses.queue import METADATA_KEY
from trio_realtime.testing import response_object
from trio_realtime.wire import (
    ConversationItemCreate,
    InputText,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    ServerEvent,
    structure_server_event,
)

# --- rejected creates ---------------------------------------------------------------------------


def test_a_prompt_is_sent_once_though_its_create_is_rejected_and_sent_again() -> None:
    scenario = CoreScenario()
    prompt = MessageItem(role="user", content=(InputText(text="A question."),))
    _, effects = scenario.core.create_response(prompt=prompt)
    (item,) = effects_of(effects, ConversationItemCreate)
    assert item.item == prompt
    (create,) = effects_of(effects, ResponseCreate)
    scenario.reject(create, "resp_other")
    scenario.response_created("resp_other")
    effects = scenario.response_done("resp_other")
    assert effects_of(effects, ConversationItemCreate) == []
    (again,) = effects_of(effects, ResponseCreate)
    assert again.event_id == create.event_id


def create_ids(effects: object) -> list[str | None]:
    assert isinstance(effects, list | tuple)
    return [effect.event_id for effect in effects if isinstance(effect, ResponseCreate)]


def receive_creates(core: CoreDriver, **frame: object) -> list[str | None]:
    event: ServerEvent = structure_server_event(frame)
    return create_ids(core.receive(event, 0.0))


def response_fields(
    response_id: str, token: str | None = None, status: str = "completed"
) -> object:
    metadata = None if token is None else {METADATA_KEY: token}
    return {"id": response_id, "status": status, "metadata": metadata}


def send_message(core: CoreDriver) -> list[str | None]:
    item = MessageItem(role="user", content=(InputText(text="Hello?"),))
    return create_ids(core.send_item(item, respond=True))


@pytest.mark.parametrize("names_event", [True, False])
@pytest.mark.parametrize("winner_first", [True, False])
def test_a_message_rejected_for_a_spontaneous_response_is_answered_later(
    names_event: bool, winner_first: bool
) -> None:
    core = CoreDriver(agent=None)
    (token,) = send_message(core)
    error = {
        "code": "conversation_already_has_active_response",
        "message": "Conversation already has an active response in progress",
        "event_id": token if names_event else None,
    }
    created = {"type": "response.created", "response": response_fields("vad", status="in_progress")}
    rejected = {"type": "error", "error": error}

    for frame in (created, rejected) if winner_first else (rejected, created):
        assert receive_creates(core, **frame) == []
    sent = receive_creates(core, type="response.done", response=response_fields("vad"))

    assert len(sent) == 1
    assert (
        receive_creates(core, type="response.created", response=response_fields("r2", sent[0]))
        == []
    )
    assert (
        receive_creates(core, type="response.done", response=response_fields("r2", sent[0])) == []
    )
    assert core.is_quiet


def test_a_message_rejected_for_an_out_of_band_response_is_answered_later() -> None:
    # A server that runs one response at a time, out-of-band or not.
    core = CoreDriver(agent=None)
    out_of_band, _ = core.create_response(ResponseParams(conversation="none"))
    receive_creates(core, type="response.created", response=response_fields("r1", out_of_band))
    (token,) = send_message(core)
    error = {"code": "conversation_already_has_active_response", "event_id": token}
    assert receive_creates(core, type="error", error=error) == []

    sent = receive_creates(core, type="response.done", response=response_fields("r1", out_of_band))

    assert sent == [token]


def test_an_unrelated_error_leaves_the_create_outstanding() -> None:
    core = CoreDriver(agent=None)
    send_message(core)

    error = {"code": "invalid_value", "message": "Invalid audio.", "event_id": None}
    assert receive_creates(core, type="error", error=error) == []

    assert not core.is_quiet
    assert send_message(core) == []


def test_a_create_rejected_for_an_ended_response_is_sent_again_at_once() -> None:
    """The service reports the end of a response slightly before it accepts the next create."""
    scenario = CoreScenario()
    first = scenario.message_create()
    scenario.response_created("resp_1", first)
    scenario.send_message("And?")
    (second,) = effects_of(scenario.response_done("resp_1", first), ResponseCreate)

    (sent_again,) = effects_of(scenario.reject(second, winner="resp_1"), ResponseCreate)

    scenario.response_created("resp_2", sent_again)
    scenario.response_done("resp_2", sent_again)
    assert scenario.core.is_quiet


# --- every request is resolved ------------------------------------------------------------------


Frame = dict[str, Any]
ACTIONS = (
    "send_message",
    "ask",
    "create",
    "out_of_band",
    "interrupt",
    "cancel",
    "speech",
    "spontaneous",
    "finish_call",
    "nothing",
)
STEPS = st.tuples(st.sampled_from((*ACTIONS, *["serve"] * 6)), st.integers(0, 3))
MAX_CALLS = 8


@attrs.define(eq=False)
class ServiceResponse:
    """A response that the service generates."""

    id: str
    metadata: Frame | None
    conversation_id: str | None


class Exchange:
    """A conversation, its service, and the messages in transit between the two."""

    def __init__(self, *, echoes: bool, repeats: bool) -> None:
        self.core = CoreDriver("agent")
        self.now = 0.0
        self.echoes = echoes
        self.repeats = repeats
        self.requests: deque[ResponseCreate | ResponseCancel] = deque()
        self.frames: deque[Frame] = deque()
        self.active: ServiceResponse | None = None
        self.out_of_band: list[ServiceResponse] = []
        self.calls: list[str] = []
        self.requested: list[str] = []
        self.resolved: set[str] = set()
        self.interrupted: set[str] = set()
        self.response_count = 0
        self.call_count = 0

    # --- the client

    def run_effects(self, effects: Any) -> None:
        for effect in effects:
            self._run_effect(effect)

    def _run_effect(self, effect: Effect) -> None:
        match effect:
            case ResponseCreate() | ResponseCancel():
                self.requests.append(effect)
            case StartCall(call=call):
                self.calls.append(call.call_id)
            case ResolveRequest(token=token):
                assert token not in self.resolved, "a request was resolved twice"
                self.resolved.add(token)
            case ev.AudioInterrupted(response_id=response_id):
                self.interrupted.add(response_id)
            case ev.Audio(response_id=response_id):
                assert response_id not in self.interrupted, "audio after its interruption"
            case _:
                pass

    def perform(self, action: str, choice: int) -> None:
        match action:
            case "send_message":
                item = MessageItem(role="user", content=(InputText(text="hi"),))
                self.run_effects(self.core.send_item(item, respond=True))
            case "ask" | "create" | "out_of_band":
                self._request(action)
            case "interrupt":
                self.run_effects(self.core.interrupt(self.now))
            case "cancel" if self.requested:
                token = self.requested[choice % len(self.requested)]
                if token not in self.resolved:
                    self.run_effects(self.core.cancel_response(token, self.now))
            case "finish_call" if self.calls:
                self._end_call()
            case _:
                self.serve(action, choice)

    def _request(self, action: str) -> None:
        if action == "out_of_band" and not self.echoes:
            return  # without metadata, concurrent responses cannot be attributed
        params = ResponseParams(conversation="none") if action == "out_of_band" else None
        token, effects = self.core.create_response(params, until_turn_end=action == "ask")
        self.requested.append(token)
        self.run_effects(effects)

    def _end_call(self) -> None:
        call_id = self.calls.pop(0)
        self.run_effects(self.core.call_finished(call_id, "done", wants_response=True, report=None))

    def deliver(self, *, twice: bool = False) -> None:
        if self.frames:
            frame = self.frames.popleft()
            for _ in range(2 if twice and self.repeats else 1):
                self.run_effects(self.core.receive(structure_server_event(frame), self.now))

    # --- the service

    def send(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, "event_id": "event", **fields})

    def serve(self, action: str, choice: int) -> None:
        if action == "speech":
            self.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
            if self.active is not None:
                self._end(self.active, "cancelled")
        elif action == "spontaneous" and self.active is None:
            self.send("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=0)
            self._begin("spontaneous", None, "conv")
        elif action == "serve":
            self.step(choice)

    def step(self, choice: int) -> None:
        if self.requests:
            self._handle(self.requests.popleft())
        elif self.active is not None and choice == 0:
            self._send_audio(self.active)
        elif self.active is not None and choice == 1 and self.call_count < MAX_CALLS:
            self._send_call(self.active)
        elif self.active is not None:
            self._end(self.active, "completed")
        elif self.out_of_band:
            self._end(self.out_of_band[0], "completed")

    def _handle(self, request: ResponseCreate | ResponseCancel) -> None:
        if isinstance(request, ResponseCancel):
            self._cancel(request)
            return
        assert request.response is not None
        metadata = dict(request.response.metadata or {})
        if request.response.conversation == "none":
            self._begin("out_of_band", metadata, None)
        elif self.active is not None:
            code = "conversation_already_has_active_response"
            message = f"Conversation already has an active response in progress: {self.active.id}."
            self.send(
                "error", error={"code": code, "message": message, "event_id": request.event_id}
            )
        else:
            self._begin("requested", metadata if self.echoes else None, "conv")

    def _cancel(self, request: ResponseCancel) -> None:
        for response in [*self.out_of_band, *([self.active] if self.active else [])]:
            if response.id == request.response_id:
                self._end(response, "cancelled")
                return
        error = {"code": "response_cancel_not_active", "event_id": request.event_id}
        self.send("error", error={**error, "message": "no active response found"})

    def _begin(self, kind: str, metadata: Frame | None, conversation_id: str | None) -> None:
        self.response_count += 1
        response = ServiceResponse(f"resp_{kind}_{self.response_count}", metadata, conversation_id)
        if kind == "out_of_band":
            self.out_of_band.append(response)
        else:
            self.active = response
        self._send_response("response.created", response, "in_progress")

    def _end(self, response: ServiceResponse, status: str) -> None:
        self._send_response("response.done", response, status)
        if response is self.active:
            self.active = None
        else:
            self.out_of_band.remove(response)

    def _send_response(self, kind: str, response: ServiceResponse, status: str) -> None:
        fields = response_object(
            response.id,
            status=status,
            metadata=response.metadata,
            conversation_id=response.conversation_id,
        )
        self.send(kind, response=fields)

    def _send_audio(self, response: ServiceResponse) -> None:
        place = {"response_id": response.id, "item_id": f"item_{response.id}"}
        self.send(
            "response.output_audio.delta", **place, output_index=0, content_index=0, delta="AAAA"
        )

    def _send_call(self, response: ServiceResponse) -> None:
        self.call_count += 1
        item = {
            "id": f"item_call_{self.call_count}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{self.call_count}",
            "name": "look_up",
            "arguments": "{}",
        }
        self.send("response.output_item.done", response_id=response.id, output_index=0, item=item)

    # --- final state

    def finish(self) -> None:
        for _ in range(500):
            self.deliver()
            self.step(2)
            while self.calls:
                self._end_call()
            if not (self.frames or self.requests or self.active or self.out_of_band or self.calls):
                return
        raise AssertionError("the conversation does not become quiet")


@settings(max_examples=300, deadline=None)
@given(echoes=st.booleans(), repeats=st.booleans(), steps=st.lists(STEPS, max_size=60))
def test_every_request_is_resolved(
    echoes: bool, repeats: bool, steps: list[tuple[str, int]]
) -> None:
    exchange = Exchange(echoes=echoes, repeats=repeats)
    for action, choice in steps:
        exchange.now += 0.003
        exchange.perform(action, choice)
        if choice % 2:
            exchange.deliver(twice=choice == 3)
    exchange.finish()
    assert set(exchange.requested) <= exchange.resolved
    assert exchange.core.is_quiet
