"""The sans-I/O conversation: what can be decided without I/O is decided here.

Synchronous, no trio, no network, no clock of its own: time is an argument, in seconds. Server
events, commands and results go in; effects come out, in the order in which the shell has to carry
them out. The same inputs always give the same effects.
"""

from __future__ import annotations

from .calls.function_calls import CANCELLED_OUTPUT as CANCELLED_OUTPUT
from .conversation import Conversation as Conversation
from .effects import (
    CancelCalls as CancelCalls,
    Effect as Effect,
    HistoryEdited as HistoryEdited,
    Outcome as Outcome,
    ResolveRequest as ResolveRequest,
    ResponseOutcome as ResponseOutcome,
    StartCall as StartCall,
    ToolCall as ToolCall,
)
from .guardrails import (
    CheckInput as CheckInput,
    CheckReply as CheckReply,
)
