"""A trace without a name is reported in the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from trio.testing import MockClock

from support.sessions import open_test_session
from trio_realtime.testing import ScriptedPeer


def warnings_about_tracing(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "tracing" in record.getMessage()
    ]


@pytest.mark.parametrize(
    ("tracing", "named"),
    [
        ({"group_id": "g"}, "group_id"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"group_id": "g", "metadata": {"a": "b"}, "workflow_name": ""}, "group_id and metadata"),
    ],
)
async def test_trace_without_a_name_is_reported_once(
    tracing: Any, named: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_test_session(ScriptedPeer(), tracing=tracing) as session:
        await session.update_settings(speed=1.1)
    (warning,) = warnings_about_tracing(caplog)
    assert f"tracing has {named} but no workflow_name" in warning


@pytest.mark.parametrize(
    "tracing",
    [None, "auto", {}, {"workflow_name": "w"}, {"workflow_name": "w", "group_id": "g"}],
)
async def test_other_traces_are_not_reported(
    tracing: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_test_session(ScriptedPeer(), tracing=tracing):
        pass
    assert warnings_about_tracing(caplog) == []


async def test_trace_that_is_requested_later_is_reported(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        await session.update_settings(tracing={"group_id": "g"})
    assert len(warnings_about_tracing(caplog)) == 1
