"""The command line: which commands there are, and what their options mean."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from trio_realtime import SessionConfig, __version__
from trio_realtime.wire import UNSET, ServerVad

from .assistant import load_agent
from .endpoints import Service
from .exit import MEND, OK, notes_on_stderr, report, tell, until_signal

app: App = App(
    name="trio-realtime",
    help="Realtime voice agents on trio. Begin with `trio-realtime demo`: it needs no key.",
    help_epilogue="Every command takes `--debug`, which shows the traceback of an error.",
    version=__version__,
    backend="trio",
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
)

_SERVICE = Group("Service", help="Without any: what the environment names, else a local server.")
_AGENT = Group("Agent")

Local = Annotated[bool, Parameter(group=_SERVICE, negative="", help="A local server: no key.")]
Url = Annotated[str | None, Parameter(group=_SERVICE, help="Any server: ws://, wss://, https://.")]
Key = Annotated[
    str | None,
    Parameter(group=_SERVICE, env_var="TRIO_REALTIME_API_KEY", help="The key for it."),
]
Model = Annotated[str | None, Parameter(group=_SERVICE, help="The model's name.")]
AgentSpec = Annotated[
    str | None,
    Parameter(group=_AGENT, help="module:name of a RealtimeAgent, instead of the built-in one."),
]
VoiceName = Annotated[str | None, Parameter(group=_AGENT, help="The agent's voice.")]


@app.command
async def demo(
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path = Path("reply.wav"),
    voice: Literal["auto", "tone", "espeak"] = "auto",
) -> int:
    """Watch a call with an agent, on a local server: text, a tool, speech, an interruption.

    Args:
        json: print one JSON object with what was measured, and nothing else.
        output: where to write what the agent was heard to say.
        voice: how the agent sounds; auto is espeak where it is installed.
    """
    from .demo import demo as run_demo

    return await until_signal(partial(run_demo, as_json=json, output=output, voice=voice))


@app.command
async def chat(
    *,
    local: Local = False,
    url: Url = None,
    api_key: Key = None,
    model: Model = None,
    agent: AgentSpec = None,
    voice: VoiceName = None,
) -> int:
    """Write with an agent, line by line. /quit or the end of the input leaves."""
    from .chat import chat as run_chat

    service = Service(local=local, url=url, api_key=api_key)
    config = SessionConfig(
        model=model, output_modalities=("text",), voice=UNSET if voice is None else voice
    )
    return await until_signal(partial(run_chat, load_agent(agent), service, config))


@app.command
async def talk(
    *,
    input: Path,  # noqa: A002 - the option's name
    output: Path = Path("reply.wav"),
    realtime: bool = True,
    timeout: Annotated[float, Parameter(validator=Number(gt=0))] = 60.0,
    local: Local = False,
    url: Url = None,
    api_key: Key = None,
    model: Model = None,
    agent: AgentSpec = None,
    voice: VoiceName = None,
) -> int:
    """Say what is in a WAV file; record the answer and print its words.

    Args:
        input: a PCM WAV file, mono or stereo, of any rate.
        output: where to write the answer: PCM16 mono, 24 kHz.
        realtime: speak at the speed of speech, or as fast as the line takes it.
        timeout: seconds to wait for the answer.
    """
    from .talk import talk as run_talk

    config = SessionConfig(
        model=model,
        output_modalities=("audio",),
        turn_detection=ServerVad(),
        voice=UNSET if voice is None else voice,
    )
    command = partial(
        run_talk,
        load_agent(agent),
        Service(local=local, url=url, api_key=api_key),
        config,
        source=input,
        target=output,
        realtime=realtime,
        timeout=timeout,
    )
    return await until_signal(command)


@app.command
async def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8765,
    pace: str = "8",
    voice: Literal["tone", "espeak"] = "tone",
    api_key: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
) -> int:
    """Run the local server for other clients, until Ctrl-C or SIGTERM.

    Prints one line, its URL, when clients can connect.

    Args:
        host: where to listen.
        port: 0 for a free one.
        pace: how many times faster than real time answers come, or unlimited.
        voice: how answers sound.
        api_key: keys to let in; any by default.
    """
    from .serve import make_settings, serve as run_serve

    settings = make_settings(pace=pace, voice=voice, api_keys=api_key)
    return await until_signal(
        partial(run_serve, host=host, port=port, settings=settings), on_signal=OK
    )


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(show=False, negative="")] = False,
) -> int:
    try:
        with notes_on_stderr():
            status = app(tokens)
    except CycloptsError as exc:
        tell(f"{' '.join(str(exc).split())} See --help.")
        return MEND
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as exc:  # noqa: BLE001 - raised again if it is a bug
        return report(exc, debug=debug)
    return status if isinstance(status, int) else OK


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    status = app.meta(
        list(arguments), exit_on_error=False, print_error=False, result_action="return_value"
    )
    return status if isinstance(status, int) else OK
