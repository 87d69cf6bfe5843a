"""The warning about models that end soon, when a session opens."""

from __future__ import annotations

import warnings
from datetime import date

import pytest

from support.sessions import open_session_with
from trio_realtime import (
    Endpoint,
    ModelEndDateWarning,
    RealtimeAgent,
    SessionConfig,
    Transcription,
    _end_dates,
    open_realtime_session,
)
from trio_realtime._end_dates import warn_about_end_dates
from trio_realtime.testing import ScriptedPeer

OLD = Endpoint.openai("sk-key", model="gpt-realtime")
NO_SETTINGS = SessionConfig()


@pytest.fixture(autouse=True)
def january(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the date to 10 January 2027, and forget earlier warnings."""
    monkeypatch.setattr(_end_dates, "_today", lambda: date(2027, 1, 10))
    monkeypatch.setattr(_end_dates, "_warned", set[str]())


def warnings_of(endpoint: Endpoint, config: SessionConfig = NO_SETTINGS) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_about_end_dates(endpoint, config, stacklevel=1)
    assert all(warning.category is ModelEndDateWarning for warning in caught)
    return [str(warning.message).partition(",")[0] for warning in caught]


def test_each_setting_that_ends_has_a_warning() -> None:
    config = SessionConfig(
        transcription=Transcription(model="whisper-1"),
        prompt={"id": "pmpt_1"},
    )
    assert warnings_of(OLD, config) == [
        "the model gpt-realtime will be shut down on 2027-01-20",
        "the API of stored prompts (v1/prompts) has been shut down since 2026-11-30",
    ]


def test_the_prompt_of_an_agent_ends_like_that_of_the_configuration() -> None:
    endpoint = Endpoint.openai("sk-key")
    with pytest.warns(ModelEndDateWarning, match="stored prompts"):
        warn_about_end_dates(endpoint, NO_SETTINGS, stacklevel=1, uses_prompt=True)
    assert warnings_of(endpoint, SessionConfig(prompt={"id": "pmpt_1"})) == []


def test_a_transcription_model_that_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_end_dates, "_today", lambda: date(2027, 2, 1))
    endpoint = Endpoint.openai("sk-key")
    config = SessionConfig(transcription=Transcription(model="gpt-4o-transcribe"))
    assert warnings_of(endpoint, config) == [
        "the transcription model gpt-4o-transcribe will be shut down on 2027-02-26"
    ]


def test_there_is_one_warning_per_model() -> None:
    assert len(warnings_of(OLD)) == 1
    assert warnings_of(OLD) == []
    assert warnings_of(Endpoint.compatible("ws://a.test", model="gpt-realtime")) == []
    assert len(warnings_of(Endpoint.openai("sk-key", model="gpt-realtime-mini"))) == 1


def test_a_warning_that_is_an_error_is_raised_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ModelEndDateWarning, match="gpt-realtime"):
            warn_about_end_dates(OLD, NO_SETTINGS, stacklevel=1)


@pytest.mark.parametrize(
    ("endpoint", "config"),
    [
        (Endpoint.openai("k", model="gpt-realtime-2.1"), SessionConfig(model="gpt-realtime")),
        (Endpoint.compatible("ws://a.test/v1/realtime?model=gpt-realtime"), NO_SETTINGS),
        (
            Endpoint.compatible("ws://a.test/?model=gpt-realtime", realtime_url=True),
            SessionConfig(model="gpt-realtime-2.1"),
        ),
    ],
    ids=["config", "url", "url before config"],
)
def test_the_model_is_the_one_that_the_session_requests(
    endpoint: Endpoint, config: SessionConfig
) -> None:
    assert len(warnings_of(endpoint, config)) == 1


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint.openai("sk-key"),
        Endpoint.compatible("ws://a.test", model="parrot"),
        Endpoint.compatible("ws://a.test"),
        OLD.attach("rtc_1"),
        Endpoint.azure("https://r.openai.azure.com", deployment="gpt-realtime", api_key="k"),
        Endpoint.azure(
            "https://r.openai.azure.com", deployment="gpt-realtime", api_key="k", api_version="1"
        ),
    ],
    ids=["default", "unknown", "none", "call", "azure", "azure with version"],
)
def test_other_models_have_no_warning(endpoint: Endpoint) -> None:
    assert warnings_of(endpoint) == []


async def test_a_session_warns_where_the_user_opens_it() -> None:
    peer = ScriptedPeer()
    with pytest.warns(ModelEndDateWarning, match="gpt-realtime-2.1") as caught:
        async with open_realtime_session(
            RealtimeAgent(name="Assistant"), endpoint=OLD, transport=peer.connect
        ):
            pass
    assert [warning.filename for warning in caught] == [__file__]


async def test_a_session_with_the_default_model_does_not_warn() -> None:
    async with open_session_with(ScriptedPeer()):
        pass
