"""The settings of an agent, and switching from one agent to another."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_realtime.agents import AgentDescription, RealtimeAgent, describe
from trio_realtime.config import SessionConfig
from trio_realtime.core import ProtectCall
from trio_realtime.wire import UNSET, AudioInput, AudioOutput, AudioSettings, Session, Unset

from .consumers.hooks import HookRunner
from .mcp.manager import McpServers
from .runtime_interface import Runtime


def first_settings(
    agent: AgentDescription, config: SessionConfig, *, joins_call: bool = False
) -> Session:
    """Return the settings that a session begins with.

    A session that joins a WebRTC or SIP call sends no audio formats: the call has negotiated them, and
    the service would encode its audio in a format that the caller does not expect.
    """
    settings = config.session_settings(
        instructions=agent.instructions,
        tools=agent.toolset.specs,
        voice=agent.voice,
        prompt=agent.prompt,
    )
    return _without_formats(settings) if joins_call else settings


def _without_formats(settings: Session) -> Session:
    audio = settings.audio or AudioSettings()
    ins = attrs.evolve(audio.input or AudioInput(), format=UNSET)
    outs = attrs.evolve(audio.output or AudioOutput(), format=UNSET)
    audio = AudioSettings(
        input=UNSET if ins == AudioInput() else ins, output=UNSET if outs == AudioOutput() else outs
    )
    return attrs.evolve(settings, audio=UNSET if audio == AudioSettings() else audio)


def agent_settings(
    agent: AgentDescription, config: SessionConfig, *, replaces_prompt: bool = False
) -> Session:
    """Return the settings that change with the agent: instructions, tools, voice and prompt.

    The voice changes only if the configuration does not set one.

    Args:
        agent: the agent.
        config: the session's configuration.
        replaces_prompt: an earlier agent had a prompt of its own, which must not stay.
    """
    own_voice = isinstance(config.voice, Unset) and not isinstance(agent.voice, Unset)
    audio = AudioSettings(output=AudioOutput(voice=agent.voice)) if own_voice else UNSET
    prompt: Any = UNSET if agent.prompt is None else agent.prompt
    if agent.prompt is None and replaces_prompt:
        prompt = None if isinstance(config.prompt, Unset) else config.prompt
    return Session(
        instructions=agent.instructions, tools=agent.toolset.specs, audio=audio, prompt=prompt
    )


class AgentSwitcher:
    """Makes another agent the current one.

    Args:
        runtime: sends the settings.
        servers: the MCP servers of the agents.
        hooks: observe the events of agents with hooks.
        context: the session's ``context``.
        config: the session's configuration.
        first: the agent that the session begins with.
    """

    def __init__(
        self,
        runtime: Runtime,
        servers: McpServers,
        hooks: HookRunner,
        context: Any,
        config: SessionConfig,
        first: AgentDescription,
    ) -> None:
        self._hooks = hooks
        self._runtime = runtime
        self._servers = servers
        self._context = context
        self._config = config
        self._had_prompt = first.prompt is not None

    async def switch_to(self, agent: RealtimeAgent[Any], *, call_id: str | None = None) -> None:
        """Make an agent current; return when the service has accepted its settings.

        Cancelling before the settings are sent has no effect. After that, the agent becomes current all
        the same.

        Args:
            agent: the agent.
            call_id: the call that asked for the switch. Once the settings are sent, an interruption
                does not cancel it any more.

        Raises:
            McpServerFailed: a required MCP server of the agent did not start.
            SettingsRejected: the service rejected the settings. The current agent stays.
        """
        if agent.mcp_servers:
            await self._servers.start(agent)
        async with self._servers.settings_lock:
            mcp_tools = self._servers.offered(agent) if agent.mcp_servers else ()
            described = await describe(agent, self._context, mcp_tools)
            await trio.lowlevel.checkpoint_if_cancelled()
            if call_id is not None:
                self._runtime.feed(ProtectCall(call_id=call_id))
            if agent.hooks is not None:
                self._hooks.observe(agent)
            settings = agent_settings(described, self._config, replaces_prompt=self._had_prompt)
            # Even if the service rejects it or the wait is cancelled: the prompt may be in effect.
            self._had_prompt |= described.prompt is not None
            await self._runtime.change_settings(settings, agent, described.toolset)
