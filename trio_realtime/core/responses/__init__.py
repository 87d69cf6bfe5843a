"""Responses: which may be requested, which run, and how they end."""
