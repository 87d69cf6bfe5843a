"""The sans-I/O core of the conversation: every decision that needs no I/O is made here.

Synchronous, without trio, network or clock: the time is an argument, in seconds. Server events,
commands and results go in (:mod:`.inputs`); effects come out (:mod:`.effects`), in the order in which
the session carries them out. The same inputs always give the same effects.
"""

from __future__ import annotations

from .audio.playback import PlaybackPosition as PlaybackPosition
from .calls.function_calls import CANCELLED_OUTPUT as CANCELLED_OUTPUT
from .conversation import Conversation as Conversation
from .effects import (
    CancelCalls as CancelCalls,
    CheckInput as CheckInput,
    CheckReply as CheckReply,
    DropConnection as DropConnection,
    Effect as Effect,
    EndSession as EndSession,
    HistoryEdited as HistoryEdited,
    Outcome as Outcome,
    RareEffect as RareEffect,
    ResolveRequest as ResolveRequest,
    ResponseOutcome as ResponseOutcome,
    SendEncoded as SendEncoded,
    StartCall as StartCall,
    ToolCall as ToolCall,
)
from .history.items import ROOT as ROOT
from .inputs import (
    AppendAudio as AppendAudio,
    ApprovalDecided as ApprovalDecided,
    CallFinished as CallFinished,
    CancelResponse as CancelResponse,
    ClearAudio as ClearAudio,
    Command as Command,
    CommitAudio as CommitAudio,
    ConnectionLost as ConnectionLost,
    ConnectionRestored as ConnectionRestored,
    CreateResponse as CreateResponse,
    DeadlinePassed as DeadlinePassed,
    Disconnected as Disconnected,
    Input as Input,
    InputChecked as InputChecked,
    Interrupt as Interrupt,
    ProtectCall as ProtectCall,
    ReplyChecked as ReplyChecked,
    ReportPlayed as ReportPlayed,
    SendItem as SendItem,
    SendRaw as SendRaw,
    StopPlaybackReports as StopPlaybackReports,
    UpdateHistory as UpdateHistory,
    UpdateSettings as UpdateSettings,
)
from .limits import LimitSettings as LimitSettings
from .reconnecting import (
    ReconnectSchedule as ReconnectSchedule,
    RefreshSchedule as RefreshSchedule,
    is_transient as is_transient,
)
from .replay import Replay as Replay
from .responses.queue import METADATA_KEY as METADATA_KEY
