"""The endurance scenarios of `make soak` in short forms that take seconds.

Scenarios about several processes on PostgreSQL need it anyway. The others run on either database,
except those that need a server process or a SQLite file.
"""

from pathlib import Path

import pytest

from tests.endurance.__main__ import SCENARIOS
from tests.endurance.scenario import Run

# Only `make soak` runs these. Even the short forms of `multi_node` and `faults` take half a minute.
# `isolation` and `hostile` measure times. tests/ats/workable/test_errors.py tests what
# `duplicate_orders` tests. `powerloss` and `disk` have tests of their own in powerloss/.
EXCLUDED_SCENARIOS = {
    "disk",
    "duplicate_orders",
    "faults",
    "hostile",
    "isolation",
    "multi_node",
    "powerloss",
}


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - EXCLUDED_SCENARIOS))
def test_scenario_short_form_passes(name: str, database: str, tmp_path: Path) -> None:
    run = Run(tmp_path, short=True, verbose=False, postgresql=database == "postgresql")
    verdict = SCENARIOS[name](run)
    assert verdict.problems == [], verdict.figures
