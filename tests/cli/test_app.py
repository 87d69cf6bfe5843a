"""The command line, run in a child process with real pipes, signals and sockets."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import ssl
import subprocess
import sys
import termios
import wave
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio

import trio_realtime
from trio_realtime import Endpoint, RealtimeAgent, SessionConfig, open_realtime_session
from trio_realtime.audio import read_wav
from trio_realtime.cli import wav
from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.errors import ConnectionLost
from trio_realtime.local import Say, ScriptedResponder, serve_local
from trio_realtime.transports import ConnectOptions, connect_trio_websocket

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-W", "error", "-m", "trio_realtime.cli")
SPEECH = Path(wav.__file__).with_name("speech.wav")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("OPENAI_", "AZURE_", "TRIO_REALTIME_", "PYTHONUNBUFFERED"))
} | {"COLUMNS": "100", "NO_COLOR": "1"}
NO_SERVICE = "trio-realtime: no service is configured; using the local server (see --help)\n"


class Outcome:
    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()


async def run(*arguments: str | Path, stdin: str = "", cwd: Path | None = None) -> Outcome:
    with trio.fail_after(40):
        return Outcome(
            await trio.run_process(
                [*COMMAND, *map(str, arguments)],
                stdin=stdin.encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=ENVIRONMENT,
                cwd=cwd,
            )
        )


@asynccontextmanager
async def running(
    *arguments: str | Path,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    controls_terminal: bool = False,
) -> AsyncGenerator[Any]:
    """Run the command in the background and kill it at the end of the block."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=controls_terminal,
        preexec_fn=partial(fcntl.ioctl, stdin, termios.TIOCSCTTY, 0) if controls_terminal else None,
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> str:
    seen = b""
    with trio.fail_after(20):
        while end not in seen:
            more = await stream.receive_some(4096)
            assert more, f"the stream ended after {seen!r}"
            seen += more
    return seen.decode()


async def read_all(stream: trio.abc.ReceiveStream) -> str:
    return b"".join([piece async for piece in stream]).decode()


async def stop(process: trio.Process, number: signal.Signals) -> int:
    process.send_signal(number)
    return await status_of(process)


async def status_of(process: trio.Process) -> int:
    with trio.fail_after(5):
        return await process.wait()


