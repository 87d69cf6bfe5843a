"""Client events that the user writes as mappings: the core treats them as if a method had sent them.

=============================  ====================================================================
event                          then
=============================  ====================================================================
``response.create``            queued like every request for a response (at most one is outstanding)
``response.cancel``            an interruption of that response, or of all
``conversation.item.create``   sent; an output answers its open call, an approval its request
``session.update``             queued like every update; only what changes is sent
``input_audio_buffer.*``       as the methods do
any other                      sent; dropped while there is no connection
=============================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from trio_realtime.errors import UsageError
from trio_realtime.items import item_text
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallOutputItem,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    McpApprovalResponseItem,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)

from .audio.user_audio import UserAudio
from .calls.hosted_mcp import HostedMcpCalls
from .calls.ledger import ToolLedger
from .effects import Effect
from .inputs import AppendAudio, ClearAudio, CommitAudio, SendItem, SendRaw, UpdateSettings
from .interruption import Interruption
from .link import Link
from .responses.requests import ResponseRequests
from .settings import SessionSettings


class RawEvents:
    """Carries out client events that the user wrote.

    Args:
        requests: queue requests for responses, and send items.
        interruption: stops responses.
        settings: queue updates of settings.
        ledger: knows which calls are open.
        hosted: knows which hosted calls wait for approval.
        user_audio: sends the user's audio.
        link: whether anything can be sent now.
        token: makes event ids.
    """

    def __init__(
        self,
        requests: ResponseRequests,
        interruption: Interruption,
        settings: SessionSettings,
        ledger: ToolLedger,
        hosted: HostedMcpCalls,
        user_audio: UserAudio,
        link: Link,
        token: Callable[[str], str],
    ) -> None:
        self._requests = requests
        self._interruption = interruption
        self._settings = settings
        self._ledger = ledger
        self._hosted = hosted
        self._user_audio = user_audio
        self._link = link
        self._token = token

    def on_send_raw(self, command: SendRaw, now: float) -> Sequence[Effect]:
        """Send an event, and do what it implies.

        Raises:
            UsageError: it is a second answer to a call, or a ``response.create`` whose event id is in use.
        """
        match command.event:
            case ResponseCreate() as create:
                return self._requests.request_raw(create)
            case ResponseCancel() as cancel:
                if not cancel.event_id:
                    # The refusal of a cancel that has no id could be that of any other cancel.
                    cancel = attrs.evolve(cancel, event_id=self._token("cancel"))
                sent = [cancel] if self._link.is_open else []
                return [*sent, *self._interruption.cancelled_by_user(cancel, now)]
            case ConversationItemCreate() as create:
                return self._create_item(create, now)
            case SessionUpdate(event_id=event_id, session=session, extra=extra):
                token = event_id or self._token("settings")
                update = UpdateSettings(
                    token=token, settings=session, has_waiter=False, extra=extra
                )
                return self._settings.on_update_settings(update, now)
            case InputAudioBufferAppend() as append:
                return self._user_audio.on_append(AppendAudio(append), now)
            case InputAudioBufferCommit() as commit:
                return self._user_audio.on_commit(CommitAudio(commit), now)
            case InputAudioBufferClear() as clear:
                return self._user_audio.on_clear(ClearAudio(clear), now)
            case event:
                return [event] if self._link.is_open else []

    def _create_item(self, create: ConversationItemCreate, now: float) -> Sequence[Effect]:
        item = create.item
        match item:
            case (
                FunctionCallOutputItem(call_id=call_id)
                | McpApprovalResponseItem(approval_request_id=call_id)
            ) if self._ledger.is_answered(call_id):
                raise UsageError(f"call {call_id!r} was answered already")
            case _:
                pass
        is_said = isinstance(item, MessageItem) and item.role == "user"
        text = item_text(item) if is_said else None
        effects = self._requests.on_send_item(
            SendItem(item=create, respond=False, user_text=text), now
        )
        match item:
            case FunctionCallOutputItem(call_id=call_id):
                answers = self._ledger.finish(call_id, wants_response=False)
            case McpApprovalResponseItem(approval_request_id=request_id):
                answers = self._hosted.decided_by_user(request_id)
            case _:
                answers = False
        return [*effects, *self._requests.after_call_finished()] if answers else effects
