"""Run a transcriber in tasks and threads."""

from __future__ import annotations

import inspect
import logging
from typing import Final

import attrs
import trio

from .thread_limiter import ThreadLimiter
from .transcriber import (
    Transcriber,
    TranscriptionFailed,
    TranscriptionRequest,
    TranscriptionResult,
    UserAudio,
)

__all__ = ["Transcribed", "TranscriberTasks"]

logger: Final = logging.getLogger("trio_realtime.local")

#: Limit of the audio that one client may have waiting for a slow transcriber.
_MAX_PENDING_BYTES: Final = 32 * 1024 * 1024
_CONTROL_FLOW: Final = (trio.Cancelled, KeyboardInterrupt, SystemExit)
# Speech-to-text models need not be thread-safe.
_LIMITER: Final = ThreadLimiter("transcriber_limiter")
_FAILED: Final = TranscriptionFailed("transcriber_error", "The transcriber of the server failed.")
_OVERLOADED: Final = TranscriptionFailed(
    "transcriber_overloaded", "Too much audio is waiting for the transcriber of the server."
)


@attrs.frozen
class Transcribed:
    """The result of a :class:`TranscriptionRequest`."""

    item_id: str
    result: TranscriptionResult


@attrs.define(eq=False)
class TranscriberTasks:
    """Runs each transcription of a connection in a task, and sends the result to the connection.

    A transcription fails at once if 32 MiB of audio of the connection are waiting already.

    Args:
        transcriber: the transcriber, which all connections share.
        nursery: the nursery of the connection.
        results: where to send the results. Once it is closed, they are dropped.
    """

    _transcriber: Transcriber
    _nursery: trio.Nursery
    _results: trio.MemorySendChannel[Transcribed]
    _pending_bytes: int = attrs.field(default=0, init=False)

    def start_soon(self, request: TranscriptionRequest) -> None:
        """Start a transcription."""
        if self._pending_bytes + len(request.audio.data) > _MAX_PENDING_BYTES:
            self._nursery.start_soon(self._send, request.item_id, _OVERLOADED)
        else:
            self._pending_bytes += len(request.audio.data)
            self._nursery.start_soon(self._transcribe, request)

    async def _transcribe(self, request: TranscriptionRequest) -> None:
        result = await _call(self._transcriber, request.audio)
        self._pending_bytes -= len(request.audio.data)
        await self._send(request.item_id, result)

    async def _send(self, item_id: str, result: TranscriptionResult) -> None:
        try:
            await self._results.send(Transcribed(item_id, result))
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return  # the client is gone


async def _call(transcriber: Transcriber, audio: UserAudio) -> TranscriptionResult:
    """Return the result of the transcriber, or a failure if it raises anything."""
    try:
        return _checked(await _run(transcriber, audio))
    except trio.Cancelled:
        raise
    except BaseException as exc:
        # Even asyncio's CancelledError may not end the server. A group may contain a cancellation.
        if isinstance(exc, (*_CONTROL_FLOW, BaseExceptionGroup)) and not isinstance(exc, Exception):
            raise
        logger.exception("the transcriber failed")
    return _FAILED


async def _run(transcriber: Transcriber, audio: UserAudio) -> object:
    def call_in_thread() -> tuple[object]:
        return (transcriber(audio),)  # as a tuple, because trio rejects a coroutine

    if _is_async(transcriber):
        result: object = transcriber(audio)
    else:
        (result,) = await trio.to_thread.run_sync(
            call_in_thread, abandon_on_cancel=True, limiter=_LIMITER.get()
        )
    return await result if inspect.isawaitable(result) else result


def _is_async(transcriber: Transcriber) -> bool:
    call = getattr(transcriber, "__call__", None)  # noqa: B004 - the method, not callable()
    return inspect.iscoroutinefunction(transcriber) or inspect.iscoroutinefunction(call)


def _checked(result: object) -> TranscriptionResult:
    if result is None or isinstance(result, str | TranscriptionFailed):
        return result
    kind = type(result).__name__
    raise TypeError(f"expected a str, a TranscriptionFailed or None of the transcriber, got {kind}")
