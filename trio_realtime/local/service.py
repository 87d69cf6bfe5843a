"""The service behind one connection: a synchronous state machine without a clock or a socket.

Feed it messages and the time; it returns frames to send, in order, and perhaps a close. It is
driven like this::

    outputs = service.open(now)
    while connected:
        if a message arrived:   outputs = service.receive(message, now)
        elif service.next_deadline() <= now:   outputs = service.advance(now)

Rules that the parts keep between them:

1. Client events are worked off strictly in order; each gives its answers before the next one's.
   An event is checked as a whole before anything changes: an error means that nothing happened.
2. At most one response writes to the conversation; others run beside it and leave no trace there.
3. A response emits one piece at each :meth:`ServerConnection.advance`, so between any two pieces it can be
   cancelled. After its closing events nothing of it follows.
4. Speech is detected in audio time, so audio may come faster than real time.

The same calls with the same options give the same outputs, ids included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from . import errors, handshake, mcp_listing, requests, settings
from .config import ServiceOptions
from .conversation import Conversation, Item, new_item
from .errors import Refusal
from .hosted_mcp import Approvals
from .ids import Ids
from .input_audio import Listening
from .response_scheduler import ResponseScheduler
from .responses import Response, ResponseEnvironment
from .session_state import State
from .types import Close, ConnectionRequest, Frame, Json, Output

__all__ = ["ServerConnection"]

_FALLBACK_MODEL = "gpt-realtime"
#: Where unix time stands when nobody says: the first of January 2026.
_EPOCH = 1_767_225_600.0


class ServerConnection:
    """One connection's state.

    Args:
        options: how to behave.
        connection: the upgrade request.
        now: the time, in seconds of whatever clock later calls will use.
    """

    def __init__(
        self, options: ServiceOptions, *, connection: ConnectionRequest, now: float
    ) -> None:
        self._options = options
        self._connection = connection
        self._out: list[Output] = []
        self._ids = Ids(f"{options.seed}/{connection.serial}")
        self._opened = now
        self._expires = now + options.session_seconds
        self._close: Close | None = None
        self._state = self._new_state(now)
        self._answering = ResponseScheduler(self._state, self._answered)
        self._listening = Listening(self._state, self._answering)

    @property
    def closed(self) -> Close | None:
        """How the service closed the connection; None while it goes on."""
        return self._close

    @property
    def session(self) -> Json:
        """The effective session, as ``session.updated`` shows it."""
        return self._state.session

    @property
    def _approvals(self) -> Approvals:
        return self._state.stage.approvals

    # -- driving it ----------------------------------------------------------------------------

    def open(self, now: float) -> list[Output]:
        """Greet the client: ``session.created``, or an ``error`` and a close."""
        self._set_time(now)
        fault = handshake.find_fault(self._connection, self._options)
        if fault is None:
            self._emit("session.created", session=self._state.session)
        else:
            self._emit("error", error=fault[0].body())
            self._end(handshake.closing(*fault))
        return self._flush()

    def receive(self, message: str | bytes, now: float) -> list[Output]:
        """Take in one message of the client. After a close it is ignored."""
        if self._close is None:
            self._set_time(now)
            self._take_in(message)
        return self._flush()

    def advance(self, now: float) -> list[Output]:
        """Do what is due at this time, one piece of each thing. May put out nothing."""
        if self._close is None:
            self._set_time(now)
            if now >= self._expires:
                self._expire()
            else:
                self._listening.step(now)
                self._answering.step(now)
        return self._flush()

    def next_deadline(self) -> float | None:
        """When :meth:`advance` wants to be called next; None for never again."""
        if self._close is not None:
            return None
        return min(self._expires, self._listening.deadline(), self._answering.deadline())

    def drain(self, now: float) -> list[Output]:
        """Advance until nothing is due any more at this time."""
        outputs: list[Output] = []
        while (due := self.next_deadline()) is not None and due <= now:
            outputs += self.advance(now)
        return outputs

    # -- inside --------------------------------------------------------------------------------

    def _new_state(self, now: float) -> State:
        options = self._options
        model = self._connection.model or options.default_model or _FALLBACK_MODEL
        self._defaults = settings.RealtimeDefaults(model, handshake.session_kind(self._connection))
        epoch = _EPOCH if options.epoch is None else options.epoch
        expires_at = int(epoch + self._expires)
        return State(
            options=options,
            stage=ResponseEnvironment(
                self._emit,
                self._ids,
                Conversation(),
                Approvals(),
                options.voice,
                options.pacing,
            ),
            session=self._defaults.session(self._ids.new("sess"), expires_at),
            model=model,
            conversation_id=self._ids.new("conv"),
            now=now,
        )

    def _set_time(self, now: float) -> None:
        self._state.now = now
        self._ids.set_age(now - self._opened)

    def _emit(self, kind: str, /, **fields: Any) -> None:
        frame: Json = {"type": kind, "event_id": self._ids.new("event")}
        self._out.append(Frame(frame | fields))

    def _flush(self) -> list[Output]:
        out, self._out = self._out, []
        return out

    def _end(self, close: Close) -> None:
        self._close = close
        self._out.append(close)

    def _expire(self) -> None:
        refusal = errors.session_expired(self._options.session_seconds / 60)
        self._emit("error", error=refusal.body())
        self._end(Close(1001, refusal.message))

    def _take_in(self, message: str | bytes) -> None:
        event_id: str | None = None
        try:
            event = requests.read_message(message)
            event_id = requests.event_id_of(event)
            self._dispatch(requests.parse_event(event))
        except Refusal as refusal:
            self._emit("error", error=refusal.body(event_id))

    def _dispatch(self, event: Json) -> None:
        if self._state.transcribes_only and event["type"].startswith("response."):
            raise errors.invalid_value("type", "A transcription session has no responses.")
        self._handlers[event["type"]](self, event)

    def _answered(self, response: Response) -> None:
        self._listening.answered(response)

    # -- client events -------------------------------------------------------------------------

    def _update_session(self, event: Json) -> None:
        patch = settings.parse_update(event["session"], self._state.session["type"])
        self._check_change(patch)
        known = self._state.session.get("tools", [])
        self._state.session = settings.merge(self._state.session, patch, self._defaults)
        self._listening.reconfigure()
        self._emit("session.updated", session=self._state.session)
        mcp_listing.import_tools(self._state, self._state.session.get("tools", []), known=known)

    def _check_change(self, patch: Json) -> None:
        """What may not change any more, or not now."""
        session = self._state.session
        output = patch.get("audio", {}).get("output", {})
        if patch.get("model", self._state.model) != self._state.model:
            raise errors.invalid_value("session.model", "The model of a session cannot be changed.")
        if "tracing" in patch and session["tracing"] not in (None, patch["tracing"]):
            raise errors.invalid_value(
                "session.tracing", "Tracing cannot be changed once it is enabled."
            )
        if _changes("voice", output, session) and self._state.conversation.has_model_audio:
            raise errors.voice_is_locked()
        if _changes("speed", output, session) and self._answering.active is not None:
            raise errors.invalid_value(
                "session.audio.output.speed", "The speed can only change between responses."
            )

    def _append_audio(self, event: Json) -> None:
        self._listening.write(event["audio"])

    def _commit_audio(self, _event: Json) -> None:
        self._listening.commit()

    def _clear_audio(self, _event: Json) -> None:
        self._listening.clear()

    def _create_item(self, event: Json) -> None:
        conversation, given = self._state.conversation, event["item"]
        place = conversation.place(event.get("previous_item_id"))
        self._check_item(given)
        item = new_item(given, self._state.input_format, lambda: self._ids.new("item"))
        if item.data["type"] == "function_call":
            item.data.setdefault("call_id", self._ids.call())
        previous = conversation.insert(place, item)
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._emit(kind, previous_item_id=previous, item=item.view())
        if given["type"] == "mcp_approval_response":
            self._approvals.decide(given["approval_request_id"], approve=given["approve"])

    def _check_item(self, given: Json) -> None:
        conversation = self._state.conversation
        item_id = given.get("id")
        if item_id is not None and conversation.find(item_id) is not None:
            raise errors.invalid_value(
                "item.id", f"Invalid value: an item with id '{item_id}' already exists."
            )
        if given["type"] == "function_call_output" and not conversation.has_call(given["call_id"]):
            raise errors.no_such_call(given["call_id"])
        if given["type"] == "mcp_approval_response":
            self._approvals.check(given["approval_request_id"])

    def _retrieve_item(self, event: Json) -> None:
        self._emit("conversation.item.retrieved", item=self._item(event, "retrieve").full_view())

    def _delete_item(self, event: Json) -> None:
        item = self._item(event, "delete")
        if any(response.owns(item) for response in self._answering.running):
            raise errors.item_in_progress(item.id)
        self._state.conversation.remove(item)
        self._approvals.withdraw(item.id)
        self._emit("conversation.item.deleted", item_id=item.id)

    def _truncate_item(self, event: Json) -> None:
        item = self._item(event, "truncate")
        if not item.is_model_audio:
            raise errors.not_truncatable()
        if event["content_index"] != 0:
            raise errors.invalid_value("content_index", "Audio is in content part 0.")
        item.truncate(event["audio_end_ms"])
        echo = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self._emit("conversation.item.truncated", **echo)

    def _item(self, event: Json, verb: str) -> Item:
        item = self._state.conversation.find(event["item_id"])
        if item is None:
            raise errors.no_such_item(verb, event["item_id"])
        return item

    def _create_response(self, event: Json) -> None:
        params: Json = event.get("response") or {}
        self._answering.create(params)
        if params.get("conversation") != "none":
            self._listening.disarm()

    def _cancel_response(self, event: Json) -> None:
        self._answering.cancel(event.get("response_id"))

    _handlers: ClassVar[dict[str, Callable[[ServerConnection, Json], None]]] = {
        "session.update": _update_session,
        "input_audio_buffer.append": _append_audio,
        "input_audio_buffer.commit": _commit_audio,
        "input_audio_buffer.clear": _clear_audio,
        "conversation.item.create": _create_item,
        "conversation.item.retrieve": _retrieve_item,
        "conversation.item.delete": _delete_item,
        "conversation.item.truncate": _truncate_item,
        "response.create": _create_response,
        "response.cancel": _cancel_response,
    }


def _changes(key: str, output: Json, session: Json) -> bool:
    return key in output and bool(output[key] != session["audio"]["output"][key])
