"""Function calls and hosted MCP calls: each runs at most once and is answered exactly once."""
