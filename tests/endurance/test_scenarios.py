"""The long proofs of `make soak`, each in a form that takes seconds.

Those about many machines are on PostgreSQL anyway; of the others those that need no server of ours
and no file of SQLite's run on either.
"""

from pathlib import Path

import pytest

from tests.endurance.__main__ import SCENARIOS
from tests.endurance.scenario import Run

EXCLUDED_SCENARIOS = {
    "powerloss",
    "disk",  # their tests stand beside their rules
    "many",
    "faults",  # even their short forms take half a minute: `make soak` alone
}


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - EXCLUDED_SCENARIOS))
def test_scenario_short_form_passes(name: str, database: str, tmp_path: Path) -> None:
    run = Run(tmp_path, short=True, verbose=False, postgresql=database == "postgresql")
    verdict = SCENARIOS[name](run)
    assert verdict.problems == [], verdict.figures
