"""Cases in which the service sends something unusual, or a consumer or the load is unusual."""

from __future__ import annotations

import trio

from trio_realtime import EventChannel, events as ev, open_realtime_session
from trio_realtime.errors import ConsumerTooSlow
from trio_realtime.local import Say, Turn, local_connector
from trio_realtime.realtime_model import WebSocketModel
from trio_realtime.testing.peer import ScriptedPeer

from .case import SPEECH, FaultCase, Service, Session, Subject, check_answers, failure_of, within

SESSIONS = 200


async def _unknown_event(subject: Subject) -> str:
    service = Service()
    async with subject.open(service) as session:
        with session.subscribe(ev.Error) as failures:
            service.connector.link.inject('{"type": "response.new_kind", "event_id": "event_new"}')
            await check_answers(session)
            errors = failures.statistics().buffered_events
        assert not errors, f"the session issued {errors} error events"
        assert service.dials == 1, "the session connected again"
    return "ignored, and the next answer arrives"


async def _unknown_error(subject: Subject) -> str:
    service = Service()
    async with subject.open(service, turn_detection=None) as session:
        with session.subscribe(ev.Error) as failures, within(1, "the error is an event"):
            service.connector.link.inject(
                '{"type": "error", "event_id": "event_x", "error": '
                '{"type": "server_error", "code": "code_of_the_future", "message": "?"}}'
            )
            await failures.receive()
        for _ in range(40):
            await session.send_audio(SPEECH)
        await session.commit_audio()
        await check_answers(session)
        kinds = service.connector.link.types("outgoing")
        sent = kinds.count("input_audio_buffer.append")
        assert sent, "no audio was sent after the error"
        users = [item for item in service.items if item.get("role") == "user"]
        assert len(users) == 2, "the audio that followed the error is not in the conversation"
        assert service.dials == 1, "the session connected again"
    return "reported as an error event; the audio that follows arrives, and so does the next answer"


async def _no_usage(subject: Subject) -> str:
    peer = ScriptedPeer()
    async with subject.open(peer) as session:
        first = await session.create_response()
        peer.begin_response("resp_1", await peer.expect("response.create"))
        peer.end_response("resp_1", "cancelled", reason="client_cancelled", usage=None)
        with within(1, "the cancelled response ends"):
            failure = await failure_of(first)
        assert failure.status == "cancelled", f"the response ended {failure.status}"
        second = await session.create_response()
        peer.begin_response("resp_2", await peer.expect("response.create"))
        peer.say("resp_2", "item_2", "fine")
        peer.end_response("resp_2", usage=None)
        with within(1, "the next response ends"):
            outcome = await second.wait()
        assert outcome.text == "fine", f"the agent answered {outcome.text!r}"
    return "the response ends as cancelled, and the next one completes"


async def _cancelled_reply(subject: Subject) -> str:
    peer = ScriptedPeer()
    async with subject.open(peer) as session:
        peer.begin_response("resp_vad")
        await trio.sleep(0.1)
        waiting = await session.create_response()
        await trio.sleep(0.1)
        waiting.cancel()
        await trio.sleep(0.1)
        early = peer.sent_types().count("response.cancel")
        assert not early, "the response to the user's speech was cancelled"
        peer.say("resp_vad", "item_vad", "fine")
        peer.end_response("resp_vad")
        await trio.sleep(0.1)
        await _check_cancelled_by_id(peer, session)
        cancels = [f for f in peer.received if f["type"] == "response.cancel"]
        ids = [frame.get("response_id") for frame in cancels]
        assert ids == ["resp_own"], f"the cancelled responses are {ids}"
    return "the response to the user's speech goes on; each cancellation names its own response"


async def _check_cancelled_by_id(peer: ScriptedPeer, session: Session) -> None:
    """Cancel a response that the service has begun: only that one may be named."""
    own = await session.create_response()
    while True:
        with within(5, "the next response is requested"):
            create = await peer.next()
        if create["type"] == "response.create":
            break
    peer.begin_response("resp_own", create)
    await trio.sleep(0.1)
    own.cancel()
    with within(5, "the response is cancelled"):
        await peer.expect("response.cancel", response_id="resp_own")
    peer.end_response("resp_own", "cancelled", reason="client_cancelled")
    await trio.sleep(0.1)


