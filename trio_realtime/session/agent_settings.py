"""From an agent and a configuration to the settings that the service is asked for."""

from __future__ import annotations

from trio_realtime.agents import AgentDescription
from trio_realtime.config import SessionConfig
from trio_realtime.wire import UNSET, AudioOutput, AudioSettings, Session, Unset


def first_settings(agent: AgentDescription, config: SessionConfig) -> Session:
    """What a session begins with."""
    return config.session_settings(
        instructions=agent.instructions, tools=agent.tools, voice=agent.voice
    )


def agent_settings(agent: AgentDescription, config: SessionConfig) -> Session:
    """What changes when an agent takes over: what it is told, its tools, and its voice.

    The voice only where the configuration does not settle it; formats and the rest stay.
    """
    own_voice = isinstance(config.voice, Unset) and not isinstance(agent.voice, Unset)
    audio = AudioSettings(output=AudioOutput(voice=agent.voice)) if own_voice else UNSET
    return Session(instructions=agent.instructions, tools=agent.tools, audio=audio)
