"""Running scenarios: steps, expectations, judges and what is said about a failure."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest
import trio

from support import scenario_agents
from trio_realtime.errors import ConfigurationError
from trio_realtime.local import serve_local
from trio_realtime.testing.scenarios import (
    ScenarioResult,
    find_scenarios,
    load_scenario,
    run_scenario,
)

Run = Callable[..., ScenarioResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs steps with some keys of a scenario."""

    def run_steps(steps: str, **keys: str) -> ScenarioResult:
        given = {"agent": "support.scenario_agents:agent", **keys}
        if "config" not in keys:
            given.setdefault("modality", "text")
        lines = [f"{key}: {value}" for key, value in given.items()]
        path = tmp_path / "case.scenario.yaml"
        path.write_text("\n".join([*lines, "steps:", indent(dedent(steps), "  ")]))
        return run_scenario(load_scenario(path))

    return run_steps


def failure_of(result: ScenarioResult) -> tuple[str, str]:
    assert result.failure is not None, result.conversation
    return result.failure.expected, result.failure.happened


def write_tone(path: Path, seconds: float, rate: int = 24_000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes((b"\x00\x20" * 30 + b"\x00\xe0" * 30) * int(seconds * rate / 60))


# --- the examples and the golden text ------------------------------------------------------------

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "scenarios"


@pytest.mark.parametrize("path", find_scenarios([EXAMPLES]), ids=lambda path: path.name)
def test_every_example_passes(path: Path) -> None:
    result = run_scenario(load_scenario(path))
    assert result.passed, result.report


def test_the_report_of_a_failure_is_readable(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    path = Path("tests/data/scenarios/fails.scenario.yaml")
    result = run_scenario(load_scenario(path))
    assert result.report + "\n" == path.with_name("fails.txt").read_text(encoding="utf-8")


# --- expectations --------------------------------------------------------------------------------

WEATHER = "[{call: get_weather, arguments: {city: Oslo}}, {say: It is sunny.}]"


@pytest.mark.parametrize(
    "expectation",
    [
        "{call: get_weather}",
        "{call: get_weather, arguments: {city: Oslo}, outcome: completed, output: Sunny}",
        "{call: get_weather, outcome: completed, within_ms: 400}",
        "{said: {regex: 'sun+y', contains: It}}",
        "{event: tool_end, fields: {tool: get_weather, outcome: completed, output: Sunny in Oslo}}",
        "{event: agent_end, fields: {agent: Clerk, tool_calls: 1, reason: null}}",
        "{event: history_added}",
    ],
)
def test_what_happened_is_found(run: Run, expectation: str) -> None:
    result = run(f"- user: Weather?\n- expect: {expectation}", responder=WEATHER)
    assert result.passed, result.report


@pytest.mark.parametrize(
    ("expectation", "expected", "happened"),
    [
        (
            "{call: pay, outcome: completed, output: EUR}",
            "a call of pay with the outcome completed with an output containing 'EUR'",
            'the calls were: get_weather {"city":"Oslo"} (completed)',
        ),
        (
            "{call: get_weather, outcome: completed, within_ms: 100}",
            "a call of get_weather with the outcome completed within 100 ms",
            'the calls were: get_weather {"city":"Oslo"} (pending)',
        ),
        (
            "{said: {equals: Rain}}",
            "the agent says something equal to 'Rain'",
            "the agent said: '', 'It is sunny.'",
        ),
        ("{handoff: Boss}", "a handoff to Boss", "the handoffs were: none"),
        (
            "{interrupted: {min_ms: 5, max_ms: 9}}",
            "an interruption after at least 5 ms and at most 9 ms were heard",
            "the agent was interrupted after: none",
        ),
        (
            "{guardrail: polite}",
            "the guardrail polite trips",
            "the guardrails that tripped were: none",
        ),
        (
            "{event: agent_end, fields: {status: failed}}",
            'an event agent_end with {"status": "failed"}',
            'the events agent_end had: {"status": "completed"}',
        ),
    ],
)
def test_what_did_not_happen_is_described(
    run: Run, expectation: str, expected: str, happened: str
) -> None:
    result = run(f"- user: Weather?\n- expect: {expectation}", responder=WEATHER)
    assert failure_of(result) == (expected, happened)
    assert result.failure is not None
    assert result.failure.line == 6


def test_an_event_that_did_not_happen_is_described_by_the_others(run: Run) -> None:
    result = run("- user: Hi\n- expect: {event: speech_started}")
    assert failure_of(result)[0] == "an event speech_started"
    assert "1 agent_end" in failure_of(result)[1]


def test_an_expectation_that_came_too_late_says_when(run: Run) -> None:
    steps = "- user: Weather?\n- wait_ms: 2000\n- expect: {call: get_weather, outcome: completed, within_ms: 50}"
    expected, happened = failure_of(run(steps, responder=WEATHER))
    assert expected.endswith("within 50 ms")
    assert re.fullmatch(r"it took 3\d\d ms", happened)


def test_only_events_since_the_last_action_count(run: Run) -> None:
    steps = "- user: a\n- expect: {said: You said}\n- user: b\n- expect: {said: 'said: a'}"
    assert failure_of(run(steps))[1] == "the agent said: 'You said: b'"


def test_what_must_not_happen(run: Run) -> None:
    calm = run("- user: Weather?\n- expect_no: {call: get_weather, outcome: completed, within_ms: 100}",
               responder=WEATHER)  # fmt: skip
    assert calm.passed, calm.report
    result = run(
        "- user: Weather?\n- expect_no: {call: get_weather, outcome: completed, within_ms: 1000}",
        responder=WEATHER,
    )
    expected, happened = failure_of(result)
    assert expected == (
        "within 1000 ms, not this: a call of get_weather with the outcome completed"
    )
    assert re.fullmatch(r"it took \d+ ms; the calls were: get_weather .*", happened)


# --- steps ---------------------------------------------------------------------------------------


def test_an_interruption_by_the_application(run: Run) -> None:
    result = run(
        """
        - user: Tell me a story
        - expect: {event: audio_start}
        - wait_ms: 1500
        - interrupt
        - expect: {interrupted: {min_ms: 1500, max_ms: 1500}}
        """,
        modality="audio",
        responder="[{say: Once upon a time, audio_ms: 8000}]",
    )
    assert result.passed, result.report


def test_a_call_is_approved_once_it_waits(run: Run) -> None:
    result = run(
        """
        - user: Pay
        - approve: pay
        - expect: {call: pay, outcome: completed}
        - reject: pay
          message: enough
        - expect: {call: pay, outcome: rejected, output: enough}
        """,
        responder="[[{call: pay, arguments: {euros: 1}}, {call: pay, arguments: {euros: 2}}], {say: Ok}]",
    )
    assert result.passed, result.report


def test_an_approval_that_is_not_needed(run: Run) -> None:
    result = run("- user: Hi\n- approve: pay")
    assert failure_of(result) == (
        "a call of pay that waits for approval",
        "the calls were: none",
    )


@pytest.mark.parametrize("config", [None, "support.scenario_agents:phone"])
def test_speech_is_played_in_the_input_format(run: Run, tmp_path: Path, config: str | None) -> None:
    write_tone(tmp_path / "hello.wav", 1.0)
    keys = {} if config is None else {"config": config}
    result = run(
        """
        - play: hello.wav
          silence_ms: 900
        - expect: {event: speech_stopped, within_ms: 600}
        - expect: {event: user_transcript, fields: {transcript: Hello}}
        - expect: {said: "You said: Hello"}
        """,
        transcripts="[Hello]",
        **keys,
    )
    assert result.passed, result.report


def test_a_plain_function_runs_in_a_thread_while_time_stands_still(run: Run) -> None:
    result = run(
        "- user: Read\n- expect: {call: read_file, outcome: completed, within_ms: 500}",
        responder="[{call: read_file, arguments: {name: x}}, {say: Empty}]",
    )
    assert result.passed, result.report


def test_a_factory_a_context_and_a_responder_of_the_user(run: Run) -> None:
    result = run(
        "- user: Who?\n- expect: {call: who, output: Ada}",
        agent="support.scenario_agents:make_agent",
        context="support.scenario_agents:caller",
        responder="[{call: who}, {say: It is Ada}]",
    )
    assert result.passed, result.report
    result = run(
        "- user: Hi\n- expect: {said: 1 items}", responder="support.scenario_agents:Parrot"
    )
    assert result.passed, result.report


# --- the end -------------------------------------------------------------------------------------


def test_replies_that_were_not_used_fail_the_scenario(run: Run) -> None:
    result = run("- user: Hi\n- expect: {said: a}", responder="[{say: a}, {say: b}]")
    assert failure_of(result) == ("every entry of the responder is used", "1 were not requested")


def test_an_unexpected_failure_fails_the_scenario(run: Run) -> None:
    steps = "- user: Hi\n- expect: {event: agent_start}"
    result = run(steps, responder="[{fail: quota, message: No money}]")
    assert failure_of(result) == (
        "no error that is not expected",
        "a response failed: No money",
    )
    steps = "- user: Hi\n- expect: {event: agent_end, fields: {status: failed}}"
    assert run(steps, responder="[{fail: quota}]").passed


def test_a_script_that_is_too_short_fails_the_scenario(run: Run) -> None:
    result = run("- user: Hi\n- expect: {event: agent_start}", responder="[]")
    assert failure_of(result)[0] == "no error that is not expected"


def test_a_session_may_end_as_expected(run: Run) -> None:
    result = run(
        "- user: Bye\n- expect: {event: session_ended}",
        agent="support.scenario_agents:polite_agent",
        context="support.scenario_agents:Line",
        setup="support.scenario_agents:connect",
        responder="[[{say: Bye}, {call: hang_up}]]",
    )
    assert result.passed, result.report
    result = run("- user: Hi\n- expect: {event: session_ended}", responder="[{call: explode}]")
    assert result.passed, result.report


def test_a_session_that_fails_fails_the_scenario(run: Run) -> None:
    steps = "- user: Hi\n- expect: {call: explode}\n- wait_ms: 100"
    expected, happened = failure_of(run(steps, responder="[{call: explode}]"))
    assert expected == "the session goes on"
    assert happened.startswith("ToolFailed: ")
    steps = "- user: Hi\n- expect: {call: explode, outcome: failed}\n- user: Again"
    result = run(steps, responder="[{call: explode}]")
    assert failure_of(result)[0] == "the session goes on"
    assert result.failure is not None
    assert result.failure.line == 7


def test_an_expectation_fails_at_once_when_the_session_has_ended(run: Run) -> None:
    steps = "- user: Hi\n- expect: {said: never}"
    result = run(steps, responder="[{call: explode}]", timeout="1000")
    assert failure_of(result)[0].endswith("'never'")
    assert result.seconds < 10


def test_judges_get_the_conversation(run: Run) -> None:
    scenario_agents.judged.clear()
    result = run("- user: Hi\n- expect: {said: Hi}", judge="support.scenario_agents:accept")
    assert result.passed
    (conversation,) = scenario_agents.judged
    assert conversation.name == "case"
    assert [(entry.speaker, entry.text) for entry in conversation.entries] == [
        ("user", "Hi"),
        ("Clerk", "You said: Hi"),
    ]
    assert len(conversation.history) == 2
    assert conversation.text == result.conversation
    assert conversation.events[-1][0] <= result.seconds


@pytest.mark.parametrize(
    ("judge", "happened"),
    [
        ("reject", "it is rude"),
        ("refuse", "it did not"),
        ("crash", "ConnectionError: no model"),
        ("mumble", "it returned 'good', which is neither a bool nor a Verdict"),
    ],
)
def test_a_judge_can_fail_a_scenario(run: Run, judge: str, happened: str) -> None:
    judges = f"[support.scenario_agents:accept, support.scenario_agents:{judge}]"
    result = run("- user: Hi\n- expect: {said: Hi}", judge=judges)
    assert failure_of(result) == (f"the judge {judge} passes the conversation", happened)
    assert result.failure is not None
    assert result.failure.line is None


# --- what a scenario names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"agent": "agent"}, "agent: expected module:name, got 'agent'"),
        ({"agent": "no_such_module:a"}, "agent: cannot import 'no_such_module': "),
        ({"agent": "support.scenario_agents:nobody"}, "agent: .* has no 'nobody'"),
        ({"agent": "support.scenario_agents:number"}, "agent: expected a RealtimeAgent, .* got 5"),
        ({"config": "support.scenario_agents:number"}, "config: expected a SessionConfig, got 5"),
        ({"responder": "support.scenario_agents:number"}, "responder: expected a Responder, got 5"),
        ({"setup": "support.scenario_agents:number"}, "setup: expected a function, got 5"),
        ({"judge": "support.scenario_agents:number"}, "judge: expected a function, got 5"),
    ],
)
def test_a_wrong_import_path_is_named(run: Run, keys: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"case\.scenario\.yaml: {message}"):
        run("- user: Hi", **keys)


