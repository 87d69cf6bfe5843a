"""A first session: one question, and the events of its answer.

Ported from a program of openai-agents; `tests/data/migrate/first_session.py` is the original. What changed:

- There is no runner. `open_realtime_session` returns when the service has accepted the settings.
- The settings are one object with checked names, not nested dictionaries.
- `agent_end` comes once, after all responses of the answer, and has its text.

It runs on the local server, or on OpenAI if `OPENAI_API_KEY` is set.
"""

from __future__ import annotations

import trio

from trio_realtime import (
    PCM24K,
    RealtimeAgent,
    SemanticVad,
    SessionConfig,
    Transcription,
    events,
    open_realtime_session,
)

greeter = RealtimeAgent[None](
    name="Greeter",
    instructions="You answer the phone of a small bakery. Use one or two sentences.",
)
config = SessionConfig(
    model="gpt-realtime-2.1",
    input_format=PCM24K,
    output_format=PCM24K,
    transcription=Transcription(model="gpt-live-transcribe"),
    turn_detection=SemanticVad(interrupt_response=True),
    voice="ash",
)


async def main() -> None:
    """Ask the question and print what happens until the answer is complete."""
    received = 0
    async with open_realtime_session(greeter, config=config) as call:
        await call.send_message("Do you have rye bread today?")
        async for happened in call:
            match happened:
                case events.Audio(data=pcm):
                    received += len(pcm)
                case events.HistoryAdded(item=item):
                    print("history:", item.type)
                case events.Error(error=error):
                    print("failed:", error)
                case events.AgentEnd():
                    break
                case _:
                    pass
    print("received speech:", received > 0)


if __name__ == "__main__":
    trio.run(main)
