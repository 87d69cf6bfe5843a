"""MCP servers: run an agent's servers and offer their tools to the model.

``manager`` runs all servers of a session and ``server_task`` one of them, over the abstract
``connection``. ``sdk`` implements connections with the MCP SDK; its transports are in ``http`` and
``stdio``. Only these three modules import the SDK, which is an optional dependency.
"""
