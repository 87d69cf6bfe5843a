"""Invariants 3 and 4: requests for responses are sent one at a time, none too early, none lost."""

from __future__ import annotations

from typing import Final

from trio_realtime import events as ev
from trio_realtime.testing.simulation.log import Entry, Frame, InvariantViolation, Log, member

from .frames import answered_call, completed_call, create_token, created_token, message_text

__all__ = ["CreateCheck", "CreateReasons", "RequestCheck"]

EXPLICIT: Final = frozenset({"create", "goodbye", "raw"})
"""What the log says of requests that wait for their outcome."""
_OCCUPIED: Final = "conversation_already_has_active_response"


class CreateCheck:
    """Invariant 3: at most one create is outstanding, and a rejected one is sent again.

    Until the server has echoed the metadata of a create, a response without metadata may be the
    answer to the outstanding create.

    Args:
        log: the log to observe.
        request_timeout: seconds after which the session may give up a create.
        sends_at_once: whether the network takes each frame at once. Otherwise a create may wait to be
            sent, and a response may begin meanwhile.
    """

    def __init__(
        self, log: Log, *, request_timeout: float = 15.0, sends_at_once: bool = True
    ) -> None:
        self._timeout = request_timeout
        self._sends_at_once = sends_at_once
        self._interrupted_at = -1.0
        self._outstanding: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._seen: set[str] = set()
        self._sent_at: dict[str, int] = {}
        self._retry = False
        self._echoes = False
        self._interruptions = 0
        log.observe(self._sent, "out")
        log.observe(self._received, "in")
        log.observe(self._interrupted, "interrupting", "interrupted", "withdrawn")
        log.observe(self._quiet, "quiet")
        log.observe(self._connected, "connected")

    def _connected(self, _entry: Entry) -> None:
        """What was under way on the previous connection is over, or is requested again."""
        self._outstanding.clear()
        self._running.clear()
        self._retry = False

    def _interrupted(self, entry: Entry) -> None:
        self._interrupted_at = entry.time
        self._interruptions += 1
        self._retry = False

    def _sent(self, entry: Entry) -> None:
        if entry.about["type"] == "response.cancel":
            self._interrupted(entry)
        token = create_token(entry.about)
        if token is None:
            return
        self._expire(entry.time)
        if self._outstanding:
            raise InvariantViolation(
                3, f"two creates are outstanding: {[*self._outstanding, token]}"
            )
        # A create may have been queued just before a response of the server began.
        is_late = any(since < entry.time for since in self._running.values())
        if is_late and self._sends_at_once:
            raise InvariantViolation(3, f"{token} was sent while a response runs")
        self._outstanding[token] = entry.time
        # An interruption of the same moment may have come after the create was queued.
        same_moment = self._interrupted_at == entry.time or not self._sends_at_once
        self._sent_at[token] = -1 if same_moment else self._interruptions
        self._retry = False

    def _expire(self, now: float) -> None:
        for token, sent_at in [*self._outstanding.items()]:
            if now - sent_at >= self._timeout - 1e-6:
                del self._outstanding[token]

    def _received(self, entry: Entry) -> None:
        frame: Frame = entry.about
        match frame["type"]:
            case "response.created":
                self._created(frame["response"], created_token(frame), entry.time)
            case "response.done":
                if (
                    self._running.pop(frame["response"]["id"], None) is not None
                    and not self._echoes
                ):
                    self._outstanding.clear()
            case "input_audio_buffer.speech_started":
                self._interrupted(entry)
            case "error":
                self._rejected(frame["error"])
            case _:
                pass

    def _created(self, response: Frame, token: str | None, now: float) -> None:
        response_id = response["id"]
        if response_id in self._seen or response.get("conversation_id") is None:
            return
        self._seen.add(response_id)
        self._running[response_id] = now
        if token is not None:
            self._echoes = True
            self._outstanding.pop(token, None)

    def _rejected(self, error: Frame) -> None:
        token = error.get("event_id") or ""
        if not token and error.get("code") == _OCCUPIED:
            # Without an id, it may be the rejection of the create, or of a response to speech.
            self._outstanding.clear()
            return
        if self._outstanding.pop(token, None) is None:
            return
        if error.get("code") == _OCCUPIED and self._sent_at[token] == self._interruptions:
            self._retry = True

    def _quiet(self, entry: Entry) -> None:
        self._expire(entry.time)
        if self._outstanding:
            raise InvariantViolation(3, f"no response and no rejection: {[*self._outstanding]}")
        if self._retry:
            raise InvariantViolation(3, "a rejected create was not sent again")


