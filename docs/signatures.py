"""How the reference shows signatures: aliases by name, short defaults, and only what users pass.

`conf.py` passes the table of aliases to Sphinx, which then shows them by name. The functions work on the text of
signatures, and know nothing of Sphinx.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "trio_realtime"

# Type aliases that signatures show by name, and the module that defines each. The page reference/types.md describes
# those that no other page documents.
NAMED_ALIASES = {
    "AgentPrompt": "agents.agent",
    "AnyEvent": "events",
    "Approval": "agents.tools",
    "Check": "agents.guardrails",
    "Condition": "agents.contexts",
    "Connector": "transports.base",
    "ContentPart": "wire.items",
    "EndReason": "session_end",
    "ErrorFormatter": "agents.tools",
    "Fault": "testing.faults.plan",
    "FeedbackFormatter": "agents.guardrails",
    "Handoffs": "agents.agent",
    "HistoryItem": "items",
    "HostedApproval": "agents.hosted_mcp",
    "HostedServers": "local.hosted_mcp",
    "HostedToolFunction": "local.hosted_mcp",
    "InputCheck": "agents.tool_guardrails",
    "InputItem": "wire.response",
    "Instructions": "agents.agent",
    "Invoke": "agents.tools",
    "Item": "wire.items",
    "Key": "endpoints.credentials",
    "LimitName": "session_end",
    "MessageContent": "session.arguments",
    "OutputCheck": "agents.tool_guardrails",
    "OverflowPolicy": "config",
    "Price": "prices",
    "Prompt": "agents.agent",
    "RejectionFormatter": "agents.tools",
    "Step": "local.responders",
    "ToolSpec": "wire.settings",
    "Transcriber": "local.transcriber",
    "Trigger": "testing.faults.plan",
    "TurnDetection": "wire.settings",
    "Verdict": "agents.guardrails",
}
AUTODOC_ALIASES = {name: f"trio_realtime.{module}.{name}" for name, module in NAMED_ALIASES.items()}

# Arguments that only the library passes, by the name of the class.
INTERNAL_ARGUMENTS = {"ToolContext": frozenset({"early"})}

SHORTENED = (
    # names that annotations use only under TYPE_CHECKING, or that stand for a function of the library
    (re.compile(r"\bAnyAgent\b"), "RealtimeAgent"),
    (re.compile(r"\bAnyTool\b"), "FunctionTool"),
    (re.compile(r" \| ReadItems\b| \| Callable\[\[\], Sequence\[~?[\w.]*HistoryItem\]\]"), ""),
    # defaults: a constant, a value whose fields all have their defaults, a factory, a function
    (re.compile(r"= AudioFormat\(type='audio/pcm', rate=24000\)$"), "= PCM24K"),
    (
        re.compile(
            r"= (CachedTokens|InputTokens|OutputTokens|InterruptionPolicy|LatencyStatistics"
            r"|Percentiles|Usage|UsageLimits)\(.*\)$"
        ),
        r"= \1()",
    ),
    (re.compile(r"= NOTHING$"), "= ..."),
    (re.compile(r"= <function ([\w.]+)>$"), r"= \1"),
)


def tidy_signature(name: str, signature: str) -> str:
    """Return a signature as the reference shows it.

    Args:
        name: the full name of the function or class.
        signature: its arguments, with the parentheses.
    """
    internal = INTERNAL_ARGUMENTS.get(name.rpartition(".")[2], frozenset())
    shown = [
        shorten(argument)
        for argument in split_arguments(signature[1:-1])
        if argument.partition(":")[0].strip() not in internal
    ]
    return f"({', '.join(shown)})"


def shorten(argument: str) -> str:
    """Return an argument with short names and a short default."""
    for pattern, replacement in SHORTENED:
        argument = pattern.sub(replacement, argument)
    return argument


def split_arguments(arguments: str) -> Iterator[str]:
    """Split at the commas that are in no brackets and no quotes."""
    depth, quote, start = 0, "", 0
    for position, character in enumerate(arguments):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield arguments[start:position].strip()
            start = position + 1
    if arguments[start:].strip():
        yield arguments[start:].strip()


def definition_of(alias: str) -> str:
    """Return what an alias stands for, as the source of its module defines it.

    Raises:
        ValueError: its module does not define it.
    """
    path = PACKAGE.joinpath(*NAMED_ALIASES[alias].split("."))
    path = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.Assign(targets=[ast.Name(id=name)], value=value)
            ) if name == alias:
                return ast.unparse(value).replace("'", "")
            case _:
                pass
    raise ValueError(f"{path} does not define {alias}")
