"""Declarations of hooks."""

from __future__ import annotations

from typing import Any

import pytest

from trio_realtime import AgentHooks, RealtimeAgent, SessionHooks, errors


class OwnAgentHooks(AgentHooks):
    pass


class OwnSessionHooks(SessionHooks):
    pass


@pytest.mark.parametrize("given", [OwnAgentHooks, OwnSessionHooks(), "log", SessionHooks()])
def test_agent_rejects_other_objects_as_hooks(given: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="hooks= takes an instance"):
        RealtimeAgent(name="A", hooks=given)
