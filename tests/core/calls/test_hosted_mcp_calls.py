"""Function calls, hosted MCP calls and approvals in any combination.

The service follows the protocol, but it may repeat events and reuse call ids. Hypothesis chooses the
actions of the service and of the user. :mod:`support.invariants` explains the numbered invariants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.core import CoreDriver
from support.invariants import InvariantChecker
from trio_realtime.core import Effect
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


class HostedService:
    """A service with hosted MCP calls. It queues its frames for the client."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.requests: deque[Any] = deque()
        self.active: str | None = None
        self.calling: dict[str, str | None] = {}  # running hosted calls, and their response
        self.approved = 0
        self.number = 0

    def new_id(self, kind: str) -> str:
        self.number += 1
        return f"{kind}_{self.number}"

    def send(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, "event_id": "event", **fields})

    def begin_response(self, metadata: Frame | None = None) -> None:
        self.active = self.new_id("resp")
        self.send("response.created", response=response_object(self.active, metadata=metadata))

    def end_response(self, status: str = "completed") -> None:
        assert self.active is not None
        self.send("response.done", response=response_object(self.active, status=status))
        if status != "completed":
            # Its unfinished hosted calls end with it.
            self.calling = {i: owner for i, owner in self.calling.items() if owner != self.active}
        self.active = None

    def handle_request(self) -> None:
        """Handle one request of the client."""
        request = self.requests.popleft()
        match request:
            case ResponseCreate(response=params) if self.active is None:
                assert params is not None
                self.begin_response(dict(params.metadata or {}))
            case ResponseCreate(event_id=token):
                message = f"Conversation already has an active response in progress: {self.active}."
                code = "conversation_already_has_active_response"
                self.send("error", error={"code": code, "message": message, "event_id": token})
            case ResponseCancel(response_id=response_id, event_id=token):
                if response_id == self.active:
                    self.end_response("cancelled")
                else:
                    error = {"code": "response_cancel_not_active", "event_id": token}
                    self.send("error", error={**error, "message": "no active response found"})
            case ConversationItemCreate(item=McpApprovalResponseItem(approve=True)):
                self.approved += 1
            case _:
                pass

    # --- items

    def send_item(self, item: Frame, *, opened: bool = False) -> None:
        """Send an item of the running response, or only its end if it was opened before."""
        if not opened:
            self.send("response.output_item.added", response_id=self.active, item=item)
        self.send("conversation.item.done", item=item)
        self.send("response.output_item.done", response_id=self.active, item=item)

    def call_function(self, call_id: str, arguments: str = "{}") -> None:
        item = {"id": self.new_id("item"), "type": "function_call", "status": "completed"}
        self.send_item({**item, "call_id": call_id, "name": "look_up", "arguments": arguments})

    def request_approval(self) -> None:
        self.send_item({**MCP, "id": self.new_id("ask"), "type": "mcp_approval_request"})

    def begin_hosted(self) -> str:
        item_id = self.new_id("mcp")
        self.calling[item_id] = self.active
        if self.active is not None:
            item = {**MCP, "id": item_id, "type": "mcp_call"}
            self.send("response.output_item.added", response_id=self.active, item=item)
        self.send("response.mcp_call.in_progress", item_id=item_id)
        return item_id

    def end_hosted(self, item_id: str, kind: str) -> None:
        owner = self.calling.pop(item_id)
        result: Frame = {"output": "found"} if kind == "completed" else {"error": {"type": "x"}}
        item = {**MCP, "id": item_id, "type": "mcp_call", **result}
        self.send(f"response.mcp_call.{kind}", item_id=item_id)
        self.send("conversation.item.done", item=item)
        if owner is not None and owner == self.active:
            self.send("response.output_item.done", response_id=owner, item=item)


