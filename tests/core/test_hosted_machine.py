"""Calls of every kind at once: functions, calls that the service makes itself, and their approvals.

The service here keeps to the protocol but may say things twice and reuse a call id; Hypothesis says
what it and its user do. Numbers are those of the design's list of invariants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.invariants import InvariantChecker
from trio_realtime.core import Conversation, Effect
from trio_realtime.testing import response_object
from trio_realtime.wire import (
    ConversationItemCreate,
    InputText,
    McpApprovalResponseItem,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    structure_server_event,
)

Frame = dict[str, Any]
MCP: Frame = {"server_label": "docs", "name": "search", "arguments": "{}"}


class Hosting:
    """The service's side: frames for the client, in order."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.requests: deque[Any] = deque()
        self.active: str | None = None
        self.calling: dict[str, str | None] = {}  # hosted calls under way, and their response
        self.approved = 0
        self.number = 0

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}_{self.number}"

    def tell(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, "event_id": "event", **fields})

    def begin(self, metadata: Frame | None = None) -> None:
        self.active = self.name("resp")
        self.tell("response.created", response=response_object(self.active, metadata=metadata))

    def end(self, status: str = "completed") -> None:
        assert self.active is not None
        self.tell("response.done", response=response_object(self.active, status=status))
        if status != "completed":
            # What it had not done by then is over with it.
            self.calling = {i: owner for i, owner in self.calling.items() if owner != self.active}
        self.active = None

    def take(self) -> None:
        """One request of the client."""
        request = self.requests.popleft()
        match request:
            case ResponseCreate(response=params) if self.active is None:
                assert params is not None
                self.begin(dict(params.metadata or {}))
            case ResponseCreate(event_id=token):
                told = f"Conversation already has an active response in progress: {self.active}."
                code = "conversation_already_has_active_response"
                self.tell("error", error={"code": code, "message": told, "event_id": token})
            case ResponseCancel(response_id=response_id, event_id=token):
                if response_id == self.active:
                    self.end("cancelled")
                else:
                    error = {"code": "response_cancel_not_active", "event_id": token}
                    self.tell("error", error={**error, "message": "no active response found"})
            case ConversationItemCreate(item=McpApprovalResponseItem(approve=True)):
                self.approved += 1
            case _:
                pass

    # --- items

    def item(self, item: Frame, *, opened: bool = False) -> None:
        """An item of the running response, whole or only its end."""
        if not opened:
            self.tell("response.output_item.added", response_id=self.active, item=item)
        self.tell("conversation.item.done", item=item)
        self.tell("response.output_item.done", response_id=self.active, item=item)

    def call_function(self, call_id: str, arguments: str = "{}") -> None:
        item = {"id": self.name("item"), "type": "function_call", "status": "completed"}
        self.item({**item, "call_id": call_id, "name": "look_up", "arguments": arguments})

    def request_approval(self) -> None:
        self.item({**MCP, "id": self.name("ask"), "type": "mcp_approval_request"})

    def begin_hosted(self) -> str:
        item_id = self.name("mcp")
        self.calling[item_id] = self.active
        if self.active is not None:
            item = {**MCP, "id": item_id, "type": "mcp_call"}
            self.tell("response.output_item.added", response_id=self.active, item=item)
        self.tell("response.mcp_call.in_progress", item_id=item_id)
        return item_id

    def end_hosted(self, item_id: str, kind: str) -> None:
        owner = self.calling.pop(item_id)
        result: Frame = {"output": "found"} if kind == "completed" else {"error": {"type": "x"}}
        item = {**MCP, "id": item_id, "type": "mcp_call", **result}
        self.tell(f"response.mcp_call.{kind}", item_id=item_id)
        self.tell("conversation.item.done", item=item)
        if owner is not None and owner == self.active:
            self.tell("response.output_item.done", response_id=owner, item=item)


