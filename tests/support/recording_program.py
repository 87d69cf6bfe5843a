"""Records a call until it is killed. Arguments: the directory, and the seconds of audio per second.

It writes a line with the number of samples that were written to the user's track, after each write.
"""

from __future__ import annotations

import sys
from array import array

import trio

from trio_realtime.server.recording import AudioChunk, open_recorder
from trio_realtime.wire import AudioFormat

PCM8K = AudioFormat(type="audio/pcm", rate=8000)


def numbered(first: int, count: int) -> bytes:
    return array("h", (n % 30_000 + 1 for n in range(first, first + count))).tobytes()


async def main(directory: str) -> None:
    written = 0

    def report(chunk: AudioChunk) -> None:
        nonlocal written
        if chunk.track == "user":
            written += chunk.size // 2
            sys.stdout.write(f"{written}\n")
            sys.stdout.flush()

    # The call runs on a clock of its own, 20 times as fast as the real one.
    start = trio.current_time()

    def clock() -> float:
        return (trio.current_time() - start) * 20

    async with open_recorder(
        directory, session_id="sess_1", run_id="run_1", input_format=PCM8K, output_format=PCM8K,
        segment_seconds=5, on_chunk=report, clock=clock,
    ) as recorder:  # fmt: skip
        recorder.agent_audio("item_1", 0, numbered(0, 8000 * 600), 0)
        sent = 0
        while True:
            now = clock()
            count = round(now * 8000) - sent
            recorder.user_audio(numbered(sent, count), now)
            sent += count
            recorder.agent_played("item_1", 0, now * 1000, now)
            await trio.sleep(0.005)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
