"""The default brain: no model, only rules that are easy to foresee.

In this order:

1. After tool outputs it reads them out, those of hosted MCP tools as well; of a hosted call that
   was rejected it says that it may not make it.
2. A tool that the user's words name is called: all the telling words of its name must occur
   (``get_weather`` by "weather", ``transfer_to_billing_agent`` by "billing"). Several tools named
   are several calls, in the order of their mention. Arguments come from the same words, by the
   tool's JSON schema (:mod:`.filling`).
3. Otherwise it repeats the user's words, or says how much audio it heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from .argument_guesser import fill_arguments
from .responders import Call, HostedCall, Say, Step, Turn, TurnItem
from .types import Json, is_object

__all__ = ["RuleResponder"]

_GREETING: Final = "Hello! How can I help you?"
_STILL_THERE: Final = "Are you still there?"

#: Words of a tool's name that say nothing about when it is meant.
_SILENT: Final = frozenset(
    "a an the to of for in on at by with from is are my your this that and or it "
    "get set do fetch look up lookup find search call run make create update check show tell ask "
    "read list send give use query compute calculate retrieve load save store remember add new "
    "transfer handoff hand over switch agent assistant tool function current".split()
)


class RuleResponder:
    """Answers by the rules of this module. Keeps nothing between turns."""

    def answer(self, turn: Turn) -> Sequence[Step]:
        """Read out results, call what is named, or repeat what was said."""
        results = _fresh_results(turn.items)
        if results:
            return [Say(" ".join(results))]
        item = _last_message(turn.items)
        words = item.text if item is not None and item.role == "user" else ""
        return list(_calls(turn, words)) or [Say(_reply(item))]


def _fresh_results(items: Sequence[TurnItem]) -> list[str]:
    """What came of calls after the last thing anybody said."""
    fresh: list[str] = []
    for item in reversed(items):
        if item.kind == "message":
            break
        if item.kind == "function_call_output" or item.outcome is not None:
            fresh.append(item.output.strip() or "Done.")
        elif item.approve is False:
            fresh.append(_refusal(item, items))
    return fresh[::-1]


def _refusal(decision: TurnItem, items: Sequence[TurnItem]) -> str:
    asked = [item.name for item in items if item.id == decision.approval_request_id]
    name = asked[0] if asked else "it"
    return f"I may not call {name}: {decision.text}" if decision.text else f"I may not call {name}."


def _last_message(items: Sequence[TurnItem]) -> TurnItem | None:
    spoken = [item for item in items if item.kind == "message"]
    said_by_others = [item for item in spoken if item.role == "user"]
    return said_by_others[-1] if said_by_others else None


def _reply(item: TurnItem | None) -> str:
    if item is None:
        return _GREETING
    if item.text.strip():
        return f"You said: {item.text.strip()}"
    if item.audio_ms:
        return f"I heard {item.audio_ms / 1000:.1f} seconds of audio."
    return _STILL_THERE


# -- which tools are meant ---------------------------------------------------------------------


def _calls(turn: Turn, words: str) -> Iterator[Call | HostedCall]:
    for tool in _chosen_tools(turn, words):
        if "server_label" in tool:
            arguments = fill_arguments(tool["input_schema"], words)
            yield HostedCall(tool["server_label"], tool["name"], arguments)
        else:
            yield Call(tool["name"], fill_arguments(tool.get("parameters") or {}, words))


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
    """Whether it is the one that is asked for, or one of the hosted server that is."""
    same_server = tool.get("server_label") == choice.get("server_label")
    return same_server and choice.get("name") in (None, tool["name"])


def named_tools(functions: Sequence[Json], words: str) -> list[Json]:
    """The functions that these words name, in the order of their mention."""
    places = [(place, tool) for tool in functions if (place := _mention(tool["name"], words)) >= 0]
    return [tool for _, tool in sorted(places, key=lambda entry: entry[0])]


def _mention(name: str, words: str) -> int:
    """Where in the words the tool is first named; below zero if it is not."""
    verbatim = words.lower().find(name.lower())
    if verbatim >= 0:
        return verbatim
    said = {_stem(match[0]): match.start() for match in reversed(_words_of(words))}
    parts = [_stem(part) for part in split_name(name)]
    telling = [part for part in parts if part not in _SILENT] or parts
    if not telling or any(part not in said for part in telling):
        return -1
    return min(said[part] for part in telling)


def _words_of(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"[^\W_]+", text))


def split_name(name: str) -> list[str]:
    """``getCurrent_weather2`` is get, current, weather."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+", name)


def _stem(word: str) -> str:
    word = word.lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
