"""Simulations."""

from __future__ import annotations

from .draw import draw_plan as draw_plan
from .plan import Plan as Plan
from .run import Result as Result, run_plan as run_plan
