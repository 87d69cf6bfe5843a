"""Step 1: text in, text out."""

import trio

from trio_realtime import RealtimeAgent, open_realtime_session

reception = RealtimeAgent[None](
    name="Reception", instructions="You answer the phone of a hotel. Be brief."
)


async def main() -> None:
    """Ask one question, and print the answer."""
    async with open_realtime_session(reception) as session:
        outcome = await session.ask("Good morning!")
        print(f"Reception: {outcome.text}")


if __name__ == "__main__":
    trio.run(main)
