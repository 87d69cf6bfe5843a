"""Conversation items and their content parts, for both directions.

A message is one class whatever its role: the wire has one ``type`` for all three. Kinds that are
not known here become :class:`UnknownItem` and :class:`UnknownPart`, which keep the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import attrs

from .base import NOT_ON_THE_WIRE, WireObject


@attrs.frozen(kw_only=True)
class InputText(WireObject):
    """Text of the user, or of a system message."""

    type: ClassVar[str] = "input_text"
    text: str = ""


@attrs.frozen(kw_only=True)
class InputAudio(WireObject):
    """Audio of the user. ``audio`` is raw bytes in the session's input format.

    The service sends the bytes only in ``conversation.item.retrieved``.
    """

    type: ClassVar[str] = "input_audio"
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None


@attrs.frozen(kw_only=True)
class InputImage(WireObject):
    """An image of the user: a data URI of a PNG or JPEG. The service does not echo the URI."""

    type: ClassVar[str] = "input_image"
    image_url: str | None = attrs.field(default=None, repr=False)
    detail: str | None = None


@attrs.frozen(kw_only=True)
class OutputText(WireObject):
    """Text of the assistant."""

    type: ClassVar[str] = "output_text"
    text: str = ""


@attrs.frozen(kw_only=True)
class OutputAudio(WireObject):
    """Audio of the assistant. Only the service makes these; the bytes come as deltas.

    ``heard_ms`` is ours: how much of it was heard, where it was cut. The service keeps no transcript
    of audio that was cut; here it stays whole.
    """

    type: ClassVar[str] = "output_audio"
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None
    heard_ms: int | None = attrs.field(default=None, metadata=NOT_ON_THE_WIRE)


@attrs.frozen(kw_only=True)
class UnknownPart(WireObject):
    """A content part of a kind not known here, as it came."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]


ContentPart: TypeAlias = (
    InputText | InputAudio | InputImage | OutputText | OutputAudio | UnknownPart
)


@attrs.frozen(kw_only=True)
class MessageItem(WireObject):
    """A message. ``role`` is ``user``, ``assistant`` or ``system``."""

    type: ClassVar[str] = "message"
    id: str | None = None
    status: str | None = None
    role: str = "user"
    content: tuple[ContentPart, ...] = ()
    phase: str | None = None


@attrs.frozen(kw_only=True)
class FunctionCallItem(WireObject):
    """The model asks for a function. ``arguments`` is JSON text, in pieces while in progress."""

    type: ClassVar[str] = "function_call"
    id: str | None = None
    status: str | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class FunctionCallOutputItem(WireObject):
    """The answer to a function call. ``output`` is free text."""

    type: ClassVar[str] = "function_call_output"
    id: str | None = None
    status: str | None = None
    call_id: str = ""
    output: str = ""


@attrs.frozen(kw_only=True)
class McpListedTool(WireObject):
    """One tool of a hosted MCP server."""

    name: str = ""
    description: str | None = None
    input_schema: Any = None
    annotations: Any = None


@attrs.frozen(kw_only=True)
class McpListToolsItem(WireObject):
    """The tools that a hosted MCP server offers."""

    type: ClassVar[str] = "mcp_list_tools"
    id: str | None = None
    server_label: str = ""
    tools: tuple[McpListedTool, ...] = ()


@attrs.frozen(kw_only=True)
class McpError(WireObject):
    """Why a hosted MCP call failed."""

    type: str = ""
    code: int | None = None
    message: str = ""


@attrs.frozen(kw_only=True)
class McpCallItem(WireObject):
    """A call of a hosted MCP tool, made by the service itself."""

    type: ClassVar[str] = "mcp_call"
    id: str | None = None
    status: str | None = None
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    approval_request_id: str | None = None
    output: str | None = None
    error: McpError | None = None


@attrs.frozen(kw_only=True)
class McpApprovalRequestItem(WireObject):
    """The service asks whether it may call a hosted MCP tool."""

    type: ClassVar[str] = "mcp_approval_request"
    id: str | None = None
    server_label: str = ""
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class McpApprovalResponseItem(WireObject):
    """The answer to an :class:`McpApprovalRequestItem`."""

    type: ClassVar[str] = "mcp_approval_response"
    id: str | None = None
    approval_request_id: str = ""
    approve: bool = False
    reason: str | None = None


@attrs.frozen(kw_only=True)
class ItemReference(WireObject):
    """Names an item of the conversation in the ``input`` of a response."""

    type: ClassVar[str] = "item_reference"
    id: str


@attrs.frozen(kw_only=True)
class UnknownItem(WireObject):
    """An item of a kind not known here, as it came."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]

    @property
    def id(self) -> str | None:
        """The item's id, if it has one."""
        value = self.raw.get("id")
        return value if isinstance(value, str) else None

    @property
    def status(self) -> str | None:
        """The item's status, if it has one."""
        value = self.raw.get("status")
        return value if isinstance(value, str) else None


Item: TypeAlias = (
    MessageItem
    | FunctionCallItem
    | FunctionCallOutputItem
    | McpListToolsItem
    | McpCallItem
    | McpApprovalRequestItem
    | McpApprovalResponseItem
    | UnknownItem
)

KNOWN_PARTS: tuple[type[WireObject], ...] = (
    InputText,
    InputAudio,
    InputImage,
    OutputText,
    OutputAudio,
)
KNOWN_ITEMS: tuple[type[WireObject], ...] = (
    MessageItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    McpListToolsItem,
    McpCallItem,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
)