class Mixed(RuleBasedStateMachine):
    """The core and a service. Messages in both directions are delivered later, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.core = CoreDriver("agent")
        self.checker = InvariantChecker("agent")
        self.service = HostedService()
        self.delivered: list[Frame] = []
        self.reused = 0
        self.hosted: set[str] = set()
        self.ended_calls: set[str] = set()
        # Without an echo so far, attribution is uncertain. Begin with one complete response.
        self.send_message(True)
        self.service.requests.clear()
        self.service.begin_response({"trio_realtime": next(iter(self.checker.outstanding))})
        self.service.end_response()
        self.deliver(2)

    # --- the wire

    def run_effects(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.checker.effect(effect)
            if isinstance(effect, ResponseCreate | ResponseCancel | ConversationItemCreate):
                self.service.requests.append(effect)

    def receive(self, frame: Frame) -> None:
        self._count_reused_ids(frame)
        self.checker.frame(frame)
        self._record_hosted_calls(frame)
        self.run_effects(self.core.receive(structure_server_event(frame), 0.0))

    def _count_reused_ids(self, frame: Frame) -> None:
        match frame:
            case {
                "type": "response.output_item.done",
                "response_id": response_id,
                "item": {"type": "function_call", "arguments": arguments},
            }:
                reply = self.checker.replies.get(response_id)
                call_id = frame["item"]["call_id"]
                owner = self.checker.completed.get(call_id, response_id)
                if reply is not None and reply.ended:
                    return
                if owner == response_id:
                    self.reused += arguments != "{}"
                else:
                    self.reused += (response_id, call_id) not in self.checker.repeated
            case _:
                pass

    def _record_hosted_calls(self, frame: Frame) -> None:
        """Record hosted calls. A call belongs to the response that runs when it begins, if any."""
        match frame:
            case {"type": "response.mcp_call.in_progress", "item_id": item_id}:
                if item_id not in self.hosted and self.checker.active_response is not None:
                    self.checker.hosted_call_started(self.checker.active_response, item_id)
                self.hosted.add(item_id)
            case {"type": "response.mcp_call.completed" | "response.mcp_call.failed"}:
                if frame["item_id"] not in self.ended_calls:
                    self.ended_calls.add(frame["item_id"])
                    self.checker.hosted_call_ended(frame["item_id"])
            case {"type": "response.done", "response": {"status": "cancelled" | "failed"}}:
                self.checker.abandoned(frame["response"]["id"], self.hosted)
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
    def repeat_frame(self, data: st.DataObject) -> None:
        """Deliver a frame again. Errors are not repeated: their requests have been sent again."""
        frame = data.draw(st.sampled_from(self.delivered))
        if frame["type"] != "error":
            self.receive(frame)

    @precondition(lambda self: self.service.requests)
    @rule()
    def deliver_request(self) -> None:
        self.service.handle_request()

    # --- the service

    @precondition(lambda self: self.service.active is None)
    @rule()
    def begin_spontaneous_response(self) -> None:
        self.service.begin_response()

    @precondition(lambda self: self.service.active)
    @rule(kinds=st.lists(st.sampled_from(("function", "hosted", "approval")), max_size=3))
    def make_calls(self, kinds: list[str]) -> None:
        for kind in kinds:
            if kind == "function":
                self.service.call_function(self.service.new_id("call"))
            elif kind == "hosted":
                self.service.begin_hosted()
            else:
                self.service.request_approval()

    @precondition(lambda self: self.checker.completed)
    @rule(data=st.data(), same=st.booleans())
    def reuse_call_id(self, data: st.DataObject, same: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.checker.completed)))
        if self.service.active is None:
            self.service.begin_response()
        self.service.call_function(call_id, "{}" if same else '{"other": 1}')

    @precondition(lambda self: self.service.active)
    @rule(status=st.sampled_from(("completed", "completed", "failed", "cancelled")))
    def end_response(self, status: str) -> None:
        self.service.end_response(status)

    @precondition(lambda self: self.service.approved)
    @rule()
    def begin_approved_call(self) -> None:
        self.service.approved -= 1
        self.service.begin_hosted()

    @precondition(lambda self: self.service.calling)
    @rule(data=st.data(), kind=st.sampled_from(("completed", "failed")))
    def end_hosted(self, data: st.DataObject, kind: str) -> None:
        self.service.end_hosted(data.draw(st.sampled_from(sorted(self.service.calling))), kind)

    # --- the client

    @rule(respond=st.booleans())
    def send_message(self, respond: bool) -> None:
        if respond:
            self.checker.request()
        item = MessageItem(role="user", content=(InputText(text="Hello"),))
        self.run_effects(self.core.send_item(item, respond=respond))

    @rule()
    def interrupt(self) -> None:
        self.checker.interrupted()
        self.run_effects(self.core.interrupt(0.0))

    @precondition(lambda self: self.checker.running)
    @rule(data=st.data(), approve=st.booleans())
    def finish_call(self, data: st.DataObject, approve: bool) -> None:
        self._end_call(data.draw(st.sampled_from(sorted(self.checker.running))), approve=approve)

    def _end_call(self, call_id: str, *, approve: bool = True) -> None:
        cancelled = call_id in self.checker.cancelling
        call = self.checker.end_call(call_id)
        if call.server_label is None:
            effects = self.core.call_finished(
                call_id, "done", wants_response=not cancelled, report=None
            )
        else:
            effects = self.core.approval_decided(
                call_id, approve=approve and not cancelled, reason=None
            )
        self.run_effects(effects)

    # --- invariants; the checker asserts the others

    @invariant()
    def reused_call_ids_are_reported(self) -> None:
        assert self.checker.violations == self.reused

    def teardown(self) -> None:
        for _ in range(2000):
            if self.service.frames:
                self.deliver(len(self.service.frames))
            elif self.service.requests:
                self.service.handle_request()
            elif self.checker.running:
                self._end_call(next(iter(self.checker.running)))
            elif self.service.calling:
                self.service.end_hosted(next(iter(self.service.calling)), "completed")
            elif self.service.approved:
                self.begin_approved_call()
            elif self.service.active is not None:
                self.service.end_response()
            else:
                break
        assert self.core.is_quiet, "something is still pending"
        self.checker.check_final_state()


Mixed.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestMixed = pytest.mark.filterwarnings("error")(Mixed.TestCase)


# --- one response with several calls -------------------------------------------------------------

KINDS = st.lists(st.sampled_from(("function", "hosted", "approval")), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(kinds=KINDS, data=st.data())
def test_one_create_follows_all_calls_of_a_response(kinds: list[str], data: st.DataObject) -> None:
    """Invariant 4: in any order of completion, also if calls end before the response."""
    mixed = Mixed()
    service, checker = mixed.service, mixed.checker
    service.begin_response()
    mixed.make_calls(kinds)
    mixed.deliver(100)
    steps = [*sorted(checker.running), *sorted(service.calling), "response"]
    for step in data.draw(st.permutations(steps)):
        assert not creates(service)
        if step in checker.running:
            mixed._end_call(step, approve=False)
        elif step == "response":
            service.end_response()
        else:
            service.end_hosted(step, "completed")
        if service.frames:
            mixed.deliver(100)
    assert len(creates(service)) == 1
    assert checker.answered.total() == kinds.count("function")
    assert checker.decisions.total() == kinds.count("approval")


def creates(service: HostedService) -> list[Any]:
    return [request for request in service.requests if isinstance(request, ResponseCreate)]


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_an_approval_is_answered_although_its_response_did_not_complete(status: str) -> None:
    """Invariants 1 and 6: the decision may take longer than the response."""
    mixed = Mixed()
    mixed.service.begin_response()
    mixed.service.request_approval()
    mixed.deliver(100)
    (request,) = mixed.checker.running
    if status == "cancelled":
        mixed.interrupt()
    mixed.service.end_response(status)
    mixed.deliver(1)
    mixed.send_message(True)  # its create waits for the end of the cancelled decision
    mixed._end_call(request)
    assert mixed.checker.decisions == {request: 1}
