"""The data of the events that describe a run of a session, rather than what happens in the conversation.

:meth:`.RpcEncoder.make` accepts them: ``encoder.make(event.type, event, time=now)``.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

import attrs

from trio_realtime._event_json import OMIT_NONE
from trio_realtime.wire import AudioFormat

__all__ = [
    "RUN_EVENTS",
    "ClientAttached",
    "ClientDetached",
    "RunConnected",
    "RunEnded",
    "RunError",
    "RunEvent",
    "RunFailure",
    "RunStarted",
    "RunWarning",
    "ToolResultRequired",
]


@attrs.frozen(kw_only=True)
class RunStarted:
    """A run of the session began, and connects to the service.

    Attributes:
        agent: the name of the agent.
        tenant: whom the session belongs to, if the server has tenants.
        model: the model, if it is known.
        endpoint: the URL of the service without credentials, if it is known.
    """

    type: ClassVar[Literal["run_started"]] = "run_started"
    agent: str
    tenant: str | None = attrs.field(default=None, metadata=OMIT_NONE)
    model: str | None = attrs.field(default=None, metadata=OMIT_NONE)
    endpoint: str | None = attrs.field(default=None, metadata=OMIT_NONE)


@attrs.frozen(kw_only=True)
class RunConnected:
    """The session is connected, and the service has accepted its settings.

    Attributes:
        input_format: the format of the user's audio.
        output_format: the format of the agent's audio.
    """

    type: ClassVar[Literal["run_connected"]] = "run_connected"
    input_format: AudioFormat
    output_format: AudioFormat


@attrs.frozen(kw_only=True)
class RunWarning:
    """A part of the run does not work as requested, and the run goes on.

    Attributes:
        code: what is not as requested, for programs.
        message: what is not as requested, and what to change.
    """

    type: ClassVar[Literal["run_warning"]] = "run_warning"
    code: str
    message: str


@attrs.frozen(kw_only=True)
class RunError:
    """The exception that ended a run.

    Attributes:
        type: the name of its class.
        message: its text.
    """

    type: str
    message: str


@attrs.frozen(kw_only=True)
class RunFailure:
    """A part of the run that failed while the conversation went on, such as the recording.

    Attributes:
        part: the name of the part.
        message: why it failed.
    """

    part: str
    message: str


@attrs.frozen(kw_only=True)
class RunEnded:
    """The run ended. This is its last event.

    Attributes:
        by: who ended the run, such as ``application``, ``user``, ``service``, ``network`` or ``limit``.
        reason: why the run ended, such as ``closed`` or ``idle_timeout``.
        message: an explanation, if there is one.
        error: the exception that ended the run, if it failed.
        failures: the parts of the run that failed.
        duration: seconds from the beginning of the run to its end.
    """

    type: ClassVar[Literal["run_ended"]] = "run_ended"
    by: str
    reason: str
    message: str | None = attrs.field(default=None, metadata=OMIT_NONE)
    error: RunError | None = attrs.field(default=None, metadata=OMIT_NONE)
    failures: tuple[RunFailure, ...] = ()
    duration: float


@attrs.frozen(kw_only=True)
class ClientAttached:
    """A client connected to the session.

    Attributes:
        client_id: the id of the connection of the client.
        role: ``owner`` or ``observer``.
    """

    type: ClassVar[Literal["client_attached"]] = "client_attached"
    client_id: str
    role: str


@attrs.frozen(kw_only=True)
class ClientDetached:
    """A client is no longer connected to the session.

    Attributes:
        client_id: the id of the connection of the client.
        role: ``owner`` or ``observer``.
        reason: why the client is no longer connected.
    """

    type: ClassVar[Literal["client_detached"]] = "client_detached"
    client_id: str
    role: str
    reason: str


@attrs.frozen(kw_only=True)
class ToolResultRequired:
    """The agent calls a tool that the client runs. The owner answers with ``tool_result``.

    Attributes:
        call_id: the id of the call.
        tool_name: the name of the tool.
        arguments: the arguments as JSON text, an object.
    """

    type: ClassVar[Literal["tool_result_required"]] = "tool_result_required"
    call_id: str
    tool_name: str
    arguments: str


RunEvent: TypeAlias = (
    RunStarted
    | RunConnected
    | RunWarning
    | RunEnded
    | ClientAttached
    | ClientDetached
    | ToolResultRequired
)
"""The data of any run event."""

RUN_EVENTS: Final = (
    RunStarted,
    RunConnected,
    RunWarning,
    RunEnded,
    ClientAttached,
    ClientDetached,
    ToolResultRequired,
)
"""The classes of :data:`RunEvent`."""
