"""What a scenario does with a session of any client, on trio and on asyncio alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

import attrs

END: Final = bytes(960)
"""The audio with which a load server ends a scenario: 20 ms of silence. All other audio is noise."""

TOOL: Final = "get_order_status"
"""The tool of every agent that has one. It takes a number and returns a text at once."""

NextAudio: TypeAlias = Callable[[], Awaitable[bytes]]
SendAudio: TypeAlias = Callable[[bytes], Awaitable[None]]


@attrs.frozen
class Conversation:
    """An open session of a client.

    Attributes:
        next_audio: waits for the next delta of the agent's audio and returns it decoded.
        send_audio: sends audio of the user.
        send_message: sends a text of the user, and requests a response.
    """

    next_audio: NextAudio
    send_audio: SendAudio
    send_message: Callable[[str], Awaitable[None]]

    async def listen_to_the_end(self) -> None:
        """Receive audio until the load server ends the scenario."""
        while await self.next_audio() != END:
            pass


OpenConversation: TypeAlias = Callable[[], AbstractAsyncContextManager[Conversation]]
"""Opens a session. The agent has the tool :data:`TOOL`, if the scenario asks for it."""
