"""The default responder, which follows simple, predictable rules instead of a model.

In this order:

1. After the outputs of tools, it reads them out, including those of hosted MCP tools. It says
   which hosted calls were rejected.
2. It calls each tool that the user's words name. The words name a tool if they contain all
   significant words of its name: "weather" names ``get_weather``, and "billing" names
   ``transfer_to_billing_agent``. Several tools are called in the order of their mention. The
   arguments come from the same words and the tool's JSON schema (:mod:`.argument_guesser`).
3. Otherwise it repeats the user's words, or says how much audio it received.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from .argument_guesser import guess_arguments
from .responders import Call, HostedCall, Say, Step, Turn, TurnItem
from .types import Json, is_object

__all__ = ["RuleResponder"]

_GREETING: Final = "Hello! How can I help you?"
_STILL_THERE: Final = "Are you still there?"

#: Words in names of tools that do not identify the tool.
_STOP_WORDS: Final = frozenset(
    "a an the to of for in on at by with from is are my your this that and or it "
    "get set do fetch look up lookup find search call run make create update check show tell ask "
    "read list send give use query compute calculate retrieve load save store remember add new "
    "transfer handoff hand over switch agent assistant tool function current".split()
)


class RuleResponder:
    """A :class:`Responder` that reads out results, calls named tools, or repeats the user's words.

    It has no state, so one instance can serve any number of servers.
    """

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Return the steps of one turn."""
        results = _new_results(turn.items)
        if results:
            return [Say(" ".join(results))]
        item = _last_message(turn.items)
        words = item.text if item is not None and item.role == "user" else ""
        return list(_calls(turn, words)) or [Say(_reply(item))]


def _new_results(items: Sequence[TurnItem]) -> list[str]:
    """Return the results of calls after the last message."""
    results: list[str] = []
    for item in reversed(items):
        if item.kind == "message":
            break
        if item.kind == "function_call_output" or item.outcome is not None:
            results.append(item.output.strip() or "Done.")
        elif item.approve is False:
            results.append(_rejection(item, items))
    return results[::-1]


def _rejection(decision: TurnItem, items: Sequence[TurnItem]) -> str:
    asked = [item.name for item in items if item.id == decision.approval_request_id]
    name = asked[0] if asked else "it"
    return f"I may not call {name}: {decision.text}" if decision.text else f"I may not call {name}."


def _last_message(items: Sequence[TurnItem]) -> TurnItem | None:
    spoken = [item for item in items if item.kind == "message"]
    user_messages = [item for item in spoken if item.role == "user"]
    return user_messages[-1] if user_messages else None


def _reply(item: TurnItem | None) -> str:
    if item is None:
        return _GREETING
    if item.text.strip():
        return f"You said: {item.text.strip()}"
    if item.audio_ms:
        return f"I heard {item.audio_ms / 1000:.1f} seconds of audio."
    return _STILL_THERE


# -- named tools ---------------------------------------------------------------------------------


def _calls(turn: Turn, words: str) -> Iterator[Call | HostedCall]:
    for tool in _chosen_tools(turn, words):
        if "server_label" in tool:
            arguments = guess_arguments(tool["input_schema"], words)
            yield HostedCall(tool["server_label"], tool["name"], arguments)
        else:
            yield Call(tool["name"], guess_arguments(tool.get("parameters") or {}, words))


def _chosen_tools(turn: Turn, words: str) -> list[Json]:
    functions = [tool for tool in turn.tools if tool["type"] == "function"]
    tools = functions + list(turn.hosted_tools)
    choice = turn.tool_choice
    if choice == "none":
        return []
    if is_object(choice):
        tools = [tool for tool in tools if _is_chosen(tool, choice)]
    named = named_tools(tools, words)
    return tools[:1] if choice != "auto" and not named else named


def _is_chosen(tool: Json, choice: Json) -> bool:
    """Return whether ``tool_choice`` names the tool, or its hosted MCP server."""
    same_server = tool.get("server_label") == choice.get("server_label")
    return same_server and choice.get("name") in (None, tool["name"])


def named_tools(functions: Sequence[Json], words: str) -> list[Json]:
    """Return the tools that the words name, in the order of their mention."""
    places = [(place, tool) for tool in functions if (place := _mention(tool["name"], words)) >= 0]
    return [tool for _, tool in sorted(places, key=lambda entry: entry[0])]


def _mention(name: str, words: str) -> int:
    """Return the index in the words at which the tool is first named, or -1."""
    verbatim = words.lower().find(name.lower())
    if verbatim >= 0:
        return verbatim
    said = {_stem(match[0]): match.start() for match in reversed(_words_of(words))}
    parts = [_stem(part) for part in split_name(name)]
    significant = [part for part in parts if part not in _STOP_WORDS] or parts
    if not significant or any(part not in said for part in significant):
        return -1
    return min(said[part] for part in significant)


def _words_of(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"[^\W_]+", text))


def split_name(name: str) -> list[str]:
    """Split a name into words: ``getCurrent_weather2`` into get, Current, weather."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+", name)


def _stem(word: str) -> str:
    word = word.lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
