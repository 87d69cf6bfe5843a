"""Messages of clients: parsing, limits, and errors that name the key."""

from __future__ import annotations

import base64
import json
import math
from functools import cache
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from support.event_strategies import TEXT
from trio_realtime.server.rpc import (
    Ack,
    Approve,
    ClientMessage,
    ErrorReply,
    EventsMissed,
    Hello,
    Interrupt,
    MessageError,
    Mute,
    Ping,
    Playback,
    Pong,
    Reject,
    SendAudio,
    SendText,
    ToolResult,
    UnknownMessageType,
    Welcome,
    parse_client_message,
)
from trio_realtime.server.rpc.messages import (
    CLIENT_MESSAGES,
    MAX_AUDIO_BYTES,
    MAX_TEXT_LENGTH,
    SERVER_MESSAGES,
)
from trio_realtime.server.rpc.parsing import MAX_MESSAGE_LENGTH
from trio_realtime.server.rpc.schema import SchemaBuilder
from trio_realtime.wire import PCM24K, PCMU

MESSAGES: list[tuple[dict[str, Any], ClientMessage]] = [
    (
        {
            "type": "hello",
            "protocol": 1,
            "token": "t",
            "role": "observer",
            "audio": "base64",
            "last_seq": 17,
        },
        Hello(protocol=1, token="t", role="observer", audio="base64", last_seq=17),
    ),
    ({"type": "hello", "protocol": 1, "token": None, "last_seq": None}, Hello(protocol=1)),
    ({"type": "text", "text": "Hi", "id": "1"}, SendText(text="Hi", id="1")),
    ({"type": "audio", "audio": "AAE="}, SendAudio(audio=b"\0\1")),
    ({"type": "audio", "audio": "", "commit": True}, SendAudio(audio=b"", commit=True)),
    ({"type": "interrupt", "new": {"a": 1}}, Interrupt()),
    ({"type": "approve", "call_id": "c", "always": True}, Approve(call_id="c", always=True)),
    ({"type": "reject", "call_id": "c", "message": "No."}, Reject(call_id="c", message="No.")),
    (
        {"type": "tool_result", "call_id": "c", "output": "", "is_error": True},
        ToolResult(call_id="c", output="", is_error=True),
    ),
    (
        {"type": "playback", "item_id": "i", "content_index": 0, "played_ms": 20.5},
        Playback(item_id="i", content_index=0, played_ms=20.5),
    ),
    ({"type": "mute", "muted": False}, Mute(muted=False)),
    ({"type": "ping", "id": None}, Ping()),
    *(
        ({"type": cls.type, "id": "x"}, cls(id="x"))
        for cls in CLIENT_MESSAGES
        if cls.type in ("commit", "clear", "interrupt", "ping", "end")
    ),
]


def validator_of(cls: Any) -> Draft202012Validator:
    return _validators()[cls.__name__]


@cache
def _validators() -> dict[str, Draft202012Validator]:
    classes: list[Any] = [*CLIENT_MESSAGES, *SERVER_MESSAGES]
    return {cls.__name__: _validator(cls) for cls in classes}


def _validator(cls: Any) -> Draft202012Validator:
    builder = SchemaBuilder()
    builder.add_message(cls)
    return Draft202012Validator({"$defs": builder.definitions, "$ref": f"#/$defs/{cls.__name__}"})


@pytest.mark.parametrize(("value", "expected"), MESSAGES)
def test_messages(value: dict[str, Any], expected: ClientMessage) -> None:
    assert parse_client_message(value) == expected
    assert parse_client_message(json.dumps(value)) == expected
    assert parse_client_message(expected.to_dict()) == expected
    assert validator_of(type(expected)).is_valid(value)
    assert validator_of(type(expected)).is_valid(expected.to_dict())


def test_every_class_is_tested() -> None:
    assert {type(message) for _, message in MESSAGES} == set(CLIENT_MESSAGES)


PLAYBACK: dict[str, Any] = {
    "type": "playback",
    "item_id": "i",
    "content_index": 0,
    "played_ms": 1,
    "id": "7",
}
HELLO: dict[str, Any] = {"type": "hello", "protocol": 1, "id": "7"}
REJECT: dict[str, Any] = {"type": "reject", "call_id": "c", "id": "7"}
TOO_LONG = base64.b64encode(bytes(MAX_AUDIO_BYTES + 1)).decode()


