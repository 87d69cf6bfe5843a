"""One connection with faults: a transport for the session, and the controls for the test.

Four tasks belong to a link. One task reads from the transport that is wrapped; one task per direction
takes the frames under way, waits until they arrive, applies the faults that they trigger, and passes
them on; one task sends pings, as a WebSocket does. The tasks are shielded, because a session that is cancelled still closes its connection.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias, assert_never, final, runtime_checkable

import attrs
import msgspec
import trio

from trio_realtime.transports import ConnectOptions, Transport, TransportClosed

from .lane import FrameQueue, FrameUnderWay, Lane, Message, Ping
from .plan import (
    Close,
    Delay,
    DialFault,
    Direction,
    Directions,
    Drop,
    Duplicate,
    Elapsed,
    Fault,
    FrameFault,
    Freeze,
    Garbage,
    Incoming,
    Inject,
    LinkFault,
    Moment,
    OneWay,
    Outgoing,
    Oversize,
    SlowReader,
    Trickle,
    Truncate,
    directions_of,
)

__all__ = ["AppliedFault", "Fate", "FaultyLink", "FrameRecord"]

_ABNORMAL: Final = 1006
_GOING_AWAY: Final = 1001
_TOO_BIG: Final = 1009
_GARBAGE: Final = '\x00{"type": not JSON'
_MAX_RECORDS: Final = 10_000

Fate: TypeAlias = Literal["delivered", "lost", "injected"]
"""``"delivered"``: the frame arrived. ``"lost"``: it did not. ``"injected"``: a fault made it."""


@final
@attrs.frozen
class FrameRecord:
    """What became of a frame.

    Attributes:
        direction: ``"incoming"`` for a frame that the session receives.
        type: The wire type; empty if the frame is not a JSON object with a type.
        message: The frame.
        fate: Whether the frame arrived.
        time: When, on trio's clock.
    """

    direction: Direction
    type: str
    message: Message = attrs.field(repr=False)
    fate: Fate
    time: float


@final
@attrs.frozen
class AppliedFault:
    """A fault that happened.

    Attributes:
        fault: The fault.
        time: When, on trio's clock.
    """

    fault: Fault
    time: float


@final
@attrs.define(eq=False)
class _ArmedFault:
    """A fault that waits for its frame.

    Attributes:
        remaining: How many matching frames are still to come, including the one that triggers it.
    """

    fault: LinkFault | FrameFault
    trigger: Incoming | Outgoing
    remaining: int

    def is_triggered_by(self, direction: Direction, kind: str) -> bool:
        """Count a frame. Return whether it is the one."""
        if direction != self.trigger.direction or self.trigger.type not in (None, kind):
            return False
        self.remaining -= 1
        return self.remaining == 0


class _TypedFrame(msgspec.Struct):
    """The only member of a frame that counting needs."""

    type: str = ""


_read_frame = msgspec.json.Decoder(_TypedFrame).decode


def _type_of(message: Message) -> str:
    try:
        return _read_frame(message).type
    except (msgspec.MsgspecError, UnicodeError):
        return ""


@runtime_checkable
class _SupportsDrop(Protocol):
    """A transport that can lose its connection on both ends, such as a ``MemoryTransport``."""

    def drop(self) -> None:
        """End the connection without a close frame."""
        ...


@final
class FaultyLink:
    """One connection: its faults, what happened on it, and the controls for a test.

    It is the :class:`.Transport` of the session. A :class:`FaultyConnector` creates it and runs it. The
    controls return at once and may be called at any time; after the end of the connection they have no
    effect.

    The link sends pings at the ``ping_interval`` of the options, which are subject to its faults. A peer
    that does not answer within ``ping_timeout`` is lost (code 1006), as with the default transport.

    Args:
        inner: The transport to wrap.
        options: The options of the connection.
        number: Which dial, from 1.
        buffer: The characters that may be under way in each direction before sending blocks.

    Attributes:
        number: Which dial, from 1.
        options: The options of the connection.
        applied: The faults that happened, in order. A control counts as its fault.
        closed: How the connection ended for the session; ``None`` while it is open.
    """

    def __init__(
        self, inner: Transport, options: ConnectOptions, *, number: int, buffer: int
    ) -> None:
        self.number: int = number
        self.options: ConnectOptions = options
        self.applied: list[AppliedFault] = []
        self.closed: TransportClosed | None = None
        self._inner = inner
        self._incoming = Lane("incoming", buffer)
        self._outgoing = Lane("outgoing", buffer)
        # Frames that have arrived, but were not yet received.
        self._inbox = FrameQueue(buffer)
        self._armed: list[_ArmedFault] = []
        self._frames: deque[FrameRecord] = deque(maxlen=_MAX_RECORDS)
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope(shield=True)
        self._is_over = trio.Event()
        self._close_of_inner: tuple[int, str] | None = None
        self._handshake = trio.Lock()
        self._ping = Ping()
        # When the peer showed for the last time that it is there.
        self._active_at = -math.inf
        self._recorded = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        state = "open" if self.closed is None else str(self.closed.code)
        return f"<FaultyLink {self.number}: {state}>"

    # --- what happened

    @property
    def frames(self) -> Sequence[FrameRecord]:
        """The latest 10,000 frames, in the order in which they arrived or were lost."""
        return list(self._frames)

    def types(self, direction: Direction, fate: Fate = "delivered") -> list[str]:
        """Return the wire types of the frames of one direction.

        Args:
            direction: ``"incoming"`` for the frames that the session receives.
            fate: Whether to return those that arrived, were lost, or were made by a fault.
        """
        return [
            record.type
            for record in self._frames
            if record.direction == direction and record.fate == fate
        ]

    async def wait_applied(self, count: int = 1) -> AppliedFault:
        """Wait until so many faults have happened, and return the last of them.

        Waits forever if the connection ends before. Cancellation changes nothing.
        """
        await trio.lowlevel.checkpoint()
        while len(self.applied) < count:
            await self._recorded.park()
        return self.applied[count - 1]

    async def wait_closed(self) -> TransportClosed:
        """Wait until the connection has ended for both ends, and return how.

        Cancellation changes nothing.
        """
        await self._is_over.wait()
        assert self.closed is not None
        return self.closed

    # --- controls

    def apply(self, *faults: Fault) -> None:
        """Add faults, each of which happens at its trigger, or now if it has none.

        Raises:
            TypeError: A fault is one of connecting.
        """
        for fault in faults:
            if isinstance(fault, DialFault):
                raise TypeError(
                    f"{type(fault).__name__} is a fault of a dial: put it into the plan"
                )
            self._add(fault)

    def drop(self) -> None:
        """Drop the connection now; see :class:`Drop`."""
        self.apply(Drop())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection now, as if the peer had closed it; see :class:`Close`."""
        self.apply(Close(code, reason))

    def freeze(self, direction: Directions = "both") -> None:
        """Freeze the connection until :meth:`resume`; see :class:`Freeze`."""
        self.apply(Freeze(direction=direction))

    def lose(self, direction: Direction, *, answers_pings: bool = False) -> None:
        """Lose all frames of one direction until :meth:`resume`; see :class:`OneWay`."""
        self.apply(OneWay(direction, answers_pings=answers_pings))

    def delay(self, seconds: float, direction: Directions = "both") -> None:
        """Delay frames until :meth:`resume`; see :class:`Delay`."""
        self.apply(Delay(seconds, direction=direction))

    def trickle(self, bytes_per_second: float, direction: Directions = "both") -> None:
        """Transmit slowly until :meth:`resume`; see :class:`Trickle`."""
        self.apply(Trickle(bytes_per_second, direction=direction))

    def inject(self, message: Message, direction: Direction = "incoming") -> None:
        """Send a frame now, behind the frames that are under way.

        Args:
            message: The frame.
            direction: ``"incoming"`` to send it to the session, ``"outgoing"`` to the peer.
        """
        if isinstance(message, bytes) and direction == "outgoing":
            raise TypeError("an outgoing frame is text")
        frame = FrameUnderWay(message, trio.current_time(), is_injected=True)
        self._lane(direction).queue.append(frame)

    def resume(self, direction: Directions = "both") -> None:
        """End freezing, losing, delaying and slowing down. Frames that wait arrive now."""
        for name in directions_of(direction):
            self._lane(name).reset()

    # --- the transport

    async def send(self, text: str) -> None:
        """Send one text message; see :meth:`.Transport.send`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.closed is not None:
            raise self._closed_error()
        self._outgoing.queue.append(FrameUnderWay(text, trio.current_time()))
        if not self._outgoing.queue.is_full:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        try:
            await self._outgoing.queue.wait_space()
        except BaseException:
            # On a socket, a partial frame would have been written.
            self._end(TransportClosed(_ABNORMAL), drop=True)
            raise
        if self.closed is not None:
            raise self._closed_error()

    async def receive(self) -> Message:
        """Return the next message; see :meth:`.Transport.receive`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        frame = await self._inbox.wait_first()
        if frame is None:
            raise self._closed_error()
        self._inbox.release(frame)
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert isinstance(frame.content, Message)
        return frame.content

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; see :meth:`.Transport.aclose`.

        The close frame and its answer are subject to the faults. A frozen link takes
        ``close_timeout``, and then the peer loses the connection without a close frame.
        """
        if self.closed is None:
            self.closed = TransportClosed(code, reason)
            self._inbox.close()
            self._inbox.clear()
            self._outgoing.queue.set_limit(math.inf)
            self._outgoing.queue.append(FrameUnderWay(self.closed, trio.current_time()))
        with trio.move_on_after(self.options.close_timeout, shield=True):
            await trio.lowlevel.checkpoint()
            await self._is_over.wait()
        self._end(self.closed, drop=True)

    def _closed_error(self) -> TransportClosed:
        closed = self.closed or TransportClosed()
        return TransportClosed(closed.code, closed.reason)

    # --- tasks

    async def run(
        self,
        faults: Sequence[LinkFault | FrameFault],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Pass frames until the connection has ended. Cancellation does not end it."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._read_inner)
                nursery.start_soon(self._pass_frames, self._incoming)
                nursery.start_soon(self._pass_frames, self._outgoing)
                interval, timeout = self.options.ping_interval, self.options.ping_timeout
                if interval is not None and timeout is not None:
                    nursery.start_soon(self._send_pings, interval, timeout)
                self.apply(*faults)
                task_status.started()
                await self._is_over.wait()
                nursery.cancel_scope.cancel(reason="the connection has ended")
        if self._close_of_inner is not None:
            await self._inner.aclose(*self._close_of_inner)

    async def _read_inner(self) -> None:
        queue = self._incoming.queue
        while True:
            try:
                content: Message | TransportClosed = await self._inner.receive()
            except TransportClosed as closed:
                content = closed
            queue.append(FrameUnderWay(content, trio.current_time()))
            if isinstance(content, TransportClosed):
                return
            await queue.wait_space()

    async def _pass_frames(self, lane: Lane) -> None:
        while (frame := await lane.queue.wait_first()) is not None:
            match frame.content:
                case TransportClosed() as end:
                    await self._pass_end(lane, frame, end)
                    return
                case Ping() as ping:
                    await self._pass_ping(lane, frame, ping)
                case message:
                    await self._pass_frame(lane, frame, message)
            lane.passed(frame)
            if lane is self._outgoing and not self._ping.written.is_set():
                # The ping waits behind this frame, which the network has taken.
                self._active_at = trio.current_time() - lane.settings.delay

    async def _pass_end(self, lane: Lane, frame: FrameUnderWay, end: TransportClosed) -> None:
        await lane.wait_end(frame)
        # The session waits for the close handshake with the peer. Its end arrives as incoming.
        async with self._handshake:
            if lane.direction == "outgoing":
                await self._inner.aclose(end.code, end.reason)
            else:
                self._end(end)

    async def _pass_ping(self, lane: Lane, frame: FrameUnderWay, ping: Ping) -> None:
        await lane.wait_arrival(frame)
        if lane.direction == "outgoing":
            ping.written.set()
            self._active_at = trio.current_time() - lane.settings.delay
        if lane.settings.loses_pings:
            return
        if lane.direction == "outgoing":
            self._incoming.queue.append(FrameUnderWay(ping, trio.current_time()))
        else:
            ping.answered.set()

    async def _send_pings(self, interval: float, timeout: float) -> None:
        """Drop the connection if the peer does not answer a ping, as the default transport does."""
        while True:
            await trio.sleep(interval)
            self._ping = ping = Ping()
            self._active_at = trio.current_time()
            self._outgoing.queue.append(FrameUnderWay(ping, trio.current_time()))
            while not ping.answered.is_set():
                if self._inbox.is_full:
                    # While the session does not read, no answer can arrive.
                    await self._inbox.wait_space()
                    self._active_at = trio.current_time()
                deadline = self._active_at + timeout
                with trio.move_on_at(deadline) as scope:
                    await ping.answered.wait()
                if scope.cancelled_caught and self._active_at + timeout == deadline:
                    reason = f"the peer did not answer a ping within {timeout:g} s"
                    self._end(TransportClosed(_ABNORMAL, reason), drop=True)
                    return

    async def _pass_frame(self, lane: Lane, frame: FrameUnderWay, message: Message) -> None:
        kind = _type_of(message)
        faults = [] if frame.is_injected else self._take_triggered(lane.direction, kind)
        moments: dict[Moment, list[LinkFault | FrameFault]] = {}
        for fault, moment in faults:
            moments.setdefault(moment, []).append(fault)
        fate: Fate = "lost"
        try:
            if "mid_frame" in moments:
                await lane.wait_arrival(frame, 0.5)
                await self._happen(lane, message, moments["mid_frame"])
            await lane.wait_arrival(frame)
            await self._happen(lane, message, moments.get("before", ()))
            await lane.wait_arrival(frame)  # it may be frozen now
            if "instead" not in moments and await self._deliver(lane, message):
                fate = "injected" if frame.is_injected else "delivered"
        finally:
            self._record(lane.direction, kind, message, fate)
        await self._happen(lane, message, moments.get("instead", ()))
        await self._happen(lane, message, moments.get("after", ()))

    def _take_triggered(
        self, direction: Direction, kind: str
    ) -> list[tuple[LinkFault | FrameFault, Moment]]:
        triggered = [armed for armed in self._armed if armed.is_triggered_by(direction, kind)]
        self._armed = [armed for armed in self._armed if armed not in triggered]
        return [(armed.fault, armed.trigger.moment) for armed in triggered]

    async def _deliver(self, lane: Lane, message: Message) -> bool:
        """Return whether the message has arrived."""
        if lane.settings.loses_frames or self._is_over.is_set():
            return False
        if lane.direction == "incoming":
            return await self._deliver_to_session(message)
        assert isinstance(message, str)
        try:
            await self._inner.send(message)
        except TransportClosed:
            return False  # the task that reads reports the end
        return True

    async def _deliver_to_session(self, message: Message) -> bool:
        limit = self.options.max_message_size
        if len(message) > limit:
            closed = TransportClosed(
                _TOO_BIG, f"a received message is longer than max_message_size ({limit})"
            )
            self._end(closed, close=(closed.code, closed.reason))
            return False
        await self._inbox.wait_space()
        if self.closed is not None:
            return False
        self._inbox.append(FrameUnderWay(message, trio.current_time()))
        self._active_at = trio.current_time()
        return True

    # --- faults

    def _add(self, fault: LinkFault | FrameFault) -> None:
        match fault.at:
            case None:
                assert not isinstance(fault, FrameFault)
                self._apply_to_link(fault)
            case Elapsed(seconds=seconds):
                assert not isinstance(fault, FrameFault)
                self._call_later(seconds, partial(self._apply_to_link, fault))
            case Incoming() | Outgoing() as trigger:
                self._armed.append(_ArmedFault(fault, trigger, trigger.number))

    async def _happen(
        self, lane: Lane, message: Message, faults: Sequence[LinkFault | FrameFault]
    ) -> None:
        for fault in faults:
            if self._is_over.is_set():
                return
            if not isinstance(fault, FrameFault):
                self._apply_to_link(fault)
                continue
            self._record_fault(fault)
            for content in self._contents(fault, message):
                has_arrived = await self._deliver(lane, content)
                fate: Fate = "injected" if has_arrived else "lost"
                self._record(lane.direction, _type_of(content), content, fate)

    def _contents(self, fault: FrameFault, message: Message) -> list[Message]:
        """Return the frames that a fault adds."""
        match fault:
            case Duplicate(copies=copies):
                return [message] * copies
            case Garbage():
                return [_GARBAGE]
            case Truncate():
                return [message[: len(message) // 2]]
            case Oversize(size=size):
                head, tail = '{"type":"oversize","padding":"', '"}'
                size = size or self.options.max_message_size + 1
                return [head + "x" * (size - len(head) - len(tail)) + tail]
            case Inject(message=content):
                return [content]
        assert_never(fault)

    def _apply_to_link(self, fault: LinkFault) -> None:
        if self._is_over.is_set():
            return
        self._record_fault(fault)
        match fault:
            case Drop():
                self._end(TransportClosed(_ABNORMAL), drop=True)
            case Close(code=code, reason=reason):
                self._end(TransportClosed(code, reason), close=(code, reason))
            case Freeze(direction=direction, duration=duration):
                self._change(direction, duration, is_frozen=True)
            case OneWay(lost=direction, duration=duration, answers_pings=answers):
                self._change(direction, duration, loses_frames=True, loses_pings=not answers)
            case Delay(seconds=seconds, direction=direction, duration=duration):
                self._change(direction, duration, delay=seconds)
            case Trickle(bytes_per_second=rate, direction=direction, duration=duration):
                self._change(direction, duration, bandwidth=rate)
            case SlowReader(bytes_per_second=rate, buffer=buffer):
                self._outgoing.change(bandwidth=rate)
                self._outgoing.queue.set_limit(buffer)

    def _change(self, direction: Directions, duration: float, **settings: Any) -> None:
        for name in directions_of(direction):
            lane = self._lane(name)
            previous = {key: getattr(lane.settings, key) for key in settings}
            lane.change(**settings)
            if duration < math.inf:
                self._call_later(duration, partial(lane.change, **previous))

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        async def wait_and_call() -> None:
            await trio.sleep(seconds)
            function()

        if self._nursery is not None and not self._is_over.is_set():
            self._nursery.start_soon(wait_and_call)

    def _lane(self, direction: Direction) -> Lane:
        return self._incoming if direction == "incoming" else self._outgoing

    # --- the end

    def _end(
        self, closed: TransportClosed, *, drop: bool = False, close: tuple[int, str] | None = None
    ) -> None:
        """End the connection for both ends. The first reason wins.

        Args:
            closed: How it ends for the session, unless the session has closed it.
            drop: End it for the peer without a close frame.
            close: End it for the peer with this code and reason.
        """
        if self._is_over.is_set():
            return
        if self.closed is None:
            self.closed = closed
        self._is_over.set()
        for lane in (self._incoming, self._outgoing):
            self._record_lost(lane)
            lane.queue.close()
        self._inbox.close()
        self._close_of_inner = close
        if drop and isinstance(self._inner, _SupportsDrop):
            self._inner.drop()
        elif drop:
            self._close_of_inner = (_GOING_AWAY, "")

    # --- records

    def _record(self, direction: Direction, kind: str, message: Message, fate: Fate) -> None:
        self._frames.append(FrameRecord(direction, kind, message, fate, trio.current_time()))

    def _record_lost(self, lane: Lane) -> None:
        for frame in lane.queue.clear():
            if isinstance(frame.content, Message):
                kind = _type_of(frame.content)
                self._record(lane.direction, kind, frame.content, "lost")

    def _record_fault(self, fault: LinkFault | FrameFault) -> None:
        self.applied.append(AppliedFault(fault, trio.current_time()))
        self._recorded.unpark_all()
