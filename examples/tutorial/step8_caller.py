"""Step 8: a caller of the service. It asks one question, and hangs up after the answer."""

import sys

import trio
from step6_approval import SPEECH
from trio_websocket import WebSocketConnection, open_websocket_url

from trio_realtime.audio import frames, read_wav, silence


async def ask(line: WebSocketConnection) -> None:
    """Send speech in real time, and then silence, which ends the turn."""
    samples = read_wav(SPEECH).data + silence(1000)
    start = trio.current_time()
    for number, frame in enumerate(frames(samples, frame_ms=20)):
        await trio.sleep_until(start + number * 0.02)
        await line.send_message(frame)


async def listen(line: WebSocketConnection) -> int:
    """Receive audio until the agent has been silent for a second; return the number of bytes."""
    heard = len(await line.get_message())
    while True:
        with trio.move_on_after(1) as pause:
            heard += len(await line.get_message())
        if pause.cancelled_caught:
            return heard


async def main() -> None:
    """Make one call."""
    async with open_websocket_url(sys.argv[1]) as line:
        await ask(line)
        heard = await listen(line)
    print(f"heard {heard / 48_000:.1f} seconds")


if __name__ == "__main__":
    trio.run(main)
