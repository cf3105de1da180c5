"""Coverage of the core by slipcover, which changes the core's code when it is imported.

The changed code notes each line and branch that runs; the tests take little longer. `make test`
sets COVERAGE_FOLDER. Each worker of pytest writes a file there, and `make test` joins the files.
The programs that tests start are not measured.
"""

import json
import os
from pathlib import Path

import slipcover

FOLDER_VARIABLE, WORKER_VARIABLE = "COVERAGE_FOLDER", "PYTEST_XDIST_WORKER"
PACKAGES = [
    f"provider/{name}"
    for name in ("core/orders", "core/products", "core/kinds", "outbox", "delivery", "ats")
]
EXCLUDED_LINES = ["if TYPE_CHECKING:", r"\.\.\.$", r"@(abc\.)?abstractmethod"]
# slipcover can put the old code back once a line has run, but not while other threads run it.
NEVER = 2**31 - 1

_coverage: slipcover.Slipcover | None = None


def start() -> None:
    """Measure all modules of the core that are imported from now on in a worker of `make test`."""
    global _coverage
    if FOLDER_VARIABLE in os.environ and WORKER_VARIABLE in os.environ:
        _coverage = slipcover.Slipcover(
            branch=True, source=PACKAGES, exclude_also=EXCLUDED_LINES, d_miss_threshold=NEVER
        )
        slipcover.ImportManager(_coverage, slipcover.FileMatcher(sources=PACKAGES)).__enter__()


def write() -> None:
    """Write what has run to a file of the worker."""
    if _coverage:
        path = Path(os.environ[FOLDER_VARIABLE], f"{os.environ[WORKER_VARIABLE]}.json")
        path.write_text(json.dumps(_coverage.get_coverage()))
