"""What the Python clients share. It runs in the environment of each peer: standard library only.

A client runs one turn against the server at a URL, and prints one JSON object: ``result`` of the
turn, and ``errors`` that the package reported meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import wave
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

TEXT = "Hello there"
QUESTION = "What's the weather in Oslo?"
LONG_TEXT = "Tell me something long. " * 60
RATE = 24_000
FRAME_MS = 20
FRAME_SIZE = RATE // 1000 * FRAME_MS * 2
#: Silence after the speech. It ends a turn with any detector and any of its settings.
SILENCE_MS = 2_000
TURN_TIMEOUT = 40.0

errors: list[str] = []
Result = dict[str, Any]
Turn = Callable[[str], Awaitable[Result]]


def weather_in(city: str) -> str:
    """Return what the tool ``get_weather`` returns."""
    return f"Sunny in {city}"


def speech_frames() -> Iterator[bytes]:
    """Yield a spoken sentence of 2.1 s, and then silence: PCM16 mono at 24 kHz."""
    path = Path(__file__).parents[3] / "trio_realtime" / "cli" / "speech.wav"
    with wave.open(str(path)) as file:
        audio = file.readframes(file.getnframes())
    audio += bytes(RATE // 1000 * 2 * SILENCE_MS)
    for start in range(0, len(audio), FRAME_SIZE):
        yield audio[start : start + FRAME_SIZE].ljust(FRAME_SIZE, b"\0")


async def speak(send: Callable[[bytes], Awaitable[object]]) -> None:
    """Send the frames of the speech when they are due."""
    for frame in speech_frames():
        await send(frame)
        await asyncio.sleep(FRAME_MS / 1000)


class _ErrorLog(logging.Handler):
    """Collects what packages log as an error."""

    def emit(self, record: logging.LogRecord) -> None:
        errors.append(f"{record.name}: {record.getMessage()}")


def run_on_asyncio(turn: Turn, url: str) -> Result:
    """Run a turn.

    Raises:
        TimeoutError: it takes too long.
    """

    async def run() -> Result:
        async with asyncio.timeout(TURN_TIMEOUT):
            return await turn(url)

    return asyncio.run(run())


def main(turns: Mapping[str, Turn], run: Callable[[Turn, str], Result] = run_on_asyncio) -> None:
    """Run the turn given on the command line, after the URL of the server."""
    url, name = sys.argv[1:]
    logging.getLogger().addHandler(_ErrorLog(logging.ERROR))
    try:
        result = run(turns[name], url)
    except TimeoutError:
        sys.exit("; ".join(["the turn timed out", *errors]))
    sys.stdout.write(json.dumps({"result": result, "errors": errors}) + "\n")
