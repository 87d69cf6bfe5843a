"""The revisions. Each module has one step."""
