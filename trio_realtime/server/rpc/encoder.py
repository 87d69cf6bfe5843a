"""Numbers the events of a session, and converts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_realtime._event_json import event_audio, event_data, json_safe, object_encoder
from trio_realtime.errors import UsageError
from trio_realtime.events import SessionEvent

from .event import RpcEvent

__all__ = ["RpcEncoder"]


class RpcEncoder:
    """Converts the events of one run of a session, and numbers them. It has no I/O and never blocks.

    Args:
        session_id: the session.
        run_id: the run.
        first_seq: the number of the first event. A run that continues a session begins after the last event of
            the previous run.
        bytes_per_ms: bytes per millisecond of the output audio: 48 for PCM16 at 24 kHz, 8 for G.711. The
            attribute of the same name may be changed once the format is known.

    Raises:
        UsageError: ``first_seq`` is less than 1, or ``bytes_per_ms`` is not positive.
    """

    def __init__(
        self, session_id: str, run_id: str, first_seq: int = 1, bytes_per_ms: float = 48
    ) -> None:
        if first_seq < 1:
            raise UsageError(f"first_seq must be at least 1, got {first_seq!r}")
        if not bytes_per_ms > 0:
            raise UsageError(f"bytes_per_ms must be positive, got {bytes_per_ms!r}")
        self.session_id = session_id
        self.run_id = run_id
        self.bytes_per_ms = bytes_per_ms
        self._last_seq = first_seq - 1

    @property
    def last_seq(self) -> int:
        """The number of the latest event; one less than ``first_seq`` before the first one."""
        return self._last_seq

    def encode(self, event: SessionEvent, *, time: float) -> RpcEvent:
        """Convert the next event of the session.

        Args:
            event: the event.
            time: when it happened, in seconds since the Unix epoch.
        """
        data = event_data(event)
        audio = event_audio(event)
        if audio is not None:
            data["delta_ms"] = round(len(audio) / self.bytes_per_ms, 3)
        return self._next(f"realtime_{event.type}", data, time, audio)

    def make(self, type: str, data: Any, *, time: float) -> RpcEvent:  # noqa: A002
        """Create the next event of the session, for an event of the run.

        Args:
            type: the type, such as ``run_started``.
            data: an object of a class in :mod:`.run_events`, or a mapping. Values that JSON does not have are
                converted.
            time: when it happened, in seconds since the Unix epoch.

        Raises:
            UsageError: ``data`` is neither.
        """
        if isinstance(data, Mapping):
            return self._next(type, json_safe(data), time, None)
        if attrs.has(data.__class__):
            return self._next(type, object_encoder(data.__class__)(data), time, None)
        raise UsageError(f"data must be a mapping or a run event, got {data.__class__.__name__}")

    def _next(
        self,
        kind: str,
        data: dict[str, Any],
        time: float,
        audio: bytes | None,
    ) -> RpcEvent:
        event = RpcEvent(
            type=kind,
            session_id=self.session_id,
            run_id=self.run_id,
            seq=self._last_seq + 1,
            time=time,
            data=data,
            audio=audio,
        )
        self._last_seq = event.seq
        return event
