"""What a line of a chat means, and the texts that the commands of a chat show. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Final, TypeAlias

import attrs

from trio_realtime import FunctionTool, RealtimeAgent
from trio_realtime.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    HistoryItem,
    item_text,
)
from trio_realtime.wire import MessageItem


@attrs.frozen
class Message:
    """A line for the agent."""

    text: str


class Command(Enum):
    """A command of the chat; its value is the line."""

    HELP = "/help"
    TOOLS = "/tools"
    HISTORY = "/history"
    QUIT = "/quit"


@attrs.frozen
class Mistake:
    """A line that is neither. ``explanation`` says what to write instead."""

    explanation: str


ChatLine: TypeAlias = Message | Command | Mistake | None

COMMANDS: Final = tuple(command.value for command in Command)

_SAME = {"/exit": Command.QUIT, "/?": Command.HELP}
_HELP: Final = {
    Command.HELP: "show this list",
    Command.TOOLS: "list what the agent can do",
    Command.HISTORY: "show the conversation so far",
    Command.QUIT: "end the chat, like Ctrl-D",
}


def parse_line(line: str) -> ChatLine:
    """Return what a line means; ``None`` for an empty one.

    A line that begins with a slash is a command. Two slashes begin a message that begins with one.
    """
    text = line.strip()
    if not text:
        return None
    if text.startswith("//"):
        return Message(text[1:])
    if not text.startswith("/"):
        return Message(text)
    name, _, rest = text.partition(" ")
    command = _SAME.get(name)
    if command is None and name in COMMANDS:
        command = Command(name)
    if command is None:
        return Mistake(
            f"there is no command {name}; /help lists the commands. "
            f"To send a line that begins with a slash, write two: /{text}"
        )
    if rest.strip():
        return Mistake(f"{name} takes no argument; to send this line to the agent, write /{text}")
    return command


def parse_decision(line: str) -> bool | None:
    """Return whether a line says yes or no; ``None`` if it says neither."""
    return {"y": True, "yes": True, "n": False, "no": False}.get(line.strip().casefold())


def help_lines() -> Iterator[str]:
    """Yield the help of the chat."""
    for command, text in _HELP.items():
        yield f"{command.value:<10}{text}"
    yield f"{'Ctrl-C':<10}interrupt an answer, or quit"
    yield "Everything else is sent to the agent."


def tool_lines(agent: RealtimeAgent[Any]) -> list[str]:
    """Return one line for each tool, handoff and MCP server of an agent."""
    lines = [_tool_line(tool) for tool in agent.tools]
    handoffs: Iterable[Any] = () if callable(agent.handoffs) else agent.handoffs
    lines += [f"handoff to {_target_name(handoff)}" for handoff in handoffs]
    servers = [server.name for server in agent.mcp_servers]
    servers += [server.server_label for server in agent.hosted_tools]
    lines += [f"the tools of the MCP server {name}" for name in servers]
    return lines or [f"{agent.name} has no tools."]


def _target_name(handoff: Any) -> str:
    """Return the name of the agent of a handoff, which may be the agent itself."""
    return str(getattr(handoff, "agent", handoff).name)


def _tool_line(tool: FunctionTool) -> str:
    summary = (tool.description or "").strip().partition("\n")[0]
    asks = "" if tool.needs_approval is False else " (asks for your approval)"
    return f"{tool.name}: {summary}{asks}"


def history_lines(items: Iterable[HistoryItem], agent_name: str) -> list[str]:
    """Return one line for each item of a conversation."""
    return [_item_line(item, agent_name) for item in items] or ["Nothing was said yet."]


def _item_line(item: HistoryItem, agent_name: str) -> str:
    match item:
        case MessageItem(role=role):
            name = {"user": "you", "assistant": agent_name}.get(role, role)
            return f"{name}: {item_text(item) or '(no text)'}"
        case FunctionCallItem(name=name, arguments=arguments):
            return f"[{name} {arguments}]"
        case FunctionCallOutputItem(output=output):
            return f"[answer of the tool: {output}]"
        case _:
            return f"[{item.type}]"
