"""The ``doctor`` command."""

from __future__ import annotations

import json
import sys

from trio_realtime import Endpoint
from trio_realtime.cli.endpoints import EndpointOptions, is_local, open_endpoint
from trio_realtime.cli.exit import FAILED, OK
from trio_realtime.cli.output import OutputConsole
from trio_realtime.endpoints.environment import recorded_variables
from trio_realtime.errors import RealtimeError

from .connection import Attempt, Step, diagnose, open_and_close
from .environment import audio_devices, extras, versions
from .report import DoctorReport
from .settings import Setting, Sources


async def doctor(options: EndpointOptions, *, offline: bool, as_json: bool) -> int:
    """Print what is installed, which service is configured, and whether a session can be opened.

    Args:
        options: the options that choose the service.
        offline: do not connect.
        as_json: print one JSON object.

    Returns:
        int: the exit status, ``FAILED`` if no session can be opened.

    Raises:
        UserFacingError: the options contradict each other.
    """
    settings, attempt = await _examine(options, offline=offline)
    report = DoctorReport(
        versions=versions(),
        extras=extras(),
        devices=audio_devices(),
        settings=settings,
        is_local=is_local(options),
        attempt=attempt,
    )
    if as_json:
        json.dump(report.as_json(), sys.stdout)
        print()
    else:
        report.print(OutputConsole(highlight=False, markup=False))
    return OK if report.ok else FAILED


async def _examine(
    options: EndpointOptions, *, offline: bool
) -> tuple[tuple[Setting, ...], Attempt | None]:
    try:
        with recorded_variables() as variables:
            async with open_endpoint(options) as endpoint:
                settings = await _settings(options, variables, endpoint)
                if offline:
                    return settings, None
                return settings, await open_and_close(endpoint, options.model)
    except RealtimeError as exc:  # there is no valid endpoint
        return (), Attempt((Step("settings", "failed"),), diagnose("settings", exc))


async def _settings(
    options: EndpointOptions, variables: set[str], endpoint: Endpoint
) -> tuple[Setting, ...]:
    resolved = await endpoint.resolve(options.model)
    return tuple(Sources(options, frozenset(variables), endpoint, resolved).settings())
