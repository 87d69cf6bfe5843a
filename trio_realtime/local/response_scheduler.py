"""The responses of a connection: one for the conversation, any number beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from . import errors, mcp_listing, settings
from .audio import FORMATS
from .conversation import new_item
from .hosted_mcp import ApprovedCall, Toolbox
from .responders import Fail, ScriptExhausted, Step, Turn, TurnItem
from .responses import Response, ResponsePlan
from .session_state import State
from .types import Json

__all__ = ["ResponseScheduler"]

_TOKEN_LIMIT: Final = 15_000_000
_CHARACTERS_PER_TOKEN: Final = 4
_CACHE_BLOCK: Final = 64


class ResponseScheduler:
    """Creates, performs and cancels responses.

    Args:
        on_done: called with a response of the conversation that was completed.
    """

    def __init__(self, state: State, on_done: Callable[[Response], None]) -> None:
        self._state = state
        self._on_done = on_done
        self._active: Response | None = None
        self._aside: dict[str, Response] = {}
        self._tokens_spent = 0
        self._last_text_tokens = 0

    @property
    def active(self) -> Response | None:
        """The response that writes to the conversation."""
        return self._active

    @property
    def running(self) -> list[Response]:
        """All of them, the conversation's first."""
        first = [self._active] if self._active else []
        return first + list(self._aside.values())

    def deadline(self) -> float:
        """When one of them wants to go on."""
        return min((r.due for r in self.running if r.due is not None), default=math.inf)

    # -- commands ------------------------------------------------------------------------------

    def create(self, params: Json) -> None:
        """Begin a response.

        Raises:
            Refusal: the conversation has one already, or the input names an unknown item.
        """
        aside = params.get("conversation") == "none"
        if self._active is not None and not aside:
            raise errors.active_response(self._active.id)
        context = tuple(self._context(params.get("input")))
        if not aside:
            known = self._state.session["tools"]
            mcp_listing.import_tools(self._state, params.get("tools", []), known=known)
        plan = self._plan(params, context)
        response = Response(self._state.stage, plan, now=self._state.now)
        if aside:
            self._aside[response.id] = response
        else:
            self._active = response
        response.begin()

    def cancel(self, response_id: str | None) -> None:
        """Cancel one by id, or the conversation's.

        Raises:
            Refusal: there is none such.
        """
        response = self._find(response_id)
        if response is None:
            raise errors.nothing_to_cancel()
        self._end(response, "client_cancelled")

    def interrupt(self) -> None:
        """The user speaks: cancel the conversation's response, if there is one."""
        if self._active is not None:
            self._end(self._active, "turn_detected")

    def step(self, now: float) -> None:
        """Let every response that is due go on by one piece."""
        for response in self.running:
            if response.due is not None and response.due <= now:
                response.step(now)
                self._settle(response)

    # -- inside --------------------------------------------------------------------------------

    def _find(self, response_id: str | None) -> Response | None:
        if response_id is None:
            return self._active
        return next((r for r in self.running if r.id == response_id), None)

    def _end(self, response: Response, reason: str) -> None:
        response.cancel(reason)
        self._settle(response)

    def _settle(self, response: Response) -> None:
        """Let go of a response that is done."""
        if response.usage is None:
            return
        self._tokens_spent += response.usage["total_tokens"]
        self._aside.pop(response.id, None)
        if response is self._active:
            self._active = None
            if response.status == "completed":
                self._emit_rate_limits()
                self._on_done(response)

    def _emit_rate_limits(self) -> None:
        limit = {
            "name": "tokens",
            "limit": _TOKEN_LIMIT,
            "remaining": max(0, _TOKEN_LIMIT - self._tokens_spent),
            "reset_seconds": round(60 * self._tokens_spent / _TOKEN_LIMIT, 3),
        }
        self._state.emit("rate_limits.updated", rate_limits=[limit])

    def _plan(self, params: Json, context: tuple[TurnItem, ...]) -> ResponsePlan:
        session, options = self._state.session, self._state.options
        toolbox = Toolbox(options.hosted_servers, _chosen("tools", params, session))
        turn = self._turn(params, context, toolbox)
        output = session["audio"]["output"] | params.get("audio", {}).get("output", {})
        reasons = settings.is_reasoning_model(self._state.model)
        return ResponsePlan(
            steps=self._approved_calls(params) or self._ask(turn),
            toolbox=toolbox,
            modality=turn.modality,
            voice=output["voice"],
            form=FORMATS[output["format"]["type"]],
            speed=output["speed"],
            max_output_tokens=_chosen("max_output_tokens", params, session),
            conversation_id=None if turn.out_of_band else self._state.conversation_id,
            metadata=params.get("metadata"),
            input_usage=self._input_usage(turn),
            interleaved=reasons if options.interleave is None else options.interleave,
            labelled=reasons,
            latency=options.latency,
        )

    def _approved_calls(self, params: Json) -> Sequence[ApprovedCall]:
        """Calls to make first, if the response goes on from where the conversation is."""
        goes_on = params.get("conversation") != "none" and params.get("input") is None
        return self._state.stage.approvals.due if goes_on else ()

    def _ask(self, turn: Turn) -> Sequence[Step]:
        try:
            return list(self._state.options.brain.answer(turn))
        except ScriptExhausted as exc:
            return [Fail("script_exhausted", str(exc))]

    def _turn(self, params: Json, context: tuple[TurnItem, ...], toolbox: Toolbox) -> Turn:
        session = self._state.session
        modality: Literal["text", "audio"] = _chosen("output_modalities", params, session)[0]
        return Turn(
            items=context,
            instructions=_chosen("instructions", params, session),
            tools=tuple(_chosen("tools", params, session)),
            tool_choice=_chosen("tool_choice", params, session),
            modality=modality,
            out_of_band=params.get("conversation") == "none",
            metadata=params.get("metadata"),
            hosted_tools=toolbox.listed,
        )

    def _context(self, given: list[Json] | None) -> Iterable[TurnItem]:
        if given is None:
            return [item.turn_item() for item in self._state.conversation]
        return [self._input_item(entry, index) for index, entry in enumerate(given)]

    def _input_item(self, entry: Json, index: int) -> TurnItem:
        if entry["type"] != "item_reference":
            form, ids = self._state.input_format, self._state.stage.ids
            return new_item(entry, form, lambda: ids.new("item")).turn_item()
        item = self._state.conversation.find(entry["id"])
        if item is None:
            path = f"response.input[{index}].id"
            raise errors.invalid_value(path, f"Item with id '{entry['id']}' not found.")
        return item.turn_item()

    def _input_usage(self, turn: Turn) -> tuple[int, int, int]:
        text = _text_tokens(turn)
        cached = min(text, self._last_text_tokens) // _CACHE_BLOCK * _CACHE_BLOCK
        self._last_text_tokens = text
        return text, sum(map(_audio_tokens, turn.items)), cached


def _chosen(key: str, params: Json, session: Json) -> Any:
    return params.get(key, session[key])


def _text_tokens(turn: Turn) -> int:
    written = [item.text for item in turn.items if not item.audio_ms]
    written += [item.arguments + item.output for item in turn.items]
    written += [turn.instructions, msgspec.json.encode(turn.tools).decode()]
    return sum(math.ceil(len(text) / _CHARACTERS_PER_TOKEN) for text in written)


def _audio_tokens(item: TurnItem) -> int:
    return int(item.audio_ms // (50 if item.role == "assistant" else 100))
