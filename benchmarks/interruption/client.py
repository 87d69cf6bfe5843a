"""What each client does: it only listens, because the session interrupts the agent by itself."""

from __future__ import annotations

from benchmarks.conversation import OpenConversation
from benchmarks.stopwatch import Stopwatch


async def run_client(
    open_conversation: OpenConversation, *, interruptions: int, cancels: str
) -> dict[str, float]:
    """Listen until the server ends the scenario. Returns seconds of CPU time of one interruption."""
    del cancels  # only the server needs it
    async with open_conversation() as conversation:
        watch = Stopwatch()
        await conversation.send_message("Go on.")
        await conversation.listen_to_the_end()
        return {"cpu": watch.cpu() / interruptions}
