"""What each client does."""

from __future__ import annotations

from typing import Final

from benchmarks.conversation import OpenConversation
from benchmarks.stopwatch import Stopwatch
from benchmarks.tools.server import WARM_UP

HAS_TOOL: Final = True


async def run_client(open_conversation: OpenConversation, *, calls: int) -> dict[str, float]:
    """Run the tool until the server ends the scenario. Returns seconds of one call."""
    async with open_conversation() as conversation:
        watch = Stopwatch()
        await conversation.send_message("Go on.")
        await conversation.listen_to_the_end()
        return {"cpu": watch.cpu() / (calls + WARM_UP)}
