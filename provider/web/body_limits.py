"""The largest body of a request, the same for every page, endpoint and proxy in front."""

import re

MAX_BODY_BYTES = 2 * 1024 * 1024
# The server reads and discards a larger body up to this size, so that its sender gets the 413.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024

# The one exception: a browser sends a whole recording as one body.
RECORDING_PATH_PATTERN = re.compile(r"/c/o/[^/]+/questions/[0-9]+/takes/?")
MAX_RECORDING_BYTES = 300 * 1024 * 1024
RECORDING_TIMEOUT_SECONDS = 3600.0


def is_recording_path(path: str) -> bool:
    return RECORDING_PATH_PATTERN.fullmatch(path) is not None
