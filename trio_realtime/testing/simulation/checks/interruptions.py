"""Invariant 6: an interruption stops the tools of its response, waits for them, and no others."""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet

import attrs

from trio_realtime import events as ev
from trio_realtime.testing.simulation.log import Entry, Frame, InvariantViolation, Log

from .frames import answered_call, completed_call, create_token

__all__ = ["InterruptionCheck"]


@attrs.define(eq=False)
class _Tool:
    """A tool that runs, or has run."""

    call_id: str
    name: str
    response_id: str
    created_at: int
    is_early: bool = False
    cancelled_at: float | None = None
    is_running: bool = True


class InterruptionCheck:
    """Checks invariant 6.

    Args:
        log: the log to observe.
        protected: the names of tools that an interruption does not cancel.
        timed: the names of tools that have a time limit, whose end nothing waits for.
        reconnects: whether the session goes on when a connection is lost.
        sends_at_once: whether the network takes each frame at once. Otherwise a create may wait to be
            sent, and an interruption may come meanwhile.
    """

    def __init__(
        self,
        log: Log,
        *,
        protected: AbstractSet[str],
        timed: AbstractSet[str] = frozenset(),
        reconnects: bool = False,
        sends_at_once: bool = True,
    ) -> None:
        self._protected = protected
        self._timed = timed
        self._reconnects = reconnects
        self._sends_at_once = sends_at_once
        self._position = 0
        self._created: dict[str, int] = {}
        self._calls: dict[str, tuple[str, str]] = {}
        self._tools: dict[str, _Tool] = {}
        self._early: set[str] = set()
        self._interrupted_all_at = -1
        self._interrupted_at: dict[str, int] = {}
        self._over = False
        self._waiting: dict[object, list[_Tool]] = {}
        self._unexplained: list[_Tool] = []
        self._interrupting = 0
        log.observe(self._received, "in")
        log.observe(self._sent, "out")
        log.observe(self._event, "event")
        log.observe(self._tool, "started", "cancelled", "ended", "answered early", "raw answer")
        log.observe(self._interruption, "interrupting", "interrupted")
        log.observe(self._returned, "stopped")
        log.observe(self._end, "ending", "leaving", "fault")
        log.observe(self._explain, "quiet", "left")

    # --- causes

    def _received(self, entry: Entry) -> None:
        self._position += 1
        frame: Frame = entry.about
        call = completed_call(frame)
        if call is not None:
            self._calls.setdefault(call["call_id"], (call["name"], frame["response_id"]))
        elif frame["type"] == "response.created":
            self._created.setdefault(frame["response"]["id"], self._position)
        elif frame["type"] == "input_audio_buffer.speech_started":
            self._interrupted_all_at = self._position

    def _event(self, entry: Entry) -> None:
        event = entry.about[1]
        if isinstance(event, ev.GuardrailTripped) and event.call_id is None:
            if event.response_id is None:
                self._interrupted_all_at = self._position
            else:
                self._interrupted_at[event.response_id] = self._position

    def _interruption(self, entry: Entry) -> None:
        self._position += 1
        self._interrupted_all_at = self._position
        if entry.what == "interrupting":
            self._interrupting += 1
            self._waiting[entry.about] = [
                tool
                for tool in self._tools.values()
                if tool.is_running and tool.name not in self._protected and not tool.is_early
            ]
        else:
            self._interrupting -= 1

    def _returned(self, entry: Entry) -> None:
        """Check that the tools that ran have ended: ``interrupt()`` has returned normally."""
        for tool in self._waiting.pop(entry.about, ()):
            if tool.is_running and not tool.is_early and not self._over:
                raise InvariantViolation(6, f"{tool.name} {tool.call_id} goes on after interrupt()")

    def _end(self, entry: Entry) -> None:
        if entry.what != "fault" or (
            not self._reconnects and entry.about in ("drop", "server closes", "long stall")
        ):
            self._over = True

    # --- effects

    def _sent(self, entry: Entry) -> None:
        frame: Frame = entry.about
        if frame["type"] == "response.cancel":
            response_id = frame.get("response_id")
            if response_id is None:
                self._interrupted_all_at = self._position
            else:
                self._interrupted_at[response_id] = self._position
        answered = answered_call(frame)
        if answered is not None:
            self._check_answer(self._tools.get(answered))
        elif create_token(frame) is not None:
            self._check_create(entry.time)

    def _check_answer(self, tool: _Tool | None) -> None:
        if tool is None or tool.is_early or tool.name in self._timed or not tool.is_running:
            return
        if tool.cancelled_at is not None:
            raise InvariantViolation(6, f"{tool.name} was answered before its tool had ended")

    def _check_create(self, time: float) -> None:
        if not self._sends_at_once:
            return
        for tool in self._tools.values():
            # A create that was queued at the moment of the interruption was requested before.
            since = math.inf if tool.cancelled_at is None else tool.cancelled_at
            waits = tool.is_running and not tool.is_early and tool.name not in self._timed
            if waits and since < time and not self._over:
                raise InvariantViolation(6, f"a create while {tool.name} cleans up")

    def _tool(self, entry: Entry) -> None:
        call_id: str = entry.about
        if entry.what in ("answered early", "raw answer"):
            self._early.add(call_id)
            if call_id in self._tools:
                self._tools[call_id].is_early = True
            return
        if entry.what == "started":
            name, response_id = self._calls.get(call_id, ("", ""))
            created_at = self._created.get(response_id, 0)
            tool = _Tool(call_id, name, response_id, created_at, call_id in self._early)
            self._tools[call_id] = tool
        elif entry.what == "cancelled":
            self._cancelled(self._tools[call_id], entry.time)
        else:
            self._tools[call_id].is_running = False

    def _cancelled(self, tool: _Tool, time: float) -> None:
        tool.cancelled_at = time
        if self._over or tool.name in self._timed:
            return
        if tool.name in self._protected:
            raise InvariantViolation(6, f"the protected tool {tool.name} was cancelled")
        if not self._is_explained(tool):
            # The event of a trip may be delivered a moment later.
            self._unexplained.append(tool)

    def _is_explained(self, tool: _Tool) -> bool:
        """Return whether anything that stops a tool has happened since its response began."""
        own = self._interrupted_at.get(tool.response_id, -1)
        latest = max(self._interrupted_all_at, own)
        return self._interrupting > 0 or latest >= tool.created_at

    def _explain(self, _entry: Entry) -> None:
        unexplained, self._unexplained = self._unexplained, []
        for tool in unexplained:
            if not self._over and not self._is_explained(tool):
                raise InvariantViolation(
                    6, f"{tool.name} {tool.call_id} was cancelled, and nothing interrupted it"
                )
