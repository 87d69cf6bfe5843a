"""Translating other dialects to GA."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.wire import structure_server_event
from trio_realtime.wire.dialects.names import SERVER_EVENT_TYPES
from trio_realtime.wire.dialects.to_ga import client_event_to_ga, server_event_to_ga

Json = dict[str, Any]


def session_of(session: Json) -> Json:
    (event,) = server_event_to_ga({"type": "session.updated", "session": session})
    ga: Json = event["session"]
    return ga


def response_of(response: Json, **keys: Any) -> Json:
    (event,) = server_event_to_ga({"type": "response.done", "response": response, **keys})
    ga: Json = event["response"]
    return ga


@pytest.mark.parametrize(("beta", "ga"), SERVER_EVENT_TYPES.items())
def test_events_get_their_ga_type(beta: str, ga: str) -> None:
    assert server_event_to_ga({"type": beta, "delta": "x"}) == ({"type": ga, "delta": "x"},)


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"modalities": ["text", "audio"]}, {"output_modalities": ["audio"]}),
        ({"modalities": ["text"]}, {"output_modalities": ["text"]}),
        ({"modalities": None}, {}),
        ({"voice": "alloy"}, {"audio": {"output": {"voice": "alloy"}}}),
        (
            {"voice": {"name": "alloy", "type": "openai"}},
            {"audio": {"output": {"voice": "alloy"}}},
        ),
        ({"voice": {"id": "v"}}, {"audio": {"output": {"voice": {"id": "v"}}}}),
        ({"voice": None}, {}),
        ({"speed": 1.2}, {"audio": {"output": {"speed": 1.2}}}),
        (
            {"input_audio_format": "pcm16"},
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}},
        ),
        (
            {"input_audio_format": "pcm16", "input_audio_sampling_rate": 16000},
            {
                "input_audio_sampling_rate": 16000,
                "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}},
            },
        ),
        (
            {"output_audio_format": "g711_ulaw"},
            {"audio": {"output": {"format": {"type": "audio/pcmu"}}}},
        ),
        (
            {"output_audio_format": "pcm16-8000hz"},
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}},
        ),
        ({"output_audio_format": "not specified"}, {}),
        ({"output_audio_format": None}, {}),
        (
            {"input_audio_transcription": {"model": "m"}},
            {"audio": {"input": {"transcription": {"model": "m"}}}},
        ),
        ({"turn_detection": None}, {"audio": {"input": {"turn_detection": None}}}),
        (
            {"input_audio_noise_reduction": {"type": "far_field"}},
            {"audio": {"input": {"noise_reduction": {"type": "far_field"}}}},
        ),
        ({"max_response_output_tokens": "inf"}, {"max_output_tokens": "inf"}),
        ({"instructions": "x", "temperature": 1}, {"instructions": "x", "temperature": 1}),
        (  # a GA key takes precedence
            {"turn_detection": None, "audio": {"input": {"turn_detection": {"type": "a"}}}},
            {"audio": {"input": {"turn_detection": {"type": "a"}}}},
        ),
        (
            {"audio": {"output": {"format": {"type": "g711_alaw"}}}},
            {"audio": {"output": {"format": {"type": "audio/pcma"}}}},
        ),
        ({"audio": None, "voice": "a"}, {"audio": {"output": {"voice": "a"}}}),
        (
            {"audio": None, "input_audio_format": "pcm16", "input_audio_sampling_rate": 16000},
            {
                "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}},
                "input_audio_sampling_rate": 16000,
            },
        ),
        (
            {"audio": 5, "input_audio_format": "pcm16", "input_audio_sampling_rate": 16000},
            {"audio": 5, "input_audio_sampling_rate": 16000},
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}, 5]},
            {"tools": [{"type": "function", "name": "f"}, {"type": "mcp"}, 5]},
        ),
    ],
)
def test_a_flat_session_becomes_nested(flat: Json, nested: Json) -> None:
    before = copy.deepcopy(flat)
    assert session_of(flat) == nested
    assert flat == before


def test_a_transcription_session_is_a_session_of_that_type() -> None:
    frame = {"type": "transcription_session.updated", "session": {"turn_detection": None}}
    (event,) = server_event_to_ga(frame)
    assert event == {
        "type": "session.updated",
        "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}},
    }


def test_parts_of_messages_get_their_ga_types() -> None:
    content = [{"type": "audio", "transcript": "a"}, {"type": "text", "text": "b"}, {"type": "x"}]
    message = {"type": "message", "content": content}
    translated = {
        "type": "message",
        "content": [
            {"type": "output_audio", "transcript": "a"},
            {"type": "output_text", "text": "b"},
            {"type": "x"},
        ],
    }
    for tag in ("response.output_item.done", "conversation.item.done"):
        (event,) = server_event_to_ga({"type": tag, "item": message})
        assert event["item"] == translated
    assert response_of({"output": [message, None]})["output"] == [translated, None]


def test_usage_outside_of_the_response_counts_unless_the_response_has_it() -> None:
    usage = {"total_tokens": 3}
    assert response_of({"usage": {}}, usage=usage)["usage"] == usage
    assert response_of({"usage": {"total_tokens": 1}}, usage=usage)["usage"] == {"total_tokens": 1}


@pytest.mark.parametrize(
    ("item", "types"),
    [
        ({"type": "message", "status": "completed"}, ["added", "done"]),
        ({"type": "function_call_output"}, ["added", "done"]),
        ({"type": "message", "status": "in_progress"}, ["added"]),
        ({"type": "function_call", "status": "in_progress"}, ["added"]),
        (None, ["added"]),
    ],
)
def test_a_created_item_is_done_if_it_is_complete(item: Json | None, types: list[str]) -> None:
    events = server_event_to_ga({"type": "conversation.item.created", "item": item})
    assert [event["type"] for event in events] == [f"conversation.item.{name}" for name in types]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.output_audio.delta", "delta": "AA=="},
        {"type": "ping"},
        {"type": None},
        {},
        {"type": "session.created", "session": None},
        {"type": "response.done", "response": 5},
    ],
)
def test_anything_else_stays_as_it_is(frame: Json) -> None:
    assert server_event_to_ga(frame) == (frame,)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["pcm16", "audio"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type audio input output format content item session tools voice modalities "
                "input_audio_format input_audio_sampling_rate".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    tag=st.sampled_from(
        [
            "session.created",
            "session.updated",
            "transcription_session.updated",
            "conversation.item.created",
            "response.output_item.done",
            "response.done",
        ]
    ),
    value=json_values,
)
@settings(deadline=None)
def test_arbitrary_objects_never_raise_and_stay_unchanged(tag: str, value: Any) -> None:
    frame = {"type": tag, "session": value, "item": value, "response": value, "usage": value}
    before = copy.deepcopy(frame)
    for event in server_event_to_ga(frame):
        structure_server_event(event)
    assert frame == before


@pytest.mark.parametrize("tag", ["session.updated", "response.done", "conversation.item.added"])
def test_deeply_nested_objects_never_raise(tag: str) -> None:
    """Their depth is limited by the JSON parser only, which allows more than Python functions."""
    nested: Json = {}
    for _ in range(900):
        nested = {"a": nested}
    key = {"session.updated": "session", "response.done": "response"}.get(tag, "item")
    (event,) = server_event_to_ga({"type": tag, key: {"extra": nested, "voice": "a"}})
    assert event[key]["extra"] is nested


# --- client events, for servers ------------------------------------------------------------------


def test_a_beta_client_event_becomes_ga() -> None:
    update = {"type": "session.update", "session": {"voice": "ash", "modalities": ["text"]}}
    assert client_event_to_ga(update)["session"] == {
        "type": "realtime",
        "output_modalities": ["text"],
        "audio": {"output": {"voice": "ash"}},
    }
    create = {"type": "response.create", "response": {"max_response_output_tokens": 5}}
    assert client_event_to_ga(create)["response"] == {"max_output_tokens": 5}
    part = {"type": "text", "text": "Hi"}
    item = {"type": "message", "role": "assistant", "content": [part]}
    created = client_event_to_ga({"type": "conversation.item.create", "item": item})
    assert created["item"]["content"] == [{"type": "output_text", "text": "Hi"}]
    clear = {"type": "input_audio_buffer.clear"}
    assert client_event_to_ga(clear) is clear
