"""Everything that can be chosen about a local server's behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set as AbstractSet
from typing import Any, Literal, TypedDict

import attrs

from .hosted_mcp import HostedServers, HostedTool, declare_servers
from .responders import Responder
from .rule_responder import RuleResponder
from .synthesizer import Synthesizer, ToneSynthesizer
from .transcriber import ScriptedTranscriber, Transcriber, TranscriptionFailed

__all__ = ["ServiceOptions", "ServiceSettings"]


def _positive(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be greater than 0, got {value!r}")


def _not_negative(_: Any, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must not be negative, got {value!r}")


def _frozen(
    transcripts: Sequence[str | TranscriptionFailed],
) -> Sequence[str | TranscriptionFailed]:
    return tuple(transcripts)


def _usual_ears(options: ServiceOptions) -> Transcriber:
    return ScriptedTranscriber(options.transcripts)


@attrs.frozen(kw_only=True)
class ServiceOptions:
    """How the service behaves.

    Args:
        brain: who answers; one for all connections.
        transcripts: what committed audio says, in order, one entry for each piece of it.
        ears: who understands spoken audio, one pair for all connections; by default the script of
            ``transcripts``.
        voice: who speaks.
        pacing: how many times faster than real time answers are generated; ``math.inf`` generates
            as fast as they are taken.
        latency: seconds between ``response.created`` and the first item.
        session_seconds: how long a session may last before it expires.
        api_keys: the keys that are let in; by default any key.
        require_key: whether a connection without a key is refused. Given keys imply it.
        auth_failure: ``"close"`` answers a bad key as the live service does, with an ``error``
            event and close code 3000; ``"http401"`` refuses the upgrade.
        models: the models that exist; by default any name.
        default_model: for connections that name none; by default they are refused.
        hosted_servers: the MCP servers that the service can reach, by their label: for each tool
            its answer, or a :class:`HostedTool`. By default none can be reached.
        interleave: whether the items of one response overlap; by default reasoning models do it.
        seed: of the ids.
        epoch: unix time at which the clock that is handed in says 0; only ``expires_at`` shows it.
            By default a server asks the system's clock, and a bare :class:`ServerConnection` begins 2026.

    Raises:
        ValueError: a number out of its range.
    """

    brain: Responder = attrs.field(factory=RuleResponder)
    transcripts: Sequence[str | TranscriptionFailed] = attrs.field(default=(), converter=_frozen)
    ears: Transcriber = attrs.field(default=attrs.Factory(_usual_ears, takes_self=True))
    voice: Synthesizer = attrs.field(factory=ToneSynthesizer)
    pacing: float = attrs.field(default=8.0, validator=_positive)
    latency: float = attrs.field(default=0.0, validator=_not_negative)
    session_seconds: float = attrs.field(default=3600.0, validator=_positive)
    api_keys: AbstractSet[str] | None = attrs.field(default=None, repr=False)
    require_key: bool = True
    auth_failure: Literal["close", "http401"] = "close"
    models: AbstractSet[str] | None = None
    default_model: str | None = None
    hosted_servers: Mapping[str, Mapping[str, HostedTool]] = attrs.field(
        factory=dict[str, Mapping[str, HostedTool]], converter=declare_servers
    )
    interleave: bool | None = None
    seed: str = "local"
    epoch: float | None = None


class ServiceSettings(TypedDict, total=False):
    """The same as keyword arguments; see :class:`ServiceOptions`."""

    brain: Responder
    transcripts: Sequence[str | TranscriptionFailed]
    ears: Transcriber
    voice: Synthesizer
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
    seed: str
    epoch: float | None
