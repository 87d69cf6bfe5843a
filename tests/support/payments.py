"""A tool that requires approval, and calls of it."""

from __future__ import annotations

from typing import Any

from support.wire import sent_outputs
from trio_realtime import FunctionTool, function_tool
from trio_realtime.testing import ScriptedPeer

PAYMENTS: list[str] = []
"""What the tool that was made last has done."""


def make_payment_tool(needs_approval: Any = True, **options: Any) -> FunctionTool:
    """Make a tool named ``pay`` that appends to :data:`PAYMENTS`, which is cleared."""
    PAYMENTS.clear()

    @function_tool(needs_approval=needs_approval, **options)
    async def pay(amount: int) -> str:
        PAYMENTS.append(f"paid {amount}")
        return f"paid {amount}"

    return pay


def payment_outputs(peer: ScriptedPeer) -> list[str]:
    """Return the outputs of all answered calls, in order."""
    return [output for _, output in sent_outputs(peer)]


def send_payment_call(peer: ScriptedPeer, number: int, arguments: str = '{"amount": 5}') -> None:
    """Send a complete response with one call, both with this number."""
    peer.begin_response(f"resp_{number}")
    peer.call(f"resp_{number}", f"item_{number}", f"call_{number}", "pay", arguments)
    peer.end_response(f"resp_{number}")
