"""Whose is a response that begins: which wish it comes of, if it comes of one of ours.

A response that echoes our metadata says so itself. Of any other it has to be worked out:

* Responses beside the conversation begin in the order in which they were asked for. They name no
  conversation; where a server never names any, that says nothing.
* In the conversation, one that follows the end of the user's speech is the service's own. Of the
  rest the ``gate`` makes a guess, which the end of the response confirms.
"""

from __future__ import annotations

from trio_realtime.wire import ResponseObject

from .queue import ResponseQueue, ResponseRequest
from .running import RunningResponse, names_conversation, names_no_conversation


class ResponseAttribution:
    """See the module."""

    def __init__(self, gate: ResponseQueue) -> None:
        self._gate = gate
        self._beside: dict[str, ResponseRequest] = {}
        self._names_conversations = False
        self._turn_ended = False

    def ask_beside(self, wish: ResponseRequest) -> None:
        """A response beside the conversation was asked for."""
        self._beside[wish.token] = wish

    def refused_beside(self, token: str) -> ResponseRequest | None:
        """It was refused. Returns the wish, ``None`` if there is none of this token."""
        return self._beside.pop(token, None)

    def turn_ended(self, *, answered: bool) -> None:
        """The user's turn ended. ``answered``: the service is about to answer by itself."""
        self._turn_ended = answered

    def create_sent(self) -> None:
        """What begins now may well be ours."""
        self._turn_ended = False

    def forget_all(self) -> None:
        """The connection is gone: nothing will begin."""
        self._beside.clear()

    def stands_beside(self, response: ResponseObject, token: str | None) -> bool:
        """Whether a response stands beside the conversation."""
        if token is not None:
            return token in self._beside
        return names_no_conversation(response) and self._names_conversations

    def claim(
        self, response: ResponseObject, token: str | None, *, beside: bool
    ) -> ResponseRequest | None:
        """Which wish a response comes of, or is taken to come of. Once for each that begins."""
        self._names_conversations |= names_conversation(response)
        if beside:
            oldest = next(iter(self._beside), "")
            return self._beside.pop(token if token is not None else oldest, None)
        spontaneous = self._turn_ended and token is None
        if token is None:
            self._turn_ended = False
        wish = self._gate.created(response.id, token, spontaneous=spontaneous)
        return wish if wish is not None else self._gate.guess

    def waiters_of(self, state: RunningResponse) -> tuple[str, ...]:
        """Who waits for a response, or for a turn that it is of."""
        guess = self._gate.guess if state.id == self._gate.running else None
        return state.waiters(guess)

    def names_of(self, state: RunningResponse, token: str | None) -> tuple[str, ...]:
        """The creates that a response may have come of: our token, or who waits for it."""
        guess = self._gate.guess
        if token is None and guess is not None and state.id == self._gate.running:
            token = guess.token
        return (*self.waiters_of(state), token or "")
