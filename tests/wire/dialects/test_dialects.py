"""Dialects: encoding a client event, and decoding the frames of one connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from trio_realtime.wire import (
    PCM24K,
    AudioInput,
    AudioOutput,
    AudioSettings,
    ConversationItemAdded,
    ConversationItemDone,
    FrameError,
    MessageItem,
    OutputText,
    ResponseCreate,
    ResponseOutputAudioDelta,
    ResponseParams,
    ServerEvent,
    Session,
    SessionUpdate,
    UnknownEvent,
    WarningEvent,
)
from trio_realtime.wire.dialects import Decoder, Dialect, DialectName

NAMES: tuple[DialectName, ...] = get_args(DialectName)
GA_SESSION = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
BETA_SESSION = {"modalities": ["text"], "voice": "alloy"}
VOICE_LIVE_SESSION = {**BETA_SESSION, "input_audio_sampling_rate": 24000}


def decode(decoder: Decoder, **frame: Any) -> list[ServerEvent]:
    return [*decoder.decode(json.dumps(frame))]


def test_an_unknown_dialect_is_refused() -> None:
    name: Any = "alpha"
    with pytest.raises(ValueError, match="alpha"):
        Dialect(name)


# --- encoding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("ga", {"type": "realtime", "audio": {"output": {"voice": "marin"}}}),
        ("beta", {"voice": "marin"}),
        ("voice_live", {"voice": {"type": "openai", "name": "marin"}}),
    ],
)
def test_each_dialect_has_its_own_session(name: DialectName, sent: dict[str, Any]) -> None:
    session = Session(audio=AudioSettings(output=AudioOutput(voice="marin")))
    frame = json.loads(Dialect(name).encode(SessionUpdate(session=session)))
    assert frame == {"type": "session.update", "session": sent}


@pytest.mark.parametrize("name", NAMES)
def test_extra_keys_are_merged_last_and_as_they_are(name: DialectName) -> None:
    extra = {"temperature": 0.7, "audio": {"input": {"format": None, "echo": {"on": True}}}}
    session = Session(audio=AudioSettings(input=AudioInput(format=PCM24K)), extra=extra)
    event = SessionUpdate(session=session, extra={"group": "a"})

    frame = json.loads(Dialect(name).encode(event))

    assert frame["group"] == "a"
    assert frame["session"]["temperature"] == 0.7
    assert frame["session"]["audio"]["input"] == {"format": None, "echo": {"on": True}}


@pytest.mark.parametrize("name", NAMES)
def test_extra_keys_of_a_response(name: DialectName) -> None:
    params = ResponseParams(instructions="Be brief.", extra={"metadata": {"x": 1}, "seed": 7})
    frame = json.loads(Dialect(name).encode(ResponseCreate(response=params)))
    assert frame["response"] == {"instructions": "Be brief.", "metadata": {"x": 1}, "seed": 7}


# --- decoding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_dialect_understands_the_events_of_all(name: DialectName) -> None:
    decoder = Dialect(name).decoder()
    for tag in ("response.audio.delta", "response.output_audio.delta"):
        *_, event = decode(decoder, type=tag, response_id="r", item_id="i", delta="AAAA")
        assert event == ResponseOutputAudioDelta(response_id="r", item_id="i", delta=b"\0\0\0")


def test_a_beta_item_is_added_and_done() -> None:
    item = {
        "id": "i",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "text", "text": "Hi"}],
    }
    decoder = Dialect("beta").decoder()
    events = decode(
        decoder, type="conversation.item.created", event_id="e", previous_item_id=None, item=item
    )
    ga = MessageItem(id="i", role="assistant", status="completed", content=(OutputText(text="Hi"),))
    assert events == [
        ConversationItemAdded(event_id="e", previous_item_id=None, item=ga),
        ConversationItemDone(event_id="e", previous_item_id=None, item=ga),
    ]


def test_events_have_the_frame_that_they_come_from() -> None:
    frame = '{"type":"conversation.item.created","item":{"id":"i","status":"completed"},"x":1}'
    events = Dialect("beta").decoder().decode(frame)
    assert len(events) == 2
    assert all(event.frame is frame for event in events)


def test_a_frame_that_is_no_object_is_a_frame_error() -> None:
    with pytest.raises(FrameError):
        Dialect().decoder().decode("[]")


def test_a_type_of_another_kind_is_an_unknown_event() -> None:
    (event,) = Dialect().decoder().decode('{"type":["session.created"],"session":{}}')
    assert isinstance(event, UnknownEvent)


# --- a server that speaks another dialect -------------------------------------------------------


@pytest.mark.parametrize(
    ("announced", "session", "spoken"),
    [
        ("ga", GA_SESSION, None),
        ("ga", {**GA_SESSION, **BETA_SESSION}, None),  # a mixture, as with xAI
        ("ga", {"id": "sess_1"}, None),
        ("ga", BETA_SESSION, "beta"),
        ("ga", VOICE_LIVE_SESSION, "voice_live"),
        ("beta", BETA_SESSION, None),
        ("beta", GA_SESSION, "ga"),
        ("beta", VOICE_LIVE_SESSION, "voice_live"),
        ("voice_live", VOICE_LIVE_SESSION, None),
        ("voice_live", BETA_SESSION, "beta"),
        ("voice_live", GA_SESSION, "ga"),
    ],
)
def test_a_dialect_that_was_not_announced_is_reported(
    announced: DialectName, session: dict[str, Any], spoken: str | None
) -> None:
    events = decode(Dialect(announced).decoder(), type="session.updated", session=session)
    warnings = [event for event in events if isinstance(event, WarningEvent)]
    assert len(warnings) == (spoken is not None)
    assert events[-1].type == "session.updated"
    for event in warnings:
        assert event.warning.code == "unexpected_dialect"
        assert f"speaks the {spoken} dialect" in event.warning.message
        assert f"announced {announced}" in event.warning.message


@pytest.mark.parametrize(
    "tag",
    [
        "response.audio.delta",
        "response.text.delta",
        "response.audio_transcript.delta",
        "conversation.item.created",
    ],
)
def test_the_report_comes_once_with_the_first_event_of_the_other_dialect(tag: str) -> None:
    decoder = Dialect("ga").decoder()
    frame = {"type": tag, "response_id": "r", "item_id": "i", "delta": "AAAA", "item": {"id": "i"}}
    first = decode(decoder, **frame)
    later = [event for _ in range(3) for event in decode(decoder, **frame)]
    assert [type(event) for event in first if isinstance(event, WarningEvent)] == [WarningEvent]
    assert not any(isinstance(event, WarningEvent) for event in later)


def test_a_greeting_in_another_dialect_is_reported_with_the_next_proof() -> None:
    """The proof is an event of that dialect, or an error. xAI only greets with a flat session."""
    for proof in ("error", "response.audio.delta", "session.updated"):
        decoder = Dialect("ga").decoder()
        assert len(decode(decoder, type="session.created", session=BETA_SESSION)) == 1
        assert len(decode(decoder, type="response.created", response={})) == 1
        first, *_ = decode(decoder, type=proof, session=BETA_SESSION, error={"message": "no"})
        assert isinstance(first, WarningEvent)
    decoder = Dialect("ga").decoder()
    decode(decoder, type="session.created", session=BETA_SESSION)
    decode(decoder, type="session.updated", session=GA_SESSION)
    assert len(decode(decoder, type="error", error={})) == 1


def test_recorded_services_speak_the_dialect_that_their_endpoint_announces(data_dir: Path) -> None:
    for path in sorted((data_dir / "live_frames").rglob("*.jsonl")):
        decoder = Dialect("voice_live" if "voice_live" in path.name else "ga").decoder()
        for line in path.read_text("utf-8").splitlines():
            entry = json.loads(line)
            if entry["direction"] == "received":
                events = decode(decoder, **entry["data"])
                assert not any(isinstance(event, WarningEvent) for event in events), path.name
