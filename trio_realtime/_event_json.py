"""Session events as JSON-safe dicts."""
