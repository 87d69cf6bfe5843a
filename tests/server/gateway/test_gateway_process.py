"""The gateway as a process: signals, crashes, and clients on real sockets."""

from __future__ import annotations

import io
import signal
import sqlite3
import stat
import wave
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected

from support.gateway import GatewayClient
from support.gateway_process import AGENTS, call, dial, gateway_process, write_config
from support.openai_gateway import speech_frames
from trio_realtime.server.store.journal import StoredEvents

pytestmark = pytest.mark.slow


async def test_it_starts_without_a_key_on_the_local_server() -> None:
    async with gateway_process() as gateway:
        async with call(gateway) as client, gateway.http() as http:
            await client.send("text", text="Hello!")
            end = await client.receive_until("realtime_agent_end")
            assert end.data["output"] == "You said: Hello!"
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/")).status_code == 200
            metrics = (await http.get("/metrics")).text
            assert "trio_realtime_sessions_running 1.0" in metrics
            await client.send("end")
            await client.receive_all()
        gateway.signal(signal.SIGTERM)
        assert await gateway.wait() == 0
        assert "local server" in gateway.errors
        assert "Traceback" not in gateway.errors


async def test_a_signal_lets_the_call_end(tmp_path: Path) -> None:
    config = write_config(tmp_path, "drain_timeout = 100")
    async with gateway_process(config) as gateway:
        async with gateway.http() as http, call(gateway) as client:
            gateway.signal(signal.SIGTERM)
            while (ready := await http.get("/readyz")).status_code == 200:  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert ready.status_code == 503
            assert ready.json()["problems"] == ["the server is shutting down"]
            refused = await http.post("/v1/sessions", json={})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            await client.send("text", text="Still there?")
            end = await client.receive_until("realtime_agent_end")
            assert end.data["output"] == "You said: Still there?"
            await client.send("end")
            await client.receive_all()
            assert client.types[-1] == "run_ended"
        assert await gateway.wait() == 0
        assert "Traceback" not in gateway.errors


async def test_a_second_signal_ends_the_call(tmp_path: Path) -> None:
    config = write_config(tmp_path, "drain_timeout = 100")
    async with gateway_process(config) as gateway:
        async with gateway.http() as http, call(gateway) as client:
            gateway.signal(signal.SIGINT)
            while (await http.get("/readyz")).status_code == 200:  # noqa: ASYNC110
                await trio.sleep(0.01)
            gateway.signal(signal.SIGINT)
            await client.receive_all()
        assert await gateway.wait() == 0
        assert "Traceback" not in gateway.errors


async def test_the_drain_ends_calls_in_time(tmp_path: Path) -> None:
    config = write_config(tmp_path, "drain_timeout = 0")
    async with gateway_process(config) as gateway, call(gateway) as client:
        gateway.signal(signal.SIGTERM)
        await client.receive_all()
        assert client.types[-1] == "run_ended"
        assert client.events[-1].data["reason"] == "server_drain"
        assert await gateway.wait() == 0
        assert "Traceback" not in gateway.errors


async def test_pages_of_other_origins_are_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path, 'allowed_origins = ["https://app.example"]')
    async with gateway_process(config) as gateway:
        for path in ("/v1/sessions/sess_1/stream", "/v1/realtime?model=assistant"):
            with pytest.raises(ExceptionGroup) as info:
                async with dial(gateway, path, {"Origin": "https://evil.example"}):
                    pass
            [rejected] = info.value.exceptions
            assert isinstance(rejected, ConnectionRejected)
            assert rejected.status_code == 403
            assert b"pages of this origin may not use the gateway" in (rejected.body or b"")
            async with dial(gateway, path, {"Origin": "https://app.example"}):
                pass


async def test_a_wrong_key_of_the_openai_protocol_is_refused_as_by_the_service(
    tmp_path: Path,
) -> None:
    async with gateway_process(write_config(tmp_path)) as gateway:
        with pytest.raises(ExceptionGroup) as info:
            async with dial(gateway, "/v1/realtime", {"Authorization": "Bearer wrong"}):
                pass
        [rejected] = info.value.exceptions
        assert isinstance(rejected, ConnectionRejected)
        assert rejected.status_code == 401
        assert b"the key is not valid" in (rejected.body or b"")
        gateway.signal(signal.SIGTERM)
        assert await gateway.wait() == 0
        assert "Traceback" not in gateway.errors


