"""The fault matrix: what a session does when something fails, in virtual time.

Each case opens sessions with an agent on the local server in memory, makes one thing fail, checks what
must hold, and says in one sentence what happened. Run the cases with an agent and a configuration of
your own::

    import pytest
    from trio_realtime.testing.fault_matrix import CASES, run_case


    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_fault(case):
        run_case(case, agent=my_agent)

``python -m trio_realtime.testing.fault_matrix`` runs all cases and prints a table.
"""

from __future__ import annotations

from .case import FaultCase as FaultCase, Subject as Subject, run_case as run_case
from .claims import CLAIMS
from .connection_cases import CONNECTION_CASES
from .protocol_cases import PROTOCOL_CASES
from .table import (
    LIBRARIES as LIBRARIES,
    CaseResult as CaseResult,
    markdown_table as markdown_table,
    run_cases as run_cases,
    text_table as text_table,
)

CASES: tuple[FaultCase, ...] = (*CONNECTION_CASES, *PROTOCOL_CASES, *CLAIMS)
"""All cases: first the faults of connections, then those of the protocol, then the guarantees.

:meta hide-value:
"""
