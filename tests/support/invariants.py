"""A model of the core's invariants, independent of the core.

A test passes every frame to the checker before the core handles it, and every effect afterwards.
The checker asserts the invariants of each step. :meth:`InvariantChecker.check_final_state` asserts
the invariants of the final state, in which no response, call or request is pending.

The messages of the assertions name the invariants by these numbers:

1. Every function call that the server completes gets exactly one output while the session lives.
   The same holds for the decision about a hosted MCP call. A call of a later response with the same
   id gets one more, if the first was answered by then.
2. A call id runs its tool at most once.
3. At most one ``response.create`` is outstanding, and a request for a response is never lost.
4. All calls of one response are answered before the one ``response.create`` that follows them.
5. After ``audio_interrupted`` of a response, none of its audio is delivered.
6. An interruption or a guardrail trip cancels the calls of its response, waits for them to end,
   answers them and only then goes on. It does not affect newer responses.
13. A guardrail sees every reply at least once in full, and gated audio waits for its check.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import attrs
import pybase64

from trio_realtime import events as ev
from trio_realtime.core import CancelCalls, CheckReply, ResolveRequest, StartCall, ToolCall
from trio_realtime.errors import ProtocolViolation
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    FunctionCallOutputItem,
    McpApprovalResponseItem,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
)

Frame = dict[str, Any]
AUTOMATIC = ""
"""The token of a request that no caller waits for, such as that of a message or of feedback."""


@attrs.define(eq=False)
class Reply:
    """A response of the conversation, reconstructed from its frames.

    Attributes:
        agent: The agent at the start of the response.
        length: The number of characters of text received.
        passed: The number of characters that a check has approved.
        audio: Received audio that was not delivered: the length of text that covers it, and the
            bytes.
        calls: The ids of unanswered calls.
        made_calls: Whether the response has made any calls.
        ended: Whether ``response.done`` was received.
        text: The output of the ``ResponseEnd`` event.
        announced: Whether ``AudioStart`` was delivered.
    """

    agent: Any
    length: int = 0
    passed: int = 0
    audio: deque[tuple[int, bytes]] = attrs.field(factory=deque[tuple[int, bytes]])
    calls: set[str] = attrs.field(factory=set[str])
    made_calls: bool = False
    ended: bool = False
    text: str = ""
    announced: bool = False


class InvariantChecker:
    """Tracks frames and effects, and asserts the invariants of the core.

    Args:
        agent: The initial agent.
        gated: Whether audio waits until its text has passed the checks.
    """

    def __init__(self, agent: Any, *, gated: bool = False) -> None:
        self.agent = agent
        self.gated = gated
        self.replies: dict[str, Reply] = {}
        self.out_of_band: set[str] = set()
        self.running: dict[str, ToolCall] = {}
        self.started: Counter[str] = Counter()
        self.completed: dict[str, str] = {}  # the response of each call
        self.repeated: set[tuple[str, str]] = set()
        self.more_outputs: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.approval_requests: set[str] = set()
        self.decisions: Counter[str] = Counter()
        self.cancelling: set[str] = set()
        self.protected: set[str] = set()
        self.outstanding: set[str] = set()
        self.cancelled_in_advance: set[str] = set()
        self.requests: deque[str] = deque()
        # responses whose calls were all answered since the last create
        self.completed_responses = 0
        self.waiting: set[str] = set()
        self.raw: set[str] = set()
        self.resolved: Counter[str] = Counter()
        self.suppressed: set[str] = set()
        self.tripped: set[str] = set()
        self.checked: dict[str, list[str]] = {}
        self.errors: list[Any] = []
        self.violations = 0
        self.active_response: str | None = None

    # --- inputs of the core

    def frame(self, frame: Frame) -> None:
        """Record a frame that the core is about to handle."""
        match frame:
            case {"type": "response.created", "response": response}:
                self._begin(response)
            case {"type": "response.done", "response": {"id": response_id}}:
                self._end(response_id)
            case {"type": "error", "error": {"event_id": str(token), "code": code}}:
                self._request_rejected(token, code)
            case {"type": "session.updated", "session": {"instructions": str(name)}} if name:
                self.agent = name
            case {"type": "conversation.item.done", "item": {"type": "mcp_approval_request"}}:
                self._approval_requested(frame["item"]["id"])
            case {"response_id": response_id}:
                self._grow(response_id, frame)
            case _:
                pass

    def _begin(self, response: Frame) -> None:
        metadata: Frame = response["metadata"] or {}
        response_id, token = response["id"], metadata.get("trio_realtime", "")
        if response_id in self.replies or response_id in self.out_of_band:
            return
        if response["conversation_id"] is None:
            self.out_of_band.add(response_id)
            return
        self.outstanding.discard(token)
        self.replies[response_id] = Reply(self.agent)
        self.active_response = response_id
        if token in self.cancelled_in_advance:
            self.suppressed.add(response_id)

    def _end(self, response_id: str) -> None:
        reply = self.replies.get(response_id)
        if reply is not None and not reply.ended:
            reply.ended = True
            self.active_response = None
            self._check_completed(reply)

    def _request_rejected(self, token: str, code: str) -> None:
        if token in self.outstanding:
            self.outstanding.discard(token)
            if (
                code == "conversation_already_has_active_response"
                and token not in self.cancelled_in_advance
            ):
                own = token in self.waiting | self.raw
                self.requests.appendleft(token if own else AUTOMATIC)

    def _grow(self, response_id: str, frame: Frame) -> None:
        reply = self.replies.get(response_id)
        if reply is None or reply.ended:
            return  # an out-of-band response, or a late frame
        match frame:
            case {"type": "response.output_audio_transcript.delta", "delta": delta}:
                reply.length += len(delta)
            case {"type": "response.output_audio.delta", "delta": delta}:
                reply.audio.append((max(reply.length, 1), pybase64.b64decode(delta)))
            case {"type": "response.output_item.done", "item": item}:
                self._item_done(response_id, reply, item)
            case _:
                pass

    def _item_done(self, response_id: str, reply: Reply, item: Frame) -> None:
        match item:
            case {"type": "function_call", "status": "completed", "call_id": call_id}:
                owner = self.completed.setdefault(call_id, response_id)
                use = (response_id, call_id)
                if owner == response_id:
                    if not self.answered[call_id]:
                        self._add_call(reply, call_id)
                elif use not in self.repeated:
                    self.repeated.add(use)
                    if self.answered[call_id]:
                        self.more_outputs[call_id] += 1
                        reply.made_calls = True
            case _:
                pass

    def _approval_requested(self, item_id: str) -> None:
        if item_id not in self.approval_requests and self.active_response is not None:
            self.approval_requests.add(item_id)
            self._add_call(self.replies[self.active_response], item_id)

    def _add_call(self, reply: Reply, call_id: str) -> None:
        reply.made_calls = True
        reply.calls.add(call_id)

    def hosted_call_started(self, response_id: str, item_id: str) -> None:
        """Record a call that the service executes as part of this response."""
        self._add_call(self.replies[response_id], item_id)

    def hosted_call_ended(self, item_id: str) -> None:
        """Record the end of a hosted call. A call outside of a response completes by itself."""
        if not self._finish_call(item_id):
            self.completed_responses += 1

    def abandoned(self, response_id: str, item_ids: Iterable[str]) -> None:
        """Record that a response did not complete, which ends its hosted calls."""
        reply = self.replies[response_id]
        reply.calls -= {*item_ids}
        self._check_completed(reply)

    def _finish_call(self, call_id: str) -> bool:
        for reply in self.replies.values():
            if call_id in reply.calls:
                reply.calls.discard(call_id)
                self._check_completed(reply)
                return True
        return False

    def _check_completed(self, reply: Reply) -> None:
        if reply.ended and reply.made_calls and not reply.calls:
            self.completed_responses += 1

    # --- requests

    def request(self, token: str = AUTOMATIC) -> None:
        """Record a request for a response. A caller waits for it unless it is automatic."""
        self.requests.append(token)
        if token:
            self.waiting.add(token)

    def raw_request(self, token: str) -> None:
        """Record a raw ``response.create``: a request of its own that no caller waits for."""
        self.requests.append(token)
        self.raw.add(token)

    def cancel_request(self, token: str) -> None:
        """Record that the caller no longer waits: the request must not be sent any more."""
        if token in self.requests:
            self.requests.remove(token)
        self.cancelled_in_advance |= self.outstanding & {token}

    def interrupted(self) -> None:
        """Record an interruption, which suppresses all started and requested responses."""
        self.suppressed |= self.replies.keys()
        self.cancelled_in_advance |= self.outstanding

    def text_passed(self, response_id: str, length: int) -> None:
        """Record that a check has approved this many characters."""
        reply = self.replies[response_id]
        reply.passed = max(reply.passed, length)

    def check_released(self, response_id: str) -> None:
        """Assert that the audio of approved text was delivered (invariant 13)."""
        reply = self.replies[response_id]
        if reply.audio and response_id not in self.suppressed | self.tripped:
            assert reply.audio[0][0] > reply.passed, (
                "invariant 13: audio is still buffered although its text has passed the check"
            )

    def end_call(self, call_id: str) -> ToolCall:
        """Record that the task of a call has ended and is about to report its result."""
        self.cancelling.discard(call_id)
        return self.running.pop(call_id)

    # --- effects of the core

    def effect(self, effect: Any) -> None:
        """Check an effect."""
        match effect:
            case ClientEvent():
                self._sent(effect)
            case StartCall(call=call):
                self._start(call)
            case CancelCalls(call_ids=call_ids):
                self._cancel(call_ids)
            case CheckReply(response_id=response_id, text=text, agent=agent):
                assert agent == self.replies[response_id].agent, (
                    "invariant 13: a reply is checked by the guardrails of another agent"
                )
                self.checked.setdefault(response_id, []).append(text)
            case ResolveRequest(token=token):
                self.resolved[token] += 1
                assert self.resolved[token] == 1, "invariant 3: a request was resolved twice"
            case _:
                self._event(effect)

    def _start(self, call: ToolCall) -> None:
        """Record a started call.

        It runs once (2), with the agent of its response, and not after an interruption (6).
        """
        self.started[call.call_id] += 1
        assert self.started[call.call_id] == 1, "invariant 2: a call was started twice"
        assert call.response_id not in self.suppressed, (
            "invariant 6: a call of an interrupted response was started"
        )
        if call.response_id:
            assert call.agent == self.replies[call.response_id].agent, (
                "a call was started with another agent than that of its response"
            )
        self.running[call.call_id] = call

    def _cancel(self, call_ids: Iterable[str]) -> None:
        """Record cancelled calls: they run, are not protected, and are cancelled once (6)."""
        cancelled = set(call_ids)
        assert cancelled <= self.running.keys(), (
            "invariant 6: a call that does not run was cancelled"
        )
        assert not cancelled & self.protected, "invariant 6: a protected call was cancelled"
        assert not cancelled & self.cancelling, "invariant 6: a call was cancelled twice"
        self.cancelling |= cancelled

    def _sent(self, event: ClientEvent) -> None:
        match event:
            case ResponseCreate(response=ResponseParams(conversation="none")):
                pass
            case ResponseCreate(event_id=str(token)):
                self._create(token)
            case ResponseCancel(response_id=str(response_id)):
                self.suppressed.add(response_id)
            case ConversationItemCreate(item=FunctionCallOutputItem(id=None, call_id=call_id)):
                self.answered[call_id] += 1
                assert self.answered[call_id] <= 1 + self.more_outputs[call_id], (
                    "invariant 1: a call was answered twice"
                )
                assert call_id in self.completed, "invariant 1: an output for an unknown call"
                assert call_id not in self.cancelling, (
                    "invariant 6: a cancelled call was answered before its task had ended"
                )
                self._finish_call(call_id)
            case ConversationItemCreate(item=McpApprovalResponseItem(approval_request_id=item_id)):
                self.decisions[item_id] += 1
                assert self.decisions[item_id] == 1, "invariant 1: an approval was decided twice"
                assert item_id in self.approval_requests, (
                    "invariant 1: a decision without a request for approval"
                )
                self._finish_call(item_id)
            case _:
                pass

    def _create(self, token: str) -> None:
        assert self.active_response is None, "invariant 3: a create while a response is running"
        assert not self.cancelling, "invariant 6: a create before the cancelled calls have ended"
        self.outstanding.add(token)
        assert len(self.outstanding) == 1, "invariant 3: two creates are outstanding"
        if token in self.waiting | self.raw:
            assert token in self.requests, (
                "invariant 3: a create without a request, or for a cancelled one"
            )
            self.requests.remove(token)
            return
        served = 0
        while self.requests and self.requests[0] == AUTOMATIC:
            self.requests.popleft()
            served += 1
        assert served or self.completed_responses, (
            "invariant 4: a create before all calls of a response are answered"
        )
        if not self.requests:
            self.completed_responses = 0

    def _event(self, event: Any) -> None:
        match event:
            case ev.AudioStart(response_id=response_id):
                reply = self.replies[response_id]
                assert not reply.announced, "the audio of a response was announced twice"
                reply.announced = True
            case ev.Audio():
                self._audio(event)
            case ev.AudioInterrupted(response_id=response_id):
                self.suppressed.add(response_id)
            case ev.GuardrailTripped(response_id=str(response_id)):
                self._trip(response_id)
            case ev.ResponseStart(response_id=response_id, agent=agent):
                assert agent == self.replies[response_id].agent, (
                    "a response was reported with another agent than at its start"
                )
            case ev.ResponseEnd(response_id=response_id, output=output):
                self.replies[response_id].text = output
            case ev.Error(error=ProtocolViolation()):
                self.violations += 1
            case ev.Error(error=error):
                self.errors.append(error)
            case _:
                pass

    def _trip(self, response_id: str) -> None:
        """Record a trip: one for each response at most, and it stops a running response (6)."""
        assert response_id not in self.tripped, (
            "invariant 6: a guardrail tripped twice for a response"
        )
        self.tripped.add(response_id)
        if not self.replies[response_id].ended:
            self.suppressed.add(response_id)

    def _audio(self, event: ev.Audio) -> None:
        """Record delivered audio.

        It is in order, not after an interruption or trip (5, 6), and not before its check (13).
        """
        assert event.response_id not in self.suppressed, "invariant 5: audio after an interruption"
        assert event.response_id not in self.tripped, "invariant 6: audio after a guardrail tripped"
        reply = self.replies[event.response_id]
        assert reply.announced, "audio was delivered before its audio_start"
        covered_by, data = reply.audio.popleft()
        assert event.data == data, "audio was lost or delivered out of order"
        if self.gated:
            textless = reply.ended and not reply.length
            assert covered_by <= reply.passed or textless, (
                "invariant 13: audio before its text has passed"
            )

    # --- final state

    def check_final_state(self) -> None:
        """Assert the invariants of a state in which nothing is pending."""
        self._check_calls()
        self._check_waiters()
        self._check_replies()

    def _check_calls(self) -> None:
        """Each call has exactly one output, and each approval request one decision (1)."""
        due = {call_id: 1 + self.more_outputs[call_id] for call_id in self.completed}
        assert {**self.answered} == due, "invariant 1: a call has no output"
        assert self.decisions.keys() == self.approval_requests, (
            "invariant 1: an approval request has no decision"
        )
        open_calls = {id_: reply.calls for id_, reply in self.replies.items() if reply.calls}
        assert not open_calls, "invariant 4: calls of a response are not answered"

    def _check_waiters(self) -> None:
        """Each caller that waits gets its outcome, and no request is lost (3)."""
        assert self.resolved.keys() >= self.waiting, "invariant 3: a request was not resolved"
        assert not self.outstanding, "invariant 3: a create was neither accepted nor rejected"
        assert not self.requests, "invariant 3: a request was lost"

    def _check_replies(self) -> None:
        """Each complete text was checked (13), and all audio that may play was delivered."""
        for response_id, reply in self.replies.items():
            if reply.text and response_id not in self.tripped:
                assert reply.text in self.checked[response_id], (
                    "invariant 13: the complete text was not checked"
                )
            if response_id not in self.suppressed | self.tripped:
                assert not reply.audio, "audio was never delivered"
