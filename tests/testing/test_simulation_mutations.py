"""Each mutant of the library is noticed: what breaks an invariant does not pass the simulation."""

from __future__ import annotations

import pytest

from support.simulation_mutations import MUTANTS, Mutant, seeds_to_notice


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.invariant} {mutant.name}")
def test_a_mutant_is_noticed(mutant: Mutant) -> None:
    assert seeds_to_notice(mutant) is not None


def test_there_is_a_mutant_for_each_invariant() -> None:
    assert {mutant.invariant for mutant in MUTANTS} == {*range(1, 14)}
