"""Configuration of a local server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set as AbstractSet
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import attrs

from .hosted_mcp import HostedServers, HostedTool, normalize_servers
from .responders import Responder
from .rule_responder import RuleResponder
from .synthesizer import Synthesizer, ToneSynthesizer
from .transcriber import ScriptedTranscriber, Transcriber, TranscriptionFailed

__all__ = ["ServerConfig", "ServerConfigDict"]


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be > 0, got {value!r}")


def _not_negative(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be >= 0, got {value!r}")


def _as_tuple(
    transcripts: Sequence[str | TranscriptionFailed],
) -> Sequence[str | TranscriptionFailed]:
    return tuple(transcripts)


def _default_transcriber(config: ServerConfig) -> Transcriber:
    return ScriptedTranscriber(config.transcripts)


LocalDialect: TypeAlias = Literal["ga", "beta"]
"""The dialects that the local server speaks."""


@attrs.frozen(kw_only=True)
class ServerConfig:
    """Configuration of a local server.

    Args:
        responder: decides what the model says and calls. All connections share it.
        transcripts: transcripts of committed audio, in order; each item takes the next one.
        transcriber: a function that transcribes committed audio, see :data:`Transcriber`. An async
            function runs in a task, another one in a worker thread. All connections share it. The
            default is a :class:`ScriptedTranscriber` of ``transcripts``.
        synthesizer: turns text into speech. All connections share it.
        pacing: speed of generation relative to real time. ``math.inf`` generates as fast as the
            client reads.
        latency: seconds between ``response.created`` and the first output item.
        session_seconds: seconds after which a session expires.
        api_keys: accepted API keys; None accepts any key.
        require_key: whether to reject a connection without a key. Implied by ``api_keys``.
        auth_failure: how to reject a key. ``"close"`` sends an ``error`` event and closes with
            code 3000, as the live service does; ``"http401"`` rejects the upgrade request.
        models: supported models; None supports any name.
        default_model: model of connections that name none; None rejects these connections.
        hosted_servers: reachable MCP servers by label. Each maps the names of its tools to a
            fixed output, a function of the arguments, or a :class:`HostedTool`.
        interleave: whether the output items of one response overlap; None does so for reasoning
            models only.
        dialect: dialect of the protocol that the server speaks: ``ga`` or ``beta``.
        seed: seed of the generated ids.
        epoch: Unix time at which the clock of the connection reads 0, for ``expires_at``. None
            uses the system clock in a server, and the start of 2026 in a bare
            :class:`ServerProtocol`.

    Raises:
        ValueError: a number is out of range.
        TypeError: the transcriber is not callable.
    """

    responder: Responder = attrs.field(factory=RuleResponder)
    transcripts: Sequence[str | TranscriptionFailed] = attrs.field(default=(), converter=_as_tuple)
    transcriber: Transcriber = attrs.field(
        default=attrs.Factory(_default_transcriber, takes_self=True),
        validator=attrs.validators.is_callable(),
    )
    synthesizer: Synthesizer = attrs.field(factory=ToneSynthesizer)
    pacing: float = attrs.field(default=8.0, validator=_positive)
    latency: float = attrs.field(default=0.0, validator=_not_negative)
    session_seconds: float = attrs.field(default=3600.0, validator=_positive)
    api_keys: AbstractSet[str] | None = attrs.field(default=None, repr=False)
    require_key: bool = True
    auth_failure: Literal["close", "http401"] = "close"
    models: AbstractSet[str] | None = None
    default_model: str | None = None
    hosted_servers: Mapping[str, Mapping[str, HostedTool]] = attrs.field(
        factory=dict[str, Mapping[str, HostedTool]], converter=normalize_servers
    )
    interleave: bool | None = None
    dialect: LocalDialect = attrs.field(
        default="ga", validator=attrs.validators.in_(get_args(LocalDialect))
    )
    seed: str = "local"
    epoch: float | None = None


class ServerConfigDict(TypedDict, total=False):
    """Fields of :class:`ServerConfig` as keyword arguments; all are optional."""

    responder: Responder
    transcripts: Sequence[str | TranscriptionFailed]
    transcriber: Transcriber
    synthesizer: Synthesizer
    pacing: float
    latency: float
    session_seconds: float
    api_keys: AbstractSet[str] | None
    require_key: bool
    auth_failure: Literal["close", "http401"]
    models: AbstractSet[str] | None
    default_model: str | None
    hosted_servers: HostedServers
    interleave: bool | None
    dialect: LocalDialect
    seed: str
    epoch: float | None
