"""Drive a conversation by method calls, and read its effects, for tests of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

import attrs
import pybase64

from support.service import function_call_item
from trio_realtime import events as ev
from trio_realtime.core import (
    ApprovalDecided,
    CallFinished,
    CancelResponse,
    Conversation,
    CreateResponse,
    DeadlinePassed,
    Disconnected,
    Effect,
    Interrupt,
    ProtectCall,
    ReplyChecked,
    ReportPlayed,
    ResolveRequest,
    SendItem,
    SendRaw,
    StartCall,
    UpdateHistory,
    UpdateSettings,
)
from trio_realtime.core.responses.queue import METADATA_KEY
from trio_realtime.events import GuardrailTrip, SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.testing import response_object
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallOutputItem,
    InputImage,
    InputText,
    Item,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    ServerEvent,
    Session,
    raw_client_event,
    structure_server_event,
)

KindT = TypeVar("KindT")

ONE_SECOND = 48_000
"""Bytes of one second of PCM16 audio at 24 kHz."""

OUT_OF_BAND = ResponseParams(conversation="none")

ACTIVE_RESPONSE = "conversation_already_has_active_response"

SESSION: dict[str, Any] = {
    "type": "realtime",
    "audio": {
        "input": {
            "turn_detection": {
                "type": "server_vad",
                "create_response": True,
                "interrupt_response": True,
            }
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}},
    },
}


def effects_of(effects: Sequence[Effect], kind: type[KindT]) -> list[KindT]:
    """Return the effects of one class."""
    return [effect for effect in effects if isinstance(effect, kind)]


def resolved_tokens(effects: Sequence[Effect]) -> list[str]:
    """Return the tokens of the resolved requests."""
    return [resolved.token for resolved in effects_of(effects, ResolveRequest)]


def interrupted_responses(effects: Sequence[Effect]) -> set[str]:
    """Return the ids of the responses whose audio was interrupted."""
    return {event.response_id for event in effects_of(effects, ev.AudioInterrupted)}


def cancelled_responses(effects: Sequence[Effect]) -> list[str | None]:
    """Return the response id of each cancel that is sent."""
    return [cancel.response_id for cancel in effects_of(effects, ResponseCancel)]


def started_calls(effects: Sequence[Effect]) -> list[str]:
    """Return the ids of the started calls."""
    return [start.call.call_id for start in effects_of(effects, StartCall)]


def answered_calls(effects: Sequence[Effect]) -> list[str]:
    """Return the call id of each output that is sent."""
    items = [create.item for create in effects_of(effects, ConversationItemCreate)]
    return [item.call_id for item in items if isinstance(item, FunctionCallOutputItem)]


@attrs.frozen
class ToolDouble:
    """What the core knows of a tool: its name, and what an interruption does to its calls."""

    name: str
    on_interrupt: str = "cancel"


class ToolsetDouble:
    """The toolset of an agent, as far as the core uses it."""

    def __init__(self, *tools: ToolDouble) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.hosted: dict[str, object] = {}


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

    def send_raw(self, event: Mapping[str, Any], now: float = 0.0) -> list[Effect]:
        return self._feed(SendRaw(raw_client_event(event)), now)

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

    def deadline_passed(self, now: float) -> list[Effect]:
        return self._feed(DeadlinePassed(), now)

    def disconnected(self) -> None:
        self._feed(Disconnected())


class CoreScenario:
    """A conversation, and the events of its service in any order that a test chooses.

    Pass the create that caused a response to make its events echo the metadata. Without a create, the
    response is spontaneous, or the server does not echo metadata.
    """

    def __init__(self, toolset: ToolsetDouble | None = None, **options: Any) -> None:
        self.core = CoreDriver("agent", toolset, **options)
        self.now = 0.0
        self.receive("session.created", session=SESSION)

    def receive(self, kind: str, **fields: Any) -> list[Effect]:
        event = structure_server_event({"type": kind, "event_id": "event", **fields})
        return [*self.core.receive(event, self.now)]

    # --- events of the service

    def response_created(
        self, response_id: str, create: ResponseCreate | None = None, **fields: Any
    ) -> list[Effect]:
        return self._response_event("created", response_id, create, **fields)

    def response_done(
        self,
        response_id: str,
        create: ResponseCreate | None = None,
        status: str = "completed",
        **fields: Any,
    ) -> list[Effect]:
        return self._response_event("done", response_id, create, status=status, **fields)

    def _response_event(
        self, what: str, response_id: str, create: ResponseCreate | None, **fields: Any
    ) -> list[Effect]:
        metadata = None if create is None else {METADATA_KEY: create.event_id}
        response = response_object(response_id, metadata=metadata, **fields)
        return self.receive(f"response.{what}", response=response)

    def audio(self, response_id: str, item_id: str, size: int = ONE_SECOND) -> list[Effect]:
        return self.receive(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=pybase64.b64encode_as_string(bytes(size)),
        )

    def call(self, response_id: str, call_id: str, item_id: str = "") -> list[Effect]:
        item = function_call_item(item_id or f"item_{call_id}", call_id, "look_up")
        return self.receive("response.output_item.done", response_id=response_id, item=item)

    def speech_started(self) -> list[Effect]:
        return self.receive(
            "input_audio_buffer.speech_started", item_id="item_user", audio_start_ms=0
        )

    def reject(self, create: ResponseCreate, winner: str) -> list[Effect]:
        message = f"Conversation already has an active response in progress: {winner}. Wait."
        error = {"code": ACTIVE_RESPONSE, "message": message, "event_id": create.event_id}
        return self.receive("error", error=error)

    # --- commands and results

    def send_message(self, text: str = "Hello?") -> list[Effect]:
        item = MessageItem(role="user", content=(InputText(text=text),))
        return self.core.send_item(item, respond=True)

    def message_create(self) -> ResponseCreate:
        """Send a message and return the create that is sent with it."""
        (create,) = effects_of(self.send_message(), ResponseCreate)
        return create

    def request(
        self, params: ResponseParams | None = None, *, until_turn_end: bool = False
    ) -> tuple[str, ResponseCreate]:
        """Request a response. Return the token and the create, which is sent at once."""
        token, effects = self.core.create_response(params, until_turn_end=until_turn_end)
        (create,) = effects_of(effects, ResponseCreate)
        return token, create

    def interrupt(self) -> list[Effect]:
        return self.core.interrupt(self.now)

    def finish_call(self, call_id: str) -> list[Effect]:
        return self.core.call_finished(call_id, "output", wants_response=True, report=None)

    def follow_up(self) -> tuple[str, ResponseCreate]:
        """Run a turn up to the create that follows its call. Return the turn's token and that create."""
        token, create = self.request(until_turn_end=True)
        self.response_created("r1", create)
        self.call("r1", "call_1")
        self.response_done("r1", create)
        (following,) = effects_of(self.finish_call("call_1"), ResponseCreate)
        return token, following
