"""Who may ask for the next response, and when.

The service writes one response at a time to the conversation and refuses a ``response.create``
while one is running. The gate holds every wish for a response until its turn.

Rules:

* One create is outstanding at most: sent, and neither begun nor refused. None is sent while a
  response of the conversation runs, or while the gate is held (calls of an interrupted response
  that are still to be answered).
* Wishes wait in order, but that a question lets the turn that somebody waits for go on first.
  Automatic ones (a message, tool outputs) that wait next to each other become
  one create. Manual ones, with parameters of their own, stay apart.
* Ours is recognised by its own metadata, echoed in ``response.created``. A response without it is
  somebody else's (voice activity detection): it takes the slot, and our create will be refused.
* A refused create goes back to the head of the line. It is sent again when the slot is known to be
  free, that is after the ``response.done`` of the response it lost to; the refusal may come before
  that one's ``response.created``.
* A server that has never echoed metadata leaves open whose a response is. There, one that follows
  the end of the user's speech is the service's own; of any other, its end settles that it was ours.
* Wishes for a response beside the conversation (``conversation="none"``) do not come here.

====================  ==================================  =====================================
state                 means                               leaves it
====================  ==================================  =====================================
free                  a wish may be sent                  ``take`` -> outstanding
outstanding           our create is on its way            created -> running; refused -> lost
running               a response writes                   done -> free
lost                  refused, the winner not yet seen    created -> running; done, also of one
                                                          beside the conversation -> free
====================  ==================================  =====================================
"""

from __future__ import annotations

from collections import deque

import attrs

from trio_realtime.wire import MessageItem, ResponseParams

from .turns import Turn

METADATA_KEY = "trio_realtime"
"""The metadata pair by which we know our own creates."""


@attrs.frozen(kw_only=True)
class ResponseRequest:
    """A wish for a response.

    Attributes:
        token: our name for it: the create's event id, and echoed in the metadata.
        params: overrides; ``None`` for an automatic wish.
        waiters: who waits for the response that comes of it.
        turn_waiters: who waits for the end of the turn that it begins or continues.
        turns: the turns that it continues.
        question: what joins the conversation just before the create is sent the first time. It
            waits until nobody waits for another turn: one response would answer both.
        nested: it is a part of the work on a turn, so it does not wait for that.

    When wishes are merged, these come together.
    """

    token: str
    params: ResponseParams | None = None
    waiters: tuple[str, ...] = ()
    turn_waiters: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    question: MessageItem | None = None
    nested: bool = False

    @property
    def waits_for_turns(self) -> bool:
        """Whether it is a question that waits for the end of the turns before it."""
        return self.question is not None and not self.nested


def _merged(first: ResponseRequest, second: ResponseRequest) -> ResponseRequest:
    return attrs.evolve(
        first,
        waiters=first.waiters + second.waiters,
        turn_waiters=first.turn_waiters + second.turn_waiters,
        turns=first.turns + second.turns,
    )