@pytest.mark.parametrize(
    ("value", "key", "message"),
    [
        ({"type": "text", "id": "7"}, "text", "text is missing"),
        ({"type": "text", "text": None, "id": "7"}, "text", "text: expected a string, got null"),
        ({"type": "text", "text": 5, "id": "7"}, "text", "text: expected a string, got 5"),
        ({"type": "text", "text": "", "id": "7"}, "text", "text is empty"),
        (
            {"type": "text", "text": "x" * (MAX_TEXT_LENGTH + 1), "id": "7"},
            "text",
            "text has 100001 characters, and at most 100000 are allowed",
        ),
        (HELLO | {"protocol": True}, "protocol", "protocol: expected an integer, got true"),
        (HELLO | {"protocol": 1.0}, "protocol", "protocol: expected an integer, got 1.0"),
        (
            HELLO | {"protocol": 0},
            "protocol",
            "protocol: expected an integer from 1 to 9007199254740992, got 0",
        ),
        (HELLO | {"token": 5}, "token", "token: expected a string, got 5"),
        (
            HELLO | {"role": "admin"},
            "role",
            "role: expected one of owner, observer, got str",
        ),
        (
            HELLO | {"audio": None},
            "audio",
            "audio: expected one of binary, base64, none, got null",
        ),
        (HELLO | {"last_seq": "1"}, "last_seq", "last_seq: expected an integer, got str"),
        (PLAYBACK | {"played_ms": math.nan}, "played_ms", "played_ms: expected a number, got nan"),
        (PLAYBACK | {"played_ms": math.inf}, "played_ms", "played_ms: expected a number, got inf"),
        (PLAYBACK | {"played_ms": False}, "played_ms", "played_ms: expected a number, got false"),
        (
            PLAYBACK | {"played_ms": -1},
            "played_ms",
            "played_ms: expected a number from 0 to 1000000000000, got -1",
        ),
        (
            PLAYBACK | {"content_index": 10**400},
            "content_index",
            "content_index: expected an integer from 0 to 1000000, got int",
        ),
        (PLAYBACK | {"item_id": ["i"]}, "item_id", "item_id: expected a string, got list"),
        (
            {"type": "mute", "muted": 1, "id": "7"},
            "muted",
            "muted: expected true or false, got 1",
        ),
        (
            {"type": "audio", "audio": b"", "id": "7"},
            "audio",
            "audio: expected base64 as a string, got bytes",
        ),
        (
            {"type": "audio", "audio": "?", "id": "7"},
            "audio",
            "audio: the string is not base64",
        ),
        (
            {"type": "audio", "audio": TOO_LONG, "id": "7"},
            "audio",
            "audio has 4194305 bytes, and at most 4194304 are allowed",
        ),
        (REJECT | {"always": "yes"}, "always", "always: expected true or false, got str"),
        (
            REJECT | {"message": "x" * 10_001},
            "message",
            "message has 10001 characters, and at most 10000 are allowed",
        ),
        (REJECT | {"call_id": "x" * 513}, "call_id", "call_id has 513 characters, and at most 512"),
    ],
)
def test_errors_name_the_key(value: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_client_message(value)
    assert str(caught.value).startswith(message)
    assert (caught.value.key, caught.value.code, caught.value.id) == (key, "invalid_message", "7")
    assert not isinstance(caught.value, UnknownMessageType)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "the frame is not valid JSON"),
        ("{", "the frame is not valid JSON"),
        ("[]", "expected the frame to be a JSON object, got list"),
        ([], "expected a JSON object, got list"),
        (None, "expected a JSON object, got NoneType"),
        (b"{}", "expected a JSON object, got bytes"),
        ('{"a":' * 300 + "1" + "}" * 300, "the frame is nested too deeply"),
    ],
)
def test_what_is_no_json_object(value: Any, message: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_client_message(value)
    assert str(caught.value).startswith(message)
    assert (caught.value.code, caught.value.key, caught.value.id) == ("invalid_json", None, None)


def test_a_number_that_json_does_not_allow() -> None:
    text = json.dumps(PLAYBACK | {"played_ms": math.nan})
    with pytest.raises(MessageError, match="played_ms: expected a number, got null"):
        parse_client_message(text)


def test_a_long_message_is_not_parsed() -> None:
    with pytest.raises(MessageError, match="characters, and at most 8388608 are allowed"):
        parse_client_message(" " * (MAX_MESSAGE_LENGTH + 1))


def test_a_message_of_the_longest_audio_is_accepted() -> None:
    audio = bytes(MAX_AUDIO_BYTES)
    text = json.dumps(SendAudio(audio=audio, id="1").to_dict())
    assert parse_client_message(text) == SendAudio(audio=audio, id="1")
    assert validator_of(SendAudio).is_valid(json.loads(text))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("nonsense", "type: 'nonsense' is unknown; expected one of hello, text, audio, commit")],
)
def test_an_unknown_type(kind: str, message: str) -> None:
    with pytest.raises(UnknownMessageType) as caught:
        parse_client_message({"type": kind, "id": "7"})
    assert str(caught.value).startswith(message)
    assert (caught.value.code, caught.value.key, caught.value.id) == ("unknown_type", "type", "7")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "type is missing"),
        ({"type": None}, "type: expected a string, got null"),
        ({"type": ["text"]}, "type: expected a string, got list"),
    ],
)
def test_no_type(value: dict[str, Any], message: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_client_message(value)
    assert str(caught.value) == message
    assert (caught.value.code, caught.value.key) == ("invalid_message", "type")


@pytest.mark.parametrize("message_id", [5, "", "x" * 129, True, ["1"]])
def test_a_wrong_id(message_id: Any) -> None:
    with pytest.raises(MessageError, match=r"^id") as caught:
        parse_client_message({"type": "ping", "id": message_id})
    assert (caught.value.key, caught.value.id) == ("id", None)


NUMBERS = st.one_of(st.integers(-5, 2_000_000), st.floats(), st.just(10**400))
VALUES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, st.lists(st.integers(), max_size=2))
KEYS = sorted({field.name for cls in CLIENT_MESSAGES for field in attrs.fields(cls)})


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(
    st.sampled_from([value for value, _ in MESSAGES]),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
)
def test_the_schema_and_the_parser_agree(value: dict[str, Any], changes: dict[str, Any]) -> None:
    changed = value | changes
    cls = next(cls for cls in CLIENT_MESSAGES if cls.type == value["type"])
    has_special_number = any(
        isinstance(number, float) and (not math.isfinite(number) or number.is_integer())
        for number in changed.values()
    )
    try:
        message = parse_client_message(changed)
    except MessageError as exc:
        # A schema does not check base64, has no largest number, and 1.0 is an integer for it.
        is_wider = exc.key in ("audio", "last_seq", "protocol") or has_special_number
        assert is_wider or not validator_of(cls).is_valid(changed)
    else:
        assert type(message) is cls
        assert validator_of(cls).is_valid(changed)
        assert parse_client_message(message.to_dict()) == message


