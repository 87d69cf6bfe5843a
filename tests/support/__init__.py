"""Helpers shared by test modules. Imported as ``support``, which is on pytest's ``pythonpath``.

- :mod:`support.sessions` opens sessions.
- :mod:`support.service` scripts the service with a ``ScriptedPeer``.
- :mod:`support.tools` contains tools, and :mod:`support.guardrails` a guardrail.
- :mod:`support.payments` contains a tool that requires approval.
- :mod:`support.hosted_mcp` contains an agent with a hosted MCP server, and its frames.
- :mod:`support.interruptions` interrupts the agent in either way.
- :mod:`support.failures` contains unusual exceptions that user code may raise.
- :mod:`support.wire` reads the frames that the client sent.
- :mod:`support.events` reads the events that consumers received.
- :mod:`support.function_tools` contains tools with single annotations.
- :mod:`support.harness` and :mod:`support.realtime_client` drive the local server.
- :mod:`support.invariants` checks the invariants of the core.
- :mod:`support.cancellation` cancels a task at its n-th step.
- :mod:`support.mcp_servers` runs MCP servers, and :mod:`support.proxies` proxies.

Helpers that users may need for their own tests belong in ``trio_realtime.testing``.
"""
