"""The fault matrix passes with several agents, notices a broken library, and its page is up to date."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_realtime import (
    PCMU,
    RealtimeAgent,
    ReconnectPolicy,
    SessionConfig,
    ToolContext,
    UsageLimits,
    function_tool,
)
from trio_realtime.core import Conversation
from trio_realtime.core.audio.user_audio import UserAudio
from trio_realtime.core.history.outgoing import OutgoingItems
from trio_realtime.core.reconnecting import RefreshSchedule
from trio_realtime.testing.fault_matrix import (
    CASES,
    LIBRARIES,
    CaseResult,
    FaultCase,
    __main__ as command,
    markdown_table,
    run_case,
    run_cases,
    text_table,
)

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
NAMED = {case.name: case for case in CASES}


@attrs.frozen
class Account:
    number: int


@function_tool
async def look_up_balance(context: ToolContext[Account], currency: str = "EUR") -> str:
    """Look up the balance of the account."""
    return f"{context.context.number} {currency}"


def make_agent_with_tool() -> RealtimeAgent[Account]:
    return RealtimeAgent[Account](
        name="Bank",
        instructions=lambda context: f"You serve account {context.context.number}.",
        tools=[look_up_balance],
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_passes_with_an_agent_with_a_tool_of_its_own(case: FaultCase) -> None:
    text = run_case(case, make_agent_with_tool(), context=Account(7))
    assert text
    assert not text.endswith(".")


@pytest.fixture(scope="module")
def results() -> list[CaseResult]:
    """The results with the default agent."""
    return run_cases(CASES)


def test_each_case_passes_with_the_default_agent(results: list[CaseResult]) -> None:
    assert [result.text for result in results if not result.passed] == []


def test_the_page_is_up_to_date(results: list[CaseResult]) -> None:
    generator = runpy.run_path(str(DOCS / "generate_fault_matrix.py"))
    page = (DOCS / "explanation" / "fault-matrix.md").read_text(encoding="utf-8")
    assert page == generator["generated_page"](results), (
        "the page differs from the code: run python docs/generate_fault_matrix.py"
    )


def test_names_are_unique_and_each_fault_is_compared() -> None:
    assert len(NAMED) == len(CASES)
    compared = [case for case in CASES if case.peers]
    assert len(compared) == 14
    assert all(case.peers.keys() == LIBRARIES.keys() for case in compared)


@pytest.mark.slow
def test_cases_replace_settings_of_the_configuration_that_would_disturb_them() -> None:
    config = SessionConfig(
        input_format=PCMU,
        output_format=PCMU,
        turn_detection=None,
        reconnect=ReconnectPolicy(max_speech=10),
        idle_timeout=5,
        max_duration=20,
        limits=UsageLimits(total_tokens=1, tool_calls=1),
        overflow="drop_oldest_audio",
    )
    assert failing(*NAMED, config=config) == {}


# --- a library that is broken --------------------------------------------------------------------


def failing(*names: str, **arguments: Any) -> dict[str, str]:
    results = run_cases((NAMED[name] for name in names), **arguments)
    return {result.case.name: result.text for result in results if not result.passed}


def test_cases_notice_a_session_that_does_not_connect_again() -> None:
    config = SessionConfig(reconnect=None)
    found = failing("closed-at-the-cap", "drop-during-tool", "unknown-event", config=config)
    assert found.keys() == {"closed-at-the-cap", "drop-during-tool"}
    assert "SessionExpired" in found["closed-at-the-cap"]


def test_cases_notice_a_refresh_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = RefreshSchedule.connected

    def force(self: RefreshSchedule, now: float, *args: Any) -> None:
        connected(self, now, *args)
        self.forced_at = self.looks_at

    monkeypatch.setattr(RefreshSchedule, "connected", force)
    names = ["failed-response-before-refresh", "drop-before-refresh"]
    assert failing(*names, "unknown-event").keys() == {*names}


def test_cases_notice_speech_that_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(*_args: object) -> list[Any]:
        return []

    monkeypatch.setattr(UserAudio, "send_again", forget)
    names = ["refresh-during-speech", "microphone-during-outage"]
    assert failing(*names, "unknown-event").keys() == {*names}


def test_cases_notice_old_speech_that_arrives_after_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_again = UserAudio.send_again

    def send_all(self: UserAudio, now: float, _lost_at: float) -> Any:
        return send_again(self, now, now)

    def drop_nothing(*_args: object) -> None:
        pass

    monkeypatch.setattr(UserAudio, "_drop_stale", drop_nothing)
    monkeypatch.setattr(UserAudio, "send_again", send_all)
    found = failing("microphone-during-outage", "long-outage")
    assert found.keys() == {"long-outage"}
    assert "24 s of speech arrived, expected 7 s" in found["long-outage"]


def test_cases_notice_speech_that_is_remembered_without_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def append(self: UserAudio, audio: bytes, _now: float) -> None:
        kept.append(audio)

    kept: list[bytes] = []
    monkeypatch.setattr(UserAudio, "_remember", append)
    assert "MB more after 10 minutes" in failing("bounded-memory")["bounded-memory"]


def test_cases_notice_outputs_that_are_lost_during_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = OutgoingItems.send

    def forget(self: OutgoingItems, new: Any) -> Any:
        sent = send(self, new)
        if not sent:  # there is no connection
            self._unacknowledged.popitem()
        return sent

    monkeypatch.setattr(OutgoingItems, "send", forget)
    assert failing("calls-answered-once", "drop-during-tool").keys() == {"calls-answered-once"}


def test_cases_notice_a_refresh_in_the_middle_of_the_agents_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def always(*_args: object) -> bool:
        return True

    monkeypatch.setattr(Conversation, "is_between_turns", always)
    assert failing("refresh-without-gap", "unknown-event").keys() == {"refresh-without-gap"}


def test_cases_notice_a_silent_service_that_is_waited_for() -> None:
    config = SessionConfig(request_timeout=None)
    assert failing("frozen-peer", "frozen-with-request", config=config).keys() == {
        "frozen-with-request"
    }


def test_cases_notice_missing_pings() -> None:
    config = SessionConfig(ping_interval=None)
    found = failing("frozen-peer", "unknown-event", config=config)
    assert found.keys() == {"frozen-peer"}
    assert "the frozen peer is noticed: not within 31 s" in found["frozen-peer"]


def test_cases_notice_a_replay_that_forgets_items(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = Conversation._items_to_replay

    def forget(self: Conversation) -> Any:
        return [*complete(self)][:-1]

    monkeypatch.setattr(Conversation, "_items_to_replay", forget)
    found = failing("closed-at-the-cap", "second-drop", "drop-during-tool", "unknown-event")
    assert found.keys() == {"closed-at-the-cap", "second-drop", "drop-during-tool"}
    assert "expected 10 items, 9 of 9 items restored" in found["second-drop"]


# --- the tables and the command ------------------------------------------------------------------


async def _hold(_subject: object) -> str:
    return "it | held"


async def _break(_subject: object) -> str:
    raise AssertionError("it broke")


HOLDS = FaultCase("holds", "It holds", _hold, {"LiveKit": "ignored"})
BREAKS = FaultCase("breaks", "It breaks", _break)


def test_the_tables_have_the_results_and_the_other_libraries() -> None:
    found = run_cases([HOLDS, BREAKS])
    assert [result.passed for result in found] == [True, False]
    text = text_table(found).splitlines()
    assert text == [
        "ok    holds   it | held",
        "FAIL  breaks  It breaks: it broke",
        "1 of 2 cases passed",
    ]
    lines = markdown_table(found).splitlines()
    assert (
        lines[2]
        == r"| It holds | it \| held | ignored | not measured | not measured | not measured |"
    )
    assert lines[-1] == "| It breaks | **fails**: It breaks: it broke |"


@pytest.mark.parametrize(("cases", "code"), [([HOLDS], 0), ([HOLDS, BREAKS], 1)])
def test_the_exit_code_says_whether_a_case_failed(
    cases: list[FaultCase],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "CASES", cases)
    assert command.main([]) == code
    assert f"{len(cases)} cases passed" in capsys.readouterr().out
    assert command.main(["--markdown"]) == code
    assert "| It holds |" in capsys.readouterr().out


def test_other_exceptions_than_failures_are_propagated() -> None:
    async def interrupt(_subject: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_case(FaultCase("interrupt", "Ctrl+C", interrupt))
