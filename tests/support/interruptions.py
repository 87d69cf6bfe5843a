"""Interrupt the agent in either way, and read what was truncated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from trio.testing import wait_all_tasks_blocked

from support.events import drain_events
from support.wire import TRUNCATE, Frame, sent_frames
from trio_realtime import RealtimeSession, events
from trio_realtime.testing import ScriptedPeer

Interrupt: TypeAlias = Callable[[RealtimeSession[None], ScriptedPeer], Awaitable[None]]


async def by_command(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    """Interrupt with ``interrupt()``."""
    await session.interrupt()


async def by_speech(session: RealtimeSession[None], peer: ScriptedPeer) -> None:
    """Interrupt with speech of the user."""
    peer.start_user_speech()
    await wait_all_tasks_blocked()


by_command_and_by_speech = pytest.mark.parametrize("interrupt", [by_command, by_speech])
"""Run a test with each way to interrupt."""


async def sent_truncates(peer: ScriptedPeer) -> list[tuple[str, int, int]]:
    """Return the item id, content index and milliseconds of each truncate received so far."""
    return [
        (frame["item_id"], frame["content_index"], frame["audio_end_ms"])
        for frame in await sent_frames(peer)
        if frame["type"] == TRUNCATE
    ]


def drain_interruptions(session: RealtimeSession[None]) -> list[tuple[str, str, int]]:
    """Return the response id, item id and played milliseconds of buffered interruptions."""
    return [
        (event.response_id, event.item_id, event.played_ms)
        for event in drain_events(session.events, events.AudioInterrupted)
    ]


def server_vad_session(*, interrupts: bool) -> Frame:
    """Return session settings with voice activity detection by the service."""
    detection = {
        "type": "server_vad",
        "create_response": True,
        "interrupt_response": interrupts,
    }
    return {"audio": {"input": {"turn_detection": detection}}}
