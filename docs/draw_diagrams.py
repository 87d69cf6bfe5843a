"""Write the pictures of the pages in docs/explanation.

Run it after a change::

    python docs/draw_diagrams.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from svg import Bar, Drawing, Mark, draw_timeline

IMAGES = Path(__file__).resolve().parent / "images"


def session_tasks() -> str:
    """The tasks of a session: nurseries are dashed, tasks are filled."""
    drawing = Drawing("The tasks of a session, in nested nurseries", 960, 472)
    drawing.rectangle(16, 16, 928, 440, "nursery")
    drawing.text(30, 40, "async with open_realtime_session(agent) as session:", "name")

    drawing.rectangle(34, 58, 424, 150, "nursery")
    drawing.text(48, 80, "connections: one after the other")
    drawing.rectangle(52, 94, 388, 98, "nursery")
    drawing.text(66, 114, "connection 1", "small")
    drawing.box(66, 124, 172, 54, "service", "reader", "receives the events")
    drawing.box(254, 124, 172, 54, "service", "writer", "sends what is queued")

    drawing.rectangle(478, 58, 448, 380, "nursery")
    drawing.text(492, 80, "tasks of the session")
    drawing.rectangle(496, 94, 412, 108, "nursery")
    drawing.text(510, 114, "tools: one task for each call", "small")
    drawing.box(510, 126, 186, 60, "tool", "call of find_room", "a cancel scope")
    drawing.box(708, 126, 186, 60, "tool", "call of book_room", "a cancel scope")
    drawing.rectangle(496, 214, 412, 94, "nursery")
    drawing.text(510, 234, "guardrails: one task for each check", "small")
    drawing.box(510, 244, 186, 48, "agent", "check of a reply")
    drawing.box(496, 324, 130, 54, "box", "hooks", "run in order")
    drawing.box(638, 324, 130, 54, "box", "deadlines", "of requests")
    drawing.box(780, 324, 128, 54, "box", "limits", "of the session")
    drawing.text(496, 406, "MCP servers that the session runs have tasks around these.", "small")

    drawing.rectangle(34, 224, 424, 214, "nursery")
    drawing.text(48, 246, "your block")
    drawing.box(52, 258, 388, 44, "user", "the code of the block: send_message, ask, ...")
    drawing.rectangle(52, 314, 388, 108, "nursery")
    drawing.text(66, 334, "a nursery that you open in the block", "small")
    drawing.box(66, 344, 172, 62, "user", "a consumer", "async for event in s")
    drawing.box(254, 344, 172, 62, "user", "a player", "s.paced_audio()")
    return drawing.svg()


def turn() -> str:
    """One turn of the agent, with a tool."""
    return draw_timeline(
        "One turn on a timeline: speech, a tool call, and an answer that plays longer than it takes to arrive",
        ["the user speaks", "responses", "the tool runs", "audio arrives", "audio is heard"],
        [
            Bar("the user speaks", 0.2, 2.1, "user", "The weather in Oslo?"),
            Bar("responses", 2.75, 3.25, "service", "1"),
            Bar("the tool runs", 3.15, 4.15, "tool", "get_weather"),
            Bar("responses", 4.3, 5.2, "service", "2"),
            Bar("audio arrives", 4.5, 5.15, "agent"),
            Bar("audio is heard", 4.55, 7.4, "agent", "It is sunny in Oslo."),
        ],
        [
            Mark(0.3, "SpeechStarted"),
            Mark(2.6, "SpeechStopped"),
            Mark(2.75, "AgentStart"),
            Mark(3.15, "ToolStart"),
            Mark(4.15, "ToolEnd"),
            Mark(4.5, "AudioStart"),
            Mark(5.2, "AgentEnd"),
            Mark(7.4, "drain() returns"),
        ],
        seconds=8,
    )


def response_queue() -> str:
    """How requests for responses wait for the one slot."""
    drawing = Drawing("Requests for responses wait in a queue for the one slot", 960, 356)
    for index, name in enumerate(
        ("send_message()", "create_response()", "ask()", "outputs of tools")
    ):
        style = "tool" if index == 3 else "user"
        drawing.box(24, 24 + 46 * index, 180, 34, style, name)
        drawing.line((204, 41 + 46 * index), (268, 110))
    drawing.rectangle(272, 24, 264, 172, "nursery")
    drawing.text(286, 46, "response queue", "name")
    drawing.text(286, 184, "sent in order, one at a time", "small")
    for index, name in enumerate(("request 3", "request 2", "request 1")):
        drawing.box(286 + 80 * index, 84, 74, 50, "box", name)
    drawing.line((536, 109), (656, 109))
    drawing.text(596, 99, "response.create", "small", "middle")
    drawing.box(660, 74, 190, 70, "service", "slot", "one response runs")
    drawing.line((850, 109), (936, 109))
    drawing.text(934, 99, "response.done", "small", "end")
    drawing.line((755, 144), (755, 226), (404, 226), (404, 200))
    drawing.text(580, 220, "the slot is free: send the next request", "small", "middle")
    drawing.box(24, 244, 180, 34, "user", "the user's speech")
    drawing.line((204, 261), (800, 261), (800, 148))
    drawing.text(226, 255, "the service responds by itself", "small")
    drawing.box(24, 302, 180, 34, "user", 'conversation="none"')
    drawing.line((204, 319), (656, 319))
    drawing.text(226, 313, "out-of-band: does not wait", "small")
    drawing.box(660, 296, 190, 44, "service", "any number of responses")
    return drawing.svg()


def interruption() -> str:
    """What an interruption stops."""
    return draw_timeline(
        "An interruption: the response and its tools are cancelled, audio that was not heard is dropped",
        [
            "the user speaks",
            "responses",
            "audio in buffers",
            "audio is heard",
            "a tool of response 1",
            "the conversation",
        ],
        [
            Bar("the user speaks", 2.8, 4.6, "user", "Sorry, three nights!"),
            Bar("responses", 0.4, 3.0, "service", "1: cancelled"),
            Bar("responses", 5.2, 6.9, "service", "2: the next answer"),
            Bar("audio in buffers", 0.6, 3.0, "agent", "arrives faster than it plays"),
            Bar("audio in buffers", 3.0, 4.4, "dropped", "dropped, not played"),
            Bar("audio is heard", 0.6, 3.0, "agent", "Room 12 is free. Two ..."),
            Bar("audio is heard", 5.4, 7.6, "agent", "Three nights are ..."),
            Bar("a tool of response 1", 1.2, 3.0, "tool", "book_room"),
            Bar(
                "a tool of response 1",
                3.0,
                3.3,
                "dropped",
                "finally blocks, then its call is answered",
            ),
            Bar("the conversation", 0.6, 3.0, "agent", "truncated at 2.4 s"),
            Bar("the conversation", 3.0, 4.4, "dropped", "never heard"),
        ],
        [
            Mark(2.8, "the service hears speech"),
            Mark(3.0, "SpeechStarted, AudioInterrupted", "stop"),
            Mark(3.3, "ToolCancelled"),
            Mark(5.1, "SpeechStopped"),
        ],
        seconds=8,
    )


def generated_files() -> dict[Path, str]:
    """Return the content that each picture must have."""
    return {
        IMAGES / "session-tasks.svg": session_tasks(),
        IMAGES / "turn.svg": turn(),
        IMAGES / "response-queue.svg": response_queue(),
        IMAGES / "interruption.svg": interruption(),
    }


if __name__ == "__main__":
    for path, content in generated_files().items():
        path.write_text(content, encoding="utf-8")
