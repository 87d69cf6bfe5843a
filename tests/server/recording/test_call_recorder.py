"""Recording a call to files, and what happens when the disk fails."""

from __future__ import annotations

import errno
import json
import math
import threading
import tracemalloc
import wave
from array import array
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.server.recording import (
    AudioChunk,
    CallRecorder,
    RecordingFailed,
    open_recorder,
    sweep,
)
from trio_realtime.server.recording.segments import SegmentFile, open_unbuffered
from trio_realtime.wire import PCM24K, PCMA, PCMU, AudioFormat

PCM8K = AudioFormat(type="audio/pcm", rate=8000)

open_call = partial(
    open_recorder, session_id="sess_1", run_id="run_1", input_format=PCM8K, output_format=PCM8K
)


def pcm(*numbers: int) -> bytes:
    return array("h", numbers).tobytes()


def numbered(first: int, count: int) -> bytes:
    return pcm(*(n % 30_000 + 1 for n in range(first, first + count)))


def read_tracks(path: Path) -> tuple[int, bytes, bytes]:
    """Return the rate and both channels of a stereo file."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        numbers = array("h", file.readframes(file.getnframes()))
        return file.getframerate(), numbers[0::2].tobytes(), numbers[1::2].tobytes()


async def speak(recorder: CallRecorder, seconds: float, *, first: int = 0) -> None:
    """Send numbered samples of the user at 8 kHz in real time."""
    for index in range(round(seconds * 50)):
        await trio.sleep(0.02)
        recorder.user_audio(numbered(first + index * 160, 160), trio.current_time())


class SteppedClock:
    """Lets time pass only after all that was to be written has been written.

    With ``autojump_clock``, time goes on while a thread writes. The recorder needs the limiter, which has one
    thread.
    """

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self.limiter = trio.CapacityLimiter(1)

    async def sleep(self, seconds: float) -> None:
        self._clock.jump(seconds)
        await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(lambda: None, limiter=self.limiter)
        await trio.testing.wait_all_tasks_blocked()

    async def speak(self, recorder: CallRecorder, seconds: float, *, first: int = 0) -> None:
        for index in range(round(seconds * 50)):
            await self.sleep(0.02)
            recorder.user_audio(numbered(first + index * 160, 160), trio.current_time())


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def files_of(recorder: CallRecorder) -> list[str]:
    return files_in(recorder.directory)


# --- a call -------------------------------------------------------------------------------------


async def test_both_tracks_are_in_a_stereo_file(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path, wall_clock=lambda: 1e9) as recorder:
        start = trio.current_time()
        recorder.agent_audio("item_1", 0, numbered(0, 16_000), start)
        for index in range(1, 151):
            await trio.sleep(0.02)
            now = trio.current_time()
            recorder.user_audio(numbered(index * 160 - 160, 160), now)
            if 50 < index <= 75:  # half a second of the item is heard
                recorder.agent_played("item_1", 0, (index - 50) * 20, now)
        recorder.agent_interrupted("item_1", 0, 500, trio.current_time())
        await trio.sleep(1)
        recording = await recorder.finish(trio.current_time(), separate_tracks=True)
    rate, user, agent = read_tracks(recording.stereo.path)
    assert rate == recording.rate == 8000
    assert user == numbered(0, 24_000) + bytes(2 * 8000)
    silence = bytes(2 * 8000)
    # The item begins to be heard after a second.
    assert agent == silence + numbered(0, 4000) + bytes(2 * (32_000 - 12_000))
    assert (recording.duration_ms, recording.started_at) == (4000, 1e9)
    assert (recording.dropped_bytes, recording.is_complete, recording.problems) == (0, True, ())
    for file in (recording.stereo, recording.user, recording.agent):
        assert file is not None
        data = file.path.read_bytes()
        assert (file.size, file.sha256) == (len(data), sha256(data).hexdigest())
    assert recording.user is not None
    with wave.open(str(recording.user.path)) as mono:
        assert mono.getnchannels() == 1
        assert mono.readframes(32_000) == user
    assert files_of(recorder) == [
        "agent.wav",
        "lock",
        "manifest.jsonl",
        "recording.wav",
        "user.wav",
    ]


@pytest.mark.parametrize("input_format", [PCMU, PCMA, PCM8K])
async def test_tracks_with_different_rates_are_aligned(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, input_format: AudioFormat
) -> None:
    size = 1 if input_format != PCM8K else 2
    loud = {PCMU: b"\x80", PCMA: b"\xaa", PCM8K: pcm(32_000)}[input_format] * 8000
    call = partial(open_call, input_format=input_format, output_format=PCM24K)
    async with call(tmp_path, keep_segments=True) as recorder:
        await trio.sleep(2)
        recorder.user_audio(loud, trio.current_time())
        recorder.agent_audio("item_1", 0, pcm(30_000) * 24_000, trio.current_time())
        await trio.sleep(1)
        recorder.agent_played("item_1", 0, 1000, trio.current_time())
        recording = await recorder.finish(trio.current_time())
    rate, user, agent = read_tracks(recording.stereo.path)
    assert rate == 24_000
    assert agent == bytes(2 * 48_000) + pcm(30_000) * 24_000
    numbers = array("h", user)
    assert len(numbers) == 72_000
    assert max(map(abs, numbers[: 24_000 - 100])) < 2000
    assert min(map(abs, numbers[24_000 + 100 : 48_000 - 100])) > 20_000
    assert max(map(abs, numbers[48_000 + 100 :])) < 2000
    (segment,) = recorder.directory.glob("user-*.pcm")
    # Silence at the beginning takes no space: the name has the position.
    assert (segment.name, segment.stat().st_size) == ("user-000001-8000.pcm", 8000 * size)


async def test_each_chunk_is_described(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    chunks: list[AudioChunk] = []
    call = partial(open_call, tmp_path, keep_segments=True, segment_seconds=1)
    async with call(on_chunk=chunks.append) as recorder:
        recorder.agent_audio("item_1", 2, numbered(0, 800), trio.current_time())
        await speak(recorder, 3)
        recorder.agent_played("item_1", 2, 50, trio.current_time())
        recorder.agent_played("item_1", 2, 100, trio.current_time() + 0.05)
        await recorder.finish(trio.current_time() + 0.05)
    assert chunks[0].file == "user-000001-0.pcm"
    for track, data in (("user", numbered(0, 24_000)), ("agent", numbered(0, 800))):
        mine = [chunk for chunk in chunks if chunk.track == track]
        pieces = [
            (recorder.directory / chunk.file).read_bytes()[chunk.offset : chunk.offset + chunk.size]
            for chunk in mine
        ]
        assert b"".join(pieces) == data
        assert all(chunk.duration_ms * 16 == chunk.size for chunk in mine)
        assert all(chunk.delta_ms == chunk.duration_ms for chunk in mine)
    user = [chunk for chunk in chunks if chunk.track == "user"]
    # Frames that follow each other are joined, up to a second.
    assert [(chunk.position_ms, chunk.duration_ms) for chunk in user] == [
        (0, 1000),
        (1000, 1000),
        (2000, 1000),
    ]
    agent = [chunk for chunk in chunks if chunk.track == "agent"]
    assert [(c.item_id, c.content_index, c.item_ms, c.duration_ms) for c in agent] == [
        ("item_1", 2, 0, 100),
    ]
    assert (user[0].item_id, user[0].item_ms) == (None, None)


async def test_the_manifest_describes_complete_segments(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path, keep_segments=True, segment_seconds=1) as recorder:
        await speak(recorder, 2.5)
        await recorder.finish(trio.current_time())
    text = (recorder.directory / "manifest.jsonl").read_text()
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line]
    assert [line["type"] for line in lines] == ["header", *["segment"] * 3, "end", "recording"]
    assert [(line["first"], line["samples"]) for line in lines[1:4]] == [
        (0, 8000),
        (8000, 8000),
        (16_000, 4000),
    ]
    for line in lines[1:4]:
        data = (recorder.directory / line["file"]).read_bytes()
        assert line["sha256"] == sha256(data).hexdigest()


async def test_pauses_and_redacted_ranges_are_silent(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path) as recorder:
        await speak(recorder, 1)
        recorder.pause(trio.current_time())
        await speak(recorder, 1)
        recorder.resume(trio.current_time())
        await speak(recorder, 2, first=16_000)
        recorder.redact(2500, 3000)
        assert recorder.position_ms(trio.current_time()) == pytest.approx(4000)
        recording = await recorder.finish(trio.current_time())
    _, user, _ = read_tracks(recording.stereo.path)
    expected = bytearray(numbered(0, 8000) + bytes(2 * 8000) + numbered(16_000, 16_000))
    expected[2 * 20_000 : 2 * 24_000] = bytes(2 * 4000)
    assert user == bytes(expected)


async def test_of_two_finishes_at_once_one_is_refused(tmp_path: Path) -> None:
    refused: list[UsageError] = []
    async with open_call(tmp_path) as recorder:

        async def finish() -> None:
            try:
                await recorder.finish(trio.current_time())
            except UsageError as exc:
                refused.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish)
            nursery.start_soon(finish)
    assert len(refused) == 1


async def test_numbers_may_be_large(tmp_path: Path) -> None:
    async with open_call(tmp_path, clock=lambda: 0.0) as recorder:
        recorder.agent_audio("item", 0, numbered(0, 8000), 0.0)
        recorder.agent_played("item", 0, math.inf, 1.0)
        recorder.agent_interrupted("item", 0, math.inf, 1.0)
        recorder.user_audio(numbered(0, 8000), 1.0)
        recorder.redact(500, 1e308)
        recording = await recorder.finish(1.0)
    _, user, agent = read_tracks(recording.stereo.path)
    assert (user[:8000], agent[:8000]) == (numbered(0, 4000), numbered(0, 4000))
    assert not any(user[8000:] + agent[8000:])


async def test_only_the_owner_may_read_the_directories(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "recordings"
    async with open_call(directory):
        for path in (directory, directory / "sess_1", directory / "sess_1" / "run_1"):
            assert path.stat().st_mode & 0o777 == 0o700


async def test_audio_after_the_end_has_no_effect(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path) as recorder:
        await speak(recorder, 1)
        recording = await recorder.finish(trio.current_time())
        before = recording.stereo.path.read_bytes()
        await speak(recorder, 1)
        recorder.agent_audio("item_1", 0, b"\1\1" * 100, trio.current_time())
        recorder.agent_played("item_1", 0, 10, trio.current_time())
        with pytest.raises(UsageError, match="finish was called before"):
            await recorder.finish(trio.current_time())
    assert recording.stereo.path.read_bytes() == before
    assert recorder.statistics().buffered_bytes == 0
    assert "recording.wav" in files_of(recorder)


async def test_a_call_without_audio_has_a_silent_recording(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path) as recorder:
        await trio.sleep(1.5)
        recording = await recorder.finish(trio.current_time())
    assert read_tracks(recording.stereo.path) == (8000, bytes(24_000), bytes(24_000))


# --- the end of the block -----------------------------------------------------------------------


async def test_a_block_that_fails_leaves_what_was_recorded(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_call(tmp_path) as recorder:
            await speak(recorder, 1.5)
            raise ZeroDivisionError
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 12_000)
    assert not recording.is_complete


async def test_a_cancelled_block_leaves_what_was_recorded(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.CancelScope() as scope:
        async with open_call(tmp_path) as recorder:
            await speak(recorder, 1.5)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 12_000)


async def test_what_was_waiting_for_a_thread_is_written_at_the_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    limiter, other = trio.CapacityLimiter(1), object()

    async def release_later() -> None:
        await trio.sleep(5)
        limiter.release_on_behalf_of(other)

    async with trio.open_nursery() as nursery, open_call(tmp_path, limiter=limiter) as recorder:
        await limiter.acquire_on_behalf_of(other)
        nursery.start_soon(release_later)
        await speak(recorder, 3)  # the task waits for a thread now, and is cancelled
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 24_000)


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancelled_finish_leaves_the_segments(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    monkeypatch.setattr("trio_realtime.server.recording.render.STEP_SECONDS", 1)
    async with open_call(tmp_path) as recorder:
        await speak(recorder, 8)
        with trio.CancelScope() as scope:
            count = 0

            async def cancel_after_some_steps() -> None:
                nonlocal count
                while not list(recorder.directory.glob("*.tmp")) and count < steps * 100:
                    count += 1
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after_some_steps)
                await recorder.finish(trio.current_time())
    if scope.cancelled_caught:
        assert "recording.wav" not in files_of(recorder)
    assert not list(recorder.directory.glob("*.tmp"))
    await sweep(tmp_path)
    data = read_tracks(recorder.directory / "recording.wav")[1]
    assert data == numbered(0, 64_000)


async def test_two_recorders_cannot_have_one_run(tmp_path: Path) -> None:
    async with open_call(tmp_path):
        with pytest.raises(ConfigurationError, match="another recorder or sweeper uses"):
            async with open_call(tmp_path):
                pass
    with pytest.raises(ConfigurationError, match="has a recording already; use a new run_id"):
        async with open_call(tmp_path):
            pass


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a\0", "é", "x" * 129, 7])
@pytest.mark.parametrize("argument", ["session_id", "run_id"])
async def test_ids_must_be_names_of_directories(tmp_path: Path, argument: str, name: Any) -> None:
    with pytest.raises(UsageError, match=f"{argument} must have 1 to 128 letters"):
        async with open_call(tmp_path, **{argument: name}):
            pass
    assert files_in(tmp_path) == []


async def test_a_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="choose a directory that this process may write"):
        async with open_call(tmp_path / "file"):
            pass


@pytest.mark.parametrize("option", ["segment_seconds", "max_buffered_bytes", "max_unheard_bytes"])
async def test_limits_must_be_positive(tmp_path: Path, option: str) -> None:
    options: dict[str, Any] = {option: 0}
    with pytest.raises(UsageError, match="must be more than 0"):
        async with open_call(tmp_path, **options):
            pass


@pytest.mark.parametrize(("start", "end"), [(5, 5), (-1, 5), (5, float("inf")), (float("nan"), 1)])
async def test_redacted_ranges_must_be_ranges(tmp_path: Path, start: float, end: float) -> None:
    async with open_call(tmp_path) as recorder:
        with pytest.raises(UsageError, match="0 <= start_ms < end_ms"):
            recorder.redact(start, end)


# --- disks that fail ----------------------------------------------------------------------------


class FullDisk:
    """Opens files that take a limited number of bytes of audio, until there is space again."""

    def __init__(self, space: int) -> None:
        self.space = space
        self.attempts = 0

    def open(self, path: Path) -> SegmentFile:
        self.attempts += 1
        if self.space <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return _LimitedFile(open_unbuffered(path), self)


class _LimitedFile:
    def __init__(self, file: SegmentFile, disk: FullDisk) -> None:
        self._file = file
        self._disk = disk
        self.fileno: Callable[[], int] = file.fileno
        self.close: Callable[[], None] = file.close

    def write(self, data: bytes) -> int | None:
        if self._disk.space <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._file.write(data[: self._disk.space])
        self._disk.space -= written or 0
        return written


async def test_a_full_disk_does_not_end_the_call(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    stepped = SteppedClock(mock_clock)
    disk = FullDisk(50_001)  # about three seconds, and not whole samples
    failures: list[Exception] = []
    call = partial(open_call, tmp_path, segment_seconds=1, on_failure=failures.append)
    async with call(open_file=disk.open, limiter=stepped.limiter) as recorder:
        await stepped.speak(recorder, 5)
        disk.space = 10_000_000
        await stepped.speak(recorder, 5, first=40_000)
        recording = await recorder.finish(trio.current_time())
    assert [str(failure) for failure in failures] == ["[Errno 28] No space left on device"]
    assert 0 < recording.dropped_bytes < 16_000 * 5
    assert disk.attempts < 20  # once a second, and not with each frame
    _, user, _ = read_tracks(recording.stereo.path)
    got, sent = array("h", user), array("h", numbered(0, 80_000))
    # What is there is where it belongs, and the rest is silence.
    assert len(got) == 80_000
    assert all(a in (0, b) for a, b in zip(got, sent, strict=True))
    missing = sum(number == 0 for number in got)
    assert abs(missing * 2 - recording.dropped_bytes) < 1000
    assert got[:20_000] == sent[:20_000]
    assert got[-20_000:] == sent[-20_000:]


async def test_a_disk_that_is_full_from_the_beginning_is_reported(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    stepped, disk = SteppedClock(mock_clock), FullDisk(0)
    failures: list[Exception] = []
    call = partial(open_call, tmp_path, segment_seconds=1, on_failure=failures.append)
    async with call(open_file=disk.open, limiter=stepped.limiter) as recorder:
        await stepped.speak(recorder, 3)
        assert recorder.statistics().dropped_bytes > 0
        with pytest.raises(RecordingFailed, match="could not be made: No such file"):
            await recorder.finish(trio.current_time())
    assert len(failures) == 1


async def test_a_disk_that_is_full_at_the_end_leaves_the_segments(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with open_call(tmp_path) as recorder:
        await speak(recorder, 2)
        with monkeypatch.context() as patch:
            patch.setattr("trio_realtime.server.recording.render._WavFile.write", fail)
            with pytest.raises(RecordingFailed, match=r"No space left on device; its segments are"):
                await recorder.finish(trio.current_time())
    assert files_of(recorder) == ["lock", "manifest.jsonl", "user-000001-0.pcm"]
    (recording,) = await sweep(tmp_path)
    assert recording.is_complete
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 16_000)


async def test_a_disk_that_cannot_make_files_durable_is_reported(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    failures: list[Exception] = []
    with monkeypatch.context() as patch:
        patch.setattr("trio_realtime.server.recording.segments.os.fsync", fail)
        async with open_call(tmp_path, on_failure=failures.append) as recorder:
            await speak(recorder, 2)
    assert [str(failure) for failure in failures] == ["[Errno 5] Input/output error"]
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 16_000)


async def test_one_piece_may_be_larger_than_the_buffer(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_call(tmp_path, max_buffered_bytes=1000) as recorder:
        await trio.sleep(10)
        recorder.user_audio(numbered(0, 80_000), trio.current_time())
        recording = await recorder.finish(trio.current_time())
    assert recording.dropped_bytes == 0
    assert read_tracks(recording.stereo.path)[1] == numbered(0, 80_000)


async def test_audio_that_a_slow_disk_cannot_take_is_dropped(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The disk blocks while ten seconds of audio arrive."""
    is_ready = threading.Event()

    def open_file(path: Path) -> SegmentFile:
        if path.suffix == ".pcm":
            is_ready.wait(60)
        return open_unbuffered(path)

    failures: list[Exception] = []
    options: dict[str, Any] = {"max_buffered_bytes": 40_000, "open_file": open_file}
    async with open_call(tmp_path, on_failure=failures.append, **options) as recorder:
        await speak(recorder, 10)
        assert 0 < recorder.statistics().buffered_bytes <= 40_000
        is_ready.set()
        recording = await recorder.finish(trio.current_time())
    assert [str(failure) for failure in failures] == ["the disk is too slow for the recording"]
    assert recording.dropped_bytes >= 160_000 - 2 * 40_000
    assert recording.duration_ms == pytest.approx(10_000)


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_memory_is_bounded_in_a_long_call(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """Thirty minutes of both tracks at 8 kHz: more than 57 MB, of which half a minute is 1 MB."""
    stepped = SteppedClock(mock_clock)
    second, memory = pcm(1000) * 8000, list[int]()
    tracemalloc.start()
    try:
        async with open_call(tmp_path, limiter=stepped.limiter, segment_seconds=60) as recorder:
            for index in range(1800):
                # The agent speaks for two seconds each time, and the second half is not heard.
                item = f"item_{index}"
                recorder.agent_audio(item, 0, second + second, trio.current_time())
                for part in (1, 2):
                    await stepped.sleep(0.5)
                    recorder.user_audio(second[:8000], trio.current_time())
                    recorder.agent_played(item, 0, part * 500, trio.current_time())
                if index % 300 == 60:
                    memory.append(tracemalloc.get_traced_memory()[0])
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            recording = await recorder.finish(trio.current_time())
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert recording.dropped_bytes == 0
    assert recording.stereo.size == 44 + 1800 * 32_000
    assert max(memory) - min(memory) < 500_000
    assert peak < 1_500_000
