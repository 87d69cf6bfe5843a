"""Recordings of runs that were not finished."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import wave
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from trio_realtime.errors import RealtimeError, UsageError
from trio_realtime.server.recording import Recording, RecordingFailed, open_recorder, sweep
from trio_realtime.server.recording.files import DirectoryLock, segment_name
from trio_realtime.server.recording.manifest import (
    Header,
    SegmentLine,
    parse_manifest,
    silence_line,
)
from trio_realtime.server.recording.segments import end_line
from trio_realtime.server.recording.timeline import SilencedRange
from trio_realtime.wire import PCM24K, PCMU, AudioFormat

PCM8K = AudioFormat(type="audio/pcm", rate=8000)
HEADER = Header(
    session_id="sess_1",
    run_id="run_1",
    started_at=1e9,
    input_format=PCM8K,
    output_format=PCM8K,
)


def numbered(first: int, count: int) -> bytes:
    return array("h", (n % 30_000 + 1 for n in range(first, first + count))).tobytes()


def make_run(directory: Path, *lines: bytes, run_id: str = "run_1", **segments: bytes) -> Path:
    """Write a run. ``user_1_0=...`` is the first segment of the user's track, which begins at 0."""
    run = directory / "sess_1" / run_id
    run.mkdir(parents=True)
    (run / "manifest.jsonl").write_bytes(b"".join(lines))
    for name, data in segments.items():
        track, index, first = name.split("_")
        file = segment_name("user" if track == "user" else "agent", int(index), int(first))
        (run / file).write_bytes(data)
    return run


def read_tracks(path: Path) -> tuple[bytes, bytes]:
    with wave.open(str(path)) as file:
        numbers = array("h", file.readframes(file.getnframes()))
        return numbers[0::2].tobytes(), numbers[1::2].tobytes()


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


# --- runs that were not finished ----------------------------------------------------------------


async def test_segments_without_a_line_are_used(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        HEADER.line(),
        b'{"type": "segment", "track": "us',  # cut by the crash
        user_1_0=numbered(0, 800),
        user_2_1000=numbered(1000, 200) + b"\1",  # half of a sample is missing
        agent_1_400=numbered(400, 100),
    )
    seen: list[Recording] = []
    recordings = await sweep(tmp_path, on_recording=seen.append)
    assert recordings == seen
    (recording,) = recordings
    user, agent = read_tracks(recording.stereo.path)
    assert user == numbered(0, 800) + bytes(2 * 200) + numbered(1000, 200)
    assert agent == bytes(2 * 400) + numbered(400, 100) + bytes(2 * 700)
    assert (recording.session_id, recording.run_id) == ("sess_1", "run_1")
    assert (recording.started_at, recording.duration_ms) == (1e9, 150)
    assert not recording.is_complete
    assert recording.problems == ("1 lines of the manifest could not be read",)
    assert files_in(run) == ["lock", "manifest.jsonl", "recording.wav"]


async def test_a_second_sweep_finds_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, HEADER.line(), user_1_0=numbered(0, 800))
    (recording,) = await sweep(tmp_path)
    before = recording.stereo.path.read_bytes()
    assert await sweep(tmp_path) == []
    assert recording.stereo.path.read_bytes() == before


async def test_a_finished_run_whose_segments_were_not_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path, HEADER.line(), user_1_0=numbered(0, 800))
    await sweep(tmp_path)
    write(run / segment_name("user", 1, 0), numbered(0, 800))
    write(run / "recording.wav.tmp", b"RIFF")
    assert await sweep(tmp_path) == []
    assert files_in(run) == ["lock", "manifest.jsonl", "recording.wav"]


