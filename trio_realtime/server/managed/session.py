"""A managed session: an agent spec, a service, stores and clients joined for one call.

The data goes one way. The session's events are read by one task, which numbers them and hands each to the
event log (for clients), to the journal (for the history) and to the recorder. None of the three waits, so
neither a slow client nor a slow disk delays the session.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal, TypeAlias, final
from uuid import uuid4

import attrs
import trio

from trio_realtime import RealtimeSession, SessionConfig, open_realtime_session
from trio_realtime._nursery import open_bare_nursery
from trio_realtime._redaction import redact_url
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import InternalError, RealtimeError, SessionClosed, UsageError
from trio_realtime.events import Audio, AudioInterrupted, SessionEvent
from trio_realtime.items import HistoryItem, creatable_items
from trio_realtime.server.recording.files import check_id
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.rpc.run_events import (
    RunConnected,
    RunEvent,
    RunStarted,
    RunWarning,
)
from trio_realtime.server.service import ServiceSettings, resolve_service
from trio_realtime.server.spec import AgentSpec, BuiltAgent, build_agent
from trio_realtime.server.store import SessionFacts
from trio_realtime.transports import Connector
from trio_realtime.wire import AudioFormat

from .client_tools import ClientCalls
from .event_log import EventReader
from .recording import RunRecorder, format_problem
from .run_end import PartFailure, RunEnd, StopReason, event_of_end, run_end_of
from .run_events import RunEvents
from .stores import RunFacts, RunHistory, SessionStores
from .user_methods import UserMethods

__all__ = ["ManagedSession", "RunState"]

RunState: TypeAlias = Literal["new", "started", "connecting", "connected", "ended"]
"""How far a managed session is."""

#: Numbers that a run skips after a crash of the one before it, whose database may have been away for an hour.
_CRASH_MARGIN: Final = 1_000_000

_log: Final = logging.getLogger("trio_realtime.server.managed")


@attrs.frozen(kw_only=True)
class _Service:
    """What a session connects to."""

    endpoint: Endpoint
    model: str | None
    connector: Connector | None


@final
class ManagedSession(UserMethods):
    """A session on a server: built from an agent spec, recorded and stored while it runs.

    Either run it for the duration of a block::

        async with ManagedSession(spec).managed() as session:
            await session.send_text("Hello!")
            async for event in session.stream_events():
                print(event.type)

    or give it a nursery, and call :meth:`start`, :meth:`connect` and :meth:`stop`.

    Args:
        spec: the agent.
        settings: the service to connect to; by default, that of the environment and of the spec.
        session_id: continue the session with this id, whose history is stored: the model is given what was
            said. By default, a new id.
        specs: the agents that ``spec`` may hand off to, by name.
        stores: where recordings, the history and artifacts are stored; nowhere by default.
        nursery: runs the session. Not needed with :meth:`managed`.
        variables: variables for the templates of the instructions, in addition to those of the spec.
        tenant: whose session it is.
        transport: how the user is connected: ``web``, ``twilio``, ``openai`` or ``library``.
        metadata: JSON-safe values that are stored with the session.
        endpoint, connector: the service and the transport to use, instead of ``settings``.
        on_event: called with each event, for example to count them. It must not block. What it raises is logged.
        on_end: called when the run has ended. It must not block. What it raises is logged.

    Raises:
        UsageError: ``metadata`` is not JSON-safe, ``session_id`` cannot be the name of a directory of recordings,
            or there is a ``connector`` without an ``endpoint``.

    Attributes:
        session_id: the id of the session, which later runs may continue.
        run_id: the id of this run; empty before :meth:`start`.
        spec, tenant, transport: as given.
    """

    def __init__(
        self,
        spec: AgentSpec,
        settings: ServiceSettings | None = None,
        *,
        session_id: str | None = None,
        specs: Mapping[str, AgentSpec] | None = None,
        stores: SessionStores | None = None,
        nursery: trio.Nursery | None = None,
        variables: Mapping[str, Any] | None = None,
        tenant: str = "default",
        transport: str = "library",
        metadata: Mapping[str, Any] | None = None,
        endpoint: Endpoint | None = None,
        connector: Connector | None = None,
        on_event: Callable[[RpcEvent], None] | None = None,
        on_end: Callable[[ManagedSession, RunEnd], None] | None = None,
    ) -> None:
        if connector is not None and endpoint is None:
            raise UsageError("connector= needs endpoint=")
        try:
            json.dumps(metadata, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise UsageError("metadata must be JSON-safe values, because they are stored") from None
        self.session_id: str = (
            f"sess_{uuid4().hex}" if session_id is None else check_id("session_id", session_id)
        )
        self.run_id: str = ""
        self.spec: AgentSpec = spec
        self.tenant: str = tenant
        self.transport: str = transport
        self._is_continued = session_id is not None
        self._settings = settings or ServiceSettings()
        self._specs = specs or {}
        self._stores = stores or SessionStores()
        self._nursery = nursery
        self._variables = variables or {}
        self._metadata = metadata or {}
        self._endpoint = endpoint
        self._connector = connector
        self._on_event = on_event
        self._on_end = on_end

        self._state: RunState = "new"
        self._end: RunEnd | None = None
        self._ended = trio.Event()
        self._settled = trio.Event()  # connected, or ended before that
        self._failures: list[PartFailure] = []
        self._stop_reason: StopReason | None = None
        self._connect_scope = trio.CancelScope()
        self._session: RealtimeSession[Any] | None = None
        self._recorder: RunRecorder | None = None
        self._client_calls = ClientCalls(self.emit)
        # Set by start():
        self._started_at = 0.0
        self._built: BuiltAgent
        self._service: _Service
        self._earlier: Sequence[HistoryItem] = ()
        self._history: RunHistory | None = None
        self._events: RunEvents

    def __repr__(self) -> str:
        return f"<ManagedSession {self.session_id}, agent {self.spec.name!r}, {self._state}>"

    # --- the life of a run

    @property
    def state(self) -> RunState:
        """How far the session is."""
        return self._state

    @property
    def end(self) -> RunEnd | None:
        """How the run ended; ``None`` before that."""
        return self._end

    async def start(self) -> str:
        """Prepare the run: build the agent, resolve the service, register the session in the history.

        Nothing is connected yet. If this raises or is cancelled, it may be called again.

        Returns:
            str: the id of the run.

        Raises:
            UsageError: the session was started before, or has no nursery.
            ConfigurationError: the agent cannot be built, or no service can be resolved, for example because
                there is no key.
            HistoryStoreError: the session is continued, and the history cannot be read or written.
        """
        self._check_new()
        if self._nursery is None:
            raise UsageError(
                "a ManagedSession runs in a nursery: use `async with session.managed():`, or pass nursery="
            )
        service = self._resolve_service()
        built = await self._build(self.spec)
        last_seq = await self._last_stored_seq()
        earlier = await self._stores.earlier_items(self.session_id) if self._is_continued else ()
        if self._state != "new":
            raise UsageError("start() was called twice at the same time")
        self._state = "started"
        self._service, self._built, self._earlier = service, built, creatable_items(earlier)
        self.run_id = f"run_{uuid4().hex}"
        self._started_at = trio.current_time()
        self._history = self._stores.open_history(
            self._facts(service), [item.id for item in earlier if item.id is not None]
        )
        self._events = RunEvents(
            self.session_id,
            self.run_id,
            last_seq=last_seq,
            bytes_per_ms=built.config.output_format.bytes_per_ms,
            history=self._history,
            on_event=self._on_event,
        )
        self.emit(
            RunStarted(
                agent=self.spec.name,
                tenant=self.tenant,
                model=service.model,
                endpoint=redact_url(service.endpoint.url),
            )
        )
        for warning in built.warnings:
            self.warn(warning.code, warning.message)
        return self.run_id

    async def connect(self) -> None:
        """Open the realtime session; return when it is ready.

        Cancelling this ends the run.

        Raises:
            UsageError: the session was not started, or was connected before, its nursery was left, or
                :meth:`stop` was called meanwhile.
            RealtimeError: the session could not be opened. The run has ended.
        """
        if self._state == "new":
            raise UsageError("call start() before connect()")
        if self._state != "started":
            raise UsageError(f"connect() was called before, and the session is {self._state}")
        assert self._nursery is not None
        self._state = "connecting"
        try:
            await self._nursery.start(self._run)
        except RuntimeError as exc:
            if self._end is not None:
                raise
            self._finish_run(None)
            raise UsageError("the nursery of the session was left: connect() before that") from exc

    async def stop(
        self, reason: StopReason = "stopped", *, drain_timeout: float | None = None
    ) -> RunEnd:
        """End the run, and wait until all its parts are closed. Idempotent.

        Args:
            reason: why. The first reason counts.
            drain_timeout: seconds that the agent has to finish and be heard; ``None`` to close at once.

        Raises:
            UsageError: the session was not started.
        """
        if self._state == "new":
            raise UsageError("the session was not started")
        if self._stop_reason is None:
            self._stop_reason = reason
        if self._state == "started":
            self._finish_run(None)
        elif self._session is not None:
            await _close(self._session, drain_timeout)
        else:
            self._connect_scope.cancel(reason=f"the run was stopped: {reason}")
        return await self.wait_ended()

    async def transfer(self, agent: str) -> None:
        """Let another agent take over the conversation.

        Args:
            agent: its name in ``specs``.

        Raises:
            UsageError: the session is not connected, or there is no such agent.
            ConfigurationError: the agent cannot be built.
            RealtimeError: the session has ended, or the service has rejected the agent's settings.
        """
        session = self.session
        spec = self._specs.get(agent)
        if spec is None:
            raise UsageError(f"there is no agent {agent!r:.80}; there are {', '.join(self._specs)}")
        built = await self._build(spec)
        for warning in built.warnings:
            self.warn(warning.code, warning.message)
        await session.update_agent(built.agent)

    async def wait_connected(self) -> RunEnd | None:
        """Wait until the session is connected. Returns how the run ended if it ends before that."""
        await self._settled.wait()
        return self._end

    async def wait_ended(self) -> RunEnd:
        """Wait until the run has ended and all its parts are closed."""
        await self._ended.wait()
        assert self._end is not None
        return self._end

    @asynccontextmanager
    async def managed(self) -> AsyncGenerator[ManagedSession]:
        """Start and connect the session for the duration of a block, and stop it on leaving.

        Raises:
            UsageError: the session was started before.
            RealtimeError: the session could not be opened.
        """
        self._check_new()
        async with open_bare_nursery(InternalError) as nursery:
            self._nursery = nursery
            await self.start()
            await self.connect()
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True):
                    await self.stop()

    # --- what happens

    @property
    def session(self) -> RealtimeSession[Any]:
        """The realtime session, for everything that has no method here.

        Raises:
            UsageError: the session is not connected.
        """
        if self._session is None:
            raise UsageError(
                "the session is not connected: call start() and connect() before"
                if self._state != "ended"
                else "the run has ended"
            )
        return self._session

    @property
    def config(self) -> SessionConfig:
        """The settings of the realtime session.

        Raises:
            UsageError: the session was not started.
        """
        self._check_started()
        return self._built.config

    @property
    def input_format(self) -> AudioFormat:
        """The format of the user's audio."""
        return self._session.input_format if self._session else self.config.input_format

    @property
    def output_format(self) -> AudioFormat:
        """The format of the agent's audio."""
        return self._session.output_format if self._session else self.config.output_format

    @property
    def last_seq(self) -> int:
        """The ``seq`` of the latest event."""
        self._check_started()
        return self._events.last_seq

    def stream_events(self, after: int | None = 0) -> EventReader:
        """Return a reader of the session's events. There may be many readers, each at its own pace.

        A reader that falls behind what the log holds gets an :class:`EventsMissed
        <trio_realtime.server.managed.EventsMissed>` instead of the events that were dropped.

        Args:
            after: the ``seq`` of the last event that the reader has; 0 for all that are available, and
                ``None`` for later events only.

        Raises:
            UsageError: the session was not started, or ``after`` is out of range.
        """
        self._check_started()
        return self._events.read(after)

    def emit(self, event: RunEvent) -> None:
        """Add an event of the run, which is no event of the realtime session, to the event log.

        It has no effect after the run has ended: ``run_ended`` is the last event.

        Raises:
            UsageError: the session was not started.
        """
        self._check_started()
        self._events.emit(event)

    def warn(self, code: str, message: str) -> None:
        """Report that something is not as requested, with a ``run_warning`` event and in the log.

        Raises:
            UsageError: the session was not started.
        """
        self._check_started()
        _log.warning("session %s: %s (%s)", self.session_id, message, code)
        self.emit(RunWarning(code=code, message=message))

    def fail_part(self, part: str, message: str) -> None:
        """Report that a part of the run has failed. The run goes on.

        Raises:
            UsageError: the session was not started.
        """
        self._check_started()
        self._failures.append(PartFailure(part, message))
        self.warn(f"{part}_failed", message)

    # --- inside

    async def _build(self, spec: AgentSpec) -> BuiltAgent:
        return await build_agent(
            spec, specs=self._specs, settings=self._settings, variables=self._variables
        )

    def _check_new(self) -> None:
        if self._state != "new":
            raise UsageError(
                f"start() was called before, and the session is {self._state}: create another "
                "ManagedSession, with the same session_id= to continue the session"
            )

    def _check_started(self) -> None:
        if self._state == "new":
            raise UsageError("call start() first")

    def _resolve_service(self) -> _Service:
        if self._endpoint is not None:
            model = self.spec.realtime.model or self._endpoint.default_model
            return _Service(endpoint=self._endpoint, model=model, connector=self._connector)
        resolved = resolve_service(self._settings, self.spec.service)
        return _Service(endpoint=resolved.endpoint, model=resolved.model, connector=None)

    def _facts(self, service: _Service) -> SessionFacts:
        return SessionFacts(
            tenant=self.tenant,
            agent=self.spec.name,
            project=self.spec.project,
            transport=self.transport,
            model=service.model,
            endpoint=service.endpoint.url,
            metadata=self._metadata,
        )

    async def _last_stored_seq(self) -> int:
        history = self._stores.history
        if history is None or not self._is_continued:
            return 0
        await self._stores.flush_history()  # an earlier run may have ended just now
        stored = await history.get_session(self.session_id)
        if stored is None:
            return 0
        last_seq: int = stored["last_seq"] or 0
        # After a crash, clients may have seen events that were not stored.
        return last_seq + (0 if stored["status"] in ("ended", "failed") else _CRASH_MARGIN)

    def _record_run(self) -> AbstractAsyncContextManager[RunRecorder | None]:
        facts = RunFacts(
            session_id=self.session_id,
            run_id=self.run_id,
            input_format=self.input_format,
            output_format=self.output_format,
            fail=self.fail_part,
            is_connected=lambda: self._session is not None,
        )
        return self._stores.record(facts, self._history)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the session until it ends. Failures before it is connected are raised by ``connect``."""
        error: BaseException | None = None
        try:
            with self._connect_scope:
                await self._run_parts(task_status)
        except RealtimeError as exc:
            error = exc
            if self._session is None:
                raise
        except Exception as exc:  # one call fails, and the server goes on
            error = exc
            _log.exception("session %s: a part of the server crashed", self.session_id)
            if self._session is None:
                raise
        finally:
            self._finish_run(error)
        if self._session is None:
            raise SessionClosed(f"the run was stopped while it connected: {self._stop_reason}")

    async def _run_parts(self, task_status: trio.TaskStatus[None]) -> None:
        self._client_calls.enter()
        async with AsyncExitStack() as stack:
            self._recorder = await stack.enter_async_context(self._record_run())
            session = await stack.enter_async_context(
                open_realtime_session(
                    self._built.agent,
                    endpoint=self._service.endpoint,
                    transport=self._service.connector,
                    config=attrs.evolve(self._built.config, model=self._service.model),
                    context=self._built.context,
                    history=self._earlier,
                )
            )
            self._session = session
            self._state = "connected"
            self._events.set_audio_rate(session.output_format.bytes_per_ms)
            self._check_recorded_formats(session)
            self.emit(
                RunConnected(input_format=session.input_format, output_format=session.output_format)
            )
            task_status.started()
            self._settled.set()
            async with open_bare_nursery(InternalError) as nursery:
                if self._recorder is not None:
                    session.observe_input_audio(self._recorder.user_audio)
                    nursery.start_soon(self._recorder.follow_playback, session)
                await self._distribute(session)
            if self._recorder is not None:
                self._recorder.record_heard(session)

    def _check_recorded_formats(self, session: RealtimeSession[Any]) -> None:
        """Record nothing if the service uses other formats than the recording, which began before."""
        config = self._built.config
        problem = format_problem(
            (config.input_format, config.output_format),
            (session.input_format, session.output_format),
        )
        if self._recorder is not None and problem is not None:
            self._recorder = None
            self.fail_part("recording", problem)

    async def _distribute(self, session: RealtimeSession[Any]) -> None:
        """Number the session's events, and hand them on, until the session has ended."""
        try:
            async for event in session:
                self._record(event, session)
                self._events.record(event)
        except RealtimeError:
            if session.end is None:
                raise  # otherwise, leaving the session raises what ended it

    def _record(self, event: SessionEvent, session: RealtimeSession[Any]) -> None:
        if self._recorder is None:
            return
        if isinstance(event, Audio):
            self._recorder.agent_audio(event, session.output_format.bytes_per_ms)
        elif isinstance(event, AudioInterrupted):
            self._recorder.agent_interrupted(event)

    def _finish_run(self, error: BaseException | None) -> None:
        if self._end is not None:
            return
        self._end = run_end_of(
            stop=self._stop_reason,
            session=self._session.end if self._session is not None else None,
            error=error,
            failures=tuple(self._failures),
            duration=trio.current_time() - self._started_at,
        )
        self._state = "ended"
        self._events.finish(event_of_end(self._end))
        self._settled.set()
        self._ended.set()
        if self._on_end is not None:
            try:
                self._on_end(self, self._end)
            except Exception:  # noqa: BLE001 - the program's function may raise anything
                _log.exception("session %s: on_end raised", self.session_id)


async def _close(session: RealtimeSession[Any], drain_timeout: float | None) -> None:
    try:
        await session.aclose(drain_timeout=drain_timeout or None)
    except RealtimeError:
        if session.end is None:
            raise  # otherwise, the session has ended before
