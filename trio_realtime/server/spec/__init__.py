"""Agent specs: an agent and the settings of its sessions as data, in Python or in a TOML file."""

from __future__ import annotations

from trio_realtime.server._extra import server_extra

with server_extra():
    from .agent_spec import AgentSpec as AgentSpec
    from .building import (
        BuildWarning as BuildWarning,
        BuiltAgent as BuiltAgent,
        OnError as OnError,
        VariableNotGiven as VariableNotGiven,
        build_agent as build_agent,
    )
    from .files import load_specs as load_specs, specs_from_dict as specs_from_dict
    from .handoff_table import HandoffSpec as HandoffSpec
    from .mcp_table import McpServerSpec as McpServerSpec
    from .references import check_references as check_references
    from .schema import spec_schema as spec_schema
    from .slugs import slug_of as slug_of

__all__ = [
    "AgentSpec",
    "BuildWarning",
    "BuiltAgent",
    "HandoffSpec",
    "McpServerSpec",
    "OnError",
    "VariableNotGiven",
    "build_agent",
    "check_references",
    "load_specs",
    "slug_of",
    "spec_schema",
    "specs_from_dict",
]
