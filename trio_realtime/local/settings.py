"""The session object: defaults, validation of updates, and merging.

:func:`parse_update` validates the whole update before :func:`merge` builds the new session, so a
rejected update has no effect. The merge is recursive down to ``audio.input`` and ``audio.output``.
Objects below them, such as ``format`` or ``turn_detection``, are replaced as a whole, and members
that the update omits take their defaults.
"""

from __future__ import annotations

from typing import Any, Final

from trio_realtime.models import version_of, without_snapshot

from . import errors, tool_schema, validation
from .audio import FORMATS, PCM_RATES, AudioFormat
from .types import Json, is_object
from .validation import Check

__all__ = ["RealtimeDefaults", "is_reasoning_model", "merge", "parse_update", "without_credentials"]

DEFAULT_INSTRUCTIONS: Final = (
    "You are the assistant of a local realtime server without a model: "
    "you repeat what the user said, call a tool that the user names, and read out its result."
)

_TRANSCRIPTION_MODEL: Final = validation.string(min_length=1)
_MULTILINGUAL_MODELS: Final = frozenset({"gpt-live-transcribe"})
_EAGERNESS: Final = ("low", "medium", "high", "auto")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")
_LOGPROBS: Final = "item.input_audio_transcription.logprobs"
_ORDER: Final = (
    "type object id model output_modalities instructions tools tool_choice max_output_tokens "
    "tracing truncation prompt reasoning expires_at audio include"
).split()


# -- validation ----------------------------------------------------------------------------------


def _modalities(value: Any, path: str) -> Any:
    names = validation.array_of(validation.one_of("text", "audio"))(value, path)
    if len(names) != 1:
        raise errors.invalid_value(
            path,
            f"Invalid modalities: {names}. Supported combinations are: ['text'] and ['audio'].",
        )
    return names


def _pcm_rate(value: Any, path: str) -> Any:
    rate: int = validation.integer()(value, path)
    if rate not in PCM_RATES:
        raise errors.unsupported_value(path, rate, [str(known) for known in PCM_RATES])
    return rate


FORMAT: Final = validation.tagged(
    "type",
    {
        "audio/pcm": validation.record(
            {"type": validation.anything, "rate": _pcm_rate},
            required=["type"],
        ),
        "audio/pcmu": validation.record({"type": validation.anything}, required=["type"]),
        "audio/pcma": validation.record({"type": validation.anything}, required=["type"]),
    },
)
VOICE: Final = validation.string_or(
    validation.string(min_length=1),
    validation.record({"id": validation.string(min_length=1)}, required=["id"]),
)
_FUNCTION: Final = validation.record(
    {
        "type": validation.anything,
        "name": validation.string(pattern="[a-zA-Z0-9_-]{1,64}"),
        "description": validation.string(),
        "parameters": tool_schema.PARAMETERS,
    },
    required=["type", "name"],
)
_TOOL_FILTER: Final = validation.record(
    {"tool_names": validation.array_of(validation.string()), "read_only": validation.boolean}
)


def _allowed_tools(value: Any, path: str) -> Any:
    names = validation.array_of(validation.string())
    return (_TOOL_FILTER if is_object(value) else names)(value, path)


_MCP: Final = validation.record(
    {
        "type": validation.anything,
        "server_label": validation.string(min_length=1),
        "server_url": validation.string(min_length=1),
        "connector_id": validation.string(min_length=1),
        "tunnel_id": validation.string(min_length=1),
        "server_description": validation.string(),
        "authorization": validation.string(),
        "headers": validation.json_object,
        "allowed_tools": _allowed_tools,
        "allowed_callers": validation.array_of(validation.string()),
        "require_approval": validation.string_or(
            validation.one_of("always", "never"),
            validation.record({"always": _TOOL_FILTER, "never": _TOOL_FILTER}),
        ),
        "defer_loading": validation.boolean,
    },
    required=["type", "server_label"],
)
TOOLS: Final = validation.array_of(validation.tagged("type", {"function": _FUNCTION, "mcp": _MCP}))
TOOL_CHOICE: Final = validation.string_or(
    validation.one_of("none", "auto", "required"),
    validation.tagged(
        "type",
        {
            "function": validation.record(
                {"type": validation.anything, "name": validation.string(min_length=1)},
                required=["name"],
            ),
            "mcp": validation.record(
                {
                    "type": validation.anything,
                    "server_label": validation.string(min_length=1),
                    "name": validation.string(),
                },
                required=["server_label"],
            ),
        },
    ),
)
MAX_OUTPUT_TOKENS: Final = validation.string_or(
    validation.one_of("inf"), validation.integer(1, 4096)
)
PROMPT: Final = validation.record(
    {
        "id": validation.string(min_length=1),
        "version": validation.string(),
        "variables": validation.json_object,
    },
    required=["id"],
)
REASONING: Final = validation.record({"effort": validation.one_of(*_EFFORTS)})
MODALITIES: Final[Check] = _modalities

