"""What any test may need. Doubles of the library live in ``trio_realtime.testing``."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Frames recorded on live services, and the JSON Schema of every event."""
    return REPOSITORY / "tests" / "data"
