"""A session as tasks of asyncio use it."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from trio_realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    Response,
    ResponseOutcome,
    SessionEnd,
)
from trio_realtime.config import OverflowPolicy, SettingsChanges
from trio_realtime.errors import SessionClosed
from trio_realtime.events import AnyEvent, Audio, SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.session import PlaybackTracker, SessionStatistics
from trio_realtime.session.arguments import MessageContent
from trio_realtime.session.audio_file import AudioSource
from trio_realtime.session.end_call import GOODBYE
from trio_realtime.usage import Usage
from trio_realtime.wire import UNSET, AudioFormat, InputItem, Session, ToolSpec, Unset

from .channels import AsyncioChannel, Pump
from .crossing import TrioSide

__all__ = ["AsyncioPlayback", "AsyncioResponse", "AsyncioSession"]

ContextT = TypeVar("ContextT")
EventT = TypeVar("EventT", bound=SessionEvent)
P = ParamSpec("P")
T = TypeVar("T")

StartPump = Callable[[Pump[Any]], None]
"""Starts a pump on trio."""


class AsyncioSession(Generic[ContextT]):
    """A session for tasks of asyncio. :meth:`AsyncioBridge.open_session` makes it.

    It has the methods of :class:`~trio_realtime.RealtimeSession`, with the same arguments, results and
    exceptions. Iterate it for its events. What takes a moment on trio's side is a coroutine here:
    :meth:`history`, :meth:`statistics`, :meth:`mute`, and the methods of :attr:`playback`.

    Cancelling a call cancels it on trio too, and waits until it has ended there.

    Attributes:
        trio_session: the session, which only functions on trio may use; see :meth:`AsyncioBridge.run`.
    """

    def __init__(
        self, side: TrioSide, session: RealtimeSession[ContextT], start_pump: StartPump
    ) -> None:
        self.trio_session = session
        self._side = side
        self._start_pump = start_pump
        self._playback = AsyncioPlayback(side, session.playback)
        self._events = self._channel(session.events)

    def __repr__(self) -> str:
        return f"<AsyncioSession, agent {self.current_agent.name!r}>"

    async def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run an async function on trio. It may use :attr:`trio_session`."""
        return await self._side.call(function)

    def response(self, response: Response) -> AsyncioResponse:
        """Return a response that was requested on trio, for asyncio."""
        return AsyncioResponse(self._side, response)

    def _channel(self, channel: Any) -> AsyncioChannel[Any]:
        pump: Pump[Any] = Pump(channel)

        async def read() -> Any:
            return channel.statistics()

        self._side.post(self._start_pump, pump)
        return AsyncioChannel(self._side, pump, read)

    # --- consume

    @property
    def events(self) -> AsyncioChannel[AnyEvent]:
        """The main channel, with every event except the raw ones. Tasks that read it share the events."""
        return self._events

    def __aiter__(self) -> AsyncioChannel[AnyEvent]:
        return self._events

    @overload
    def subscribe(
        self, *, overflow: OverflowPolicy | None = None
    ) -> AbstractAsyncContextManager[AsyncioChannel[AnyEvent]]: ...

    @overload
    def subscribe(
        self, *event_types: type[EventT], overflow: OverflowPolicy | None = None
    ) -> AbstractAsyncContextManager[AsyncioChannel[EventT]]: ...

    def subscribe(
        self, *event_types: type[Any], overflow: OverflowPolicy | None = None
    ) -> AbstractAsyncContextManager[AsyncioChannel[Any]]:
        """Open an independent channel for the duration of an ``async with`` block.

        Args:
            event_types, overflow: as in :meth:`.RealtimeSession.subscribe`.
        """
        manager = self.trio_session.subscribe(*event_types, overflow=overflow)

        async def enter(stack: AsyncExitStack) -> Any:
            return stack.enter_context(manager)

        return self._open(enter)

    def paced_audio(
        self, *, frame_ms: int = 20, pad: bool = False
    ) -> AbstractAsyncContextManager[AsyncioChannel[Audio]]:
        """Open a channel with the agent's audio in frames, each delivered when it is time to play it.

        Args:
            frame_ms, pad: as in :meth:`.RealtimeSession.paced_audio`.
        """

        async def enter(stack: AsyncExitStack) -> Any:
            return await stack.enter_async_context(
                self.trio_session.paced_audio(frame_ms=frame_ms, pad=pad)
            )

        return self._open(enter)

    @asynccontextmanager
    async def _open(
        self, enter: Callable[[AsyncExitStack], Coroutine[Any, Any, Any]]
    ) -> AsyncGenerator[AsyncioChannel[Any]]:
        stack = AsyncExitStack()  # only trio uses it
        try:
            # A cancelled call may have entered: what it returns is lost, and the stack is not.
            channel = self._channel(await self.call(functools.partial(enter, stack)))
            try:
                yield channel
            finally:
                channel.close()
        finally:
            with suppress(SessionClosed):
                await self.call(stack.aclose)  # noqa: ASYNC102 - asyncio cancels a task once

    # --- speak, steer and end

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

        See :meth:`.RealtimeSession.send_message`.
        """
        await self.call(
            functools.partial(
                self.trio_session.send_message,
                content,
                respond=respond,
                item_id=item_id,
                previous_item_id=previous_item_id,
                event_id=event_id,
            )
        )

    async def send_audio(
        self, pcm: bytes | bytearray | memoryview, *, commit: bool = False
    ) -> None:
        """Send audio of the user.

        See :meth:`.RealtimeSession.send_audio`.
        """
        await self.call(functools.partial(self.trio_session.send_audio, pcm, commit=commit))

    async def send_file(
        self,
        source: AudioSource,
        *,
        realtime: bool = True,
        frame_ms: float = 20,
        silence_ms: float | None = None,
    ) -> None:
        """Send a recording of the user's speech, as a microphone would.

        See :meth:`.RealtimeSession.send_file`.
        """
        await self.call(
            functools.partial(
                self.trio_session.send_file,
                source,
                realtime=realtime,
                frame_ms=frame_ms,
                silence_ms=silence_ms,
            )
        )

    async def commit_audio(self) -> None:
        """End the user's turn, for push-to-talk. This does not request a response.

        See :meth:`.RealtimeSession.commit_audio`.
        """
        await self.call(self.trio_session.commit_audio)

    async def clear_audio(self) -> None:
        """Drop the audio in the service's input buffer that is not part of a turn yet.

        See :meth:`.RealtimeSession.clear_audio`.
        """
        await self.call(self.trio_session.clear_audio)

    async def send_raw(self, event: Mapping[str, Any]) -> None:
        """Send a client event that the library has no method for, or with keys that it does not know.

        See :meth:`.RealtimeSession.send_raw`.
        """
        await self.call(functools.partial(self.trio_session.send_raw, event))

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
    ) -> AsyncioResponse:
        """Request a response with its own settings.

        See :meth:`.RealtimeSession.create_response`.
        """
        return self.response(
            await self.call(
                functools.partial(
                    self.trio_session.create_response,
                    instructions=instructions,
                    conversation=conversation,
                    input=input,
                    metadata=metadata,
                    tools=tools,
                    tool_choice=tool_choice,
                    output_modalities=output_modalities,
                    max_output_tokens=max_output_tokens,
                    extra=extra,
                )
            )
        )

    async def ask(self, content: MessageContent) -> ResponseOutcome:
        """Send a message of the user and wait for the agent's answer, after all its function calls.

        See :meth:`.RealtimeSession.ask`.
        """
        return await self.call(functools.partial(self.trio_session.ask, content))

    async def interrupt(self) -> None:
        """Stop the agent: its response, its audio and its tools.

        See :meth:`.RealtimeSession.interrupt`.
        """
        await self.call(self.trio_session.interrupt)

    async def update_settings(self, **changes: Unpack[SettingsChanges]) -> Session:
        """Change settings; return when the service has accepted them.

        See :meth:`.RealtimeSession.update_settings`.
        """
        return await self.call(functools.partial(self.trio_session.update_settings, **changes))

    async def update_history(
        self,
        history: Sequence[HistoryItem] | Callable[[Sequence[HistoryItem]], Sequence[HistoryItem]],
    ) -> Sequence[HistoryItem]:
        """Edit the conversation; return when the service has carried out the edit.

        See :meth:`.RealtimeSession.update_history`.
        """
        return await self.call(functools.partial(self.trio_session.update_history, history))

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> bool:
        """Approve a call that waits for approval, so that it runs.

        See :meth:`.RealtimeSession.approve_tool_call`.
        """
        return await self.call(
            functools.partial(self.trio_session.approve_tool_call, call_id, always=always)
        )

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, message: str | None = None
    ) -> bool:
        """Reject a call that waits for approval. The call is answered, and the model goes on.

        See :meth:`.RealtimeSession.reject_tool_call`.
        """
        return await self.call(
            functools.partial(
                self.trio_session.reject_tool_call, call_id, always=always, message=message
            )
        )

    async def reconnect(self) -> None:
        """Replace the connection with a new one; return when the session uses it.

        See :meth:`.RealtimeSession.reconnect`.
        """
        await self.call(self.trio_session.reconnect)

    async def drain(self, *, timeout: float | None = None) -> bool:
        """Wait until the agent has nothing more to say.

        See :meth:`.RealtimeSession.drain`.
        """
        return await self.call(functools.partial(self.trio_session.drain, timeout=timeout))

    async def end_call(self, *, instructions: str | None = GOODBYE) -> bool:
        """Ask the agent for a last sentence, wait until it was heard, and end the session.

        See :meth:`.RealtimeSession.end_call`.
        """
        return await self.call(
            functools.partial(self.trio_session.end_call, instructions=instructions)
        )

    async def aclose(self, *, drain_timeout: float | None = None) -> None:
        """End the session: stop the tools, send the queued frames, close the connection. Idempotent.

        See :meth:`.RealtimeSession.aclose`.
        """
        await self.call(functools.partial(self.trio_session.aclose, drain_timeout=drain_timeout))

    async def hang_up(self) -> None:
        """End the session because the user has hung up, as :meth:`aclose` does. Idempotent.

        See :meth:`.RealtimeSession.hang_up`.
        """
        await self.call(self.trio_session.hang_up)

    async def update_agent(self, agent: RealtimeAgent[ContextT]) -> None:
        """Make another agent current; see :meth:`.RealtimeSession.update_agent`."""
        await self.call(functools.partial(self.trio_session.update_agent, agent))

    async def observe_input_audio(self, observer: Callable[[bytes], object] | None) -> None:
        """Call a function with each piece of the user's audio. It is called in trio's thread.

        See :meth:`.RealtimeSession.observe_input_audio`.
        """

        async def observe() -> None:
            self.trio_session.observe_input_audio(observer)

        await self.call(observe)

    async def mute(self, muted: bool) -> None:  # noqa: FBT001 - as that of the session
        """Stop sending the user's audio, or send it again. Muted audio is dropped."""

        async def mute() -> None:
            self.trio_session.mute(muted)

        await self.call(mute)

    # --- look

    async def history(self) -> Sequence[HistoryItem]:
        """Return the items of the conversation, in the service's order."""

        async def read() -> Sequence[HistoryItem]:
            return self.trio_session.history

        return await self.call(read)

    async def statistics(self) -> SessionStatistics:
        """Return what the session holds at this moment, and how fast its turns were."""

        async def read() -> SessionStatistics:
            return self.trio_session.statistics()

        return await self.call(read)

    # Each of these is a reference to an immutable object, which any thread may read.

    @property
    def playback(self) -> AsyncioPlayback:
        """How much of the agent's audio was heard."""
        return self._playback

    @property
    def end(self) -> SessionEnd | None:
        """How the session ended; ``None`` while it runs."""
        return self.trio_session.end

    @property
    def settings(self) -> Session:
        """The whole session object that the service has accepted last, with its defaults."""
        return self.trio_session.settings

    @property
    def usage(self) -> Usage:
        """The tokens of all responses so far."""
        return self.trio_session.usage

    @property
    def current_agent(self) -> RealtimeAgent[ContextT]:
        """The agent that the next response begins with."""
        return self.trio_session.current_agent

    @property
    def context(self) -> ContextT:
        """The ``context`` object of the session. Tools on trio use it in trio's thread."""
        return self.trio_session.context

    @property
    def is_muted(self) -> bool:
        """Whether the user's audio is dropped."""
        return self.trio_session.is_muted

    @property
    def input_format(self) -> AudioFormat:
        """The format of the user's audio."""
        return self.trio_session.input_format

    @property
    def output_format(self) -> AudioFormat:
        """The format of the agent's audio."""
        return self.trio_session.output_format


