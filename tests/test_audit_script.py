"""`make audit` counts a skipped package as not audited."""

from typing import Any

import pytest

from tests.audit import report

GOOD = {"name": "flask", "version": "3.1", "vulns": []}
WEAK = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
SKIPPED = {"name": "provider-x", "skip_reason": "not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([GOOD], 0, "1 audited, 0 not audited"),
        ([GOOD, SKIPPED], 2, "  not audited: provider-x (not found on PyPI)"),
        ([GOOD, SKIPPED, WEAK], 1, "  weak: jinja2 2.0: PYSEC-1, PYSEC-2"),
        ([], 2, "0 audited, 0 not audited"),
    ],
)
def test_audit_report_lists_what_is_weak_or_not_audited(
    packages: list[dict[str, Any]], code: int, line: str
) -> None:
    lines, exit_code = report(packages)
    assert line in lines
    assert exit_code == code