def samples_of(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the samples of a WAV file, which must be 16-bit mono at 24 kHz."""
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 24_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def loudness(samples: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


# --- demo ----------------------------------------------------------------------------------------


async def test_demo_meets_every_guarantee(tmp_path: Path) -> None:
    reply = tmp_path / "reply.wav"
    started = trio.current_time()
    done = await run("demo", "--json", "--voice", "tone", "--output", reply)
    assert trio.current_time() - started < 30
    assert (done.status, done.err) == (0, "")
    assert done.out.count("\n") == 1
    report = json.loads(done.out)
    assert report["ok"] is True
    assert report["errors"] == []
    assert report["leftover_tasks"] == 0
    assert [turn["kind"] for turn in report["turns"]] == [
        "text",
        "tool",
        "speech",
        "barge_in",
        "speech",
    ]
    assert [turn["status"] for turn in report["turns"]] == [
        "completed",
        "completed",
        "completed",
        "cancelled",
        "completed",
    ]
    # The sentence lasts 2.1 s, and the voice activity detection of the server measured as much.
    assert report["turns"][2]["text"].startswith("I heard 2.")
    calls = {call["name"]: call for call in report["tool_calls"]}
    assert calls["get_weather"]["outcome"] == "completed"
    assert calls["search_archive"]["outcome"] == "cancelled"
    assert all(call["outputs_sent"] == 1 for call in calls.values())
    interrupted = report["interrupted"]
    assert set(interrupted) == {"item_id", "truncated_at_ms", "heard_ms", "stale_audio_events"}
    assert interrupted["stale_audio_events"] == 0
    assert interrupted["truncated_at_ms"] == interrupted["heard_ms"]
    assert 1000 <= interrupted["heard_ms"] < report["turns"][3]["audio_ms"]

    assert report["reply_wav"] == str(reply)
    samples = samples_of(reply)
    heard = sum(turn["audio_ms"] for turn in report["turns"] if turn["kind"] != "barge_in")
    assert (
        heard + interrupted["heard_ms"]
        <= len(samples) / 24
        <= heard + interrupted["heard_ms"] + 1000
    )
    assert loudness(samples) > 1000


async def test_demo_says_what_happens_and_what_to_do_next(tmp_path: Path) -> None:
    done = await run("demo", "--output", tmp_path / "reply.wav")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("A call with a voice agent")
    assert done.out.count("✓") == 7
    assert "✗" not in done.out
    assert "all checks passed" in done.out
    assert "python -m trio_realtime.cli chat --local" in done.out


async def test_ctrl_c_ends_a_demo_without_a_report(tmp_path: Path) -> None:
    async with running("demo", "--output", tmp_path / "reply.wav") as process:
        await read_until(process.stdout, b"get_weather")
        assert await stop(process, signal.SIGINT) == 130
        assert "all checks passed" not in await read_all(process.stdout)
        assert await read_all(process.stderr) == ""
    assert not (tmp_path / "reply.wav").exists()


async def test_demo_checks_first_that_it_can_write_its_recording(
    tmp_path: Path,
) -> None:
    done = await run("demo", "--output", tmp_path / "missing" / "reply.wav")
    assert (done.status, done.out) == (2, "")
    assert "there is no directory" in done.err


# --- chat ----------------------------------------------------------------------------------------


async def test_chat_answers_lines_from_a_pipe_and_shows_tool_calls() -> None:
    done = await run("chat", "--local", stdin="Hello\n\nWhat is the weather in Oslo?\nGrüße")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Assistant: You said: Hello",
        '[get_weather {"city":"Oslo"}]',
        "[get_weather: completed: It is sunny in Oslo, 25 degrees.]",
        "Assistant: It is sunny in Oslo, 25 degrees.",
        "Assistant: You said: Grüße",
    ]


async def test_chat_uses_the_local_server_by_default_and_says_so_and_quits() -> None:
    done = await run("chat", stdin="Hello\n/quit\nnever said\n")
    assert (done.status, done.err) == (0, NO_SERVICE)
    assert done.out == "Assistant: You said: Hello\n"


async def test_chat_uses_the_agent_of_the_option(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(
        "from trio_realtime import RealtimeAgent, function_tool\n"
        "@function_tool\n"
        "def roll_dice() -> str:\n"
        "    return 'a six'\n"
        "clerk = RealtimeAgent(name='Clerk', tools=[roll_dice])\n"
    )
    done = await run(
        "chat", "--local", "--agent", "my_agents:clerk", stdin="roll the dice\n", cwd=tmp_path
    )
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "Clerk: a six"


async def test_ctrl_c_interrupts_an_answer_then_quits() -> None:
    # At this pace the answer takes minutes.
    story = Say("once upon a time " * 200)
    async with (
        serve_local(responder=ScriptedResponder([story, story]), pacing=1.0) as server,
        running("chat", "--url", server.url) as process,
    ):
        await process.stdin.send_all(b"Tell me a story\nAnother one\n")
        await read_until(process.stdout, b"Assistant: once upon")
        process.send_signal(signal.SIGINT)
        await read_until(process.stdout, b"[interrupted]\nAssistant: once upon")
        assert await stop(process, signal.SIGTERM) == 128 + signal.SIGTERM
        assert await read_all(process.stderr) == ""
        with trio.fail_after(2):
            await server.connections[0].ended.wait()


class TerminalWindow:
    """The user's side of a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = ""

    async def read_until(self, end: str) -> str:
        """Return what was printed up to ``end``. The next call continues after it."""
        with trio.fail_after(20):
            while end not in self._unread:
                await trio.lowlevel.wait_readable(self._descriptor)
                self._unread += os.read(self._descriptor, 4096).decode()
        before, _, self._unread = self._unread.partition(end)
        return before + end

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    @property
    def edits_and_echoes(self) -> bool:
        """Whether the terminal is in its usual mode."""
        flags = termios.ECHO | termios.ICANON
        return bool(termios.tcgetattr(self._descriptor)[3] & flags == flags)


@asynccontextmanager
async def in_terminal(*arguments: str) -> AsyncGenerator[tuple[Any, TerminalWindow]]:
    """Run the command in a pseudo-terminal, as the process group that gets its Ctrl-C."""
    terminal, process_end = pty.openpty()
    try:
        async with running(
            *arguments, stdin=process_end, stdout=process_end, controls_terminal=True
        ) as process:
            yield process, TerminalWindow(terminal)
    finally:
        os.close(terminal)
        os.close(process_end)


CTRL_C, CTRL_D, LEFT = "\x03", "\x04", "\x1b[D"


async def test_a_line_is_edited_at_a_terminal_and_ctrl_d_quits() -> None:
    async with in_terminal("chat", "--local") as (process, window):
        assert "/help lists the commands, Ctrl-D quits" in await window.read_until("you>")
        window.type(f"helo{LEFT}l\r")
        await window.read_until("You said: hello")
        await window.read_until("you>")
        window.type("/tools\r")
        await window.read_until("get_weather: ")
        await window.read_until("you>")
        window.type(CTRL_D)
        assert await status_of(process) == 0
        assert await read_all(process.stderr) == ""


async def test_ctrl_c_at_a_terminal_interrupts_an_answer_and_quits_at_the_prompt() -> None:
    responder = ScriptedResponder([Say("once upon a time " * 200)])
    async with (
        serve_local(responder=responder, pacing=1.0) as server,
        in_terminal("chat", "--url", server.url) as (process, window),
    ):
        await window.read_until("you>")
        window.type("Tell me a story\r")
        await window.read_until("once upon a")
        window.type(CTRL_C)
        await window.read_until("[interrupted]")
        await window.read_until("you>")
        window.type(CTRL_C)
        assert await status_of(process) == 130
        assert await read_all(process.stderr) == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_at_the_prompt_restores_the_terminal(number: signal.Signals) -> None:
    async with in_terminal("chat", "--local") as (process, window):
        await window.read_until("you>")
        window.type("half a li")
        await window.read_until("half a li")
        assert not window.edits_and_echoes
        assert await stop(process, number) == 128 + number
        assert await read_all(process.stderr) == ""
        assert window.edits_and_echoes


async def test_lines_of_a_pipe_approve_a_call_and_its_end_rejects_one(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(
        "from trio_realtime import RealtimeAgent, function_tool\n"
        "@function_tool(needs_approval=True)\n"
        "async def open_vault() -> str:\n"
        "    return 'it is open'\n"
        "clerk = RealtimeAgent(name='Clerk', tools=[open_vault])\n"
    )
    done = await run(
        "chat",
        "--local",
        "--agent",
        "guarded:clerk",
        stdin="open the vault\ny\nopen the vault\n",
        cwd=tmp_path,
    )
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Allow open_vault {}? [y/n]",
        "[open_vault {}]",
        "[open_vault: completed: it is open]",
        "Clerk: it is open",
        "Allow open_vault {}? [y/n]",
        "[open_vault: rejected: Tool execution was not approved.]",
        "Clerk: Tool execution was not approved.",
    ]


async def test_chat_reports_a_failed_connection_in_one_line() -> None:
    async with running("chat", "--url", "ws://127.0.0.1:9/v1/realtime") as process:
        assert await status_of(process) == 2
        error = await read_all(process.stderr)
    assert error.startswith("trio-realtime: could not connect to 127.0.0.1:9")
    assert error.count("\n") == 1


async def test_chat_ends_when_the_service_ends_the_session_during_a_prompt() -> None:
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        urls: list[str] = []

        async def serve(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            with scope:
                async with serve_local() as server:
                    urls.append(server.url)
                    task_status.started()
                    await trio.sleep_forever()

        await nursery.start(serve)
        async with running("chat", "--url", urls[0]) as process:
            await process.stdin.send_all(b"Hello\n")
            await read_until(process.stdout, b"You said: Hello")
            scope.cancel()
            assert await status_of(process) == 2
            error = await read_all(process.stderr)
    *attempts, reason = error.splitlines()
    assert len(attempts) == 3
    assert all("; connecting again in " in line for line in attempts)
    assert "connecting again" not in reason
    assert all(line.startswith("trio-realtime: ") for line in (*attempts, reason))


# --- talk ----------------------------------------------------------------------------------------


async def test_talk_sends_speech_in_real_time_and_records_the_reply(tmp_path: Path) -> None:
    reply = tmp_path / "reply.wav"
    started = trio.current_time()
    done = await run("talk", "--local", SPEECH, "--output", reply)
    assert trio.current_time() - started > len(samples_of(SPEECH)) / 24_000
    assert (done.status, done.err) == (0, "")
    you, agent, wrote = done.out.splitlines()
    assert you.startswith("you: ")
    assert agent.startswith("Assistant: I heard 2.")
    samples = samples_of(reply)
    assert wrote == f"wrote {reply}: {len(samples) / 24_000:.1f} s of speech"
    # The local server speaks for 60 ms per character.
    assert len(samples) / 24 == pytest.approx(60 * len(agent.removeprefix("Assistant: ")))
    assert loudness(samples) > 1000


async def test_talk_accepts_stereo_at_another_rate_faster_than_real_time(tmp_path: Path) -> None:
    speech = samples_of(SPEECH)
    source = tmp_path / "stereo.wav"
    with wave.open(str(source), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", "not compressed"))
        file.writeframes(np.repeat(speech, 4).astype("<i2").tobytes())
    done = await run(
        "talk", "--local", "--no-realtime", "--input", source, "--output", tmp_path / "reply.wav"
    )
    assert (done.status, done.err) == (0, "")
    assert "\nAssistant: I heard 2." in done.out


async def test_talk_reads_and_writes_the_standard_streams() -> None:
    with trio.fail_after(40):
        done = await trio.run_process(
            [*COMMAND, "talk", "--local", "--no-realtime", "-", "--output", "-"],
            stdin=SPEECH.read_bytes(),
            capture_stdout=True,
            capture_stderr=True,
            env=ENVIRONMENT,
        )
    assert read_wav(io.BytesIO(done.stdout)).duration_ms > 1000
    assert b"\nAssistant: I heard 2." in done.stderr


async def test_talk_refuses_to_overwrite_without_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "reply.wav").write_bytes(b"old")
    done = await run("talk", "--local", SPEECH, cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "trio-realtime: reply.wav exists; overwrite it with --force, or name another --output\n"
    )
    assert (tmp_path / "reply.wav").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "No such file or directory"),
        (b"hello", "is not a WAV file"),
        (b"", "is not a WAV file"),
        (
            b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0",
            "contains no audio",
        ),
    ],
    ids=["missing", "text", "empty", "no audio"],
)
async def test_talk_reports_an_unusable_file_in_one_line(
    tmp_path: Path, content: bytes | None, line: str
) -> None:
    source = tmp_path / "source.wav"
    if content is not None:
        source.write_bytes(content)
    done = await run("talk", "--local", source, "--output", tmp_path / "reply.wav")
    assert (done.status, done.out) == (2, "")
    assert line in done.err
    assert str(source) in done.err
    assert done.err.count("\n") == 1


