"""The parts of the ``chat`` command: showing events while waiting, and reading lines."""

from __future__ import annotations

import os

import pytest
import trio
import trio.testing

from trio_realtime import RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.cli.chat import LineReader, show_events_while
from trio_realtime.cli.console import Terminal
from trio_realtime.errors import ClosedByService
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

AGENT = RealtimeAgent[None](name="Clerk")


async def test_a_session_that_the_service_closes_ends_the_wait_for_a_line(
    autojump_clock: object,
) -> None:
    peer = ScriptedPeer()
    with pytest.RaisesGroup(pytest.RaisesExc(ClosedByService, match="1000")):
        async with open_realtime_session(
            AGENT,
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=SessionConfig(reconnect=None),
        ) as session:
            peer.close(1000)
            await show_events_while(
                session.events, Terminal("Clerk", prompt=False), trio.sleep_forever
            )


async def test_buffered_events_are_shown_when_the_function_returns(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        AGENT, endpoint=TEST_ENDPOINT, transport=peer.connect
    ) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good day")
        peer.end_response("resp_1")
        # All events have arrived before the task that shows them runs for the first time.
        await trio.testing.wait_all_tasks_blocked()
        await show_events_while(session.events, Terminal("Clerk", prompt=False), _return_at_once)
        assert capsys.readouterr().out == "Clerk: Good day\n"


async def _return_at_once() -> None:
    return


async def test_lines_are_complete_however_the_bytes_are_split() -> None:
    read_end, write_end = os.pipe()
    try:
        reader = LineReader(read_end)
        data = "grüße\r\n\nlast".encode()
        os.write(write_end, data[:3])  # splits a character
        async with trio.open_nursery() as nursery:
            lines: list[str | None] = []

            async def read() -> None:
                lines.append(await reader.read_line())

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            os.write(write_end, data[3:])
        os.close(write_end)
        lines += [await reader.read_line(), await reader.read_line(), await reader.read_line()]
        assert lines == ["grüße", "", "last", None]
    finally:
        os.close(read_end)
