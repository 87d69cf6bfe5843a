"""Which speech of the user interrupts the agent, by the session's policy."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from support.core import SESSION, CoreScenario, effects_of
from support.events import drain_events
from support.service import message_item, start_audio_response
from support.sessions import open_test_session
from support.wire import CANCEL, CREATE, TRUNCATE, Frame, sent_frames
from trio_realtime import (
    InterruptionPolicy,
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SemanticVad,
    ServerVad,
    SessionConfig,
    Transcription,
    events,
    open_realtime_session,
)
from trio_realtime.config import RESUME_INSTRUCTIONS
from trio_realtime.core import Effect
from trio_realtime.core.barge_in import MAX_UTTERANCES, consists_of
from trio_realtime.core.responses.requests import ResponseRequests
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.local import Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import ResponseCreate, UnknownTurnDetection

TRANSCRIPTION = Transcription(model="gpt-live-transcribe")
INTERRUPTS = [CANCEL, TRUNCATE]


class CountingPeer(ScriptedPeer):
    """A scripted peer that tells what was sent since it was last asked."""

    seen: int = 0

    async def new_frames(self) -> list[Frame]:
        frames = await sent_frames(self)
        new, self.seen = frames[self.seen :], len(frames)
        return new

    async def new_types(self) -> list[str]:
        return [frame["type"] for frame in await self.new_frames()]


class User:
    """What the service reports of the user's speech."""

    def __init__(self, peer: ScriptedPeer, item_id: str = "item_user") -> None:
        self.peer = peer
        self.item_id = item_id

    async def start(self) -> None:
        self.peer.start_user_speech(self.item_id)
        await wait_all_tasks_blocked()

    async def stop(self, *, commits: bool = True) -> None:
        stopped = "input_audio_buffer.speech_stopped"
        self.peer.send({"type": stopped, "item_id": self.item_id, "audio_end_ms": 0})
        if commits:
            await self.commit()

    async def commit(self) -> None:
        self.peer.send({"type": "input_audio_buffer.committed", "item_id": self.item_id})
        await wait_all_tasks_blocked()

    async def speak(self, seconds: float) -> None:
        """Speak, and be silent for as long as ``server_vad`` waits by default."""
        await self.start()
        await trio.sleep(seconds + 0.5)
        await self.stop()

    async def transcript(self, text: str) -> None:
        self._report("completed", transcript=text)
        await wait_all_tasks_blocked()

    async def no_transcript(self) -> None:
        self._report("failed", error={"type": "x", "code": "unclear", "message": "noise"})
        await wait_all_tasks_blocked()

    def _report(self, what: str, **fields: Any) -> None:
        kind = f"conversation.item.input_audio_transcription.{what}"
        self.peer.send({"type": kind, "item_id": self.item_id, "content_index": 0, **fields})


def open_with(policy: InterruptionPolicy | None, peer: CountingPeer, **settings: Any) -> Any:
    settings = {"transcription": TRANSCRIPTION, **settings}
    return open_test_session(peer, interruption=policy, **settings)


def ignored(session: RealtimeSession[None]) -> list[tuple[str | None, bool]]:
    found = drain_events(session.events, events.SpeechIgnored)
    return [(event.transcript, event.resumed) for event in found]


# --- how long it lasts ---------------------------------------------------------------------------


