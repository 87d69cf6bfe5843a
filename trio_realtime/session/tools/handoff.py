"""Carry out a handoff: another agent becomes current, and only then the call is answered."""

from __future__ import annotations

from typing import Any

from trio_realtime.agents import AgentContext, AgentHandoff, InvalidArguments, result_text
from trio_realtime.core import ToolCall
from trio_realtime.errors import RealtimeError
from trio_realtime.session.user_code import Raised, call_user_code, describe_exception

from .call_services import ToolServices
from .results import ToolResult, error_result, logger


async def hand_off(
    handoff: AgentHandoff[Any], call: ToolCall, services: ToolServices
) -> ToolResult:
    """Make the handoff's agent current, so that the model speaks as that agent from now on."""

    async def switch() -> None:
        if handoff.on_handoff is not None or handoff.input_type is not None:
            about = AgentContext(context=services.context, agent=call.agent)
            await handoff.begin(about, call.arguments)
        await services.switcher.switch_to(handoff.agent, call_id=call.call_id)

    outcome = await call_user_code(switch)
    if not isinstance(outcome, Raised):
        text = result_text({"assistant": handoff.agent.name})
        return ToolResult(output=handoff.agent, text=text, outcome="completed")
    failure = outcome.failure
    if isinstance(failure, InvalidArguments | RealtimeError):
        reason = str(failure)
    else:
        logger.warning("handoff %s failed in call %s", call.name, call.call_id, exc_info=failure)
        reason = describe_exception(failure)
    return error_result(f"The handoff failed: {reason}", "failed", error=failure)
