"""The turns, and what their results must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Result = Mapping[str, Any]

#: Name of each turn in the programs, and its title.
TURNS = {"text": "Text", "tool": "Tool call", "vad": "Spoken turn", "barge_in": "Barge-in"}

_SPEECH_SECONDS = 2.1
_LONGEST_TURN = 3.5  # with the silence that ends the turn, and the padding before it


def find_mistake(turn: str, result: Result, *, tool_on_server: bool = False) -> str | None:
    """Return what is wrong with the result of a turn; None if nothing is.

    Args:
        turn: the name of the turn.
        result: its result.
        tool_on_server: whether the server has the tool, so that the client's own must not be called.
    """
    match turn:
        case "text":
            return _expect(result["reply"] == "You said: Hello there", result)
        case "tool":
            # Pipecat sends the output of a tool as JSON, so its text has quotation marks.
            is_right = result["reply"].strip('"') == "Sunny in Oslo"
            called = {} if tool_on_server else {"city": "Oslo"}
            return _expect(is_right and (result["arguments"] or {}) == called, result)
        case "vad":
            heard = re.fullmatch(r"I heard ([\d.]+) seconds of audio\.", result["reply"])
            seconds = float(heard[1]) if heard else 0.0
            return _expect(_SPEECH_SECONDS <= seconds <= _LONGEST_TURN, result)
        case "barge_in":
            return _expect(result["status"] == "cancelled" and result["truncated_ms"] > 0, result)
        case _:
            raise ValueError(f"expected one of {', '.join(TURNS)}, got {turn!r}")


def _expect(is_right: bool, result: Result) -> str | None:
    return None if is_right else f"unexpected result: {dict(result)}"
