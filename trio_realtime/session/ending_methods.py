"""The methods of a session that end it, and how it ended."""

from __future__ import annotations

import math

import trio

from trio_realtime.errors import UsageError
from trio_realtime.session_end import SessionEnd

from .end_call import GOODBYE, CallEnding, ShutDown
from .ending import CLOSED, DRAINED, HUNG_UP
from .quiet import finishes_in_time, wait_quiet
from .runtime import SessionRuntime


class EndingMethods:
    """The part of :class:`.RealtimeSession` that ends the session.

    Args:
        runtime: the session's runtime.
        shut_down: closes the session.
    """

    def __init__(self, runtime: SessionRuntime, shut_down: ShutDown) -> None:
        self._runtime = runtime
        self._shut_down = shut_down
        self._ending = CallEnding(runtime, shut_down)

    @property
    def end(self) -> SessionEnd | None:
        """How the session ended; ``None`` while it runs."""
        return self._runtime.end.result

    async def drain(self, *, timeout: float | None = None) -> bool:
        """Wait until the agent has nothing more to say.

        That is: no response runs or is requested, no tool runs, and all audio has been heard.

        Args:
            timeout: seconds to wait at most; ``None`` for no limit. The session goes on after it.

        Returns:
            bool: whether the agent has finished; ``False`` if the timeout has passed before.

        Raises:
            RealtimeError: the session ended first.
            UsageError: the caller is a tool of this session, which would wait for itself.
        """
        await self._ready()
        self._check_not_in_tool("drain()")
        with trio.move_on_after(math.inf if timeout is None else timeout):
            return await wait_quiet(self._runtime)
        return False

    def _check_not_in_tool(self, method: str) -> None:
        if self._runtime.tools.current_ids():
            raise UsageError(
                f"{method} inside a tool would wait for the tool itself: call it in another task"
            )

    async def end_call(self, *, instructions: str | None = GOODBYE) -> bool:
        """Ask the agent for a last sentence, wait until it was heard, and end the session.

        The agent finishes its current answer and the calls of other tools first. If the agent is
        interrupted meanwhile, by the user or by :meth:`interrupt`, the session goes on. Otherwise
        iteration ends, as after :meth:`aclose`.

        A tool may call this. Its call is answered at once, so an interruption does not cancel the tool
        any more. If the session goes on, what the tool returns is sent to the model, as after
        ``ToolContext.answer_early``.

        Audio has been heard when it was reported as played, or by the clock; see :attr:`playback`. So do
        not call this in the task that plays the audio. Cancelling the wait ends nothing; the agent may
        still say its last sentence.

        Args:
            instructions: what the agent should say, in addition to the agent's own instructions;
                ``None`` for no further sentence.

        Returns:
            bool: whether the session has ended, also by a limit before the last sentence was heard;
            ``False`` after an interruption.

        Raises:
            RequestRejected: the service did not begin the response. The session goes on.
            ResponseFailed: the response failed. The session goes on.
            RealtimeError: the session ended first.
            UsageError: the instructions are not a str, or the caller is ``on_handoff`` or another
                callback of a call that is not a tool.
        """
        await self._ready()
        return await self._ending.run(instructions)

    async def aclose(self, *, drain_timeout: float | None = None) -> None:
        """End the session: stop the tools, send the queued frames, close the connection. Idempotent.

        Iteration ends. This takes ``close_timeout`` at most, whatever the service does; tools that shield
        themselves or have a ``finish_timeout`` may take longer. The close is shielded from cancellation.

        Args:
            drain_timeout: seconds that the agent has to finish before, as in :meth:`drain`; ``None`` to
                close at once. Cancelling this wait leaves the session open.

        Raises:
            UsageError: ``drain_timeout`` is given, and the caller is a tool of this session, which would
                wait for itself.
        """
        self._runtime.guard.check()
        cause = CLOSED
        if drain_timeout is not None:
            self._check_not_in_tool("aclose(drain_timeout=...)")
            if await finishes_in_time(self._runtime, drain_timeout):
                cause = DRAINED
        await self._shut_down(cause)

    async def hang_up(self) -> None:
        """End the session because the user has hung up, as :meth:`aclose` does. Idempotent.

        The session ends as ``hung_up``, by ``user``.
        """
        self._runtime.guard.check()
        await self._shut_down(HUNG_UP)

    async def _ready(self) -> None:
        self._runtime.guard.check()
        await self._runtime.wait_for_text_space()