async def test_short_speech_is_ignored(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(InterruptionPolicy(min_speech=1.0), peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        await User(peer).speak(0.9)
        await trio.sleep(5)
        assert await peer.new_types() == []
        assert ignored(session) == [(None, False)]


async def test_long_speech_interrupts_and_is_answered_at_its_end(
    autojump_clock: MockClock,
) -> None:
    peer = CountingPeer()
    async with open_with(InterruptionPolicy(min_speech=1.0), peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.start()
        await trio.sleep(1.4)
        assert await peer.new_types() == []
        await trio.sleep(0.2)
        assert await peer.new_types() == INTERRUPTS
        peer.end_response("resp_1", "cancelled")
        await trio.sleep(5)
        assert await peer.new_types() == []
        await user.stop(commits=False)
        assert await peer.new_types() == []
        await user.commit()
        assert await peer.new_types() == [CREATE]
        (end,) = drain_events(session.events, events.AgentEnd)
        assert end.latency.interruption_to_silence == pytest.approx(1.5)


async def test_silence_of_the_turn_detection_is_added(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    policy = InterruptionPolicy(min_speech=1.0)
    detection = ServerVad(silence_duration_ms=200)
    async with open_with(policy, peer, turn_detection=detection):
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        await User(peer).start()
        await trio.sleep(1.1)
        assert await peer.new_types() == []
        await trio.sleep(0.2)
        assert await peer.new_types() == INTERRUPTS


@pytest.mark.parametrize("policy", [InterruptionPolicy(min_speech=1.0)])
async def test_speech_while_the_agent_is_silent_is_a_turn(
    policy: InterruptionPolicy, autojump_clock: MockClock
) -> None:
    peer = CountingPeer()
    async with open_with(policy, peer) as session:
        await User(peer).speak(0.1)
        assert await peer.new_types() == [CREATE]
        assert ignored(session) == []


async def test_item_of_a_service_without_commits_is_answered(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(InterruptionPolicy(min_speech=1.0), peer):
        user = User(peer)
        await user.start()
        await user.stop(commits=False)
        peer.send(
            {
                "type": "conversation.item.added",
                "previous_item_id": None,
                "item": {**message_item("item_user", "Hi"), "role": "user"},
            }
        )
        assert await peer.new_types() == [CREATE]
        await user.commit()
        assert await peer.new_types() == []


async def test_application_may_request_the_responses(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    policy = InterruptionPolicy(min_speech=1.0, create_response=False)
    async with open_with(policy, peer):
        await User(peer).speak(0.1)
        assert await peer.new_types() == []


# --- what it says --------------------------------------------------------------------------------

PHRASES = InterruptionPolicy(min_speech=1.0, ignored_phrases=["mm-hm", "I see"])


@pytest.mark.parametrize("text", ["Mm-hm.", "I see! Mm hm, I SEE.", "", " ... "])
async def test_short_speech_of_ignored_phrases_is_ignored(
    text: str, autojump_clock: MockClock
) -> None:
    peer = CountingPeer()
    async with open_with(PHRASES, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.speak(0.5)
        await trio.sleep(1)
        await user.transcript(text)
        await trio.sleep(5)
        assert await peer.new_types() == []
        assert ignored(session) == [(text, False)]


@pytest.mark.parametrize("how", ["other words", "failure", "no transcript"])
async def test_other_short_speech_interrupts_and_is_answered(
    how: str, autojump_clock: MockClock
) -> None:
    peer = CountingPeer()
    async with open_with(PHRASES, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.speak(0.5)
        await trio.sleep(1.9)
        assert await peer.new_types() == []
        if how == "other words":
            await user.transcript("I see, but stop!")
        elif how == "failure":
            await user.no_transcript()
        await trio.sleep(0.2)
        assert await peer.new_types() == INTERRUPTS
        peer.end_response("resp_1", "cancelled")
        assert await peer.new_types() == [CREATE]
        assert ignored(session) == []


async def test_late_transcript_changes_nothing(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(PHRASES, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.speak(0.5)
        await trio.sleep(3)
        await peer.new_types()
        await user.transcript("Mm-hm")
        assert ignored(session) == []


# --- resuming ------------------------------------------------------------------------------------

RESUME = InterruptionPolicy(resume=True, ignored_phrases=["mm-hm"])


@pytest.mark.parametrize("text", ["", "Mm-hm."])
async def test_agent_goes_on_after_an_interruption_that_was_none(
    text: str, autojump_clock: MockClock
) -> None:
    peer = CountingPeer()
    agent = RealtimeAgent[None](name="Assistant", instructions="Be brief.")
    async with open_with(RESUME, peer, agent=agent) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.start()
        assert await peer.new_types() == INTERRUPTS
        peer.end_response("resp_1", "cancelled")
        await user.stop()
        assert await peer.new_types() == []
        await user.transcript(text)
        (create,) = await peer.new_frames()
        assert create["response"]["instructions"] == f"Be brief.\n\n{RESUME_INSTRUCTIONS}"
        assert ignored(session) == [(text, True)]


async def test_interruption_with_words_is_answered(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(RESUME, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        user = User(peer)
        await user.start()
        peer.end_response("resp_1", "cancelled")
        await user.stop()
        assert await peer.new_types() == INTERRUPTS
        await user.transcript("Stop")
        (create,) = await peer.new_frames()
        assert "instructions" not in create["response"]
        assert ignored(session) == []


async def test_turn_of_the_user_is_answered_without_waiting_for_its_transcript(
    autojump_clock: MockClock,
) -> None:
    peer = CountingPeer()
    async with open_with(RESUME, peer):
        await User(peer).speak(3)
        assert await peer.new_types() == [CREATE]


# --- several utterances, and the next connection -------------------------------------------------


async def test_each_utterance_is_decided_by_itself(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(PHRASES, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=60)
        first, second = User(peer, "first"), User(peer, "second")
        await first.speak(0.3)
        await second.speak(0.3)
        await second.transcript("mm-hm")
        assert ignored(session) == [("mm-hm", False)]
        await first.transcript("Wait")
        assert await peer.new_types() == INTERRUPTS


async def test_what_is_undecided_is_bounded(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    policy = InterruptionPolicy(min_speech=1000.0)
    async with open_with(policy, peer) as session:
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        for number in range(3 * MAX_UTTERANCES):
            await User(peer, f"item_{number}").start()
        barge_in = session._runtime.core._barge_in
        assert len(barge_in._utterances) == MAX_UTTERANCES


async def test_speech_that_waits_for_its_transcript_is_answered_on_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    peer = CountingPeer()
    async with open_with(PHRASES, peer, reconnect=ReconnectPolicy()):
        await start_audio_response(peer, "resp_1", "item_1", audio=30)
        await User(peer).speak(0.5)
        assert await peer.new_types() == []
        peer.close(1006, "")
        await trio.sleep(1)
        assert CREATE in await peer.new_types()


# --- settings ------------------------------------------------------------------------------------


def detection_of(policy: InterruptionPolicy | None, **settings: Any) -> Any:
    config = SessionConfig(interruption=policy, transcription=TRANSCRIPTION, **settings)
    session = config.session_settings(instructions="", tools=())
    return session.audio.input.turn_detection  # type: ignore[union-attr]


def test_policy_that_waits_switches_the_service_off() -> None:
    policy = InterruptionPolicy(min_speech=1)
    off = {"interrupt_response": False, "create_response": False}

    assert detection_of(policy) == ServerVad(**off)
    assert detection_of(policy, turn_detection=SemanticVad(eagerness="low")) == SemanticVad(
        eagerness="low",
        **off,
    )
    other = UnknownTurnDetection(raw={"type": "azure_semantic_vad"})
    assert detection_of(policy, turn_detection=other) == UnknownTurnDetection(
        raw={"type": "azure_semantic_vad", **off}
    )
    assert detection_of(policy, turn_detection=None) is None


def test_without_a_policy_only_interrupting_is_switched_off() -> None:
    assert detection_of(None) == ServerVad(interrupt_response=False)
    assert detection_of(None, turn_detection=ServerVad(create_response=True)) == ServerVad(
        interrupt_response=False, create_response=True
    )


def test_default_policy_leaves_the_turn_detection_alone() -> None:
    detection = ServerVad(interrupt_response=True)

    assert detection_of(InterruptionPolicy(), turn_detection=detection) is detection


@pytest.mark.parametrize(
    ("policy", "detection", "name"),
    [
        (None, ServerVad(interrupt_response=True), "interrupt_response"),
        (PHRASES, SemanticVad(interrupt_response=True), "interrupt_response"),
        (PHRASES, ServerVad(create_response=True), "create_response"),
        (PHRASES, ServerVad(create_response=False), "create_response"),
    ],
)
def test_contradiction_is_refused(
    policy: InterruptionPolicy | None, detection: Any, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"turn_detection: leave {name} out, because"):
        detection_of(policy, turn_detection=detection)


async def test_policy_holds_for_later_settings_too(autojump_clock: MockClock) -> None:
    peer = CountingPeer()
    async with open_with(InterruptionPolicy(min_speech=1.0), peer) as session:
        await session.update_settings(turn_detection=SemanticVad(eagerness="high"))
        detection = peer.session["audio"]["input"]["turn_detection"]
        assert detection["type"] == "semantic_vad"
        assert (detection["interrupt_response"], detection["create_response"]) == (False, False)
        with pytest.raises(UsageError, match="leave interrupt_response out"):
            await session.update_settings(turn_detection=ServerVad(interrupt_response=True))


@pytest.mark.parametrize("transcription", [None, "unset"])
@pytest.mark.parametrize("policy", [PHRASES, RESUME])
def test_phrases_need_a_transcription(policy: InterruptionPolicy, transcription: Any) -> None:
    settings = {} if transcription == "unset" else {"transcription": transcription}
    with pytest.raises(ConfigurationError, match=r"need transcripts: give transcription="):
        SessionConfig(interruption=policy, **settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_speech": -1}, "min_speech must be a number >= 0, got -1"),
        ({"ignored_phrases": "yes"}, "ignored_phrases must be a list of phrases, got 'yes'"),
        ({"ignored_phrases": [3]}, "ignored_phrases must be a list of phrases"),
        ({"ignored_phrases": 3}, "ignored_phrases must be a list of phrases"),
        ({"transcript_timeout": 0}, "transcript_timeout must be a number > 0, got 0"),
    ],
)
def test_values_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        InterruptionPolicy(**values)


@pytest.mark.parametrize("value", [True, "service", 0.5])
def test_interruption_must_be_a_policy(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="interruption must be an InterruptionPolicy"):
        SessionConfig(interruption=value)


# --- phrases -------------------------------------------------------------------------------------

WORDS = st.sampled_from(["mm", "hm", "yes", "no"])


@given(
    phrases=st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=4),
    choice=st.lists(st.integers(0, 3), max_size=6),
)
def test_any_sequence_of_phrases_consists_of_them(
    phrases: list[list[str]], choice: list[int]
) -> None:
    chosen = [phrases[index] for index in choice if index < len(phrases)]
    text = ", ".join(" ".join(phrase).upper() for phrase in chosen)

    assert consists_of(text, ["-".join(phrase) for phrase in phrases])
    assert not consists_of(f"{text} stop", ["-".join(phrase) for phrase in phrases])


def test_overlapping_phrases_are_tried_in_every_way() -> None:
    assert consists_of("yes yes no", ["yes", "yes no"])
    assert consists_of("that's right", ["thats right"])
    assert not consists_of("yes no", ["no yes"])
    assert not consists_of("yes", [])
    assert not consists_of("yes", ["", "!"])


# --- with a server that detects speech -----------------------------------------------------------


async def test_backchannel_of_a_real_turn_detection_is_ignored(
    autojump_clock: MockClock,
) -> None:
    """The local server detects, transcribes and commits; the agent speaks on."""
    responder = ScriptedResponder([Say("One. " * 60)])
    service = local_connector(responder=responder)
    config = SessionConfig(
        interruption=InterruptionPolicy(min_speech=1.0), turn_detection=ServerVad()
    )
    tone = (b"\x00\x30" * 12 + b"\x00\xd0" * 12) * 10  # 10 ms at 1 kHz
    with trio.fail_after(300):
        async with open_realtime_session(
            RealtimeAgent[None](name="Assistant"),
            transport=service,
            endpoint=service.endpoint,
            config=config,
        ) as session:
            await session.send_message("Count.")
            with session.subscribe(events.AudioStart, events.SpeechIgnored) as channel:
                await channel.receive()
                for chunk in [tone] * 30 + [bytes(len(tone))] * 100:
                    await session.send_audio(chunk)
                    await trio.sleep(len(chunk) / 48_000)
                assert isinstance(await channel.receive(), events.SpeechIgnored)
            await session.drain()
            assert drain_events(session.events, events.AudioInterrupted) == []


# --- any order of events -------------------------------------------------------------------------

POLICIES = st.builds(
    InterruptionPolicy,
    min_speech=st.sampled_from([0.0, 0.5, 2.0]),
    ignored_phrases=st.sampled_from([(), ("mm",)]),
    resume=st.booleans(),
    create_response=st.just(True),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "stop", "commit", "hears mm", "hears no", "failed", "wait", "agent"]
        ),
        st.integers(0, 2),
    ),
    max_size=40,
)


class Utterances:
    """Feeds reports about utterances to a conversation, and counts what became of each."""

    def __init__(self, policy: InterruptionPolicy) -> None:
        self.scenario = CoreScenario(interruption=policy)
        detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
        session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
        self.scenario.receive("session.updated", session=session)
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.items: set[str] = set()
        self.heard: set[str] = set()
        self.ignored: list[str] = []
        self._responses = 0

    def _take(self, effects: list[Effect]) -> None:
        self.ignored += [event.item_id for event in effects_of(effects, events.SpeechIgnored)]
        for create in effects_of(effects, ResponseCreate):
            self._responses += 1
            name = f"r{self._responses}"
            self._take(self.scenario.response_created(name, create))
            self._take(self.scenario.response_done(name, create))

    def step(self, what: str, number: int) -> None:
        item_id, receive = f"item_{number}", self.scenario.receive
        if what == "start" and item_id not in self.begun:
            self.begun.add(item_id)
            self._take(
                receive("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=0)
            )
        elif what == "stop" and item_id in self.begun - self.ended:
            self.ended.add(item_id)
            self._take(
                receive("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=0)
            )
        elif what == "commit" and item_id in self.ended - self.items:
            self.items.add(item_id)
            self._take(receive("input_audio_buffer.committed", item_id=item_id))
        elif what in {"hears mm", "hears no", "failed"} and item_id in self.items - self.heard:
            self.heard.add(item_id)
            self._hear(what, item_id)
        elif what == "wait":
            self._wait(1.0)
        elif what == "agent":
            self._responses += 1
            self._take(self.scenario.response_created(f"r{self._responses}"))
            self._take(self.scenario.audio(f"r{self._responses}", f"a{self._responses}"))
            self._take(self.scenario.response_done(f"r{self._responses}"))

    def _hear(self, what: str, item_id: str) -> None:
        kind = "conversation.item.input_audio_transcription"
        if what == "failed":
            fields: dict[str, Any] = {"error": {"message": "noise"}}
            self._take(self.scenario.receive(f"{kind}.failed", item_id=item_id, **fields))
        else:
            text = what.removeprefix("hears ")
            self._take(self.scenario.receive(f"{kind}.completed", item_id=item_id, transcript=text))

    def _wait(self, seconds: float) -> None:
        end = self.scenario.now + seconds
        while (deadline := self.scenario.core.next_deadline) <= end:
            self.scenario.now = max(self.scenario.now, deadline)
            self._take(self.scenario.core.deadline_passed(self.scenario.now))
        self.scenario.now = end

    def finish(self) -> None:
        for item_id in sorted(self.begun):
            self.step("stop", int(item_id[-1]))
            self.step("commit", int(item_id[-1]))
        self._wait(10.0)


@given(policy=POLICIES, steps=STEPS)
def test_each_utterance_is_ignored_or_answered_once(
    policy: InterruptionPolicy, steps: list[tuple[str, int]]
) -> None:
    utterances = Utterances(policy)
    created: list[Any] = []
    request = ResponseRequests.request_automatically

    def count(requests: ResponseRequests, params: Any = None) -> list[Effect]:
        effects = request(requests, params)
        created.append(params)
        return effects

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResponseRequests, "request_automatically", count)
        for what, number in steps:
            utterances.step(what, number)
        utterances.finish()

    assert len(utterances.ignored) == len(set(utterances.ignored))
    answers = sum(params is None for params in created)
    decided = utterances.begun if policy.waits else set()
    assert answers + len(utterances.ignored) == len(decided)
    assert not utterances.scenario.core._barge_in._utterances
