"""Session events as JSON-safe dicts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
from typing import Any, ClassVar, Literal

import attrs
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings

from support.event_strategies import (
    ALL_EVENTS,
    ANYTHING,
    EVENT_CLASSES,
    Unprintable,
    lookup,
    objects_of,
)
from trio_realtime import RealtimeAgent, errors, events
from trio_realtime._event_json import event_data, event_dict, json_safe, json_type, object_encoder
from trio_realtime.agents import result_text
from trio_realtime.items import FunctionCallItem, InputText, MessageItem, OutputAudio, UnknownItem
from trio_realtime.session_end import SessionEnd
from trio_realtime.wire import (
    KNOWN_ITEMS,
    FunctionToolSpec,
    McpToolSpec,
    RateLimit,
    ResponseUsage,
    Session,
    UnknownEvent,
    UnknownToolSpec,
    unstructure,
)

MANY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
CLERK = RealtimeAgent[None](name="Clerk")
OTHER = RealtimeAgent[None](name="Other")


def tool_end(**changes: Any) -> events.ToolEnd:
    settings: dict[str, Any] = {
        "agent": CLERK,
        "tool": lookup,
        "tool_name": "lookup",
        "call_id": "call_1",
        "arguments": '{"city":"Oslo"}',
        "output": "Oslo",
        "output_text": "Oslo",
        "outcome": "completed",
        "response_id": "resp_1",
    }
    return events.ToolEnd(**(settings | changes))


# --- events ------------------------------------------------------------------------------------


def test_agents_and_tools_become_their_names() -> None:
    assert events.Handoff(from_agent=CLERK, to_agent=OTHER).to_dict() == {
        "type": "handoff",
        "from_agent": "Clerk",
        "to_agent": "Other",
    }
    assert tool_end(duration=0.5).to_dict() == {
        "type": "tool_end",
        "agent": "Clerk",
        "tool": "lookup",
        "tool_name": "lookup",
        "call_id": "call_1",
        "arguments": '{"city":"Oslo"}',
        "output": "Oslo",
        "output_text": "Oslo",
        "outcome": "completed",
        "response_id": "resp_1",
        "error": None,
        "duration": 0.5,
    }
    assert tool_end(tool=None).to_dict()["tool"] is None


def test_audio_becomes_base64() -> None:
    audio = events.Audio(data=b"\0\1\2", response_id="r", item_id="i", content_index=1)
    assert audio.to_dict() == {
        "type": "audio",
        "response_id": "r",
        "item_id": "i",
        "content_index": 1,
        "audio": "AAEC",
    }
    assert "audio" not in event_data(audio)


def test_items_become_their_wire_objects() -> None:
    item = MessageItem(id="i", role="user", content=(InputText(text="Hi"),))
    event = events.HistoryAdded(item=item, previous_item_id="h")
    expected = {"type": "message", "id": "i", "role": "user"}
    expected |= {"content": [{"type": "input_text", "text": "Hi"}]}  # type: ignore[dict-item]
    assert event.to_dict() == {
        "type": "history_added",
        "item": expected,
        "previous_item_id": "h",
    }


def test_what_was_heard_of_truncated_audio_is_included() -> None:
    part = OutputAudio(transcript="Hello", heard_ms=120)
    data = events.HistoryAdded(item=MessageItem(content=(part,))).to_dict()
    assert data["item"]["content"] == [
        {"type": "output_audio", "transcript": "Hello", "heard_ms": 120}
    ]


def test_an_unknown_item_is_its_json() -> None:
    item = UnknownItem(raw={"type": "new", "n": [1, math.nan, "\ud800"]})
    assert events.HistoryAdded(item=item).to_dict()["item"] == {
        "type": "new",
        "n": [1, None, "\ufffd"],
    }


def test_only_the_first_update_of_the_history_has_the_history() -> None:
    item = FunctionCallItem(id="f", name="lookup", arguments="{}")

    def read() -> list[Any]:
        return [item]

    encoded = {"type": "function_call", "id": "f", "name": "lookup", "arguments": "{}"}
    assert events.HistoryUpdated(read=read).to_dict() == {
        "type": "history_updated",
        "item": None,
        "deleted_item_id": None,
        "history": [encoded],
    }
    growing = events.HistoryUpdated(item=lambda: item, read=read)
    assert growing.to_dict() == {
        "type": "history_updated",
        "item": encoded,
        "deleted_item_id": None,
    }
    assert events.HistoryUpdated(deleted_item_id="f", read=read).to_dict() == {
        "type": "history_updated",
        "item": None,
        "deleted_item_id": "f",
    }


def test_objects_in_events() -> None:
    ended = events.SessionEnded(
        end=SessionEnd(by="network", reason="connection_lost", code=1006, duration=math.inf)
    )
    assert ended.to_dict()["end"] == {
        "by": "network",
        "reason": "connection_lost",
        "code": 1006,
        "close_reason": "",
        "duration": None,
        "error": None,
        "unanswered_calls": [],
        "unsent_frames": 0,
        "unheard_audio_ms": 0,
    }
    limits = events.RateLimitsUpdated(rate_limits=(RateLimit(name="tokens", limit=5),))
    assert limits.to_dict()["rate_limits"] == [{"name": "tokens", "limit": 5}]
    response = events.ResponseEnd(
        agent=CLERK, response_id="r", status="completed", usage=ResponseUsage(total_tokens=3)
    )
    assert response.to_dict()["usage"]["total_tokens"] == 3
    trip = events.GuardrailTripped(
        guardrail_results=(events.GuardrailTrip(name="g", info={"n": {1}}),),
        message="m",
        response_id=None,
    )
    assert trip.to_dict()["guardrail_results"] == [
        {"name": "g", "info": {"n": [1]}, "feedback": None}
    ]


def test_a_raw_event_has_the_parsed_frame() -> None:
    frame = '{"type":"new","text":"\\ud83d\\ude00","n":1.5}'
    event = events.RawModelEvent(data=UnknownEvent(raw={}), frame=frame)
    assert event.to_dict() == {
        "type": "raw_model_event",
        "frame": {"type": "new", "text": "😀", "n": 1.5},
    }
    broken = events.RawModelEvent(data=UnknownEvent(raw={}), frame="[")
    assert broken.to_dict() == {"type": "raw_model_event", "frame": {}}


def test_large_text_is_not_cut() -> None:
    text = "ä" * 1_000_000
    assert tool_end(output=text, output_text=text).to_dict()["output"] == text


@MANY
@given(ALL_EVENTS)
def test_every_event_becomes_json(event: Any) -> None:
    data = event.to_dict()
    assert data["type"] == event.type
    json.dumps(data, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("cls", EVENT_CLASSES)
def test_every_public_field_is_in_the_json(cls: Any) -> None:
    renamed = {("Audio", "data"): None, ("RawModelEvent", "data"): None}

    @settings(max_examples=1, deadline=None, derandomize=True)
    @given(objects_of(cls))
    def run(event: Any) -> None:
        keys = set(event_data(event))
        names = {field.name for field in attrs.fields(cls) if not field.name.startswith("_")}
        assert names - {name for kind, name in renamed if kind == cls.__name__} <= keys

    run()


@attrs.frozen(kw_only=True)
class Nested:
    ids: tuple[str, ...] = ()
    extra: bytes = b"\0"


@attrs.frozen(kw_only=True)
class NewEvent:  # not a subclass: another test lists the subclasses of SessionEvent
    type: ClassVar[Literal["new"]] = "new"
    amount: int | float
    flags: tuple[int | bool, ...]
    nested: dict[str, Nested]
    agent: AnyAgent  # type: ignore[name-defined]  # noqa: F821 - as in trio_realtime.events
    error: BaseException | None = None


def test_a_new_event_class_needs_no_code() -> None:
    event = NewEvent(
        amount=1.5,
        flags=(True, 2),
        nested={"a": Nested(ids=("x",))},
        agent=CLERK,
        error=KeyError("k"),
    )
    assert event_dict(event) == {
        "type": "new",
        "amount": 1.5,
        "flags": [True, 2],
        "nested": {"a": {"ids": ["x"], "extra": "AA=="}},
        "agent": "Clerk",
        "error": {"type": "KeyError", "message": "'k'"},
    }
    assert event_dict(event)["flags"][0] is True


# --- wire objects ------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*KNOWN_ITEMS, Session, ResponseUsage, RateLimit])
def test_wire_objects_are_as_the_codec_writes_them(cls: Any) -> None:
    @MANY
    @given(objects_of(cls))
    def run(value: Any) -> None:
        tools = [] if not isinstance(value, Session) or not value.tools else value.tools
        if any(isinstance(tool, McpToolSpec | UnknownToolSpec) for tool in tools):
            return  # their credentials are masked
        expected = json_safe(unstructure(value))
        encoded = object_encoder(cls)(value)
        assert json.dumps(encoded, sort_keys=True) == json.dumps(expected, sort_keys=True)

    run()


# --- secrets -----------------------------------------------------------------------------------

TOOL = McpToolSpec(
    server_label="docs",
    server_url="https://user:sk-secret@example.com:8443/mcp?key=sk-secret#sk-secret",
    authorization="sk-secret",
    headers={"x-key": "sk-secret"},
)
MASKED_TOOL = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://example.com:8443/mcp",
    "authorization": "***",
    "headers": {"x-key": "***"},
}


def test_credentials_of_mcp_servers_are_masked() -> None:
    function = FunctionToolSpec(
        name="f", parameters={"properties": {"headers": {"type": "object"}}}
    )
    unknown = UnknownToolSpec(raw={"type": "new", "name": "n", "key": "sk-secret"})
    event = events.SettingsUpdated(session=Session(tools=(TOOL, function, unknown)))
    assert event.to_dict()["session"]["tools"] == [
        MASKED_TOOL,
        {"type": "function", "name": "f", "parameters": function.parameters},
        {"type": "new", "name": "n"},
    ]


def test_credentials_in_raw_events_are_masked() -> None:
    tool = unstructure(TOOL)
    frame = {
        "type": "session.created",
        "session": {
            "tools": [tool, {"type": "function", "name": "f", "headers": "h"}],
            "client_secret": {"value": "ek_secret"},
            "prompt": {"authorization": "text"},
        },
    }
    event = events.RawModelEvent(data=UnknownEvent(raw={}), frame=json.dumps(frame))
    assert event.to_dict()["frame"] == {
        "type": "session.created",
        "session": {
            "tools": [MASKED_TOOL, {"type": "function", "name": "f", "headers": "h"}],
            "client_secret": "***",
            "prompt": {"authorization": "text"},
        },
    }


@pytest.mark.parametrize("url", ["sk-secret", "https://[sk-secret/", "sk-secret@host"])
def test_a_url_that_cannot_be_parsed_is_masked(url: str) -> None:
    tool = attrs.evolve(TOOL, server_url=url, headers=None, authorization=None)
    assert object_encoder(McpToolSpec)(tool) == {
        "type": "mcp",
        "server_label": "docs",
        "server_url": "***",
    }


# --- exceptions --------------------------------------------------------------------------------


class NoText(Unprintable):
    def __repr__(self) -> str:
        raise LookupError("no text")


class WithCode(Exception):
    def __init__(self, code: object) -> None:
        super().__init__("text")
        self.code = code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.UsageError("no"), {"type": "UsageError", "message": "no"}),
        (errors.PeerError("no", code="c"), {"type": "PeerError", "message": "no", "code": "c"}),
        (errors.PeerError("no"), {"type": "PeerError", "message": "no"}),
        (
            errors.ConnectionLost("lost", code=1011),
            {"type": "ConnectionLost", "message": "lost", "code": 1011},
        ),
        (WithCode(True), {"type": "WithCode", "message": "text"}),
        (WithCode([1]), {"type": "WithCode", "message": "text"}),
        (WithCode("\ud800"), {"type": "WithCode", "message": "text", "code": "\ufffd"}),
        (ValueError("\ud800"), {"type": "ValueError", "message": "\ufffd"}),
        (KeyError(NoText()), {"type": "KeyError", "message": "<KeyError>"}),
        (
            BaseExceptionGroup(
                "g", [ValueError("a"), ExceptionGroup("h", [KeyError("b")]), ValueError("a")]
            ),
            {
                "type": "ExceptionGroup",
                "message": "ValueError: a; ExceptionGroup: KeyError: 'b'",
            },
        ),
    ],
)
def test_exceptions(error: BaseException, expected: dict[str, Any]) -> None:
    assert tool_end(error=error, outcome="failed").to_dict()["error"] == expected


def test_an_exception_has_no_traceback_and_no_cause() -> None:
    try:
        raise errors.UserCodeError("failed") from ValueError("the cause")
    except errors.UserCodeError as exc:
        data = events.Error(error=exc).to_dict()
    assert data == {"type": "error", "error": {"type": "UserCodeError", "message": "failed"}}


# --- any values --------------------------------------------------------------------------------


class Model(pydantic.BaseModel):
    name: str
    key: pydantic.SecretStr = pydantic.SecretStr("sk-secret")


@dataclasses.dataclass
class Data:
    when: dt.date
    model: Model


class Color(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        Data(dt.date(2026, 1, 2), Model(name="n")),
        {"a": [1, 2.5, None, True, "ä"], 1: Color.RED},
        b"\0\1",
        (Text("a"), frozenset({1})),
        [Model(name="m")],
    ],
)
def test_values_become_what_the_model_receives(value: Any) -> None:
    assert json_safe(value) == json.loads(result_text(value))


def test_values_that_are_no_json() -> None:
    assert json_safe([math.nan, -math.inf, 1.5]) == [None, None, 1.5]
    assert json_safe(10**400) == hex(10**400)
    assert json_safe(2**64) == 2**64
    assert json_safe(["\ud83d\ude00", "\ude00x"]) == ["😀", "\ufffdx"]
    assert json_safe(Unprintable()) == "<Unprintable>"
    assert json_safe([NoText()]) == "<list>"
    assert json_safe(2j) == "2j"
    assert json_safe({(1, 2): 3}) == "{(1, 2): 3}"
    assert type(json_safe(Text("a"))) is str
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert json_safe(cyclic) == "[[...]]"
    assert json_safe(nested(100_000)) == "<list>"
    assert json_safe(nested(63)) == nested(63)
    deep = json_safe(nested(100))
    for _ in range(64):
        (deep,) = deep
    assert deep == str(nested(100 - 64))


def test_the_arrays_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    value = {"a": numpy.array([1.5, math.nan]), "n": numpy.int64(3), "s": numpy.str_("t")}
    assert json_safe(value) == {"a": [1.5, None], "n": 3, "s": "t"}


def test_the_result_is_a_copy() -> None:
    value: dict[str, Any] = {"a": [1]}
    encoded = tool_end(output=value).to_dict()
    value["a"].append(2)
    assert encoded["output"] == {"a": [1]}


@MANY
@given(ANYTHING)
def test_any_value_becomes_json(value: Any) -> None:
    encoded = json_safe(value)
    json.dumps(encoded, allow_nan=False, ensure_ascii=False).encode()
    assert json_safe(encoded) == encoded


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (str, 5, "5"),
        (str, Text("a"), "a"),
        (float, 3, 3),
        (float, 10**400, None),
        (float, "x", None),
        (float, math.nan, None),
        (int, True, 1),
        (int | str, "inf", "inf"),
        (str | int, 2, 2),
        (str | int, [1], [1]),
        (frozenset[int], frozenset({1}), [1]),
        (complex, 1j, "1j"),
    ],
)
def test_values_of_other_types_than_annotated(annotation: Any, value: Any, expected: Any) -> None:
    encoded = json_type(annotation).encode(value)
    assert encoded == expected
    assert type(encoded) is type(expected)
