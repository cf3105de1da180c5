"""The largest body of a request, the same for every endpoint, page and proxy in front.

Two bodies may be larger: a form with a document of a check, because it works without scripts, and
a piece of a recording, because every request costs the server more than its bytes.
"""

import re

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_PIECE_BYTES = 4 * 1024 * 1024
MAX_DOCUMENT_BODY_BYTES = 21 * 1024 * 1024
# The server reads and discards a larger body up to this size, so that its sender gets the 413.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
# Strangers may send such bodies, too: more of them at once could fill the disk.
MAX_LARGE_BODIES = 40
_LARGE_BODIES = (
    (
        re.compile(
            r"/c/o/[\w-]{22}/"
            r"(?:documents/[a-z0-9_]{1,30}|check/disputes/[a-z0-9_-]{1,64}(?:/documents)?)",
            re.ASCII,
        ),
        MAX_DOCUMENT_BODY_BYTES,
    ),
    (re.compile(r"/c/o/[\w-]{22}/uploads/[\w-]{22}", re.ASCII), MAX_PIECE_BYTES),
)


def max_body_bytes(path: str) -> int:
    """Return the largest body of a request to a path."""
    sizes = (size for pattern, size in _LARGE_BODIES if pattern.fullmatch(path))
    return next(sizes, MAX_BODY_BYTES)
