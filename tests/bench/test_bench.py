import subprocess
import sys

from tests.bench.servers import ROOT


def test_everything_that_make_bench_measures_runs() -> None:
    command = [sys.executable, "-m", "tests.bench", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for row in (
        "GET /tests",
        "POST /assessments",
        "PUT's arrival",
        "PDF",
        "saving",
        "claim",
        "backlog",
        "memory",
    ):
        assert row in done.stdout
