"""The command `migrate`, on programs like those of the SDK's documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trio_realtime.cli.app import run

PROGRAMS = Path(__file__).parent.parent / "data" / "migrate"
"""Programs of the SDK, each with the report on it. `UPDATE_REPORTS=1` writes the reports."""


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(PROGRAMS)


@pytest.mark.parametrize(
    ("name", "status"),
    [("first_session.py", 0), ("terminal_call.py", 0), ("web_app.py", 1), ("voice_page.tsx", 1)],
)
def test_the_report_on_a_program(
    name: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["migrate", name]) == status
    out, err = capsys.readouterr()
    expected = PROGRAMS / f"{name}.txt"
    if os.environ.get("UPDATE_REPORTS"):
        expected.write_text(out, encoding="utf-8")
    assert (out, err) == (expected.read_text(encoding="utf-8"), "")


def test_json_has_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate", "first_session.py", "voice_page.tsx", "--json"]) == 1
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["path"] for file in files] == ["first_session.py", "voice_page.tsx"]
    assert files[0]["findings"][0] == {
        "name": "RealtimeAgent",
        "lines": [5, 7],
        "status": "changed",
        "becomes": ["RealtimeAgent"],
        "note": "frozen; keyword arguments only; validated when it is created",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("app.py", b"import agents\nif", "app.py is not valid Python in line 2"),
        ("app.py", b"\xff", "cannot read app.py: it is not UTF-8"),
        ("app.py", b"a\0", "app.py is not valid Python"),
        ("app.py", None, "cannot read app.py: No such file"),
        ("app.rb", b"", "app.rb: expected one of the suffixes .py, .js,"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_in_one_line(
    name: str,
    content: bytes | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    assert run(["migrate", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_program_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["migrate"]) == 2
    assert "FILES" in capsys.readouterr().err
