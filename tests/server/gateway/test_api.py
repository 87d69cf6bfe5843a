"""The HTTP interface of the gateway."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.gateway import GatewayUnderTest, make_spec, open_test_gateway
from support.openai_gateway import dial
from trio_realtime import SessionConfig, function_tool
from trio_realtime.items import item_text
from trio_realtime.local import Call, Say, ScriptedResponder, Step, Turn
from trio_realtime.server.gateway import (
    Admission,
    GatewayMetrics,
    OriginPolicy,
    TenantKeys,
    TenantLimits,
    create_app,
)
from trio_realtime.server.managed import SessionStores, client_tool
from trio_realtime.server.objects import open_object_storage
from trio_realtime.server.spec import AgentSpec
from trio_realtime.server.store import HistoryStore, HistoryStoreError, open_history_store

ACME = {"Authorization": "Bearer acme-key"}
OTHER = {"Authorization": "Bearer other-key"}
KEYS = TenantKeys(
    {hashlib.sha256(f"{name}-key".encode()).hexdigest(): name for name in ("acme", "other")},
    allow_anonymous=False,
)


class Api:
    """An HTTP client of a gateway, and the gateway."""

    def __init__(self, http: httpx2.AsyncClient, under_test: GatewayUnderTest) -> None:
        self.http = http
        self.under_test = under_test
        self.gateway = under_test.gateway

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        options.setdefault("headers", ACME)
        response = await self.http.get(path, **options)
        assert response.status_code == status, response.text
        return response.json()

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        options.setdefault("headers", ACME)
        response = await self.http.post(path, json=body, **options)
        assert response.status_code == status, response.text
        return response.json()

    async def call(self, **body: Any) -> Any:
        """Create a session and attach its owner."""
        created = await self.post("/v1/sessions", body, 201)
        owner = await self.under_test.attach(created["session_id"], created["token"])
        await owner.receive_until("run_connected")
        return owner


@asynccontextmanager
async def open_api(*specs: Any, **options: Any) -> AsyncGenerator[Api]:
    metrics = GatewayMetrics()
    origins = OriginPolicy(options.pop("origins", ()))
    async with open_test_gateway(*specs, on_event=metrics.count_event, **options) as under_test:
        app = create_app(under_test.gateway, keys=KEYS, metrics=metrics, origins=origins, web=False)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Api(http, under_test)


# --- access -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/agents"),
        ("GET", "/v1/sessions"),
        ("POST", "/v1/sessions"),
        ("GET", "/v1/sessions/sess_1"),
        ("DELETE", "/v1/sessions/sess_1"),
        ("GET", "/v1/sessions/sess_1/events"),
        ("GET", "/v1/sessions/sess_1/recording"),
        ("POST", "/v1/sessions/sess_1/tokens"),
        ("POST", "/v1/sessions/sess_1/message"),
        ("POST", "/v1/sessions/sess_1/say"),
        ("POST", "/v1/sessions/sess_1/transfer"),
        ("POST", "/v1/sessions/sess_1/tool_result"),
        ("POST", "/v1/sessions/sess_1/interrupt"),
        ("POST", "/v1/sessions/sess_1/approve"),
        ("POST", "/v1/sessions/sess_1/reject"),
        ("POST", "/v1/sessions/sess_1/end"),
    ],
)
async def test_every_request_about_sessions_needs_a_key(
    method: str, path: str, autojump_clock: MockClock
) -> None:
    async with open_api() as api:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            response = await api.http.request(method, path, headers=headers)
            assert response.status_code == 401
            assert response.json()["error"]["code"] == "not_authenticated"
            assert response.headers["www-authenticate"] == "Bearer"


async def test_a_tenant_does_not_see_the_sessions_of_another_one(autojump_clock: MockClock) -> None:
    async with open_api() as api:
        created = await api.post("/v1/sessions", {}, 201)
        path = f"/v1/sessions/{created['session_id']}"
        assert (await api.get(path))["live"]["state"] == "started"
        await api.get(path, 404, headers=OTHER)
        await api.post(f"{path}/tokens", {}, 404, headers=OTHER)
        await api.post(f"{path}/end", {}, 404, headers=OTHER)
        assert await api.get("/v1/sessions", headers=OTHER) == {"sessions": [], "next_cursor": None}
        [listed] = (await api.get("/v1/sessions"))["sessions"]
        assert listed["id"] == created["session_id"]


async def test_pages_of_allowed_origins_may_send_requests(autojump_clock: MockClock) -> None:
    async with open_api(origins=["https://app.example"]) as api:
        allowed = await api.http.get("/healthz", headers={"Origin": "https://app.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        foreign = await api.http.get("/healthz", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers


# --- sessions -----------------------------------------------------------------------------------


async def test_a_session_is_created_and_used(autojump_clock: MockClock) -> None:
    async with open_api(make_spec(), make_spec(name="Clerk")) as api:
        assert await api.get("/v1/agents") == {
            "agents": [{"name": "Assistant"}, {"name": "Clerk"}],
            "default": "Assistant",
        }
        owner = await api.call(agent="Clerk", metadata={"order": 7})
        session_id = owner.welcome["session_id"]
        path = f"/v1/sessions/{session_id}"
        await api.post(f"{path}/message", {"text": "Hello!"})
        end = await owner.receive_until("realtime_agent_end")
        assert (end.data["agent"], end.data["output"]) == ("Clerk", "You said: Hello!")
        live = (await api.get(path))["live"]
        assert live["agent"] == "Clerk"
        assert (live["state"], live["has_owner"], live["observers"]) == ("connected", True, 0)
        assert (await api.post(f"{path}/end"))["reason"] == "stopped"
        await api.get(path, 404)


async def test_another_agent_takes_over(autojump_clock: MockClock) -> None:
    async with open_api(make_spec(), make_spec(name="Clerk")) as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}"
        assert await api.post(f"{path}/transfer", {"agent": "Clerk"}) == {}
        await owner.receive_until("realtime_handoff")
        await owner.send("text", text="Hello!")
        end = await owner.receive_until("realtime_agent_end")
        assert (end.data["agent"], end.data["output"]) == ("Clerk", "You said: Hello!")
        for body in ({}, {"agent": "Nobody"}, {"agent": 5}, {"name": "Clerk"}):
            error = await api.post(f"{path}/transfer", body, 400)
            assert error["error"]["code"] == "invalid_request"


async def test_the_backend_runs_a_tool(autojump_clock: MockClock) -> None:
    responder = ScriptedResponder([Call("look_up", {"id": 7}), Say("It was shipped.")])
    async with open_api(make_spec(client_tool("look_up")), responder=responder) as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}"
        await owner.send("text", text="Where is order 7?")
        required = await owner.receive_until("tool_result_required")
        result = {"call_id": required.data["call_id"], "output": "shipped"}
        for wrong in ({}, {"call_id": "a"}, {**result, "output": 5}, {**result, "is_error": 1}):
            await api.post(f"{path}/tool_result", wrong, 400)
        assert await api.post(f"{path}/tool_result", result) == {"was_waiting": True}
        assert await api.post(f"{path}/tool_result", result) == {"was_waiting": False}
        end = await owner.receive_until("realtime_tool_end")
        assert end.data["output"] == "shipped"


async def test_the_agent_says_a_text(autojump_clock: MockClock) -> None:
    text = "The shop closes in five minutes."
    asked: list[str] = []

    class Speaker:
        """A model that says what it is asked to say."""

        def respond(self, turn: Turn) -> Sequence[Step]:
            asked.append(turn.instructions)
            return [Say(text)]

    async with open_api(responder=Speaker()) as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}"
        assert await api.post(f"{path}/say", {"text": text}) == {}
        end = await owner.receive_until("realtime_agent_end")
        assert end.data["output"] == text
        [instructions] = asked
        assert instructions.endswith(text)
        for body in ({}, {"text": " "}, {"text": 5}, {"text": text, "respond": True}):
            error = await api.post(f"{path}/say", body, 400)
            assert error["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "the body must be a JSON object"),
        ("{", "the body is not valid JSON"),
        ('{"agnet": "x"}', "unknown key 'agnet'"),
        ('{"agent": 5}', "agent must be a string"),
        ('{"agent": "nobody"}', "there is no agent 'nobody': there is Assistant"),
        ('{"agent": "assistant"}', "there is no agent 'assistant': did you mean Assistant?"),
        ('{"variables": []}', "variables must be a JSON object"),
        ('{"session_id": "sess_unknown"}', "there is no session 'sess_unknown' to continue"),
        ("[" * 100_000, "the body is not valid JSON"),
    ],
)
async def test_a_wrong_request_is_refused_and_takes_no_place(
    body: str, message: str, autojump_clock: MockClock
) -> None:
    async with open_api() as api:
        response = await api.http.post("/v1/sessions", content=body, headers=ACME)
        assert response.status_code == 400
        assert message in response.json()["error"]["message"]
        assert api.gateway.admission.running == 0


# httpx2 leaves the generator of a body that the application does not read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_large_body_is_refused(autojump_clock: MockClock) -> None:
    async with open_api() as api:
        response = await api.http.post("/v1/sessions", content=b" " * 300_000, headers=ACME)
        assert response.status_code == 413


async def test_sessions_above_a_limit_are_refused(autojump_clock: MockClock) -> None:
    admission = Admission(max_sessions=2, tenants={"acme": TenantLimits(max_sessions=1)})
    async with open_api(admission=admission) as api:
        await api.post("/v1/sessions", {}, 201)
        refused = await api.http.post("/v1/sessions", headers=ACME)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert refused.json()["error"]["code"] == "tenant_full"
        await api.post("/v1/sessions", {}, 201, headers=OTHER)
        refused = await api.http.post("/v1/sessions", headers=OTHER)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_full")
        await trio.sleep(61)  # nobody attached
        await api.post("/v1/sessions", {}, 201)


async def test_calls_are_decided_by_http(autojump_clock: MockClock) -> None:
    @function_tool(needs_approval=True)
    async def pay(amount: int) -> str:
        """Pay an amount."""
        return "paid"

    async with open_api(make_spec(pay)) as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}"
        await api.post(f"{path}/message", {"text": "pay amount 5"})
        required = await owner.receive_until("realtime_tool_approval_required")
        decision = {"call_id": required.data["call_id"]}
        assert await api.post(f"{path}/approve", decision) == {"was_waiting": True}
        assert await api.post(f"{path}/reject", decision) == {"was_waiting": False}
        assert (await owner.receive_until("realtime_tool_end")).data["outcome"] == "completed"
        await api.post(f"{path}/approve", {"call_id": 5}, 400)
        await api.post(f"{path}/interrupt")


async def test_tokens_admit_observers(autojump_clock: MockClock) -> None:
    async with open_api() as api:
        owner = await api.call()
        session_id = owner.welcome["session_id"]
        created = await api.post(f"/v1/sessions/{session_id}/tokens", {}, 201)
        assert created["role"] == "observer"
        await api.under_test.attach(session_id, created["token"], role="observer")
        assert (await api.get(f"/v1/sessions/{session_id}"))["live"]["observers"] == 1
        await api.post(f"/v1/sessions/{session_id}/tokens", {"role": "king"}, 400)


async def test_a_page_of_a_foreign_origin_creates_nothing_without_a_key(
    autojump_clock: MockClock,
) -> None:
    """A browser sends such a request, and only hides the response from the page."""
    async with open_test_gateway() as under_test:
        app = create_app(under_test.gateway, keys=TenantKeys({}, allow_anonymous=True))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            for origin in ("https://evil.example", "null", "http://gateway.evil.example"):
                response = await http.post("/v1/sessions", headers={"Origin": origin})
                assert (response.status_code, response.json()["error"]["code"]) == (
                    403,
                    "forbidden",
                )
            assert under_test.gateway.sessions == {}
            for headers in ({}, {"Origin": "http://gateway"}):
                response = await http.post("/v1/sessions", headers=headers)
                assert response.status_code == 201


async def test_an_owner_that_cannot_come_back_is_not_replaced(autojump_clock: MockClock) -> None:
    async with open_api() as api, trio.open_nursery() as nursery:
        client = dial(api.under_test, nursery)
        await client.receive_until("session.created")
        [session_id] = api.gateway.sessions
        path = f"/v1/sessions/{session_id}/tokens"
        refused = await api.post(path, {"role": "owner"}, 409)
        assert refused["error"]["code"] == "conflict"
        observer = (await api.post(path, {"role": "observer"}, 201))["token"]
        await api.under_test.attach(session_id, observer, role="observer")
        client.socket.disconnect()


# --- history ------------------------------------------------------------------------------------


async def read_stored(api: Api, session_id: str) -> Any:
    """Return a stored session. A request sees what has happened before it."""
    return await api.get(f"/v1/sessions/{session_id}")


async def test_an_ended_session_is_read_from_the_history(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history, recordings=tmp_path / "recordings")) as api,
    ):
        owner = await api.call(metadata={"order": 7})
        session_id = owner.welcome["session_id"]
        path = f"/v1/sessions/{session_id}"
        await owner.send("text", text="Hello!")
        await owner.receive_until("realtime_agent_end")
        response = await api.http.delete(path, headers=ACME)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "conflict")
        await owner.send("end")
        await owner.receive_all()

        stored = await read_stored(api, session_id)
        assert "live" not in stored
        assert stored["tenant"] == "acme"
        assert (stored["status"], stored["end_reason"]) == ("ended", "client_ended")
        assert stored["metadata"] == {"order": 7}
        assert stored["transcript"] == "User: Hello!\nAgent: You said: Hello!"
        await api.get(path, 404, headers=OTHER)

        events = (await api.get(f"{path}/events"))["events"]
        seqs = [event["seq"] for event in events]
        assert seqs == sorted(set(seqs))
        later = (await api.get(f"{path}/events?after={seqs[3]}&limit=2"))["events"]
        assert [event["seq"] for event in later] == seqs[4:6]
        assert len((await api.get("/v1/sessions?status=ended"))["sessions"]) == 1
        assert (await api.get("/v1/sessions?status=failed"))["sessions"] == []
        refused = await api.get("/v1/sessions?status=finished", 400)
        assert "created, running, ended, failed, interrupted" in refused["error"]["message"]
        await api.get(f"{path}/events?limit=0", 400)
        await api.get(f"{path}/events?after=x", 400)
        await api.get(f"{path}/events", 404, headers=OTHER)

        recording = await api.http.get(f"{path}/recording", headers=ACME)
        assert recording.headers["content-type"] == "audio/wav"
        assert recording.content[:4] == b"RIFF"
        assert (await api.http.get(f"{path}/recording", headers=OTHER)).status_code == 404

        [listed] = (await api.get("/v1/sessions"))["sessions"]
        assert listed["id"] == session_id
        assert (await api.get("/v1/sessions", headers=OTHER))["sessions"] == []

        assert (await api.http.delete(path, headers=OTHER)).status_code == 404
        assert (await api.http.delete(path, headers=ACME)).status_code == 204
        await api.get(path, 404)
        assert list((tmp_path / "recordings").rglob("*.wav")) == []


async def test_a_session_is_continued_with_its_numbers(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        first = await api.call()
        session_id = first.welcome["session_id"]
        running = await api.http.post("/v1/sessions", json={"session_id": session_id}, headers=ACME)
        assert "runs already" in running.json()["error"]["message"]
        await first.send("end")
        await first.receive_all()
        await read_stored(api, session_id)

        stolen = await api.http.post("/v1/sessions", json={"session_id": session_id}, headers=OTHER)
        assert stolen.status_code == 400
        second = await api.call(session_id=session_id)
        assert second.welcome["session_id"] == session_id
        assert second.welcome["run_id"] != first.welcome["run_id"]
        assert min(second.seqs) > first.last_seq
        await second.send("end")
        await second.receive_all()
        stored = await read_stored(api, session_id)
        assert [run["run_id"] for run in stored["runs"]] == [
            first.welcome["run_id"],
            second.welcome["run_id"],
        ]


async def read_stream(api: Api, path: str, **headers: str) -> tuple[int, list[int], str]:
    """Return the status of a stream of events that ends, the numbers of its events, and its text."""
    response = await api.http.get(
        path, headers={**ACME, "Accept": "text/event-stream", **headers}, timeout=None
    )
    ids = [line.removeprefix("id: ") for line in response.text.splitlines() if "id: " in line[:4]]
    return response.status_code, [int(seq) for seq in ids], response.text


async def test_the_events_of_a_running_session_are_a_stream(autojump_clock: MockClock) -> None:
    async with open_api() as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}/events"
        streams: dict[str, tuple[int, list[int], str]] = {}

        async def read(name: str, path: str, **headers: str) -> None:
            streams[name] = await read_stream(api, path, **headers)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, "all", path)
            nursery.start_soon(read, "after", f"{path}?after=2")
            nursery.start_soon(partial(read, "resumed", path, **{"Last-Event-ID": "3"}))
            await wait_all_tasks_blocked()
            await owner.send("end")
        status, ids, text = streams["all"]
        assert (status, ids) == (200, list(range(1, ids[-1] + 1)))
        assert "event: run_started\n" in text
        assert "event: run_ended\n" in text
        assert streams["after"][1] == ids[2:]
        assert streams["resumed"][1] == ids[3:]
        assert (await read_stream(api, path))[0] == 404


@pytest.mark.parametrize("last", ["9" * 5000, "9" * 18, "-1", "x", "\u0661", ""])
async def test_a_stream_of_events_from_a_number_that_is_none(
    last: str, autojump_clock: MockClock
) -> None:
    async with open_api() as api:
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}/events"
        response = await api.http.get(
            path,
            headers=[
                *((name.encode(), value.encode()) for name, value in ACME.items()),
                (b"accept", b"text/event-stream"),
                (b"last-event-id", last.encode()),
            ],
        )
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


async def test_a_session_that_ends_while_it_is_read_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        owner = await api.call()
        session = api.gateway.find(owner.welcome["session_id"]).session
        get_session = HistoryStore.get_session

        async def end_first(store: HistoryStore, *arguments: Any, **options: Any) -> Any:
            await session.stop()
            return await get_session(store, *arguments, **options)

        monkeypatch.setattr(HistoryStore, "get_session", end_first)
        stored = await api.get(f"/v1/sessions/{session.session_id}")
        assert stored["id"] == session.session_id
        assert "live" not in stored


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/sessions/%00", None, 404),
        ("DELETE", "/v1/sessions/%00", None, 404),
        ("GET", "/v1/sessions/%00/events", None, 404),
        ("GET", "/v1/sessions/%00/recording", None, 404),
        ("POST", "/v1/sessions/%00/tokens", None, 404),
        ("GET", "/v1/sessions?agent=%00", None, 400),
        ("GET", "/v1/sessions?status=%00", None, 400),
        ("POST", "/v1/sessions", {"session_id": "\0"}, 400),
    ],
)
async def test_no_database_is_asked_for_a_name_with_nul(
    method: str, path: str, body: Any, status: int, database_url: str
) -> None:
    async with (
        open_history_store(database_url) as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        response = await api.http.request(method, path, json=body, headers=ACME)
        assert response.status_code == status


async def test_an_error_of_the_database_is_not_shown_to_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_arguments: Any, **_options: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise HistoryStoreError("postgresql://db.internal/voice: connection refused")

    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        monkeypatch.setattr(HistoryStore, "list_sessions", fail)
        error = (await api.get("/v1/sessions", 502))["error"]
        assert error["code"] == "service_failed"
        assert "db.internal" not in error["message"]
        assert "db.internal" in caplog.text


async def test_a_session_that_is_deleted_cannot_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        owner = await api.call()
        session_id = owner.welcome["session_id"]
        await owner.send("end")
        await owner.receive_all()
        delete_session = HistoryStore.delete_session
        statuses: list[int] = []

        async def continue_first(store: HistoryStore, id_: str) -> Any:
            response = await api.http.post(
                "/v1/sessions", json={"session_id": session_id}, headers=ACME
            )
            statuses.append(response.status_code)
            return await delete_session(store, id_)

        monkeypatch.setattr(HistoryStore, "delete_session", continue_first)
        deleted = await api.http.delete(f"/v1/sessions/{session_id}", headers=ACME)
        assert (deleted.status_code, statuses) == (204, [400])
        assert api.gateway.admission.running == 0


async def test_another_tenant_cannot_find_out_that_a_session_runs(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        owner = await api.call()
        messages = [
            (await api.post("/v1/sessions", {"session_id": id_}, 400, headers=OTHER))["error"]
            for id_ in (owner.welcome["session_id"], "sess_unknown")
        ]
        first, second = (error["message"].partition("'")[0] for error in messages)
        assert first == second == "there is no session "


async def request_of(api: Api, *messages: Any) -> list[Any]:
    """Let the application answer a POST that receives these messages, and then nothing. Return what it sends."""
    waiting, sent = list(messages), list[Any]()

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        return waiting.pop(0) if waiting else await trio.sleep_forever()

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in ACME.items()]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/sessions"}
    scope |= {"headers": headers, "query_string": b"", "root_path": ""}
    await create_app(api.gateway, keys=KEYS)(scope, receive, send)
    return sent


PART = {"type": "http.request", "body": b"{", "more_body": True}


async def test_a_client_that_disconnects_during_its_request_is_no_error(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_api() as api:
        await request_of(api, PART, {"type": "http.disconnect"})
        assert caplog.records == []
        assert api.gateway.admission.running == 0


async def test_a_body_that_does_not_arrive_is_not_awaited_for_ever(
    autojump_clock: MockClock,
) -> None:
    async with open_api() as api:
        with trio.fail_after(60):
            start, _ = await request_of(api, PART)
        assert start["status"] == 408


# --- the server ---------------------------------------------------------------------------------


async def test_health_and_readiness(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        assert await api.get("/healthz") == {"status": "ok"}
        assert await api.get("/readyz") == {"status": "ready", "problems": []}
        api.gateway.admission.drain()
        assert (await api.get("/readyz", 503))["problems"] == ["the server is shutting down"]
        assert await api.get("/healthz") == {"status": "ok"}
        refused = await api.post("/v1/sessions", {}, 503)
        assert refused["error"]["code"] == "draining"


async def test_metrics_count_what_happened(autojump_clock: MockClock) -> None:
    config = SessionConfig(turn_detection=None)
    async with open_api(make_spec(config=config)) as api:
        owner = await api.call()
        await owner.send("text", text="Hello!")
        await owner.receive_until("realtime_agent_end")
        text = (await api.http.get("/metrics")).text
        assert 'trio_realtime_sessions_started_total{agent="Assistant"} 1.0' in text
        assert "trio_realtime_sessions_running 1.0" in text
        assert 'trio_realtime_clients_attached{role="owner"} 1.0' in text
        assert 'trio_realtime_agent_turns_total{status="completed"} 1.0' in text
        await owner.send("end")
        await owner.receive_all()
        text = (await api.http.get("/metrics")).text
        ended = 'trio_realtime_sessions_ended_total{by="client",reason="client_ended"} 1.0'
        assert ended in text
        assert "trio_realtime_sessions_running 0.0" in text


async def test_the_schemas_are_served(autojump_clock: MockClock) -> None:
    async with open_api() as api:
        schema = await api.get("/v1/events.schema.json", headers={})
        jsonschema.Draft202012Validator.check_schema(schema)
        assert (await api.get("/v1/asyncapi.json", headers={}))["asyncapi"] == "3.0.0"


async def test_a_bug_of_the_server_is_an_internal_error(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_api() as api:

        def crash(*_: Any, **__: Any) -> None:
            raise RuntimeError("secret details")

        monkeypatch.setattr(type(api.gateway), "create_session", crash)
        response = await api.http.post("/v1/sessions", headers=ACME)
        assert (response.status_code, response.json()) == (
            500,
            {"error": {"code": "internal_error", "message": "the server failed"}},
        )
        assert "secret details" in caplog.text
        assert await api.get("/healthz") == {"status": "ok"}


async def test_a_recording_in_an_object_storage_is_served(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(
            stores=SessionStores(
                history=history,
                recordings=tmp_path / "recordings",
                objects=open_object_storage("memory://"),
            )
        ) as api,
    ):
        owner = await api.call()
        path = f"/v1/sessions/{owner.welcome['session_id']}"
        await owner.socket.to_server.send(bytes(4800))
        await owner.send("end")
        await owner.receive_all()
        await read_stored(api, owner.welcome["session_id"])
        recording = await api.http.get(f"{path}/recording", headers=ACME)
        assert (recording.status_code, recording.content[:4]) == (200, b"RIFF")
        assert list((tmp_path / "recordings").rglob("*")) == []
        assert (await api.http.delete(path, headers=ACME)).status_code == 204
        assert (await api.http.get(f"{path}/recording", headers=ACME)).status_code == 404


def wav_files(directory: Path) -> list[Path]:
    return list(directory.rglob("*.wav"))


async def test_a_continued_session_knows_what_was_said(tmp_path: Path) -> None:
    async with (
        open_history_store(tmp_path / "history.db") as history,
        open_api(stores=SessionStores(history=history)) as api,
    ):
        first = await api.call()
        session_id = first.welcome["session_id"]
        await first.send("text", text="My name is Ada.")
        await first.receive_until("realtime_agent_end")
        await first.send("end")
        await first.receive_all()
        await read_stored(api, session_id)
        second = await api.call(session_id=session_id)
        session = api.gateway.find(session_id).session.session
        assert [item_text(item) for item in session.history] == [
            "My name is Ada.",
            "You said: My name is Ada.",
        ]
        await second.send("end")
        await second.receive_all()
        stored = await read_stored(api, session_id)
        assert stored["transcript"] == "User: My name is Ada.\nAgent: You said: My name is Ada."


async def test_a_variable_that_the_client_has_not_sent_is_its_error(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    spec = AgentSpec(
        name="Strict", realtime_mode=True, instructions="Greet {{ name }}.", strict_variables=True
    )
    async with open_api(spec) as api:
        refused = await api.post("/v1/sessions", {}, 400)
        assert "'name' is undefined" in refused["error"]["message"]
        assert caplog.records == []
        await api.post("/v1/sessions", {"variables": {"name": "Ada"}}, 201)


async def test_a_wrong_configuration_is_not_shown_to_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = AgentSpec(name="Broken", realtime_mode=True, tools=["no_such_module:tool"])
    async with open_api(spec) as api:
        response = await api.http.post("/v1/sessions", headers=ACME)
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "misconfigured"
        assert "no_such_module" not in response.text
        assert "no_such_module" in caplog.text
