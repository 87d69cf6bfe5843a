"""Map each input to its handlers, in order.

:data:`HANDLERS` is the only place where an input meets its handlers. Several components may
handle the same input; they run from left to right, and their effects are carried out in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from trio_realtime import wire as w

from . import forwarded_events, inputs as i
from .audio.playback import Playback
from .audio.retention import RetainedAudio
from .audio.user_audio import UserAudio
from .barge_in import BargeIn
from .calls.function_calls import FunctionCalls
from .calls.hosted_mcp import HostedMcpCalls
from .connections import Connections
from .effects import Effect
from .error_routing import ErrorRouter
from .guardrail_trips import GuardrailTrips
from .history.edits import HistoryEdits
from .history.outgoing import OutgoingItems
from .history.updates import HistoryUpdater
from .interruption import Interruption
from .limits import ACTIVITY, SessionLimits
from .raw_events import RawEvents
from .responses.lifecycle import ResponseLifecycle
from .responses.output import OutputStream
from .responses.requests import ResponseRequests
from .settings import SessionSettings

Handler: TypeAlias = Callable[[Any, float], Sequence[Effect]]


@attrs.frozen(kw_only=True)
class Components:
    """The components of a conversation that handle inputs."""

    settings: SessionSettings
    history: HistoryUpdater
    outgoing: OutgoingItems
    user_audio: UserAudio
    edits: HistoryEdits
    playback: Playback
    retention: RetainedAudio
    interruption: Interruption
    barge_in: BargeIn
    requests: ResponseRequests
    lifecycle: ResponseLifecycle
    output: OutputStream
    calls: FunctionCalls
    hosted: HostedMcpCalls
    trips: GuardrailTrips
    errors: ErrorRouter
    raw: RawEvents
    connections: Connections
    limits: SessionLimits


HANDLERS: Final[Mapping[type, Callable[[Components], tuple[Handler, ...]]]] = {
    # the session
    w.SessionCreated: lambda c: (c.settings.on_session_created,),
    w.SessionUpdated: lambda c: (c.settings.on_session_updated, c.limits.on_session_updated),
    w.ErrorEvent: lambda c: (c.errors.on_error,),
    w.RateLimitsUpdated: lambda _: (forwarded_events.rate_limits_updated,),
    w.WarningEvent: lambda _: (forwarded_events.warning,),
    # the user's audio
    w.InputAudioBufferSpeechStarted: lambda c: (
        c.user_audio.on_speech_started,
        c.barge_in.on_speech_started,
    ),
    w.InputAudioBufferSpeechStopped: lambda c: (
        c.user_audio.on_speech_stopped,
        forwarded_events.speech_stopped,
        c.requests.on_user_turn_ended,
        c.barge_in.on_speech_stopped,
    ),
    w.InputAudioBufferTimeoutTriggered: lambda c: (
        forwarded_events.timeout_triggered,
        c.requests.on_user_turn_ended,
    ),
    w.InputAudioBufferCommitted: lambda c: (
        c.user_audio.on_committed,
        c.barge_in.on_committed,
    ),
    w.InputAudioBufferCleared: lambda c: (c.user_audio.on_cleared,),
    w.InputAudioBufferDtmfEventReceived: lambda _: (forwarded_events.dtmf_received,),
    w.InputAudioTranscriptionDelta: lambda c: (c.history.on_transcription_delta,),
    w.InputAudioTranscriptionCompleted: lambda c: (
        c.history.on_transcription_completed,
        c.trips.on_transcription_completed,
        c.user_audio.on_transcribed,
        c.lifecycle.on_transcription_completed,
        c.barge_in.on_transcription_completed,
    ),
    w.InputAudioTranscriptionFailed: lambda c: (
        c.history.on_transcription_failed,
        c.barge_in.on_transcription_failed,
    ),
    # items of the conversation
    w.ConversationItemAdded: lambda c: (
        c.history.on_item_added,
        c.outgoing.on_item_added,
        c.edits.on_item_added,
        c.user_audio.on_item_added,
        c.barge_in.on_item_added,
    ),
    w.ConversationItemDone: lambda c: (
        c.history.on_item_done,
        c.hosted.on_item_done,
        c.retention.on_item_done,
    ),
    w.ConversationItemRetrieved: lambda c: (
        c.history.on_item_retrieved,
        c.retention.on_item_retrieved,
    ),
    w.ConversationItemDeleted: lambda c: (
        c.history.on_item_deleted,
        c.edits.on_item_deleted,
        c.retention.on_item_deleted,
    ),
    w.ConversationItemTruncated: lambda c: (
        c.history.on_item_truncated,
        c.retention.on_item_truncated,
    ),
    # responses
    w.ResponseCreated: lambda c: (c.lifecycle.on_created,),
    w.ResponseOutputItemAdded: lambda c: (
        c.output.on_item_added,
        c.hosted.on_output_item_added,
    ),
    w.ResponseContentPartAdded: lambda c: (c.output.on_part_added,),
    w.ResponseOutputTextDelta: lambda c: (c.output.on_text_delta,),
    w.ResponseOutputAudioTranscriptDelta: lambda c: (c.output.on_text_delta,),
    w.ResponseOutputAudioDelta: lambda c: (c.output.on_audio_delta, c.retention.on_audio_delta),
    w.ResponseOutputAudioDone: lambda c: (c.output.on_audio_done,),
    w.ResponseContentPartDone: lambda c: (c.output.on_part_done,),
    w.ResponseOutputTextDone: lambda c: (c.output.on_text_done,),
    w.ResponseOutputAudioTranscriptDone: lambda c: (c.output.on_transcript_done,),
    w.ResponseFunctionCallArgumentsDelta: lambda c: (c.output.on_arguments_delta,),
    w.ResponseFunctionCallArgumentsDone: lambda c: (c.output.on_arguments_done,),
    w.ResponseOutputItemDone: lambda c: (
        c.lifecycle.on_output_item_done,
        c.retention.on_output_item_done,
        c.limits.on_output_item_done,
    ),
    w.ResponseDone: lambda c: (
        c.lifecycle.on_done,
        c.retention.on_response_done,
        c.limits.on_response_done,
    ),
    # hosted MCP servers
    w.ResponseMcpCallInProgress: lambda c: (c.hosted.on_call_in_progress,),
    w.ResponseMcpCallCompleted: lambda c: (c.hosted.on_call_ended,),
    w.ResponseMcpCallFailed: lambda c: (c.hosted.on_call_ended,),
    w.McpListToolsFailed: lambda c: (c.hosted.on_list_tools_failed,),
    # commands of the user
    i.SendItem: lambda c: (c.requests.on_send_item,),
    i.AppendAudio: lambda c: (c.user_audio.on_append, c.limits.on_append_audio),
    i.CommitAudio: lambda c: (c.user_audio.on_commit,),
    i.ClearAudio: lambda c: (c.user_audio.on_clear,),
    i.CreateResponse: lambda c: (c.requests.on_create_response,),
    i.CancelResponse: lambda c: (c.requests.on_cancel_response,),
    i.Interrupt: lambda c: (c.interruption.on_interrupt,),
    i.ReportPlayed: lambda c: (c.playback.on_report_played,),
    i.StopPlaybackReports: lambda c: (c.playback.on_stop_reports,),
    i.UpdateSettings: lambda c: (c.settings.on_update_settings,),
    i.UpdateHistory: lambda c: (c.edits.on_update_history,),
    i.SendRaw: lambda c: (c.raw.on_send_raw,),
    i.ProtectCall: lambda c: (c.calls.on_protect_call,),
    # results
    i.CallFinished: lambda c: (c.calls.on_call_finished,),
    i.ApprovalDecided: lambda c: (c.hosted.on_approval_decided,),
    i.ReplyChecked: lambda c: (c.trips.on_reply_checked,),
    i.InputChecked: lambda c: (c.trips.on_input_checked,),
    # connections
    i.DeadlinePassed: lambda c: (
        c.connections.on_deadline_passed,
        c.barge_in.on_deadline_passed,
        c.limits.on_deadline_passed,
    ),
    i.ConnectionLost: lambda c: (c.connections.on_connection_lost,),
    i.ConnectionRestored: lambda c: (c.connections.on_connection_restored,),
    i.Disconnected: lambda c: (c.connections.on_disconnected,),
}
"""The handlers of each input, in the order in which they run."""


def handlers_of(kind: type, components: Components) -> tuple[Handler, ...]:
    """Return the handlers of a kind of input, in the order in which they run."""
    of = HANDLERS.get(kind)
    if of is None:
        return ()
    handlers = of(components)
    if kind in ACTIVITY:
        handlers = (*handlers, components.limits.on_activity)
    # Without retention and limits, the audio paths are one handler long.
    disabled = [part for part in (components.retention, components.limits) if not part.enabled]
    return tuple(h for h in handlers if getattr(h, "__self__", None) not in disabled)


def dispatch_table(components: Components) -> Mapping[type, tuple[Handler, ...]]:
    """Return the handlers of each input."""
    return {kind: handlers_of(kind, components) for kind in HANDLERS}
