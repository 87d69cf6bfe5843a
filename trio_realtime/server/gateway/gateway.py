"""The gateway: creates sessions, admits clients to them, and ends them when the server shuts down.

It knows neither HTTP nor WebSockets: :mod:`.api` and :mod:`.stream` do.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, final

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime._validation import is_number
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import ConfigurationError, InternalError, UsageError
from trio_realtime.server.managed import ManagedSession, RunEnd, SessionStores
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.service import ServiceSettings
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.spec.paths import nearest
from trio_realtime.transports import Connector
from trio_realtime.wire import AudioFormat

from .admission import Admission, NotAdmitted
from .hosting import HostedSession, stop_safely
from .tokens import Grant, Role, TokenIssuer

__all__ = ["CreatedSession", "Gateway", "GatewaySettings", "SessionNotFound", "open_gateway"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")


class SessionNotFound(Exception):
    """The gateway runs no such session for this tenant."""


def _finite(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value == math.inf:  # clients receive the number, and JSON has no infinity
        raise ConfigurationError(f"{attribute.name} must be finite, got {value!r}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not is_number(value) or not value > 0:
        raise ConfigurationError(f"{attribute.name} must be a number > 0, got {value!r:.80}")


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """Times and sizes of a gateway.

    Args:
        attach_timeout: seconds that a new session waits for its owner. It is also the lifetime of tokens.
        grace: seconds that a session goes on while its owner is away.
        hello_timeout: seconds that a client has to send its first message.
        send_timeout: seconds that one message to a client may take. A client that reads nothing for so long
            is detached.
        max_message_size: bytes of one message of a client.
        hidden_events: types of events that clients do not receive. The default ones name the service, its
            settings and the instructions of the agent.
        error_details: whether clients receive the texts of errors, which may name hosts and paths of the
            server. If not, they receive the types and codes.

    Raises:
        ConfigurationError: a value is not positive, or ``attach_timeout`` or ``grace`` is infinite.
    """

    attach_timeout: float = attrs.field(default=60.0, validator=[_positive, _finite])
    grace: float = attrs.field(default=30.0, validator=[_positive, _finite])
    hello_timeout: float = attrs.field(default=10.0, validator=_positive)
    send_timeout: float = attrs.field(default=30.0, validator=_positive)
    max_message_size: int = attrs.field(default=1024 * 1024, validator=_positive)
    hidden_events: frozenset[str] = frozenset(
        {"run_started", "realtime_settings_updated", "realtime_rate_limits_updated"}
    )
    error_details: bool = False


@attrs.frozen(kw_only=True)
class CreatedSession:
    """A session that waits for its owner.

    Attributes:
        session_id, run_id: the ids.
        token: admits the owner, once.
        expires_in: seconds that the token is valid.
    """

    session_id: str
    run_id: str
    token: str = attrs.field(repr=False)
    expires_in: float


@final
class Gateway:
    """Creates sessions, and admits clients to them. :func:`open_gateway` makes it.

    Attributes:
        specs: the agents by name.
        default_agent: the agent of requests that name none.
        settings: times and sizes.
        stores: where sessions are stored.
        admission: which sessions may begin.
        tokens: the tokens that were issued.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        specs: Mapping[str, AgentSpec],
        *,
        default_agent: str | None = None,
        service: ServiceSettings | None = None,
        endpoint: Endpoint | None = None,
        connector: Connector | None = None,
        stores: SessionStores | None = None,
        settings: GatewaySettings | None = None,
        admission: Admission | None = None,
        on_event: Callable[[RpcEvent], None] | None = None,
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        if not specs:
            raise ConfigurationError("a gateway needs at least one agent")
        default_agent = default_agent or next(iter(specs))
        if default_agent not in specs:
            raise ConfigurationError(
                f"there is no agent {default_agent!r}; the agents are {', '.join(specs)}"
            )
        self.specs: Mapping[str, AgentSpec] = specs
        self.default_agent: str = default_agent
        self.settings: GatewaySettings = settings or GatewaySettings()
        self.stores: SessionStores = stores or SessionStores()
        self.admission: Admission = admission or Admission()
        self.tokens: TokenIssuer = TokenIssuer(ttl=self.settings.attach_timeout)
        self._nursery = nursery
        self._service = service
        self._endpoint = endpoint
        self._connector = connector
        self._on_event = on_event
        self._on_refusal = on_refusal
        self._sessions: dict[str, HostedSession] = {}
        self._creating: set[str] = set()
        self._unstored: set[str] = set()  # of those that are created
        self._idle = trio.Event()

    @property
    def sessions(self) -> Mapping[str, HostedSession]:
        """The sessions that have not ended, by their ids."""
        return self._sessions

    def find(self, session_id: str, tenant: str | None = None) -> HostedSession:
        """Return a session that has not ended.

        Args:
            session_id: its id.
            tenant: whose it must be; ``None`` for anybody's.

        Raises:
            SessionNotFound: there is none.
        """
        hosted = self._sessions.get(session_id)
        if hosted is None or tenant not in (None, hosted.session.tenant):
            raise SessionNotFound(f"no session {session_id!r:.80} runs here")
        return hosted

    async def create_session(
        self,
        *,
        tenant: str,
        agent: str | None = None,
        session_id: str | None = None,
        transport: str = "web",
        variables: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        audio_format: AudioFormat | None = None,
    ) -> CreatedSession:
        """Create a session that waits for its owner.

        Args:
            tenant: whose session it is.
            agent: the name of the agent; the default agent if there is none.
            session_id: continue this session of the tenant, which has ended.
            transport: how the user is connected.
            variables: variables for the instructions.
            metadata: JSON-safe values that are stored with the session.
            audio_format: the format of the audio in both directions, instead of that of the agent spec.

        Raises:
            NotAdmitted: a limit is reached, or the server shuts down.
            UsageError: there is no such agent or session, or the session runs.
            ConfigurationError: the agent or the service cannot be used.
        """
        name = agent or self.default_agent
        spec = self.specs.get(name)
        if spec is None:
            raise UsageError(f"there is no agent {name!r:.80}: {nearest(name, self.specs)}")
        if audio_format is not None:
            config = attrs.evolve(
                spec.realtime, input_format=audio_format, output_format=audio_format
            )
            spec = attrs.evolve(spec, realtime=config)
        session = ManagedSession(
            spec,
            self._service,
            session_id=session_id,
            specs=self.specs,
            stores=self.stores,
            nursery=self._nursery,
            variables=variables,
            tenant=tenant,
            transport=transport,
            metadata=metadata,
            endpoint=self._endpoint,
            connector=self._connector,
            on_event=self._on_event,
            on_end=self._forget,
        )
        name = session.session_id
        self._admit(tenant)
        try:
            await self._check_continued(session_id, tenant)
            with self.reserve(name):
                await session.start()
        except BaseException:
            self.admission.release(tenant)
            raise
        hosted = HostedSession(
            session,
            self._nursery,
            attach_timeout=self.settings.attach_timeout,
            grace=self.settings.grace,
        )
        self._sessions[name] = hosted
        facts = (name, spec.name, tenant, transport)
        _log.info("session %s: began, agent %s, tenant %s, over %s", *facts)
        self._nursery.start_soon(hosted.watch)
        if name in self._unstored:
            self._unstored.discard(name)
            self.end_unstored_session(name)
        if self.admission.is_draining:  # the shutdown has begun while the session was created
            await hosted.session.stop("server_drain")
            self._admit(tenant)
        return CreatedSession(
            session_id=name,
            run_id=session.run_id,
            token=self.issue_token(session, "owner"),
            expires_in=self.tokens.ttl,
        )

    def issue_token(self, session: ManagedSession, role: Role, *, ttl: float | None = None) -> str:
        """Return a token that admits one client to a session, once.

        Args:
            session: the session.
            role: what the client may do.
            ttl: seconds that the token is valid; ``attach_timeout`` by default.
        """
        grant = Grant(session_id=session.session_id, tenant=session.tenant, role=role)
        return self.tokens.issue(grant, trio.current_time(), ttl=ttl)

    def issue_resume_token(self, session: ManagedSession, role: Role) -> str:
        """Return a token with which a client may come back until the session ends."""
        return self.issue_token(session, role, ttl=math.inf)

    def end_unstored_session(self, session_id: str) -> None:
        """End a session, because its history cannot be stored."""
        if session_id in self._creating:
            self._unstored.add(session_id)
        hosted = self._sessions.get(session_id)
        if hosted is not None:
            hosted.session.fail_part("history", "the history cannot be stored")
            self._nursery.start_soon(stop_safely, hosted.session, "store_failed")

    @contextmanager
    def reserve(self, session_id: str) -> Generator[None]:
        """Reserve the id of a session that does not run for the duration of a block, so that it is not continued.

        Raises:
            UsageError: the session runs, or its id is reserved.
        """
        if session_id in self._sessions or session_id in self._creating:
            raise UsageError(f"the session {session_id!r:.80} runs already")
        self._creating.add(session_id)
        try:
            yield
        except BaseException:
            self._unstored.discard(session_id)
            raise
        finally:
            self._creating.discard(session_id)

    async def drain(self, timeout: float, *, agent_timeout: float = 5.0) -> None:
        """Shut down: admit no session any more, wait for those that run, and end the rest.

        Args:
            timeout: seconds to wait for the sessions to end by themselves.
            agent_timeout: seconds that the agents have after that to finish what they say.
        """
        self.admission.drain()
        for hosted in list(self._sessions.values()):
            if hosted.session.state == "started":  # it waits for its owner
                await hosted.session.stop("server_drain")
        if not self._sessions:
            self._idle.set()
        with trio.move_on_after(timeout):
            await self._idle.wait()
        async with trio.open_nursery() as nursery:
            for hosted in list(self._sessions.values()):
                nursery.start_soon(stop_safely, hosted.session, "server_drain", agent_timeout)

    def _admit(self, tenant: str) -> None:
        try:
            self.admission.admit(tenant, trio.current_time())
        except NotAdmitted as exc:
            if self._on_refusal is not None:
                self._on_refusal(exc.code)
            raise

    async def _check_continued(self, session_id: str | None, tenant: str) -> None:
        if session_id is None:
            return
        await self.stores.flush_history()  # its last run may have ended just now
        history = self.stores.history
        stored = await history.get_session(session_id) if history is not None else None
        if stored is None or stored["tenant"] != tenant:
            raise UsageError(f"there is no session {session_id!r:.80} to continue")

    def _forget(self, session: ManagedSession, end: RunEnd) -> None:
        if self._sessions.pop(session.session_id, None) is None:
            return
        facts = (session.session_id, end.by, end.reason, end.duration)
        _log.info("session %s: ended by %s: %s, after %.1f s", *facts)
        self.tokens.revoke(session.session_id)
        self.admission.release(session.tenant)
        if self.admission.is_draining and not self._sessions:
            self._idle.set()


