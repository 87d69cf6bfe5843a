"""The settings that outlive a connection: what was accepted, and what waits to be sent."""

from __future__ import annotations

from typing import Any

from trio_realtime.wire import Session, Unset

from .inputs import UpdateSettings


class SettingsState:
    """The settings of the session, as far as they do not belong to one connection.

    Attributes:
        agent: the agent that the next response begins with.
        toolset: the tools that the service knows for that agent.
        session: the session as the service last reported it.
        accepted: all settings that the service has accepted.
        waiting: updates that were not sent yet.
    """

    def __init__(self, agent: Any, toolset: Any) -> None:
        self.agent: Any = agent
        self.toolset: Any = toolset
        self.session: Session | None = None
        self.accepted: Session | None = None
        self.waiting: list[UpdateSettings] = []

    @property
    def detects_speech(self) -> bool:
        """Whether the service detects the user's speech, so that turns do not end by hand."""
        if self.session is None or isinstance(self.session.audio, Unset):
            return True
        side = self.session.audio.input
        if isinstance(side, Unset) or isinstance(side.turn_detection, Unset):
            return True
        return side.turn_detection is not None
