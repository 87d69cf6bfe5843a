"""What tools, guardrails and MCP servers need of the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from trio_realtime.core import Conversation, Input
from trio_realtime.errors import RealtimeError
from trio_realtime.events import SessionEvent
from trio_realtime.wire import Session

from .ending import EndState


class Runtime(Protocol):
    """The part of :class:`.runtime.SessionRuntime` that its tasks use.

    Attributes:
        core: the conversation. Tasks read its state and change it only with :meth:`feed`.
        end: the end of the session.
        emit: delivers a session event.
    """

    core: Conversation
    end: EndState
    emit: Callable[[SessionEvent], None]

    def feed(self, event: Input) -> None:
        """Feed an input to the core and carry out the effects."""
        ...

    def notify(self) -> None:
        """Wake the tasks that wait for a change, such as ``drain``."""
        ...

    def fail(self, error: RealtimeError) -> None:
        """End the session with this error."""
        ...

    def fail_pending(self, error: RealtimeError) -> None:
        """Fail every request that waits for an answer."""
        ...

    async def change_settings(
        self, settings: Session, agent: Any = None, toolset: Any = None
    ) -> Session:
        """Change settings; return when the service has accepted them."""
        ...
