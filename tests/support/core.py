"""A conversation that is driven by method calls, for tests of the core."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import attrs

from trio_realtime.core import (
    ApprovalDecided,
    CallFinished,
    CancelResponse,
    Conversation,
    CreateResponse,
    Disconnected,
    Effect,
    Interrupt,
    ProtectCall,
    ReplyChecked,
    ReportPlayed,
    SendItem,
    UpdateHistory,
    UpdateSettings,
)
from trio_realtime.events import GuardrailTrip, SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ConversationItemCreate,
    InputImage,
    Item,
    MessageItem,
    ResponseParams,
    ServerEvent,
    Session,
)


class CoreDriver(Conversation):
    """A :class:`Conversation` with a method for each command and result.

    Each method feeds one input and returns the effects; requests also return their token.
    """

    def __init__(self, agent: Any, toolset: Any = None, **options: Any) -> None:
        super().__init__(agent, toolset, **options)
        self._requests = count(1)

    def _request(self, kind: str) -> str:
        return f"{kind}_request_{next(self._requests)}"

    def _feed(self, event: Any, now: float = 0.0) -> list[Effect]:
        return [*self.handle(event, now)]

    def receive(self, event: ServerEvent, now: float) -> list[Effect]:
        return self._feed(event, now)

    def send_item(
        self, item: Item, *, respond: bool, previous_item_id: str | None = None
    ) -> list[Effect]:
        if isinstance(item, MessageItem) and any(isinstance(p, InputImage) for p in item.content):
            item = attrs.evolve(item, id=item.id or self._request("image"))
        create = ConversationItemCreate(previous_item_id=previous_item_id, item=item)
        return self._feed(SendItem(item=create, respond=respond))

    def create_response(
        self,
        params: ResponseParams | None = None,
        *,
        until_turn_end: bool = False,
        prompt: MessageItem | None = None,
        inside_turn: bool = False,
    ) -> tuple[str, list[Effect]]:
        token = self._request("response")
        request = CreateResponse(
            token=token,
            params=params if params is not None else ResponseParams(),
            until_turn_end=until_turn_end,
            prompt=None if prompt is None else ConversationItemCreate(item=prompt),
            inside_turn=inside_turn,
        )
        return token, self._feed(request)

    def cancel_response(self, token: str, now: float) -> list[Effect]:
        return self._feed(CancelResponse(token=token), now)

    def interrupt(self, now: float) -> list[Effect]:
        return self._feed(Interrupt(), now)

    def report_played(self, item_id: str, content_index: int, ms: float, now: float) -> None:
        self._feed(ReportPlayed(item_id=item_id, content_index=content_index, ms=ms), now)

    def update_settings(
        self, settings: Session, agent: Any = None, toolset: Any = None
    ) -> tuple[str, list[Effect]]:
        token = self._request("settings")
        return token, self._feed(
            UpdateSettings(token=token, settings=settings, agent=agent, toolset=toolset)
        )

    def update_history(self, items: Sequence[HistoryItem]) -> tuple[str, list[Effect]]:
        token = self._request("edit")
        return token, self._feed(UpdateHistory(token=token, items=items))

    def protect_call(self, call_id: str, *, respond: bool = False) -> None:
        self._feed(ProtectCall(call_id=call_id, respond=respond))

    def call_finished(
        self,
        call_id: str,
        output: str,
        *,
        wants_response: bool,
        report: SessionEvent | None = None,
    ) -> list[Effect]:
        return self._feed(
            CallFinished(
                call_id=call_id, output=output, wants_response=wants_response, report=report
            )
        )

    def approval_decided(
        self, item_id: str, *, approve: bool, reason: str | None = None
    ) -> list[Effect]:
        return self._feed(ApprovalDecided(item_id=item_id, approve=approve, reason=reason))

    def reply_checked(
        self, response_id: str, text: str, trips: Sequence[GuardrailTrip], now: float
    ) -> list[Effect]:
        return self._feed(ReplyChecked(response_id=response_id, text=text, trips=trips), now)

    def disconnected(self) -> None:
        self._feed(Disconnected())
