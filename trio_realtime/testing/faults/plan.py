"""Faults as values: what goes wrong on a connection, and when.

Everything is seen from the side that dials, which is the session: *outgoing* frames are those that it
sends, *incoming* ones those that it receives. The values contain no state, so a plan can be used for
any number of tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal, TypeAlias, final, get_args

import attrs

__all__ = [
    "Close",
    "Delay",
    "DialFault",
    "Direction",
    "Directions",
    "Drop",
    "Duplicate",
    "Elapsed",
    "FailDial",
    "Fault",
    "FaultPlan",
    "FrameFault",
    "FrameTrigger",
    "Freeze",
    "Garbage",
    "Incoming",
    "Inject",
    "LinkFault",
    "Moment",
    "OneWay",
    "Outgoing",
    "Oversize",
    "RejectDial",
    "SlowDial",
    "SlowReader",
    "Trickle",
    "Trigger",
    "Truncate",
    "directions_of",
]

Direction: TypeAlias = Literal["incoming", "outgoing"]
"""``"incoming"``: frames that the session receives. ``"outgoing"``: frames that it sends."""

Directions: TypeAlias = Literal["incoming", "outgoing", "both"]
"""One direction, or both."""

Moment: TypeAlias = Literal["before", "mid_frame", "instead", "after"]
"""When a fault is applied, relative to the frame that triggers it.

- ``"before"``: when the frame would arrive. The frame follows if the connection still works.
- ``"mid_frame"``: when half of the frame is transmitted. The rest follows if the connection still
  works; if not, the frame is lost.