# --- serve ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_prints_its_url_and_shuts_down_cleanly(number: signal.Signals) -> None:
    async with running("serve", "--port", "0", "--pace", "unlimited") as process:
        url = await read_until(process.stdout, b"\n")
        assert url.startswith("ws://127.0.0.1:")
        assert url.endswith(f"/v1/realtime?model={DEFAULT_MODEL}\n")
        endpoint = Endpoint.compatible(url.strip(), api_key="any", model=DEFAULT_MODEL)
        with pytest.raises(ConnectionLost) as lost:
            async with open_realtime_session(
                RealtimeAgent(name="A"),
                endpoint=endpoint,
                config=SessionConfig(output_modalities=("text",), reconnect=None),
            ) as session:
                assert (await session.ask("Hello")).text == "You said: Hello"
                # A client is still connected.
                assert await stop(process, number) == 0
        assert lost.value.code == 1001
        assert await read_all(process.stdout) == ""
        assert await read_all(process.stderr) == ""


async def test_serve_accepts_only_the_given_keys() -> None:
    async with running("serve", "--port", "0", "--api-key", "one", "two") as process:
        url = (await read_until(process.stdout, b"\n")).strip()
        good = await run("chat", "--url", url, "--api-key", "two", stdin="Hello\n")
        assert (good.status, good.err) == (0, "")
        bad = await run("chat", "--url", url, "--api-key", "three", stdin="Hello\n")
        assert (bad.status, bad.out) == (2, "")
        assert "key" in bad.err
        assert bad.err.count("\n") == 1
        assert "three" not in bad.err


