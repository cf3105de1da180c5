"""The long proofs of `make soak`, each in a form that takes seconds.

Those about many machines are on PostgreSQL anyway; of the others those that need no server of ours
and no file of SQLite's run on either.
"""

from pathlib import Path

import pytest

from tests.soak.__main__ import PROOFS
from tests.soak.proof import Run

ELSEWHERE = {
    "powerloss", "disk",  # their tests stand beside their rules
    "many", "faults",  # even their short forms take half a minute: `make soak` alone
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PROOFS.keys() - ELSEWHERE))
def test_a_proof_holds_in_its_short_form(name: str, database: str, tmp_path: Path) -> None:
    run = Run(tmp_path, short=True, loud=False, postgresql=database == "postgresql")
    verdict = PROOFS[name](run)
    assert verdict.problems == [], verdict.figures
