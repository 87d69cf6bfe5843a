"""The ``chat`` command with a user whose lines and Ctrl-C come from the test, on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from trio_realtime import (
    RealtimeAgent,
    SessionConfig,
    ToolContext,
    function_tool,
    open_realtime_session,
)
from trio_realtime.cli.chat import Chat
from trio_realtime.cli.console import Terminal
from trio_realtime.cli.exit import INTERRUPTED, OK
from trio_realtime.cli.line_input import End
from trio_realtime.errors import ClosedByService
from trio_realtime.local import Call, Fail, Say, ScriptedResponder, local_connector
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

TEXT = SessionConfig(output_modalities=("text",))
LONG = "once upon a time " * 200  # takes minutes at the pace of the tests


class User:
    """A user who writes lines and presses Ctrl-C.

    Attributes:
        prompts: what was shown in front of the lines that were read.
    """

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self._lines, self._received = trio.open_memory_channel[str | End](100)
        self._keys, self.interrupts = trio.open_memory_channel[int](100)

    async def read_line(self, prompt: str) -> str | End:
        self.prompts.append(prompt)
        return await self._received.receive()

    async def write(self, *lines: str | End) -> None:
        for line in lines:
            self._lines.send_nowait(line)
        await trio.testing.wait_all_tasks_blocked()

    async def press_ctrl_c(self) -> None:
        self._keys.send_nowait(2)
        await trio.testing.wait_all_tasks_blocked()


class Running:
    """A chat that runs. ``status`` is the exit status after its end."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.status: int | None = None
        self.ended = trio.Event()


@asynccontextmanager
async def chatting(
    agent: RealtimeAgent[None] | None = None, **server: Any
) -> AsyncGenerator[Running]:
    """Run a chat in the background. It must have ended at the end of the block."""
    agent = agent or RealtimeAgent[None](name="Clerk")
    connector = local_connector(**server)
    running = Running(user := User())
    async with (
        open_realtime_session(
            agent, endpoint=connector.endpoint, transport=connector, config=TEXT
        ) as session,
        trio.open_nursery() as nursery,
    ):

        async def chat() -> None:
            terminal = Terminal(agent.name, prompt=False)
            loop = Chat(session, terminal, user, echo=False)
            running.status = await loop.run(user.interrupts)
            terminal.finish()
            running.ended.set()

        nursery.start_soon(chat)
        yield running
        with trio.fail_after(600):
            await running.ended.wait()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# --- lines ---------------------------------------------------------------------------------------


