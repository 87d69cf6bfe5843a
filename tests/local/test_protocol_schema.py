"""Events of the server match the schema and the recorded frames."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pybase64
import pytest
from jsonschema import Draft202012Validator

from support.harness import NextStepsResponder
from trio_realtime.local import (
    Call,
    ConnectionRequest,
    Fail,
    Incomplete,
    Say,
    Step,
    TranscriptionFailed,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness
from trio_realtime.local.transcriber import ScriptedTranscriber

Frame = dict[str, Any]


@cache
def load_schema(path: Path) -> Frame:
    schema: Frame = json.loads(path.read_text(encoding="utf-8"))
    return schema


def validator_of(schema: Frame, kind: str) -> Draft202012Validator:
    name = schema["x-event-index"]["server"][kind]
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})


LOUD = pybase64.b64encode(b"\x00\x20" * 24 * 320).decode()


QUIET = pybase64.b64encode(bytes(48 * 320)).decode()


def varied_session() -> list[Frame]:
    """Run a session that emits every type of event."""
    responder = NextStepsResponder()
    harness = ProtocolHarness(
        ConnectionRequest("/v1/realtime?model=gpt-realtime-2.1", LOCAL_REQUEST.headers),
        responder=responder,
        transcriber=ScriptedTranscriber(["Hello there", TranscriptionFailed()]),
        pacing=4.0,
    )
    harness.update(
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://example.com"}],
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000},
                "transcription": {"model": "gpt-transcribe"},
            }
        },
    )
    responder.steps = [Say("I'll look."), Call("get_weather", {"city": "Oslo"})]
    for _ in range(2):
        for audio in (LOUD, QUIET, QUIET):
            harness.send("input_audio_buffer.append", audio=audio)
        harness.run(1.0)
    harness.run(8.0)
    harness.update(audio={"input": {"turn_detection": None}})
    item_id = harness.of_type("response.output_item.done")[0]["item"]["id"]
    harness.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
    harness.send("conversation.item.retrieve", item_id=item_id)
    harness.send("conversation.item.delete", item_id=item_id)
    call_id = harness.of_type("response.function_call_arguments.done")[0]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "Sunny"}
    harness.send("conversation.item.create", item=output)
    harness.send("input_audio_buffer.clear")
    harness.send("nope")
    endings: list[list[Step]] = [[Say("text")], [Fail()], [Say("half"), Incomplete()], []]
    for steps in endings:
        responder.steps = steps
        harness.send("response.cancel")
        harness.respond(output_modalities=["text"], conversation="none", metadata={"k": "v"})
    harness.run(math.inf)
    return harness.frames


def test_every_event_matches_the_schema(data_dir: Path) -> None:
    schema = load_schema(data_dir / "realtime_events.wire.schema.json")
    frames = varied_session()
    for frame in frames:
        validator_of(schema, frame["type"]).validate(frame)
    seen = {frame["type"] for frame in frames}
    others = {
        *("conversation.created", "conversation.item.created", "mcp_list_tools.completed"),
        "conversation.item.input_audio_transcription.segment",
        "input_audio_buffer.dtmf_event_received",
    }
    unseen = set(schema["x-event-index"]["server"]) - seen - others
    assert {kind for kind in unseen if "mcp_call" not in kind} == {
        *("output_audio_buffer.started", "output_audio_buffer.stopped"),
        "output_audio_buffer.cleared",
    }


@pytest.mark.parametrize("kind", ["item", "response"])
def test_live_events_have_no_other_keys(data_dir: Path, kind: str) -> None:
    local: dict[str, set[str]] = {}
    for frame in varied_session():
        local.setdefault(frame["type"], set()).update(frame, frame.get(kind, {}))
    for path in sorted((data_dir / "live_frames").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            data = record["data"]
            if record["direction"] == "received" and data["type"] in local:
                keys = {*data, *data.get(kind, {})}
                # Azure also sends the part of ``content_part`` events as ``content``.
                assert keys <= local[data["type"]] | {"content"}, data["type"]
