"""Responders: the script."""

from __future__ import annotations

from support.harness import only, scripted
from trio_realtime.local import Say


def test_a_response_fails_after_the_end_of_the_script() -> None:
    harness = scripted(Say("only one"))
    harness.respond()
    error = only(harness.respond(), "response.done")["response"]["status_details"]["error"]
    assert error["code"] == "script_exhausted"
    assert error["message"] == "the script has 1 turn(s), but response number 2 was requested"
