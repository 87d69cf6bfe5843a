"""What the core promises, kept in mind apart from the core.

A test feeds it every frame before the core gets it and every effect after; what has to hold at each
step is asserted here, and :meth:`InvariantChecker.check_at_the_end` says what has to hold once everything
that was under way has come. Numbers are those of the design's list of invariants.
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
"""A wish without a token that anybody knows: a message, feedback."""


@attrs.define(eq=False)
class Reply:
    """One response of the conversation, as its frames tell it.

    Attributes:
        agent: who spoke when it began.
        length: characters of text that have come.
        passed: characters that a check has let pass.
        audio: what has come and was not delivered: text that covers it, and the bytes.
        calls: what it has asked for and is not answered.
    """

    agent: Any
    length: int = 0
    passed: int = 0
    audio: deque[tuple[int, bytes]] = attrs.field(factory=deque[tuple[int, bytes]])
    calls: set[str] = attrs.field(factory=set[str])
    made_calls: bool = False
    ended: bool = False
    text: str = ""


class InvariantChecker:
    """See the module.

    Args:
        agent: who speaks at first.
        gated: whether audio waits for its checks.
    """

    def __init__(self, agent: Any, *, gated: bool = False) -> None:
        self.agent = agent
        self.gated = gated
        self.replies: dict[str, Reply] = {}
        self.beside: set[str] = set()
        self.running: dict[str, ToolCall] = {}
        self.started: Counter[str] = Counter()
        self.completed: set[str] = set()
        self.answered: Counter[str] = Counter()
        self.asked_approval: set[str] = set()
        self.decided: Counter[str] = Counter()
        self.cancelling: set[str] = set()
        self.kept: set[str] = set()
        self.outstanding: set[str] = set()
        self.doomed: set[str] = set()
        self.wishes: deque[str] = deque()
        self.closed_rounds = 0
        self.waiting: set[str] = set()
        self.settled: Counter[str] = Counter()
        self.silenced: set[str] = set()
        self.tripped: set[str] = set()
        self.checked: dict[str, list[str]] = {}
        self.errors: list[Any] = []
        self.violations = 0
        self.writing: str | None = None

    # --- what comes in

    def frame(self, frame: Frame) -> None:
        """The core is about to get this."""
        match frame:
            case {"type": "response.created", "response": response}:
                self._begin(response)
            case {"type": "response.done", "response": {"id": response_id}}:
                self._end(response_id)
            case {"type": "error", "error": {"event_id": str(token), "code": code}}:
                self._refused(token, code)
            case {"type": "session.updated", "session": {"instructions": str(name)}} if name:
                self.agent = name
            case {"type": "conversation.item.done", "item": {"type": "mcp_approval_request"}}:
                self._approval_asked(frame["item"]["id"])
            case {"response_id": response_id}:
                self._grow(response_id, frame)
            case _:
                pass

    def _begin(self, response: Frame) -> None:
        metadata: Frame = response["metadata"] or {}
        response_id, token = response["id"], metadata.get("trio_realtime", "")
        if response_id in self.replies or response_id in self.beside:
            return
        if response["conversation_id"] is None:
            self.beside.add(response_id)
            return
        self.outstanding.discard(token)
        self.replies[response_id] = Reply(self.agent)
        self.writing = response_id
        if token in self.doomed:
            self.silenced.add(response_id)

    def _end(self, response_id: str) -> None:
        reply = self.replies.get(response_id)
        if reply is not None and not reply.ended:
            reply.ended = True
            self.writing = None
            self._close_round(reply)

    def _refused(self, token: str, code: str) -> None:
        if token in self.outstanding:
            self.outstanding.discard(token)
            if code == "conversation_already_has_active_response" and token not in self.doomed:
                self.wishes.appendleft(token if token in self.waiting else AUTOMATIC)

    def _grow(self, response_id: str, frame: Frame) -> None:
        reply = self.replies.get(response_id)
        if reply is None or reply.ended:
            return  # of one beside the conversation, or late
        match frame:
            case {"type": "response.output_audio_transcript.delta", "delta": delta}:
                reply.length += len(delta)
            case {"type": "response.output_audio.delta", "delta": delta}:
                reply.audio.append((max(reply.length, 1), pybase64.b64decode(delta)))
            case {"type": "response.output_item.done", "item": item}:
                self._item_done(reply, item)
            case _:
                pass

    def _item_done(self, reply: Reply, item: Frame) -> None:
        match item:
            case {"type": "function_call", "status": "completed", "call_id": call_id}:
                if call_id not in self.completed:
                    self.completed.add(call_id)
                    self._open(reply, call_id)
            case _:
                pass

    def _approval_asked(self, item_id: str) -> None:
        if item_id not in self.asked_approval and self.writing is not None:
            self.asked_approval.add(item_id)
            self._open(self.replies[self.writing], item_id)

    def _open(self, reply: Reply, call_id: str) -> None:
        reply.made_calls = True
        reply.calls.add(call_id)

    def hosted_began(self, response_id: str, item_id: str) -> None:
        """The service makes a call itself, as part of this response."""
        self._open(self.replies[response_id], item_id)

    def hosted_ended(self, item_id: str) -> None:
        """It is done. Of no response that made it: a round of its own is over."""
        if not self._answer(item_id):
            self.closed_rounds += 1

    def abandoned(self, response_id: str, item_ids: Iterable[str]) -> None:
        """A response was not completed: what the service calls for it is over with it."""
        reply = self.replies[response_id]
        reply.calls -= {*item_ids}
        self._close_round(reply)

    def _answer(self, call_id: str) -> bool:
        for reply in self.replies.values():
            if call_id in reply.calls:
                reply.calls.discard(call_id)
                self._close_round(reply)
                return True
        return False

    def _close_round(self, reply: Reply) -> None:
        if reply.ended and reply.made_calls and not reply.calls:
            self.closed_rounds += 1

    # --- what is asked for

    def wish(self, token: str = AUTOMATIC) -> None:
        """A response is wished for, and under a token somebody waits for it."""
        self.wishes.append(token)
        if token:
            self.waiting.add(token)

    def withdrawn(self, token: str) -> None:
        """It may not be wished for any more."""
        if token in self.wishes:
            self.wishes.remove(token)
        self.doomed |= self.outstanding & {token}

    def interrupted(self) -> None:
        """Everything that has begun is to be silent, and what is on its way."""
        self.silenced |= self.replies.keys()
        self.doomed |= self.outstanding

    def passed(self, response_id: str, length: int) -> None:
        """A check of so many characters found nothing."""
        reply = self.replies[response_id]
        reply.passed = max(reply.passed, length)

    def check_let_go(self, response_id: str) -> None:
        """What has passed does not wait for anything else."""
        reply = self.replies[response_id]
        if reply.audio and response_id not in self.silenced | self.tripped:
            assert reply.audio[0][0] > reply.passed, "audio waits though its text has passed"

    def ends(self, call_id: str) -> ToolCall:
        """The task of a call ends, and is going to report that."""
        self.cancelling.discard(call_id)
        return self.running.pop(call_id)

    # --- what goes out

    def effect(self, effect: Any) -> None:
        """The core says that this is to be done."""
        match effect:
            case ClientEvent():
                self._sent(effect)
            case StartCall(call=call):
                self._start(call)
            case CancelCalls(call_ids=call_ids):
                self._cancel(call_ids)
            case CheckReply(response_id=response_id, text=text, agent=agent):
                assert agent == self.replies[response_id].agent, "another agent's guardrails"
                self.checked.setdefault(response_id, []).append(text)
            case ResolveRequest(token=token):
                self.settled[token] += 1
                assert self.settled[token] == 1, "told twice"
            case _:
                self._event(effect)

    def _start(self, call: ToolCall) -> None:
        """2, and a call belongs to the agent that its response began with."""
        self.started[call.call_id] += 1
        assert self.started[call.call_id] == 1, "a call ran twice"
        assert call.response_id not in self.silenced, "a call of an interrupted response ran"
        if call.response_id:
            assert call.agent == self.replies[call.response_id].agent, "a call of another agent"
        self.running[call.call_id] = call

    def _cancel(self, call_ids: Iterable[str]) -> None:
        """6: what asked to finish is left alone, and nothing is cancelled twice."""
        hit = set(call_ids)
        assert hit <= self.running.keys() - self.kept - self.cancelling
        self.cancelling |= hit

    def _sent(self, event: ClientEvent) -> None:
        match event:
            case ResponseCreate(response=ResponseParams(conversation="none")):
                pass
            case ResponseCreate(event_id=str(token)):
                self._create(token)
            case ResponseCancel(response_id=str(response_id)):
                self.silenced.add(response_id)
            case ConversationItemCreate(item=FunctionCallOutputItem(id=None, call_id=call_id)):
                self.answered[call_id] += 1
                assert self.answered[call_id] == 1, "1: a call was answered twice"
                assert call_id in self.completed, "1: an answer to no call"
                assert call_id not in self.cancelling, "6: answered before its task had ended"
                self._answer(call_id)
            case ConversationItemCreate(item=McpApprovalResponseItem(approval_request_id=item_id)):
                self.decided[item_id] += 1
                assert self.decided[item_id] == 1, "1: an approval was decided twice"
                assert item_id in self.asked_approval, "1: a decision that nobody asked for"
                self._answer(item_id)
            case _:
                pass

    def _create(self, token: str) -> None:
        assert self.writing is None, "3: a create while a response writes"
        assert not self.cancelling, "6: a create before cancelled calls have ended"
        self.outstanding.add(token)
        assert len(self.outstanding) == 1, "3: two creates at once"
        if token in self.waiting:
            assert token in self.wishes, "3: a create that nobody wishes for any more"
            self.wishes.remove(token)
            return
        served = 0
        while self.wishes and self.wishes[0] == AUTOMATIC:
            self.wishes.popleft()
            served += 1
        assert served or self.closed_rounds, "4: a create before the calls of a response are done"
        if not self.wishes:
            self.closed_rounds = 0

    def _event(self, event: Any) -> None:
        match event:
            case ev.Audio():
                self._audio(event)
            case ev.AudioInterrupted(response_id=response_id):
                self.silenced.add(response_id)
            case ev.GuardrailTripped(response_id=str(response_id)):
                self._trip(response_id)
            case ev.ResponseStart(response_id=response_id, agent=agent):
                assert agent == self.replies[response_id].agent, "a response of another agent"
            case ev.ResponseEnd(response_id=response_id, output=output):
                self.replies[response_id].text = output
            case ev.Error(error=ProtocolViolation()):
                self.violations += 1
            case ev.Error(error=error):
                self.errors.append(error)
            case _:
                pass

    def _trip(self, response_id: str) -> None:
        """6: what a response does after it tripped is as if it had been interrupted."""
        assert response_id not in self.tripped, "a response tripped twice"
        self.tripped.add(response_id)
        if not self.replies[response_id].ended:
            self.silenced.add(response_id)

    def _audio(self, event: ev.Audio) -> None:
        """5, and with the gate nothing before its text has passed."""
        assert event.response_id not in self.silenced, "5: audio after its interruption"
        assert event.response_id not in self.tripped, "5: audio after the guardrail"
        reply = self.replies[event.response_id]
        covered_by, data = reply.audio.popleft()
        assert event.data == data, "audio out of order"
        if self.gated:
            textless = reply.ended and not reply.length
            assert covered_by <= reply.passed or textless, "audio before its text has passed"

    # --- in the end

    def check_at_the_end(self) -> None:
        """Nothing is under way any more."""
        self._check_calls()
        self._check_waiters()
        self._check_replies()

    def _check_calls(self) -> None:
        """1: exactly one output for each call, one decision for each request."""
        assert self.answered.keys() == self.completed
        assert self.decided.keys() == self.asked_approval
        assert not any(reply.calls for reply in self.replies.values())

    def _check_waiters(self) -> None:
        """3: whoever waits is told, once."""
        assert self.settled.keys() >= self.waiting
        assert not self.outstanding
        assert not self.wishes, "a wish was lost"

    def _check_replies(self) -> None:
        """5 and 13: each reply was checked in full, and what may be heard was delivered."""
        for response_id, reply in self.replies.items():
            if reply.text and response_id not in self.tripped:
                assert reply.text in self.checked[response_id], "13: not checked in full"
            if response_id not in self.silenced | self.tripped:
                assert not reply.audio, "audio was held for ever"
