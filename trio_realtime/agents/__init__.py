"""What the user declares: agents, their tools and handoffs. Imports types, and nothing above."""

from __future__ import annotations

from .agent import RealtimeAgent as RealtimeAgent
from .contexts import (
    AgentContext as AgentContext,
    ToolContext as ToolContext,
    holds as holds,
    settled as settled,
)
from .description import (
    Description as Description,
    describe as describe,
    find_offer as find_offer,
)
from .guardrails import (
    Guardrail as Guardrail,
    GuardrailResult as GuardrailResult,
    InputGuardrail as InputGuardrail,
    OutputGuardrail as OutputGuardrail,
    guardrails_of as guardrails_of,
    input_guardrail as input_guardrail,
    output_guardrail as output_guardrail,
)
from .handoffs import AgentHandoff as AgentHandoff, handoff as handoff
from .schema import InvalidArguments as InvalidArguments
from .tools import (
    BackgroundResult as BackgroundResult,
    FunctionTool as FunctionTool,
    function_tool as function_tool,
    result_text as result_text,
)
