"""Conversation items and their content parts, for both directions.

Messages of all roles share one class, because the protocol has one ``type`` for them. Items and
parts of unknown types become :class:`UnknownItem` and :class:`UnknownPart`, which contain the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import attrs

from .base import LOCAL_FIELD, WireObject


@attrs.frozen(kw_only=True)
class InputText(WireObject):
    """Text of a user message or a system message."""

    type: ClassVar[str] = "input_text"
    text: str = ""


@attrs.frozen(kw_only=True)
class InputAudio(WireObject):
    """Audio of a user message. ``audio`` is raw bytes in the session's input format.

    The service sends the bytes only in ``conversation.item.retrieved``.
    """

    type: ClassVar[str] = "input_audio"
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None


@attrs.frozen(kw_only=True)
class InputImage(WireObject):
    """An image of a user message, as a data URI of a PNG or JPEG. The service does not echo it."""

    type: ClassVar[str] = "input_image"
    image_url: str | None = attrs.field(default=None, repr=False)
    detail: str | None = None


@attrs.frozen(kw_only=True)
class OutputText(WireObject):
    """Text of an assistant message."""

    type: ClassVar[str] = "output_text"
    text: str = ""


@attrs.frozen(kw_only=True)
class OutputAudio(WireObject):
    """Audio of an assistant message. Only the service creates it and sends the bytes as deltas.

    ``heard_ms`` is set by the library, not by the service: the number of milliseconds that were
    heard, if the audio was truncated. The service deletes the transcript of truncated audio; the
    library keeps the complete ``transcript``.
    """

    type: ClassVar[str] = "output_audio"
    audio: bytes | None = attrs.field(default=None, repr=False)
    transcript: str | None = None
    heard_ms: int | None = attrs.field(default=None, metadata=LOCAL_FIELD)


@attrs.frozen(kw_only=True)
class UnknownPart(WireObject):
    """A content part of an unknown type, with its JSON."""

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
    """A function call of the model. ``arguments`` is JSON text, incomplete while in progress."""

    type: ClassVar[str] = "function_call"
    id: str | None = None
    status: str | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class FunctionCallOutputItem(WireObject):
    """The output of a function call. ``output`` may be any text."""

    type: ClassVar[str] = "function_call_output"
    id: str | None = None
    status: str | None = None
    call_id: str = ""
    output: str = ""


@attrs.frozen(kw_only=True)
class McpListedTool(WireObject):
    """A tool of a hosted MCP server."""

    name: str = ""
    description: str | None = None
    input_schema: Any = None
    annotations: Any = None


@attrs.frozen(kw_only=True)
class McpListToolsItem(WireObject):
    """The list of tools of a hosted MCP server."""

    type: ClassVar[str] = "mcp_list_tools"
    id: str | None = None
    server_label: str = ""
    tools: tuple[McpListedTool, ...] = ()


@attrs.frozen(kw_only=True)
class McpError(WireObject):
    """The error of a failed hosted MCP call."""

    type: str = ""
    code: int | None = None
    message: str = ""


@attrs.frozen(kw_only=True)
class McpCallItem(WireObject):
    """A call of a hosted MCP tool, which the service executes."""

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
    """A request for approval to call a hosted MCP tool."""

    type: ClassVar[str] = "mcp_approval_request"
    id: str | None = None
    server_label: str = ""
    name: str = ""
    arguments: str = ""


@attrs.frozen(kw_only=True)
class McpApprovalResponseItem(WireObject):
    """The decision on an :class:`McpApprovalRequestItem`."""

    type: ClassVar[str] = "mcp_approval_response"
    id: str | None = None
    approval_request_id: str = ""
    approve: bool = False
    reason: str | None = None


@attrs.frozen(kw_only=True)
class ItemReference(WireObject):
    """A reference to a conversation item, in the ``input`` of a response."""

    type: ClassVar[str] = "item_reference"
    id: str


@attrs.frozen(kw_only=True)
class UnknownItem(WireObject):
    """An item of an unknown type, with its JSON."""

    type: ClassVar[str] = "unknown"
    raw: Mapping[str, Any]

    @property
    def id(self) -> str | None:
        """The id of the item, if any."""
        value = self.raw.get("id")
        return value if isinstance(value, str) else None

    @property
    def status(self) -> str | None:
        """The status of the item, if any."""
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
