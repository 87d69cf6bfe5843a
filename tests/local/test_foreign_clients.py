"""Other people's clients, as they are, hold whole turns with the local server.

They run on another event loop, so each runs in a child process and prints what it saw.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Unpack

import pytest
import trio

from trio_realtime.local import ServiceSettings, serve_local

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CHILDREN = {"openai": "openai_child.py", "agents": "agents_child.py"}


async def run_child(package: str, turn: str, **settings: Unpack[ServiceSettings]) -> dict[str, Any]:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package!r} is not installed")
    async with serve_local(**settings) as server:
        base = server.url.removesuffix("/realtime")
        command = [sys.executable, str(HERE / CHILDREN[package]), base, turn]
        with trio.fail_after(60):
            done = await trio.run_process(
                command,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        sent = [frame for c in server.connections for frame in c.sent if frame["type"] == "error"]
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["invalid"] == []
    assert report["errors"] == []
    assert sent == []
    return report


async def test_openai_holds_a_text_turn() -> None:
    assert (await run_child("openai", "text_turn"))["result"] == "You said: Hello there"


async def test_openai_holds_a_tool_turn() -> None:
    report = await run_child("openai", "tool_turn")
    assert report["result"] == ["get_weather", {"city": "Oslo"}, "Sunny"]


async def test_openai_holds_a_spoken_turn() -> None:
    report = await run_child("openai", "speech_turn")
    assert report["result"] == len("I heard 0.9 seconds of audio.") * 60 * 48
    assert "input_audio_buffer.speech_stopped" in report["types"]


async def test_openai_barges_in() -> None:
    assert (await run_child("openai", "barge_in"))["result"] == ["cancelled", "turn_detected"]


async def test_openai_approves_a_call_of_a_hosted_tool() -> None:
    servers = {"docs": {"find_manual": "Page one."}}
    report = await run_child("openai", "hosted_turn", hosted_servers=servers)
    assert report["result"] == ["find_manual", "Page one.", "Page one."]
    assert "mcp_list_tools.completed" in report["types"]


async def test_openai_agents_holds_a_text_turn() -> None:
    report = await run_child("agents", "text_turn")
    assert report["result"] == ["You said: Hello there"]


async def test_openai_agents_holds_a_tool_turn() -> None:
    assert (await run_child("agents", "tool_turn"))["result"] == ["get_weather", "Sunny in Oslo"]


async def test_openai_agents_holds_a_spoken_turn() -> None:
    # Its default is semantic_vad, which waits a little longer.
    report = await run_child("agents", "speech_turn")
    assert report["result"] == len("I heard 1.2 seconds of audio.") * 60 * 48


async def test_openai_agents_barges_in() -> None:
    report = await run_child("agents", "barge_in")
    assert report["result"] == "conversation.item.truncated"
    assert "audio_interrupted" in report["types"]