- ``"instead"``: when the frame would arrive. The frame is lost.
- ``"after"``: when the frame has arrived.
"""

_INVALID_CODES: Final = (1004, 1005, 1006, 1015)


def directions_of(directions: Directions) -> tuple[Direction, ...]:
    """Return the one direction that is named, or both."""
    return get_args(Direction) if directions == "both" else (directions,)


# --- fields -------------------------------------------------------------------------------------

_is_direction = attrs.validators.in_(get_args(Direction))
_is_directions = attrs.validators.in_(get_args(Directions))


def _check_close_code(_: object, __: attrs.Attribute[int], code: int) -> None:
    if not 1000 <= code <= 4999 or code in _INVALID_CODES:
        raise ValueError(f"a close frame cannot have the code {code}")


def _check_content_trigger(_: object, __: attrs.Attribute[Any], at: object) -> None:
    if not isinstance(at, Incoming | Outgoing):
        raise TypeError(f"expected at to be an Incoming or an Outgoing, got {at!r}")
    if at.moment == "mid_frame":
        raise ValueError("a frame cannot be sent in the middle of another one")


def _check_duplicate_trigger(_: object, __: attrs.Attribute[Any], at: object) -> None:
    if not isinstance(at, Incoming | Outgoing):
        raise TypeError(f"expected at to be an Incoming or an Outgoing, got {at!r}")
    if at.moment != "after":
        raise ValueError("the copies of a frame arrive after it")


# --- triggers -----------------------------------------------------------------------------------


@final
@attrs.frozen
class Incoming:
    """The arrival of a frame at the session.

    Frames that a fault adds are not counted.

    Args:
        number: Which frame, from 1. It counts from the moment at which the fault is added: for a
            fault of the plan, from the first frame of the connection.
        type: The wire type of the frames to count, such as ``"session.updated"``; ``None`` for all
            frames.
        moment: Whether the fault is applied before, during, after or instead of that frame.
    """

    number: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    type: str | None = None
    moment: Moment = attrs.field(
        default="after", kw_only=True, validator=attrs.validators.in_(get_args(Moment))
    )

    direction: ClassVar[Direction] = "incoming"


@final
@attrs.frozen
class Outgoing:
    """The arrival of a frame at the peer. The arguments are those of :class:`Incoming`."""

    number: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    type: str | None = None
    moment: Moment = attrs.field(
        default="after", kw_only=True, validator=attrs.validators.in_(get_args(Moment))
    )

    direction: ClassVar[Direction] = "outgoing"


@final
@attrs.frozen
class Elapsed:
    """A time after the fault is added: for a fault of the plan, after the connection has opened.

    Args:
        seconds: The time to wait.
    """

    seconds: float = attrs.field(validator=attrs.validators.ge(0))


FrameTrigger: TypeAlias = Incoming | Outgoing
Trigger: TypeAlias = Incoming | Outgoing | Elapsed
"""When a fault is applied. ``None`` in its place means at once."""


# --- faults of a connection ---------------------------------------------------------------------


@final
@attrs.frozen
class Drop:
    """Both ends lose the connection without a close frame (code 1006). Frames under way are lost.

    Args:
        at: When to drop.
    """

    at: Trigger | None = None


@final
@attrs.frozen
class Close:
    """The connection is closed with a close frame, as if the peer had closed it.

    Frames under way are lost.

    Args:
        code: The close code.
        reason: The reason in the close frame.
        at: When to close.
    """

    code: int = attrs.field(default=1000, validator=_check_close_code)
    reason: str = ""
    at: Trigger | None = attrs.field(default=None, kw_only=True)


@final
@attrs.frozen
class Freeze:
    """No frame arrives any more, and nothing else happens: the connection stays open.

    Frames wait in the buffer. When it is full, sending blocks.

    Args:
        at: When to freeze.
        direction: What to freeze.
        duration: Seconds until the frames that wait are delivered; by default, never.
    """

    at: Trigger | None = None
    direction: Directions = attrs.field(default="both", kw_only=True, validator=_is_directions)
    duration: float = attrs.field(default=math.inf, kw_only=True, validator=attrs.validators.gt(0))


@final
@attrs.frozen
class OneWay:
    """Frames of one direction are lost, and those of the other one arrive. Sending succeeds.

    Args:
        lost: The direction whose frames are lost.
        at: From when on.
        answers_pings: Whether pings and their answers arrive nevertheless, as from a server whose
            WebSocket works and whose application does not.
        duration: Seconds for which frames are lost; by default, until the connection ends.
    """

    lost: Direction = attrs.field(validator=_is_direction)
    at: Trigger | None = attrs.field(default=None, kw_only=True)
    answers_pings: bool = attrs.field(default=False, kw_only=True)
    duration: float = attrs.field(default=math.inf, kw_only=True, validator=attrs.validators.gt(0))


@final
@attrs.frozen
class Delay:
    """Each frame arrives later, in order. Frames that follow each other do not add up their delays.

    Args:
        seconds: The delay of each frame.
        at: From when on.
        direction: What to delay.
        duration: Seconds for which frames are delayed; by default, until the connection ends.
    """

    seconds: float = attrs.field(validator=attrs.validators.ge(0))
    at: Trigger | None = attrs.field(default=None, kw_only=True)
    direction: Directions = attrs.field(default="both", kw_only=True, validator=_is_directions)
    duration: float = attrs.field(default=math.inf, kw_only=True, validator=attrs.validators.gt(0))


@final
@attrs.frozen
class Trickle:
    """Frames are transmitted slowly. When the buffer is full, sending blocks.

    Args:
        bytes_per_second: The bandwidth of each direction. A character counts as one byte.
        at: From when on.
        direction: What to slow down.
        duration: Seconds for which frames are slow; by default, until the connection ends.
    """

    bytes_per_second: float = attrs.field(validator=attrs.validators.gt(0))
    at: Trigger | None = attrs.field(default=None, kw_only=True)
    direction: Directions = attrs.field(default="both", kw_only=True, validator=_is_directions)
    duration: float = attrs.field(default=math.inf, kw_only=True, validator=attrs.validators.gt(0))


@final
@attrs.frozen
class SlowReader:
    """The peer reads slowly, so that sending blocks. Incoming frames are not affected.

    Args:
        bytes_per_second: How much the peer reads. A character counts as one byte.
        buffer: The bytes that wait between the session and the peer before sending blocks.
        at: From when on.
    """

    bytes_per_second: float = attrs.field(validator=attrs.validators.gt(0))
    buffer: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    at: Trigger | None = attrs.field(default=None, kw_only=True)


# --- faults of single frames --------------------------------------------------------------------


@final
@attrs.frozen
class Duplicate:
    """A frame arrives more than once.

    Args:
        at: The frame. Its copies arrive after it.
        copies: How many times the frame is repeated.
    """

    at: FrameTrigger = attrs.field(validator=_check_duplicate_trigger)
    copies: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@final
@attrs.frozen
class Garbage:
    """A frame that is not JSON.

    Args:
        at: The frame before, after or instead of which it arrives.
    """

    at: FrameTrigger = attrs.field(validator=_check_content_trigger)


@final
@attrs.frozen
class Truncate:
    """The first half of a frame, which is not valid JSON.

    Args:
        at: The frame before, after or instead of which its half arrives.
    """

    at: FrameTrigger = attrs.field(validator=_check_content_trigger)


@final
@attrs.frozen
class Oversize:
    """A frame of valid JSON that is too long.

    Args:
        at: The frame before, after or instead of which it arrives.
        size: Its length in characters. By default it exceeds the ``max_message_size`` of the session
            by one, so that the session closes the connection with code 1009.
    """

    at: FrameTrigger = attrs.field(validator=_check_content_trigger)
    size: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(64))
    )


@final
@attrs.frozen
class Inject:
    """Any other frame.

    Args:
        message: The frame. Outgoing frames are text.
        at: The frame before, after or instead of which it arrives.
    """

    message: str | bytes
    at: FrameTrigger = attrs.field(validator=_check_content_trigger)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.message, bytes) and self.at.direction == "outgoing":
            raise TypeError("an outgoing frame is text")


# --- faults of a dial ---------------------------------------------------------------------------


@final
@attrs.frozen
class RejectDial:
    """The server answers the upgrade with an HTTP status: :class:`.HandshakeRejected` is raised.

    Args:
        status: The HTTP status code.
        body: The body of the response.
        headers: Headers of the response.
        retry_after: Seconds for the header ``Retry-After``, which is added.
    """

    status: int = 503
    body: str = attrs.field(default="", kw_only=True)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), kw_only=True)
    retry_after: float | None = attrs.field(default=None, kw_only=True)


@final
@attrs.frozen
class FailDial:
    """The connection fails: :class:`.TransportConnectError` is raised.

    Args:
        message: The message of the error.
    """

    message: str = "could not connect to the server: connection refused"


@final
@attrs.frozen
class SlowDial:
    """Connecting takes longer. Beyond ``connect_timeout``, :class:`.TransportConnectTimeout` is raised.

    Args:
        seconds: How long the peer does not answer; by default, forever.
    """

    seconds: float = attrs.field(default=math.inf, validator=attrs.validators.ge(0))


LinkFault: TypeAlias = Drop | Close | Freeze | OneWay | Delay | Trickle | SlowReader
"""A fault of the whole connection, at any time."""

FrameFault: TypeAlias = Duplicate | Garbage | Truncate | Oversize | Inject
"""A fault of one frame."""

DialFault: TypeAlias = RejectDial | FailDial | SlowDial
"""A fault of connecting."""

Fault: TypeAlias = LinkFault | FrameFault | DialFault


# --- the plan -----------------------------------------------------------------------------------


def _faults(faults: Fault | Iterable[Fault]) -> tuple[Fault, ...]:
    # attrs classes are not iterable, so a fault by itself is no mistake.
    found = (faults,) if isinstance(faults, Fault) else tuple(faults)
    for fault in found:
        if not isinstance(fault, Fault):
            raise TypeError(f"expected a fault, got {fault!r}")
    return found


def _dials(dials: Iterable[Fault | Iterable[Fault]]) -> tuple[tuple[Fault, ...], ...]:
    return tuple(map(_faults, dials))


@final
@attrs.frozen
class FaultPlan:
    """The faults of each connection. All counts start anew with each connection.

    Args:
        dials: The faults of the first dial, of the second one, and so on. Later dials have none.
        every: Faults of every dial, which come after those of the single dial.

    Raises:
        TypeError: Something is not a fault.
    """

    dials: tuple[tuple[Fault, ...], ...] = attrs.field(default=(), converter=_dials)
    every: tuple[Fault, ...] = attrs.field(default=(), converter=_faults)

    def faults_of(self, number: int) -> tuple[Fault, ...]:
        """Return the faults of one dial, in the order in which they are applied.

        Args:
            number: Which dial, from 1.
        """
        own = self.dials[number - 1] if number <= len(self.dials) else ()
        return (*own, *self.every)
