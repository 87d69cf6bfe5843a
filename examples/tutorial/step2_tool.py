"""Step 2: the agent calls a function, and the program follows the events."""

import trio

from trio_realtime import RealtimeAgent, events, function_tool, open_realtime_session


@function_tool
async def find_room(nights: int) -> str:
    """Find a free room.

    Args:
        nights: how many nights the guest stays.
    """
    return f"Room 12 is free. {nights} nights are {80 * nights} euros."


reception = RealtimeAgent[None](
    name="Reception",
    instructions="You answer the phone of a hotel. Be brief.",
    tools=[find_room],
)


async def main() -> None:
    """Ask one question, and print what happens until it is answered."""
    async with open_realtime_session(reception) as session:
        await session.send_message("Have you got a room for 2 nights?")
        async for event in session:
            match event:
                case events.ToolEnd(tool_name=name, arguments=arguments, output_text=output):
                    print(f"  {name}({arguments}) -> {output}")
                case events.AgentEnd(agent=agent, output=text):
                    print(f"{agent.name}: {text}")
                    break
                case _:
                    pass


if __name__ == "__main__":
    trio.run(main)
