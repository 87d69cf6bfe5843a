"""The ``demo`` command: a complete call with an agent, on a local server over a real WebSocket.

The call has a text turn, a turn with a tool call, a spoken turn, and an interruption while the agent
speaks and a slow tool runs. The user's speech is a recording, sent in real time. The agent's audio is
consumed at one frame every 20 ms, as a player would.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import trio
from rich.table import Table
from rich.text import Text
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
from .audio_io import FRAME_MS, Recorder, send_speech
from .demo_metrics import DemoMetrics
from .event_log import EventLog
from .exit import FAILED, OK, is_user_facing, main_cause
from .output import OutputConsole, program_name
from .report import CallMetrics, DemoReport, InterruptionMetrics, TurnKind, TurnMetrics
from .serve import make_synthesizer
from .wav import bundled_speech, check_writable, write_pcm

#: The server generates speech this many times faster than real time: fast enough to stay ahead of
#: playback, slow enough that the interruption comes while speech is still being generated.
_PACE = 3.0
#: Longer than the 500 ms of silence after which the server's voice activity detection ends a turn.
_TRAILING_SILENCE_MS = 640
#: Milliseconds of the agent's speech that are heard before the user interrupts.
_INTERRUPT_AFTER_MS = 1000
#: Seconds that the call may take.
_TIMEOUT = 25.0
_TITLE = "A call with a voice agent, on this machine"
_INTRODUCTION = (
    "It takes about 15 seconds and needs no API key, no network and no sound card. A local server "
    "stands in for the realtime service. It has no model: it repeats your words and calls tools by "
    "simple rules. The numbers at the left are seconds."
)
_STORY = (
    "While I look, let me tell you what an archive is. It is a place where people keep what they "
    "may want to look up again, and then never find, because they did not note where it was put."
)


class TalkativeResponder:
    """The default responder of the local server, which also tells a story during the slow tool."""

    def __init__(self) -> None:
        self._rules = RuleResponder()

    def respond(self, turn: Turn) -> Sequence[Step]:
        """Answer by the default rules; a search is followed by a story in the same response."""
        steps = list(self._rules.respond(turn))
        searches = any(isinstance(step, Call) and step.name == "search_archive" for step in steps)
        return [*steps, Say(_STORY)] if searches else steps


@attrs.define(eq=False)
class _SlowToolState:
    """Records whether the ``finally`` block of the slow tool ran."""

    log: EventLog
    cleaned_up: bool = False


def _make_agent(state: _SlowToolState) -> RealtimeAgent[None]:
    @function_tool
    async def search_archive(topic: str) -> str:
        """Search the archive. Takes a minute."""
        try:
            await trio.sleep(60)
            return f"Nothing on {topic}."
        finally:
            state.cleaned_up = True
            state.log.write("tool", "search_archive cleans up (its finally block runs)")

    return RealtimeAgent(
        name="Assistant", instructions=INSTRUCTIONS, tools=[get_weather, search_archive]
    )


async def demo(*, as_json: bool, output: Path, voice: str) -> int:
    """Run the call, write the recording, print the measurements.

    Args:
        as_json: print one JSON object instead of text.
        output: WAV file to write the agent's speech to.
        voice: ``auto``, ``tone`` or ``espeak``.

    Raises:
        UserFacingError: the output cannot be written, or the voice is not installed.
    """
    check_writable(output)
    console = OutputConsole(quiet=as_json, highlight=False, markup=False)
    console.print(_TITLE, style="bold")
    console.print(f"{_INTRODUCTION}\n")
    call = DemoCall(EventLog(console), make_synthesizer(voice))
    report = await call.run(output)
    if as_json:
        json.dump(report.as_json(), sys.stdout)
        print()
    else:
        _print_summary(report, console, call.log.elapsed)
    return OK if report.ok else FAILED


def _print_summary(report: DemoReport, console: OutputConsole, seconds: float) -> None:
    console.print("\nWhat was checked", style="bold")
    checks = Table.grid(padding=(0, 1))
    for check in report.checks():
        mark = Text("✗", "bold red") if check.problems else Text("✓", "bold green")
        checks.add_row(mark, check.guarantee)
    console.print(checks)
    for problem in report.problems():
        console.print(f"problem: {problem}", style="bold red")
    if report.reply_wav is not None:
        console.print(f"\nWhat the agent said is in {report.reply_wav}", soft_wrap=True)
    console.print(
        f"all checks passed in {seconds:.1f} s"
        if report.ok
        else f"checks failed in {seconds:.1f} s",
        style="bold green" if report.ok else "bold red",
    )
    command = program_name()
    console.print("\nNext: write to the agent yourself, with")
    console.print(f"  {command} chat --local", soft_wrap=True)
    console.print(
        "To write your own agent, begin with the page Quickstart of the documentation "
        "(docs/quickstart.md)."
    )


class DemoCall:
    """Makes one call on a local server, and measures it.

    Args:
        log: prints what happens.
        synthesizer: the voice of the local server.
    """

    def __init__(self, log: EventLog, synthesizer: Synthesizer) -> None:
        self.log = log
        self._synthesizer = synthesizer
        self._metrics = DemoMetrics(log)
        self._slow_tool = _SlowToolState(log)
        self._recorder = Recorder()
        self._turns: list[TurnMetrics] = []
        self._errors: list[str] = []
        self._leftover_tasks: int | None = None
        self._answered_calls: list[str] = []

    async def run(self, output: Path) -> DemoReport:
        """Make the call and write the recording to ``output``. The report includes any errors."""
        try:
            with trio.move_on_after(_TIMEOUT) as limit:
                await self._serve_and_talk()
        except Exception as exc:
            cause = main_cause(exc)
            if not is_user_facing(cause):
                raise
            self._errors.append(str(cause))
        else:
            if limit.cancelled_caught:
                self._errors.append(f"the call took longer than {_TIMEOUT:g} s")
        pcm = self._recorder.pcm()
        if pcm:
            await trio.to_thread.run_sync(write_pcm, output, pcm)
        return self._make_report(str(output) if pcm else None)

    async def _serve_and_talk(self) -> None:
        limits = Limits(recorded_frames=100_000, recorded_bytes=64 * 1024 * 1024)
        async with serve_local(
            responder=TalkativeResponder(),
            synthesizer=self._synthesizer,
            pacing=_PACE,
            limits=limits,
            # The search must run while the agent speaks. A reasoning model completes its calls only
            # at the end of the response.
            interleave=False,
        ) as server:
            self.log.write("", f"the local server runs at {server.url}")
            await wait_all_tasks_blocked()  # until the server has started all its tasks
            tasks_before = _count_tasks()
            config = SessionConfig(turn_detection=ServerVad())
            async with open_realtime_session(
                _make_agent(self._slow_tool), endpoint=server.endpoint, config=config
            ) as session:
                await self._talk(session)
            self._leftover_tasks = await _count_leftover_tasks(tasks_before, server.connections)
            self._answered_calls = list(_answered_call_ids(server.connections))

    async def _talk(self, session: RealtimeSession[None]) -> None:
        with session.subscribe(events.RawModelEvent) as raw:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._metrics.follow, session.events)
                nursery.start_soon(self._metrics.follow, raw)
                nursery.start_soon(self._play_audio, session)
                nursery.start_soon(self.log.show_activity)
                await self._text_turn(session)
                await self._tool_turn(session)
                await self._speech_turn(session)
                await self._barge_in_turn(session)
                nursery.cancel_scope.cancel(reason="the call is over")

    async def _play_audio(self, session: RealtimeSession[None]) -> None:
        """Consume each frame when it is due, so that the session knows what was heard."""
        async with session.paced_audio(frame_ms=FRAME_MS) as frames:
            async for frame in frames:
                self._recorder.add(frame)
                self._metrics.notify()

    # --- the turns

    async def _text_turn(self, session: RealtimeSession[None]) -> None:
        self.log.heading("1 of 4: you write a question")
        await self._send_text(session, "Hello, who are you?")
        await session.create_response(output_modalities=["text"])
        await self._record_turn("text", 1)

    async def _tool_turn(self, session: RealtimeSession[None]) -> None:
        self.log.heading("2 of 4: you write a question that the agent answers aloud, with a tool")
        await self._send_text(session, "What is the weather in Oslo?")
        await session.create_response()
        await self._record_turn("tool", 2)
        await self._hear_the_rest(session)

    async def _speech_turn(self, session: RealtimeSession[None]) -> None:
        self.log.heading("3 of 4: you speak")
        await self._speak(session)
        await self._record_turn("speech", 3)
        await self._hear_the_rest(session)

    async def _barge_in_turn(self, session: RealtimeSession[None]) -> None:
        self.log.heading("4 of 4: you interrupt the agent, who speaks while a slow tool runs")
        await self._send_text(session, "Please search the archive for lighthouses.")
        heard_before = self._recorder.total_ms
        await session.create_response()
        await self._metrics.wait_until(
            lambda: self._recorder.total_ms - heard_before >= _INTERRUPT_AFTER_MS
        )
        await self._speak(session)
        await self._record_turn("barge_in", 4)
        # The agent answers the speech that interrupted it.
        await self._record_turn("speech", 5)
        await self._hear_the_rest(session)

    async def _speak(self, session: RealtimeSession[None]) -> None:
        self.log.activity = "you are speaking"
        await send_speech(session, bundled_speech(), silence_ms=_TRAILING_SILENCE_MS)
        self.log.activity = "the agent is speaking"

    async def _hear_the_rest(self, session: RealtimeSession[None]) -> None:
        self.log.activity = "the agent is speaking"
        await session.drain()

    async def _send_text(self, session: RealtimeSession[None], text: str) -> None:
        self.log.write("you", text)
        await session.send_message(text, respond=False)

    async def _record_turn(self, kind: TurnKind, number: int) -> None:
        """Wait for the end of the agent's turn ``number``, counted from 1, and record it."""
        turn_ends = self._metrics.turn_ends
        await self._metrics.wait_until(lambda: len(turn_ends) >= number)
        end = turn_ends[number - 1]
        self._turns.append(
            TurnMetrics(
                kind=kind,
                status=end.status,
                text=end.output,
                audio_ms=self._metrics.audio_ms(end.response_id),
            )
        )

    # --- the report

    def _make_report(self, reply_wav: str | None) -> DemoReport:
        return DemoReport(
            turns=tuple(self._turns),
            tool_calls=tuple(
                CallMetrics(
                    name=call.name,
                    call_id=call_id,
                    outcome=call.outcome,
                    outputs_sent=self._answered_calls.count(call_id),
                )
                for call_id, call in self._metrics.calls.items()
            ),
            interrupted=self._interruption_metrics(),
            leftover_tasks=self._leftover_tasks,
            errors=(*self._errors, *self._metrics.errors),
            reply_wav=reply_wav,
        )

    def _interruption_metrics(self) -> InterruptionMetrics | None:
        event = self._metrics.interruption
        if event is None:
            return None
        return InterruptionMetrics(
            item_id=event.item_id,
            truncated_at_ms=self._metrics.truncated_ms.get(event.item_id),
            heard_ms=event.played_ms,
            stale_audio_events=self._metrics.stale_audio_events,
            played_ms=self._recorder.duration_ms(event.item_id, event.content_index),
            cleaned_up=self._slow_tool.cleaned_up,
        )


def _count_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def _count_leftover_tasks(before: int, connections: Sequence[Connection]) -> int:
    """Count the tasks that the session left behind, after the server's connection tasks ended."""
    with trio.move_on_after(1):
        for connection in connections:
            await connection.ended.wait()
        await wait_all_tasks_blocked()
    return _count_tasks() - before


def _answered_call_ids(connections: Sequence[Connection]) -> Iterator[str]:
    """Yield the call id of each function call output that the server received."""
    for connection in connections:
        for frame in connection.received:
            match frame:
                case {"item": {"type": "function_call_output", "call_id": str() as call_id}}:
                    yield call_id
                case _:
                    pass
