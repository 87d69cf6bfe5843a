"""The ``test`` command: run scenario files, and report which of them passed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trio_realtime import Endpoint
from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.errors import ConfigurationError
from trio_realtime.testing.scenarios import (
    ScenarioResult,
    find_scenarios,
    junit_xml,
    load_scenario,
    run_scenario,
)

from .exit import FAILED, OK, UserFacingError, print_message
from .wav import check_writable


def run_scenarios(
    paths: Sequence[Path],
    *,
    url: str | None,
    api_key: str | None,
    model: str | None,
    junit: Path | None,
) -> int:
    """Run scenarios one after the other, and print a report of each.

    Args:
        paths: scenario files, and folders with scenario files.
        url: the service to test with, in real time; ``None`` for the local server in virtual time.
        api_key: the key of the service; the variable ``TRIO_REALTIME_API_KEY`` by default.
        model: the model of the service.
        junit: the file for the results as JUnit XML.

    Raises:
        UserFacingError: a file is not a scenario, or the results cannot be written.
        RealtimeError: a scenario names something that does not exist, or a session could not be opened.
    """
    endpoint = _endpoint_of(url, api_key, model)
    if junit is not None:
        check_writable(junit)
    try:
        scenarios = [load_scenario(path) for path in find_scenarios(paths)]
    except ConfigurationError as exc:
        *others, last = str(exc).splitlines()
        for line in others:
            print_message(line)
        raise UserFacingError(last) from exc
    results: list[ScenarioResult] = []
    for scenario in scenarios:
        result = run_scenario(scenario, endpoint=endpoint)
        results.append(result)
        print(result.report, flush=True)
    if junit is not None:
        junit.write_bytes(junit_xml(results))
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return FAILED if failed else OK


def _endpoint_of(url: str | None, api_key: str | None, model: str | None) -> Endpoint | None:
    if url is not None:
        key = api_key if api_key is not None else os.environ.get("TRIO_REALTIME_API_KEY")
        return Endpoint.compatible(url, api_key=key, model=model or DEFAULT_MODEL)
    if api_key is not None or model is not None:
        raise UserFacingError("--api-key and --model need --url: the service to test with")
    return None
