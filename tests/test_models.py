"""Names of models: versions and end dates."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.models import (
    END_DATES,
    PROMPTS_END,
    EndDate,
    ModelVersion,
    end_date_of,
    end_date_warning,
    version_of,
    without_snapshot,
)

# --- versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("gpt-4o-realtime-preview", (0, 0)),
        ("gpt-4o-mini-realtime-preview-2024-12-17", (0, 0)),
        ("gpt-realtime", (1, 0)),
        ("gpt-realtime-2025-08-28", (1, 0)),
        ("gpt-realtime-mini", (1, 0)),
        ("gpt-realtime-mini-2025-12-15", (1, 0)),
        ("gpt-realtime-1.5", (1, 5)),
        ("gpt-realtime-2", (2, 0)),
        ("gpt-realtime-2.1", (2, 1)),
        ("gpt-realtime-2.1-mini", (2, 1)),
        ("gpt-realtime-2.1-mini-2026-07-14", (2, 1)),
        ("gpt-realtime-2-2026-05-07", (2, 0)),
        ("gpt-realtime-3-high-fidelity", (3, 0)),
        ("gpt-realtime-20", (20, 0)),
    ],
)
def test_the_name_of_a_realtime_model_has_a_version(model: str, version: ModelVersion) -> None:
    assert version_of(model) == version


@pytest.mark.parametrize(
    "model",
    [
        "",
        "parrot",
        "my-gpt-realtime-2",
        "gpt-realtime2",
        "gpt-realtime-",
        "gpt-realtime-2025",
        "gpt-realtime-2.",
        "gpt-realtime-2.1\n",
        "gpt-realtime-2-",
        "gpt-realtime-٣",
        "gpt-realtime-whisper",
        "gpt-realtime-translate",
        "gpt-live-transcribe",
        "gpt-audio-1.5",
        "whisper-1",
    ],
)
def test_other_names_have_no_version(model: str) -> None:
    assert version_of(model) is None


def test_later_versions_are_greater() -> None:
    names = ["gpt-4o-realtime-preview", "gpt-realtime", "gpt-realtime-1.5", "gpt-realtime-2"]
    names += ["gpt-realtime-2.1-mini", "gpt-realtime-2.10", "gpt-realtime-3", "gpt-realtime-10"]
    versions = [version_of(name) for name in names]
    assert versions == sorted(version for version in versions if version is not None)
    assert len(set(versions)) == len(names)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-realtime-mini-2025-12-15", "gpt-realtime-mini"),
        ("gpt-live-transcribe", "gpt-live-transcribe"),
        ("whisper-1", "whisper-1"),
        ("gpt-realtime-2025-08-28-mini", "gpt-realtime-2025-08-28-mini"),
    ],
)
def test_the_date_of_a_snapshot_is_removed(model: str, name: str) -> None:
    assert without_snapshot(model) == name


# --- end dates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "day", "replacement"),
    [
        ("gpt-realtime", date(2027, 1, 20), "gpt-realtime-2.1"),
        ("gpt-realtime-2025-08-28", date(2027, 1, 20), "gpt-realtime-2.1"),
        ("gpt-realtime-mini-2025-12-15", date(2027, 1, 20), "gpt-realtime-2.1-mini"),
        ("whisper-1", date(2027, 2, 26), "gpt-live-transcribe"),
        ("gpt-4o-mini-transcribe-2025-12-15", date(2027, 2, 26), "gpt-live-transcribe"),
        ("gpt-4o-transcribe-diarize", date(2027, 2, 26), "gpt-live-transcribe"),
    ],
)
def test_models_that_end(model: str, day: date, replacement: str) -> None:
    end = end_date_of(model)
    assert end is not None
    assert (end.day, end.replacements[0]) == (day, replacement)


@pytest.mark.parametrize("model", ["gpt-realtime-2.1", "gpt-live-transcribe", "parrot", ""])
def test_other_models_have_no_known_end(model: str) -> None:
    assert end_date_of(model) is None


def test_neither_the_default_nor_a_replacement_ends() -> None:
    replacements = {name for end in END_DATES.values() for name in end.replacements}
    assert not {DEFAULT_MODEL, *replacements} & END_DATES.keys()


@pytest.mark.parametrize(
    ("days_left", "expected"),
    [
        (31, None),
        (30, "the model old will be shut down on 2030-06-15"),
        (1, "the model old will be shut down on 2030-06-15"),
        (0, "the model old has been shut down since 2030-06-15"),
        (-400, "the model old has been shut down since 2030-06-15"),
    ],
)
def test_a_warning_begins_thirty_days_before_the_end(days_left: int, expected: str | None) -> None:
    end = EndDate(date(2030, 6, 15), ("new", "newer"))
    message = end_date_warning("the model old", end, end.day - timedelta(days=days_left))
    rest = ", according to OpenAI's deprecations page: use new or newer"
    assert message == (None if expected is None else expected + rest)


def test_a_warning_without_a_replacement_or_without_an_end() -> None:
    message = end_date_warning("the API of stored prompts", PROMPTS_END, date(2026, 12, 1))
    assert message == (
        "the API of stored prompts has been shut down since 2026-11-30, "
        "according to OpenAI's deprecations page"
    )
    assert end_date_warning("the model new", None, date(9999, 1, 1)) is None


# --- the page of the documentation --------------------------------------------------------------


def test_the_page_has_the_dates_and_replacements_of_the_table(repository: Path) -> None:
    text = (repository / "docs" / "guides" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d{4}-\d{2}-\d{2}) \| (.+?) \|$", text, re.MULTILINE)
    shown = {
        name: EndDate(date.fromisoformat(day), tuple(re.findall(r"`(.+?)`", replacements)))
        for names, day, replacements in rows
        for name in re.findall(r"`(.+?)`", names)
    }
    assert shown == {**END_DATES, "v1/prompts": PROMPTS_END}
    assert f"`{DEFAULT_MODEL}` (the default)" in text