async def test_a_page_whose_name_points_to_this_machine_is_refused() -> None:
    async with gateway_process() as gateway, gateway.http() as http:
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert (await http.post("/v1/sessions", headers=headers)).status_code == 403
        assert (await http.get("/v1/sessions", headers={"Host": "evil.example"})).status_code == 403
        with pytest.raises(ExceptionGroup) as info:
            async with dial(gateway, "/v1/realtime", {"Origin": "http://evil.example"}):
                pass
        assert info.group_contains(ConnectionRejected)
        assert (await http.post("/v1/sessions")).status_code == 201


async def test_a_message_that_is_too_large_closes_only_its_client(tmp_path: Path) -> None:
    config = write_config(tmp_path, "max_message_size = 2048\ngrace = 60")
    async with gateway_process(config) as gateway, call(gateway) as healthy:
        async with call(gateway) as client:
            await client.send("text", text="x" * 4096)
            with pytest.raises(ConnectionClosed) as info:
                while True:
                    await client.socket.at_client._socket.get_message()  # type: ignore[attr-defined]
            assert info.value.reason is not None
            assert info.value.reason.code == 1009
        await healthy.send("text", text="Hello!")
        await healthy.receive_until("realtime_agent_end")
        assert "Traceback" not in gateway.errors


# --- what cannot start --------------------------------------------------------------------------


async def failed_start(*options: str, config: Path | None = None, port: int = 0) -> str:
    """Start a gateway that cannot start. Return its error, which is one line."""
    async with gateway_process(config, *options, port=port) as gateway:
        assert gateway.url == ""
        assert await gateway.wait() not in (0, None)
        lines = [line for line in gateway.errors.splitlines() if "local server" not in line]
        assert len(lines) == 1, gateway.errors
        return lines[0]


async def test_a_port_that_is_in_use() -> None:
    async with gateway_process() as gateway:
        error = await failed_start(port=gateway.port)
        assert f"cannot listen on 127.0.0.1, port {gateway.port}: " in error
        assert "in use" in error
        assert "choose another --port" in error


async def test_a_host_that_is_not_of_this_machine(tmp_path: Path) -> None:
    config = write_config(tmp_path, "allow_anonymous = true")
    error = await failed_start("--host", "192.0.2.1", config=config)
    assert "choose another --host" in error


async def test_a_host_that_needs_keys() -> None:
    assert "nobody may use the gateway" in await failed_start("--host", "0.0.0.0")


async def test_a_configuration_that_cannot_work(tmp_path: Path) -> None:
    error = await failed_start(config=write_config(tmp_path, "grace = 0"))
    assert "gateway.toml: grace" in error


async def test_a_service_without_its_key(tmp_path: Path) -> None:
    text = '[service]\nazure_endpoint = "https://acme.openai.azure.com"'
    assert "AZURE_OPENAI_API_KEY" in await failed_start(config=write_config(tmp_path, text))


async def test_an_agent_whose_service_has_no_key(tmp_path: Path) -> None:
    azure = '\n[agents.other]\nrealtime_mode = true\n[agents.other.service]\nazure_endpoint = "https://acme.openai.azure.com"'
    local = '\n[agents.assistant.service]\nbase_url = "http://127.0.0.1:9/v1"'
    config = write_config(tmp_path, agents=f"{AGENTS}{local}{azure}")
    async with gateway_process(config) as gateway:
        assert gateway.url != ""
        gateway.signal(signal.SIGTERM)
        assert await gateway.wait() == 0
        assert "the agent other: no API key for acme.openai.azure.com" in gateway.errors


async def test_an_mcp_server_without_its_variable(tmp_path: Path) -> None:
    server = '[[agents.assistant.mcp_servers]]\nname = "files"\ncommand = "mcp-files"\n'
    agents = f'{AGENTS}{server}env_from = {{ TOKEN = "UNSET_TOKEN" }}'
    error = await failed_start(config=write_config(tmp_path, agents=agents))
    assert "agents.assistant.mcp_servers[0].env_from.TOKEN: set the environment variable" in error


async def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    text = '[storage]\ndatabase = "sqlite:///agents.toml"'
    assert "sqlite" in await failed_start(config=write_config(tmp_path, text))


async def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    config = write_config(tmp_path, 'certfile = "missing.pem"')
    assert "missing.pem" in await failed_start(config=config)


