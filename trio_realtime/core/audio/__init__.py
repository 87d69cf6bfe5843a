"""The agent's audio: what was heard, what guardrails hold back, and what the history retains."""
