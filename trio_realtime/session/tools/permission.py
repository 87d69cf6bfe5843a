"""Decide whether a call may run: ask for approval and run the input guardrails of its tool.

==========================  ========================================================================
checked, in this order      effect
==========================  ========================================================================
lasting decision            a rejection ends the call; an approval skips the question
``needs_approval``          whether to ask; invalid arguments are always asked about
input guardrails            only with ``check_input_before_approval``: blocked calls are not asked about
decision                    approves or rejects the call
input guardrails            always, and last
==========================  ========================================================================

Each step may take time, so the lasting decision is read again after each of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs

from trio_realtime.agents import (
    FunctionTool,
    InvalidArguments,
    ToolContext,
    decode_arguments,
    maybe_await,
)
from trio_realtime.core import ToolCall
from trio_realtime.events import ToolApprovalRequired
from trio_realtime.session.user_code import Raised, as_text, call_user_code

from .approvals import Decision
from .call_services import ToolServices
from .guardrails import check_input
from .results import ToolResult, error_result, logger, raised_result

REJECTED = "Tool execution was not approved."


@attrs.frozen
class CallPermission:
    """Decides whether one call may run."""

    call: ToolCall
    tool: FunctionTool
    context: ToolContext[Any]
    services: ToolServices

    async def rejection(self) -> ToolResult | None:
        """Return the result of a call that may not run; ``None`` if the call may run."""
        if self.tool.needs_approval is False:
            return await self._run_input_guardrails()
        found = await self._decide()
        if isinstance(found, ToolResult):
            return found
        if found is not None and not found.approved:
            return await self._rejected(found)
        before = self._lasting_decision()
        blocked = await self._run_input_guardrails()
        after = self._lasting_decision()
        if after is not None and after is not before and not after.approved:
            return await self._rejected(after)
        return blocked

    # --- approval

    async def _decide(self) -> Decision | ToolResult | None:
        """Return the decision, ``None`` if none is needed, or the result of a call that may not run."""
        if (lasting := self._lasting_decision()) is not None:
            return lasting
        asks = await self._needs_approval()
        if isinstance(asks, Raised):  # a condition that fails lets no call run
            return raised_result(self.call, asks.failure, self.tool)
        if not asks:
            return self._lasting_decision()
        blocked = await self._run_guardrails_before_approval()
        if (lasting := self._lasting_decision()) is not None:
            return lasting
        return blocked if blocked is not None else await self._wait_for_decision()

    def _lasting_decision(self) -> Decision | None:
        return self.services.approvals.lasting_decision(self._approval_key())

    def _approval_key(self) -> Hashable:
        return self.tool if self.tool.approval_key is None else self.tool.approval_key

    async def _needs_approval(self) -> bool | Raised:
        condition = self.tool.needs_approval
        if not callable(condition):
            return condition
        arguments = self._arguments()
        if arguments is None:  # the condition cannot judge them
            return True

        async def evaluate() -> bool:
            return bool(await maybe_await(condition(self.context, arguments)))

        outcome = await call_user_code(evaluate)
        return outcome if isinstance(outcome, Raised) else outcome.value

    def _arguments(self) -> dict[str, Any] | None:
        """Return the arguments; ``None`` if they are not a JSON object."""
        try:
            return decode_arguments(self.context.arguments, self.tool.name)
        except InvalidArguments:
            return None

    async def _wait_for_decision(self) -> Decision:
        self.services.runtime.emit(
            ToolApprovalRequired(
                agent=self.context.agent,
                tool=self.tool,
                tool_name=self.context.tool_name,
                call_id=self.context.call_id,
                arguments=self.context.arguments,
            )
        )
        return await self.services.approvals.wait(self.context.call_id, self._approval_key())

    async def _rejected(self, decision: Decision) -> ToolResult:
        text = decision.message
        return error_result(
            await self._rejection_text() if text is None else text, "rejected", self.tool
        )

    async def _rejection_text(self) -> str:
        formatter = self.services.format_rejection
        if formatter is None:
            return REJECTED

        async def format_rejection() -> str:
            return as_text(await maybe_await(formatter(self.context)))

        outcome = await call_user_code(format_rejection, report=self._report_formatter)
        return REJECTED if isinstance(outcome, Raised) else outcome.value

    def _report_formatter(self, failure: BaseException) -> None:
        logger.error("format_rejection failed for tool %s", self.tool.name, exc_info=failure)

    # --- guardrails

    async def _run_guardrails_before_approval(self) -> ToolResult | None:
        if not self.tool.check_input_before_approval or self._arguments() is None:
            return None
        return await self._run_input_guardrails()

    async def _run_input_guardrails(self) -> ToolResult | None:
        if not self.tool.input_guardrails:
            return None
        try:
            arguments = decode_arguments(self.context.arguments, self.tool.name)
        except InvalidArguments as exc:  # the guardrails cannot check them
            return error_result(str(exc), "failed", self.tool)
        return await check_input(self.tool, self.context, arguments, self.services.runtime.emit)
