"""A first session with openai-agents: one question, and the events of its answer."""

import asyncio

from agents.realtime import RealtimeAgent, RealtimeRunner

greeter = RealtimeAgent(
    name="Greeter",
    instructions="You answer the phone of a small bakery. Use one or two sentences.",
)
bakery = RealtimeRunner(
    starting_agent=greeter,
    config={
        "model_settings": {
            "model_name": "gpt-realtime-2.1",
            "audio": {
                "input": {
                    "format": "pcm16",
                    "transcription": {"model": "gpt-live-transcribe"},
                    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
                },
                "output": {"format": "pcm16", "voice": "ash"},
            },
        },
    },
)


async def main() -> None:
    received = 0
    call = await bakery.run()
    async with call:
        await call.send_message("Do you have rye bread today?")
        async for happened in call:
            if happened.type == "audio":
                received += len(happened.audio.data)
            elif happened.type == "history_added":
                print("history:", happened.item.type)
            elif happened.type == "error":
                print("failed:", happened.error)
            elif happened.type == "agent_end":
                break
    print("received speech:", received > 0)


if __name__ == "__main__":
    asyncio.run(main())