async def test_recordings_that_cannot_be_written(tmp_path: Path) -> None:
    text = '[storage]\nrecordings = "agents.toml/recordings"'
    error = await failed_start(config=write_config(tmp_path, text))
    assert f"recordings cannot be written to {tmp_path}/agents.toml/recordings" in error


async def test_the_directory_of_recordings_is_created(tmp_path: Path) -> None:
    config = write_config(tmp_path, '[storage]\nrecordings = "calls/recordings"')
    async with gateway_process(config) as gateway:
        assert gateway.url != ""
        assert stat.S_IMODE((tmp_path / "calls/recordings").stat().st_mode) == 0o700


# --- a crash ------------------------------------------------------------------------------------

STORAGE = """
[storage]
database = "sqlite:///history.db"
recordings = "recordings"
"""


async def receive(client: GatewayClient) -> None:
    await client.receive_all()


async def test_a_killed_process_leaves_its_calls_to_the_next_one(tmp_path: Path) -> None:
    config = write_config(tmp_path, STORAGE)
    seconds = 0.0
    async with gateway_process(config) as gateway:
        async with call(gateway) as client, trio.open_nursery() as nursery:
            session_id = client.welcome["session_id"]
            nursery.start_soon(receive, client)
            began = trio.current_time()
            for number, frame in enumerate(speech_frames(silence_ms=3000)):
                await trio.sleep_until(began + number * 0.02)
                await client.socket.to_server.send(frame)
            await wait_stored(tmp_path / "history.db", events=11)
            seconds = trio.current_time() - began
            gateway.signal(signal.SIGKILL)
        assert await gateway.wait() == -signal.SIGKILL
    assert "realtime_agent_end" in client.types
    async with gateway_process(config) as gateway, gateway.http() as http:
        session: Any = (await http.get(f"/v1/sessions/{session_id}")).json()
        assert session["status"] == "interrupted"
        assert "live" not in session
        stored: Any = (await http.get(f"/v1/sessions/{session_id}/events")).json()["events"]
        check_events(stored, client)
        response = await http.get(f"/v1/sessions/{session_id}/recording")
        assert response.headers["content-type"] == "audio/wav"
        with wave.open(io.BytesIO(response.content)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
            assert seconds - 2.5 <= file.getnframes() / file.getframerate() <= seconds + 1
            frames = file.readframes(file.getnframes())
        for offset in (0, 2):  # the user, and the agent
            track = b"".join(frames[at : at + 2] for at in range(offset, len(frames), 4))
            assert len({track[at : at + 2] for at in range(0, len(track), 2)}) > 100
        # The session may be continued.
        again = await http.post("/v1/sessions", json={"session_id": session_id})
        assert again.status_code == 201


async def wait_stored(database: Path, *, events: int) -> None:
    """Wait until a gateway has written events. Usually it has, but a disk can be slow."""

    def count() -> int:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            [[number]] = connection.execute("SELECT count(*) FROM events")
            return int(number)

    while await trio.to_thread.run_sync(count) < events:  # noqa: ASYNC110 - of another process
        await trio.sleep(0.1)


def check_events(stored: list[Any], client: GatewayClient) -> None:
    """Check that the history has all events that are to be stored, up to the last one that it has."""
    known = {event["seq"]: event["type"] for event in stored}
    assert len(known) == len(stored) > 10
    last = max(known)
    assert last >= client.last_seq - 60  # at most the last batch is missing
    for event in client.events:
        if event.seq <= last and StoredEvents().includes(event):
            assert known[event.seq] == event.type, event


async def test_two_crashes_in_a_row(tmp_path: Path) -> None:
    """A process that is killed while it recovers leaves everything to the next one."""
    config = write_config(tmp_path, STORAGE)
    ids: list[str] = []
    for _ in range(2):
        async with gateway_process(config) as gateway, call(gateway) as client:
            ids.append(client.welcome["session_id"])
            await client.send("text", text="Hello!")
            await client.receive_until("realtime_agent_end")
            await trio.sleep(1.5)  # until it is flushed
            gateway.signal(signal.SIGKILL)
            await gateway.wait()
    async with gateway_process(config) as gateway, gateway.http() as http:
        for session_id in ids:
            session = (await http.get(f"/v1/sessions/{session_id}")).json()
            assert session["status"] == "interrupted"
            recording = await http.get(f"/v1/sessions/{session_id}/recording")
            assert recording.status_code == 200
