"""The ``duplex`` benchmark, end to end. The tests check the form of the report, not the speed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.commands import main
from benchmarks.duplex.client import CLIENTS
from benchmarks.duplex.load import STAMP, DuplexLoad, DuplexMeasurement, DuplexMeter, WrongAudio
from benchmarks.duplex.report import DuplexReport

LOAD = DuplexLoad(sessions=2, frames=2)


def measured(cpu: float) -> DuplexMeasurement:
    return DuplexMeasurement(cpu=cpu, wall=1.0, p50=0.001, p99=0.002, p999=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lock", "paced"])
def test_a_small_run_reports_every_client(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    here = [name for name, client in CLIENTS.items() if client.peer is None]
    options = ["--sessions", "2", "--frames", "5", "--repeat", "1", "--json"]
    options += [option for name in here for option in ("--only", name)]
    assert main(["duplex", "--mode", mode, *options]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["settings"]["mode"] == mode
    assert report["missing"] == {}
    assert set(report["rounds"]) == set(here)
    for (figures,) in report["rounds"].values():
        assert 0 < figures["p50"] <= figures["p99"] < figures["wall"]
        assert figures["cpu"] > 0
    assert set(report["ratios"]) == {f"{name}/agents" for name in here if name != "agents"}


def test_ratios_are_medians_of_the_rounds() -> None:
    report = DuplexReport(
        load=LOAD,
        rounds={
            "session": [measured(1.0), measured(4.0), measured(9.0)],
            "agents": [measured(1.0), measured(2.0), measured(3.0)],
        },
        missing={"asyncio": "websockets is not installed"},
    )
    assert report.ratios() == {"session/agents": 2.0}
    text = report.to_text()
    assert "asyncio: not measured, websockets is not installed" in text
    assert "1000000.0" in text  # four seconds for four pairs


@pytest.mark.parametrize("size", [0, 959, 4800])
def test_audio_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(WrongAudio, match=f"received {size} bytes instead of 960"):
        DuplexMeter(LOAD).receive(bytes(size))


def test_a_missing_delta_is_refused() -> None:
    meter = DuplexMeter(LOAD)
    meter.start()
    for _ in range(3):
        meter.receive(STAMP.pack(0.0).ljust(960, b"\0"))
    assert [meter.end_session() for _ in range(2)] == [False, True]
    with pytest.raises(WrongAudio, match="received 3 deltas instead of 4"):
        meter.result()
