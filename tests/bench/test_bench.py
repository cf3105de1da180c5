import subprocess
import sys

from tests.bench.servers import ROOT


def test_bench_smoke_run_measures_every_part() -> None:
    command = [sys.executable, "-m", "tests.bench", "--smoke"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    for row in (
        "GET /tests",
        "POST /assessments",
        "PUT's arrival",
        "PDF",
        "saving",
        "a question page ÷ its template alone",
        "a question page on a first visit",
        "the editor of a test with 200 items opens",
        "attempts of 60 items scored",
        "encryption of every detail",
        "claim",
        "backlog",
        "memory",
        "on PostgreSQL: `POST",
        "on PostgreSQL, 2,000",
        "on PostgreSQL, the console's pages",
        "on SQLite, the contract's calls",
        "the queue of screenings: the first page's p95",
        "checks on SQLite, 10 % open, the queue of screenings",
        "checks on PostgreSQL, 90 % open, the queue of screenings",
        "by 4 workers",
        "a round over 1,000 records",
        "an account with nothing new",
        "20 results written to Workable",
    ):
        assert row in result.stdout
