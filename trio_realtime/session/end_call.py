"""End a call after a last sentence.

The steps, in order:

1. A tool that ends the call is answered at once, so that nothing waits for it.
2. The agent finishes what it has to say, with the calls of all other tools.
3. A response with the last sentence is requested.
4. Everything is heard to its end.
5. The session is closed.

If the user interrupts before the last step, the call goes on and the session stays open. Several tasks
may end the call at the same time; none of them waits for the tool of another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from trio_realtime.core import CreateResponse, ResponseOutcome
from trio_realtime.errors import RealtimeError, SessionClosed, UsageError
from trio_realtime.wire import ResponseCreate, ResponseParams

from .ending import CALL_ENDED, EndCause
from .quiet import wait_quiet
from .response_handle import response_failure
from .runtime import PendingRequest, SessionRuntime

GOODBYE: Final = (
    "The call ends now. Say goodbye in one short sentence, in the language of the conversation."
)
"""The default instructions of the last sentence."""

TOOL_OUTPUT: Final = "The call is about to end."
"""What the model is given for the call of a tool that ends the call."""


ShutDown: TypeAlias = Callable[[EndCause], Awaitable[None]]


class CallEnding:
    """Ends the call of a session; see :meth:`.RealtimeSession.end_call`.

    Args:
        runtime: the session's runtime.
        shut_down: closes the session.
    """

    def __init__(self, runtime: SessionRuntime, shut_down: ShutDown) -> None:
        self._runtime = runtime
        self._shut_down = shut_down
        self._calls: set[str] = set()

    async def run(self, instructions: str | None) -> bool:
        """End the call. Returns ``False`` if an interruption came first.

        Raises:
            UsageError: the instructions are not text, or the caller works for a call that cannot be
                answered yet.
            RequestRejected: the service did not begin the response.
            ResponseFailed: the response failed.
            RealtimeError: the session ended first.
        """
        params = None if instructions is None else self._params(instructions)
        runtime = self._runtime
        interruptions = runtime.core.interruptions
        own = runtime.tools.current_ids()
        if any(runtime.core.was_cancelled(call_id) for call_id in own):
            return False
        runtime.tools.answer_current(TOOL_OUTPUT)
        self._calls |= own
        try:
            if not await self._finish_speaking(params, interruptions):
                return False
        except SessionClosed:
            end = runtime.end.result
            if end is not None and end.by == "limit":
                return True  # the grace period of a limit was over first
            raise
        finally:
            self._calls -= own
        await self._shut_down(CALL_ENDED)
        return True

    def _params(self, instructions: str) -> ResponseParams:
        """Return the parameters of the response: the agent's instructions and these, and no calls."""
        given: Any = instructions
        if not isinstance(given, str):
            raise UsageError(f"instructions must be a str or None, got {given!r:.80}")
        session = self._runtime.core.session
        if session is not None and session.instructions:
            instructions = f"{session.instructions}\n\n{instructions}"
        params = ResponseParams(instructions=instructions, tool_choice="none")
        self._runtime.encode(ResponseCreate(response=params))
        return params

    async def _finish_speaking(self, params: ResponseParams | None, interruptions: int) -> bool:
        runtime, calls = self._runtime, self._calls
        if params is None:
            return await wait_quiet(runtime, ignored_calls=calls, interruptions=interruptions)
        if not await wait_quiet(
            runtime, heard=False, ignored_calls=calls, interruptions=interruptions
        ):
            return False
        request = runtime.track_request("response")
        runtime.feed(CreateResponse(token=request.token, params=params))
        was_heard = await wait_quiet(runtime, ignored_calls=calls, interruptions=interruptions)
        if was_heard:
            self._raise_failure(request)
        return was_heard

    def _raise_failure(self, request: PendingRequest) -> None:
        """Raise what prevented the last sentence.

        A response that a guardrail stopped is no failure: another one has followed it.
        """
        outcome = request.outcome
        if isinstance(outcome, RealtimeError):
            raise self._runtime.end.deliver(outcome)
        if isinstance(outcome, ResponseOutcome) and outcome.status == "failed":
            raise response_failure(outcome)