class Mixed(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.core = Conversation("agent")
        self.promises = InvariantChecker("agent")
        self.service = Hosting()
        self.delivered: list[Frame] = []
        self.reused = 0
        self.hosted: set[str] = set()
        self.over: set[str] = set()
        # Before the first echo nobody can tell whose a response is; see `gate`.
        self.write(True)
        self.service.requests.clear()
        self.service.begin({"trio_realtime": next(iter(self.promises.outstanding))})
        self.service.end()
        self.deliver(2)

    # --- the wire

    def carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.promises.effect(effect)
            if isinstance(effect, ResponseCreate | ResponseCancel | ConversationItemCreate):
                self.service.requests.append(effect)

    def receive(self, frame: Frame) -> None:
        self._note_reused(frame)
        self.promises.frame(frame)
        self._note_hosted(frame)
        self.carry_out(self.core.receive(structure_server_event(frame), 0.0))

    def _note_reused(self, frame: Frame) -> None:
        match frame:
            case {
                "type": "response.output_item.done",
                "response_id": response_id,
                "item": {"type": "function_call", "arguments": arguments},
            }:
                reply = self.promises.replies.get(response_id)
                over = reply is not None and reply.ended
                self.reused += arguments != "{}" and not over
            case _:
                pass

    def _note_hosted(self, frame: Frame) -> None:
        """A hosted call is of the response that runs when it begins, or of none."""
        match frame:
            case {"type": "response.mcp_call.in_progress", "item_id": item_id}:
                if item_id not in self.hosted and self.promises.active_response is not None:
                    self.promises.hosted_call_started(self.promises.active_response, item_id)
                self.hosted.add(item_id)
            case {"type": "response.mcp_call.completed" | "response.mcp_call.failed"}:
                if frame["item_id"] not in self.over:
                    self.over.add(frame["item_id"])
                    self.promises.hosted_call_ended(frame["item_id"])
            case {"type": "response.done", "response": {"status": "cancelled" | "failed"}}:
                self.promises.abandoned(frame["response"]["id"], self.hosted)
            case _:
                pass

    @precondition(lambda self: self.service.frames)
    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.service.frames))):
            frame = self.service.frames.popleft()
            self.delivered.append(frame)
            self.receive(frame)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def something_comes_twice(self, data: st.DataObject) -> None:
        """But for errors, whose requests have gone on."""
        frame = data.draw(st.sampled_from(self.delivered))
        if frame["type"] != "error":
            self.receive(frame)

    @precondition(lambda self: self.service.requests)
    @rule()
    def take_request(self) -> None:
        self.service.take()

    # --- the service

    @precondition(lambda self: self.service.active is None)
    @rule()
    def begin_by_itself(self) -> None:
        self.service.begin()

    @precondition(lambda self: self.service.active)
    @rule(kinds=st.lists(st.sampled_from(("function", "hosted", "approval")), max_size=3))
    def make_calls(self, kinds: list[str]) -> None:
        for kind in kinds:
            if kind == "function":
                self.service.call_function(self.service.name("call"))
            elif kind == "hosted":
                self.service.begin_hosted()
            else:
                self.service.request_approval()

    @precondition(lambda self: self.promises.completed)
    @rule(data=st.data(), same=st.booleans())
    def reuse_a_call_id(self, data: st.DataObject, same: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.promises.completed)))
        if self.service.active is None:
            self.service.begin()
        self.service.call_function(call_id, "{}" if same else '{"other": 1}')

    @precondition(lambda self: self.service.active)
    @rule(status=st.sampled_from(("completed", "completed", "failed", "cancelled")))
    def end_response(self, status: str) -> None:
        self.service.end(status)

    @precondition(lambda self: self.service.approved)
    @rule()
    def begin_what_was_approved(self) -> None:
        self.service.approved -= 1
        self.service.begin_hosted()

    @precondition(lambda self: self.service.calling)
    @rule(data=st.data(), kind=st.sampled_from(("completed", "failed")))
    def end_hosted(self, data: st.DataObject, kind: str) -> None:
        self.service.end_hosted(data.draw(st.sampled_from(sorted(self.service.calling))), kind)

    # --- the client

    @rule(respond=st.booleans())
    def write(self, respond: bool) -> None:
        if respond:
            self.promises.request()
        item = MessageItem(role="user", content=(InputText(text="Hello"),))
        self.carry_out(self.core.send_item(item, respond=respond))

    @rule()
    def interrupt(self) -> None:
        self.promises.interrupted()
        self.carry_out(self.core.interrupt(0.0))

    @precondition(lambda self: self.promises.running)
    @rule(data=st.data(), approve=st.booleans())
    def call_ends(self, data: st.DataObject, approve: bool) -> None:
        self._end_call(data.draw(st.sampled_from(sorted(self.promises.running))), approve=approve)

    def _end_call(self, call_id: str, *, approve: bool = True) -> None:
        hit = call_id in self.promises.cancelling
        call = self.promises.end_call(call_id)
        if call.server_label is None:
            effects = self.core.call_finished(call_id, "done", wants_response=not hit, report=None)
        else:
            effects = self.core.approval_decided(call_id, approve=approve and not hit, reason=None)
        self.carry_out(effects)

    # --- what holds; the rest stands in the promises

    @invariant()
    def an_id_that_is_reused_for_another_call_is_told(self) -> None:
        assert self.promises.violations == self.reused

    def teardown(self) -> None:
        for _ in range(2000):
            if self.service.frames:
                self.deliver(len(self.service.frames))
            elif self.service.requests:
                self.service.take()
            elif self.promises.running:
                self._end_call(next(iter(self.promises.running)))
            elif self.service.calling:
                self.service.end_hosted(next(iter(self.service.calling)), "completed")
            elif self.service.approved:
                self.begin_what_was_approved()
            elif self.service.active is not None:
                self.service.end()
            else:
                break
        assert self.core.is_quiet, "something was left waiting"
        self.promises.check_final_state()


