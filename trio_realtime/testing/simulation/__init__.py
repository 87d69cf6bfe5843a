"""Simulate whole sessions under seeded schedules, and check the invariants after every step.

The session and the :mod:`local server <trio_realtime.local>` are the real ones. They run on a virtual
clock, in a task order that depends only on the seed. A :class:`Plan` says what happens: what the
user, the model, the tools, the guardrails, the approvals, the consumers and the network do, and when.
It is drawn from a seed before the session runs, so a session that breaks an invariant can be run
again, and its plan shrunk::

    result = run_plan(draw_plan(7))
    if result.violation is not None:
        print(result.violation)
        print(shrink_plan(result.plan).describe())

``python -m trio_realtime.testing.simulate`` does this for many seeds.

The invariants have numbers:

1. Every function call that the server completes is answered exactly once while the session lives.
2. A call id runs its tool at most once.
3. At most one ``response.create`` is outstanding, and a request for a response is never lost.
4. All calls of a response are answered before the ``response.create`` that follows them.
5. After ``audio_interrupted`` of a response, no consumer receives audio of that response.
6. An interruption or a guardrail trip cancels the tools of its response, waits for them, and answers
   their calls before the conversation goes on. It affects nothing else.
7. After the block no task, transport or thread is left, within ``close_timeout``.
8. Events that arrived before a failure are delivered before the failure.
9. The history equals the server's conversation whenever nothing is under way.
10. What the session holds stays within the configured bounds, and no control event is dropped.
11. Unknown events, unknown fields and nulls are never an error, and visible raw.
12. The key never appears in a repr, a log record, an exception or an event.
13. A guardrail sees every reply at least once in full.

0 stands for a crash or a session that hangs.
"""

from __future__ import annotations

from .coverage import Coverage as Coverage
from .draw import DEFAULT_STEPS as DEFAULT_STEPS, draw_plan as draw_plan
from .log import Entry as Entry, InvariantViolation as InvariantViolation, Log as Log
from .network import Network as Network
from .plan import (
    Action as Action,
    Check as Check,
    ConsumerPlan as ConsumerPlan,
    Decision as Decision,
    Plan as Plan,
    Settings as Settings,
)
from .run import Result as Result, run_plan as run_plan
from .scheduling import (
    Deadlock as Deadlock,
    run_seeded as run_seeded,
    scheduling_is_deterministic as scheduling_is_deterministic,
)
from .shrink import shrink_plan as shrink_plan
from .websockets import TransportName as TransportName
