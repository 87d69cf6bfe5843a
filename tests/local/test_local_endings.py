"""Responses of the local service that end before they are complete."""

from __future__ import annotations

import math

import pytest

from support.harness import AUDIO_END, CALL, joined, scripted, speak, the
from trio_realtime.local import Call, Fail, Incomplete, Pause, Say
from trio_realtime.local.harness import types_of

# -- stopping ------------------------------------------------------------------------------------


def test_a_barge_in_has_the_recorded_order() -> None:
    harness = scripted(Say("A long story about a small thing", audio_ms=6000), pacing=1.0)
    harness.send("response.create")
    spoken = harness.run(2.0)
    frames = speak(harness, 64)
    assert types_of(frames) == ["input_audio_buffer.speech_started", *AUDIO_END]
    done = the(frames, "response.done")["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] > 0
    heard = joined(spoken, "response.output_audio_transcript.delta")
    assert the(frames, "response.output_audio_transcript.done")["transcript"] == heard
    assert harness.run(10.0) == []


def test_cancel_closes_in_the_same_order_and_nothing_follows() -> None:
    harness = scripted(Say("A long story", audio_ms=6000), pacing=1.0)
    harness.send("response.create")
    harness.run(2.0)
    frames = harness.send("response.cancel")
    assert types_of(frames) == AUDIO_END
    details = the(frames, "response.done")["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "client_cancelled"}
    assert harness.run(10.0) == []


def test_a_cancelled_text_ends_with_what_was_written() -> None:
    harness = scripted(Say("one two three four five"), pacing=1.0)
    harness.send("response.create", response={"output_modalities": ["text"]})
    written = joined(harness.run(0.15), "response.output_text.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames)[0] == "response.output_text.done"
    assert frames[0]["text"] == written != ""


def test_a_cancelled_call_is_incomplete_and_keeps_its_partial_arguments() -> None:
    harness = scripted(Call("send_mail", {"to": "somebody", "text": "hello"}), pacing=1.0)
    harness.send("response.create")
    partial = joined(harness.run(0.3), "response.function_call_arguments.delta")
    frames = harness.send("response.cancel")
    assert types_of(frames) == [*CALL[3:], "response.done"]
    assert the(frames, "response.function_call_arguments.done")["arguments"] == partial != ""
    assert the(frames, "response.output_item.done")["item"]["status"] == "incomplete"


def test_a_response_cancelled_before_its_first_item_has_no_output() -> None:
    harness = scripted([Pause(math.inf), Say("never")])
    harness.send("response.create")
    harness.run(100.0)
    (done,) = harness.send("response.cancel")
    assert done["response"]["output"] == []


def test_a_pause_lasts_its_seconds_whatever_the_pacing() -> None:
    harness = scripted([Pause(2.5), Say("now")])
    harness.send("response.create")
    assert harness.run(2.4) == []
    assert types_of(harness.run(0.2))[-1] == "rate_limits.updated"


# -- other endings -------------------------------------------------------------------------------


def test_a_failure_before_anything_was_said_costs_nothing() -> None:
    harness = scripted(Fail("insufficient_quota", "No more."))
    harness.say("hi")
    frames = harness.respond()
    assert types_of(frames) == ["response.created", "response.done"]
    done = frames[1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "insufficient_quota", "message": "No more."},
    }
    assert done["output"] == []
    assert done["usage"]["total_tokens"] == 0


def test_a_failure_in_the_middle_closes_what_is_open() -> None:
    frames = scripted([Say("Well,"), Fail("oops")], interleave=True).respond()
    assert types_of(frames)[-6:] == AUDIO_END
    assert the(frames, "response.output_item.done")["item"]["status"] == "incomplete"


def test_a_script_that_ran_out_fails_loudly_and_by_name() -> None:
    harness = scripted(Say("only one"))
    harness.respond()
    error = the(harness.respond(), "response.done")["response"]["status_details"]["error"]
    assert error["code"] == "script_exhausted"
    assert error["message"] == "the script has 1 turn(s), but response number 2 was requested"


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_the_token_limit_stops_an_answer_in_mid_sentence(modality: str) -> None:
    harness = scripted(Say("one two three four five six seven eight nine ten"))
    frames = harness.respond(max_output_tokens=6, output_modalities=[modality])
    done = the(frames, "response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert done["output"][0]["status"] == "incomplete"
    assert done["usage"]["output_tokens"] <= 6
    assert done["max_output_tokens"] == 6


def test_a_filtered_answer_is_incomplete() -> None:
    done = scripted([Say("Oh"), Incomplete()]).respond()[-1]["response"]
    assert done["status_details"] == {"type": "incomplete", "reason": "content_filter"}
