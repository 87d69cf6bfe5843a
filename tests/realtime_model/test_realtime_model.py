"""Models of the user: a service without a WebSocket, and models that fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from support.events import drain_channel
from support.page_programs import blocks
from trio_realtime import (
    AgentContext,
    GuardrailResult,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    events,
    function_tool,
    open_realtime_session,
    output_guardrail,
)
from trio_realtime.errors import (
    ConfigurationError,
    ConnectionLost,
    RealtimeError,
    RequestRejected,
    ResponseFailed,
    UsageError,
    UserCodeError,
)
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import TransportClosed, TransportConnectError
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    Reasoning,
    ResponseCreate,
    ServerEvent,
    Session,
    SessionUpdate,
    SessionUpdated,
    structure_server_event,
)

PAGE = Path(__file__).parent.parent.parent / "docs" / "guides" / "other-services.md"


def page_model() -> Any:
    """Return the model of the documentation."""
    page = PAGE.read_text(encoding="utf-8")
    code = next(block.code for block in blocks(page) if "class RepeatingModel" in block.code)
    namespace: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), namespace)
    return namespace["RepeatingModel"]()


# --- the model of the documentation ---------------------------------------------------------------


async def test_the_model_of_the_documentation_calls_a_tool(autojump_clock: MockClock) -> None:
    cities: list[str] = []

    @function_tool
    async def get_time(city: str = "Oslo") -> str:
        cities.append(city)
        return "It is noon"

    agent = RealtimeAgent[None](name="Clock", tools=[get_time])
    async with open_realtime_session(agent, model=page_model()) as session:
        assert (await session.ask("call get_time")).text == "It.is.noon."
        assert cities == ["Oslo"]
        assert [item.type for item in session.history] == [
            *("message", "function_call", "function_call_output", "message"),
        ]


async def test_the_model_of_the_documentation_is_interrupted(autojump_clock: MockClock) -> None:
    async with open_realtime_session(RealtimeAgent[None](name="A"), model=page_model()) as session:
        await session.send_message("one two three four five")
        with session.subscribe(events.TextDelta) as deltas:
            assert (await deltas.receive()).delta == "one."
        await session.interrupt()
        await session.drain()
        found = drain_channel(session.events)
        (end,) = [e for e in found if isinstance(e, events.ResponseEnd) and e.output]
        assert end.status == "cancelled"
        assert "five" not in end.output
        assert (await session.ask("again")).text == "again."


async def test_a_guardrail_trips_on_the_model_of_the_documentation(
    autojump_clock: MockClock,
) -> None:
    @output_guardrail
    async def no_secrets(_about: AgentContext[Any], text: str) -> GuardrailResult:
        return GuardrailResult("secret" in text)

    config = SessionConfig(output_guardrails=[no_secrets], guardrail_debounce=1)
    agent = RealtimeAgent[None](name="A")
    async with open_realtime_session(agent, model=page_model(), config=config) as session:
        with pytest.raises(ResponseFailed):
            await session.ask("the secret is out there for everybody")
        found = drain_channel(session.events)
        assert [type(e) for e in found if isinstance(e, events.GuardrailTripped)]


# --- the interface --------------------------------------------------------------------------------


class Silent(ModelConnection):
    """A connection that acknowledges settings and then does what the test wants."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._acknowledged = 0

    async def send(self, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        self._model.sent.append(message)
        if isinstance(message, SessionUpdate):
            self._acknowledged += 1
        else:
            self._model.on_send(message)

    async def receive(self) -> ServerEvent:
        await trio.sleep(0.1)
        if self._acknowledged:
            self._acknowledged -= 1
            session: Session = self._model.sent[-1].session
            return SessionUpdated(session=session)
        event: ServerEvent = await self._model.on_receive()
        return event

    async def aclose(self) -> None:
        self._model.closed += 1
        await trio.lowlevel.checkpoint()


class Model(RealtimeModel):
    """A model that a test controls."""

    def __init__(
        self,
        *,
        on_send: Callable[[Any], None] = lambda _: None,
        on_receive: Any = trio.sleep_forever,
    ) -> None:
        self.on_send = on_send
        self.on_receive = on_receive
        self.sent: list[Any] = []
        self.options: list[ConnectionOptions] = []
        self.closed = 0

    @asynccontextmanager
    async def connect(self, options: ConnectionOptions) -> AsyncGenerator[Silent]:
        self.options.append(options)
        yield Silent(self)


def open_with(
    model: RealtimeModel, **settings: Any
) -> AbstractAsyncContextManager[RealtimeSession[None]]:
    agent = RealtimeAgent[None](name="A")
    return open_realtime_session(agent, model=model, config=SessionConfig(**settings))


async def test_a_model_gets_events_and_the_options_of_the_session(
    autojump_clock: MockClock,
) -> None:
    model = Model()
    config = SessionConfig(
        model="some-model", close_timeout=3, max_message_size=9, ping_interval=None, ping_timeout=4
    )
    agent = RealtimeAgent[None](name="A")
    async with open_realtime_session(agent, model=model, config=config) as session:
        await session.send_message("Hi", respond=False)
    assert [type(event) for event in model.sent] == [SessionUpdate, ConversationItemCreate]
    (options,) = model.options
    assert (options.model, options.max_message_size) == ("some-model", 9)
    assert (options.ping_interval, options.ping_timeout) == (None, 4)
    assert options.close_timeout <= 3
    assert model.closed >= 1


class Picky(Model):
    """A model that converts events, and cannot send everything."""

    def encode(self, event: ClientEvent) -> Any:
        if isinstance(event, ConversationItemCreate) and event.previous_item_id:
            raise ValueError("this service has no places")
        if isinstance(event, SessionUpdate) and event.session.reasoning:
            raise ValueError("this service has no reasoning")
        return event


async def test_what_a_model_cannot_send_is_refused_at_the_call(autojump_clock: MockClock) -> None:
    model = Picky()
    async with open_with(model) as session:
        with pytest.raises(UsageError, match="no places"):
            await session.send_message("Hi", previous_item_id="root")
        with pytest.raises(UsageError, match="no reasoning"):
            await session.update_settings(reasoning=Reasoning(effort="low"))
        await session.send_message("Hi", respond=False)
    assert len(model.sent) == 2
    with pytest.raises(ConfigurationError, match="no reasoning"):
        async with open_with(Picky(), reasoning=Reasoning(effort="low")):
            pytest.fail("the block must not run")


class Forgetful(Model):
    """A model that cannot send ``response.create`` for a while."""

    refuses = False

    def encode(self, event: ClientEvent) -> Any:
        if self.refuses and isinstance(event, ResponseCreate):
            raise ValueError("this service answers no more")
        return event


async def test_what_cannot_be_sent_later_fails_its_request_alone(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[ServerEvent](10)
    model = Forgetful(on_receive=receive.receive)

    async def respond(response_id: str) -> None:
        response = {"id": response_id, "status": "completed"}
        for kind in ("response.created", "response.done"):
            await send.send(structure_server_event({"type": kind, "response": response}))

    async with open_with(model) as session:
        first = await session.create_response()
        queued = await session.create_response(instructions="Queued.")
        model.refuses = True
        await respond("resp_1")
        assert (await first).status == "completed"
        with pytest.raises(
            RequestRejected, match=r"response\.create was not sent.*answers no more"
        ):
            await queued

        model.refuses = False
        third = await session.create_response()
        await respond("resp_2")
        assert (await third).status == "completed"


def fail(*_: object) -> None:
    raise KeyError("a bug of the model")


async def fail_later() -> ServerEvent:
    await trio.sleep(1)
    raise KeyError("a bug of the model")


@pytest.mark.parametrize(
    "model", [Model(on_send=fail), Model(on_receive=fail_later)], ids=["send", "receive"]
)
async def test_a_model_that_raises_is_the_users_code(
    model: Model, autojump_clock: MockClock
) -> None:
    with pytest.raises(UserCodeError, match=r"realtime model raised KeyError") as caught:
        async with open_with(model) as session:
            await session.send_message("Hi", respond=False)
            async for _ in session:
                pass
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("returned", [None, {"type": "session.created"}])
async def test_a_model_that_returns_no_event(returned: Any, autojump_clock: MockClock) -> None:
    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        return returned

    with pytest.raises(UserCodeError, match=rf"returned {type(returned).__name__}, not a Serv"):
        async with open_with(Model(on_receive=receive)) as session:
            async for _ in session:
                pass


class ReturnsNothing(Silent):
    async def receive(self) -> Any:
        await trio.lowlevel.checkpoint()


async def test_a_model_that_returns_no_event_while_the_session_opens(
    autojump_clock: MockClock,
) -> None:
    class Opening(Model):
        @asynccontextmanager
        async def connect(self, options: ConnectionOptions) -> AsyncGenerator[Silent]:
            yield ReturnsNothing(self)

    with pytest.raises(UserCodeError, match="returned NoneType, not a ServerEvent"):
        async with open_with(Opening()):
            pytest.fail("the block must not run")


async def test_a_model_whose_connection_ends(autojump_clock: MockClock) -> None:
    async def end() -> ServerEvent:
        await trio.lowlevel.checkpoint()
        raise TransportClosed(1011, "restarting")

    with pytest.raises(ConnectionLost, match="restarting"):
        async with open_with(Model(on_receive=end)) as session:
            async for _ in session:
                pass


async def test_a_model_that_does_not_connect(autojump_clock: MockClock) -> None:
    class Unreachable(Model):
        @asynccontextmanager
        async def connect(self, options: ConnectionOptions) -> AsyncGenerator[Silent]:
            raise TransportConnectError("no route")
            yield

    with pytest.raises(RealtimeError, match="no route"):
        async with open_with(Unreachable()):
            pytest.fail("the block must not run")


async def test_raw_events_of_a_model_have_a_frame(autojump_clock: MockClock) -> None:
    async with open_with(Model()) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            await session.update_settings(speed=1.1)
            event = await raw.receive()
        assert event.json()["session"]["audio"]["output"] == {"speed": 1.1}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"model": "gpt-realtime-2.1"}, r"SessionConfig\(model=...\)"),
        ({"model": object()}, "RealtimeModel"),
        ({"model": Model(), "endpoint": TEST_ENDPOINT}, "not both"),
        ({"model": Model(), "transport": ScriptedPeer().connect}, "not both"),
    ],
)
async def test_arguments_that_exclude_each_other_are_refused(
    arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        async with cast("Any", open_realtime_session)(RealtimeAgent(name="A"), **arguments):
            pytest.fail("the block must not run")


class NoEncode:
    def connect(self, options: ConnectionOptions) -> Any: ...


@pytest.mark.parametrize("model", ["gpt-realtime-2.1", NoEncode()])
async def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes a RealtimeModel"):
        async with open_with(model):
            pytest.fail("the block must not run")
