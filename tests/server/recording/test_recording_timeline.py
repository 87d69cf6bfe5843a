"""The time axis of a call, on the caller's clock: no I/O and no trio."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from trio_realtime.errors import UsageError
from trio_realtime.server.recording.timeline import (
    CallTimeline,
    Output,
    PlacedAudio,
    SilencedRange,
)
from trio_realtime.wire import PCMA, PCMU, AudioFormat

PCM8K = AudioFormat(type="audio/pcm", rate=8000)
LOUD = 9000
"""A sample of speech. Speech must be corrected more carefully than silence."""


def pcm(*numbers: int) -> bytes:
    return array("h", numbers).tobytes()


def speech(count: int) -> bytes:
    return pcm(LOUD) * count


def track_of(outputs: Sequence[Output], track: str, *, size: int = 2) -> bytes:
    """Return a track as it would be written: gaps are zero."""
    data = bytearray()
    for output in outputs:
        if output.track != track:
            continue
        match output:
            case PlacedAudio(start=start, data=audio):
                assert start * size >= len(data), "audio overlaps what was placed before"
                data += bytes(start * size - len(data)) + audio
            case SilencedRange(start=start, count=count):
                assert (start + count) * size <= len(data)
                data[start * size : (start + count) * size] = bytes(count * size)
    return bytes(data)


def starts(outputs: Sequence[Output], track: str = "user") -> list[int]:
    return [o.start for o in outputs if isinstance(o, PlacedAudio) and o.track == track]


class Call:
    """A timeline at 8 kHz that collects its outputs. Its clock begins at 100 seconds."""

    def __init__(self, **options: object) -> None:
        arguments = {"input_format": PCM8K, "output_format": PCM8K, "start": 100.0} | options
        self.timeline = CallTimeline(**arguments)  # type: ignore[arg-type]
        self.outputs: list[Output] = []

    def user(self, data: bytes, time: float) -> None:
        self.outputs += self.timeline.user_audio(data, 100 + time)

    def agent(self, data: bytes, time: float = 0, item: str = "item_1") -> None:
        self.outputs += self.timeline.agent_audio(item, 0, data, 100 + time)

    def played(self, ms: float, time: float, item: str = "item_1") -> None:
        self.outputs += self.timeline.agent_played(item, 0, ms, 100 + time)

    def interrupted(self, ms: float, time: float, item: str = "item_1") -> None:
        self.outputs += self.timeline.agent_interrupted(item, 0, ms, 100 + time)

    def track(self, track: str) -> bytes:
        self.outputs += self.timeline.finish()
        return track_of(self.outputs, track)


# --- the user's track ---------------------------------------------------------------------------


def test_a_frame_covers_the_time_before_it_arrives() -> None:
    call = Call()
    call.user(speech(160), 1.0)
    assert call.track("user") == bytes(2 * 7840) + speech(160)


def test_frames_of_a_microphone_follow_each_other() -> None:
    call = Call()
    for index in range(1, 101):
        call.user(pcm(*range(index, index + 160)), index * 0.02)
    assert call.track("user") == b"".join(pcm(*range(i, i + 160)) for i in range(1, 101))


def test_a_real_gap_becomes_silence() -> None:
    call = Call()
    for index in [*range(1, 51), *range(101, 151)]:
        call.user(speech(160), index * 0.02)
    assert call.track("user") == speech(8000) + bytes(2 * 8000) + speech(8000)


@pytest.mark.parametrize("stall", [0.1, 0.2, 0.4, 2.0, 4.5])
def test_a_stall_with_a_burst_makes_no_gap(stall: float) -> None:
    call = Call()
    for index in range(1, 1001):
        time = index * 0.02
        call.user(pcm(*range(index, index + 160)), 4 + stall if 4 < time < 4 + stall else time)
    assert call.track("user") == b"".join(pcm(*range(i, i + 160)) for i in range(1, 1001))


def test_a_first_frame_that_is_late_does_not_move_the_track() -> None:
    call = Call()
    call.user(speech(160), 0.15)
    for index in range(2, 101):
        call.user(speech(160), max(index * 0.02, 0.15))
    assert starts(call.outputs)[0] == 0


@pytest.mark.parametrize("speed", [2, 10, 1000])
def test_audio_that_is_sent_faster_than_real_time_is_contiguous(speed: int) -> None:
    call = Call()
    file = b"".join(pcm(*range(i, i + 800)) for i in range(100))  # ten seconds
    for index in range(100):
        call.user(file[index * 1600 : (index + 1) * 1600], 0.1 + index * 0.1 / speed)
    # More audio right after it follows it, and after a pause the track is at real time again.
    call.user(speech(800), 10 / speed + 0.1)
    call.user(speech(800), 15.0)
    assert call.track("user") == file + speech(800) + bytes(2 * (120_000 - 800 - 80_800)) + speech(
        800
    )


def test_one_frame_with_a_whole_file_covers_the_time_before_it() -> None:
    call = Call()
    call.user(speech(80_000), 60.0)
    assert starts(call.outputs) == [50 * 8000]


def test_samples_that_are_divided_between_frames_are_joined() -> None:
    call = Call()
    data = pcm(*range(1, 321))
    call.user(data[:321], 0.02)
    call.user(data[321:], 0.04)
    assert call.track("user") == data


@pytest.mark.parametrize("audio_format", [PCMU, PCMA])
def test_g711_has_one_byte_per_sample(audio_format: AudioFormat) -> None:
    call = Call(input_format=audio_format)
    for index in range(1, 51):
        call.user(bytes([index]) * 160, index * 0.02)
    call.user(b"\x10" * 160, 3.0)
    call.outputs += call.timeline.finish()
    assert starts(call.outputs) == [*range(0, 8000, 160), 3 * 8000 - 160]


def test_missing_audio_that_is_shorter_than_a_gap_is_found_later() -> None:
    """A tenth of a second is lost on the way. It is silence once no frame has been early for a while."""
    call = Call()
    frames = [index for index in range(1, 2001) if not 500 < index <= 505]
    for index in frames:
        call.user(speech(160), index * 0.02)
    assert starts(call.outputs)[-1] == 1999 * 160
    data = call.track("user")
    assert data.count(bytes(2 * 800)) == 1
    assert len(data) - data.count(b"\0\0") * 2 == 2 * 160 * len(frames)


def test_the_user_is_not_moved_by_a_pause_that_nobody_noticed() -> None:
    call = Call()
    assert call.timeline.pause(101.0) == []
    assert call.timeline.pause(102.0) == []
    call.timeline.resume(103.0)
    call.timeline.resume(104.0)
    for index in range(201, 301):
        call.user(speech(160), index * 0.02)
    assert starts(call.outputs)[0] == 32_000


# --- the agent's track --------------------------------------------------------------------------


def test_audio_is_placed_when_it_was_heard() -> None:
    call = Call()
    audio = pcm(*range(8000))
    call.agent(audio, 1.0)
    assert call.outputs == []
    for index in range(1, 11):
        call.played(index * 100, 1.0 + index * 0.1)
    assert call.track("agent") == bytes(2 * 8000) + audio


def test_a_sample_that_is_divided_between_deltas_is_joined() -> None:
    call = Call()
    audio = pcm(*range(1, 801))
    for start in range(0, 1600, 7):
        call.agent(audio[start : start + 7])
    call.played(100, 0.1)
    assert call.track("agent") == audio


def test_an_interrupted_item_is_cut() -> None:
    call = Call()
    audio = pcm(*range(8000))
    call.agent(audio, 1.0)
    call.played(300, 1.3)
    call.interrupted(450, 1.45)
    call.agent(audio, 1.5)
    call.played(900, 1.9)
    assert call.track("agent") == bytes(2 * 8000) + audio[: 2 * 3600]
    assert call.timeline.pending_bytes == 0


def test_what_was_reported_beyond_the_cut_becomes_silence() -> None:
    call = Call()
    audio = speech(8000)
    call.agent(audio, 0.0)
    for index in range(1, 10):
        call.played(index * 100, index * 0.1)
    call.interrupted(250, 0.9)
    assert call.track("agent") == audio[: 2 * 2000] + bytes(2 * 5200)


def test_reports_without_progress_add_nothing() -> None:
    call = Call()
    call.agent(speech(8000), 0.0)
    for ms in (200, 200, 100, -1, float("nan"), 0):
        call.played(ms, 0.2)
    call.played(500, 0.3, item="another")
    assert call.track("agent") == speech(1600)


def test_an_item_that_is_not_heard_is_not_in_the_track() -> None:
    call = Call()
    call.agent(pcm(1) * 800, item="a")
    call.agent(pcm(2) * 800, item="b")
    call.played(100, 1.0, item="b")
    call.played(100, 1.1, item="a")
    assert call.track("agent") == bytes(2 * 7200) + pcm(2) * 800
    assert call.timeline.pending_bytes == 0


def test_a_report_beyond_what_was_received_adds_what_was_received() -> None:
    call = Call()
    call.agent(speech(800))
    call.played(float("inf"), 0.1)
    call.agent(pcm(7) * 800)
    call.played(200, 0.2)
    assert call.track("agent") == speech(800) + pcm(7) * 800


def test_unheard_audio_is_bounded() -> None:
    call = Call(max_unheard_bytes=1000)
    for _ in range(100):
        call.agent(speech(50))
        assert call.timeline.pending_bytes <= 1000
    assert call.timeline.dropped_bytes == 100 * 100 - 1000
    # What was dropped is silence when its time comes, so that the rest is where it belongs.
    call.played(625, 0.625)
    assert call.track("agent") == bytes(2 * 4500) + speech(500)


def test_all_generated_audio_can_be_recorded_instead() -> None:
    call = Call(agent_track="generated")
    for index in range(20):
        call.agent(pcm(index) * 800, 1.0)
    call.played(100, 1.1)
    call.interrupted(100, 1.1)
    data = call.track("agent")
    assert data.lstrip(b"\0") == b"".join(pcm(index) * 800 for index in range(20)).lstrip(b"\0")
    assert [o.item_sample for o in call.outputs if isinstance(o, PlacedAudio)] == list(
        range(0, 16_000, 800)
    )


# --- pauses -------------------------------------------------------------------------------------


def test_a_pause_is_silence_on_both_tracks() -> None:
    call = Call()
    call.agent(speech(24_000))
    for index in range(1, 151):
        time = index * 0.02
        if index == 51:
            call.outputs += call.timeline.pause(101.0)
        if index == 101:
            call.timeline.resume(102.0)
        call.user(speech(160), time)
        call.played(time * 1000, time)
    expected = speech(8000) + bytes(2 * 8000) + speech(8000)
    assert call.track("user") == expected
    assert call.track("agent") == expected


def test_nothing_after_a_pause_is_placed_before_its_end() -> None:
    call = Call()
    call.outputs += call.timeline.pause(100.0)
    call.timeline.resume(105.0)
    call.user(speech(16_000), 5.1)  # much of it is older than the end of the pause
    call.outputs += call.timeline.finish()
    assert starts(call.outputs) == [40_000]


# --- arguments ----------------------------------------------------------------------------------


def test_unknown_formats_and_tracks_are_refused() -> None:
    with pytest.raises(UsageError, match="the audio format 'audio/mp3' is unknown"):
        Call(input_format=AudioFormat(type="audio/mp3"))
    with pytest.raises(UsageError, match="agent_track must be 'heard' or 'generated', got 'both'"):
        Call(agent_track="both")


# --- properties ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.integers(1, 4000), st.floats(0, 3)),
        max_size=60,
    )
)
def test_frames_never_overlap_and_keep_their_order(frames: list[tuple[int, float]]) -> None:
    call = Call()
    time = 0.0
    for count, pause in frames:
        time += pause
        call.user(speech(count), time)
    data = call.track("user")  # asserts that nothing overlaps
    placed = [o for o in call.outputs if isinstance(o, PlacedAudio)]
    assert [o.received for o in placed] == [count for count, _ in frames]
    sent = sum(count for count, _ in frames)
    # Speech is changed by at most one sample in a thousand, and one more.
    assert abs(data.count(pcm(LOUD)) - sent) <= sent / 500 + 5


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.15), min_size=100, max_size=180))
def test_jitter_makes_no_gaps(delays: list[float]) -> None:
    """For as long as nothing is known about the clock of the microphone."""
    call = Call()
    arrival = 0.0
    for index, delay in enumerate(delays):
        arrival = max(arrival, (index + 1) * 0.02 + delay)
        call.user(speech(160), arrival)
    first = starts(call.outputs)[0]
    assert first <= 0.15 * 8000
    assert starts(call.outputs) == list(range(first, first + 160 * len(starts(call.outputs)), 160))
    assert len(starts(call.outputs)) > 40


@attrs.frozen
class _Step:
    action: str
    amount: int
    pause: float


STEPS = st.builds(
    _Step,
    action=st.sampled_from(["receive", "play", "play", "play", "interrupt", "next"]),
    amount=st.integers(0, 3000),
    pause=st.floats(0, 2),
)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=60))
def test_the_agents_track_has_exactly_what_was_heard(steps: list[_Step]) -> None:
    """A model with one item at a time: what was heard of each, in order."""
    call = Call()
    time, item, received, heard, is_over = 0.0, 0, 0, 0, False
    model: list[bytes] = []
    for step in steps:
        time += step.pause
        match step.action:
            case "receive":
                call.agent(sound(item, received, step.amount), time, item=f"item_{item}")
                received += 0 if is_over else step.amount
            case "play" | "interrupt":
                end = max(heard, min(step.amount, received))
                if is_over:
                    end = heard
                ms = max(step.amount, heard if step.action == "interrupt" else 0) / 8
                if step.action == "play":
                    call.played(ms, time, item=f"item_{item}")
                else:
                    call.interrupted(ms, time, item=f"item_{item}")
                    is_over = True
                model.append(sound(item, heard, end - heard))
                heard = end
            case _:
                item, received, heard, is_over = item + 1, 0, 0, False
    call.outputs += call.timeline.finish()
    placed = [o for o in call.outputs if isinstance(o, PlacedAudio)]
    assert b"".join(o.data for o in placed) == b"".join(model)
    assert all(a.start + len(a.data) // 2 <= b.start for a, b in pairwise(placed))


def sound(item: int, first: int, count: int) -> bytes:
    return pcm(*((item * 5000 + n) % 30_000 + 1 for n in range(first, first + count)))


# --- a call of 30 minutes -----------------------------------------------------------------------


def frame_arrivals(
    ends: Sequence[float], rng: random.Random, *, jitter: float, stall: float
) -> Iterator[float]:
    """Yield when frames arrive: in order, late by up to ``jitter``, with stalls now and then."""
    blocked_until = 0.0
    last = 0.0
    for end in ends:
        if rng.random() < 1 / 500:  # every ten seconds
            blocked_until = end + rng.uniform(0, stall)
        last = max(last, end + min(rng.expovariate(5 / jitter), jitter), blocked_until)
        yield last


_Event: TypeAlias = tuple[float, int, str, tuple[object, ...]]
"""When, in which order at the same moment, what, and with which arguments."""


@attrs.frozen
class _Item:
    """A simulated item: when it begins to play, and how many samples are heard of it."""

    name: str
    start: float
    heard: int
    total: int
    is_interrupted: bool


def simulated_items(rng: random.Random, minutes: float, rate: int) -> list[_Item]:
    items: list[_Item] = []
    time = 2.0
    while time < minutes * 60 - 20:
        total = rng.randrange(rate, 12 * rate)
        is_interrupted = rng.random() < 0.4
        heard = rng.randrange(rate // 10, total) if is_interrupted else total
        heard = heard // (rate // 1000) * (rate // 1000)  # reports have whole milliseconds
        items.append(_Item(f"item_{len(items)}", time, heard, total, is_interrupted))
        time += heard / rate + rng.choice([0.0, 0.12, 1.0, 4.0])
    return items


def play(call: Call, events: list[_Event]) -> int:
    """Carry out the events in order. Returns the most bytes that were in memory."""
    largest = 0
    for time, _, name, arguments in sorted(events, key=lambda event: event[:2]):
        match name, arguments:
            case "user", (bytes() as data,):
                call.user(data, time)
            case "agent", (str() as item_id, bytes() as data):
                call.agent(data, time, item=item_id)
            case "played", (str() as item_id, float() as ms):
                call.played(ms, time, item=item_id)
            case _, (str() as item_id, float() as ms):
                call.interrupted(ms, time, item=item_id)
            case _:
                raise AssertionError(name)
        largest = max(largest, call.timeline.pending_bytes)
    return largest


def run_call(*, ppm: float, minutes: float, seed: int) -> None:
    """Simulate a call, and compare both tracks with what really happened."""
    rng = random.Random(seed)
    rate, frame = 8000, 160
    call = Call()
    frame_seconds = frame / rate / (1 + ppm * 1e-6)
    ends = [(i + 1) * frame_seconds for i in range(int(minutes * 60 / frame_seconds))]
    # Muted for 20 seconds of each 3 minutes, and half of the time the user speaks.
    ends = [end for end in ends if end % 180 < 160 or end > minutes * 60 - 20]
    voice, noise = speech(frame), pcm(20, -20) * (frame // 2)
    events: list[_Event] = [
        (arrival, 0, "user", (voice if end % 6 < 4 else noise,))
        for end, arrival in zip(
            ends, frame_arrivals(ends, rng, jitter=0.15, stall=1.5), strict=True
        )
    ]
    items = simulated_items(rng, minutes, rate)
    for item in items:
        data = pcm(*(n % 30_000 + 1 for n in range(item.total)))
        events.append((item.start - 0.01, 0, "agent", (item.name, data)))
        reports = [i * 0.1 for i in range(1, int(item.heard / rate / 0.1) + 1)]
        times = [item.start + report for report in reports]
        late = frame_arrivals(times, rng, jitter=0.02, stall=0.02)
        end = item.start + item.heard / rate
        for report, arrival in zip(reports, late, strict=True):
            if arrival < end:
                events.append((arrival, 1, "played", (item.name, report * 1000)))
        ending = "interrupted" if item.is_interrupted else "played"
        events.append((end, 2, ending, (item.name, item.heard * 1000 / rate)))
    largest = play(call, events)
    call.outputs += call.timeline.finish()

    # The agent's track has the samples that were heard, and nothing else.
    agent = [o for o in call.outputs if isinstance(o, PlacedAudio) and o.track == "agent"]
    for item in items:
        data = b"".join(o.data for o in agent if o.item_id == item.name)
        assert data == pcm(*(n % 30_000 + 1 for n in range(item.heard))), item.name
    assert largest < 16_000 * 30

    # Each sample of the user is within 20 ms of the moment at which it was spoken, and each of the agent
    # within 20 ms of the moment at which it was heard.
    user = [o for o in call.outputs if isinstance(o, PlacedAudio) and o.track == "user"]
    assert len(user) == len(ends)
    placed_ends = [o.start + len(o.data) // 2 for o in user]
    drifts = [placed / rate - end for placed, end in zip(placed_ends, ends, strict=True)]
    cuts = [item.start + item.heard / rate for item in items if item.is_interrupted]
    at_cuts = [drift for drift, end in zip(drifts, ends, strict=True) if _is_close(end, cuts)]
    assert len(cuts) > minutes
    assert max(map(abs, at_cuts)) < 0.02
    assert abs(drifts[-1]) < 0.02
    for item in items:
        last = [o for o in agent if o.item_id == item.name][-1]
        heard_at = (last.start + len(last.data) // 2) / rate
        assert abs(heard_at - item.start - item.heard / rate) < 0.02, item


def _is_close(end: float, moments: Sequence[float]) -> bool:
    return any(abs(end - moment) < 0.05 for moment in moments)


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [300, -300])
def test_the_tracks_do_not_drift_in_30_minutes(ppm: float) -> None:
    run_call(ppm=ppm, minutes=30, seed=1)


@pytest.mark.parametrize(("ppm", "seed"), [(0, 1), (500, 2), (-500, 3), (100, 4)])
def test_the_tracks_do_not_drift(ppm: float, seed: int) -> None:
    run_call(ppm=ppm, minutes=3, seed=seed)


def test_drift_is_corrected_in_silence() -> None:
    """A microphone that is 300 ppm fast: speech stays as it is if there are pauses."""
    call = Call()
    quiet, seconds = pcm(10, -10) * 80, 120
    times = list(accumulate([0.02 / 1.0003] * (50 * seconds)))
    for index, time in enumerate(times):
        call.user(speech(160) if index % 300 < 200 else quiet, time)
    data = call.track("user")
    assert data.count(pcm(LOUD)) == 160 * 200 * seconds // 6
    assert abs(len(data) / 16_000 - times[-1]) < 0.01
