"""Sessions in an asyncio program, such as FastAPI under uvicorn.

:class:`AsyncioBridge` runs trio in one thread for all sessions of the process. Its sessions have the
methods of a session on trio.
"""

from __future__ import annotations

from .bridge import AsyncioBridge as AsyncioBridge
from .channels import AsyncioChannel as AsyncioChannel
from .crossing import asyncio_tool as asyncio_tool
from .session import (
    AsyncioPlayback as AsyncioPlayback,
    AsyncioResponse as AsyncioResponse,
    AsyncioSession as AsyncioSession,
)