# --- what the gateway sends --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            Welcome(
                session_id="s",
                run_id="r",
                role="owner",
                resume_token="t",
                last_seq=3,
                input_format=PCM24K,
                output_format=PCMU,
                grace=30.0,
            ),
            {
                "type": "welcome",
                "protocol": 1,
                "session_id": "s",
                "run_id": "r",
                "role": "owner",
                "resume_token": "t",
                "last_seq": 3,
                "input_format": {"type": "audio/pcm", "rate": 24000},
                "output_format": {"type": "audio/pcmu"},
                "grace": 30.0,
            },
        ),
        (Ack(id="1"), {"type": "ack", "id": "1"}),
        (ErrorReply(code="c", message="m"), {"type": "error", "code": "c", "message": "m"}),
        (
            ErrorReply(id="1", code="c", message="m"),
            {"type": "error", "id": "1", "code": "c", "message": "m"},
        ),
        (Pong(), {"type": "pong"}),
        (EventsMissed(first=1, last=5), {"type": "events_missed", "first": 1, "last": 5}),
    ],
)
def test_messages_of_the_gateway(message: Any, expected: dict[str, Any]) -> None:
    assert message.to_dict() == expected
    validator_of(type(message)).validate(expected)
    assert type(message) in SERVER_MESSAGES


def test_tokens_are_not_in_the_repr() -> None:
    assert "secret" not in repr(Hello(protocol=1, token="secret"))
    welcome = Welcome(
        session_id="s",
        run_id="r",
        role="owner",
        resume_token="secret",
        last_seq=0,
        input_format=PCM24K,
        output_format=PCM24K,
        grace=0.0,
    )
    assert "secret" not in repr(welcome)


def test_a_wrong_token_is_not_in_the_error() -> None:
    with pytest.raises(MessageError) as caught:
        parse_client_message(HELLO | {"token": "secret" * 1000})
    assert "secret" not in str(caught.value)