async def test_serve_accepts_a_client_that_names_no_model() -> None:
    async with running("serve", "--port", "0", "--model", "my-model") as process:
        url = (await read_until(process.stdout, b"\n")).strip()
        assert url.endswith("?model=my-model")
        options = ConnectOptions(url.partition("?")[0], (("Authorization", "Bearer any"),))
        async with connect_trio_websocket(options) as transport:
            created = json.loads(await transport.receive())
        assert created["session"]["model"] == "my-model"


async def test_serve_speaks_tls(repository: Path) -> None:
    certificate = repository / "tests" / "transports" / "localhost.pem"
    arguments = ("serve", "--host", "localhost", "--port", "0", "--certfile", certificate)
    async with running(*arguments) as process:
        url = (await read_until(process.stdout, b"\n")).strip()
        assert url.startswith("wss://localhost:")
        options = ConnectOptions(
            url,
            (("Authorization", "Bearer any"),),
            ssl_context=ssl.create_default_context(cafile=str(certificate)),
        )
        async with connect_trio_websocket(options) as transport:
            assert json.loads(await transport.receive())["type"] == "session.created"


@pytest.mark.parametrize("keys", [(), ("--api-key", "one")])
async def test_serve_warns_if_others_can_use_it_without_a_key(keys: Sequence[str]) -> None:
    async with running("serve", "--host", "0.0.0.0", "--port", "0", *keys) as process:
        url = await read_until(process.stdout, b"\n")
        assert url.startswith("ws://127.0.0.1:")
        if not keys:
            warning = await read_until(process.stderr, b"\n")
            assert "warning: anyone who can reach port" in warning
            assert "--api-key" in warning
        assert await stop(process, signal.SIGTERM) == 0
        assert await read_all(process.stderr) == ""


async def test_serve_reports_a_port_in_use_in_one_line() -> None:
    async with serve_local() as server:
        done = await run("serve", "--port", str(server.port))
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert f"port {server.port}" in done.err
    assert "--port" in done.err


# --- doctor --------------------------------------------------------------------------------------


async def test_doctor_tests_the_local_server_if_no_service_is_configured() -> None:
    done = await run("doctor")
    assert (done.status, done.err) == (0, "")
    assert "The local server works." in done.out


async def test_doctor_fails_if_a_step_fails_unless_it_is_offline() -> None:
    arguments = ("doctor", "--url", "ws://127.0.0.1:9", "--json")
    done = await run(*arguments)
    assert (done.status, done.err) == (1, "")
    assert json.loads(done.out)["problem"]["step"] == "tcp"
    done = await run(*arguments, "--offline")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["connection"] is None


async def test_doctor_reports_invalid_settings() -> None:
    done = await run("doctor", "--url", "ftp://user:secret@host")
    assert (done.status, done.err) == (1, "")
    assert "The step that failed: settings" in done.out
    assert "secret" not in done.out


# --- closed pipes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["demo"],
        ["chat", "--local"],
        ["talk", "--local", "--input", str(SPEECH)],
        ["serve", "--port", "0"],
        ["doctor"],
    ],
    ids=" ".join,
)
async def test_a_reader_that_ends_early_ends_the_command_quietly(
    arguments: Sequence[str], tmp_path: Path
) -> None:
    if arguments[0] in ("demo", "talk"):
        arguments = [*arguments, "--output", str(tmp_path / "reply.wav")]
    async with running(*arguments) as process:
        await process.stdout.aclose()
        if arguments[0] == "chat":
            await process.stdin.send_all(b"Hello\n")
        with trio.fail_after(40):
            assert await process.wait() == 141
        assert await read_all(process.stderr) == ""