class RequestCheck:
    """Invariant 3: a response follows each message that requests one, unless it is interrupted."""

    def __init__(self, log: Log) -> None:
        self._requested: set[str] = set()
        self._unanswered: set[str] = set()
        log.observe(self._request, "request")
        log.observe(self._received, "in")
        log.observe(self._sent, "out")
        log.observe(self._event, "event")
        log.observe(self._clear, "interrupting", "interrupted", "withdrawn", "connected")
        log.observe(self._quiet, "quiet")

    def _request(self, entry: Entry) -> None:
        self._requested.add(entry.about)

    def _clear(self, _entry: Entry) -> None:
        self._requested.clear()  # the message may be on its way
        self._unanswered.clear()

    def _sent(self, entry: Entry) -> None:
        if entry.about["type"] == "response.cancel":
            self._clear(entry)

    def _event(self, entry: Entry) -> None:
        event = entry.about[1]
        if isinstance(event, ev.GuardrailTripped) or (
            isinstance(event, ev.Error) and getattr(event.error, "code", None) != _OCCUPIED
        ):
            self._clear(entry)

    def _received(self, entry: Entry) -> None:
        frame: Frame = entry.about
        match frame["type"]:
            case "conversation.item.added":
                text = message_text(frame)
                if text in self._requested:
                    self._requested.discard(text)  # an edit may create it again
                    self._unanswered.add(text)
            case "response.created":
                if created_token(frame) is not None:
                    self._unanswered.clear()
            case "input_audio_buffer.speech_started" | "error":
                if member(frame, "error").get("code") != _OCCUPIED:
                    self._clear(entry)
            case _:
                pass

    def _quiet(self, _entry: Entry) -> None:
        if self._unanswered:
            raise InvariantViolation(3, f"no response was requested for {sorted(self._unanswered)}")


def _has_metadata(create: Frame) -> bool:
    """Return whether the user gave a create metadata of its own: it is not joined with others."""
    metadata = member(member(create, "response"), "metadata")
    return not metadata.keys() <= {"trio_realtime"}


class CreateReasons:
    """Invariant 4: each create of the session's own has a reason.

    The calls of a response are a reason once all of them are answered. A request of the user that
    waits for its outcome has an id of its own, and is its own reason. Requests before and after it are
    not joined.
    """

    def __init__(self, log: Log) -> None:
        self._reasons: list[float] = []
        self._explicit = 0
        self._rejected: set[str] = set()
        self._open_calls: dict[str, set[str]] = {}
        self._seen: set[str] = set()
        self._done: set[str] = set()
        log.observe(self._request, "request", "ask")
        log.observe(self._received, "in")
        log.observe(self._sent, "out")
        log.observe(self._quiet, "quiet")
        log.observe(self._connected, "connected")

    def _connected(self, entry: Entry) -> None:
        """A request whose response has not begun is sent again on the next connection."""
        self._reasons.append(entry.time)

    def _quiet(self, _entry: Entry) -> None:
        self._explicit = 0

    def _request(self, entry: Entry) -> None:
        if entry.what == "ask" or entry.about in EXPLICIT:
            self._explicit += 1
        else:
            self._reasons.append(entry.time)

    def _received(self, entry: Entry) -> None:
        frame: Frame = entry.about
        call = completed_call(frame)
        if call is not None:
            if call["call_id"] not in self._seen:
                self._seen.add(call["call_id"])
                self._open_calls.setdefault(frame["response_id"], set()).add(call["call_id"])
            elif frame["response_id"] not in self._done:
                # The id of an earlier call: it needs no new output.
                self._open_calls.setdefault(frame["response_id"], set())
        elif frame["type"] == "response.done":
            self._done.add(frame["response"]["id"])
            self._complete(entry.time)
        elif frame["type"] == "error":
            self._rejected.add(frame["error"].get("event_id"))

    def _sent(self, entry: Entry) -> None:
        frame: Frame = entry.about
        answered = answered_call(frame)
        if answered is not None:
            for calls in self._open_calls.values():
                calls.discard(answered)
            self._complete(entry.time)
        elif message_text(frame).startswith(("guardrail triggered", "Result of", "Guardrail")):
            self._reasons.append(entry.time)
        token = create_token(frame)
        if token is not None and token not in self._rejected:
            if token.startswith("create_") and not _has_metadata(frame):
                self._check(token, entry.time)
            else:
                self._explicit -= 1

    def _complete(self, time: float) -> None:
        for response_id in [id_ for id_, calls in self._open_calls.items() if not calls]:
            if response_id in self._done:
                del self._open_calls[response_id]
                self._reasons.append(time)

    def _check(self, token: str, time: float) -> None:
        if not self._reasons:
            raise InvariantViolation(4, f"{token} has no reason: open calls are {self._open_calls}")
        if self._explicit > 0:
            del self._reasons[0]
        else:
            # Requests of the same moment may have been made after the create was queued.
            self._reasons = [moment for moment in self._reasons if moment == time]
