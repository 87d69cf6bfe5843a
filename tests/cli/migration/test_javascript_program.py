"""Finding the names of @openai/agents in JavaScript and TypeScript programs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.cli.migration import load_mapping
from trio_realtime.cli.migration.javascript_program import find_uses, tokenize

JAVASCRIPT = load_mapping("javascript")
IMPORT = "import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents/realtime';\n"


def found(program: str) -> list[tuple[int, str]]:
    """The line and the listed name of each use."""
    uses = find_uses(program, JAVASCRIPT)
    listed = [(use.line, JAVASCRIPT.find(*use.names)) for use in uses]
    return [(line, name[0] if name else "?") for line, name in listed]


def names(program: str) -> set[str]:
    """The names that a program uses below the line that imports them."""
    return {name for line, name in found(IMPORT + program) if line > 1}


# --- tokens ------------------------------------------------------------------------------------


def test_a_program_is_split_into_tokens() -> None:
    program = "a?.b // c\n/* d\n */ f('g\\'', `h\n`) = /i'[/]/.test(\"j\") / 2 / k;"
    tokens = tokenize(program)
    assert [token.value for token in tokens if token.kind == "name"] == ["a", "b", "f", "test", "k"]
    assert [token.value for token in tokens if token.kind == "string"] == ["g\\'", "h\n", "j"]
    assert [token.line for token in tokens if token.kind == "string"] == [3, 3, 4]


@settings(deadline=None)
@given(st.text(alphabet="ab'\"`/*\\\n(){}[]=,:.?$ "))
def test_any_text_can_be_split(program: str) -> None:
    tokens = tokenize(program)
    assert all(token.value or token.kind == "string" for token in tokens)
    find_uses(IMPORT + program, JAVASCRIPT)


# --- imports -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "import { RealtimeAgent } from '@openai/agents/realtime';",
        "import type { RealtimeAgent } from '@openai/agents-realtime';",
        "import { x, type RealtimeAgent } from '@openai/agents';",
        "const { RealtimeAgent } = require('@openai/agents/realtime');",
        "const { RealtimeAgent } = await import('@openai/agents/realtime');",
    ],
)
def test_imported_names_are_found(program: str) -> None:
    assert (1, "RealtimeAgent") in found(program)


def test_names_of_other_packages_are_ignored() -> None:
    assert (
        found("import { RealtimeAgent } from 'elsewhere';\nnew RealtimeAgent({ voice: 'ash' });")
        == []
    )


def test_aliases_and_namespaces_are_followed() -> None:
    aliased = (
        "import { RealtimeAgent as A } from '@openai/agents/realtime';\nnew A({ voice: 'x' });"
    )
    assert (2, "RealtimeAgent.voice") in found(aliased)
    namespace = "import * as rt from '@openai/agents/realtime';\nrt.backgroundResult('x');"
    assert (2, "backgroundResult") in found(namespace)


def test_an_unlisted_import_is_reported() -> None:
    assert found("import { Mystery } from '@openai/agents/realtime';") == [(1, "?")]


# --- uses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "const s = new RealtimeSession(agent);\ns.interrupt();",
        "const s: RealtimeSession = make();\ns.interrupt();",
        "function f(s?: RealtimeSession) { s?.interrupt(); }",
        "const s = useRef<RealtimeSession | null>(null);\ns.current?.interrupt();",
        "s = useRef<RealtimeSession>(null);\ns.current!.interrupt();",
        "this.session.interrupt();",
    ],
)
def test_members_of_sessions_are_found(program: str) -> None:
    assert "interrupt" in names(program)


def test_members_of_other_objects_are_ignored() -> None:
    assert names("const s = new RealtimeSession(agent);\nplayer.interrupt(); interrupt();") == {
        "RealtimeSession"
    }


def test_options_of_a_session_are_found_at_any_depth() -> None:
    program = """
const session = new RealtimeSession(agent, {
  model: 'gpt-realtime', context,
  outputGuardrailSettings: { debounceTextLength: 50 },
  config: { audio: { input: { turnDetection: { type: 'server_vad' } } }, voice: 'ash' },
  other: 1,
});
"""
    assert names(program) == {
        "RealtimeSession",
        "options.model",
        "options.context",
        "options.outputGuardrailSettings",
        "debounceTextLength",
        "options.config",
        "audio.input.turnDetection",
        "voice",
    }


def test_options_of_agents_tools_and_methods_are_found() -> None:
    program = """
const t = tool({ name: 'x', needsApproval: true, execute: async ({ name }) => name });
const agent = new RealtimeAgent({ name: 'A', tools: [t], handoffDescription: 'x' });
const session = new RealtimeSession(agent);
await session.connect({ apiKey: 'key' });
session.approve(request.approvalItem, { alwaysApprove: true });
"""
    assert names(program) >= {
        "tool({name})",
        "tool({needsApproval})",
        "tool({execute})",
        "RealtimeAgent.tools",
        "RealtimeAgent.handoffDescription",
        "connect({apiKey})",
        "approve",
        "approve({alwaysApprove})",
    }


def test_names_of_events_are_found() -> None:
    program = """
const agent = new RealtimeAgent({});
session.on('audio', play);
session.on("agent_tool_end", log);
agent.on('agent_start', log);
session.transport.on('*', log);
session.transport.on('usage_update', log);
session.transport.sendEvent({ type: 'response.create' });
socket.on('error', log);
"""
    assert names(program) >= {
        "audio",
        "agent_tool_end",
        "agent.on('agent_start')",
        "transport.on('*')",
        "usage_update",
        "transport.sendEvent",
    }
    assert "error" not in names(program)
