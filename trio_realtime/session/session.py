"""The session as its user holds it. Every method asks the core and lets the shell carry it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar, Unpack, final, get_args

import attrs
import trio

from trio_realtime.agents import FunctionTool, RealtimeAgent
from trio_realtime.config import OverflowPolicy, SessionConfig, SettingsChanges, settings_of
from trio_realtime.core import HistoryEdited, ResponseOutcome
from trio_realtime.errors import UsageError
from trio_realtime.events import SessionEvent
from trio_realtime.items import HistoryItem, item_text
from trio_realtime.usage import Usage
from trio_realtime.wire import (
    UNSET,
    AudioFormat,
    ContentPart,
    ConversationItemCreate,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputImage,
    InputItem,
    InputText,
    Item,
    MessageItem,
    ResponseCreate,
    ResponseParams,
    Session,
    SessionUpdate,
    ToolSpec,
    Unset,
    encode,
)

from .consumers.bus import ChannelStatistics, EventChannel
from .consumers.paced_audio import EVENTS as PACED_EVENTS, PacedAudio
from .response_handle import Response
from .runtime import SessionRuntime
from .tools.approvals import Decision
from .tools.runner import current_call

ContextT = TypeVar("ContextT")
SENDABLE_PARTS = (InputText, InputImage, InputAudio)
MessageContent: TypeAlias = str | Sequence[ContentPart | str]


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """What a session holds at this moment.

    Attributes:
        events: the main channel's buffer.
        outgoing_frames: frames that wait to be sent.
        sent_frames: frames that were sent.
        running_tools: calls that run.
        history_items: items of the conversation.
    """

    events: ChannelStatistics
    outgoing_frames: int
    sent_frames: int
    running_tools: int
    history_items: int


@final
class PlaybackTracker:
    """How much of the agent's audio was heard, where the application knows better than a clock."""

    def __init__(self, shell: SessionRuntime) -> None:
        self._shell = shell

    def played(self, item_id: str, content_index: int, ms: float) -> None:
        """Tell that this much of an item has been played, in milliseconds from its beginning.

        From the first report on, only reports count: an item without one was not heard, and
        ``drain`` waits until all was reported. A report of an item that is not in the queue (played
        out, interrupted, or never there) has no effect. A negative value means that the item is not
        to be cut.
        """
        self._shell.core.report_played(item_id, content_index, ms, trio.current_time())
        self._shell.note_change()

    def position(self, item_id: str, content_index: int = 0) -> float:
        """Milliseconds of an item that have been heard; 0 for one that is not in the queue."""
        core = self._shell.core
        return core.playback.played_ms(item_id, content_index, trio.current_time())

    @property
    def remaining(self) -> float:
        """Seconds until all audio that was received has been heard."""
        now = trio.current_time()
        return self._shell.core.playback_ends_at(now) - now


