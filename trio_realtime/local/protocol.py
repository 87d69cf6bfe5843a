"""The server side of one connection: a synchronous state machine without a clock or a socket.

Pass it messages, transcripts and the time. It returns outputs in order: events to send, requests
to transcribe audio, and at the end a close. Drive it like this::

    outputs = protocol.open(now)
    while connected:
        if a message arrived:   outputs = protocol.receive(message, now)
        elif a transcript is ready:   outputs = protocol.transcribed(item_id, transcript, now)
        elif protocol.next_deadline() <= now:   outputs = protocol.advance(now)

Transcripts are requested only if the transcriber is a function. Those of a
:class:`ScriptedTranscriber` are read at once.

Rules:

1. Client events are handled strictly in order. Each is validated as a whole before any state
   changes, so a rejected event has no effect.
2. At most one response is active in the default conversation. Out-of-band responses run
   concurrently and do not change the conversation.
3. A response emits one event, or a few that belong together, per call of
   :meth:`ServerProtocol.advance`. It can be cancelled between any two calls, and emits nothing
   after ``response.done``.
4. Turn detection uses audio time, so audio may arrive faster than real time.

The same calls with the same configuration return the same outputs, ids included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar, Final

from trio_realtime.endpoints import DEFAULT_MODEL

from . import errors, frames, handshake, mcp_listing, requests, settings
from .config import ServerConfig
from .conversation import Conversation, Item, new_item
from .errors import ProtocolError
from .hosted_mcp import McpApprovals
from .ids import Ids
from .input_audio import InputAudioProcessor
from .response_scheduler import ResponseScheduler
from .responses import ResponseEnvironment, ResponseGenerator
from .session_state import SessionState
from .transcriber import TranscriptionRequest, TranscriptionResult
from .types import Close, ConnectionRequest, Frame, Json, Output

__all__ = ["ServerProtocol"]

logger: Final = logging.getLogger("trio_realtime.local")

#: Default Unix time at clock time 0: 1 January 2026.
_EPOCH = 1_767_225_600.0


class ServerProtocol:
    """The server side of one connection, without I/O.

    Args:
        config: configuration of the server.
        connection: the upgrade request.
        now: current time in seconds, on the clock that later calls use.
    """

    def __init__(self, config: ServerConfig, *, connection: ConnectionRequest, now: float) -> None:
        self._config = config
        self._connection = connection
        self._out: list[Output] = []
        self._ids = Ids(f"{config.seed}/{connection.serial}")
        self._opened_at = now
        self._expires_at = now + config.session_seconds
        self._close: Close | None = None
        self._ignored_model: str | None = None
        self._state = self._new_state(now)
        self._scheduler = ResponseScheduler(self._state, self._response_completed)
        self._input_audio = InputAudioProcessor(self._state, self._scheduler)

    @property
    def closed(self) -> Close | None:
        """How the server closed the connection; None while it is open."""
        return self._close

    @property
    def is_busy(self) -> bool:
        """Whether the latest message is still being handled.

        Call :meth:`advance` until it is not. Passing the next message works too, but may take long.
        """
        return self._close is None and self._input_audio.is_behind

    @property
    def session(self) -> Json:
        """The effective session object, as in ``session.updated``."""
        return self._state.session

    @property
    def items(self) -> list[Json]:
        """The items of the conversation in order, as in events: without audio and images."""
        return [item.view() for item in self._state.conversation]

    @property
    def _approvals(self) -> McpApprovals:
        return self._state.environment.approvals

    # -- inputs ----------------------------------------------------------------------------------

    def open(self, now: float) -> list[Output]:
        """Open the connection: return ``session.created``, or an ``error`` and a close."""
        self._set_time(now)
        error = handshake.find_error(self._connection, self._config)
        if error is None:
            self._emit("session.created", session=self._state.session)
            mcp_listing.list_new_servers(
                self._state, self._state.session.get("tools", []), known=[]
            )
        else:
            self._emit("error", error=error[0].body())
            self._close_with(handshake.close_after(*error))
        return self._flush()

    def receive(self, message: str | bytes, now: float) -> list[Output]:
        """Handle a message of the client. Messages after the close are ignored."""
        if self._close is None:
            self._set_time(now)
            self._input_audio.catch_up()
            self._handle_message(message)
        return self._flush()

    def transcribed(self, item_id: str, result: TranscriptionResult, now: float) -> list[Output]:
        """Handle the result of a :class:`TranscriptionRequest`.

        Responses whose context has the item wait for it. Results after the close are ignored.

        Raises:
            LookupError: no transcription of this item was requested, or it has a result already.
        """
        if self._close is None:
            self._set_time(now)
            self._input_audio.transcribed(item_id, result)
        return self._flush()

    def advance(self, now: float) -> list[Output]:
        """Advance everything that is due at this time by one step. May return no outputs."""
        if self._close is None:
            self._set_time(now)
            if now >= self._expires_at:
                self._expire()
            else:
                self._input_audio.step(now)
                self._scheduler.step(now)
        return self._flush()

    def next_deadline(self) -> float | None:
        """Return when to call :meth:`advance` next; None after the close."""
        if self._close is not None:
            return None
        return min(
            self._expires_at, self._input_audio.next_deadline(), self._scheduler.next_deadline()
        )

    def drain(self, now: float) -> list[Output]:
        """Advance until nothing more is due at this time."""
        outputs: list[Output] = []
        while (due := self.next_deadline()) is not None and due <= now:
            outputs += self.advance(now)
        return outputs

    # -- internals -------------------------------------------------------------------------------

    def _new_state(self, now: float) -> SessionState:
        config = self._config
        model = self._connection.model or config.default_model or DEFAULT_MODEL
        self._defaults = settings.RealtimeDefaults(model, handshake.session_kind(self._connection))
        secret = self._connection.client_secret
        epoch = _EPOCH if config.epoch is None else config.epoch
        expires_at = int(epoch + self._expires_at)
        session = self._defaults.session(self._ids.new("sess"), expires_at)
        if secret is not None:
            session = settings.merge(session, secret.session, self._defaults)
        return SessionState(
            config=config,
            environment=ResponseEnvironment(
                self._emit,
                self._ids,
                Conversation(),
                McpApprovals(),
                config.synthesizer,
                config.pacing,
            ),
            session=session,
            model=model,
            conversation_id=self._ids.new("conv"),
            now=now,
            request_transcription=self._request_transcription,
        )

    def _set_time(self, now: float) -> None:
        self._state.now = now
        self._ids.set_age(now - self._opened_at)

    def _emit(self, kind: str, /, **fields: Any) -> None:
        frame: Json = {"type": kind, "event_id": self._ids.new("event")}
        self._out.append(Frame(frame | fields))

    def _request_transcription(self, request: TranscriptionRequest) -> None:
        self._out.append(request)

    def _flush(self) -> list[Output]:
        out, self._out = self._out, []
        return out

    def _close_with(self, close: Close) -> None:
        self._close = close
        self._out.append(close)

    def _expire(self) -> None:
        error = errors.session_expired(self._config.session_seconds / 60)
        self._emit("error", error=error.body())
        self._close_with(Close(1001, error.message))

    def _handle_message(self, message: str | bytes) -> None:
        event_id: str | None = None
        try:
            event = frames.decode(message, self._config.dialect)
            event_id = requests.event_id_of(event)
            # Replaces the undecoded event, whose audio may take megabytes.
            event = requests.parse_event(event)
            self._dispatch(event)
        except ProtocolError as error:
            self._emit("error", error=error.body(event_id))

    def _dispatch(self, event: Json) -> None:
        if self._state.is_transcription and event["type"].startswith("response."):
            raise errors.invalid_value("type", "A transcription session has no responses.")
        if event["type"] in _ADDS_ITEMS and self._state.conversation.is_full:
            raise errors.conversation_full()
        self._handlers[event["type"]](self, event)

    def _response_completed(self, response: ResponseGenerator) -> None:
        self._input_audio.response_completed(response)

    # -- client events ---------------------------------------------------------------------------

    def _update_session(self, event: Json) -> None:
        patch = settings.parse_update(event["session"], self._state.session["type"])
        self._check_change(patch)
        self._discard_model(patch)
        known = self._state.session.get("tools", [])
        self._state.session = settings.merge(self._state.session, patch, self._defaults)
        self._input_audio.reconfigure()
        self._emit("session.updated", session=self._state.session)
        mcp_listing.list_new_servers(self._state, self._state.session.get("tools", []), known=known)

    def _check_change(self, patch: Json) -> None:
        """Reject changes of settings that are fixed, or fixed at the moment."""
        session = self._state.session
        output = patch.get("audio", {}).get("output", {})
        if "tracing" in patch and session["tracing"] not in (None, patch["tracing"]):
            raise errors.invalid_value(
                "session.tracing", "Tracing cannot be changed once it is enabled."
            )
        if _changes("voice", output, session) and self._state.conversation.has_model_audio:
            raise errors.voice_is_locked()
        if _changes("speed", output, session) and self._scheduler.active is not None:
            raise errors.invalid_value(
                "session.audio.output.speed", "The speed can only change between responses."
            )

    def _discard_model(self, patch: Json) -> None:
        """Remove the model from an update: the one of the connection cannot change.

        Both agents SDKs send their default model in each update, whatever the URL says.
        """
        model = patch.pop("model", self._state.model)
        if model not in (self._state.model, self._ignored_model):
            self._ignored_model = model
            logger.warning(
                "ignored the model %.100r of a session.update: the session continues with %.100r; "
                "choose the model in the URL",
                model,
                self._state.model,
            )

    def _append_audio(self, event: Json) -> None:
        self._input_audio.append(event["audio"])

    def _commit_audio(self, _event: Json) -> None:
        self._input_audio.commit()

    def _clear_audio(self, _event: Json) -> None:
        self._input_audio.clear()

    def _create_item(self, event: Json) -> None:
        conversation, given = self._state.conversation, event["item"]
        index = conversation.index_after(event.get("previous_item_id"))
        self._check_item(given)
        item = new_item(given, self._state.input_format, lambda: self._ids.new("item"))
        if item.data["type"] == "function_call":
            item.data.setdefault("call_id", self._ids.call())
        previous = conversation.insert(index, item)
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
            self._approvals.raise_if_not_pending(given["approval_request_id"])

    def _retrieve_item(self, event: Json) -> None:
        self._emit(
            "conversation.item.retrieved", item=self._find_item(event, "retrieve").full_view()
        )

    def _delete_item(self, event: Json) -> None:
        item = self._find_item(event, "delete")
        if any(response.owns(item) for response in self._scheduler.running):
            raise errors.item_in_progress(item.id)
        self._state.conversation.remove(item)
        self._approvals.discard(item.id)
        self._emit("conversation.item.deleted", item_id=item.id)

    def _truncate_item(self, event: Json) -> None:
        item = self._find_item(event, "truncate")
        if not item.is_model_audio:
            raise errors.not_truncatable()
        if event["content_index"] != 0:
            raise errors.invalid_value("content_index", "Audio is in content part 0.")
        self._state.conversation.truncate(item, event["audio_end_ms"])
        echo = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self._emit("conversation.item.truncated", **echo)

    def _find_item(self, event: Json, verb: str) -> Item:
        item = self._state.conversation.find(event["item_id"])
        if item is None:
            raise errors.no_such_item(verb, event["item_id"])
        return item

    def _create_response(self, event: Json) -> None:
        params: Json = event.get("response") or {}
        self._scheduler.create(params)
        if params.get("conversation") != "none":
            self._input_audio.cancel_idle_timer()

    def _cancel_response(self, event: Json) -> None:
        self._scheduler.cancel(event.get("response_id"))

    _handlers: ClassVar[dict[str, Callable[[ServerProtocol, Json], None]]] = {
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


_ADDS_ITEMS: Final = frozenset(
    {
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "conversation.item.create",
        "response.create",
    }
)


def _changes(key: str, output: Json, session: Json) -> bool:
    return key in output and bool(output[key] != session["audio"]["output"][key])
