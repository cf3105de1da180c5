"""Tests. This module is imported first: it sets the garbage collection, and starts coverage."""

import gc
import os

# With Python's own thresholds a twelfth of the suite's time would be garbage collections, most of
# them during the imports, which create what stays.
gc.set_threshold(50_000, 10, 10)
if "COVERAGE_FOLDER" in os.environ:
    # The benchmark's own environment, which imports this package too, has no slipcover.
    from tests import line_coverage

    line_coverage.start()
