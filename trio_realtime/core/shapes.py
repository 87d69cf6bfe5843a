"""Small shapes that the conversation puts together: no state, no decisions."""

from __future__ import annotations

import attrs

from trio_realtime import events as ev
from trio_realtime.items import item_text
from trio_realtime.wire import ResponseCreate, ResponseParams

from .calls.ledger import CallsCompleted
from .effects import ResponseOutcome
from .responses.queue import METADATA_KEY, ResponseRequest
from .responses.running import RunningResponse


def create_event(wish: ResponseRequest) -> ResponseCreate:
    """The create of a wish, marked as ours."""
    params = wish.params if wish.params is not None else ResponseParams()
    metadata = {**(params.metadata or {}), METADATA_KEY: wish.token}
    return ResponseCreate(event_id=wish.token, response=attrs.evolve(params, metadata=metadata))


def response_end(state: RunningResponse, outcome: ResponseOutcome, calls: int) -> ev.ResponseEnd:
    """The event of a response that has ended."""
    return ev.ResponseEnd(
        agent=state.agent,
        response_id=state.id,
        status=outcome.status,
        reason=outcome.reason,
        message=outcome.message,
        output=outcome.text,
        tool_calls=calls,
        usage=outcome.usage,
    )


def said(outcome: ResponseOutcome) -> str:
    """All that a response has said, in all of its messages."""
    texts = [text for item in outcome.items if (text := item_text(item))]
    return "\n".join(texts) or outcome.text


def without_answer(outcome: ResponseOutcome, over: CallsCompleted) -> ResponseOutcome:
    """What waiters get whose response called functions and to which no answer will follow."""
    if outcome.status == "completed" and over.cancelled:
        return attrs.evolve(outcome, status="cancelled", reason="interrupted")
    return outcome
