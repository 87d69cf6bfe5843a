"""Whether a call may run: what its tool's guardrails say, and who has to approve it.

====================  =============================================================================
asked, in this order  what it decides
====================  =============================================================================
standing decisions    a rejection for good refuses the call, an approval for good spares asking
``needs_approval``    whether somebody is asked; not about arguments that it cannot judge
input guardrails      with ``check_input_before_approval`` only: nobody is asked about what they refuse
whoever approves      approves or rejects
input guardrails      always, and last
====================  =============================================================================

Each of these may take its time, so what was decided for good meanwhile is looked at after each.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio

from trio_realtime.agents import FunctionTool, ToolContext, maybe_await
from trio_realtime.core import ToolCall
from trio_realtime.events import ToolApprovalRequired
from trio_realtime.session.user_code import told_apart

from .approvals import Decision
from .guardrails import check_input
from .results import ToolResult, as_text, logger, raised, refused

if TYPE_CHECKING:
    from trio_realtime.session.runtime import SessionRuntime

    from .call import ToolServices

REJECTED = "Tool execution was not approved."


@attrs.frozen
class CallPermission:
    """Finds out whether a call may run; see the module."""

    call: ToolCall
    tool: FunctionTool
    context: ToolContext[Any]
    shell: SessionRuntime
    desk: ToolServices

    async def refusal(self) -> ToolResult | None:
        """The answer of a call that may not run; ``None`` if it may."""
        if self.tool.needs_approval is False:
            return await self._blocked()
        found = await self._decide()
        if isinstance(found, ToolResult):
            return found
        if found is not None and not found.approved:
            return await self._rejected(found)
        before = self._standing()
        blocked = await self._blocked()
        standing = self._standing()
        if standing is not None and standing is not before and not standing.approved:
            return await self._rejected(standing)
        return blocked

    # --- approval

    async def _decide(self) -> Decision | ToolResult | None:
        """What was decided, ``None`` if nobody need decide; or the answer of what cannot be asked."""
        if (standing := self._standing()) is not None:
            return standing
        try:
            asks = await self._needs_approval()
        except trio.Cancelled:
            raise
        except BaseException as exc:  # a check that fails lets nothing run
            failure, end = told_apart(exc)
            if failure is None or end is not None:
                raise
            return raised(self.call, failure, self.tool)
        if not asks:
            return self._standing()
        blocked = await self._blocked_before()
        if (standing := self._standing()) is not None:
            return standing
        return blocked if blocked is not None else await self._wait()

    def _standing(self) -> Decision | None:
        return self.desk.approvals.standing(self._kept_under())

    def _kept_under(self) -> Hashable:
        return self.tool if self.tool.approval_key is None else self.tool.approval_key

    async def _needs_approval(self) -> bool:
        condition = self.tool.needs_approval
        if not callable(condition):
            return condition
        arguments = _json_object(self.context.arguments)
        # Arguments that nobody can judge are not waved through.
        return arguments is None or bool(await maybe_await(condition(self.context, arguments)))

    async def _wait(self) -> Decision:
        self.shell.hub.emit(
            ToolApprovalRequired(
                agent=self.context.agent,
                tool=self.tool,
                tool_name=self.context.tool_name,
                call_id=self.context.call_id,
                arguments=self.context.arguments,
            )
        )
        return await self.desk.approvals.wait(self.context.call_id, self._kept_under())

    async def _rejected(self, decision: Decision) -> ToolResult:
        told = decision.message
        return refused(await self._rejection() if told is None else told, "rejected", self.tool)

    async def _rejection(self) -> str:
        if self.desk.format_rejection is None:
            return REJECTED
        try:
            return as_text(await maybe_await(self.desk.format_rejection(self.context)))
        except trio.Cancelled:
            raise
        except BaseException as exc:  # the call is to be answered all the same
            _, end = told_apart(exc)
            if end is not None:
                raise
            logger.exception("format_rejection failed for tool %s", self.tool.name)
            return REJECTED

    # --- guardrails

    async def _blocked_before(self) -> ToolResult | None:
        judgeable = _json_object(self.context.arguments) is not None
        return (
            await self._blocked() if self.tool.check_input_before_approval and judgeable else None
        )

    async def _blocked(self) -> ToolResult | None:
        if not self.tool.input_guardrails:
            return None
        try:
            arguments = _arguments(self.context.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            # What the guardrails cannot see does not run.
            text = f"Invalid arguments for {self.tool.name}: {exc}"
            return refused(text, "failed", self.tool)
        return await check_input(self.tool, self.context, arguments, self.shell)


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _arguments(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text.strip() or "{}", type=dict[str, Any])
