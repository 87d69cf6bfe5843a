"""The responses of a connection: one in the conversation, and others out of band."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

import attrs
import msgspec

from . import errors, mcp_listing, settings
from .audio import AudioFormat
from .conversation import Item, new_item
from .hosted_mcp import ApprovedCall, HostedToolset
from .responders import Fail, ScriptExhausted, Step, Turn, TurnItem
from .responses import ResponseGenerator, ResponsePlan, limit_output
from .session_state import SessionState
from .types import Json

__all__ = ["ResponseScheduler"]

#: Out-of-band responses that may run at once.
MAX_OUT_OF_BAND: Final = 64
_TOKEN_LIMIT: Final = 15_000_000
_CHARACTERS_PER_TOKEN: Final = 4
_CACHE_BLOCK: Final = 64


@attrs.frozen
class _WaitingResponse:
    """A response that starts when all user audio in its context is transcribed."""

    response: ResponseGenerator
    params: Json
    turn: Turn
    context: Sequence[Item]

    @property
    def is_ready(self) -> bool:
        return not any(item.awaits_transcript for item in self.context)


class ResponseScheduler:
    """Creates, advances and cancels responses.

    Args:
        state: shared state of the connection.
        on_completed: called with each response of the conversation that completes.
    """

    def __init__(
        self, state: SessionState, on_completed: Callable[[ResponseGenerator], None]
    ) -> None:
        self._state = state
        self._on_completed = on_completed
        self._active: ResponseGenerator | None = None
        self._out_of_band: dict[str, ResponseGenerator] = {}
        self._waiting: list[_WaitingResponse] = []
        self._tokens_used = 0
        self._last_text_tokens = 0

    @property
    def active(self) -> ResponseGenerator | None:
        """The response of the conversation, while one is in progress."""
        return self._active

    @property
    def running(self) -> list[ResponseGenerator]:
        """All responses in progress; the one of the conversation comes first."""
        first = [self._active] if self._active else []
        return first + list(self._out_of_band.values())

    def next_deadline(self) -> float:
        """Return when to call :meth:`step` next; ``math.inf`` if no response is in progress."""
        return min((r.due for r in self.running if r.due is not None), default=math.inf)

    # -- commands --------------------------------------------------------------------------------

    def create(self, params: Json) -> None:
        """Create a response. If it has to wait for transcripts, :meth:`start_ready` starts it.

        Raises:
            ProtocolError: the conversation has an active response, too many out-of-band responses
                are in progress, or the input references an unknown item.
        """
        out_of_band = params.get("conversation") == "none"
        if self._active is not None and not out_of_band:
            raise errors.active_response(self._active.id)
        if out_of_band and len(self._out_of_band) >= MAX_OUT_OF_BAND:
            raise errors.too_many_responses(MAX_OUT_OF_BAND)
        context = self._context(params.get("input"))
        if not out_of_band:
            known = self._state.session["tools"]
            mcp_listing.list_new_servers(self._state, params.get("tools", []), known=known)
        hosted_toolset = HostedToolset(
            self._state.config.hosted_servers,
            _param_or_session("tools", params, self._state.session),
        )
        turn = self._turn(params, context, hosted_toolset)
        plan = self._plan(params, turn, hosted_toolset)
        response = ResponseGenerator(self._state.environment, plan)
        if out_of_band:
            self._out_of_band[response.id] = response
        else:
            self._active = response
        self._waiting.append(_WaitingResponse(response, params, turn, context))
        self.start_ready()
        response.begin()

    def start_ready(self) -> None:
        """Start the responses that need not wait for transcripts any more."""
        ready = [waiting for waiting in self._waiting if waiting.is_ready]
        self._waiting = [waiting for waiting in self._waiting if not waiting.is_ready]
        for waiting in ready:
            turn = attrs.evolve(waiting.turn, items=_turn_items(waiting.context))
            steps = self._approved_calls(waiting.params) or self._ask_responder(turn)
            waiting.response.start(steps, now=self._state.now)

    def cancel(self, response_id: str | None) -> None:
        """Cancel the response with this id; None cancels the one of the conversation.

        Raises:
            ProtocolError: there is no such response.
        """
        response = self._find(response_id)
        if response is None:
            raise errors.nothing_to_cancel()
        self._cancel(response, "client_cancelled")

    def interrupt(self) -> None:
        """Cancel the response of the conversation, if any, because the user speaks."""
        if self._active is not None:
            self._cancel(self._active, "turn_detected")

    def step(self, now: float) -> None:
        """Advance each response that is due by one step."""
        for response in self.running:
            if response.due is not None and response.due <= now:
                response.step(now)
                self._remove_if_done(response)

    # -- internals -------------------------------------------------------------------------------

    def _find(self, response_id: str | None) -> ResponseGenerator | None:
        if response_id is None:
            return self._active
        return next((r for r in self.running if r.id == response_id), None)

    def _cancel(self, response: ResponseGenerator, reason: str) -> None:
        response.cancel(reason)
        self._remove_if_done(response)

    def _remove_if_done(self, response: ResponseGenerator) -> None:
        """Remove a response that is done, and account for its tokens."""
        if response.usage is None:
            return
        self._tokens_used += response.usage["total_tokens"]
        self._waiting = [w for w in self._waiting if w.response is not response]
        self._out_of_band.pop(response.id, None)
        if response is self._active:
            self._active = None
            if response.status == "completed":
                self._emit_rate_limits()
                self._on_completed(response)

    def _emit_rate_limits(self) -> None:
        limit = {
            "name": "tokens",
            "limit": _TOKEN_LIMIT,
            "remaining": max(0, _TOKEN_LIMIT - self._tokens_used),
            "reset_seconds": round(60 * self._tokens_used / _TOKEN_LIMIT, 3),
        }
        self._state.emit("rate_limits.updated", rate_limits=[limit])

    def _plan(self, params: Json, turn: Turn, hosted_toolset: HostedToolset) -> ResponsePlan:
        session, config = self._state.session, self._state.config
        output = session["audio"]["output"] | params.get("audio", {}).get("output", {})
        is_reasoning = settings.is_reasoning_model(self._state.model)
        return ResponsePlan(
            hosted_toolset=hosted_toolset,
            modality=turn.modality,
            voice=output["voice"],
            audio_format=AudioFormat.from_json(output["format"]),
            speed=output["speed"],
            max_output_tokens=_param_or_session("max_output_tokens", params, session),
            conversation_id=None if turn.out_of_band else self._state.conversation_id,
            metadata=params.get("metadata"),
            input_usage=self._input_usage(turn),
            interleaved=is_reasoning if config.interleave is None else config.interleave,
            has_phases=is_reasoning,
            latency=config.latency,
        )

    def _approved_calls(self, params: Json) -> Sequence[ApprovedCall]:
        """Return approved calls to make, if the response continues the conversation."""
        continues = params.get("conversation") != "none" and params.get("input") is None
        return self._state.environment.approvals.approved if continues else ()

    def _ask_responder(self, turn: Turn) -> Sequence[Step]:
        try:
            return list(limit_output(self._state.config.responder.respond(turn)))
        except ScriptExhausted as exc:
            return [Fail("script_exhausted", str(exc))]

    def _turn(self, params: Json, context: Sequence[Item], hosted_toolset: HostedToolset) -> Turn:
        session = self._state.session
        modality: Literal["text", "audio"] = _param_or_session(
            "output_modalities", params, session
        )[0]
        return Turn(
            items=_turn_items(context),
            instructions=_param_or_session("instructions", params, session),
            tools=tuple(_param_or_session("tools", params, session)),
            tool_choice=_param_or_session("tool_choice", params, session),
            modality=modality,
            out_of_band=params.get("conversation") == "none",
            metadata=params.get("metadata"),
            hosted_tools=hosted_toolset.listing,
        )

    def _context(self, given: list[Json] | None) -> list[Item]:
        if given is None:
            return list(self._state.conversation)
        return [self._input_item(entry, index) for index, entry in enumerate(given)]

    def _input_item(self, entry: Json, index: int) -> Item:
        if entry["type"] != "item_reference":
            audio_format, ids = self._state.input_format, self._state.environment.ids
            return new_item(entry, audio_format, lambda: ids.new("item"))
        item = self._state.conversation.find(entry["id"])
        if item is None:
            path = f"response.input[{index}].id"
            raise errors.invalid_value(path, f"Item with id '{entry['id']}' not found.")
        return item

    def _input_usage(self, turn: Turn) -> tuple[int, int, int]:
        text = _text_tokens(turn)
        cached = min(text, self._last_text_tokens) // _CACHE_BLOCK * _CACHE_BLOCK
        self._last_text_tokens = text
        return text, sum(map(_audio_tokens, turn.items)), cached


def _turn_items(context: Iterable[Item]) -> tuple[TurnItem, ...]:
    return tuple(item.turn_item() for item in context)


def _param_or_session(key: str, params: Json, session: Json) -> Any:
    return params.get(key, session[key])


def _text_tokens(turn: Turn) -> int:
    texts = [item.text for item in turn.items if not item.audio_ms]
    texts += [item.arguments + item.output for item in turn.items]
    texts += [turn.instructions, msgspec.json.encode(turn.tools).decode()]
    return sum(math.ceil(len(text) / _CHARACTERS_PER_TOKEN) for text in texts)


def _audio_tokens(item: TurnItem) -> int:
    return int(item.audio_ms // (50 if item.role == "assistant" else 100))
