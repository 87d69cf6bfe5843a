"""The local realtime server: the embedded default for demos, tests and development without a key.

:func:`serve_local` runs it on a port, :func:`local_connector` in memory without sockets, and
:class:`Service` is the state machine behind both. It speaks the protocol of the live service and
answers by rules (:class:`RuleBrain`) or by a script (:class:`ScriptedBrain`).
"""

from __future__ import annotations

from .brain import (
    Brain as Brain,
    Call as Call,
    Fail as Fail,
    HostedCall as HostedCall,
    Incomplete as Incomplete,
    Pause as Pause,
    Say as Say,
    ScriptedBrain as ScriptedBrain,
    ScriptExhausted as ScriptExhausted,
    Step as Step,
    Turn as Turn,
    TurnItem as TurnItem,
)
from .connector import LocalConnector as LocalConnector, local_connector as local_connector
from .driver import Connection as Connection, Limits as Limits
from .ears import (
    Ears as Ears,
    HearingFailed as HearingFailed,
    ScriptedEars as ScriptedEars,
)
from .hosted import (
    HostedAnswer as HostedAnswer,
    HostedServers as HostedServers,
    HostedTool as HostedTool,
)
from .options import ServiceOptions as ServiceOptions, ServiceSettings as ServiceSettings
from .rules import RuleBrain as RuleBrain
from .server import LocalServer as LocalServer, serve_local as serve_local
from .service import Service as Service
from .shapes import (
    Close as Close,
    ConnectionRequest as ConnectionRequest,
    Frame as Frame,
    Output as Output,
)
from .voice import EspeakVoice as EspeakVoice, ToneVoice as ToneVoice, Voice as Voice