async def test_what_was_silenced_is_silent(tmp_path: Path) -> None:
    silenced = SilencedRange("user", 100, 200)
    lines = [HEADER.line(), silence_line(silenced), end_line(200.0, 7)]
    make_run(tmp_path, *lines, user_1_0=numbered(0, 800))
    (recording,) = await sweep(tmp_path)
    user = numbered(0, 100) + bytes(2 * 200) + numbered(300, 500) + bytes(2 * 800)
    assert read_tracks(recording.stereo.path) == (user, bytes(2 * 1600))
    assert (recording.duration_ms, recording.dropped_bytes) == (200, 7)
    assert recording.is_complete


async def test_files_that_were_changed_are_reported(tmp_path: Path) -> None:
    def line(index: int, first: int, samples: int) -> bytes:
        name = segment_name("user", index, first)
        return SegmentLine(
            track="user", index=index, file=name, first=first, samples=samples, sha256="0"
        ).line()

    make_run(
        tmp_path, HEADER.line(), line(1, 0, 100), line(2, 100, 100), line(3, 200, 100),
        user_1_0=numbered(0, 100), user_2_100=numbered(100, 40),
    )  # fmt: skip
    (recording,) = await sweep(tmp_path)
    assert sorted(recording.problems) == [
        "user-000001-0.pcm was changed",
        "user-000002-100.pcm has 40 samples instead of 100",
        "user-000003-200.pcm is missing",
    ]
    assert read_tracks(recording.stereo.path)[0] == numbered(0, 140)


async def test_segments_that_overlap_are_read_once(tmp_path: Path) -> None:
    make_run(
        tmp_path, HEADER.line(),
        user_1_0=numbered(0, 100), user_2_50=numbered(50, 100), user_3_60=numbered(60, 10),
    )  # fmt: skip
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[0] == numbered(0, 150)


async def test_segments_stay_where_that_is_wanted(tmp_path: Path) -> None:
    header = Header(
        session_id="sess_1", run_id="run_1", started_at=1, input_format=PCMU, output_format=PCM24K,
        keep_segments=True,
    )  # fmt: skip
    run = make_run(tmp_path, header.line(), user_1_0=b"\x80" * 800)
    (recording,) = await sweep(tmp_path, separate_tracks=True)
    assert (recording.rate, recording.duration_ms) == (24_000, 100)
    assert await sweep(tmp_path) == []
    wavs = ["agent.wav", "lock", "manifest.jsonl", "recording.wav", "user-000001-0.pcm", "user.wav"]
    assert files_in(run) == wavs


# --- what is left alone -------------------------------------------------------------------------