_TURN_DETECTION: Final = validation.tagged(
    "type",
    {
        "server_vad": validation.record(
            {
                "type": validation.anything,
                "threshold": validation.number(0.0, 1.0),
                "prefix_padding_ms": validation.integer(0, 60_000),
                "silence_duration_ms": validation.integer(0, 60_000),
                "idle_timeout_ms": validation.integer(5000, 30000),
                "create_response": validation.boolean,
                "interrupt_response": validation.boolean,
            }
        ),
        "semantic_vad": validation.record(
            {
                "type": validation.anything,
                "eagerness": validation.one_of(*_EAGERNESS),
                "create_response": validation.boolean,
                "interrupt_response": validation.boolean,
            }
        ),
    },
)
_TRANSCRIPTION: Final = validation.record(
    {
        "model": _TRANSCRIPTION_MODEL,
        "language": validation.string(),
        "prompt": validation.string(),
        "languages": validation.array_of(validation.string(), min_length=1),
        "keywords": validation.array_of(validation.string()),
        "delay": validation.one_of("minimal", "low", "medium", "high", "xhigh"),
    },
    required=["model"],
)
_NOISE_REDUCTION: Final = validation.record(
    {"type": validation.one_of("near_field", "far_field"), "strength": validation.number()}
)
_TRACING: Final = validation.string_or(
    validation.one_of("auto"),
    validation.record(
        {
            "workflow_name": validation.string(),
            "group_id": validation.string(),
            "metadata": validation.json_object,
        }
    ),
)
_TRUNCATION: Final = validation.string_or(
    validation.one_of("auto", "disabled"),
    validation.record(
        {
            "type": validation.one_of("retention_ratio"),
            "retention_ratio": validation.number(0.0, 1.0),
            "token_limits": validation.record({"post_instructions": validation.integer(0)}),
        },
        required=["type", "retention_ratio"],
    ),
)
_INCLUDE: Final = validation.array_of(validation.one_of(_LOGPROBS))
_AUDIO_INPUT: Final = validation.record(
    {
        "format": FORMAT,
        "transcription": _TRANSCRIPTION,
        "noise_reduction": _NOISE_REDUCTION,
        "turn_detection": _TURN_DETECTION,
    },
    clearable=["transcription", "noise_reduction", "turn_detection"],
)
AUDIO_OUTPUT: Final = validation.record({"format": FORMAT, "voice": VOICE})
_TYPE: Final = validation.one_of("realtime", "transcription")

_REALTIME_SESSION: Final = validation.record(
    {
        "type": _TYPE,
        "model": validation.string(min_length=1),
        "output_modalities": MODALITIES,
        "instructions": validation.string(),
        "tools": TOOLS,
        "tool_choice": TOOL_CHOICE,
        "parallel_tool_calls": validation.boolean,
        "max_output_tokens": MAX_OUTPUT_TOKENS,
        "tracing": _TRACING,
        "truncation": _TRUNCATION,
        "prompt": PROMPT,
        "reasoning": REASONING,
        "audio": validation.record(
            {
                "input": _AUDIO_INPUT,
                "output": validation.record(
                    {"format": FORMAT, "voice": VOICE, "speed": validation.number(0.25, 1.5)}
                ),
            }
        ),
        "include": _INCLUDE,
    },
    required=["type"],
    clearable=["tracing", "prompt", "include"],
)
_TRANSCRIPTION_SESSION: Final = validation.record(
    {"type": _TYPE, "audio": validation.record({"input": _AUDIO_INPUT}), "include": _INCLUDE},
    required=["type"],
    clearable=["include"],
)


