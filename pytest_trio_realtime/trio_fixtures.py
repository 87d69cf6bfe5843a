"""The async fixtures, which pytest-trio runs. Another plugin for async tests does not see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

import pytest_trio

if TYPE_CHECKING:
    from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig
    from trio_realtime.testing import SessionOpener


async def _connected_session(  # noqa: ASYNC900 - pytest-trio ends the generator
    open_session: SessionOpener,
    realtime_agent: RealtimeAgent[Any],
    realtime_config: SessionConfig | None,
    realtime_context: Any,
) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session of ``realtime_agent`` with ``local_server`` for the duration of the test."""
    async with open_session(
        realtime_agent, config=realtime_config, context=realtime_context
    ) as session:
        yield session  # noqa: ASYNC119


connected_session = cast("Any", pytest_trio).trio_fixture(_connected_session)
