"""Tests. This module is imported before each test module: it sets the garbage collection."""

import gc

# With Python's own thresholds a twelfth of the suite's time would be garbage collections, most of
# them during the imports, which create what stays.
gc.set_threshold(50_000, 10, 10)