Mixed.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestMixed = pytest.mark.filterwarnings("error")(Mixed.TestCase)


# --- one response, and all that it calls for ----------------------------------------------------

KINDS = st.lists(st.sampled_from(("function", "hosted", "approval")), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(kinds=KINDS, data=st.data())
def test_one_create_follows_all_calls_of_a_response_of_whatever_kind(
    kinds: list[str], data: st.DataObject
) -> None:
    """4. In whichever order they end, and also where they end before the response does."""
    mixed = Mixed()
    service, promises = mixed.service, mixed.promises
    service.begin()
    mixed.make_calls(kinds)
    mixed.deliver(100)
    steps = [*sorted(promises.running), *sorted(service.calling), "the response"]
    for step in data.draw(st.permutations(steps)):
        assert not creates(service)
        if step in promises.running:
            mixed._end_call(step, approve=False)
        elif step == "the response":
            service.end()
        else:
            service.end_hosted(step, "completed")
        if service.frames:
            mixed.deliver(100)
    assert len(creates(service)) == 1
    assert promises.answered.total() == kinds.count("function")
    assert promises.decisions.total() == kinds.count("approval")


def creates(service: Hosting) -> list[Any]:
    return [request for request in service.requests if isinstance(request, ResponseCreate)]


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_an_approval_is_answered_also_when_its_response_was_not_completed(status: str) -> None:
    """1 and 6. Whoever decides may need longer than the service to end the response."""
    mixed = Mixed()
    mixed.service.begin()
    mixed.service.request_approval()
    mixed.deliver(100)
    (request,) = mixed.promises.running
    if status == "cancelled":
        mixed.interrupt()
    mixed.service.end(status)
    mixed.deliver(1)
    mixed.write(True)  # 6: waits until the decision, which was cancelled, is over
    mixed._end_call(request)
    assert mixed.promises.decisions == {request: 1}
