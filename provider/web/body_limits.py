"""The largest body of a request, the same for every endpoint, page and proxy in front.

A form with a document of a check may be larger, because it works without scripts.
"""

import re

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_DOCUMENT_BODY_BYTES = 21 * 1024 * 1024
# The server reads and discards a larger body up to this size, so that its sender gets the 413.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
# Strangers may send such bodies, too: more of them at once could fill the disk.
MAX_LARGE_BODIES = 40
_DOCUMENT_PATH = re.compile(r"/c/o/[\w-]{22}/documents/[a-z0-9_]{1,30}", re.ASCII)


def max_body_bytes(path: str) -> int:
    """Return the largest body of a request to a path."""
    return MAX_DOCUMENT_BODY_BYTES if _DOCUMENT_PATH.fullmatch(path) else MAX_BODY_BYTES
