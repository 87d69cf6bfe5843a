"""Connects to the service, step by step, until a step fails."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, TypeAlias

import attrs
import trio

from trio_realtime import Endpoint, RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectTimeout,
    ModelNotAvailable,
    RealtimeError,
    SettingsRejected,
)
from trio_realtime.transports.steps import ConnectStep, connect_in_steps

StepName: TypeAlias = Literal["settings"] | ConnectStep
"""``settings`` is what comes before the network."""

TITLES: Final[Mapping[StepName, str]] = {
    "settings": "settings",
    "lookup": "name lookup",
    "tcp": "TCP connection",
    "proxy": "connection through the proxy",
    "tls": "TLS handshake",
    "upgrade": "WebSocket upgrade",
    "session": "session settings",
}

_STEP_ADVICE: Final[Mapping[StepName, str]] = {
    "settings": "correct the option or the variable that the message names",
    "lookup": "check the host name in the URL, and the name server of this machine",
    "tcp": "check the host and the port of the URL, that the server runs, and firewalls on the way",
    "proxy": "check the URL of the proxy, that it runs, its user name and its password",
    "tls": "check the certificate of the server; --ca-file names the certificates to trust",
    "upgrade": "check the path of the URL, and that the server speaks the protocol",
    "session": "check --model and --dialect, and that the server speaks the protocol",
}
_ERROR_ADVICE: Final[Mapping[type[RealtimeError], str]] = {
    AuthenticationFailed: "check the API key, and that it belongs to this service",
    ModelNotAvailable: "check --model or the variable with the model, and the path of the URL",
    SettingsRejected: "check --dialect, and whether the model accepts text",
    ConfigurationError: _STEP_ADVICE["settings"],
}


@attrs.frozen
class Step:
    """One step of the connection.

    Args:
        name: what it was.
        status: ``skipped`` if an earlier step failed.
        seconds: how long it took, until it ended or failed.
    """

    name: StepName
    status: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0


@attrs.frozen
class Problem:
    """Why there is no session.

    Args:
        step: the step that failed.
        message: the error of the library.
        advice: what to check.
    """

    step: StepName
    message: str
    advice: str


@attrs.frozen
class Attempt:
    """An attempt to open a session. It succeeded if there is no problem."""

    steps: tuple[Step, ...]
    problem: Problem | None = None


def diagnose(step: StepName, error: RealtimeError) -> Problem:
    """Return what an error in a step means."""
    message = "; ".join([str(error), *getattr(error, "__notes__", ())])
    for kind, advice in _ERROR_ADVICE.items():
        if isinstance(error, kind):
            return Problem(step, message, advice)
    if isinstance(error, ConnectTimeout) and step != "session":
        return Problem(step, message, f"{_STEP_ADVICE[step]}; the network may drop packets")
    return Problem(step, message, _STEP_ADVICE[step])


class StepClock:
    """Measures steps, each of which ends when the next one begins."""

    def __init__(self) -> None:
        self._begun: list[tuple[StepName, float]] = [("settings", trio.current_time())]

    @property
    def current(self) -> StepName:
        """The step that began last."""
        return self._begun[-1][0]

    def begin(self, name: StepName) -> None:
        """End the current step and begin the next one."""
        self._begun.append((name, trio.current_time()))

    def steps(self, *, failed: bool) -> tuple[Step, ...]:
        """Return all steps, of which the current one ends now."""
        ends = [*(time for _, time in self._begun[1:]), trio.current_time()]
        steps = [
            Step(name, "ok", end - start)
            for (name, start), end in zip(self._begun, ends, strict=True)
        ]
        if failed:
            steps[-1] = attrs.evolve(steps[-1], status="failed")
        return tuple(steps)


async def open_and_close(endpoint: Endpoint, model: str | None) -> Attempt:
    """Open a session and close it. No response is requested, so it costs no tokens.

    Args:
        endpoint: the service.
        model: the model, instead of that of the endpoint.
    """
    clock = StepClock()
    config = SessionConfig(output_modalities=("text",), model=model, reconnect=None)
    try:
        async with open_realtime_session(
            RealtimeAgent[None](name="Doctor"),
            endpoint=endpoint,
            config=config,
            transport=partial(connect_in_steps, begin=clock.begin),
        ):
            steps = clock.steps(failed=False)
    except RealtimeError as exc:
        reached = clock.steps(failed=True)
        return Attempt((*reached, *_steps_after(endpoint, reached)), diagnose(clock.current, exc))
    return Attempt(steps)


def _steps_after(endpoint: Endpoint, reached: tuple[Step, ...]) -> list[Step]:
    """Return the steps that were not reached."""
    names = {step.name for step in reached}
    encrypted = endpoint.url.startswith("wss:")
    expected: list[StepName] = ["lookup", "tcp", "tls", "upgrade", "session"]
    return [
        Step(name, "skipped")
        for name in expected
        if name not in names
        and not (name == "tcp" and "proxy" in names)
        and (encrypted or name != "tls")
    ]
