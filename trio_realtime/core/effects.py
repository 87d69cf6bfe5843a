"""What the core tells the shell to do, in order.

A :class:`~trio_realtime.wire.ClientEvent` means *send this*, a
:class:`~trio_realtime.events.SessionEvent` means *emit this*; the classes here are the rest. There
are no wrappers, because there is an effect for every frame of audio.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from trio_realtime.errors import RealtimeError
from trio_realtime.events import SessionEvent
from trio_realtime.wire import ClientEvent, Item, ResponseUsage, Session

from .guardrails import CheckInput, CheckReply


@attrs.frozen(kw_only=True)
class ToolCall:
    """A function call that the model completed.

    ``agent`` is the one that the response began with. With a ``server_label`` the service will make
    the call itself and asks for approval: run nothing, only decide; then report it with
    ``Conversation.approval_decided``.
    """

    call_id: str
    name: str
    arguments: str
    response_id: str
    agent: Any
    server_label: str | None = None


@attrs.frozen(kw_only=True)
class StartCall:
    """Run this call, then report it with ``Conversation.call_finished``."""

    call: ToolCall


@attrs.frozen(kw_only=True)
class CancelCalls:
    """Cancel the work on these calls, wait for it to end, then report each as usual."""

    call_ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class ResponseOutcome:
    """How a response ended.

    Attributes:
        status: ``completed``, ``cancelled``, ``failed`` or ``incomplete``.
        reason, code, message: the service's account of why, where it is not completed.
        text: text or transcript of the last message that has any.
        items: the output items, as the service listed them.
        audio: the audio of a response beside the conversation; empty for one in it, whose audio
            comes as events.
    """

    response_id: str
    status: str
    reason: str | None = None
    code: str | None = None
    message: str | None = None
    text: str = ""
    items: tuple[Item, ...] = ()
    usage: ResponseUsage | None = None
    audio: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class HistoryEdited:
    """The conversation was edited; this is what came of it."""

    history: tuple[Item, ...] = attrs.field(repr=False)


Outcome: TypeAlias = ResponseOutcome | Session | HistoryEdited | RealtimeError


@attrs.frozen(kw_only=True)
class ResolveRequest:
    """Tell whoever waits under this token how it ended."""

    token: str
    outcome: Outcome


Effect: TypeAlias = (
    ClientEvent | SessionEvent | StartCall | CancelCalls | CheckReply | CheckInput | ResolveRequest
)
