"""The methods of a managed session for its user, and for the recording of what is said."""

from __future__ import annotations

import binascii
from abc import ABC, abstractmethod
from typing import Any

import pybase64
import trio

from trio_realtime import RealtimeSession
from trio_realtime.errors import UsageError

from .client_tools import ClientCalls
from .recording import RunRecorder

__all__ = ["UserMethods"]


class UserMethods(ABC):
    """The part of a :class:`.ManagedSession` that does what its user asks for."""

    _recorder: RunRecorder | None
    """Records the run; ``None`` if it is not recorded."""
    _client_calls: ClientCalls
    """The calls that wait for a result of the client."""

    @property
    @abstractmethod
    def session(self) -> RealtimeSession[Any]:
        """The realtime session; see :attr:`.ManagedSession.session`."""

    async def send_text(self, text: str, *, respond: bool = True) -> None:
        """Send a message of the user.

        Args:
            text: the message.
            respond: request a response.

        Raises:
            UsageError: the session is not connected, or the text is empty.
            RealtimeError: the session has ended.
        """
        await self.session.send_message(text, respond=respond)

    async def say(self, text: str) -> None:
        """Let the agent say a text, after what it is saying. The model usually says it word for word.

        Args:
            text: what to say, such as an announcement.

        Raises:
            UsageError: the session is not connected, or the text is empty.
            RealtimeError: the session has ended.
        """
        if not text.strip():
            raise UsageError("text must not be empty")
        instructions = f"Say exactly this, and nothing else: {text}"
        await self.session.create_response(instructions=instructions, tool_choice="none")

    async def send_audio(self, audio: bytes | str, *, commit: bool = False) -> None:
        """Send audio of the user.

        Args:
            audio: raw bytes in :attr:`input_format`, or the same as base64.
            commit: end the user's turn, for push-to-talk.

        Raises:
            UsageError: the session is not connected, or the audio is not valid.
            RealtimeError: the session has ended.
        """
        data = _decode(audio) if isinstance(audio, str) else audio
        await self.session.send_audio(data, commit=commit)

    async def commit_audio(self) -> None:
        """End the user's turn, for push-to-talk.

        Raises:
            UsageError: the session is not connected.
            RealtimeError: the session has ended.
        """
        await self.session.commit_audio()

    async def clear_audio(self) -> None:
        """Drop the audio of the user that is not part of a turn yet.

        Raises:
            UsageError: the session is not connected.
            RealtimeError: the session has ended.
        """
        await self.session.clear_audio()

    def mute(self, muted: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Drop the user's audio, or send it again.

        Raises:
            UsageError: the session is not connected.
        """
        self.session.mute(muted)

    async def interrupt(self) -> None:
        """Stop the agent: its response, its audio and its tools.

        Raises:
            UsageError: the session is not connected.
            RealtimeError: the session has ended.
        """
        await self.session.interrupt()

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> bool:
        """Approve a call that waits for approval. Returns whether it was waiting.

        Args:
            call_id: the call, as in a ``realtime_tool_approval_required`` event.
            always: approve all other calls of this tool too.

        Raises:
            UsageError: the session is not connected.
            RealtimeError: the session has ended.
        """
        return await self.session.approve_tool_call(call_id, always=always)

    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, message: str | None = None
    ) -> bool:
        """Reject a call that waits for approval. Returns whether it was waiting.

        Args:
            call_id: the call, as in a ``realtime_tool_approval_required`` event.
            always: reject all other calls of this tool too.
            message: the text that the model is given.

        Raises:
            UsageError: the session is not connected.
            RealtimeError: the session has ended.
        """
        return await self.session.reject_tool_call(call_id, always=always, message=message)

    def answer_tool_call(self, call_id: str, output: str, *, is_error: bool = False) -> bool:
        """Give the result of a tool that the client runs, a :func:`.client_tool`.

        Args:
            call_id: the call, as in a ``tool_result_required`` event.
            output: the result, for the model.
            is_error: whether the tool has failed, and ``output`` says why.

        Returns:
            bool: whether the call was waiting. The first answer counts.
        """
        return self._client_calls.answer(call_id, output, is_error=is_error)

    def report_played(self, item_id: str, content_index: int, played_ms: float) -> None:
        """Report how much of an item the user has heard; see :meth:`.PlaybackTracker.played`.

        It has no effect after the session has ended: a report may come late.

        Raises:
            UsageError: the session is not connected, or a number is out of range.
        """
        self.session.playback.played(item_id, content_index, played_ms)
        if self._recorder is not None:
            self._recorder.record_heard(self.session)

    def pause_recording(self) -> None:
        """Record silence until :meth:`resume_recording`, for example without the consent of the user."""
        if self._recorder is not None:
            self._recorder.recorder.pause(trio.current_time())

    def resume_recording(self) -> None:
        """Record again."""
        if self._recorder is not None:
            self._recorder.recorder.resume(trio.current_time())

    def redact_recording(self, start_ms: float, end_ms: float) -> None:
        """Make a range silent in the recording.

        Args:
            start_ms, end_ms: milliseconds from the beginning of the recording.

        Raises:
            UsageError: the range is empty.
        """
        if self._recorder is not None:
            self._recorder.recorder.redact(start_ms, end_ms)


def _decode(audio: str) -> bytes:
    try:
        return pybase64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("audio must be bytes, or text in base64") from None
