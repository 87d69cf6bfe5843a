"""When a reply is to be checked, and what a trip does.

A reply is checked each time it has grown by ``debounce`` characters, and once more in full when it
has ended, however short it is. A check belongs to its response and to the agent that began it.

====================================  ==========================================================
when a check of a response trips      then
====================================  ==========================================================
the response runs                     it is interrupted, with its calls; feedback follows
it has ended, and none came after     what still plays of it is cut; feedback follows
it has ended, and a create has gone   what still plays of it is cut, its calls are cancelled
a newer one has begun                 the same; nothing of the newer one is touched
it has tripped before                 nothing
====================================  ==========================================================
"""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class CheckReply:
    """Check this text of a response, then report it with ``Conversation.reply_checked``."""

    response_id: str
    text: str
    agent: Any


@attrs.frozen(kw_only=True)
class CheckInput:
    """Check this text of the user, then report it with ``Conversation.input_checked``."""

    serial: int
    text: str
    agent: Any


class _ReplyText:
    __slots__ = ("agent", "checked", "ended", "length", "pending", "pieces", "tripped")

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.pieces: list[str] = []
        self.length = 0
        self.checked = 0
        self.pending = 0
        self.ended = False
        self.tripped = False

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class GuardrailWindows:
    """See the module.

    Args:
        debounce: characters between two checks of a reply that grows; 0 for one check at its end.
    """

    def __init__(self, debounce: int) -> None:
        self._debounce = debounce
        self._windows: dict[str, _ReplyText] = {}

    def grow(self, response_id: str, agent: Any, delta: str) -> CheckReply | None:
        """A reply has grown. Returns the check that is due."""
        window = self._windows.get(response_id)
        if window is None:
            window = self._windows[response_id] = _ReplyText(agent)
        window.pieces.append(delta)
        window.length += len(delta)
        if not self._debounce or window.length - window.checked < self._debounce:
            return None
        return self._check(response_id, window)

    def end(self, response_id: str, agent: Any, text: str) -> CheckReply | None:
        """A reply has ended. Returns the check of it in full, if that was not made yet.

        Args:
            response_id: whose reply.
            agent: who began it.
            text: what the service says was said, for a reply of which no deltas came.
        """
        window = self._windows.get(response_id)
        if window is None:
            if not text:
                return None
            window = self._windows[response_id] = _ReplyText(agent)
            window.pieces, window.length = [text], len(text)
        window.ended = True
        if window.tripped or window.checked >= window.length:
            self._forget_if_over(response_id, window)
            return None
        return self._check(response_id, window)

    def length(self, response_id: str) -> int:
        """Characters that a reply has by now."""
        window = self._windows.get(response_id)
        return 0 if window is None else window.length

    def has_tripped(self, response_id: str) -> bool:
        """Whether a check of a reply has tripped."""
        window = self._windows.get(response_id)
        return window is not None and window.tripped

    def is_open(self, response_id: str) -> bool:
        """Whether a reply still grows, or is being checked."""
        return response_id in self._windows

    def check_now(self, response_id: str) -> CheckReply | None:
        """The check of what has come since the last one, unless one is under way."""
        window = self._windows.get(response_id)
        if window is None or window.pending or window.checked >= window.length:
            return None
        return self._check(response_id, window)

    def _check(self, response_id: str, window: _ReplyText) -> CheckReply | None:
        if window.tripped:
            return None
        window.checked = window.length
        window.pending += 1
        return CheckReply(response_id=response_id, text=window.text, agent=window.agent)

    def checked(self, response_id: str, *, tripped: bool) -> bool:
        """A check is over. Returns whether it is the first to trip for this response."""
        window = self._windows.get(response_id)
        if window is None:
            return False
        window.pending -= 1
        first = tripped and not window.tripped
        window.tripped |= tripped
        self._forget_if_over(response_id, window)
        return first

    def _forget_if_over(self, response_id: str, window: _ReplyText) -> None:
        if window.ended and not window.pending:
            del self._windows[response_id]
