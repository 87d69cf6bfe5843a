"""What the user declares: agents and their tools. Imports types of the wire, and nothing above."""

from __future__ import annotations

from .agent import RealtimeAgent as RealtimeAgent
from .tools import (
    FunctionTool as FunctionTool,
    InvalidArguments as InvalidArguments,
    ToolContext as ToolContext,
    function_tool as function_tool,
    result_text as result_text,
)
