"""Coverage of the core: only the core's tests are traced, because tracing makes a test 50 % slower.

A test that runs on both databases is traced on SQLite only.

`make test` sets COVERAGE_PROCESS_START. With it coverage starts in each of pytest's processes. All
modules of the core are imported before the first test.
"""

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import coverage
import pytest

from provider.ats import ADAPTERS

COVERAGE_VARIABLE = "COVERAGE_PROCESS_START"  # coverage starts in programs with this variable
TESTS = Path(__file__).parent
CORE = {
    TESTS / name
    for name in (
        "ats",
        "cli/test_account_check.py",
        "cli/test_rules.py",
        "core/alerts",
        "core/kinds",
        "core/orders",
        "core/products",
        "core/test_sandbox.py",
        "delivery",
        "outbox",
        "web/candidate/test_before_start.py",
        "web/candidate/test_interview_question.py",
        "web/candidate/test_interview_uploads.py",
        "web/console/test_connections.py",
        "web/console/test_openid.py",
        "web/console/test_order_actions.py",
    )
}


def _import_modules(packages: Any) -> None:
    """Import all modules of the packages, and build the blueprints, which are cached."""
    for package in packages:
        paths = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(paths, f"{package}."):
            importlib.import_module(module.name)
    for ats in (name for name, adapter in ADAPTERS.items() if adapter.has_endpoints):
        importlib.import_module(f"provider.ats.{ats}.routes").build_blueprint(ats)


def params_of(item: pytest.Item) -> dict[str, object]:
    """Return the parameters of a test by name; none for a test without parameters."""
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}


class CoreTracing:
    """A plugin of pytest that lets coverage trace the core's tests without the mark `untraced`."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage.current()
        self._is_on = self._coverage is not None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Do not trace the controller of several workers, nor the programs that tests start."""
        if config.getoption("dist", "no") != "no":
            self._switch(on=False)
            return
        os.environ.pop(COVERAGE_VARIABLE, None)
        if self._coverage:
            # Otherwise a test without tracing may be the first to import a module.
            _import_modules(self._coverage.get_option("run:source_pkgs"))
        self._switch(on=False)  # the collection of the tests would take twice as long

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> object:
        is_core = not CORE.isdisjoint((item.path, *item.path.parents))
        is_repetition = params_of(item).get("database") == "postgresql"
        is_untraced = is_repetition or item.get_closest_marker("untraced")
        self._switch(on=is_core and not is_untraced)
        return (yield)

    @pytest.fixture
    def traced_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Trace the programs that the test starts; they take twice as long to start."""
        if self._is_on:
            monkeypatch.setenv(COVERAGE_VARIABLE, str(TESTS.parent / "pyproject.toml"))
            monkeypatch.setenv("COVERAGE_FILE", str(TESTS.parent / ".coverage"))

    def _switch(self, *, on: bool) -> None:
        if self._coverage is None or on == self._is_on:
            return
        self._is_on = on
        (self._coverage.start if on else self._coverage.stop)()
