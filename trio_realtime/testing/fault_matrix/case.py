"""A case, the agent that it runs with, and the service that it runs on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, TypeAlias

import attrs
import trio

from trio_realtime import (
    PCM24K,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    ResponseOutcome,
    SessionConfig,
    UsageLimits,
    events as ev,
    open_realtime_session,
)
from trio_realtime.errors import RealtimeError, ResponseFailed
from trio_realtime.items import FunctionCallItem, FunctionCallOutputItem, HistoryItem, InputAudio
from trio_realtime.local import LocalConnector, Say, Step, Turn, local_connector
from trio_realtime.testing.clock import run_virtual
from trio_realtime.testing.faults import Fault, FaultyConnector, faulty_connector
from trio_realtime.testing.peer import ScriptedPeer
from trio_realtime.wire import MessageItem

Session: TypeAlias = RealtimeSession[Any]

LIMIT: Final = 4 * 3600.0
"""Virtual seconds after which a case fails, so that none hangs."""

FRAME_SECONDS: Final = 0.1
SPEECH: Final = b"\x00\x20\x00\xe0" * 1200
"""A frame in which the user speaks, as PCM16 at 24 kHz."""
SILENCE: Final = bytes(len(SPEECH))


@attrs.frozen
class Subject:
    """The agent that a case runs with.

    Args:
        agent: The agent. A case may add tools to it, whose names begin with ``fault_matrix_``.
        context: The context of its sessions.
        config: The configuration of its sessions. A case replaces the settings that it is about.
    """

    agent: RealtimeAgent[Any] = attrs.field(factory=lambda: RealtimeAgent[Any](name="Assistant"))
    context: Any = None
    config: SessionConfig = attrs.field(factory=SessionConfig)

    def open(
        self, service: Service | ScriptedPeer, *tools: FunctionTool, **settings: Any
    ) -> AbstractAsyncContextManager[Session]:
        """Open a session with a service.

        Args:
            service: The service.
            *tools: Further tools of the agent.
            **settings: Settings of the configuration to replace. The audio is PCM16 at 24 kHz, the
                output is text by default, and there are no limits on time and usage.
        """
        endpoint = service.server.endpoint if isinstance(service, Service) else None
        return open_realtime_session(
            attrs.evolve(self.agent, tools=(*self.agent.tools, *tools)),
            context=self.context,
            endpoint=endpoint or local_connector().endpoint,
            transport=service.connector if isinstance(service, Service) else service.connect,
            config=self.configure(**settings),
        )

    def configure(self, **settings: Any) -> SessionConfig:
        """Return the configuration with some settings replaced."""
        fixed: dict[str, Any] = {
            "output_modalities": ("text",),
            "input_format": PCM24K,
            "output_format": PCM24K,
            # The cases take minutes and many calls.
            "idle_timeout": None,
            "max_duration": None,
            "limits": UsageLimits(),
        }
        if self.config.reconnect is not None:
            fixed["reconnect"] = self.policy()
        return attrs.evolve(self.config, **fixed | settings)

    def policy(self, **changes: Any) -> ReconnectPolicy:
        """Return the reconnect policy with some fields replaced.

        Raises:
            AssertionError: The configuration has none.
        """
        assert self.config.reconnect is not None, "the configuration has no reconnect policy"
        # Without jitter, each run has the same delays.
        return attrs.evolve(self.config.reconnect, **{"jitter": 0.0} | changes)


class Service:
    """A local server in memory, whose connections have faults.

    Args:
        *replies: The steps of each response. Later responses say "fine".
        dials: The faults of each connection, in order.
        **settings: Settings of the server.
    """

    def __init__(
        self, *replies: Sequence[Step], dials: Sequence[Sequence[Fault]] = (), **settings: Any
    ) -> None:
        self._replies = [*replies]
        settings.setdefault("pacing", 10.0)
        self.server: LocalConnector = local_connector(responder=self, **settings)
        self.connector: FaultyConnector = faulty_connector(self.server, *dials)

    def respond(self, turn: Turn) -> Sequence[Step]:  # noqa: ARG002 - the name of the protocol
        """Return the steps of the next response."""
        return self._replies.pop(0) if self._replies else [Say("fine")]

    @property
    def dials(self) -> int:
        """How many times a session has connected or tried to."""
        return len(self.connector.dials)

    @property
    def items(self) -> list[Any]:
        """The conversation of the latest connection, as the service has it."""
        return self.server.connections[-1].items

    def check_conversation(self, session: Session) -> int:
        """Check that the service has each item of the session in order. Return their number."""
        ours = [item.id for item in session.history]
        theirs = [item["id"] for item in self.items]
        assert theirs == ours, f"the service has {len(theirs)} items, the session {len(ours)}"
        return len(ours)


@attrs.frozen
class FaultCase:
    """One case of the matrix. ``str(case)`` is its name.

    Args:
        name: The name, which can be part of the id of a test.
        title: What fails, or what is guaranteed.
        run: The test. It returns one sentence that says what happened.
        peers: What other libraries did, by their names; see :data:`LIBRARIES`.

    Attributes:
        name, title, run, peers: The arguments.
    """

    name: str
    title: str
    run: Callable[[Subject], Awaitable[str]] = attrs.field(repr=False)
    peers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False, hash=False)

    def __str__(self) -> str:
        return self.name


def run_case(
    case: FaultCase,
    agent: RealtimeAgent[Any] | None = None,
    *,
    context: Any = None,
    config: SessionConfig | None = None,
) -> str:
    """Run one case in virtual time. It takes less than a few seconds.

    The agent must not need a thread, a socket or a process, because the virtual clock does not wait for
    them: leave out its MCP servers, for example. Its hooks and guardrails are called, its tools are not. A
    case may add tools to a copy of the agent, and replaces the settings of the configuration that it is
    about. Delays have no jitter, so that a run can be repeated.

    Args:
        case: The case.
        agent: The agent to run it with; an agent without tools if ``None``.
        context: The context of its sessions.
        config: The configuration of its sessions; the default one if ``None``.

    Returns:
        str: A sentence that says what happened.

    Raises:
        AssertionError: What must hold does not, or the session ended with an error.
    """
    subject = Subject(
        agent if agent is not None else RealtimeAgent[Any](name="Assistant"),
        context,
        config if config is not None else SessionConfig(),
    )
    try:
        return run_virtual(_run_limited, case, subject)
    except (
        AssertionError,
        RealtimeError,
        trio.TooSlowError,
        trio.EndOfChannel,
        BaseExceptionGroup,
    ) as exc:
        failure = _first_failure(exc)
        if failure is None:
            raise
        raise AssertionError(f"{case.title}: {failure}") from exc


async def _run_limited(case: FaultCase, subject: Subject) -> str:
    with trio.fail_after(LIMIT):
        return await case.run(subject)


def _first_failure(exc: BaseException) -> str | None:
    """Return what failed; ``None`` if it was something else, such as a ``KeyboardInterrupt``."""
    match exc:
        case BaseExceptionGroup():
            found = [_first_failure(inner) for inner in exc.exceptions]
            return None if None in found else found[0]
        case AssertionError():
            return str(exc)
        case RealtimeError():
            return f"{type(exc).__name__}: {exc}"
        case trio.TooSlowError():
            return f"not finished after {LIMIT:g} s"
        case trio.EndOfChannel():
            return "the session ended"
        case _:
            return None


# --- parts of cases ------------------------------------------------------------------------------


@contextmanager
def within(seconds: float, what: str) -> Generator[None]:
    """Fail if the block takes longer.

    Args:
        seconds: Virtual seconds.
        what: What the block waits for.

    Raises:
        AssertionError: The block was cancelled.
    """
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise AssertionError(f"{what}: not within {seconds:g} s")


async def check_answers(session: Session) -> None:
    """Check that the agent still answers."""
    with within(60, "the agent answers"):
        outcome = await session.ask("Are you there?")
    assert outcome.text == "fine", f"the agent answered {outcome.text!r}"


async def failure_of(response: Awaitable[ResponseOutcome]) -> ResponseFailed:
    """Wait for a response that must fail."""
    try:
        await response
    except ResponseFailed as failure:
        return failure
    raise AssertionError("the response did not fail")


async def wait_reconnected(session: Session, lose: Callable[[], None]) -> ev.Reconnected:
    """Lose the connection, and wait until the session uses the next one."""
    with session.subscribe(ev.Reconnected) as channel, within(120, "the session connects again"):
        lose()
        event = await channel.receive()
    assert isinstance(event, ev.Reconnected)
    return event


def check_restored(event: ev.Reconnected, items: int | None = None) -> str:
    """Check that the new connection knows the conversation. Return how many items it has."""
    restored = f"{event.items_acknowledged} of {event.items_sent} items restored"
    assert event.state_restored, f"the conversation was not restored: {restored}"
    assert items is None or event.items_acknowledged == items, f"expected {items} items, {restored}"
    return restored


async def speak(session: Session, seconds: float, sound: bytes = SPEECH) -> int:
    """Send frames of the microphone in real time. Return their number."""
    began = trio.current_time()
    count = round(seconds / FRAME_SECONDS)
    for number in range(1, count + 1):
        # A copy, as from a microphone: one object for all frames would hide how many are buffered.
        await session.send_audio(bytes(bytearray(sound)))
        await trio.sleep_until(began + number * FRAME_SECONDS)
    return count


def spoken_frames(session: Session) -> int:
    """Return how many frames of speech arrived, as one item."""
    clips = [
        part.audio
        for item in session.history
        if isinstance(item, MessageItem)
        for part in item.content
        if isinstance(part, InputAudio) and part.audio is not None
    ]
    assert len(clips) == 1, f"the speech became {len(clips)} items"
    return clips[0].count(SPEECH)


def check_calls(items: Sequence[HistoryItem], expected: int) -> None:
    """Check that each call has exactly one output, after the call."""
    calls = [item.call_id for item in items if isinstance(item, FunctionCallItem)]
    outputs = [item.call_id for item in items if isinstance(item, FunctionCallOutputItem)]
    assert len({*calls}) == len(calls) == expected, f"expected {expected} calls, got {calls}"
    assert Counter(outputs) == Counter(calls), f"the calls {calls} have the outputs {outputs}"


def seconds(value: float) -> str:
    """Return a duration for a sentence: ``"1.5 s"``."""
    return f"{round(value, 1):g} s"
