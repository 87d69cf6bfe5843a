"""The clients of the packages ``openai`` and ``openai-agents`` work with the local server.

They run on asyncio, so each runs in a child process and prints a report as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Unpack

import pytest
import trio

from trio_realtime.local import ServerConfigDict, serve_local

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CLIENTS = {"openai": "openai_client.py", "agents": "openai_agents_client.py"}


async def run_client(
    package: str, turn: str, **settings: Unpack[ServerConfigDict]
) -> dict[str, Any]:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package!r} is not installed")
    async with serve_local(**settings) as server:
        # openai adds the path and the model to a base URL; openai-agents uses a URL unchanged.
        base = server.url.removesuffix("/realtime")
        url = base if package == "openai" else server.url_with_model
        command = [sys.executable, str(HERE / CLIENTS[package]), url, turn]
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


async def test_openai_completes_a_text_turn() -> None:
    assert (await run_client("openai", "text_turn"))["result"] == "You said: Hello there"


async def test_openai_completes_a_tool_turn() -> None:
    report = await run_client("openai", "tool_turn")
    assert report["result"] == ["get_weather", {"city": "Oslo"}, "Sunny"]


async def test_openai_completes_a_spoken_turn() -> None:
    report = await run_client("openai", "speech_turn")
    assert report["result"] == len("I heard 0.9 seconds of audio.") * 60 * 48
    assert "input_audio_buffer.speech_stopped" in report["types"]


async def test_openai_barges_in() -> None:
    assert (await run_client("openai", "barge_in"))["result"] == ["cancelled", "turn_detected"]


async def test_openai_approves_a_call_of_a_hosted_tool() -> None:
    servers = {"docs": {"find_manual": "Page one."}}
    report = await run_client("openai", "hosted_turn", hosted_servers=servers)
    assert report["result"] == ["find_manual", "Page one.", "Page one."]
    assert "mcp_list_tools.completed" in report["types"]


async def test_openai_agents_completes_a_text_turn() -> None:
    report = await run_client("agents", "text_turn")
    assert report["result"] == ["You said: Hello there"]


async def test_openai_agents_completes_a_tool_turn() -> None:
    assert (await run_client("agents", "tool_turn"))["result"] == ["get_weather", "Sunny in Oslo"]


async def test_openai_agents_completes_a_spoken_turn() -> None:
    # The default turn detection is semantic_vad, which ends a turn later.
    report = await run_client("agents", "speech_turn")
    assert report["result"] == len("I heard 1.2 seconds of audio.") * 60 * 48


async def test_openai_agents_barges_in() -> None:
    report = await run_client("agents", "barge_in")
    assert report["result"] == "conversation.item.truncated"
    assert "audio_interrupted" in report["types"]
