"""What a line of a chat means, and what the commands of a chat show."""

from __future__ import annotations

import re

import pytest

from trio_realtime import McpServerStdio, RealtimeAgent, function_tool, handoff
from trio_realtime.cli.chat_commands import (
    COMMANDS,
    Command,
    Message,
    Mistake,
    help_lines,
    history_lines,
    parse_decision,
    parse_line,
    tool_lines,
)
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    InputText,
)
from trio_realtime.wire import MessageItem, OutputText


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("Hello ", Message("Hello")),
        ("  ", None),
        ("//tmp", Message("/tmp")),
        ("/help", Command.HELP),
        (" /quit ", Command.QUIT),
        ("/exit", Command.QUIT),
        ("/?", Command.HELP),
    ],
)
def test_a_line_is_a_message_or_a_command(line: str, meaning: object) -> None:
    assert parse_line(line) == meaning


@pytest.mark.parametrize(
    ("line", "explanation"),
    [
        ("/foo bar", "there is no command /foo; .* write two: //foo bar"),
        ("/", "there is no command /; "),
        ("/help me", "/help takes no argument; .* write //help me"),
    ],
)
def test_other_lines_with_a_slash_are_explained(line: str, explanation: str) -> None:
    meaning = parse_line(line)
    assert isinstance(meaning, Mistake)
    assert re.search(explanation, meaning.explanation)


def test_the_help_lists_every_command() -> None:
    text = "\n".join(help_lines())
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize(
    ("line", "decision"),
    [("y", True), (" YES", True), ("n", False), ("No", False), ("", None), ("sure", None)],
)
def test_a_decision_is_yes_or_no(line: str, decision: bool | None) -> None:
    assert parse_decision(line) is decision


def test_tools_are_listed_with_the_first_line_of_their_description() -> None:
    @function_tool(needs_approval=True)
    async def wipe() -> str:
        """Wipe the disk.

        Slowly.
        """
        return ""

    other, third = RealtimeAgent[None](name="Other"), RealtimeAgent[None](name="Third")
    agent = RealtimeAgent[None](
        name="Clerk",
        tools=[wipe],
        handoffs=[other, handoff(third)],
        mcp_servers=[McpServerStdio(name="files", command="true")],
    )
    assert tool_lines(agent) == [
        "wipe: Wipe the disk. (asks for your approval)",
        "handoff to Other",
        "handoff to Third",
        "the tools of the MCP server files",
    ]
    assert tool_lines(other) == ["Other has no tools."]


def test_the_history_has_a_line_for_each_item() -> None:
    items: list[HistoryItem] = [
        MessageItem(role="user", content=(InputText(text="Hi"),)),
        FunctionCallItem(call_id="c", name="look", arguments="{}"),
        FunctionCallOutputItem(call_id="c", output="nothing"),
        MessageItem(role="assistant", content=(OutputText(text="Sorry"),)),
        MessageItem(role="system", content=()),
    ]
    assert history_lines(items, "Clerk") == [
        "you: Hi",
        "[look {}]",
        "[answer of the tool: nothing]",
        "Clerk: Sorry",
        "system: (no text)",
    ]
    assert history_lines([], "Clerk") == ["Nothing was said yet."]
