"""The report of the doctor, as text and as JSON."""

from __future__ import annotations

import io
import json

import attrs
import pytest
from rich.console import Console

from trio_realtime.cli.doctor.connection import Attempt, Problem, Step
from trio_realtime.cli.doctor.environment import Extra
from trio_realtime.cli.doctor.report import DoctorReport
from trio_realtime.cli.doctor.settings import Setting

GOOD = DoctorReport(
    versions={"Python": "CPython 3.14"},
    extras=(Extra("mcp", "MCP servers", ()), Extra("sip", "SIP calls", ("httpx2",))),
    devices=("USB (1 in, 2 out)",),
    settings=(Setting("URL", "wss://a-long-name.of-a-host.example/v1/realtime", "--url"),),
    is_local=False,
    attempt=Attempt((Step("settings", "ok", 0.01), Step("lookup", "ok", 0.02))),
)
BAD = attrs.evolve(
    GOOD,
    attempt=Attempt(
        (Step("settings", "ok", 0.01), Step("lookup", "failed", 0.02), Step("tcp", "skipped")),
        Problem("lookup", "the address of h is not known", "check the host"),
    ),
)


def text(report: DoctorReport, width: int = 80) -> str:
    out = io.StringIO()
    report.print(Console(file=out, width=width))
    return out.getvalue()


def test_a_good_report_says_that_the_service_works() -> None:
    shown = text(GOOD)
    assert "✓ name lookup: 20 ms" in shown
    assert "(--url)" in shown
    assert "sip: SIP calls; not installed: pip install 'trio-realtime[sip]'" in shown
    assert "USB (1 in, 2 out)" in shown
    assert "The service works." in shown
    assert GOOD.ok
    assert "The local server works." in text(attrs.evolve(GOOD, is_local=True))


def test_a_failed_step_is_explained() -> None:
    shown = text(BAD)
    assert "✗ name lookup: failed after 20 ms" in shown
    assert "- TCP connection: not reached" in shown
    assert "The step that failed: name lookup" in shown
    assert "What to do: check the host." in shown
    assert not BAD.ok


def test_offline_and_unknown_devices_are_said() -> None:
    shown = text(attrs.evolve(GOOD, attempt=None, devices="not known: no PortAudio", settings=()))
    assert "not tested, because of --offline" in shown
    assert "not known: no PortAudio" in shown
    assert "Service" not in shown


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("report", [GOOD, BAD], ids=["good", "bad"])
def test_no_line_is_longer_than_the_terminal(report: DoctorReport, width: int) -> None:
    shown = text(report, width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "".join(GOOD.settings[0].value.split()) in "".join(shown.split())


def test_the_json_has_everything() -> None:
    result = json.loads(json.dumps(BAD.as_json()))
    assert result["ok"] is False
    assert result["problem"]["step"] == "lookup"
    assert [step["status"] for step in result["connection"]] == ["ok", "failed", "skipped"]
    assert result["extras"][1] == {
        "name": "sip",
        "feature": "SIP calls",
        "missing": ["httpx2"],
        "installed": False,
    }
    assert attrs.evolve(GOOD, attempt=None).as_json()["connection"] is None
