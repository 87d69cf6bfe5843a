"""What the core tells the session to do, in order.

A :class:`~trio_realtime.wire.ClientEvent` means *send this event*. A
:class:`~trio_realtime.events.SessionEvent` means *deliver this event*. The classes here are the other
effects. Events have no wrapper because the audio path has one effect per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime.errors import RealtimeError
from trio_realtime.events import ResponseStatus, SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.session_end import LimitName
from trio_realtime.wire import ClientEvent, ConversationItemCreate, Item, ResponseUsage, Session


@attrs.frozen(kw_only=True)
class ToolCall:
    """A function call that the model completed, or a hosted MCP call that needs approval.

    Attributes:
        call_id: the service's id of the call; the item's id for a hosted MCP call.
        name: the name that the model called.
        arguments: JSON text written by the model.
        response_id: the response that made the call.
        agent: the agent that was current when the response began.
        tool: the tool, handoff or hosted MCP server with this name in the toolset that was bound to
            the response; ``None`` if there is none.
        server_label: the label of the hosted MCP server whose tool the service wants to call. The
            session only decides about such a call, and reports the decision with
            :class:`~.inputs.ApprovalDecided`.
    """

    call_id: str
    name: str
    arguments: str
    response_id: str
    agent: Any
    tool: Any = attrs.field(default=None, repr=False)
    server_label: str | None = None


@attrs.frozen(kw_only=True)
class StartCall:
    """Run this call, then report it with :class:`~.inputs.CallFinished`."""

    call: ToolCall


@attrs.frozen(kw_only=True)
class CancelCalls:
    """Cancel these calls, wait until their tasks have ended, then report each one as usual."""

    call_ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class CheckReply:
    """Run the output guardrails on this text, then report :class:`~.inputs.ReplyChecked`."""

    response_id: str
    text: str
    agent: Any


@attrs.frozen(kw_only=True)
class CheckInput:
    """Run the input guardrails on this text, then report :class:`~.inputs.InputChecked`.

    ``serial`` numbers what the user said, so that a late result does not stop a later turn.
    """

    serial: int
    text: str
    agent: Any


@attrs.frozen(kw_only=True)
class SendEncoded:
    """Send an item that was encoded already, when its content was validated."""

    event: ConversationItemCreate
    message: Any = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ResponseOutcome:
    """How a response ended.

    Attributes:
        response_id: the service's id; empty for a response that never began.
        status: how the response ended.
        reason, code, message: why the response did not complete, as the service reported it.
        text: text or transcript of the last message that has any.
        items: the output items, in the service's order.
        usage: the tokens of this response, if the service reported them.
        audio: the audio of an out-of-band response, in the output format. Empty for a response of
            the conversation, whose audio arrives as events.
        dropped_audio: bytes of the audio of an out-of-band response that are missing at the end of
            ``audio``, because it exceeds ``max_buffered_audio``.
    """

    response_id: str
    status: ResponseStatus
    reason: str | None = None
    code: str | None = None
    message: str | None = None
    text: str = ""
    items: tuple[Item, ...] = ()
    usage: ResponseUsage | None = None
    audio: bytes = attrs.field(default=b"", repr=False)
    dropped_audio: int = 0


@attrs.frozen(kw_only=True)
class HistoryEdited:
    """An edit of the conversation is complete. ``history`` is the resulting conversation."""

    history: Sequence[HistoryItem] = attrs.field(repr=False)


Outcome: TypeAlias = ResponseOutcome | Session | HistoryEdited | RealtimeError


@attrs.frozen(kw_only=True)
class ResolveRequest:
    """The request with this token has this outcome: wake the task that waits for it."""

    token: str
    outcome: Outcome


@attrs.frozen(kw_only=True)
class EndSession:
    """A limit was reached: let the agent finish within the grace period, then end the session."""

    limit: LimitName


@attrs.frozen(kw_only=True)
class DropConnection:
    """The connection is dead although it is open: end it, as if the service had closed it."""

    reason: str


RareEffect: TypeAlias = (
    StartCall
    | CancelCalls
    | CheckReply
    | CheckInput
    | SendEncoded
    | ResolveRequest
    | DropConnection
    | EndSession
)
Effect: TypeAlias = ClientEvent | SessionEvent | RareEffect
