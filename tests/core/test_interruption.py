"""What an interrupt has doomed stays doomed."""

from __future__ import annotations

from typing import Any

from support.core import CoreDriver
from trio_realtime.core import Effect, ResolveRequest, ResponseOutcome
from trio_realtime.testing import response_object
from trio_realtime.wire import ResponseCancel, ResponseCreate, structure_server_event


def say(core: CoreDriver, kind: str, **fields: Any) -> list[Effect]:
    frame = {"type": kind, "event_id": "event", **fields}
    return [*core.receive(structure_server_event(frame), 0.0)]


def test_a_create_that_was_interrupted_is_given_up_though_another_response_was_taken_for_its() -> (
    None
):
    """Before the first echo nobody can tell whose the response is that begins."""
    core = CoreDriver("agent")
    token, _ = core.create_response(None)
    core.interrupt(0.0)
    begun = say(core, "response.created", response=response_object("resp_other"))
    assert [effect.response_id for effect in begun if isinstance(effect, ResponseCancel)] == [
        "resp_other"
    ]
    error = {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "CoreDriver already has an active response in progress: resp_other.",
        "event_id": token,
    }
    after = say(core, "error", error=error)
    other = response_object("resp_other", status="cancelled")
    after += say(core, "response.done", response=other)
    assert not [effect for effect in after if isinstance(effect, ResponseCreate)]
    (settle,) = [effect for effect in after if isinstance(effect, ResolveRequest)]
    assert isinstance(settle.outcome, ResponseOutcome)
    assert (settle.token, settle.outcome.status) == (token, "cancelled")
