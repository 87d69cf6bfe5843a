"""The inputs of the core other than server events: commands of the user, and results.

Each input is a frozen class. :meth:`.Conversation.handle` takes it with the current time and returns
the effects. A request that has an answer carries a ``token`` that its sender chose; the answer is a
:class:`~.effects.ResolveRequest` with the same token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime.events import GuardrailTrip, SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    UNSET,
    ClientEvent,
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseParams,
    ServerEvent,
    Session,
    Unset,
)

from .effects import SendEncoded
from .replay import Replay

# --- commands ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SendItem:
    """Add an item to the conversation.

    Attributes:
        item: the event to send. The core chooses an event id if the event has none.
        respond: request a response to the item.
        user_text: what the user says with the item, for the input guardrails; ``None`` for an item
            that is not the user's.
    """

    item: ConversationItemCreate | SendEncoded
    respond: bool
    user_text: str | None = None


@attrs.frozen
class AppendAudio:
    """Send audio of the user."""

    event: InputAudioBufferAppend


@attrs.frozen
class CommitAudio:
    """End the user's turn by hand."""

    event: InputAudioBufferCommit


@attrs.frozen
class ClearAudio:
    """Drop the user's audio that is not part of a turn yet."""

    event: InputAudioBufferClear


@attrs.frozen(kw_only=True)
class CreateResponse:
    """Request a response and resolve ``token`` with its outcome.

    Attributes:
        token: the name of the request; also the event id of the ``response.create``.
        params: overrides of the session's settings. With ``conversation="none"`` the response is
            out-of-band and is requested at once.
        until_turn_end: resolve with the response that ends the turn, after all function calls.
        prompt: an item that joins the conversation just before the create is sent.
        prompt_text: the text of the prompt, for the input guardrails.
        inside_turn: the prompt belongs to the work of a turn, so it does not wait for turns to end.
    """

    token: str
    params: ResponseParams = attrs.field(factory=ResponseParams)
    until_turn_end: bool = False
    prompt: SendEncoded | ConversationItemCreate | None = None
    prompt_text: str = ""
    inside_turn: bool = False


@attrs.frozen(kw_only=True)
class CancelResponse:
    """Cancel the response that was requested with this token.

    A running response is interrupted and a queued one is dropped. A request that was already sent is
    cancelled as soon as its response is created.
    """

    token: str


@attrs.frozen(kw_only=True)
class Interrupt:
    """Stop the agent: cancel the running response and its calls, and cut the audio that plays.

    A response whose create was already sent is cancelled as soon as it is created. Requests that
    are still queued are not affected.
    """


@attrs.frozen(kw_only=True)
class ReportPlayed:
    """The application has played ``ms`` milliseconds of this item."""

    item_id: str
    content_index: int
    ms: float


@attrs.frozen
class StopPlaybackReports:
    """The application reports no more: from now on, audio plays in real time from its arrival."""


@attrs.frozen(kw_only=True)
class UpdateSettings:
    """Change settings; resolve ``token`` with the effective session.

    Attributes:
        token: the name of the request.
        settings: the settings to reach. A key that is ``UNSET`` stays as it is.
        agent: the agent that becomes current once the settings are accepted; ``None`` for no change.
        toolset: the tools that the settings declare; ``None`` for no change.
        has_waiter: whether a task waits for the outcome; otherwise a rejection is an event.
        extra: keys to merge into the event that is sent.
    """

    token: str
    settings: Session
    agent: Any = None
    toolset: Any = attrs.field(default=None, repr=False)
    has_waiter: bool = True
    extra: Mapping[str, Any] | Unset = attrs.field(default=UNSET, repr=False)


@attrs.frozen
class SendRaw:
    """Send a client event that the user wrote, with its unknown keys."""

    event: ClientEvent


@attrs.frozen(kw_only=True)
class UpdateHistory:
    """Make the conversation contain exactly these items; resolve ``token`` when that is done."""

    token: str
    items: Sequence[HistoryItem] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ProtectCall:
    """An interruption must not cancel this call any more.

    ``respond``: request a response to the result even if an interruption came in between.
    """

    call_id: str
    respond: bool = False


# --- results -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class CallFinished:
    """A call has a result.

    Attributes:
        call_id: the call.
        output: what the model is given.
        wants_response: request a response once all calls of the response are answered.
        report: the event that is delivered after the output was queued.
        cancelled: the call did not come to its end, so its turn is not complete.
    """

    call_id: str
    output: str
    wants_response: bool = True
    report: SessionEvent | None = None
    cancelled: bool = False


@attrs.frozen(kw_only=True)
class ApprovalDecided:
    """A hosted MCP call was approved or rejected."""

    item_id: str
    approve: bool
    reason: str | None = None


@attrs.frozen(kw_only=True)
class ReplyChecked:
    """The output guardrails have checked a response.

    Attributes:
        response_id: the response.
        text: the text that was checked.
        trips: the guardrails that tripped.
        feedback: the message that tells the model; by default, the names of the guardrails and their
            feedback.
    """

    response_id: str
    text: str
    trips: Sequence[GuardrailTrip] = ()
    feedback: str | None = None


@attrs.frozen(kw_only=True)
class InputChecked:
    """The input guardrails have checked what the user said."""

    serial: int
    text: str
    trips: Sequence[GuardrailTrip] = ()


@attrs.frozen
class DeadlinePassed:
    """The time of ``Conversation.next_deadline`` has come."""


@attrs.frozen(kw_only=True)
class ConnectionLost:
    """The connection is gone.

    Attributes:
        message: why, for the requests that the service had begun to carry out.
        is_last: the session ends with it. Consumers still get all audio that arrived before.
    """

    message: str = "the connection to the service was lost"
    is_last: bool = False


@attrs.frozen(kw_only=True)
class ConnectionRestored:
    """Another connection knows the conversation: everything that waits is sent to it.

    ``attempts`` is the number of attempts to connect.
    """

    replay: Replay
    attempts: int = 1


@attrs.frozen
class Disconnected:
    """The session is over: nothing that is queued will be sent or answered."""


Command: TypeAlias = (
    SendItem
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | CreateResponse
    | CancelResponse
    | Interrupt
    | ReportPlayed
    | StopPlaybackReports
    | UpdateSettings
    | UpdateHistory
    | SendRaw
    | ProtectCall
)
Result: TypeAlias = (
    CallFinished
    | ApprovalDecided
    | ReplyChecked
    | InputChecked
    | DeadlinePassed
    | ConnectionLost
    | ConnectionRestored
    | Disconnected
)
Input: TypeAlias = ServerEvent | Command | Result
