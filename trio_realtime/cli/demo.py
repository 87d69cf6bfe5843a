"""``demo``: a whole call with an agent, on a local server over a real WebSocket.

Four things happen: a text turn, a turn with a tool call, a spoken turn, and an interruption while
the agent speaks and a slow tool works. The user's speech is a recording that is sent at the speed of
speech; the agent's is played by an ear that takes a frame every 20 ms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import trio
from rich.console import Console
from trio.testing import wait_all_tasks_blocked

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
    serve_local,
)
from trio_realtime.local import (
    Call,
    Connection,
    Limits,
    RuleResponder,
    Say,
    Step,
    Synthesizer,
    Turn,
)
from trio_realtime.wire import ServerVad

from .assistant import INSTRUCTIONS, get_weather
from .audio_io import FRAME_MS, Recorder, speak
from .demo_metrics import DemoMetrics
from .event_log import Timeline
from .exit import FAILED, OK, is_for_people, main_cause
from .report import CallFigures, Interruption, Report, TurnFigures, TurnKind
from .serve import make_voice
from .wav import check_writable, speech, write_pcm

#: Speech is generated this many times faster than it is spoken: fast enough to be ahead, slow
#: enough that the interruption comes while it is still being generated.
_PACE = 3.0
#: More than the 500 ms after which the server's voice activity detection ends a turn.
_SILENCE_MS = 640
#: How much of the agent's speech is heard before the user interrupts.
_LISTEN_MS = 1000
_TIMEOUT = 25.0
_STORY = (
    "While I look, let me tell you what an archive is. It is a place where people keep what they "
    "may want to know again, and then never find, because nobody wrote down where it was put."
)


class TalkativeResponder:
    """The local server's default responder, which also chats while the slow tool works."""

    def __init__(self) -> None:
        self._rules = RuleResponder()

    def respond(self, turn: Turn) -> Sequence[Step]:
        """As the rules have it; a search is followed by a story in the same response."""
        steps = list(self._rules.respond(turn))
        searches = any(isinstance(step, Call) and step.name == "search_archive" for step in steps)
        return [*steps, Say(_STORY)] if searches else steps


@attrs.define(eq=False)
class _Diary:
    """What the slow tool did."""

    timeline: Timeline
    cleaned_up: bool = False


def _make_agent(diary: _Diary) -> RealtimeAgent[None]:
    @function_tool
    async def search_archive(topic: str) -> str:
        """Search the archive. Takes a minute."""
        try:
            await trio.sleep(60)
            return f"Nothing on {topic}."
        finally:
            diary.cleaned_up = True
            diary.timeline.say("tool", "search_archive: finally has run")

    return RealtimeAgent(
        name="Assistant", instructions=INSTRUCTIONS, tools=[get_weather, search_archive]
    )


async def demo(*, as_json: bool, output: Path, voice: str) -> int:
    """Run the call, write what was heard, tell what was measured.

    Raises:
        MendIt: the output cannot be written there, or there is no such voice.
    """
    check_writable(output)
    console = Console(quiet=as_json, highlight=False)
    call = DemoCall(Timeline(console), make_voice(voice))
    report = await call.run(output)
    if as_json:
        json.dump(report.as_json(), sys.stdout)
        print()
    else:
        _summarise(report, console, call.timeline.elapsed)
    return OK if report.ok else FAILED


def _summarise(report: Report, console: Console, seconds: float) -> None:
    console.print()
    cut = report.interrupted
    if cut is not None:
        console.print(
            f"heard {cut.heard_ms} ms, the server kept {cut.truncated_at_ms} ms; "
            f"late audio: {cut.stale_audio_events}; tasks left: {report.leftover_tasks}"
        )
    for call in report.tool_calls:
        console.print(f"{call.name}: {call.outcome}, answered {call.outputs_sent} time(s)")
    for problem in report.problems():
        console.print(f"problem: {problem}", style="bold red")
    console.print(f"what you would have heard: {report.reply_wav}")
    verdict = "[bold green]all as promised[/]" if report.ok else "[bold red]not as promised[/]"
    console.print(f"{verdict} in {seconds:.1f} s")


