"""A new kind works without a changed file of the program."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_kind_of_its_own_folder_works_without_changed_files(tmp_path: Path) -> None:
    """Run the scenario in its own process: a mapped class cannot be removed again."""
    scenario = ROOT / "tests" / "dummy_kind" / "scenario.py"
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'scenario'}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(scenario)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout
