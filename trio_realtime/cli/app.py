"""The command line: the commands and their options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from trio_realtime import ReconnectPolicy, SessionConfig, __version__
from trio_realtime.endpoints import DEFAULT_MODEL
from trio_realtime.wire import UNSET, ServerVad, Transcription

from .assistant import load_agent
from .endpoints import EndpointOptions
from .exit import (
    CLOSED_PIPE as CLOSED_PIPE,
    OK,
    USER_ERROR,
    print_message,
    report_error,
    run_until_signal,
    warnings_on_stderr,
)
from .output import OutputConsole

RECONNECT = ReconnectPolicy(max_attempts=3)
"""Somebody watches a command, so it gives up after about two seconds."""


_MORE = (
    "The page *Command line* of the documentation (docs/guides/command-line.md) says more. "
    "Every command accepts `--debug`, which shows the traceback of an error."
)


def _epilogue(*examples: str) -> str:
    """Return what follows the options in the help of a command, in Markdown."""
    lines = [f"    trio-realtime {example}" for example in examples]
    return "\n\n".join(
        [
            "**Examples**",
            "\n".join(lines),
            _MORE,
        ]
    )


app: App = App(
    name="trio-realtime",
    help="Realtime voice agents on trio. Start with `trio-realtime demo`: it needs no API key.",
    help_epilogue=_epilogue("demo", "chat --local", "doctor", "COMMAND --help"),
    version=__version__,
    console=OutputConsole(),
    backend="trio",
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
)
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]
    add_to_startup=False,
    help="Install completion of commands and options in this shell.",
    help_epilogue="",
)

_TESTED_SERVICE = Group("Tested service")
_AGENT = Group("Agent")
_NO_OPTIONS = EndpointOptions()
_DEVICES = Group("Devices", help="For a conversation without a file.")

AgentSpec = Annotated[
    str | None,
    Parameter(
        group=_AGENT, help="RealtimeAgent to use instead of the built-in one, as module:name."
    ),
]
VoiceName = Annotated[str | None, Parameter(group=_AGENT, help="Voice of the agent.")]


@app.command(sort_key=1, help_epilogue=_epilogue("demo", "demo --voice espeak", "demo --json"))
async def demo(
    *,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    output: Path = Path("reply.wav"),
    voice: Literal["auto", "tone", "espeak"] = "auto",
) -> int:
    """Watch a call with an agent: text, a tool, speech, an interruption.

    The call runs on this machine, with a local server that has no model. It needs no API key, no
    network and no sound card, and takes about 15 seconds.

    Args:
        json: Print the measurements as one JSON object, and nothing else.
        output: WAV file for the agent's speech, as far as it was heard.
        voice: Voice of the agent: tones, or words with espeak-ng. By default words, if it is installed.
    """
    from .demo import demo as run_demo

    return await run_until_signal(partial(run_demo, as_json=json, output=output, voice=voice))


@app.command(
    sort_key=2,
    help_epilogue=_epilogue(
        "chat --local",
        "chat --agent my_agents:clerk",
        "chat --url wss://voice.example/v1 --api-key KEY",
    ),
)
async def chat(
    *,
    service: EndpointOptions = _NO_OPTIONS,
    agent: AgentSpec = None,
    voice: VoiceName = None,
) -> int:
    """Chat with an agent in text, line by line.

    Ctrl-C interrupts the agent while it answers, and quits otherwise. `/help` lists the commands of
    the chat, such as `/tools` and `/quit`. If the input is a pipe or a file, each line is a message.
    """
    from .chat import chat as run_chat

    config = SessionConfig(
        reconnect=RECONNECT,
        output_modalities=("text",),
        voice=UNSET if voice is None else voice,
    )
    return await run_until_signal(partial(run_chat, load_agent(agent), service, config))


def _check_path(_type: object, path: Path | None) -> None:
    """Refuse an unknown option where `-` is allowed."""
    if path is not None and str(path).startswith("-") and str(path) != "-":
        raise ValueError(f"Unknown option: {path}.")


@app.command(
    sort_key=3,
    help_epilogue=_epilogue(
        "talk", "talk --local question.wav", "talk question.wav --output answer.wav"
    ),
)
async def talk(
    file: Annotated[
        Path | None,
        Parameter(alias="--input", allow_leading_hyphen=True, validator=_check_path),
    ] = None,
    *,
    output: Annotated[Path, Parameter(allow_leading_hyphen=True, validator=_check_path)] = Path(
        "reply.wav"
    ),
    force: Annotated[bool, Parameter(negative="")] = False,
    realtime: bool = True,
    timeout: Annotated[float, Parameter(validator=Number(gt=0))] = 60.0,
    transcription_model: str = "gpt-live-transcribe",
    input_device: Annotated[str | None, Parameter(group=_DEVICES)] = None,
    output_device: Annotated[str | None, Parameter(group=_DEVICES)] = None,
    half_duplex: Annotated[bool, Parameter(group=_DEVICES, negative="")] = False,
    list_devices: Annotated[bool, Parameter(group=_DEVICES, negative="")] = False,
    service: EndpointOptions = _NO_OPTIONS,
    agent: AgentSpec = None,
    voice: VoiceName = None,
) -> int:
    """Talk with an agent: with the microphone and the speaker, or with the speech in a WAV file.

    With a file, the reply is recorded and its transcript printed. Without one, Ctrl-C ends the
    conversation.

    Args:
        file: WAV file with the speech, at any sample rate; `-` for standard input. Without a file, the
            microphone and the speaker are used.
        output: WAV file for the reply to a file: 16-bit mono PCM at 24 kHz; `-` for standard output.
        force: Overwrite the output without asking.
        realtime: Send the file at the speed of speech, or as fast as the connection takes it.
        timeout: Seconds to wait for the reply to a file.
        transcription_model: Model of the service that transcribes your speech; `""` for none.
        input_device: Number of a microphone, or a part of its name.
        output_device: Number of a speaker, or a part of its name.
        half_duplex: Be silent while the agent is heard. Use it without headphones: otherwise, the agent
            hears itself.
        list_devices: Print the sound devices, those of the system with a `*`, and exit.
    """
    from .talk import TalkOptions, talk as run_talk
    from .talk_live import DeviceOptions, print_devices, talk_live

    if list_devices:
        return await print_devices()
    config = SessionConfig(
        reconnect=RECONNECT,
        output_modalities=("audio",),
        turn_detection=ServerVad(),
        transcription=Transcription(model=transcription_model) if transcription_model else UNSET,
        voice=UNSET if voice is None else voice,
    )
    if file is None:
        devices = DeviceOptions(
            input_device=input_device, output_device=output_device, half_duplex=half_duplex
        )
        command = partial(talk_live, load_agent(agent), service, config, devices)
        return await run_until_signal(command, on_signal=OK)
    options = TalkOptions(
        source=file, target=output, force=force, realtime=realtime, timeout=timeout
    )
    return await run_until_signal(partial(run_talk, load_agent(agent), service, config, options))


@app.command(
    sort_key=4,
    help_epilogue=_epilogue(
        "serve",
        "serve --host 0.0.0.0 --api-key SECRET",
        "serve --certfile cert.pem --keyfile key.pem",
    ),
)
async def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8765,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    api_key: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    model: str = DEFAULT_MODEL,
    dialect: Literal["ga", "beta"] = "ga",
    pace: str = "8",
    voice: Literal["tone", "espeak"] = "tone",
) -> int:
    """Run the local server for other clients, until Ctrl-C or SIGTERM.

    Prints the server's URL, and nothing else on stdout, once clients can connect. With
    `--host 0.0.0.0`, other machines can connect too, and the server prints a second URL for them.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.
        certfile: PEM file with a certificate, for clients that connect to `wss://` or `https://`.
        keyfile: PEM file with the private key, if it is not in the certificate's file.
        api_key: API keys to accept; by default, clients may send any key or none.
        model: Model of clients that name none. It is part of the printed URL.
        dialect: Variant of the protocol: ga is that of OpenAI, beta the older one of Azure's preview API.
        pace: Speed of the generated speech: 8 is eight times real time, and `unlimited` sends it at once.
        voice: Voice of the responses: tones, or words with espeak-ng.
    """
    from .serve import ServeOptions, make_server_config, serve as run_serve

    options = ServeOptions(host=host, port=port, certfile=certfile, keyfile=keyfile)
    server_config = make_server_config(
        model=model, pace=pace, voice=voice, api_keys=api_key, dialect=dialect
    )
    return await run_until_signal(partial(run_serve, options, server_config), on_signal=OK)


@app.command(
    sort_key=5,
    help_epilogue=_epilogue("gateway", "gateway --config gateway.toml", "gateway --port 0"),
)
async def gateway(
    *,
    config: Path | None = None,
    host: str | None = None,
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
    verbose: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Serve agents to web pages, phones and other programs.

    Without a file, serves a built-in agent on this machine, with a web page to talk to it. Prints the URL
    once clients can connect. SIGTERM and Ctrl-C let running calls end; a second signal ends them.

    Args:
        config: TOML file with the agents, the tenants and the stores.
        host: Address to listen on; by default, that of the file, or 127.0.0.1.
        port: Port to listen on, 0 for a free one; by default, that of the file, or 8080.
        verbose: Log what happens to stderr.
    """
    from .gateway import GatewayOptions, gateway as run

    return await run(GatewayOptions(config=config, host=host, port=port, verbose=verbose))


@app.command(
    sort_key=6,
    help_epilogue=_epilogue(
        "doctor", "doctor --offline", "doctor --url wss://voice.example/v1 --api-key KEY"
    ),
)
async def doctor(
    *,
    service: EndpointOptions = _NO_OPTIONS,
    offline: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Find out why a session cannot be opened: versions, settings, and a test of the connection.

    Shows where each setting of the service is from, without keys and passwords. Opens a session and
    closes it, which costs no tokens. Without a service, it tests the local server. The exit status is 1 if
    a step failed.

    Args:
        offline: Do not connect.
        json: Print one JSON object, and nothing else.
    """
    from .doctor.command import doctor as run_doctor

    return await run_until_signal(partial(run_doctor, service, offline=offline, as_json=json))


@app.command(
    name="test",
    sort_key=7,
    help_epilogue=_epilogue("test scenarios", "test scenarios --junit results.xml"),
)
def run_scenario_files(
    files: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")],
    /,
    *,
    url: Annotated[str | None, Parameter(group=_TESTED_SERVICE)] = None,
    api_key: Annotated[str | None, Parameter(group=_TESTED_SERVICE)] = None,
    model: Annotated[str | None, Parameter(group=_TESTED_SERVICE)] = None,
    junit: Path | None = None,
) -> int:
    """Run scenario files: conversations with an agent, and what should happen in them.

    By default, they run on the local server in memory and in virtual time, whatever the environment
    configures. The exit status is 0 if all passed, and 1 if one failed.

    Args:
        files: Scenario files, or folders with files whose names end in .scenario.yaml.
        url: URL of a service to test with, in real time.
        api_key: API key of that service; by default, the variable TRIO_REALTIME_API_KEY.
        model: Name of its model.
        junit: File for the results as JUnit XML.
    """
    from .scenarios import run_scenarios

    return run_scenarios(files, url=url, api_key=api_key, model=model, junit=junit)


@app.command(sort_key=8, help_epilogue=_epilogue("migrate my_agent.py", "migrate --json src/*.ts"))
def migrate(
    *files: Annotated[Path, Parameter(required=True)],
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say what the names in a program of the OpenAI Agents SDKs become with this library.

    For each name, prints the lines that use it, its counterpart, and what differs or what to do instead.
    Programs are read, not executed. In JavaScript and TypeScript the command finds less than in Python.
    The exit status is 1 if a name has no counterpart or is unknown.

    Args:
        files: Programs: .py for openai-agents; .js, .ts and the like for @openai/agents.
        json: Print one JSON object instead of text.
    """
    from .migrate import migrate as run_migrate

    return run_migrate(files, as_json=json)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(show=False, negative="")] = False,
) -> int:
    try:
        with warnings_on_stderr():
            status = app(tokens)
    except CycloptsError as exc:
        print_message(f"{' '.join(str(exc).split())} See --help.")
        return USER_ERROR
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as exc:  # noqa: BLE001 - bugs are raised again
        return report_error(exc, debug=debug)
    return status if isinstance(status, int) else OK


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        status = app.meta(
            list(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except BrokenPipeError:  # from the help, or from the flush
        return CLOSED_PIPE
    return status if isinstance(status, int) else OK
