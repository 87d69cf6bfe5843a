"""The report on one program."""

from __future__ import annotations

from trio_realtime.cli.migration import analyze
from trio_realtime.cli.migration.findings import last_part, plain, summary

PROGRAM = """\
from agents import trace
from agents.realtime import RealtimeAgent, RealtimeSession, RealtimeAgentHooks, Mystery

agent = RealtimeAgent(name="A", hooks=RealtimeAgentHooks(), mcp_config={})


async def main(session: RealtimeSession) -> None:
    with trace("x"):
        await session.interrupt()
        await session.interrupt()
"""


def test_a_name_is_reported_once_with_all_its_lines() -> None:
    report = analyze("app.py", PROGRAM, "python")
    found = {finding.name: (finding.lines, finding.status) for finding in report.findings}
    assert found == {
        "agents.trace": ((1, 8), "none"),
        "RealtimeAgent": ((2, 4), "changed"),
        "RealtimeSession": ((2, 7), "unchanged"),
        "RealtimeAgentHooks": ((2, 4), "changed"),
        "Mystery": ((2,), "unknown"),
        "RealtimeAgent(name=)": ((4,), "unchanged"),
        "RealtimeAgent(hooks=)": ((4,), "changed"),
        "RealtimeAgent(mcp_config=)": ((4,), "remove"),
        "RealtimeSession.interrupt": ((9, 10), "changed"),
    }
    assert summary([report]) == (
        "9 names, 2 unchanged, 4 changed, 1 not needed, 1 without counterpart, 1 unknown."
    )


def test_the_text_has_the_lines_the_counterparts_and_the_notes() -> None:
    text = analyze("app.py", PROGRAM, "python").text(80)
    lines = text.splitlines()
    assert lines[0] == "app.py"
    assert "  2, 4: RealtimeAgentHooks -> AgentHooks" in lines
    assert "  1, 8: agents.trace: no counterpart" in lines
    assert "  2: Mystery: unknown" in lines
    assert "  4: RealtimeAgent(mcp_config=): not needed" in lines
    assert lines[-1] == "  unchanged: RealtimeSession (2, 7), RealtimeAgent(name=) (4)"
    assert max(map(len, lines)) <= 80
    assert "](" not in text, "no links of Markdown"


def test_a_program_without_the_sdk_says_so() -> None:
    report = analyze("app.ts", "const x = 1;", "javascript")
    assert report.text(80).splitlines() == [
        "app.ts",
        "  uses no name of an agents SDK that this command recognizes",
    ]
    assert summary([report]) == "0 names."


def test_json_has_all_fields() -> None:
    report = analyze("app.py", "from agents.realtime import RealtimeRunner", "python")
    assert report.as_json() == {
        "path": "app.py",
        "language": "python",
        "findings": (
            {
                "name": "RealtimeRunner",
                "lines": (1,),
                "status": "changed",
                "becomes": ("open_realtime_session",),
                "note": "one step; no state is shared between sessions",
            },
        ),
    }


def test_names_are_compared_without_modules_and_classes() -> None:
    assert last_part("events.Audio.data") == "data"
    assert last_part("s.send_audio(pcm=)") == "pcm"


def test_notes_lose_their_links() -> None:
    assert plain("see [hooks](hooks.md#a) and `x`") == "see hooks and `x`"
