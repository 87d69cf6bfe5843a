"""A gateway of a configuration: what its parts are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.gateway import make_spec
from trio_realtime.server.gateway import GatewayConfig, GatewaySettings, run_gateway, running


async def test_the_server_has_the_settings_of_the_gateway(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    async def serve_app(
        _app: object,
        *,
        shutdown: Callable[[], Awaitable[None]],
        task_status: trio.TaskStatus[list[str]],
        **options: Any,
    ) -> None:
        given.update(options)
        task_status.started(["http://127.0.0.1:1"])
        await shutdown()

    monkeypatch.setattr(running, "serve_app", serve_app)
    settings = GatewaySettings(send_timeout=7, max_message_size=4096)
    config = GatewayConfig(
        specs={"assistant": make_spec()}, host="localhost", port=1, settings=settings
    )
    await run_gateway(config, stop=trio.lowlevel.checkpoint)
    assert (given["host"], given["port"]) == ("localhost", 1)
    assert (given["send_timeout"], given["max_message_size"]) == (7, 4096)
