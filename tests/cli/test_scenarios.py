"""The command that runs scenario files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from trio_realtime.cli.app import run

SCENARIO = """
agent: support.scenario_agents:agent
modality: text
steps:
  - user: Hello
  - expect: {said: TEXT}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one scenario that passes."""
    (tmp_path / "good.scenario.yaml").write_text(SCENARIO.replace("TEXT", "Hello"))
    return tmp_path


def test_scenarios_that_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"passed  {folder}/good.scenario.yaml: good (0.0 s)",
        "1 passed, 0 failed",
    ]
    assert err == ""


def test_a_scenario_that_fails_and_the_results_as_xml(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = folder / "bad.scenario.yaml"
    bad.write_text(SCENARIO.replace("TEXT", "Bye"))
    junit = folder / "results.xml"
    status = run(["test", str(bad), str(folder / "good.scenario.yaml"), "--junit", str(junit)])
    assert status == 1
    out = capsys.readouterr().out
    assert "expected: the agent says something containing 'Bye'" in out
    assert "user: Hello" in out
    assert out.endswith("1 passed, 1 failed\n")
    suite = ET.parse(junit).getroot().find("testsuite")
    assert suite is not None
    assert [case.find("failure") is None for case in suite] == [False, True]


def test_every_mistake_has_a_line_on_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.scenario.yaml").write_text("agent: 5\nsteps: [{usr: a}]")
    assert run(["test", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == (
        f"trio-realtime: {folder}/wrong.scenario.yaml:1: agent: expected a text, got 5; "
        "quote it if it is one"
    )
    assert second.startswith(f"trio-realtime: {folder}/wrong.scenario.yaml:2: steps[0]: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "x"], "--api-key and --model need --url"),
        (["--api-key", "x"], "--api-key and --model need --url"),
        (["--junit", "/nowhere/x.xml"], "there is no directory /nowhere"),
        (["missing.yaml"], "there is no file missing.yaml"),
    ],
)
def test_what_the_user_has_to_correct(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["test", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_service_that_cannot_be_reached(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIO_REALTIME_API_KEY", "secret-key")
    assert run(["test", str(folder), "--url", "ws://127.0.0.1:9/v1/realtime"]) == 2
    err = capsys.readouterr().err
    assert "could not connect to 127.0.0.1:9" in err
    assert "secret-key" not in err