class ResponseQueue:
    """See the module."""

    def __init__(self) -> None:
        self._wishes: deque[ResponseRequest] = deque()
        self._outstanding: ResponseRequest | None = None
        self._running: str | None = None
        self._lost = False
        self._ended_since = False  # a response ended since our create was taken
        self._echoes: bool | None = None
        self._unclaimed: str | None = None

    @property
    def running(self) -> str | None:
        """Id of the conversation's running response."""
        return self._running

    @property
    def outstanding(self) -> ResponseRequest | None:
        """The wish whose create is on its way."""
        return self._outstanding

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing is on its way, nothing waits."""
        return not (self._wishes or self._outstanding or self._running or self._lost)

    @property
    def guess(self) -> ResponseRequest | None:
        """The wish that the running response is taken to be of, for want of an echo."""
        return self._outstanding if self._unclaimed is not None else None

    def wish(self, wish: ResponseRequest) -> None:
        """Queue a wish; what a turn needs to go on comes before the questions that wait for its end."""
        if not (wish.turns or wish.nested):
            self._wishes.append(wish)
            return
        waiting = (place for place, other in enumerate(self._wishes) if other.waits_for_turns)
        self._wishes.insert(next(waiting, len(self._wishes)), wish)

    def take(self, *, questions_wait: bool = False) -> ResponseRequest | None:
        """The wish to send now, ``None`` if none may be sent.

        ``questions_wait``: somebody still waits for the end of a turn.

        Automatic ones that wait next to each other are merged here and not before: a refused one
        may yet turn out to have begun, and what came after it was not in its create.
        """
        if self._outstanding or self._running or self._lost or not self._wishes:
            return None
        if questions_wait and self._wishes[0].waits_for_turns:
            return None
        wish = self._wishes.popleft()
        while wish.params is None and self._wishes and self._wishes[0].params is None:
            wish = _merged(wish, self._wishes.popleft())
        self._outstanding = wish
        self._ended_since = False
        return wish

    def asked(self) -> None:
        """The question of the outstanding wish was sent: it is not to be sent again."""
        if self._outstanding is not None:
            self._outstanding = attrs.evolve(self._outstanding, question=None)

    def created(
        self, response_id: str, token: str | None, *, spontaneous: bool = False
    ) -> ResponseRequest | None:
        """A response of the conversation began. Returns our wish if it is known to be ours.

        Args:
            response_id: the service's id.
            token: ours, if the metadata was echoed.
            spontaneous: the service was about to begin one by itself.
        """
        self._running = response_id
        self._lost = False
        self._unclaimed = None
        if token is None:
            if self._outstanding is not None and not self._echoes and not spontaneous:
                self._unclaimed = response_id
            return None
        self._echoes = True
        return self._claim(token)

    def _claim(self, token: str) -> ResponseRequest | None:
        if self._outstanding is not None and self._outstanding.token == token:
            wish, self._outstanding = self._outstanding, None
            return wish
        # Taken for refused, and begun after all.
        for wish in self._wishes:
            if wish.token == token:
                self._wishes.remove(wish)
                return wish
        return None

    def done(self, response_id: str) -> ResponseRequest | None:
        """A response ended. Returns our wish if the end tells that it was ours."""
        if self._running not in (None, response_id):
            return None
        self._running = None
        self._lost = False
        self._ended_since = True
        if self._unclaimed != response_id:
            return None
        self._unclaimed = None
        wish, self._outstanding = self._outstanding, None
        return wish

    def done_beside(self) -> None:
        """A response beside the conversation ended.

        A server with room for one response in all may have refused our create for its sake.
        """
        self._lost = False

    def refused(self, token: str, *, over: bool = False) -> bool:
        """Our create lost against another response. Returns whether it was outstanding.

        ``over``: the end of that other one has been seen, so there is nothing to wait for.
        """
        if self._outstanding is None or self._outstanding.token != token:
            return False
        self._wishes.appendleft(self._outstanding)
        self._outstanding = None
        # If one has ended meanwhile, it was that one: no other end may come to wait for.
        self._lost = self._running is None and not (over or self._ended_since)
        self._unclaimed = None
        return True

    def withdraw(self, token: str) -> ResponseRequest | None:
        """Forget a wish that waits. Returns it, ``None`` if none of this token waits."""
        wish = next((wish for wish in self._wishes if wish.token == token), None)
        if wish is not None:
            self._wishes.remove(wish)
        return wish

    def failed(self, token: str) -> ResponseRequest | None:
        """Our create was wrong. Its slot is free again; returns the wish, which is given up."""
        if self._outstanding is None or self._outstanding.token != token:
            return None
        wish, self._outstanding = self._outstanding, None
        self._unclaimed = None
        return wish

    def drop_all(self) -> tuple[ResponseRequest, ...]:
        """The connection is gone: forget everything. Returns what was given up."""
        dropped = (*([self._outstanding] if self._outstanding else []), *self._wishes)
        self._wishes.clear()
        self._outstanding = self._running = self._unclaimed = None
        self._lost = False
        return dropped
