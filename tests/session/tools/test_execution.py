"""Running a tool: arguments, time limits, failures and their messages."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.events import drain_events
from support.failures import UNUSUAL_EXCEPTIONS
from support.service import send_call, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_crashing_tool, make_failing_tool
from support.wire import CREATE, ITEM, sent_outputs, sent_types
from trio_realtime import FunctionTool, ToolContext, events, function_tool
from trio_realtime.errors import RealtimeError, ToolTimedOut
from trio_realtime.testing import ScriptedPeer

# --- arguments and failures --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"amount": ', "truncated"),
        ("not json", "malformed"),
        ("[]", "object"),
        ("null", "amount"),
        ('{"amount": "five"}', "amount"),
        ('{"amount": 1.5}', "int"),
        ("{}", "amount"),
        ('{"amount": 5, "surprise": 1}', "surprise"),
        ('{"amount": NaN}', "malformed"),
    ],
)
async def test_invalid_arguments_are_answered_with_the_reason(
    arguments: str, says: str, autojump_clock: MockClock
) -> None:
    runs: list[int] = []

    @function_tool
    async def pay(amount: int) -> None:
        """Pay."""
        runs.append(amount)

    peer = ScriptedPeer()
    async with open_test_session(peer, pay) as session:
        await send_call_and_wait(peer, "pay", arguments)
        ((_call_id, output),) = sent_outputs(peer)
        assert "pay" in output
        assert says in output
        assert runs == []
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"


async def test_failing_tool_is_answered_and_the_session_continues(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def divide(by: int) -> float:
        """Divide 1 by this number."""
        return 1 / by

    peer = ScriptedPeer()
    async with open_test_session(peer, divide) as session:
        await send_call_and_wait(peer, "divide", '{"by": 0}')
        ((_call_id, output),) = sent_outputs(peer)
        assert "ZeroDivisionError: division by zero" in output
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert await sent_types(peer) == [ITEM, CREATE]
        await session.send_message("Try two.")
        assert await sent_types(peer) == [ITEM, CREATE, ITEM]


async def test_exception_of_a_tool_is_reported_and_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    @function_tool
    async def fail() -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, fail) as session:
        with session.subscribe(events.ToolEnd) as ends:
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "fail")
            peer.end_response("resp_1")
            end = await ends.receive()
    assert isinstance(end, events.ToolEnd)
    assert isinstance(end.error, LookupError)
    assert end.error.__traceback__ is not None
    (record,) = [one for one in caplog.records if one.name == "trio_realtime.tools"]
    assert record.exc_info is not None
    assert record.exc_info[1] is end.error


# --- time limits -------------------------------------------------------------------------------


TIMED_OUT = "Tool slow timed out after 2 seconds."


async def test_timeout_cancels_the_tool_and_is_answered(
    autojump_clock: MockClock,
) -> None:
    stopped: list[float] = []

    @function_tool(timeout=2)
    async def slow() -> None:
        """Wait forever."""
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(trio.current_time())

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        began = trio.current_time()
        await send_call_and_wait(peer, "slow")
        await trio.sleep(1.9)
        assert sent_outputs(peer) == []
        await trio.sleep(0.2)
        assert stopped == [pytest.approx(began + 2)]
        assert sent_outputs(peer) == [("call_1", "Tool slow timed out after 2 seconds.")]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "timed_out"


async def test_timeout_inside_a_tool_is_a_failure_of_the_tool(
    autojump_clock: MockClock,
) -> None:
    @function_tool(timeout=10)
    async def impatient() -> None:
        """Give up after a second."""
        with trio.fail_after(1):
            await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, impatient) as session:
        await send_call_and_wait(peer, "impatient")
        await trio.sleep(2)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "failed"
        assert "TooSlowError" in end.output_text


def make_slow_tool(**options: Any) -> FunctionTool:
    @function_tool(timeout=2, **options)
    async def slow() -> None:
        await trio.sleep_forever()

    return slow


async def test_timeout_may_count_as_a_failure(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_slow_tool(on_timeout="failure")) as session:
        await send_call_and_wait(peer, "slow")
        await trio.sleep(3)
        assert sent_outputs(peer) == [("call_1", TIMED_OUT)]
        assert await sent_types(peer) == [ITEM, CREATE]
        (end,) = drain_events(session.events, events.ToolEnd)
    assert end.outcome == "timed_out"
    assert isinstance(end.error, ToolTimedOut)
    assert isinstance(end.error, TimeoutError)
    assert isinstance(end.error, RealtimeError)
    assert str(end.error) == TIMED_OUT
    assert [one for one in caplog.records if one.name == "trio_realtime.tools"]


async def test_answered_timeout_is_not_a_failure(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    tool = make_slow_tool(on_failure="end_session", format_error=lambda _, __: "never")
    async with open_test_session(peer, tool) as session:
        await send_call_and_wait(peer, "slow")
        await trio.sleep(3)
        assert sent_outputs(peer) == [("call_1", TIMED_OUT)]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.error is None
        await session.send_message("Still here?")


# --- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("on_timeout", ["answer", "failure"])
async def test_format_error_words_a_timeout_only_if_it_is_a_failure(
    on_timeout: Any, autojump_clock: MockClock
) -> None:
    async def word(about: ToolContext[None], error: Exception) -> str:
        await trio.sleep(1)
        return f"{type(error).__name__} of {about.tool_name} in {about.call_id}"

    @function_tool(timeout=3, on_timeout=on_timeout, format_error=word)
    async def slow() -> None:
        """Wait forever."""
        await trio.sleep_forever()

    peer = ScriptedPeer()
    async with open_test_session(peer, slow) as session:
        await send_call_and_wait(peer, "slow")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert isinstance(end.error, ToolTimedOut) == (on_timeout == "failure")
    expected = {
        "answer": "Tool slow timed out after 3 seconds.",
        "failure": "ToolTimedOut of slow in call_1",
    }
    assert sent_outputs(peer) == [("call_1", expected[on_timeout])]


async def test_format_error_words_the_answer(autojump_clock: MockClock) -> None:
    async def word(context: ToolContext[None], exc: Exception) -> str:
        return f"{context.tool_name}: sorry ({exc})"

    @function_tool(format_error=word)
    async def fail() -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, fail):
        send_call(peer, "fail")
        answer = await peer.expect("conversation.item.create")
        assert answer["item"]["output"] == "fail: sorry (lost)"


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_format_error_gets_every_kind_of_exception(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    seen: list[Any] = []

    def word(_: ToolContext[None], exc: BaseException) -> str:
        seen.append(exc)
        return "Sorry."

    peer = ScriptedPeer()
    async with open_test_session(peer, make_crashing_tool(failure, format_error=word)) as session:
        await send_call_and_wait(peer, "crash")
        assert sent_outputs(peer) == [("call_1", "Sorry.")]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.error is seen[0]
        assert type(end.error) is type(failure)


def raise_runtime_error(_: ToolContext[None], __: Exception) -> str:
    raise RuntimeError("no message")


async def raise_runtime_error_later(_: ToolContext[None], __: Exception) -> str:
    await trio.sleep(1)
    raise RuntimeError("no message")


@pytest.mark.parametrize(
    "format_error",
    [raise_runtime_error, raise_runtime_error_later, lambda _, __: None, lambda _, __: 42],
)
async def test_failing_format_error_falls_back_to_the_default_message(
    format_error: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_failing_tool(format_error=format_error)) as session:
        await send_call_and_wait(peer, "broken")
        await trio.sleep(2)
        assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert isinstance(end.error, LookupError)
        await session.send_message("Still here?")
    logged = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert logged == ["format_error of tool broken failed"]


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_format_error_may_raise_every_kind_of_exception(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    def word(_: ToolContext[None], __: Exception) -> str:
        raise failure

    peer = ScriptedPeer()
    async with open_test_session(peer, make_failing_tool(format_error=word)):
        await send_call_and_wait(peer, "broken")
        assert sent_outputs(peer) == [("call_1", "Tool broken failed: LookupError: lost")]
