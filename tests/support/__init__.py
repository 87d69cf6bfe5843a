"""What several test modules share. Imported as ``support``; pytest finds it by its ``pythonpath``.

Each module says one part of a test: :mod:`support.sessions` opens, :mod:`support.service` plays the
other side, :mod:`support.tools` has tools to call, :mod:`support.guardrails` replies and what checks
them, :mod:`support.wire` reads what the client sent, :mod:`support.events` what consumers got, and
:mod:`support.harness` and :mod:`support.realtime_client` are for the local server.
:mod:`support.invariants` keeps in mind what the core promises, :mod:`support.frame_log` writes down
all that happens in a session, and :mod:`support.cancellation` does something at the n-th step of a
task. What users may want for tests of their own belongs into
``trio_realtime.testing`` instead.
"""
