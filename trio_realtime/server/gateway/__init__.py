"""The gateway: managed sessions over HTTP and WebSocket."""
