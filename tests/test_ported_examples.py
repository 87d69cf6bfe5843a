"""The programs of the agents SDK that are ported in examples/ported, each run against the local server."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.examples import SILENCE, TONE, run_example

pytestmark = pytest.mark.slow

PORTED = Path(__file__).parent.parent / "examples" / "ported"
ORIGINALS = Path(__file__).parent / "data" / "migrate"


def test_the_first_session_prints_the_history() -> None:
    out, _ = run_example("ported/first_session.py")
    assert out.decode().splitlines() == [
        "history: message",
        "history: message",
        "received speech: True",
    ]


def test_the_terminal_call_answers_speech() -> None:
    out, err = run_example("ported/terminal_call.py", [TONE] * 50 + [SILENCE] * 75)
    begins, received, ends = (
        line for line in err.splitlines() if "Warning" not in line and line[0] != " "
    )
    assert (begins, received) == ("Baker begins", "(all audio received)")
    assert re.fullmatch(r"Baker ends: I heard \d\.\d seconds of audio.*", ends)
    assert len(out) > 48_000, "more than a second of the answer was played"


def test_the_web_app_serves_a_browser() -> None:
    out, _ = run_example("ported/web_app.py")
    assert out.decode().splitlines() == [
        "stock: 3",
        'approve reserve {"bread":"rye"}',
        "reserve: one rye is reserved",
        "Shop has finished",
        "Shop -> Poet",
        'transfer_to_poet: {"assistant":"Poet"}',
        "Poet has finished",
    ]


def test_each_port_names_its_original_and_is_run() -> None:
    names = sorted(path.name for path in PORTED.glob("*.py"))
    assert names == sorted(path.name for path in ORIGINALS.glob("*.py"))
    source = Path(__file__).read_text(encoding="utf-8")
    for name in names:
        docstring = ast.get_docstring(ast.parse((PORTED / name).read_text(encoding="utf-8")))
        assert docstring is not None
        assert f"tests/data/migrate/{name}" in docstring
        assert f'run_example("ported/{name}"' in source
