"""The state machine of a connection: time, determinism and expiry."""

from __future__ import annotations

from typing import Any

from support.harness import rejected, scripted
from trio_realtime.local import (
    Close,
    ConnectionRequest,
    Frame,
    Pause,
    Say,
)
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness


def test_drain_advances_until_nothing_is_due() -> None:
    harness = scripted([Say("one"), Pause(1.0), Say("two")], interleave=False)
    harness.send("response.create")
    outputs = harness.protocol.drain(0.0)
    kinds = [output.type for output in outputs if isinstance(output, Frame)]
    assert kinds[-1] == "response.output_item.done"
    assert harness.protocol.drain(0.5) == []
    assert harness.protocol.drain(1.0)


def test_outputs_depend_only_on_the_inputs_and_the_seed() -> None:
    def play(seed: str) -> list[dict[str, Any]]:
        harness = ProtocolHarness(seed=seed)
        harness.say("hello")
        harness.respond()
        return harness.frames

    assert play("a") == play("a")
    assert play("a")[0]["session"]["id"] != play("b")[0]["session"]["id"]


def test_events_after_a_rejected_item_are_handled() -> None:
    harness = ProtocolHarness()
    harness.send("conversation.item.create", item={"type": "song"})
    assert harness.respond()[-1]["type"] == "rate_limits.updated"


def test_a_transcription_session_has_no_responses() -> None:
    harness = ProtocolHarness(
        ConnectionRequest("/v1/realtime?intent=transcription", LOCAL_REQUEST.headers)
    )
    for kind in ("response.create", "response.cancel"):
        assert rejected(harness, kind)["param"] == "type"
    error = rejected(harness, "session.update", session={"type": "realtime"})
    assert error["message"] == (
        "Passing a realtime session update event to a transcription session is not allowed."
    )


def test_a_session_expires() -> None:
    harness = ProtocolHarness(session_seconds=3600.0, epoch=1000.0)
    assert harness.session["expires_at"] == 4600
    harness.run(3599.9)
    assert harness.closed is None
    (frame,) = harness.run(0.2)
    message = "Your session hit the maximum duration of 60 minutes."
    assert (frame["error"]["code"], frame["error"]["message"]) == ("session_expired", message)
    assert harness.closed == Close(1001, message)
