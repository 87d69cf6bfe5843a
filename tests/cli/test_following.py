"""What the command's small parts promise: observer, screen, microphone, line reader, errors."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from trio_realtime import (
    LocalServerWarning,
    RealtimeAgent,
    ServerVad,
    SessionConfig,
    errors,
    events,
    open_realtime_session,
)
from trio_realtime.cli.assistant import default_agent, get_weather
from trio_realtime.cli.audio_io import Recorder, speak
from trio_realtime.cli.chat import LineReader, while_showing
from trio_realtime.cli.console import Terminal
from trio_realtime.cli.demo_metrics import DemoMetrics
from trio_realtime.cli.endpoints import Service
from trio_realtime.cli.event_log import Timeline
from trio_realtime.cli.exit import (
    FAILED,
    INTERRUPTED,
    MEND,
    OK,
    UserFacingError,
    main_cause,
    report,
    until_signal,
)
from trio_realtime.cli.talk import Listener, talk
from trio_realtime.cli.wav import speech, write_pcm
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

AGENT = RealtimeAgent[None](name="Clerk")


def audio(ms: int, response_id: str = "resp_1", item_id: str = "item_1") -> events.Audio:
    return events.Audio(
        data=b"\1\0" * (24 * ms), response_id=response_id, item_id=item_id, content_index=0
    )


def interrupted(ms: int) -> events.AudioInterrupted:
    return events.AudioInterrupted(
        response_id="resp_1", item_id="item_1", content_index=0, played_ms=ms
    )


def text(delta: str, item_id: str = "item_1") -> events.TextDelta:
    return events.TextDelta(delta=delta, response_id="resp_1", item_id=item_id, content_index=0)


def end(status: events.ResponseStatus = "completed") -> events.AgentEnd:
    return events.AgentEnd(agent=AGENT, turn_id="resp_1", response_id="resp_1", status=status)


# --- the observer --------------------------------------------------------------------------------


async def test_the_observer_counts_audio_that_comes_after_its_interruption() -> None:
    observer = DemoMetrics(Timeline(Console(quiet=True)))
    observer.take(audio(100))
    observer.take(interrupted(40))
    assert observer.stale == 0
    observer.take(audio(20))
    observer.take(audio(20, response_id="resp_2"))
    assert observer.stale == 1
    assert observer.audio_ms("resp_1") == 120


async def test_whoever_waits_on_the_observer_is_woken_by_the_event(nursery: trio.Nursery) -> None:
    observer = DemoMetrics(Timeline(Console(quiet=True)))
    woken = trio.Event()

    async def wait() -> None:
        await observer.until(lambda: bool(observer.ended))
        woken.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    observer.take(audio(20))
    await trio.testing.wait_all_tasks_blocked()
    assert not woken.is_set()
    observer.take(end())
    await trio.testing.wait_all_tasks_blocked()
    assert woken.is_set()


async def test_every_line_of_the_timeline_fits_the_terminal(autojump_clock: object) -> None:
    out = io.StringIO()
    timeline = Timeline(Console(file=out, width=60))
    await trio.sleep(1.5)
    timeline.say("agent", "many words\n" * 20)
    (line,) = out.getvalue().splitlines()
    assert line.startswith("  1.50s  agent many words many")
    assert len(line) <= 60


# --- the screen ----------------------------------------------------------------------------------


def test_the_screen_streams_each_item_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Terminal("Clerk", prompt=False)
    for event in (text("Good "), text("day"), text("Bye", "item_2"), end()):
        screen.show(event)
    assert capsys.readouterr().out == "Clerk: Good day\nClerk: Bye\n"


def test_the_screen_leaves_the_terminal_at_the_beginning_of_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Terminal("Clerk", prompt=True)
    screen.ask_for_line()
    screen.part()
    assert capsys.readouterr().out == "you> \n"
    screen.ask_for_line()
    screen.note_line()
    screen.part()
    assert capsys.readouterr().out == "you> "


def test_errors_go_to_stderr_and_do_not_break_into_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Terminal("Clerk", prompt=False)
    screen.show(text("Hel"))
    screen.show(events.Error(error=errors.RequestRejected("no such voice")))
    screen.show(text("lo"))
    seen = capsys.readouterr()
    assert seen.out == "Clerk: Hel\nClerk: lo"
    assert seen.err == "trio-realtime: no such voice\n"


# --- microphone and ear --------------------------------------------------------------------------


@pytest.mark.parametrize("realtime", [True, False])
async def test_the_microphone_sends_each_frame_at_its_time(
    autojump_clock: object, realtime: bool
) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        AGENT, endpoint=TEST_ENDPOINT, transport=peer.connect
    ) as session:
        start = trio.current_time()
        await speak(session, b"\1\0" * 24 * 190, silence_ms=110, realtime=realtime)
        took = trio.current_time() - start
        await trio.testing.wait_all_tasks_blocked()
        frames = [frame for frame in peer.received if "audio" in frame]
        assert len(frames) == 15
        assert took == pytest.approx(14 * 0.02 if realtime else 0.0)


def test_the_recorder_keeps_what_was_heard() -> None:
    recorder = Recorder()
    recorder.add(audio(100))
    recorder.add(audio(50))
    recorder.add(audio(30, item_id="item_2"))
    recorder.cut("item_1", 0, 120)
    assert recorder.ms("item_1") == 120
    assert recorder.total_ms == 150
    # 300 ms of silence between the items.
    assert len(recorder.pcm()) == 48 * (120 + 300 + 30)


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions talk to the local server in memory, so that time may be virtual."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")):
            monkeypatch.delenv(name)
    with pytest.warns(LocalServerWarning):
        yield


async def talk_about(pcm: bytes, folder: Path, timeout: float = 60.0) -> int:
    write_pcm(folder / "source.wav", pcm)
    return await talk(
        default_agent(),
        Service(),
        SessionConfig(turn_detection=ServerVad()),
        source=folder / "source.wav",
        target=folder / "reply.wav",
        realtime=True,
        timeout=timeout,
    )


@pytest.mark.usefixtures("no_service")
async def test_talk_says_that_nobody_spoke_in_a_silent_file(
    autojump_clock: object, tmp_path: Path
) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(UserFacingError, match="no speech was noticed"), flatten_subgroups=True
    ):
        await talk_about(bytes(48_000), tmp_path)
    assert not (tmp_path / "reply.wav").exists()


@pytest.mark.usefixtures("no_service")
async def test_talk_waits_until_the_last_of_two_turns_is_answered(
    autojump_clock: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pause = bytes(48 * 6000)
    assert await talk_about(speech() + pause + speech(), tmp_path) == OK
    assert capsys.readouterr().out.count("I heard") == 2


async def test_who_speaks_again_before_the_answer_has_to_be_answered_again() -> None:
    listener = Listener(Terminal("Clerk", prompt=False))
    assert not listener.noticed
    for number in range(2):
        listener.take(events.SpeechStarted(item_id=f"item_{number}", audio_start_ms=0))
        assert (listener.noticed, listener.answered) == (True, False)
        listener.take(end("cancelled"))
        assert not listener.answered
        listener.take(end())
        assert (listener.answered, listener.failed) == (True, False)
    listener.take(end("failed"))
    assert (listener.answered, listener.failed) == (True, True)


# --- chat ---------------------------------------------------------------------------------------


async def test_a_session_that_the_service_ends_in_order_ends_the_wait_for_a_line(
    autojump_clock: object,
) -> None:
    peer = ScriptedPeer()
    with pytest.RaisesGroup(pytest.RaisesExc(UserFacingError, match="ended the session")):
        async with open_realtime_session(
            AGENT, endpoint=TEST_ENDPOINT, transport=peer.connect
        ) as session:
            peer.close(1000)
            await while_showing(session.events, Terminal("Clerk", prompt=False), trio.sleep_forever)


async def test_when_the_work_is_done_all_its_events_have_been_shown(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        AGENT, endpoint=TEST_ENDPOINT, transport=peer.connect
    ) as session:
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_1", "Good day")
        peer.end_response("resp_1")
        # All of it has arrived before whoever shows events has its first turn.
        await trio.testing.wait_all_tasks_blocked()
        await while_showing(session.events, Terminal("Clerk", prompt=False), _nothing)
        assert capsys.readouterr().out == "Clerk: Good day\n"


async def _nothing() -> None:
    return


# --- lines ---------------------------------------------------------------------------------------


async def test_lines_come_whole_however_the_bytes_are_cut() -> None:
    ours, theirs = os.pipe()
    try:
        reader = LineReader(ours)
        data = "grüße\r\n\nlast".encode()
        os.write(theirs, data[:3])  # in the middle of a letter
        async with trio.open_nursery() as nursery:
            lines: list[str | None] = []

            async def read() -> None:
                lines.append(await reader.next())

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            os.write(theirs, data[3:])
        os.close(theirs)
        lines += [await reader.next(), await reader.next(), await reader.next()]
        assert lines == ["grüße", "", "last", None]
    finally:
        os.close(ours)


# --- how a command ends --------------------------------------------------------------------------


async def test_a_signal_ends_a_command_through_its_finally_blocks() -> None:
    cleaned_up = False

    async def command() -> int:
        nonlocal cleaned_up
        try:
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()
        finally:
            cleaned_up = True

    assert await until_signal(command) == 128 + signal.SIGTERM
    assert cleaned_up
    assert await until_signal(command, on_signal=OK) == OK


def group(*inner: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", [BaseExceptionGroup("more", list(inner))])


MEND_IT = UserFacingError("mend it")
BUG = KeyError("bug")
EXIT = KeyboardInterrupt()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MEND_IT, MEND_IT),
        (group(MEND_IT), MEND_IT),
        (group(MEND_IT, BUG), BUG),
        (group(MEND_IT, BUG, EXIT), EXIT),
    ],
)
def test_the_worst_of_a_group_is_what_counts(error: BaseException, cause: BaseException) -> None:
    assert main_cause(error) is cause


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserFacingError("mend\nit"), MEND, "trio-realtime: mend it\n"),
        (errors.ModelNotAvailable("no such model"), MEND, "trio-realtime: no such model\n"),
        (
            errors.ResponseFailed("it failed", status="failed"),
            FAILED,
            "trio-realtime: it failed\n",
        ),
        (EXIT, INTERRUPTED, ""),
    ],
)
def test_errors_become_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(group(error), debug=False) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("bug", [BUG, errors.InternalError("a bug")])
def test_a_bug_is_not_dressed_up(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        report(bug, debug=False)


async def test_the_weather_is_made_up_but_stays_the_same() -> None:
    tool: Any = get_weather
    assert await tool.invoke(None, '{"city": "Oslo"}') == "It is sunny in Oslo, 25 degrees."
