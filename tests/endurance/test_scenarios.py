"""Every endurance scenario of `make soak` in a short form that takes seconds.

Scenarios about several processes on PostgreSQL need it anyway. The others run on either database,
except those that need a server process or a SQLite file.
"""

from pathlib import Path

import pytest

from tests.endurance.__main__ import SCENARIOS
from tests.endurance.scenario import Run

# `powerloss` and `disk` have tests of their own: powerloss/test_powerloss.py. Even the short forms
# of `multi_node` and `faults` take half a minute, so only `make soak` runs them.
EXCLUDED_SCENARIOS = {"powerloss", "disk", "multi_node", "faults"}


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - EXCLUDED_SCENARIOS))
def test_scenario_short_form_passes(name: str, database: str, tmp_path: Path) -> None:
    run = Run(tmp_path, short=True, verbose=False, postgresql=database == "postgresql")
    verdict = SCENARIOS[name](run)
    assert verdict.problems == [], verdict.figures
