"""The problems in a report of wapiti or Lighthouse are those below a goal."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scan.__main__ import run_scanners
from tests.scan.scanners import Scanner, join_cookies, lighthouse_problems, wapiti_problems
from tests.scan.server import ScannedServer


def wapiti_report(level: int) -> dict[str, Any]:
    finding = {"method": "GET", "path": "/s/x", "info": "A header is missing", "level": level}
    return {"vulnerabilities": {"Headers": [finding], "CRLF": []}, "anomalies": {}}


def lighthouse_report(first_content_ms: float = 900, **scores: float) -> dict[str, Any]:
    names = ("performance", "accessibility", "best-practices")
    return {
        "categories": {
            name: {
                "score": scores.get(name.replace("-", "_"), 1),
                "auditRefs": [{"id": "good"}, {"id": "bad"}, {"id": "unknown"}],
            }
            for name in names
        },
        "audits": {
            "first-contentful-paint": {"numericValue": first_content_ms},
            "good": {"id": "good", "score": 1},
            "bad": {"id": "bad", "score": 0.5},
            "unknown": {"id": "unknown", "score": None},
        },
    }


@pytest.mark.parametrize(("level", "count"), [(0, 0), (1, 0), (2, 1), (4, 1)])
def test_wapiti_finding_of_medium_level_is_a_problem(level: int, count: int) -> None:
    problems = list(wapiti_problems(wapiti_report(level)))
    assert len(problems) == count
    assert all("Headers: GET /s/x: A header is missing" in problem for problem in problems)


def test_lighthouse_page_at_its_goals_has_no_problem() -> None:
    assert list(lighthouse_problems("test", lighthouse_report(1500, performance=0.95))) == []


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (lighthouse_report(1501), "first content after 1501 ms"),
        (lighthouse_report(performance=0.94), "performance 94 of 95: bad"),
        (lighthouse_report(accessibility=0.99), "accessibility 99 of 100: bad"),
        (lighthouse_report(best_practices=0), "best-practices 0 of 100: bad"),
    ],
)
def test_lighthouse_page_below_a_goal_is_a_problem(report: dict[str, Any], problem: str) -> None:
    (text,) = lighthouse_problems("test", report)
    assert text == f"Lighthouse: test: {problem}"


def test_cookies_of_several_sessions_are_one_header() -> None:
    assert join_cookies({"staff=1", "", "candidate=2"}) == "candidate=2; staff=1"


def test_scanner_that_fails_is_a_problem_and_not_left_out(tmp_path: Path) -> None:
    def fail(*_: object) -> list[str]:
        subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)
        return []

    scanners = [
        Scanner("missing", lambda: False, fail),
        Scanner("failing", lambda: True, fail),
        Scanner("good", lambda: True, lambda *_: []),
    ]
    problems, not_run = run_scanners(scanners, ScannedServer("", [], ""), tmp_path)
    assert not_run == ["missing"]
    assert [problem.partition(":")[0] for problem in problems] == ["failing"]