@final
class RealtimeSession(Generic[ContextT]):
    """A running session; made by :func:`~trio_realtime.open_realtime_session`.

    Iterate it, or :attr:`events`, for its events. All methods may be called from any task. After the
    session has ended they raise what ended it, or
    :class:`~trio_realtime.errors.SessionClosed`.
    """

    def __init__(
        self,
        *,
        shell: SessionRuntime,
        config: SessionConfig,
        context: ContextT,
        shut_down: Callable[[], Awaitable[None]],
    ) -> None:
        self._shell = shell
        self._config = config
        self._context = context
        self._shut_down = shut_down
        self._events = shell.hub.open_channel()
        self._playback = PlaybackTracker(shell)
        self._muted = False

    def __repr__(self) -> str:
        session = self._shell.core.session
        known = f"{session.id}, {session.model}" if session is not None else "not greeted"
        return f"<RealtimeSession {known}, agent {self.current_agent.name!r}>"

    # --- consume

    @property
    def events(self) -> EventChannel:
        """The main channel: every event but the raw ones. Tasks that share it share the events."""
        return self._events

    def __aiter__(self) -> EventChannel:
        return self._events

    @contextmanager
    def subscribe(
        self, *event_types: type[SessionEvent], overflow: OverflowPolicy | None = None
    ) -> Generator[EventChannel]:
        """A channel of one's own, from now on to the end of the block.

        Args:
            event_types: what it carries; every event but the raw ones if none are named.
            overflow: what happens when too much is left unread; the session's setting by default.
        """
        channel = self._shell.hub.open_channel(event_types, overflow=overflow)
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
        """Say something as the user.

        Returns when it is in line to be sent. While the agent is answering, the answer to this
        comes after that.

        Args:
            content: text, or parts: texts, images.
            respond: ask for an answer.
            item_id: the message's id in the history, up to 32 characters; the service's by default.
            previous_item_id: the item that it is to stand after, ``"root"`` for the very beginning;
                the end by default.
            event_id: a name of yours for this request, up to 512 characters. If the service refuses
                it, the ``error`` event's exception has it as ``event_id``. Not one like
                ``create_1``: the library's own are so.

        Raises:
            UsageError: there is nothing in it, or an id is too long.
        """
        await self._ready()
        _check_length("item_id", item_id, 32)
        _check_length("event_id", event_id, 512)
        item = MessageItem(id=item_id, role="user", content=_parts(content))
        core = self._shell.core
        self._shell.apply(core.check_input(item_text(item)))
        self._shell.apply(
            core.send_item(
                item, respond=respond, previous_item_id=previous_item_id, event_id=event_id
            )
        )

    async def send_audio(
        self, pcm: bytes | bytearray | memoryview, *, commit: bool = False
    ) -> None:
        """Send audio of the user: raw bytes in the input format (PCM16 mono 24 kHz by default).

        Waits while too much is in line to be sent. If it is cancelled, the audio was not sent.

        Args:
            pcm: any length; 20 to 100 ms are usual.
            commit: end the turn; for push-to-talk.

        Raises:
            UsageError: more than the service takes at once (15 MiB).
        """
        try:
            append = InputAudioBufferAppend(audio=bytes(pcm))
        except ValueError as exc:
            raise UsageError(str(exc)) from None
        await self._shell.outbox.wait_room()
        if pcm and not self._muted:
            self._shell.outbox.put(append)
        if commit:
            self._shell.outbox.put(InputAudioBufferCommit())

    async def commit_audio(self) -> None:
        """End the user's turn; for push-to-talk. Does not ask for an answer."""
        await self._ready()
        self._shell.outbox.put(InputAudioBufferCommit())

    async def clear_audio(self) -> None:
        """Drop the audio that the service holds and that is not yet part of a turn."""
        await self._ready()
        self._shell.outbox.put(InputAudioBufferClear())

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
    ) -> Response:
        """Ask for a response with settings of its own.

        In the conversation it is asked for when its turn comes, after what was asked for before it.
        With ``conversation="none"`` it runs beside the conversation, at once.

        Args:
            instructions, tools, tool_choice, output_modalities, max_output_tokens: in place of the
                session's.
            conversation: ``"none"`` to leave no trace in the conversation.
            input: the context instead of the conversation; ``[]`` for none.
            metadata: up to 15 pairs, echoed by the service.

        Returns:
            Response: ``await`` it for the outcome.

        Raises:
            UsageError: the metadata is too large.
        """
        await self._ready()
        if metadata is not None and len(metadata) > 15:
            raise UsageError(
                f"metadata may have 15 pairs, not {len(metadata)}: one is the library's"
            )
        with _as_usage_errors():
            params = _sendable(
                ResponseParams(
                    instructions=instructions,
                    conversation=conversation,
                    input=input if isinstance(input, Unset) else tuple(input),
                    metadata=metadata,
                    tools=tools if isinstance(tools, Unset) else tuple(map(_spec, tools)),
                    tool_choice=tool_choice,
                    output_modalities=(
                        output_modalities
                        if isinstance(output_modalities, Unset)
                        else tuple(output_modalities)
                    ),
                    max_output_tokens=max_output_tokens,
                )
            )
        return self._create(params, through_tools=False)

    async def ask(self, content: MessageContent) -> ResponseOutcome:
        """Say something as the user and wait for the answer, through function calls if it makes any.

        The question joins the conversation when its turn comes: after the answers to the questions
        before it, with all the tools that they take. So several tasks that ask each get the answer
        to their own question; one that is asked inside a tool does not wait. Events of it come
        through the channels as ever: whoever iterates afterwards finds them there. Cancelling the
        wait leaves the answer to run, and a question that waits for its turn to be asked.

        Returns:
            ResponseOutcome: its ``text`` is what the agent said.

        Raises:
            ResponseFailed: the answer was cut off or failed.
        """
        await self._ready()
        question = MessageItem(role="user", content=_parts(content))
        nested = current_call.get() in self._shell.tools.running_ids()
        return await self._create(None, through_tools=True, question=question, nested=nested).wait()

    def _create(
        self,
        params: ResponseParams | None,
        *,
        through_tools: bool,
        question: MessageItem | None = None,
        nested: bool = False,
    ) -> Response:
        shell = self._shell
        token, effects = shell.core.create_response(
            params, through_tools=through_tools, question=question, nested=nested
        )
        waiter = shell.expect(token)
        shell.apply(effects)
        return Response(
            waiter, lambda: shell.apply(shell.core.cancel_response(token, trio.current_time()))
        )

    # --- steer

    async def interrupt(self) -> None:
        """Make the agent stop: its response, its audio, its tools.

        Returns when the tools have ended, with their ``finally`` blocks, and are answered; a tool
        that calls it does not wait for itself. If it is
        cancelled while it waits for them, the interrupt stands all the same.
        """
        await self._ready()
        shell = self._shell
        shell.apply(shell.core.interrupt(trio.current_time()))
        # Only for the calls that it hits: the others go on, and one of them may be who asks.
        others = set(shell.tools.running_ids()) - {current_call.get()}
        hit = tuple(id_ for id_ in others if shell.core.was_cancelled(id_))
        await shell.tools.wait_ended(hit)
        # Here a tool that interrupts itself ends.
        await trio.lowlevel.checkpoint()

    async def update_settings(self, **changes: Unpack[SettingsChanges]) -> Session:
        """Change settings; returns when the service has accepted them.

        Only what differs from what it has accepted before is sent. If the wait is cancelled, the
        change is made all the same.

        Args:
            changes: as in :class:`~trio_realtime.SessionConfig`; ``None`` clears a setting.

        Returns:
            Session: the whole effective session.

        Raises:
            SettingsRejected: the service refused; nothing was changed.
            UsageError: a setting that cannot be. Nothing was sent.
        """
        await self._ready()
        unknown = changes.keys() - SettingsChanges.__annotations__.keys()
        if unknown:
            raise UsageError(f"no such settings: {', '.join(sorted(unknown))}")
        with _as_usage_errors():
            wanted = settings_of(changes)
            encode(SessionUpdate(session=wanted))
        return await self._shell.change_settings(wanted)

    async def update_history(
        self,
        history: Sequence[HistoryItem] | Callable[[Sequence[HistoryItem]], Sequence[HistoryItem]],
    ) -> Sequence[HistoryItem]:
        """Make the conversation this; returns when the service has done so.

        What is the same stays, what is gone is deleted, what is new, changed or moved is created.
        Messages may have text, those of the user also images. If the wait is cancelled, the edit is
        made all the same. What was sent before and is not yet in :attr:`history` is not part of it;
        a call that is taken out while its tool runs cannot be answered any more, and an ``error``
        event says so.

        Args:
            history: items in order; or a function that makes them of the present ones. An item
                without an id is given one.

        Returns:
            The history as the service has it then.

        Raises:
            UsageError: an item cannot be created: audio of the assistant, audio of the user without
                its bytes, what the service makes itself, an output without its call. Nothing was
                sent.
            RequestRejected: the service refused a part of it. What it did not refuse is done, and
                stands in :attr:`history`.
        """
        await self._ready()
        shell = self._shell
        wanted = _items(history(self.history) if callable(history) else history)
        token, effects = shell.core.update_history(wanted)
        waiter = shell.expect(token)
        shell.apply(effects)
        edited = await waiter.wait()
        assert isinstance(edited, HistoryEdited)
        return edited.history

    async def update_agent(self, agent: RealtimeAgent[ContextT]) -> None:
        """Let another agent take over; returns when the service has accepted its settings.

        A ``handoff`` event tells when. Responses that have begun by then, and their tools, still
        belong to the agent before. Audio formats and whatever else is set stay. If the wait is
        cancelled before the settings were sent, nothing happens; after that, the agent takes over
        all the same.

        Raises:
            SettingsRejected: the service refused; the agent before stays.
            McpServerFailed: an MCP server that it requires did not start; likewise.
        """
        await self._ready()
        if not isinstance(agent, RealtimeAgent):
            raise UsageError(f"update_agent takes a RealtimeAgent, not {agent!r:.80}")
        await self._shell.tools.desk.take_over(agent, None)

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> bool:
        """Let a call run that waits for approval.

        Args:
            call_id: of a ``tool_approval_required`` event.
            always: let later calls of this tool run without asking.

        Returns:
            bool: whether it was waiting. The first decision counts.
        """
        return await self._decide(call_id, Decision(approved=True), always=always)

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, message: str | None = None
    ) -> bool:
        """Refuse a call that waits for approval; the model is told, and goes on.

        Args:
            call_id: of a ``tool_approval_required`` event.
            always: refuse later calls of this tool without asking.
            message: what the model is told; by default that it was not approved. Something else than
                text is a :class:`~trio_realtime.errors.UsageError`.

        Returns:
            bool: whether it was waiting. The first decision counts.
        """
        decision = Decision(approved=False, message=message)
        return await self._decide(call_id, decision, always=always)

    async def _decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        await self._ready()
        return self._shell.tools.desk.approvals.decide(call_id, decision, always=always)

    def mute(self, muted: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Stop sending the user's audio, or send it again. What is muted is dropped, not kept."""
        self._muted = muted

    @property
    def is_muted(self) -> bool:
        """Whether the user's audio is dropped."""
        return self._muted

    async def drain(self) -> None:
        """Wait until the agent has nothing more to say.

        No response runs or is due, no tool runs, and all audio has been heard. Not from inside a
        tool: the agent speaks of its answer only after it.

        Raises:
            RealtimeError: the session ended first.
        """
        await self._ready()
        if current_call.get() in self._shell.tools.running_ids():
            raise UsageError(
                "drain() inside a tool would wait for the tool itself: let another task do it"
            )
        shell = self._shell
        while True:
            shell.outbox.check()
            ends_at = shell.core.playback_ends_at(trio.current_time())
            quiet = shell.core.is_quiet and not shell.tools.running
            if quiet and ends_at <= trio.current_time():
                return
            with trio.move_on_at(ends_at if quiet else float("inf")):
                await shell.wait_change()

    async def aclose(self) -> None:
        """End the session: stop tools, send what is in line, close. Iteration ends. Idempotent.

        Takes ``close_timeout`` at most, whatever the service does; tools that shield themselves or
        asked for a ``finish_timeout`` come on top.
        """
        await self._shut_down()

    async def _ready(self) -> None:
        await trio.lowlevel.checkpoint()
        self._shell.outbox.check()

    # --- look

    @property
    def history(self) -> Sequence[HistoryItem]:
        """The conversation's items, in the service's order, with what has come of them so far."""
        return self._shell.core.history.snapshot()

    @property
    def current_agent(self) -> RealtimeAgent[ContextT]:
        """The agent that the next response begins with."""
        agent: RealtimeAgent[ContextT] = self._shell.core.agent
        return agent

    @property
    def context(self) -> ContextT:
        """The object that was given for tools and the like."""
        return self._context

    @property
    def usage(self) -> Usage:
        """Tokens of all responses so far."""
        return self._shell.core.usage

    @property
    def playback(self) -> PlaybackTracker:
        """How much was heard, and the way to tell it."""
        return self._playback

    def statistics(self) -> SessionStatistics:
        """What the session holds at this moment."""
        return SessionStatistics(
            events=self._events.statistics(),
            outgoing_frames=self._shell.outbox.waiting,
            sent_frames=self._shell.outbox.sent,
            running_tools=self._shell.tools.running,
            history_items=len(self._shell.core.history),
        )

    # --- play

    def paced_audio(self, *, frame_ms: int = 20, pad: bool = False) -> PacedAudio:
        """The agent's audio in frames, each when it is time to play it.

        For example::

            async with session.paced_audio() as frames:
                async for frame in frames:
                    speaker.write(frame.data)

        What is handed out is reported as played. An interruption drops what was not handed out, and
        so does leaving the block; after that, audio counts as played in real time again.

        Args:
            frame_ms: milliseconds of audio in a frame; the last of an item may be shorter.
            pad: fill that last one with silence.

        Raises:
            UsageError: ``frame_ms`` is not positive.
        """
        if frame_ms < 1:
            raise UsageError(f"frame_ms must be 1 or more, not {frame_ms}")
        encoding = self._output_format()
        return PacedAudio(
            self._shell.hub.open_channel(PACED_EVENTS),
            self._playback.played,
            self._shell.core.stop_reports,
            bytes_per_ms=encoding.bytes_per_ms,
            frame_ms=frame_ms,
            pad=pad,
            encoding=encoding.type,
        )

    def _output_format(self) -> AudioFormat:
        session = self._shell.core.session
        told = session.output_format if session is not None else None
        return told if told is not None else self._config.output_format


@contextmanager
def _as_usage_errors() -> Generator[None]:
    """What the wire's own classes refuse is the caller's to mend.

    And what cannot be written: later, somebody would already count on it having been sent.
    """
    try:
        yield
    except (ValueError, TypeError) as exc:
        raise UsageError(str(exc)) from None


def _sendable(params: ResponseParams) -> ResponseParams:
    encode(ResponseCreate(response=params))
    return params


def _spec(tool: FunctionTool | ToolSpec) -> ToolSpec:
    return tool.spec() if isinstance(tool, FunctionTool) else tool


def _check_length(name: str, value: str | None, most: int) -> None:
    if value is not None and not 0 < len(value) <= most:
        raise UsageError(f"{name} may have 1 to {most} characters, not {len(value)}")


def _items(history: Sequence[HistoryItem]) -> Sequence[HistoryItem]:
    given: Any = history
    if not isinstance(given, Sequence) or not all(isinstance(i, get_args(Item)) for i in history):
        raise UsageError(
            f"update_history takes a sequence of items (trio_realtime.items), or a function that "
            f"returns one, not {given!r:.80}"
        )
    for item in history:
        _check_length("an item's id", item.id, 32)
    return history


def _parts(content: MessageContent) -> tuple[ContentPart, ...]:
    if isinstance(content, str):
        content = (content,)
    parts = tuple(InputText(text=p) if isinstance(p, str) else p for p in content)
    if not parts or all(isinstance(p, InputText) and not p.text for p in parts):
        raise UsageError("a message needs some text, an image or audio")
    for part in parts:
        if not isinstance(part, SENDABLE_PARTS):
            raise UsageError(
                f"a message may have text, InputImage and InputAudio, not {part!r:.80}"
            )
    with _as_usage_errors():
        encode(ConversationItemCreate(item=MessageItem(role="user", content=parts)))
    return parts