async def test_a_run_that_is_recorded_is_left_alone(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    call = partial(open_recorder, session_id="s", run_id="r", input_format=PCM8K)
    async with call(tmp_path, output_format=PCM8K) as recorder:
        recorder.user_audio(numbered(0, 800), trio.current_time())
        await trio.sleep(5)
        assert await sweep(tmp_path) == []
        await recorder.finish(trio.current_time())
    assert await sweep(tmp_path) == []


async def test_the_caller_can_exclude_runs(tmp_path: Path) -> None:
    make_run(tmp_path, HEADER.line(), run_id="run_1", user_1_0=numbered(0, 80))
    make_run(tmp_path, HEADER.line(), run_id="run_2", user_1_0=numbered(0, 80))
    (recording,) = await sweep(tmp_path, is_running=lambda *ids: ids == ("sess_1", "run_1"))
    assert recording.stereo.path.parent.name == "run_2"


async def test_several_sweepers_make_each_recording_once(tmp_path: Path) -> None:
    for index in range(20):
        make_run(tmp_path, HEADER.line(), run_id=f"run_{index}", user_1_0=numbered(index, 8000))
    results: list[Recording] = []

    async def sweep_all() -> None:
        results.extend(await sweep(tmp_path))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(sweep_all)
    assert len({recording.stereo.path for recording in results}) == len(results)
    # A sweeper skips what another one has locked at that moment, so each run was made by one of them.
    assert len(results) == 20
    for index in range(20):
        path = tmp_path / "sess_1" / f"run_{index}" / "recording.wav"
        assert read_tracks(path)[0] == numbered(index, 8000)


async def test_damaged_directories_are_reported_and_skipped(tmp_path: Path) -> None:
    make_run(tmp_path, b"", run_id="empty")
    make_run(tmp_path, b'{"type": "header", "version": 2}\n', run_id="newer")
    make_run(tmp_path, b"\xff\xfe not JSON\n", run_id="torn", user_1_0=numbered(0, 80))
    make_run(tmp_path, HEADER.line(), run_id="good", user_1_0=numbered(0, 80))
    (tmp_path / "sess_1" / "without_manifest").mkdir()
    write(tmp_path / "a_file", b"")
    failures: dict[str, RealtimeError] = {}
    recordings = await sweep(
        tmp_path, on_failure=lambda path, error: failures.update({path.name: error})
    )
    assert [recording.stereo.path.parent.name for recording in recordings] == ["good"]
    assert failures.keys() == {"empty", "newer", "torn"}
    for error in failures.values():
        assert isinstance(error, RecordingFailed)
        assert "no header that can be read" in str(error)


@pytest.mark.parametrize(
    "damaged",
    [
        b"[" * 100_000 + b"\n",
        b'{"type": "end", "duration_ms": 1e400, "dropped_bytes": 0}\n',
        b'{"type": "end", "duration_ms": NaN, "dropped_bytes": 0}\n',
        b'{"type": "end", "duration_ms": 1e15, "dropped_bytes": 0}\n',
        b'{"type": "end", "duration_ms": 10, "dropped_bytes": 1e400}\n',
        HEADER.line().replace(b"1000000000.0", b"Infinity"),
    ],
)
async def test_damaged_lines_are_counted(tmp_path: Path, damaged: bytes) -> None:
    make_run(tmp_path, damaged, HEADER.line(), user_1_0=numbered(0, 80))
    [recording] = await sweep(tmp_path)
    assert recording.problems == ("1 lines of the manifest could not be read",)
    assert (recording.duration_ms, recording.is_complete) == (10, False)
    assert recording.started_at == 1e9


async def test_the_directory_has_the_ids(tmp_path: Path) -> None:
    make_run(tmp_path, HEADER.line().replace(b"sess_1", b"../../etc"), user_1_0=numbered(0, 80))
    [recording] = await sweep(tmp_path)
    assert (recording.session_id, recording.run_id) == ("sess_1", "run_1")


async def test_a_run_that_is_deleted_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """The directory of a session is read, and then another process deletes the session."""
    for run_id in ("run_1", "run_2", "run_3"):
        make_run(tmp_path, HEADER.line(), run_id=run_id, user_1_0=numbered(0, 80))
    failures: list[RealtimeError] = []

    def delete_others(_recording: Recording) -> None:
        shutil.rmtree(tmp_path / "sess_1" / "run_2")
        (tmp_path / "sess_1" / "run_3" / "manifest.jsonl").unlink()

    recordings = await sweep(
        tmp_path, on_recording=delete_others, on_failure=lambda _path, error: failures.append(error)
    )
    assert ([recording.run_id for recording in recordings], failures) == (["run_1"], [])
    assert not (tmp_path / "sess_1" / "run_3" / "lock").exists()


async def test_a_session_that_is_deleted_meanwhile_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, HEADER.line(), user_1_0=numbered(0, 80))
    (tmp_path / "sess_0").mkdir()
    iterdir = Path.iterdir

    def iterdir_of_deleted(self: Path) -> Iterator[Path]:
        if self.name == "sess_0":
            self.rmdir()
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", iterdir_of_deleted)
    assert len(await sweep(tmp_path)) == 1


async def test_a_directory_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert await sweep(tmp_path / "missing") == []
    write(tmp_path / "file", b"")
    with pytest.raises(RecordingFailed, match="recordings cannot be read from"):
        await sweep(tmp_path / "file")


