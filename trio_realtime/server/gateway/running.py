"""Runs a gateway: opens its stores, recovers what a crash has left, serves, and shuts down in order."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs
import trio
from starlette.applications import Starlette

from trio_realtime.endpoints import SERVICE_VARIABLES, Endpoint
from trio_realtime.errors import ConfigurationError
from trio_realtime.local import local_connector
from trio_realtime.server.managed import SessionStores
from trio_realtime.server.objects import open_object_storage
from trio_realtime.server.service import ServiceSettings, resolve_service
from trio_realtime.server.spec import AgentSpec, McpServerSpec
from trio_realtime.server.store import (
    HistoryStore,
    HistoryStoreError,
    WriteOptions,
    open_history_store,
)
from trio_realtime.transports import Connector

from .app import create_app
from .config import GatewayConfig
from .gateway import Gateway, open_gateway
from .metrics import GatewayMetrics
from .serving import serve_app
from .telephone import TwilioLine

__all__ = ["RunningGateway", "run_gateway", "uses_local_server"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")


@attrs.frozen
class RunningGateway:
    """A gateway that serves.

    Attributes:
        gateway: the gateway.
        urls: the URLs that it listens on.
    """

    gateway: Gateway
    urls: tuple[str, ...]


def uses_local_server(config: GatewayConfig) -> bool:
    """Return whether nothing chooses a service, so that the gateway uses the embedded local server."""
    return (
        config.service == ServiceSettings()
        and not any(map(os.environ.get, SERVICE_VARIABLES))
        and not any(set(spec.service) - {"model"} for spec in config.specs.values())
    )


async def run_gateway(
    config: GatewayConfig,
    *,
    stop: Callable[[], Awaitable[None]] = trio.sleep_forever,
    task_status: trio.TaskStatus[RunningGateway] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a gateway until ``stop`` returns, and then until its sessions have ended.

    After ``stop``, no session is admitted any more, and ``/readyz`` says so. The sessions that run may go on
    for ``drain_timeout`` seconds. Cancelling this ends them at once.

    Args:
        config: the configuration.
        stop: returns when the gateway should shut down.

    Raises:
        ExceptionGroup: with one of the following.
        RealtimeError: a store cannot be opened, or a value of the configuration cannot work.
        OSError: the server cannot listen on the address.
    """
    metrics = GatewayMetrics()
    watch = _HistoryWatch()
    endpoint, connector = None, None
    if uses_local_server(config):
        endpoint, connector = _local_service()
    else:
        _check_services(config)
    _check_mcp_servers(config.specs.values())
    async with (
        _open_stores(config, watch) as stores,
        open_gateway(
            config.specs,
            default_agent=config.default_agent,
            service=config.service,
            endpoint=endpoint,
            connector=connector,
            stores=stores,
            settings=config.settings,
            admission=config.admission(),
            on_event=metrics.count_event,
            on_refusal=metrics.count_refusal,
        ) as gateway,
        trio.open_nursery() as background,
    ):
        watch.gateway = gateway
        for recording in await stores.recover():
            _log.info("recovered the recording of session %s", recording.session_id)
        background.start_soon(metrics.measure_loop_lag)
        drained = trio.Event()
        async with trio.open_nursery() as serving:
            urls = await serving.start(
                partial(
                    serve_app,
                    _create_app(gateway, config, metrics),
                    host=config.host,
                    port=config.port,
                    certfile=config.certfile,
                    keyfile=config.keyfile,
                    max_message_size=config.settings.max_message_size,
                    send_timeout=config.settings.send_timeout,
                    shutdown=drained.wait,
                )
            )
            task_status.started(RunningGateway(gateway, tuple(urls)))
            await stop()
            await gateway.drain(config.drain_timeout)
            drained.set()
        background.cancel_scope.cancel(reason="the gateway has shut down")


class _HistoryWatch:
    """Ends sessions whose history cannot be stored. The store is opened before the gateway."""

    def __init__(self) -> None:
        self.gateway: Gateway | None = None

    def on_failure(self, session_id: str, _error: HistoryStoreError) -> None:
        if self.gateway is not None:
            self.gateway.end_unstored_session(session_id)


def _create_app(gateway: Gateway, config: GatewayConfig, metrics: GatewayMetrics) -> Starlette:
    return create_app(
        gateway,
        keys=config.keys(),
        origins=config.origins(),
        metrics=metrics,
        metrics_key_needed=config.metrics_key_needed,
        web=config.web,
        openai_protocol=config.openai,
        twilio=(
            TwilioLine(gateway, config.twilio, public_url=config.public_url)
            if config.twilio is not None
            else None
        ),
    )


def _check_services(config: GatewayConfig) -> None:
    """Resolve the service of each agent, so that a missing key is found before the first session.

    Only the service of the agent that begins a session counts, so another agent may be used for handoffs only,
    and need none.

    Raises:
        ConfigurationError: the service of the default agent cannot work.
    """
    default = config.default_agent or next(iter(config.specs))
    for name, spec in config.specs.items():
        try:
            resolve_service(config.service, spec.service)
        except ConfigurationError as exc:
            if name == default:
                raise
            _log.warning("sessions cannot begin with the agent %s: %s", name, exc)


def _check_mcp_servers(specs: Iterable[AgentSpec]) -> None:
    """Find a missing variable or the missing extra before the first session.

    Raises:
        ConfigurationError: a server cannot work as declared.
    """
    for spec in specs:
        for index, server in enumerate(spec.mcp_servers):
            if not isinstance(server, McpServerSpec):
                continue
            path = spec.path(f"mcp_servers[{index}]")
            server.build(os.environ, path)
            if find_spec("mcp") is None:
                raise ConfigurationError(
                    f"{path}: MCP servers need the MCP SDK: pip install 'trio-realtime[mcp]'"
                )


def _local_service() -> tuple[Endpoint, Connector]:
    connector = local_connector()
    return connector.endpoint, connector


@asynccontextmanager
async def _open_stores(
    config: GatewayConfig, watch: _HistoryWatch
) -> AsyncGenerator[SessionStores]:
    storage = config.storage
    async with AsyncExitStack() as stack:
        history: HistoryStore | None = None
        if storage.database is not None:
            ends = storage.on_failure == "end_session"
            history = await stack.enter_async_context(
                open_history_store(
                    storage.database,
                    options=WriteOptions(overflow="fail" if ends else "degrade"),
                    on_failure=watch.on_failure,
                )
            )
        if storage.recordings is not None:
            await trio.to_thread.run_sync(
                _make_directory, storage.recordings, limiter=trio.CapacityLimiter(1)
            )
        objects = open_object_storage(storage.objects) if storage.objects is not None else None
        yield SessionStores(
            history=history,
            recordings=storage.recordings,
            objects=objects,
            opt_out=storage.opt_out,
            prices=config.prices,
            owner_node=config.owner_node,
        )


def _make_directory(path: Path) -> None:
    """Create the directory of recordings, so that one that cannot be written is found before the first call."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        problem = exc.strerror or str(exc)
    else:
        if os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return
        problem = "Permission denied"
    raise ConfigurationError(
        f"recordings cannot be written to {path}: {problem}; choose a directory that the gateway may write to"
    )
