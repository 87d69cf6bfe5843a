"""The ``gateway`` command: sessions for web pages, phones and other programs, over HTTP and WebSocket."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from trio_realtime import ServerVad, SessionConfig, Transcription, function_tool

from .assistant import INSTRUCTIONS, count_letters, get_time, get_weather
from .exit import OK, UserFacingError, main_cause, print_message

if TYPE_CHECKING:
    from trio_realtime.server.gateway import Gateway, GatewayConfig

_PACKAGES: Final = (
    "alembic",
    "hypercorn",
    "jinja2",
    "prometheus_client",
    "sqlalchemy",
    "starlette",
)


@attrs.frozen(kw_only=True)
class GatewayOptions:
    """Options of the command. ``None`` stands for what the file says, or the default.

    Args:
        config: the file.
        host: address to listen on.
        port: port to listen on; 0 chooses a free one.
        verbose: log what happens to stderr.
    """

    config: Path | None = None
    host: str | None = None
    port: int | None = None
    verbose: bool = False


@function_tool(needs_approval=True)
async def order_pizza(kind: str) -> str:
    """Order a pizza. Nothing is delivered."""
    return f"A pizza {kind} is on its way."


async def gateway(options: GatewayOptions) -> int:
    """Run a gateway until SIGINT or SIGTERM. The first signal lets calls end, the second one ends them.

    Prints the URLs that it listens on, and nothing else, once clients can connect.

    Raises:
        UserFacingError: the extra is not installed, or the gateway cannot listen on this host and port.
        RealtimeError: the configuration cannot work, or a store cannot be opened.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserFacingError(
            "the gateway needs more packages: pip install 'trio-realtime[server]'"
        )
    from trio_realtime.server.gateway import load_config, run_gateway, uses_local_server

    if options.config is None:
        config = _built_in_config()
    else:
        # The specs may name modules in the directory of the file.
        sys.path.insert(0, str(options.config.absolute().parent))
        config = load_config(options.config)
    config = attrs.evolve(
        config,
        host=config.host if options.host is None else options.host,
        port=config.port if options.port is None else options.port,
    )
    config.keys()  # whether requests need a key may depend on the host
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if uses_local_server(config):
        print_message("no service is configured; the gateway uses the local server")
    _tune_garbage_collector()
    stop = trio.Event()
    gateways: list[Gateway] = []

    def has_calls() -> bool:
        return any(gateway.sessions for gateway in gateways)

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_watch_signals, stop, nursery.cancel_scope, has_calls)
            async with trio.open_nursery() as serving:
                running = await serving.start(partial(run_gateway, config, stop=stop.wait))
                gateways.append(running.gateway)
                for url in running.urls:
                    print(url, flush=True)
            nursery.cancel_scope.cancel(reason="the gateway has shut down")
    except* OSError as group:
        error = main_cause(group)
        assert isinstance(error, OSError)
        address = f"{config.host}, port {config.port}"
        problem = f"cannot listen on {address}: {error.strerror or error}; {_hint(error)}"
        raise UserFacingError(problem) from error
    return OK


def _tune_garbage_collector() -> None:
    """Make the pauses of the garbage collector rare: with its defaults, they are most of the 99th percentile.

    Sessions free nearly everything without it. What exists now is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _watch_signals(
    stop: trio.Event,
    scope: trio.CancelScope,
    has_calls: Callable[[], bool],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if stop.is_set():
                scope.cancel(reason="a second signal")
                return
            if has_calls():
                print_message("waiting for calls to end; a second signal ends them")
            stop.set()


def _built_in_config() -> GatewayConfig:
    from trio_realtime.server.gateway import GatewayConfig, GatewaySettings
    from trio_realtime.server.spec import AgentSpec

    spec = AgentSpec(
        name="Assistant",
        realtime_mode=True,
        instructions=INSTRUCTIONS,
        tools=[get_weather, get_time, count_letters, order_pizza],
        realtime=SessionConfig(
            turn_detection=ServerVad(),
            transcription=Transcription(model="gpt-live-transcribe"),
            idle_timeout=300,
        ),
    )
    settings = GatewaySettings(error_details=True)  # it serves this machine only
    return GatewayConfig(specs={spec.name: spec}, settings=settings)


def _hint(error: OSError) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "choose another --port, or 0 for a free one"
    return "choose another --host, for example 127.0.0.1"