async def test_lines_are_answered_until_the_input_ends(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    async with chatting() as chat:
        await chat.user.write("Hello", "", "  ", "//etc", End.OF_INPUT)
    assert chat.status == OK
    assert lines_of(capsys) == ["Clerk: You said: Hello", "Clerk: You said: /etc"]


async def test_commands_show_what_they_are_asked_for(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    @function_tool
    async def roll_dice() -> str:
        """Roll the dice."""
        return "six"

    async with chatting(RealtimeAgent(name="Clerk", tools=[roll_dice])) as chat:
        await chat.user.write("/history", "/tools", "Hello", "/history", "/nonsense", "/quit")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "Nothing was said yet.",
        "roll_dice: Roll the dice.",
        "Clerk: You said: Hello",
        "you: Hello",
        "Clerk: You said: Hello",
    ]
    assert "there is no command /nonsense" in printed.err
    assert chat.status == OK


async def test_a_failed_answer_does_not_end_the_chat(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    responder = ScriptedResponder([[Fail("the model is tired")], [Say("Better.")]])
    async with chatting(responder=responder) as chat:
        await chat.user.write("One", "Two", "/quit")
    printed = capsys.readouterr()
    assert printed.out == "Clerk: Better.\n"
    assert "the response ended failed" in printed.err


# --- Ctrl-C --------------------------------------------------------------------------------------


async def test_ctrl_c_interrupts_an_answer_and_the_chat_goes_on(
    autojump_clock: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    responder = ScriptedResponder([[Say(LONG)], [Say("Yes?")]])
    async with chatting(responder=responder, pacing=1.0) as chat:
        await chat.user.write("Tell me a story")
        await trio.sleep(5)
        await chat.user.press_ctrl_c()
        assert chat.status is None
        await chat.user.write("Stop", "/quit")
    first, *rest = lines_of(capsys)
    assert first.startswith("Clerk: once upon a time")
    assert len(first) < len(LONG)
    assert rest == ["[interrupted]", "Clerk: Yes?"]
    assert chat.status == OK


async def test_ctrl_c_before_the_first_word_interrupts_too(
    autojump_clock: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with chatting(latency=5.0) as chat:
        await chat.user.write("Hello")
        await chat.user.press_ctrl_c()
        await trio.sleep(20)
        await chat.user.write("/quit")
    assert lines_of(capsys) == ["[interrupted]"]


@pytest.mark.parametrize("key", [False, True], ids=["signal", "key"])
async def test_ctrl_c_while_the_agent_is_silent_quits(autojump_clock: object, *, key: bool) -> None:
    async with chatting() as chat:
        await chat.user.write("Hello")
        await trio.sleep(5)
        await (chat.user.write(End.INTERRUPTED) if key else chat.user.press_ctrl_c())
    assert chat.status == INTERRUPTED


async def test_a_second_ctrl_c_quits_while_a_tool_cleans_up(autojump_clock: object) -> None:
    cleaned_up = False

    @function_tool
    async def dig() -> str:
        nonlocal cleaned_up
        try:
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(10)
            cleaned_up = True
        return "done"

    agent = RealtimeAgent[None](name="Clerk", tools=[dig])
    async with chatting(agent, responder=ScriptedResponder([[Call("dig")]])) as chat:
        await chat.user.write("dig")
        await trio.sleep(3)
        await chat.user.press_ctrl_c()
        await chat.user.press_ctrl_c()
    assert chat.status == INTERRUPTED
    assert cleaned_up


# --- approvals -----------------------------------------------------------------------------------


class Vault:
    """An agent with a tool that needs approval."""

    def __init__(self) -> None:
        self.opened: list[str] = []

        @function_tool(needs_approval=True)
        async def open_vault(number: str) -> str:
            self.opened.append(number)
            return f"vault {number} is open"

        self.agent = RealtimeAgent[None](name="Clerk", tools=[open_vault])
        self.responder = ScriptedResponder(
            [[Call("open_vault", {"number": "7"})], [Say("That is all.")]]
        )


QUESTION = 'Allow open_vault {"number":"7"}? [y/n] '


@pytest.mark.parametrize(
    ("answers", "opened"),
    [
        (["y"], ["7"]),
        (["Yes "], ["7"]),
        (["n"], []),
        (["perhaps", "y"], ["7"]),
        ([End.OF_INPUT], []),
    ],
    ids=str,
)
async def test_the_user_decides_about_a_call_that_needs_approval(
    autojump_clock: object,
    answers: Sequence[str | End],
    opened: Sequence[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    vault = Vault()
    async with chatting(vault.agent, responder=vault.responder) as chat:
        await chat.user.write("Open vault 7", *answers)
        await trio.sleep(10)
        await chat.user.write("/quit")
    assert vault.opened == opened
    assert chat.user.prompts == ["you> ", *[QUESTION] * len(answers), "you> "]
    assert lines_of(capsys)[-1] == "Clerk: That is all."


@pytest.mark.parametrize("key", [False, True], ids=["signal", "key"])
async def test_ctrl_c_at_a_question_interrupts_the_call(
    autojump_clock: object, capsys: pytest.CaptureFixture[str], *, key: bool
) -> None:
    vault = Vault()
    async with chatting(vault.agent, responder=vault.responder) as chat:
        await chat.user.write("Open vault 7")
        await trio.sleep(5)
        await (chat.user.write(End.INTERRUPTED) if key else chat.user.press_ctrl_c())
        await trio.sleep(5)
        await chat.user.write("/quit")
    assert vault.opened == []
    assert chat.status == OK
    assert "[interrupted]" in lines_of(capsys)


# --- events while nobody asks --------------------------------------------------------------------


async def test_an_answer_that_begins_by_itself_suspends_the_prompt(
    autojump_clock: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @function_tool
    async def order(context: ToolContext[None]) -> str:
        """Order something, and report when it arrives."""
        await context.answer_early("It is ordered.", respond=True)
        await trio.sleep(60)
        return "It has arrived."

    agent = RealtimeAgent[None](name="Clerk", tools=[order])
    responder = ScriptedResponder([[Call("order")], [Say("Ordered.")], [Say("It is here.")]])
    async with chatting(agent, responder=responder) as chat:
        await chat.user.write("order a book")
        await trio.sleep(120)
        await chat.user.write("/quit")
    assert lines_of(capsys)[-1] == "Clerk: It is here."
    assert chat.user.prompts == ["you> "] * 3


async def test_a_session_that_the_service_closes_ends_the_chat(autojump_clock: object) -> None:
    peer = ScriptedPeer()
    user = User()
    config = SessionConfig(reconnect=None)
    with pytest.RaisesGroup(ClosedByService, flatten_subgroups=True):
        async with open_realtime_session(
            RealtimeAgent[None](name="Clerk"),
            endpoint=TEST_ENDPOINT,
            transport=peer.connect,
            config=config,
        ) as session:
            peer.close(1000)
            await Chat(session, Terminal("Clerk", prompt=False), user, echo=False).run(
                user.interrupts
            )