class AsyncioResponse:
    """A response that was requested. ``await`` it, or :meth:`wait`, for its outcome."""

    def __init__(self, side: TrioSide, response: Response) -> None:
        self._side = side
        self._response = response

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""
        return self._response.is_done

    async def wait(self) -> ResponseOutcome:
        """Wait for the response to complete; see :meth:`.Response.wait`."""
        return await self._side.call(self._response.wait)

    def __await__(self) -> Generator[Any, Any, ResponseOutcome]:
        return self.wait().__await__()

    async def cancel(self) -> None:
        """Stop the response, whether it has begun or not."""

        async def cancel() -> None:
            self._response.cancel()

        await self._side.call(cancel)


class AsyncioPlayback:
    """How much of the agent's audio was heard; see :class:`.PlaybackTracker`."""

    def __init__(self, side: TrioSide, tracker: PlaybackTracker) -> None:
        self._side = side
        self._tracker = tracker

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def call() -> T:
            return function(*args, **kwargs)

        return await self._side.call(call)

    async def played(self, item_id: str, content_index: int, ms: float) -> None:
        """Report how much of an item has been played; see :meth:`.PlaybackTracker.played`."""
        await self._call(self._tracker.played, item_id, content_index, ms)

    async def stop_reports(self) -> None:
        """Let audio play in real time from its arrival again."""
        await self._call(self._tracker.stop_reports)

    async def position(self, item_id: str, content_index: int = 0) -> float:
        """Return how many milliseconds of an item were heard."""
        return await self._call(self._tracker.position, item_id, content_index)

    async def remaining(self) -> float:
        """Return the seconds until all received audio has been heard."""
        return await self._call(lambda: self._tracker.remaining)
