"""Coverage of the core: only the core's tests are traced, for that takes half as long again.

`make test` sets COVERAGE_PROCESS_START. With it coverage starts in each of pytest's processes, and
counts the lines that run when the modules are imported.
"""

import os
from pathlib import Path

import coverage
import pytest

CONFIGURATION = "COVERAGE_PROCESS_START"  # coverage starts in programs with this variable
TESTS = Path(__file__).parent
CORE = {
    TESTS / name
    for name in (
        "ats",
        "core/kinds",
        "core/orders",
        "core/products",
        "delivery",
        "outbox",
        "web/candidate/test_interview_uploads.py",
    )
}


class CoreTracing:
    """A plugin of pytest that lets coverage trace the core's tests without the mark `untraced`."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage.current()
        self._is_on = self._coverage is not None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Do not trace the controller of several workers, nor the programs that tests start."""
        if config.getoption("dist", "no") != "no":
            self._switch(on=False)
        else:
            os.environ.pop(CONFIGURATION, None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> object:
        is_core = not CORE.isdisjoint((item.path, *item.path.parents))
        self._switch(on=is_core and not item.get_closest_marker("untraced"))
        return (yield)

    @pytest.fixture
    def traced_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Trace the programs that the test starts; they take twice as long to start."""
        if self._is_on:
            monkeypatch.setenv(CONFIGURATION, str(TESTS.parent / "pyproject.toml"))
            monkeypatch.setenv("COVERAGE_FILE", str(TESTS.parent / ".coverage"))

    def _switch(self, *, on: bool) -> None:
        if self._coverage is None or on == self._is_on:
            return
        self._is_on = on
        (self._coverage.start if on else self._coverage.stop)()
