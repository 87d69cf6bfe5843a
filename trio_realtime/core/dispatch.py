"""Map each input to its handlers, in order.

:func:`dispatch_table` is the only place where an input meets its handlers. Several components may
handle the same input; they run from left to right, and their effects are carried out in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_realtime import wire as w

from . import forwarded_events, inputs as i
from .audio.playback import Playback
from .audio.retention import RetainedAudio
from .audio.user_audio import UserAudio
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
DispatchTable: TypeAlias = Mapping[type, tuple[Handler, ...]]


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


def dispatch_table(c: Components) -> DispatchTable:
    """Return the handlers of each input, in the order in which they run."""
    table: dict[type, tuple[Handler, ...]] = {
        # the session
        w.SessionCreated: (c.settings.on_session_created,),
        w.SessionUpdated: (c.settings.on_session_updated, c.limits.on_session_updated),
        w.ErrorEvent: (c.errors.on_error,),
        w.RateLimitsUpdated: (forwarded_events.rate_limits_updated,),
        w.WarningEvent: (forwarded_events.warning,),
        # the user's audio
        w.InputAudioBufferSpeechStarted: (
            c.user_audio.on_speech_started,
            c.interruption.on_speech_started,
        ),
        w.InputAudioBufferSpeechStopped: (
            c.user_audio.on_speech_stopped,
            forwarded_events.speech_stopped,
            c.requests.on_user_turn_ended,
        ),
        w.InputAudioBufferTimeoutTriggered: (
            forwarded_events.timeout_triggered,
            c.requests.on_user_turn_ended,
        ),
        w.InputAudioBufferCommitted: (c.user_audio.on_committed,),
        w.InputAudioBufferCleared: (c.user_audio.on_cleared,),
        w.InputAudioBufferDtmfEventReceived: (forwarded_events.dtmf_received,),
        w.InputAudioTranscriptionDelta: (c.history.on_transcription_delta,),
        w.InputAudioTranscriptionCompleted: (
            c.history.on_transcription_completed,
            c.trips.on_transcription_completed,
            c.user_audio.on_transcribed,
        ),
        w.InputAudioTranscriptionFailed: (c.history.on_transcription_failed,),
        # items of the conversation
        w.ConversationItemAdded: (
            c.history.on_item_added,
            c.outgoing.on_item_added,
            c.edits.on_item_added,
            c.user_audio.on_item_added,
        ),
        w.ConversationItemDone: (
            c.history.on_item_done,
            c.hosted.on_item_done,
            c.retention.on_item_done,
        ),
        w.ConversationItemRetrieved: (c.history.on_item_retrieved, c.retention.on_item_retrieved),
        w.ConversationItemDeleted: (
            c.history.on_item_deleted,
            c.edits.on_item_deleted,
            c.retention.on_item_deleted,
        ),
        w.ConversationItemTruncated: (
            c.history.on_item_truncated,
            c.retention.on_item_truncated,
        ),
        # responses
        w.ResponseCreated: (c.lifecycle.on_created,),
        w.ResponseOutputItemAdded: (
            c.output.on_item_added,
            c.hosted.on_output_item_added,
        ),
        w.ResponseContentPartAdded: (c.output.on_part_added,),
        w.ResponseOutputTextDelta: (c.output.on_text_delta,),
        w.ResponseOutputAudioTranscriptDelta: (c.output.on_text_delta,),
        w.ResponseOutputAudioDelta: (c.output.on_audio_delta, c.retention.on_audio_delta),
        w.ResponseOutputAudioDone: (c.output.on_audio_done,),
        w.ResponseContentPartDone: (c.output.on_part_done,),
        w.ResponseOutputTextDone: (c.output.on_text_done,),
        w.ResponseOutputAudioTranscriptDone: (c.output.on_transcript_done,),
        w.ResponseFunctionCallArgumentsDelta: (c.output.on_arguments_delta,),
        w.ResponseFunctionCallArgumentsDone: (c.output.on_arguments_done,),
        w.ResponseOutputItemDone: (
            c.lifecycle.on_output_item_done,
            c.retention.on_output_item_done,
            c.limits.on_output_item_done,
        ),
        w.ResponseDone: (
            c.lifecycle.on_done,
            c.retention.on_response_done,
            c.limits.on_response_done,
        ),
        # hosted MCP servers
        w.ResponseMcpCallInProgress: (c.hosted.on_call_in_progress,),
        w.ResponseMcpCallCompleted: (c.hosted.on_call_ended,),
        w.ResponseMcpCallFailed: (c.hosted.on_call_ended,),
        w.McpListToolsFailed: (c.hosted.on_list_tools_failed,),
        # commands of the user
        i.SendItem: (c.requests.on_send_item,),
        i.AppendAudio: (c.user_audio.on_append, c.limits.on_append_audio),
        i.CommitAudio: (c.user_audio.on_commit,),
        i.ClearAudio: (c.user_audio.on_clear,),
        i.CreateResponse: (c.requests.on_create_response,),
        i.CancelResponse: (c.requests.on_cancel_response,),
        i.Interrupt: (c.interruption.on_interrupt,),
        i.ReportPlayed: (c.playback.on_report_played,),
        i.StopPlaybackReports: (c.playback.on_stop_reports,),
        i.UpdateSettings: (c.settings.on_update_settings,),
        i.UpdateHistory: (c.edits.on_update_history,),
        i.SendRaw: (c.raw.on_send_raw,),
        i.ProtectCall: (c.calls.on_protect_call,),
        # results
        i.CallFinished: (c.calls.on_call_finished,),
        i.ApprovalDecided: (c.hosted.on_approval_decided,),
        i.ReplyChecked: (c.trips.on_reply_checked,),
        i.InputChecked: (c.trips.on_input_checked,),
        # connections
        i.DeadlinePassed: (c.connections.on_deadline_passed, c.limits.on_deadline_passed),
        i.ConnectionLost: (c.connections.on_connection_lost,),
        i.ConnectionRestored: (c.connections.on_connection_restored,),
        i.Disconnected: (c.connections.on_disconnected,),
    }
    for kind in ACTIVITY:
        table[kind] = (*table[kind], c.limits.on_activity)
    # Without retention and limits, the audio paths are one handler long.
    disabled = [part for part in (c.retention, c.limits) if not part.enabled]
    return {
        kind: tuple(h for h in handlers if getattr(h, "__self__", None) not in disabled)
        for kind, handlers in table.items()
    }
