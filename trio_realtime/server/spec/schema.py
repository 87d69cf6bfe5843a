"""The JSON Schema of files with agent specs, for editors."""

from __future__ import annotations

from typing import Any

from .agent_spec import AGENT

__all__ = ["spec_schema"]


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of a TOML file with agent specs, as JSON has the same data."""
    agent = AGENT.schema()
    agent["properties"]["realtime_mode"] = {"const": True}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Agent specs of trio_realtime",
        "$defs": {"agent": agent},
        "if": {"type": "object", "required": ["agents"]},
        "then": {
            "type": "object",
            "properties": {
                "agents": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"$ref": "#/$defs/agent"},
                }
            },
            "additionalProperties": False,
        },
        "else": {"$ref": "#/$defs/agent"},
    }
