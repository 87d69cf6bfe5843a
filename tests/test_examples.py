"""The examples are programs: each is run as its reader would run it, against the local server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
LIMIT = 20
"""Seconds that an example may take."""

SILENCE = bytes(960)  # 20 ms
TONE = (b"\x00\x20" * 30 + b"\x00\xe0" * 30) * 8  # as long, 400 Hz


def run(name: str, sound: Sequence[bytes] = ()) -> tuple[bytes, str]:
    """Output and messages of an example whose standard input hears a frame every 20 ms."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "AZURE_OPENAI"))}
    with subprocess.Popen(
        [sys.executable, "-X", "dev", str(EXAMPLES / name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kept,
    ) as process:
        try:
            speak(process, sound)
            out, err = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err, err.decode()
    return out, err.decode()


def speak(process: subprocess.Popen[bytes], sound: Sequence[bytes]) -> None:
    assert process.stdin is not None
    start = time.monotonic()
    for number, frame in enumerate(sound):
        time.sleep(max(0.0, start + number * 0.02 - time.monotonic()))
        process.stdin.write(frame)
        process.stdin.flush()


def test_on_the_phone_the_caller_is_answered_and_interrupts() -> None:
    out, _ = run("phone_line.py")
    said = out.decode().splitlines()
    assert said[0] == "caller: What about order 42?"
    assert said[1] == '  lookup_order({"number":42})'
    assert re.fullmatch(r"  \(interrupted after \d+ ms\)", said[3])
    assert said[4:6] == [
        "caller: Thank you, that will do!",
        "agent:  You said: Thank you, that will do!",
    ]
    heard = re.fullmatch(r"the caller hung up, having heard (\d+\.\d) seconds", said[6])
    assert heard is not None
    assert 2 < float(heard[1]) < 6, "both answers were played, at the speed of a phone line"
    assert len(said) == 7


def test_what_a_microphone_hears_is_answered_through_the_player() -> None:
    out, err = run("full_duplex.py", [TONE] * 50 + [SILENCE] * 75)
    heard = re.search(r"agent: I heard (\d\.\d) seconds of audio", err)
    assert heard is not None, err
    assert float(heard[1]) >= 1
    assert len(out) > 48_000, "more than a second of the agent was played"


def test_at_the_travel_desk_everything_happens_that_can_happen_to_agents() -> None:
    out, _ = run("travel_desk.py")
    said = out.decode().splitlines()
    assert said == [
        # Three tools side by side, each with an end of its own; the interrupt waits for the third.
        (
            "  find_flights: failed: Tool find_flights failed: ConnectionError: the airline does not "
            "know Oslo today"
        ),
        "  find_hotels: timed_out: Tool find_hotels timed out after 0.2 seconds.",
        "    (the planner for Oslo was told to stop)",
        "  plan_tour: cancelled",
        # Three agents, and the one that has gone by then gets what it asked for.
        "  Reception -> Bookings",
        '  transfer_to_bookings: completed: {"assistant":"Bookings"}',
        "  hold_room: waits for approval",
        "  Bookings -> Payments",
        '  transfer_to_payments: completed: {"assistant":"Payments"}',
        "  hold_room: completed: Fjord holds a room for 2 nights, asked by Bookings",
        "  charge: completed: 240 EUR paid by card (card)",
        # A note beside what is being said; and what is too much is not heard to its end.
        "note, while Payments is still speaking: Traveller to Oslo, two nights at the Fjord, paid.",
        "Payments: All is paid, with your card number (card), and the room is yours",
        "  no_card_numbers tripped",
        "  (silent after 1 s of it)",
        "Payments: All is paid, and the room is yours.",
    ]


def test_every_example_is_run_here() -> None:
    here = Path(__file__).read_text()
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(
        set(re.findall(r'run\("(\w+\.py)"', here))
    )