def test_a_wrong_audio_file_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"play: cannot read .*none\.wav"):
        run("- play: none.wav")
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ConfigurationError, match=r"text\.wav is not a PCM WAV file"):
        run("- play: text.wav")
    write_tone(tmp_path / "slow.wav", 0.1, rate=8000)
    with pytest.raises(ConfigurationError, match="of 16 bits at 8000 Hz"):
        run("- play: slow.wav")


def test_folders_to_import_from_are_relative_to_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "scenario_agent_of_a_folder.py").write_text(
        "from trio_realtime import RealtimeAgent\nagent = RealtimeAgent(name='Found')\n"
    )
    result = run(
        "- user: Hi\n- expect: {event: agent_end, fields: {agent: Found}}",
        agent="scenario_agent_of_a_folder:agent",
        python_path="[inner]",
    )
    assert result.passed, result.report


def test_another_module_of_the_same_name_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wave.py").write_text("agent = 5\n")
    with pytest.raises(ConfigurationError, match=r"'wave' was imported from .* before, so"):
        run("- user: Hi", agent="wave:agent")


# --- real time -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_service_is_tested_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "case.scenario.yaml"
    path.write_text(
        "agent: support.scenario_agents:agent\nresponder: [{say: not used}]\n"
        "steps: [{user: Weather in Oslo?}, {expect: {call: get_weather, outcome: completed}}]"
    )
    results: list[ScenarioResult] = []

    async def main() -> None:
        async with serve_local() as server:
            scenario = load_scenario(path)
            results.append(
                await trio.to_thread.run_sync(
                    lambda: run_scenario(scenario, endpoint=server.endpoint)
                )
            )

    trio.run(main)
    assert results[0].passed, results[0].report
    assert results[0].seconds > 0.25