def parse_update(value: Any, kind: str) -> Json:
    """Validate the ``session`` of an update.

    Args:
        value: the ``session`` member.
        kind: type of the session, ``realtime`` or ``transcription``.

    Raises:
        ProtocolError: the update is invalid. Reports the first problem.
    """
    if is_object(value) and value.get("type", kind) != kind:
        given = _TYPE(value["type"], "session.type")
        raise errors.invalid_value(
            "session.type",
            f"Passing a {given} session update event to a {kind} session is not allowed.",
        )
    parsed: Json = (_REALTIME_SESSION if kind == "realtime" else _TRANSCRIPTION_SESSION)(
        value, "session"
    )
    return parsed


# -- defaults ------------------------------------------------------------------------------------


def is_reasoning_model(model: str) -> bool:
    """Return whether the model reasons. Such models interleave items and set ``phase``."""
    version = version_of(model)
    return version is not None and version >= (2, 0)


class RealtimeDefaults:
    """Defaults of the session object for a model.

    Args:
        model: model of the connection.
        kind: type of the session, ``realtime`` or ``transcription``.
    """

    def __init__(self, model: str, kind: str) -> None:
        self._model = model
        self._kind = kind

    def session(self, session_id: str, expires_at: int) -> Json:
        """Return the session object, with keys in the order of the live service."""
        if self._kind == "transcription":
            return self._transcription_session(session_id, expires_at)
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": self._model,
            "output_modalities": ["audio"],
            "instructions": DEFAULT_INSTRUCTIONS,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "expires_at": expires_at,
            "audio": {"input": self._audio_input(), "output": self._audio_output()},
            "include": None,
        }

    def _transcription_session(self, session_id: str, expires_at: int) -> Json:
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "audio": {"input": self._audio_input()},
            "include": None,
        }

    def _audio_input(self) -> Json:
        return {
            "format": FORMATS["audio/pcm"].to_json(),
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": self.turn_detection({"type": "server_vad"}),
        }

    def _audio_output(self) -> Json:
        voice = "marin" if is_reasoning_model(self._model) else "alloy"
        return {"format": FORMATS["audio/pcm"].to_json(), "voice": voice, "speed": 1.0}

    def turn_detection(self, given: Json) -> Json:
        """Return a ``turn_detection`` object completed with defaults."""
        response_options: Json = {"create_response": True, "interrupt_response": True}
        if given["type"] == "semantic_vad":
            return {"type": "semantic_vad", "eagerness": "auto", **response_options} | given
        vad: Json = {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500 if is_reasoning_model(self._model) else 200,
        }
        if self._kind == "transcription":
            return vad | {key: value for key, value in given.items() if key in vad}
        return {**vad, "idle_timeout_ms": None, **response_options} | given


# -- merging -------------------------------------------------------------------------------------


def merge(session: Json, patch: Json, defaults: RealtimeDefaults) -> Json:
    """Return the session with a validated update applied. Does not modify ``session``."""
    merged = session | {key: value for key, value in patch.items() if key != "audio"}
    merged["audio"] = {
        side: current | _fill_in(patch.get("audio", {}).get(side, {}), defaults)
        for side, current in session["audio"].items()
    }
    if "tools" in patch:
        merged["tools"] = [without_credentials(tool) for tool in patch["tools"]]
    return {key: merged[key] for key in _ORDER if key in merged}


def without_credentials(tool: Json) -> Json:
    """Return a tool without the credentials of its MCP server, to be sent in events."""
    return {key: part for key, part in tool.items() if key not in ("authorization", "headers")}


def _fill_in(side: Json, defaults: RealtimeDefaults) -> Json:
    filled = dict(side)
    if "format" in side:
        filled["format"] = AudioFormat.from_json(side["format"]).to_json()
    if side.get("turn_detection") is not None:
        filled["turn_detection"] = defaults.turn_detection(side["turn_detection"])
    if side.get("transcription") is not None:
        filled["transcription"] = _complete_transcription(side["transcription"])
    return filled


def _complete_transcription(given: Json) -> Json:
    known: Json = {"model": given["model"], "language": None, "prompt": None}
    if without_snapshot(given["model"]) in _MULTILINGUAL_MODELS:
        known["languages"] = None
    return known | given