@asynccontextmanager
async def open_gateway(
    specs: Mapping[str, AgentSpec],
    *,
    default_agent: str | None = None,
    service: ServiceSettings | None = None,
    endpoint: Endpoint | None = None,
    connector: Connector | None = None,
    stores: SessionStores | None = None,
    settings: GatewaySettings | None = None,
    admission: Admission | None = None,
    on_event: Callable[[RpcEvent], None] | None = None,
    on_refusal: Callable[[str], None] | None = None,
    drain_timeout: float = 0.0,
) -> AsyncGenerator[Gateway]:
    """Open a gateway for the duration of a block. Leaving the block ends its sessions.

    Args:
        specs: the agents by name.
        default_agent: the agent of requests that name none; the first one by default.
        service: the service to connect to; by default, that of the environment and of each spec.
        endpoint, connector: the service and the transport to use, instead of ``service``.
        stores: where sessions are stored; nowhere by default.
        settings: times and sizes.
        admission: which sessions may begin.
        on_event: called with each event of each session, for example to count them. It must not block.
        on_refusal: called with the code of each :exc:`NotAdmitted`.
        drain_timeout: seconds to wait for the sessions on leaving.

    Raises:
        ConfigurationError: there is no agent, or the default agent does not exist.
    """
    async with open_bare_nursery(InternalError) as nursery:
        gateway = Gateway(
            nursery,
            specs,
            default_agent=default_agent,
            service=service,
            endpoint=endpoint,
            connector=connector,
            stores=stores,
            settings=settings,
            admission=admission,
            on_event=on_event,
            on_refusal=on_refusal,
        )
        yield gateway
        await gateway.drain(drain_timeout, agent_timeout=0.0)
