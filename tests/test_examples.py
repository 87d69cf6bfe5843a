"""The example programs, each run in a child process against the local server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.examples import EXAMPLES, SILENCE, TONE, run_example

pytestmark = pytest.mark.slow


def test_a_caller_on_the_phone_line_is_answered_and_interrupts() -> None:
    out, _ = run_example("phone_line.py")
    lines = out.decode().splitlines()
    assert lines[0] == "caller: What about order 42?"
    assert lines[1] == '  lookup_order({"number":42})'
    assert re.fullmatch(r"  \(interrupted after \d+ ms\)", lines[3])
    assert lines[4:6] == [
        "caller: Thank you, that will do!",
        "agent:  You said: Thank you, that will do!",
    ]
    heard = re.fullmatch(r"the caller hung up, having heard (\d+\.\d) seconds", lines[6])
    assert heard is not None
    assert 2 < float(heard[1]) < 6, "both answers were played in real time"
    assert len(lines) == 7


def test_a_sip_call_is_accepted_and_transferred_by_a_tool(repository: Path) -> None:
    out, _ = run_example("sip_calls.py")
    assert out.decode() in (repository / "docs" / "guides" / "phone-line.md").read_text(
        encoding="utf-8"
    )
    lines = out.decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *("accept rtc_1", "refer rtc_1", "tool", "agent", "reject rtc_2"),
    ]


def test_speech_from_the_microphone_is_answered_through_the_player() -> None:
    out, err = run_example("full_duplex.py", [TONE] * 50 + [SILENCE] * 75)
    heard = re.search(r"agent: I heard (\d\.\d) seconds of audio", err)
    assert heard is not None, err
    assert float(heard[1]) >= 1
    assert len(out) > 48_000, "more than a second of the answer was played"


def test_a_button_ends_the_turns_of_the_user(tmp_path: Path) -> None:
    """The lines of the terminal come in real time: the button is down for 0.6 seconds, then for 20 ms."""
    pause = [b""] * 30
    lines = [b"\n", *pause, b"\n", *pause, *pause, b"\n", b"\n", *pause, b"q\n"]
    out, _ = run_example("push_to_talk.py", lines, directory=tmp_path)
    printed = out.decode().splitlines()
    assert "you: Is it going to rain in Oslo, and what should I wear?" in printed
    assert any(line.startswith("  (interrupted after") for line in printed)
    assert "too short" in printed
    assert (tmp_path / "reply.wav").stat().st_size > 10_000


def test_a_call_over_json_is_cleared_when_the_caller_interrupts() -> None:
    """The program itself checks what its telephone hears."""
    out, _ = run_example("media_stream.py")
    printed = out.decode().splitlines()
    assert printed[0] == "bridge: caller: What are your opening hours?"
    assert printed[1].startswith("bridge: agent: We are open from nine to five")
    assert re.fullmatch(r"bridge: interrupted after \d+ ms", printed[2])
    assert [line.partition(" ")[0] for line in printed[-3:]] == ["client:"] * 3


def test_the_travel_agency_shows_tools_handoffs_approvals_and_guardrails() -> None:
    out, _ = run_example("travel_agency.py")
    lines = out.decode().splitlines()
    assert lines == [
        # Three parallel tools with three outcomes; the interruption waits for the third.
        (
            "  find_flights: failed: Tool find_flights failed: ConnectionError: the airline does not "
            "know Oslo today"
        ),
        "  find_hotels: timed_out: Tool find_hotels timed out after 0.2 seconds.",
        "    (the planner for Oslo was cancelled)",
        "  plan_tour: cancelled",
        # Two handoffs, and the approval of a call that the second agent made before it handed off.
        "  Reception -> Bookings",
        '  transfer_to_bookings: completed: {"assistant":"Bookings"}',
        "  hold_room: needs approval",
        "  Bookings -> Payments",
        '  transfer_to_payments: completed: {"assistant":"Payments"}',
        "  hold_room: completed: Fjord holds a room for 2 nights, requested by Bookings",
        "  charge: completed: 240 EUR paid by card (card)",
        # An out-of-band summary during speech, and a guardrail that interrupts the speech.
        "summary, while Payments is still speaking: Traveller to Oslo, two nights at the Fjord, paid.",
        "Payments: All is paid, with your card number (card), and the room is yours",
        "  no_card_numbers tripped",
        "  (interrupted after 1 s)",
        "Payments: All is paid, and the room is yours.",
    ]


def test_a_web_bridge_serves_several_browsers_and_stops() -> None:
    """One session fails, one is interrupted, one sends garbage, and one is on the line at the end."""
    out, _ = run_example("web_bridge_client.py")
    printed = out.decode().splitlines()
    assert "Cat: {'type': 'ended', 'reason': 'tool_failed'}" in printed
    assert "Dan: still there" in printed
    assert 'Bob: refund {"order":7} completed Order 7 was refunded.' in printed
    assert 'Bob: refund {"order":7} rejected Not today.' in printed
    assert "Ann: bytes of interrupted answers that came too late: 0" in printed
    assert "Eve: {'type': 'ended', 'reason': 'drained'}" in printed
    assert "the bridge has stopped, open calls: 0" in printed
    assert "a bug of the bridge" not in out.decode()


def test_fastapi_serves_browsers_with_tools_on_asyncio() -> None:
    """The program itself calls its application, and stops it."""
    out, err = run_example("fastapi_bridge.py")
    assert out.decode().splitlines() == [
        "browser: What about order 42?",
        "  tool: lookup_order, Ann, order 42 was shipped on Monday.",
        "  agent: Order 42 was shipped on Monday.",
        "  1000 ms of audio",
        "browser: And what about order 43?",
        "  tool: lookup_order, Bob, order 43 is being packed.",
        "  agent: Order 43 is being packed.",
        "  1000 ms of audio",
        "the application has stopped",
    ]
    assert err == ""


def test_the_gateway_is_mounted_in_a_starlette_application() -> None:
    out, _ = run_example("server/mounted_gateway.py")
    assert out.decode().splitlines() == [
        "You said: Good morning!",
        "without a key: 401",
        "with a key: {'agents': [{'name': 'support'}], 'default': 'support'}",
    ]


def test_the_gateway_runs_beside_a_quart_application() -> None:
    out, _ = run_example("server/beside_quart.py")
    assert out.decode().splitlines() == ["{'status': 'ok'}", "You said: Good morning!"]


def test_the_stream_is_served_on_a_plain_websocket_server() -> None:
    out, _ = run_example("server/plain_websocket.py")
    assert out.decode().splitlines() == ["You said: Good morning!"]


MODULES = {"web_bridge.py", "server/voice_client.py"}
"""Modules of other examples."""


def test_this_module_runs_every_example() -> None:
    source = Path(__file__).read_text()
    examples = {
        path.relative_to(EXAMPLES).as_posix()
        for folder in (EXAMPLES, EXAMPLES / "server")
        for path in folder.glob("*.py")
    }
    assert sorted(examples - MODULES) == sorted(
        set(re.findall(r'run_example\("([\w/]+\.py)"', source))
    )
