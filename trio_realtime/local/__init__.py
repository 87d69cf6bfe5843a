"""The local realtime server, for demos, tests and development without an API key.

:func:`serve_local` runs it on a port, :func:`local_connector` in memory without sockets, and
:class:`ServerProtocol` is the state machine of both. It speaks the protocol of the live service,
and follows rules (:class:`RuleResponder`) or a script (:class:`ScriptedResponder`) instead of a
model.
"""

from __future__ import annotations

from .config import ServerConfig as ServerConfig, ServerConfigDict as ServerConfigDict
from .connection import Connection as Connection, Limits as Limits
from .connector import LocalConnector as LocalConnector, local_connector as local_connector
from .hosted_mcp import (
    HostedServers as HostedServers,
    HostedTool as HostedTool,
    HostedToolFunction as HostedToolFunction,
)
from .protocol import ServerProtocol as ServerProtocol
from .recording import MessageRecord as MessageRecord
from .responders import (
    Call as Call,
    Fail as Fail,
    HostedCall as HostedCall,
    Incomplete as Incomplete,
    Pause as Pause,
    Responder as Responder,
    Say as Say,
    ScriptedResponder as ScriptedResponder,
    ScriptExhausted as ScriptExhausted,
    Step as Step,
    Turn as Turn,
    TurnItem as TurnItem,
)
from .rule_responder import RuleResponder as RuleResponder
from .server import LocalServer as LocalServer, serve_local as serve_local
from .synthesizer import (
    EspeakSynthesizer as EspeakSynthesizer,
    Speech as Speech,
    Synthesizer as Synthesizer,
    ToneSynthesizer as ToneSynthesizer,
)
from .transcriber import (
    ScriptedTranscriber as ScriptedTranscriber,
    Transcriber as Transcriber,
    TranscriptionFailed as TranscriptionFailed,
    TranscriptionRequest as TranscriptionRequest,
    TranscriptionResult as TranscriptionResult,
    UserAudio as UserAudio,
)
from .types import (
    Close as Close,
    ConnectionRequest as ConnectionRequest,
    Frame as Frame,
    Output as Output,
)
