"""Faults of connections, for tests: drops, frozen peers, slow links, invalid frames, refused dials.

:func:`faulty_connector` wraps any connector and applies a plan of faults to its connections. It needs
no server of its own: wrap :func:`.local_connector`, ``ScriptedPeer().connect`` or a connector of
sockets. All waiting is on trio's clock, so in virtual time a fault costs nothing.

:func:`serve_tcp_faults` is a TCP proxy for the faults of real sockets.
"""

from __future__ import annotations

from .connector import (
    Dial as Dial,
    FaultyConnector as FaultyConnector,
    faulty_connector as faulty_connector,
)
from .link import (
    AppliedFault as AppliedFault,
    Fate as Fate,
    FaultyLink as FaultyLink,
    FrameRecord as FrameRecord,
)
from .plan import (
    Close as Close,
    Delay as Delay,
    DialFault as DialFault,
    Direction as Direction,
    Directions as Directions,
    Drop as Drop,
    Duplicate as Duplicate,
    Elapsed as Elapsed,
    FailDial as FailDial,
    Fault as Fault,
    FaultPlan as FaultPlan,
    FrameFault as FrameFault,
    FrameTrigger as FrameTrigger,
    Freeze as Freeze,
    Garbage as Garbage,
    Incoming as Incoming,
    Inject as Inject,
    LinkFault as LinkFault,
    Moment as Moment,
    OneWay as OneWay,
    Outgoing as Outgoing,
    Oversize as Oversize,
    RejectDial as RejectDial,
    SlowDial as SlowDial,
    SlowReader as SlowReader,
    Trickle as Trickle,
    Trigger as Trigger,
    Truncate as Truncate,
)
from .tcp import (
    TcpFaultConnection as TcpFaultConnection,
    TcpFaultProxy as TcpFaultProxy,
    serve_tcp_faults as serve_tcp_faults,
)