async def test_cancelling_leaves_the_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_realtime.server.recording.render.STEP_SECONDS", 1)
    run = make_run(tmp_path, HEADER.line(), user_1_0=numbered(0, 80_000))
    with trio.CancelScope() as scope:

        async def cancel_when_it_writes() -> None:
            while not list(run.glob("*.tmp")):
                await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_it_writes)
            await sweep(tmp_path)
    assert scope.cancelled_caught
    assert files_in(run) == ["lock", "manifest.jsonl", "user-000001-0.pcm"]
    (recording,) = await sweep(tmp_path)
    assert read_tracks(recording.stereo.path)[0] == numbered(0, 80_000)


# --- manifests ----------------------------------------------------------------------------------

LINES = (
    HEADER.line()
    + SegmentLine(
        track="user", index=1, file="user-000001-0.pcm", first=0, samples=10, sha256="a"
    ).line()
    + silence_line(SilencedRange("agent", 3, 4))
    + end_line(1.5, 2)
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = parse_manifest(LINES)
    assert manifest.header == HEADER
    assert [segment.samples for segment in manifest.segments.values()] == [10]
    assert manifest.silenced == [SilencedRange("agent", 3, 4)]
    assert (manifest.duration_ms, manifest.dropped_bytes, manifest.damaged_lines) == (1.5, 2, 0)


@settings(deadline=None)
@given(length=st.integers(len(HEADER.line()) - 1, len(LINES)))
def test_a_manifest_that_was_cut_is_read_as_far_as_it_goes(length: int) -> None:
    manifest = parse_manifest(LINES[:length])
    assert manifest.header == HEADER
    assert manifest.damaged_lines <= 1
    complete = LINES[:length].count(b"\n")
    assert len(manifest.segments) + len(manifest.silenced) + bool(manifest.duration_ms) in (
        complete - 1,
        complete,  # only the newline is missing
    )


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, len(LINES)), st.integers(0, len(LINES)))
def test_damaged_manifests_raise_nothing_else(data: bytes, first: int, last: int) -> None:
    try:
        manifest = parse_manifest(LINES[:first] + data + LINES[last:])
    except UsageError as exc:
        assert "no header" in str(exc)
    else:
        assert all(silenced.count >= 0 for silenced in manifest.silenced)


def test_a_lock_is_exclusive_and_ends(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    assert lock is not None
    assert DirectoryLock.acquire(tmp_path) is None
    lock.release()
    lock.release()
    again = DirectoryLock.acquire(tmp_path)
    assert again is not None
    again.release()


# --- a process that is killed -------------------------------------------------------------------


@pytest.mark.slow
async def test_what_was_written_survives_a_kill(repository: Path, tmp_path: Path) -> None:
    program = repository / "tests" / "support" / "recording_program.py"
    process = await trio.lowlevel.open_process(
        [sys.executable, str(program), str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    written, text = 0, b""
    async with process.stdout:
        # Long enough for several segments: the call is 20 times as fast as the clock.
        while written < 8000 * 13:
            text += await process.stdout.receive_some()
            complete = text[: text.rfind(b"\n") + 1].split()
            written = int(complete[-1]) if complete else 0
        assert await sweep(tmp_path) == []  # it is alive
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async for data in process.stdout:
            text += data
    written = int(text[: text.rfind(b"\n") + 1].split()[-1])
    (recording,) = await sweep(tmp_path)
    assert not recording.is_complete
    user, agent = (array("h", track).tobytes() for track in read_tracks(recording.stereo.path))
    # Everything that was reported as written is there, and nothing that was not sent.
    got = user.rstrip(b"\0")
    assert len(got) // 2 >= written >= 8000 * 13
    assert got == numbered(0, len(got) // 2)
    heard = agent.rstrip(b"\0")
    assert len(heard) > 8000 * 2 * 10
    assert heard == numbered(0, len(heard) // 2)
    assert await sweep(tmp_path) == []