class DemoCall:
    """The call, and everything that is learned in it."""

    def __init__(self, timeline: Timeline, voice: Synthesizer) -> None:
        self.timeline = timeline
        self._voice = voice
        self._observer = DemoMetrics(timeline)
        self._diary = _Diary(timeline)
        self._ear = Recorder()
        self._turns: list[TurnFigures] = []
        self._errors: list[str] = []
        self._leftover: int | None = None
        self._outputs: list[str] = []

    async def run(self, output: Path) -> Report:
        """Make the call and write the recording; what fails on the way stands in the report."""
        try:
            with trio.move_on_after(_TIMEOUT) as limit:
                await self._serve_and_talk()
        except Exception as exc:
            cause = main_cause(exc)
            if not is_for_people(cause):
                raise
            self._errors.append(str(cause))
        else:
            if limit.cancelled_caught:
                self._errors.append(f"it took longer than {_TIMEOUT:g} s")
        pcm = self._ear.pcm()
        if pcm:
            await trio.to_thread.run_sync(write_pcm, output, pcm)
        return self._report(str(output) if pcm else None)

    async def _serve_and_talk(self) -> None:
        limits = Limits(recorded_frames=100_000)
        async with serve_local(
            responder=TalkativeResponder(), synthesizer=self._voice, pacing=_PACE, limits=limits
        ) as server:
            self.timeline.say("", f"a local server: {server.url}")
            self.timeline.say(
                "", "it has no model: it repeats what it is told, and knows the tools"
            )
            await wait_all_tasks_blocked()  # the server has come to rest
            before = _living_tasks()
            config = SessionConfig(turn_detection=ServerVad())
            async with open_realtime_session(
                _make_agent(self._diary), endpoint=server.endpoint, config=config
            ) as session:
                await self._talk(session)
            self._leftover = await _leftover_tasks(before, server.connections)
            self._outputs = list(_answered_calls(server.connections))

    async def _talk(self, session: RealtimeSession[None]) -> None:
        with session.subscribe(events.RawModelEvent) as raw:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._observer.follow, session.events)
                nursery.start_soon(self._observer.follow, raw)
                nursery.start_soon(self._listen, session)
                await self._text_turn(session)
                await self._tool_turn(session)
                await self._speech_turn(session)
                await self._barge_in(session)
                nursery.cancel_scope.cancel(reason="the call is over")

    async def _listen(self, session: RealtimeSession[None]) -> None:
        """The ear: takes each frame when it is time to play it, which tells what was heard."""
        async with session.paced_audio(frame_ms=FRAME_MS) as frames:
            async for frame in frames:
                self._ear.add(frame)
                self._observer.notice()

    # --- the four turns

    async def _text_turn(self, session: RealtimeSession[None]) -> None:
        self.timeline.heading("A question in writing")
        await self._write(session, "Hello, who are you?")
        await session.create_response(output_modalities=["text"])
        await self._note_turn("text", 1)

    async def _tool_turn(self, session: RealtimeSession[None]) -> None:
        self.timeline.heading("A question that needs a tool")
        await self._write(session, "What is the weather in Oslo?")
        await session.create_response()
        await self._note_turn("tool", 2)
        await session.drain()

    async def _speech_turn(self, session: RealtimeSession[None]) -> None:
        self.timeline.heading("A question aloud")
        await speak(session, speech(), silence_ms=_SILENCE_MS)
        await self._note_turn("speech", 3)
        await session.drain()

    async def _barge_in(self, session: RealtimeSession[None]) -> None:
        self.timeline.heading("An interruption, while the agent speaks and a slow tool works")
        await self._write(session, "Please search the archive for lighthouses.")
        heard = self._ear.total_ms
        await session.create_response()
        await self._observer.until(lambda: self._ear.total_ms - heard >= _LISTEN_MS)
        await speak(session, speech(), silence_ms=_SILENCE_MS)
        await self._note_turn("barge_in", 4)
        # The conversation goes on: the interrupting words are answered.
        await self._note_turn("speech", 5)
        await session.drain()

    async def _write(self, session: RealtimeSession[None], text: str) -> None:
        self.timeline.say("you", text)
        await session.send_message(text, respond=False)

    async def _note_turn(self, kind: TurnKind, number: int) -> None:
        """Wait for the end of turn ``number`` of the agent, and note how it was."""
        ended = self._observer.ended
        await self._observer.until(lambda: len(ended) >= number)
        end = ended[number - 1]
        self._turns.append(
            TurnFigures(
                kind=kind,
                status=end.status,
                text=end.output,
                audio_ms=self._observer.audio_ms(end.response_id),
            )
        )

    # --- the report

    def _report(self, reply_wav: str | None) -> Report:
        return Report(
            turns=tuple(self._turns),
            tool_calls=tuple(
                CallFigures(
                    name=call.name,
                    call_id=call_id,
                    outcome=call.outcome,
                    outputs_sent=self._outputs.count(call_id),
                )
                for call_id, call in self._observer.calls.items()
            ),
            interrupted=self._interruption(),
            leftover_tasks=self._leftover,
            errors=(*self._errors, *self._observer.errors),
            reply_wav=reply_wav,
        )

    def _interruption(self) -> Interruption | None:
        cut = self._observer.cut
        if cut is None:
            return None
        return Interruption(
            item_id=cut.item_id,
            truncated_at_ms=self._observer.truncated.get(cut.item_id),
            heard_ms=cut.played_ms,
            stale_audio_events=self._observer.stale,
            played_ms=self._ear.ms(cut.item_id, cut.content_index),
            cleaned_up=self._diary.cleaned_up,
        )


def _living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def _leftover_tasks(before: int, connections: Sequence[Connection]) -> int:
    """Tasks that the session left behind, once the server's own of this connection have ended."""
    with trio.move_on_after(1):
        for connection in connections:
            await connection.ended.wait()
        await wait_all_tasks_blocked()
    return _living_tasks() - before


def _answered_calls(connections: Sequence[Connection]) -> Iterator[str]:
    """The call of each output that the server received."""
    for connection in connections:
        for frame in connection.received:
            match frame:
                case {"item": {"type": "function_call_output", "call_id": str() as call_id}}:
                    yield call_id
                case _:
                    pass