# --- options -------------------------------------------------------------------------------------


async def test_version_and_help_need_no_service() -> None:
    assert (await run("--version")).out == f"{trio_realtime.__version__}\n"
    help_text = (await run("--help")).out
    names = ("demo", "chat", "talk", "serve", "doctor", "test", "migrate", "--debug")
    assert all(name in help_text for name in names)
    assert "--no-realtime" in (await run("talk", "--help")).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_is_installed_without_a_change_of_startup_files(
    shell: str, tmp_path: Path
) -> None:
    with trio.fail_after(40):
        done = await trio.run_process(
            [*COMMAND, "--install-completion", "--shell", shell],
            capture_stdout=True,
            env=ENVIRONMENT | {"HOME": str(tmp_path)},
        )
    scripts = [Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    assert len(scripts) == 1
    assert str(scripts[0]) in "".join(done.stdout.decode().split("\n"))
    assert "trio-realtime" in scripts[0].read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bogus"], 'Unknown command "bogus"'),
        (["talk", "--loud"], "Unknown option: --loud"),
        (["chat", "--loud"], "--loud"),
        (["chat", "--local", "--url", "ws://localhost"], "contradict each other"),
        (["chat", "--url", "ftp://localhost"], "the URL must begin with"),
        (["chat", "--url", "ws://localhost", "--proxy", "ftp://h"], "proxy= names a proxy of"),
        (["chat", "--url", "ws://localhost", "--ca-file", "no.pem"], "ca_file cannot be read: no."),
        (["chat", "--url", "ws://localhost", "--dialect", "old"], "--dialect"),
        (["chat", "--agent", "clerk"], "--agent must be module:name"),
        (["chat", "--agent", "no_such_module:x"], "No module named 'no_such_module'"),
        (["chat", "--agent", "trio_realtime:Endpoint"], "no RealtimeAgent named 'Endpoint'"),
        (["serve", "--pace", "quick"], "--pace must be a number"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--certfile", "nowhere.pem"], "--certfile nowhere.pem: No such file"),
        (["serve", "--keyfile", "some.key"], "--keyfile needs --certfile"),
        (["serve", "--dialect", "voice_live"], "--dialect"),
        (["talk", "--input", "x.wav", "--timeout", "0"], "--timeout"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_invalid_options_are_reported_in_one_line(
    arguments: Sequence[str], line: str
) -> None:
    done = await run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert line in done.err
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err


async def test_debug_also_shows_the_traceback() -> None:
    done = await run("chat", "--debug", "--agent", "no_such_module:x")
    assert done.status == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("trio-realtime: --agent: cannot import")


async def test_chat_does_not_send_a_key_of_the_environment_to_a_url() -> None:
    async with serve_local() as server:
        with trio.fail_after(20):
            await trio.run_process(
                [*COMMAND, "chat", "--url", server.url],
                stdin=b"Hello\n",
                capture_stdout=True,
                env=ENVIRONMENT | {"OPENAI_API_KEY": "sk-secret"},
            )
        assert server.connections[0].request.api_key == "local"
