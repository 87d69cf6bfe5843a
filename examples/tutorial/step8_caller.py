"""Step 8: a caller of the service. It asks one question, and hangs up after the answer."""

import sys

import trio
from step6_approval import FRAME, RATE, SILENCE, SPEECH, read_wav
from trio_websocket import WebSocketConnection, open_websocket_url


async def ask(line: WebSocketConnection) -> None:
    """Send speech in real time, and then silence, which ends the turn."""
    samples = read_wav(SPEECH) + SILENCE
    start = trio.current_time()
    for number, offset in enumerate(range(0, len(samples), FRAME)):
        await trio.sleep_until(start + number * 0.02)
        await line.send_message(samples[offset : offset + FRAME])


async def listen(line: WebSocketConnection) -> int:
    """Receive audio until the agent has been silent for a second; return the number of bytes."""
    heard = len(await line.get_message())
    while True:
        with trio.move_on_after(1) as silence:
            heard += len(await line.get_message())
        if silence.cancelled_caught:
            return heard


async def main() -> None:
    """Make one call."""
    async with open_websocket_url(sys.argv[1]) as line:
        await ask(line)
        heard = await listen(line)
    print(f"heard {heard / RATE / 2:.1f} seconds")


if __name__ == "__main__":
    trio.run(main)