async def _nobody_reads(subject: Subject) -> str:
    words = " ".join(f"word{number}" for number in range(400))
    service = Service([Say(words)], [Say(words)], pacing=100.0)
    limit = 100
    async with subject.open(
        service, max_buffered_events=limit, history_update_interval=0.0
    ) as session:
        with (
            session.subscribe(ev.HistoryUpdated, ev.ResponseEnd) as unread,
            session.subscribe(ev.ResponseEnd) as read,
        ):
            for _ in range(2):
                with within(120, "the agent answers"):
                    await session.ask("Tell me a long story")
                    await read.receive()
            buffered = unread.statistics().buffered_events
            assert buffered <= limit, f"{buffered} events wait, the limit is {limit}"
            unread_main = session.statistics().events.buffered_events
            assert unread_main <= limit, f"{unread_main} events wait in the main channel"
            delivered = await _read_all(unread)
        await check_answers(session)
    return f"{delivered} events were kept, that consumer got ConsumerTooSlow, the session went on"


async def _read_all(channel: EventChannel[ev.SessionEvent]) -> int:
    count = 0
    try:
        async for _ in channel:
            count += 1
    except ConsumerTooSlow:
        return count
    raise AssertionError("the slow consumer got no error")


class _Echo:
    """Repeats the last message of the user."""

    def respond(self, turn: Turn) -> list[Say]:
        return [Say(turn.items[-1].text)]


async def _many_sessions(subject: Subject) -> str:
    service = local_connector(responder=_Echo())
    model = WebSocketModel(service.endpoint, service)
    answers: list[str] = []
    all_open = trio.Event()
    opened = 0

    async def hold_session(number: int) -> None:
        nonlocal opened
        async with open_realtime_session(
            subject.agent, context=subject.context, model=model, config=subject.configure()
        ) as session:
            opened += 1
            if opened == SESSIONS:
                all_open.set()
            with within(60, f"all sessions are open, {opened} are"):
                await all_open.wait()
            outcome = await session.ask(f"I am {number}")
            assert outcome.text == f"I am {number}", f"session {number} got {outcome.text!r}"
            answers.append(outcome.text)

    async with trio.open_nursery() as nursery:
        for number in range(SESSIONS):
            nursery.start_soon(hold_session, number)
    assert len({*answers}) == SESSIONS, f"{len({*answers})} of {SESSIONS} sessions got their answer"
    return f"all {SESSIONS} sessions were open at once, and each got its own answer"


PROTOCOL_CASES: tuple[FaultCase, ...] = (
    FaultCase(
        "unknown-event",
        "An event of an unknown type",
        _unknown_event,
        {
            "LiveKit": "ignored",
            "Pipecat": "acead05: the receive task ends; fixed in 1.14.0",
            "openai-agents": "an error event, continues",
            "pydantic-ai": "ignored",
        },
    ),
    FaultCase(
        "unknown-error",
        "An error event with an unknown code",
        _unknown_error,
        {
            "LiveKit": "an error event, continues",
            "Pipecat": "stops receiving and goes on sending audio",
            "openai-agents": "an error event, continues",
            "pydantic-ai": "a recoverable error event",
        },
    ),
    FaultCase(
        "no-usage",
        "A cancelled response ends with `usage: null`",
        _no_usage,
        {
            "LiveKit": "continues",
            "Pipecat": "acead05: the receive task ends; fixed in 1.14.0",
            "openai-agents": "continues",
            "pydantic-ai": "continues",
        },
    ),
    FaultCase(
        "cancelled-reply",
        "A caller cancels its reply while a response to the user's speech is active",
        _cancelled_reply,
        {
            "LiveKit": "cancels without an id, so the wrong response stops",
            "Pipecat": "cancels without an id",
            "openai-agents": "not measured",
            "pydantic-ai": "guards its requests with a lock",
        },
    ),
    FaultCase(
        "nobody-reads",
        "Nobody reads the events",
        _nobody_reads,
        {
            "LiveKit": "unbounded channels",
            "Pipecat": "unbounded queues",
            "openai-agents": "unbounded",
            "pydantic-ai": "bounded, with counters of what was dropped",
        },
    ),
    FaultCase(
        "many-sessions",
        f"{SESSIONS} sessions share an agent and a model object",
        _many_sessions,
        {
            "LiveKit": "100 of 200 connect (default limit of the HTTP client outside a job)",
            "Pipecat": "150 of 150 work",
            "openai-agents": "200 of 200 work",
            "pydantic-ai": "100 of 100 work",
        },
    ),
)
