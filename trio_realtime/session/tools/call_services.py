"""What the calls of a session share."""

from __future__ import annotations

from typing import Any

import attrs

from trio_realtime.agents import RejectionFormatter
from trio_realtime.session.agent_settings import AgentSwitcher
from trio_realtime.session.runtime_interface import Runtime

from .approvals import Approvals


@attrs.frozen(kw_only=True, eq=False)
class ToolServices:
    """What a call needs of the session.

    Attributes:
        runtime: takes the results and events of calls.
        context: the session's ``context``.
        approvals: the calls that wait for a decision.
        switcher: makes another agent the current one.
        max_output: characters of a result that the model is given; ``None`` for no limit.
        format_rejection: makes the text that the model is given for a rejection without a message.
    """

    runtime: Runtime
    context: Any
    approvals: Approvals
    switcher: AgentSwitcher
    max_output: int | None = None
    format_rejection: RejectionFormatter | None = None
