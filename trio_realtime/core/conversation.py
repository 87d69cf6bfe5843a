"""The conversation: inputs in, effects out.

Synchronous and without a clock: the time is an argument, in seconds. The same inputs always give the
same effects. An input is accepted first, then state changes, then effects leave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

from trio_realtime.errors import PeerError
from trio_realtime.usage import Usage
from trio_realtime.wire import Session

from .audio.playback import Playback
from .audio.retention import RetainedAudio
from .calls.function_calls import FunctionCalls
from .calls.hosted_mcp import HostedMcpCalls
from .calls.ledger import ToolLedger
from .dispatch import Components, dispatch_table
from .effects import Effect
from .error_routing import ErrorRouter
from .guardrail_trips import GuardrailTrips
from .guardrails import InputGuard, ReplyGuard
from .history.edits import HistoryEdits
from .history.items import History
from .history.updates import HistoryUpdater
from .inputs import Input
from .interruption import Interruption
from .raw_events import RawEvents
from .request_timer import RequestTimer
from .responses.attribution import ResponseAttribution
from .responses.lifecycle import ResponseLifecycle
from .responses.output import OutputStream
from .responses.queue import ResponseQueue
from .responses.reply_text import ReplyText
from .responses.requests import ResponseRequests
from .responses.running import RunningResponses
from .settings import SessionSettings


class Conversation:
    """The state of one conversation, and everything that is decided about it.

    Args:
        agent: the current agent. The core only passes it on, and binds it to each response that begins.
        toolset: the tools that the service knows for that agent: an object whose ``tools`` maps names to
            tools with an ``on_interrupt`` policy, and whose ``hosted`` maps labels to hosted MCP servers;
            ``None`` for no tools.
        barge_in: interrupt on the user's speech also where the service does not.
        guardrail_debounce: characters between two checks of a reply; ``None`` for no checks.
        history_update_interval: seconds between two history events of a growing item.
        audio_gate: hold audio until the text that covers it was checked.
        max_history_audio: bytes of audio that the history retains.
        request_timeout: seconds that the service may take to answer a request.
        bytes_per_ms: bytes of one millisecond of output audio, until the service names a format.

    Attributes:
        history: the items of the conversation.
        playback: the clock that knows what was heard.
    """

    def __init__(
        self,
        agent: Any,
        toolset: Any = None,
        *,
        barge_in: bool = True,
        guardrail_debounce: int | None = None,
        history_update_interval: float = 0.1,
        audio_gate: bool = False,
        max_history_audio: int = 0,
        request_timeout: float = math.inf,
        bytes_per_ms: float = 48,
    ) -> None:
        self._numbers = count(1)
        token = self._new_token
        self.history: History = History()
        self.playback: Playback = Playback(bytes_per_ms)
        self._responses = RunningResponses()
        self._ledger = ToolLedger()
        self._timer = RequestTimer(request_timeout)
        self._queue = ResponseQueue(self._timer)
        self._guard = ReplyGuard(self.playback, guardrail_debounce, gated=audio_gate)
        input_guard = InputGuard(enabled=guardrail_debounce is not None)
        attribution = ResponseAttribution(self._queue, self._timer)
        self._settings = SessionSettings(agent, toolset, self.playback, self._timer, token)
        updates = HistoryUpdater(self.history, history_update_interval)
        edits = HistoryEdits(self.history, self._timer, token)
        retention = RetainedAudio(
            self.history, self._responses, self.playback, token, max_history_audio
        )
        self._interruption = interruption = Interruption(
            self._responses,
            self._queue,
            self.history,
            self.playback,
            self._guard,
            self._ledger,
            self._settings,
            token,
            barge_in=barge_in,
        )
        requests = ResponseRequests(
            self._responses,
            self._queue,
            attribution,
            self._ledger,
            self.history,
            self._settings,
            interruption,
            input_guard,
            self._timer,
            token,
        )
        calls = FunctionCalls(self._ledger, requests, token)
        hosted = HostedMcpCalls(
            self._responses,
            self._queue,
            self._ledger,
            self.history,
            self._settings,
            requests,
            token,
        )
        text = ReplyText(self.history, updates, self._guard)
        self._lifecycle = ResponseLifecycle(
            self._responses,
            self._queue,
            attribution,
            requests,
            self._ledger,
            calls,
            hosted,
            updates,
            text,
            self._guard,
            self.playback,
            self._settings,
            interruption,
        )
        self._errors = ErrorRouter(
            self._settings, edits, retention, requests, self._responses, self._lifecycle
        )
        self._components = Components(
            settings=self._settings,
            history=updates,
            edits=edits,
            playback=self.playback,
            retention=retention,
            interruption=interruption,
            requests=requests,
            lifecycle=self._lifecycle,
            output=OutputStream(self._responses, self.history, text, self._guard, self._lifecycle),
            calls=calls,
            hosted=hosted,
            trips=GuardrailTrips(
                self._responses,
                self._queue,
                self._guard,
                input_guard,
                self._settings,
                interruption,
                requests,
                token,
            ),
            errors=self._errors,
            raw=RawEvents(requests, interruption, self._settings, self._ledger, hosted, token),
        )
        self._handlers = dispatch_table(self._components)

    def _new_token(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def handle(self, event: Input, now: float) -> Sequence[Effect]:
        """Take one input: a server event, a command of the user, or a result.

        Args:
            event: the input. Server events that concern nothing here, known or not, have no effects.
            now: the current time in seconds, of a clock that does not go back.

        Returns:
            The effects, to be carried out in this order.

        Raises:
            UsageError: a command cannot be carried out. Nothing has changed.
        """
        self._timer.now = now
        handlers = self._handlers.get(type(event), ())
        if len(handlers) == 1:
            return handlers[0](event, now)
        effects: list[Effect] = []
        for handler in handlers:
            effects += handler(event, now)
        return effects

    # --- state -----------------------------------------------------------------------------------

    @property
    def agent(self) -> Any:
        """The agent that the next response begins with."""
        return self._settings.agent

    @property
    def session(self) -> Session | None:
        """The effective session, as the service last reported it."""
        return self._settings.session

    @property
    def usage(self) -> Usage:
        """The tokens of all responses so far."""
        return self._lifecycle.usage

    @property
    def last_error(self) -> PeerError | None:
        """The last error of the service that may explain why the connection ends."""
        return self._errors.last_error

    @property
    def interruptions(self) -> int:
        """How often the agent was interrupted, by the user's speech or by a command."""
        return self._interruption.count

    @property
    def next_deadline(self) -> float:
        """When :class:`~.inputs.DeadlinePassed` is due, in seconds; ``math.inf`` if no request waits."""
        return self._timer.next_deadline

    @property
    def is_quiet(self) -> bool:
        """Whether nothing runs, waits or is to be answered. Audio may still be playing."""
        return (
            self._queue.is_idle
            and not self._guard.holding
            and not self._ledger.is_busy
            and not self._responses.running
        )

    @property
    def unanswered_calls(self) -> tuple[str, ...]:
        """The ids of the calls that are not answered yet."""
        return self._ledger.open_ids

    def was_cancelled(self, call_id: str) -> bool:
        """Return whether an interruption hit this call, which is not answered yet."""
        return self._ledger.was_cancelled(call_id)
