"""The events of a session as versioned JSON, for clients and for the store."""
