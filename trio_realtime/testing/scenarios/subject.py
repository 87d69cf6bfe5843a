"""What a scenario names by import path: the agent, its context, the settings, and judges."""

from __future__ import annotations

import importlib
import inspect
import sys
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from trio_realtime import RealtimeAgent, RealtimeSession, SessionConfig, Transcription
from trio_realtime.errors import ConfigurationError
from trio_realtime.local import (
    Call,
    Fail,
    HostedCall,
    Incomplete,
    Pause,
    Responder,
    RuleResponder,
    Say,
    ScriptedResponder,
    Step,
)
from trio_realtime.local.audio import AudioFormat, encode

from .model import (
    CallReply,
    FailReply,
    HostedCallReply,
    IncompleteReply,
    PauseReply,
    Play,
    Reply,
    SayReply,
    Scenario,
)
from .result import JudgedConversation

__all__ = ["Subject", "load_subject"]


@attrs.frozen(kw_only=True)
class Subject:
    """The objects that a scenario needs.

    Attributes:
        agent: the agent under test.
        context: the context of the session.
        setup: the functions that get the session before the first step.
        config: the settings of the session.
        responder: what the model of the local server says and calls.
        audio: the audio of each ``play`` step, in the input format of the session.
        judges: the functions that judge the conversation.
    """

    agent: RealtimeAgent[Any]
    context: Any
    setup: Sequence[Callable[[RealtimeSession[Any]], Any]]
    config: SessionConfig
    responder: Responder
    audio: dict[str, bytes] = attrs.field(repr=False)
    judges: Sequence[Callable[[JudgedConversation], Any]]


def load_subject(scenario: Scenario) -> Subject:
    """Import and read what a scenario names.

    Raises:
        ConfigurationError: an import path leads to nothing, or to an object of another kind; or an audio
            file cannot be used.
    """
    _extend_path(scenario)
    config = _config_of(scenario)
    setup = () if scenario.setup is None else (scenario.setup,)
    return Subject(
        agent=_agent_of(scenario),
        context=_made(_find(scenario, "context", scenario.context)),
        setup=[_function_of(scenario, "setup", path) for path in setup],
        config=config,
        responder=_responder_of(scenario),
        audio={
            step.play: _read_audio(scenario, step.play, config)
            for step in scenario.steps
            if isinstance(step, Play)
        },
        judges=[_function_of(scenario, "judge", path) for path in scenario.judge],
    )


def _folders(scenario: Scenario) -> list[Path]:
    return [(scenario.path.parent / folder).resolve() for folder in scenario.python_path]


def _extend_path(scenario: Scenario) -> None:
    for folder in reversed(_folders(scenario)):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _find(scenario: Scenario, key: str, import_path: str | None) -> Any:
    """Return the object that an import path names; ``None`` for no path."""
    if import_path is None:
        return None
    module_name, _, name = import_path.partition(":")
    if not module_name or not name:
        raise _error(scenario, key, f"expected module:name, got {import_path!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as exc:
        raise _error(scenario, key, f"cannot import {module_name!r}: {exc}") from exc
    _check_file(scenario, key, module_name, getattr(found, "__file__", None))
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as exc:
        raise _error(scenario, key, f"{module_name} has no {name!r}") from exc
    return found


def _check_file(scenario: Scenario, key: str, name: str, file: str | None) -> None:
    """Check that a module is the one in the folders of the scenario, if they have one of this name."""
    for folder in _folders(scenario):
        path = folder.joinpath(*name.split("."))
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                if file is None or not candidate.samefile(file):
                    raise _error(
                        scenario,
                        key,
                        f"{name!r} was imported from {file} before, so {candidate} cannot be imported; "
                        "rename one of them",
                    )
                return


def _error(scenario: Scenario, key: str, message: str) -> ConfigurationError:
    return ConfigurationError(f"{scenario.path}: {key}: {message}")


def _made(found: Any) -> Any:
    """Call a function or a class without arguments; return anything else as it is."""
    return found() if isinstance(found, type) or inspect.isfunction(found) else found


def _agent_of(scenario: Scenario) -> RealtimeAgent[Any]:
    agent = _made(_find(scenario, "agent", scenario.agent))
    if not isinstance(agent, RealtimeAgent):
        raise _error(
            scenario,
            "agent",
            f"expected a RealtimeAgent, or a function that returns one, got {agent!r:.80}",
        )
    return agent  # pyright: ignore[reportUnknownVariableType]


def _config_of(scenario: Scenario) -> SessionConfig:
    if scenario.config is not None:
        config = _made(_find(scenario, "config", scenario.config))
        if not isinstance(config, SessionConfig):
            raise _error(scenario, "config", f"expected a SessionConfig, got {config!r:.80}")
        return config
    config = SessionConfig(output_modalities=(scenario.modality or "audio",), reconnect=None)
    if scenario.transcripts:
        config = attrs.evolve(config, transcription=Transcription(model="gpt-4o-transcribe"))
    return config


def _function_of(scenario: Scenario, key: str, path: str) -> Callable[[Any], Any]:
    function = _find(scenario, key, path)
    if not callable(function):
        raise _error(scenario, key, f"expected a function, got {function!r:.80}")
    return cast("Callable[[Any], Any]", function)


# --- the local server --------------------------------------------------------------------------


def _responder_of(scenario: Scenario) -> Responder:
    given = scenario.responder
    if given is None:
        return RuleResponder()
    if isinstance(given, str):
        responder = _made(_find(scenario, "responder", given))
        if not callable(getattr(responder, "respond", None)):
            raise _error(scenario, "responder", f"expected a Responder, got {responder!r:.80}")
        return cast("Responder", responder)
    return ScriptedResponder([[_step_of(reply) for reply in replies] for replies in given])


def _step_of(reply: Reply) -> Step:
    match reply:
        case SayReply(say=text, audio_ms=audio_ms):
            return Say(text, audio_ms)
        case CallReply(call=name, arguments=arguments):
            return Call(name, arguments)
        case HostedCallReply(hosted_call=name, server=server, arguments=arguments):
            return HostedCall(server, name, arguments)
        case FailReply(fail=code, message=message):
            return Fail(code, message)
        case IncompleteReply(incomplete=reason):
            return Incomplete(reason)
        case PauseReply(pause_ms=pause_ms):
            return Pause(pause_ms / 1000)


# --- audio -------------------------------------------------------------------------------------


def _read_audio(scenario: Scenario, name: str, config: SessionConfig) -> bytes:
    path: Path = scenario.path.parent / name
    try:
        with wave.open(str(path), "rb") as file:
            kind = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            pcm = file.readframes(file.getnframes())
    except OSError as exc:
        raise _error(scenario, "play", f"cannot read {path}: {exc.strerror}") from exc
    except (wave.Error, EOFError) as exc:
        raise _error(scenario, "play", f"{path} is not a PCM WAV file: {exc}") from exc
    if kind != (1, 2, 24_000):
        raise _error(
            scenario,
            "play",
            f"{path} must be 16-bit mono PCM at 24000 Hz, got {kind[0]} channel(s) of {8 * kind[1]} bits "
            f"at {kind[2]} Hz. Convert it: ffmpeg -i {path.name} -ac 1 -ar 24000 -c:a pcm_s16le new.wav",
        )
    wire = config.input_format
    rate = {} if wire.rate is None else {"rate": wire.rate}
    return encode(pcm, AudioFormat.from_json({"type": wire.type, **rate}))
