"""Run a scenario: open a session, take its steps, and check what happens."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, Final

import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import RealtimeSession, events as ev, open_realtime_session
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import RealtimeError
from trio_realtime.local import ScriptedResponder, local_connector
from trio_realtime.testing.collect import SessionRecord, record_session

from .checking import TimedEvent, described, first_match, observed
from .model import (
    Approve,
    Expect,
    Expectation,
    ExpectCall,
    ExpectNo,
    Interrupt,
    Play,
    Reject,
    Scenario,
    Step,
    User,
    Wait,
)
from .result import Failure, JudgedConversation, ScenarioResult, Verdict
from .subject import Subject, load_subject

__all__ = ["run_scenario"]

FRAME_MS: Final = 20
"""Milliseconds of audio that a ``play`` step sends at a time."""


def run_scenario(scenario: Scenario, *, endpoint: Endpoint | None = None) -> ScenarioResult:
    """Run a scenario, outside of any trio run.

    Args:
        scenario: the scenario.
        endpoint: the service to test with, in real time; by default the local server in memory, in
            virtual time unless the scenario says otherwise.

    Raises:
        ConfigurationError: the scenario names something that cannot be imported or read.
        RealtimeError: the session could not be opened.
    """
    run = _Run(scenario, load_subject(scenario), endpoint)
    conversation, failure = trio.run(
        run.converse, clock=MockClock(autojump_threshold=0) if run.is_virtual else None
    )
    if failure is None:
        # A judge may wait for a model elsewhere, so it runs in real time.
        failure = trio.run(_judge, conversation, run.subject.judges)
    return ScenarioResult(
        path=scenario.path,
        name=scenario.name,
        failure=failure,
        conversation=conversation.text,
        seconds=run.seconds,
    )


class _StepFailed(Exception):
    """A step did not go as it should."""

    def __init__(self, expected: str, happened: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.happened = happened


class _Run:
    """One conversation.

    Args:
        scenario: the scenario.
        subject: what it names.
        endpoint: the service to test with; ``None`` for the local server.

    Attributes:
        subject: what the scenario names.
        is_virtual: whether the conversation needs a virtual clock.
        seconds: how long the conversation took.
    """

    def __init__(self, scenario: Scenario, subject: Subject, endpoint: Endpoint | None) -> None:
        self.subject: Subject = subject
        self.is_virtual: bool = endpoint is None and scenario.clock == "virtual"
        self.seconds: float = 0.0
        self._scenario = scenario
        self._endpoint = endpoint
        self._expected: list[ev.SessionEvent] = []
        self._decided: set[str] = set()
        # The events since the last action, and the time at which it was complete.
        self._first = 0
        self._since = 0.0

    async def converse(self) -> tuple[JudgedConversation, Failure | None]:
        """Open the session and take the steps. Returns also why the scenario failed."""
        subject = self.subject
        service = local_connector(
            responder=subject.responder, transcripts=self._scenario.transcripts
        )
        conversation, failure = None, None
        try:
            async with (
                open_realtime_session(
                    subject.agent,
                    endpoint=self._endpoint or service.endpoint,
                    transport=None if self._endpoint else service,
                    config=subject.config,
                    context=subject.context,
                ) as session,
                record_session(session) as record,
            ):
                for prepare in subject.setup:
                    await _awaited(prepare(session))
                start = self._since = trio.current_time()
                failure = await self._take_steps(session, record)
                self.seconds = trio.current_time() - start
                conversation = JudgedConversation(
                    name=self._scenario.name,
                    text=str(record.log),
                    entries=record.log.entries,
                    history=tuple(session.history),
                    events=tuple((time - start, event) for time, event in record.events),
                )
        except RealtimeError as exc:
            if conversation is None:
                raise  # the session could not be opened
            # Otherwise leaving the block raised what ended the session.
            if failure is None and not any(e.type == "session_ended" for e in self._expected):
                failure = _session_failure(exc)
        return conversation, failure

    async def _take_steps(
        self, session: RealtimeSession[Any], record: SessionRecord
    ) -> Failure | None:
        line: int | None = None
        try:
            for index, step in enumerate(self._scenario.steps):
                line = self._scenario.step_lines[index]
                await self._take(step, session, record)
            line = None
            if self._endpoint is None:
                await self._check_script(session, record)
            await _catch_up()
            self._check_errors(record)
        except _StepFailed as exc:
            return Failure(line=line, expected=exc.expected, happened=exc.happened)
        except RealtimeError as exc:
            return _session_failure(exc, line)
        return None

    async def _take(self, step: Step, session: RealtimeSession[Any], record: SessionRecord) -> None:
        match step:
            case Wait(wait_ms=wait_ms):
                await trio.sleep(wait_ms / 1000)
            case Expect(expect=expectation):
                await self._expect(expectation, record)
            case ExpectNo(expect_no=expectation):
                await self._expect_no(expectation, record)
            case Approve(approve=name) | Reject(reject=name):
                call_id = await self._wait_approval(name, record)
                await self._begin_action(record)
                await _decide(step, call_id, session)
            case User(user=text):
                await self._begin_action(record)
                await session.send_message(text)
            case Interrupt():
                await self._begin_action(record)
                await session.interrupt()
            case Play(play=name, silence_ms=silence_ms):
                await self._begin_action(record)
                await self._play(session, self.subject.audio[name], silence_ms)

    async def _begin_action(self, record: SessionRecord) -> None:
        await _catch_up()
        self._first = len(record.events)
        self._since = trio.current_time()

    async def _play(self, session: RealtimeSession[Any], audio: bytes, silence_ms: float) -> None:
        wire = self.subject.config.input_format
        size = int(FRAME_MS * wire.bytes_per_ms)
        for place in range(0, len(audio), size):
            await session.send_audio(audio[place : place + size])
            await trio.sleep(FRAME_MS / 1000)
        self._since = trio.current_time()
        silent = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}.get(wire.type, b"\0") * size
        for _ in range(math.ceil(silence_ms / FRAME_MS)):
            await session.send_audio(silent)
            await trio.sleep(FRAME_MS / 1000)

    # --- expectations

    async def _expect(self, expectation: Expectation, record: SessionRecord) -> None:
        limit = math.inf if expectation.within_ms is None else expectation.within_ms / 1000
        timeout = self._scenario.timeout
        deadline = min(self._since + limit, trio.current_time() + timeout)
        with trio.move_on_at(deadline):
            while (found := self._find(expectation, record)) is None:
                if record.is_complete:
                    break
                await record.wait_more()
        found = self._find(expectation, record)
        wanted = described(expectation)
        if found is None:
            suffix = f" within {expectation.within_ms:g} ms" if limit < math.inf else ""
            raise _StepFailed(wanted + suffix, observed(expectation, record.events[self._first :]))
        time, event = found
        if time - self._since > limit:
            raise _StepFailed(
                f"{wanted} within {expectation.within_ms:g} ms",
                f"it took {1000 * (time - self._since):.0f} ms",
            )
        self._expected.append(event)

    async def _expect_no(self, expectation: Expectation, record: SessionRecord) -> None:
        assert expectation.within_ms is not None
        end = self._since + expectation.within_ms / 1000
        with trio.move_on_at(end):
            while not record.is_complete and self._find(expectation, record) is None:
                await record.wait_more()
        found = self._find(expectation, record)
        if found is not None and found[0] <= end:
            raise _StepFailed(
                f"within {expectation.within_ms:g} ms, not this: {described(expectation)}",
                f"it took {1000 * (found[0] - self._since):.0f} ms; "
                + observed(expectation, [found]),
            )

    def _find(self, expectation: Expectation, record: SessionRecord) -> TimedEvent | None:
        return first_match(expectation, record.events[self._first :])

    async def _wait_approval(self, name: str, record: SessionRecord) -> str:
        """Return the id of the oldest call of a tool that waits for approval."""
        with trio.move_on_after(self._scenario.timeout):
            while not record.is_complete:
                for _, event in record.events:
                    if (
                        isinstance(event, ev.ToolApprovalRequired)
                        and event.tool_name == name
                        and event.call_id not in self._decided
                    ):
                        self._decided.add(event.call_id)
                        return event.call_id
                await record.wait_more()
        happened = observed(ExpectCall(call=name), record.events[self._first :])
        raise _StepFailed(f"a call of {name} that waits for approval", happened)

    # --- the end

    async def _check_script(self, session: RealtimeSession[Any], record: SessionRecord) -> None:
        if not record.is_complete:
            await session.drain(timeout=self._scenario.timeout)
        responder = self.subject.responder
        if isinstance(responder, ScriptedResponder) and responder.remaining:
            raise _StepFailed(
                "every entry of the responder is used", f"{responder.remaining} were not requested"
            )

    def _check_errors(self, record: SessionRecord) -> None:
        for _, event in record.events:
            match event:
                case ev.Error(error=error):
                    happened = f"{type(error).__name__}: {error}"
                case ev.AgentEnd(status="failed", message=message, reason=reason):
                    happened = f"a response failed: {message or reason}"
                case _:
                    continue
            if not self._is_expected(event):
                raise _StepFailed("no error that is not expected", happened)

    def _is_expected(self, event: ev.SessionEvent) -> bool:
        """Return whether an expectation was met by this event, or by the response that it reports."""
        response_id = getattr(event, "response_id", None)
        return any(
            expected is event
            or (response_id and getattr(expected, "response_id", None) == response_id)
            for expected in self._expected
        )


async def _catch_up() -> None:
    """Wait until the record has every event that the session has received."""
    with trio.move_on_after(1):
        await trio.testing.wait_all_tasks_blocked()


async def _awaited(result: Any) -> Any:
    """Return the result of a function that may be async."""
    return await result if inspect.isawaitable(result) else result


def _session_failure(error: RealtimeError, line: int | None = None) -> Failure:
    happened = f"{type(error).__name__}: {error}"
    return Failure(line=line, expected="the session goes on", happened=happened)


async def _decide(step: Approve | Reject, call_id: str, session: RealtimeSession[Any]) -> None:
    match step:
        case Approve():
            await session.approve_tool_call(call_id)
        case Reject(message=message):
            await session.reject_tool_call(call_id, message=message)


async def _judge(conversation: JudgedConversation, judges: Sequence[Any]) -> Failure | None:
    for judge in judges:
        name = getattr(judge, "__name__", repr(judge))
        wanted = f"the judge {name} passes the conversation"
        try:
            verdict = await _awaited(judge(conversation))
        except Exception as exc:  # noqa: BLE001 - the other scenarios go on
            return Failure(line=None, expected=wanted, happened=f"{type(exc).__name__}: {exc}")
        if isinstance(verdict, bool):
            verdict = Verdict(verdict)
        if not isinstance(verdict, Verdict):
            happened = f"it returned {verdict!r:.80}, which is neither a bool nor a Verdict"
            return Failure(line=None, expected=wanted, happened=happened)
        if not verdict.passed:
            return Failure(line=None, expected=wanted, happened=verdict.reason or "it did not")
    return None
