"""How the arguments and results of tools become JSON Schema."""
