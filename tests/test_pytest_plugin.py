"""The pytest plugin, in runs of pytest inside of the test."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

SHOP = """
from trio_realtime import RealtimeAgent, function_tool

@function_tool
async def get_weather(city: str) -> str:
    return f"Sunny in {city}"

agent = RealtimeAgent(name="Clerk", tools=[get_weather])
"""
IMPORTS = """
import pytest

from shop import agent
from trio_realtime import SessionConfig
from trio_realtime.local import Call, Say, ScriptedResponder
from trio_realtime.testing import collect_turn

@pytest.fixture
def realtime_agent():
    return agent

"""
SCENARIO = """
name: The clerk answers
agent: shop:agent
modality: text
steps:
  - user: What is the weather in Oslo?
  - expect: {said: Sunny in CITY}
"""
INI = "[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider"


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a pytester whose runs use trio mode, fail on warnings, and can import ``shop``."""
    pytester.makeini(f"{INI}\ntrio_mode = true")
    pytester.makepyfile(shop=SHOP)
    return pytester


def lines_of(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


def test_a_connected_session_uses_the_fixtures_of_the_user(run: pytest.Pytester) -> None:
    run.makepyfile(
        IMPORTS
        + dedent("""
        @pytest.fixture
        def realtime_config():
            return SessionConfig(output_modalities=("text",))

        @pytest.fixture
        def realtime_server_settings():
            return {"responder": ScriptedResponder([Call("get_weather", {"city": "Rome"}), Say("Nice!")])}

        @pytest.fixture
        def realtime_context():
            return "Ada"

        async def test_weather(connected_session, local_server, autojump_clock):
            turn = await collect_turn(connected_session, "How is it outside?")
            turn.assert_called("get_weather", city="Rome")
            assert turn.text == "Nice!"
            assert connected_session.context == "Ada"
            assert len(local_server.connections) == 1
        """)
    )
    run.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_connected_session_without_an_agent_says_what_to_define(run: pytest.Pytester) -> None:
    run.makepyfile("async def test_x(connected_session): pass")
    result = run.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    assert "define a fixture realtime_agent" in lines_of(result)


def test_a_failed_test_shows_its_conversations(run: pytest.Pytester) -> None:
    run.makepyfile(
        IMPORTS
        + dedent("""
        async def test_two_sessions(connected_session, open_session, autojump_clock):
            await collect_turn(connected_session, "Hello")
            async with open_session(agent, responder=ScriptedResponder([Say("Bye")])) as session:
                await collect_turn(session, "Good night")
            assert 1 == 2

        async def test_that_passes(connected_session, autojump_clock):
            await collect_turn(connected_session, "Not shown")

        def test_without_a_session():
            assert 1 == 3
        """)
    )
    result = run.runpytest_inprocess()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- Realtime conversation -*",
            "*  user: Hello",
            "*  Clerk: You said: Hello",
            "*  user: Good night",
            "*  Clerk: Bye",
        ]
    )
    assert lines_of(result).count("Realtime conversation") == 1
    assert "Not shown" not in lines_of(result)


def test_the_fixtures_work_with_the_plugin_of_anyio(run: pytest.Pytester) -> None:
    run.makeini(INI)
    run.makepyfile(
        IMPORTS
        + dedent("""
        @pytest.fixture
        def anyio_backend():
            return "trio"

        @pytest.mark.anyio
        async def test_hello(open_session, realtime_agent):
            async with open_session(realtime_agent, config=SessionConfig(output_modalities=("text",))) as session:
                assert (await collect_turn(session, "Hello")).text == "You said: Hello"

        @pytest.mark.trio
        async def test_hello_with_pytest_trio(connected_session, autojump_clock):
            assert (await collect_turn(connected_session, "Hello")).transcript == "You said: Hello"
        """)
    )
    run.runpytest_inprocess().assert_outcomes(passed=2)


# --- scenario files ------------------------------------------------------------------------------


def test_scenario_files_are_tests(run: pytest.Pytester) -> None:
    run.path.joinpath("good.scenario.yaml").write_text(SCENARIO.replace("CITY", "Oslo"))
    run.path.joinpath("bad.scenario.yaml").write_text(SCENARIO.replace("CITY", "Rome"))
    run.path.joinpath("other.yaml").write_text("not: a scenario")
    result = run.runpytest_inprocess("-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "good.scenario.yaml::The clerk answers PASSED*",
            "*FAILED  *bad.scenario.yaml:7: The clerk answers",
            "  expected: the agent says something containing 'Sunny in Rome'",
            "  happened: the agent said: *'Sunny in Oslo'",
            "*user: What is the weather in Oslo?",
        ]
    )
    assert "Traceback" not in lines_of(result)


def test_a_scenario_file_with_a_mistake_is_an_error_of_the_collection(run: pytest.Pytester) -> None:
    run.path.joinpath("bad.scenario.yaml").write_text("agent: a:b\nsteps: [{usr: Hi}]")
    result = run.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    assert "bad.scenario.yaml:2: steps[0]: expected exactly one of user" in lines_of(result)


def test_a_scenario_whose_agent_does_not_exist_fails(run: pytest.Pytester) -> None:
    run.path.joinpath("bad.scenario.yaml").write_text("agent: no_shop:b\nsteps: [{user: Hi}]")
    result = run.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    assert "agent: cannot import 'no_shop'" in lines_of(result)
    assert "Traceback" not in lines_of(result)


# --- pytest without trio_realtime ----------------------------------------------------------------


@pytest.mark.slow
def test_nothing_is_imported_until_a_fixture_is_used(run: pytest.Pytester) -> None:
    run.path.joinpath("a.scenario.yaml").write_text(SCENARIO)
    run.makepyfile(
        """
        import sys

        def test_modules():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert "pytest_trio_realtime" in loaded
            assert not loaded & {"trio_realtime", "ruamel", "numpy", "msgspec", "cattrs"}

        def test_fixture(local_server):
            assert "trio_realtime" in sys.modules
        """
    )
    run.runpytest_subprocess(*run.path.glob("test_*.py")).assert_outcomes(passed=2)


@pytest.mark.slow
def test_without_pytest_trio_only_its_fixtures_are_missing(run: pytest.Pytester) -> None:
    run.makeini(f"{INI} -p no:trio")
    run.path.joinpath("good.scenario.yaml").write_text(SCENARIO.replace("CITY", "Oslo"))
    run.makepyfile(
        """
        import sys

        def test_plain(local_server):
            assert "pytest_trio" not in sys.modules

        def test_async(connected_session):
            pass
        """
    )
    result = run.runpytest_subprocess()
    result.assert_outcomes(passed=2, errors=1)
    assert "fixture 'connected_session' not found" in lines_of(result)


@pytest.mark.slow
def test_the_plugin_imports_only_pytest() -> None:
    child = (
        "import sys, pytest; before = set(sys.modules); import pytest_trio_realtime\n"
        "print(*sorted(name for name in set(sys.modules) - before "
        "if name.partition('.')[0] not in sys.stdlib_module_names))"
    )
    result = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["pytest_trio_realtime"]
