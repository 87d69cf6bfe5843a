from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that the specs of the tests refer to."""
    monkeypatch.syspath_prepend(DATA)
    yield importlib.import_module("spec_app")
    sys.modules.pop("spec_app", None)
