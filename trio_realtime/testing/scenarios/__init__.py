"""Scenarios: conversations with an agent that are described in YAML files.

:func:`load_scenario` reads a file, and :func:`run_scenario` runs it on the local server in virtual time,
or with a service in real time. The command ``trio-realtime test`` and the pytest plugin do both.
"""

from __future__ import annotations

from .loading import (
    SUFFIX as SUFFIX,
    find_scenarios as find_scenarios,
    load_scenario as load_scenario,
)
from .model import Scenario as Scenario
from .result import (
    Failure as Failure,
    JudgedConversation as JudgedConversation,
    ScenarioResult as ScenarioResult,
    Verdict as Verdict,
    junit_xml as junit_xml,
)
from .run import run_scenario as run_scenario
