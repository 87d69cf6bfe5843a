"""The session as its user sees it. Every method feeds the core and leaves the rest to the runtime."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, TypeVar, Unpack, final, overload

import trio

from trio_realtime.agents import FunctionTool, RealtimeAgent
from trio_realtime.config import (
    OverflowPolicy,
    SessionConfig,
    SettingsChanges,
    apply_interruption,
    checked_extra,
    settings_of,
)
from trio_realtime.core import (
    ROOT,
    CreateResponse,
    HistoryEdited,
    Interrupt,
    ResponseOutcome,
    SendEncoded,
    SendItem,
    SendRaw,
    UpdateHistory,
)
from trio_realtime.errors import UsageError
from trio_realtime.events import AnyEvent, SessionEvent
from trio_realtime.items import MAX_ID_LENGTH, HistoryItem, item_text
from trio_realtime.usage import Usage
from trio_realtime.wire import (
    UNSET,
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputImage,
    InputItem,
    InputText,
    MessageItem,
    ResponseCreate,
    ResponseParams,
    Session,
    ToolSpec,
    Unset,
)

from .arguments import (
    MessageContent,
    as_usage_errors,
    check_length,
    check_new_ids,
    history_items,
    message_parts,
    raw_event,
    tool_spec,
)
from .audio_methods import AudioMethods
from .connection.connections import SessionConnections
from .consumers.channel import EventChannel
from .consumers.paced_audio import PACED_EVENTS, PacedAudio
from .end_call import ShutDown
from .playback_tracker import PlaybackTracker
from .response_handle import Response
from .runtime import SessionRuntime
from .statistics import SessionStatistics
from .tools.approvals import Decision
from .tools.call_services import ToolServices
from .tracing import warn_about_unnamed_trace

ContextT = TypeVar("ContextT")
EventT = TypeVar("EventT", bound=SessionEvent)


@final
class RealtimeSession(AudioMethods, Generic[ContextT]):
    """A running session. :func:`~trio_realtime.open_realtime_session` makes it.

    Iterate the session, or :attr:`events`, for its events. All methods may be called from any task of
    the same trio run. After the session has ended, they raise what ended it, or
    :class:`~trio_realtime.errors.SessionClosed`.
    """

    def __init__(
        self,
        *,
        runtime: SessionRuntime,
        services: ToolServices,
        config: SessionConfig,
        context: ContextT,
        connections: SessionConnections,
        shut_down: ShutDown,
    ) -> None:
        super().__init__(runtime, shut_down, config)
        self._connections = connections
        self._services = services
        self._context = context
        self._events: EventChannel[AnyEvent] = runtime.bus.open_channel()
        self._playback = PlaybackTracker(runtime)

    def __repr__(self) -> str:
        session = self._runtime.core.session
        known = f"{session.id}, {session.model}" if session is not None else "not connected"
        return f"<RealtimeSession {known}, agent {self.current_agent.name!r}>"

    # --- consume

    @property
    def events(self) -> EventChannel[AnyEvent]:
        """The main channel, with every event except the raw ones. Tasks that read it share the events."""
        return self._events

    def __aiter__(self) -> EventChannel[AnyEvent]:
        return self._events

    @overload
    def subscribe(
        self, *, overflow: OverflowPolicy | None = None
    ) -> AbstractContextManager[EventChannel[AnyEvent]]: ...

    @overload
    def subscribe(
        self, *event_types: type[EventT], overflow: OverflowPolicy | None = None
    ) -> AbstractContextManager[EventChannel[EventT]]: ...

    def subscribe(
        self, *event_types: type[Any], overflow: OverflowPolicy | None = None
    ) -> AbstractContextManager[EventChannel[Any]]:
        """Open an independent channel for the duration of a ``with`` block.

        Args:
            event_types: the event classes that it carries; every event except the raw ones if none are
                named.
            overflow: what happens when the consumer falls too far behind; the session's policy by
                default.

        Raises:
            UsageError: a type is not an event class, or the policy is unknown.
        """
        return self._open_subscription(event_types, overflow)

    @contextmanager
    def _open_subscription(
        self, event_types: tuple[type[Any], ...], overflow: OverflowPolicy | None
    ) -> Generator[EventChannel[Any]]:
        self._runtime.guard.check()
        channel = self._runtime.bus.open_channel(event_types, overflow=overflow)
        try:
            yield channel
        finally:
            channel.close()

    # --- speak

    async def send_message(
        self,
        content: MessageContent,
        *,
        respond: bool = True,
        item_id: str | None = None,
        previous_item_id: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Send a message of the user.

        Returns once the message is queued. Waits while too many bytes are queued
        (``max_outgoing_text``); cancelling that wait sends nothing. While the agent is answering, the
        answer to this message comes after the current one.

        Args:
            content: text, or a sequence of texts and parts: ``InputText``, ``InputImage``,
                ``InputAudio``.
            respond: request a response.
            item_id: the id of the message in the history, up to 32 characters; chosen by the service by
                default.
            previous_item_id: the item that the message follows; ``"root"`` for the beginning of the
                conversation. By default, the message is added at the end.
            event_id: a name for this request, up to 512 characters. If the service rejects the
                message, the exception in the ``error`` event carries this ``event_id``. Names such as
                ``create_1`` are the library's own.

        Raises:
            UsageError: the message is empty, a part cannot be sent, or an id is too long.
        """
        await self._ready()
        if item_id is not None:
            check_length("item_id", item_id, MAX_ID_LENGTH)
        if event_id is not None:
            check_length("event_id", event_id, 512)
        message, text = self._encode_message(
            content, item_id=item_id, previous_item_id=previous_item_id, event_id=event_id
        )
        self._runtime.feed(SendItem(item=message, respond=respond, user_text=text))

    def _encode_message(
        self,
        content: MessageContent,
        *,
        item_id: str | None = None,
        previous_item_id: str | None = None,
        event_id: str | None = None,
    ) -> tuple[SendEncoded, str]:
        """Validate a message of the user by encoding it, once. Returns also its text."""
        parts = (
            (InputText(text=content),)
            if type(content) is str and content
            else message_parts(content)
        )
        if item_id is None and type(content) is not str:
            # The service does not echo an image's URL: the id tells which item it belongs to.
            has_image = any(isinstance(part, InputImage) for part in parts)
            item_id = self._runtime.new_id("image") if has_image else None
        if item_id is None and previous_item_id == ROOT:
            # The echo of the place is ambiguous: the id tells which item asked for it.
            item_id = self._runtime.new_id("first")
        item = MessageItem(id=item_id, role="user", content=parts)
        event = ConversationItemCreate(
            event_id=event_id or self._runtime.new_id("item"),
            previous_item_id=previous_item_id,
            item=item,
        )
        message = SendEncoded(event=event, message=self._runtime.encode(event))
        return message, content if isinstance(content, str) else item_text(item)

    async def create_response(
        self,
        *,
        instructions: str | Unset = UNSET,
        conversation: str | Unset = UNSET,
        input: Sequence[InputItem] | Unset = UNSET,  # noqa: A002 - the wire name
        metadata: Mapping[str, str] | None = None,
        tools: Sequence[FunctionTool | ToolSpec] | Unset = UNSET,
        tool_choice: Any = UNSET,
        output_modalities: Sequence[str] | Unset = UNSET,
        max_output_tokens: int | str | Unset = UNSET,
        extra: Mapping[str, Any] | Unset = UNSET,
    ) -> Response:
        """Request a response with its own settings.

        A response of the conversation is requested after all earlier requests. An out-of-band response
        (``conversation="none"``) is requested at once and runs in parallel.

        Args:
            instructions: replace the agent's instructions, only for this response like all arguments.
            tools: the tools that the model may call instead of the agent's.
            tool_choice: ``"auto"``, ``"none"``, ``"required"`` or one tool, as in
                :class:`~trio_realtime.SessionConfig`.
            output_modalities: ``["audio"]`` or ``["text"]``.
            max_output_tokens: the most tokens that the response may have, calls included.
            conversation: ``"none"`` for an out-of-band response, which is not part of the conversation.
            input: the context to use instead of the conversation; ``[]`` for no context.
            metadata: up to 15 pairs, which the service echoes.
            extra: keys of the response that have no argument. They are merged into what is sent, deeply
                and last, in the spelling of the service. ``conversation`` and ``metadata`` are refused.

        Returns:
            Response: ``await`` it for the outcome.

        Raises:
            UsageError: there are too many metadata pairs, or a setting cannot be sent.
        """
        await self._ready()
        if metadata is not None and len(metadata) > 15:
            raise UsageError(
                f"metadata must have at most 15 pairs, got {len(metadata)}; the library adds one"
            )
        with as_usage_errors():
            params = ResponseParams(
                instructions=instructions,
                conversation=conversation,
                input=input if isinstance(input, Unset) else tuple(input),
                metadata=metadata,
                tools=tools if isinstance(tools, Unset) else tuple(map(tool_spec, tools)),
                tool_choice=tool_choice,
                output_modalities=(
                    output_modalities
                    if isinstance(output_modalities, Unset)
                    else tuple(output_modalities)
                ),
                max_output_tokens=max_output_tokens,
                extra=checked_extra(extra, arguments=("conversation", "metadata")),
            )
        self._runtime.encode(ResponseCreate(response=params))
        request = self._runtime.track_request("response")
        self._runtime.feed(CreateResponse(token=request.token, params=params))
        return Response(request, self._runtime)

    async def send_raw(self, event: Mapping[str, Any]) -> None:
        """Send a client event that the library has no method for, or with keys that it does not know.

        The event is sent after everything that was sent before. What it changes is known to the session
        as if a method had sent it. A ``response.create`` waits until no response runs. A
        ``response.cancel`` interrupts. The output of a call answers it; its tool goes on, and its result
        is not sent. An approval decides its hosted MCP call. A ``session.update`` is sent as the
        difference to the accepted settings. Unknown keys are sent as they are.

        Cancelling the wait for space sends nothing.

        Args:
            event: the JSON object of the event, in the GA spelling. If the service rejects the event, an
                ``error`` event has its ``event_id``.

        Raises:
            UsageError: the event has no ``type``, is no JSON object, has too many metadata pairs, is a
                ``response.create`` with the ``event_id`` of one that is not answered yet, or answers a call
                that was answered already.
        """
        typed = raw_event(event)
        self._runtime.encode(typed)
        if isinstance(typed, InputAudioBufferAppend):
            self._runtime.guard.check()
            await self._runtime.send_queue.wait_for_audio_space()
            if not self._muted:
                self._runtime.feed(SendRaw(typed))
            return
        await self._ready()
        self._runtime.feed(SendRaw(typed))

    async def ask(self, content: MessageContent) -> ResponseOutcome:
        """Send a message of the user and wait for the agent's answer, after all its function calls.

        The message joins the conversation after the answers to all earlier prompts, including their
        tools. So tasks that ask at the same time each get the answer to their own prompt. A prompt from
        inside a tool does not wait. The events of the answer also arrive in the channels. Cancelling the
        wait stops neither a running answer nor a prompt that is still queued.

        Returns:
            ResponseOutcome: its ``text`` is the agent's answer.

        Raises:
            ResponseFailed: the answer failed or was interrupted.
            RealtimeError: the session ended first.
        """
        await self._ready()
        prompt, text = self._encode_message(content)
        request = self._runtime.track_request("response")
        self._runtime.feed(
            CreateResponse(
                token=request.token,
                until_turn_end=True,
                prompt=prompt,
                prompt_text=text,
                inside_turn=bool(self._runtime.tools.current_ids()),
            )
        )
        return await Response(request, self._runtime).wait()

    # --- steer

    async def interrupt(self) -> None:
        """Stop the agent: its response, its audio and its tools.

        Returns when the interrupted tools have ended, including their ``finally`` blocks, and their calls
        are answered. A tool that calls this does not wait for itself. Cancelling the wait does not undo
        the interruption.
        """
        await self._ready()
        runtime = self._runtime
        runtime.feed(Interrupt())
        # Calls that the interruption leaves alone go on, and one of them may be the caller.
        others = runtime.tools.running_ids() - runtime.tools.current_ids()
        await runtime.tools.wait_ended({id_ for id_ in others if runtime.core.was_cancelled(id_)})
        # A tool that has interrupted itself ends here.
        await trio.lowlevel.checkpoint()

    async def update_settings(self, **changes: Unpack[SettingsChanges]) -> Session:
        """Change settings; return when the service has accepted them.

        Only settings that differ from the accepted ones are sent. Cancelling the wait does not undo the
        change.

        Args:
            changes: settings of :class:`~trio_realtime.SessionConfig`; ``None`` clears a setting.

        Returns:
            Session: the whole effective session.

        Raises:
            SettingsRejected: the service rejected a setting. Nothing was changed.
            UsageError: a setting does not exist or cannot work. Nothing was sent.
        """
        await self._ready()
        unknown = changes.keys() - SettingsChanges.__annotations__.keys()
        if unknown:
            raise UsageError(f"unknown settings: {', '.join(sorted(unknown))}")
        with as_usage_errors():
            if "turn_detection" in changes:
                detection = apply_interruption(self._config.interruption, changes["turn_detection"])
                changes["turn_detection"] = detection
            wanted = settings_of(changes)
        warn_about_unnamed_trace(wanted.tracing)
        return await self._runtime.change_settings(wanted)

    async def update_history(
        self,
        history: Sequence[HistoryItem] | Callable[[Sequence[HistoryItem]], Sequence[HistoryItem]],
    ) -> Sequence[HistoryItem]:
        """Edit the conversation; return when the service has carried out the edit.

        Items that are equal stay. Items that are missing are deleted, and items that are new, changed or
        moved are created. Messages may contain text, and those of the user images. Cancelling the wait
        does not undo the edit. An item that was sent before and is not in :attr:`history` yet is not
        part of the edit. A call that is removed while its tool runs can no longer be answered; an
        ``error`` event reports that.

        Args:
            history: the items in order, or a function that takes the current items and returns them. An
                item without an id is given one.

        Returns:
            The resulting history.

        Raises:
            UsageError: an item cannot be created: audio of the assistant, audio of the user without its
                bytes, an item that the service makes itself, an output without its call, a part that
                the dialect of the endpoint does not have. Nothing was sent.
            RequestRejected: the service rejected a part of the edit. The other parts are carried out and
                appear in :attr:`history`.
        """
        await self._ready()
        wanted = history_items(
            history(self.history) if callable(history) else history,
            "a sequence of items (trio_realtime.items) or a function that returns one",
        )
        check_new_ids(wanted, self.history)
        known = {item.id: item for item in self.history}
        for item in wanted:
            if isinstance(item, MessageItem) and item != known.get(item.id):
                # The dialect of the endpoint may have no such part.
                self._runtime.encode(ConversationItemCreate(item=item))
        request = self._runtime.track_request("edit")
        try:
            self._runtime.feed(UpdateHistory(token=request.token, items=wanted))
        except UsageError:
            self._runtime.forget_request(request.token)
            raise
        edited = await request.wait()
        assert isinstance(edited, HistoryEdited)
        return edited.history

    async def update_agent(self, agent: RealtimeAgent[ContextT]) -> None:
        """Make another agent current; return when the service has accepted its settings.

        A ``handoff`` event reports the change. Responses that began before it, and their tools, belong
        to the previous agent. Audio formats and other settings stay. Cancelling the wait before the
        settings are sent has no effect; after that, the agent becomes current all the same.

        Args:
            agent: the agent.

        Raises:
            SettingsRejected: the service rejected the settings. The current agent stays.
            McpServerFailed: a required MCP server of the agent did not start. The current agent stays.
            UsageError: the argument is not a RealtimeAgent.
        """
        await self._ready()
        if not isinstance(agent, RealtimeAgent):
            raise UsageError(f"update_agent expected a RealtimeAgent, got {agent!r:.80}")
        await self._services.switcher.switch_to(agent)

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> bool:
        """Approve a call that waits for approval, so that it runs.

        Args:
            call_id: the call id of a ``tool_approval_required`` event.
            always: approve all other calls of this tool too: those that wait already, and later ones.

        Returns:
            bool: whether the call was waiting. The first decision counts.
        """
        return await self._decide(call_id, Decision(approved=True), always=always)

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, message: str | None = None
    ) -> bool:
        """Reject a call that waits for approval. The call is answered, and the model goes on.

        Args:
            call_id: the call id of a ``tool_approval_required`` event.
            always: reject all other calls of this tool too: those that wait already, and later ones.
            message: the text that the model is given; by default, that the call was not approved.

        Returns:
            bool: whether the call was waiting. The first decision counts.

        Raises:
            UsageError: the message is not a str.
        """
        decision = Decision(approved=False, message=message)
        return await self._decide(call_id, decision, always=always)

    async def _decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        await self._ready()
        return self._services.approvals.decide(call_id, decision, always=always)

    async def reconnect(self) -> None:
        """Replace the connection with a new one; return when the session uses it.

        The new connection is given the conversation first, and the old one stays in use meanwhile. Where
        the session waits before its next attempt to connect, it tries at once. A response that runs when
        the new connection is ready ends as ``failed`` with the reason ``disconnected``.

        Cancelling the wait does not stop the attempt.

        Raises:
            UsageError: the session has joined a call, which cannot be moved to another connection.
            RealtimeError: the new connection could not be opened, and the old one stays in use; or the
                session ended first.
        """
        self._runtime.guard.check()
        await self._connections.reconnect()

    # --- look

    @property
    def history(self) -> Sequence[HistoryItem]:
        """The items of the conversation, in the service's order, with everything received so far."""
        return self._runtime.core.history.snapshot()

    @property
    def settings(self) -> Session:
        """The whole session object that the service has accepted last, with its defaults."""
        session = self._runtime.core.session
        return session if session is not None else Session()

    @property
    def current_agent(self) -> RealtimeAgent[ContextT]:
        """The agent that the next response begins with."""
        agent: RealtimeAgent[ContextT] = self._runtime.core.agent
        return agent

    @property
    def context(self) -> ContextT:
        """The ``context`` object of the session, which tools and other callbacks get."""
        return self._context

    @property
    def usage(self) -> Usage:
        """The tokens of all responses so far."""
        return self._runtime.core.usage

    @property
    def playback(self) -> PlaybackTracker:
        """How much of the agent's audio was heard."""
        return self._playback

    def statistics(self) -> SessionStatistics:
        """Return what the session holds at this moment, and how fast its turns were."""
        return SessionStatistics(
            events=self._events.statistics(),
            outgoing_frames=self._runtime.send_queue.waiting,
            outgoing_audio=self._runtime.send_queue.audio,
            outgoing_text=self._runtime.send_queue.text,
            sent_frames=self._runtime.send_queue.sent,
            dropped_outgoing_audio=self._runtime.send_queue.dropped_audio,
            running_tools=self._runtime.tools.running,
            waiting_tools=self._runtime.tools.slots.waiting,
            gated_audio=self._runtime.core.gated_audio,
            dropped_audio=self._runtime.core.dropped_audio,
            running_checks=self._runtime.guardrails.running,
            superseded_checks=self._runtime.core.superseded_checks,
            history_items=len(self._runtime.core.history),
            latency=self._runtime.core.latency_statistics(),
        )

    # --- play

    def paced_audio(self, *, frame_ms: int = 20, pad: bool = False) -> PacedAudio:
        """Return the agent's audio in frames, each delivered when it is time to play it.

        For example::

            async with session.paced_audio() as frames:
                async for frame in frames:
                    speaker.write(frame.data)

        Delivered frames are reported as played. An interruption drops audio that was not delivered, and
        so does leaving the block. After the block, audio plays in real time from its arrival again.
        Audio that arrives before the block is entered is not delivered.

        Args:
            frame_ms: milliseconds of audio in a frame. The last frame of an item may be shorter.
            pad: fill the last frame of an item with silence.

        Raises:
            UsageError: ``frame_ms`` is less than 1.
        """
        if frame_ms < 1:
            raise UsageError(f"frame_ms must be at least 1, got {frame_ms}")
        encoding = self.output_format
        return PacedAudio(
            lambda: self._runtime.bus.open_channel(PACED_EVENTS),
            self._playback.played,
            self._playback.stop_reports,
            bytes_per_ms=encoding.bytes_per_ms,
            frame_ms=frame_ms,
            pad=pad,
            encoding=encoding.type,
            max_audio=self._config.max_buffered_audio,
            overflow=self._config.overflow,
        )
