"""A floor of free disk space: a full disk would stop the database, not only recordings."""

import shutil
from pathlib import Path

from provider.errors import Unavailable
from provider.texts import gettext_noop

DEFAULT_MIN_FREE_BYTES = 1_000_000_000
DEFAULT_MIN_FREE_SHARE = 0.05  # of the file system
RETRY_AFTER_SECONDS = 300
FULL_MESSAGE = gettext_noop(
    "There is no room for recordings just now: please try again in a few minutes"
)


def require_free_space(folder: Path, min_free_bytes: int | None = None) -> None:
    """Raise Unavailable if the file system of a folder has less free space than its floor.

    Without `min_free_bytes` the floor is 1 GB or 5 % of the file system, whichever is smaller.
    """
    usage = shutil.disk_usage(folder)
    if min_free_bytes is None:
        min_free_bytes = min(DEFAULT_MIN_FREE_BYTES, int(usage.total * DEFAULT_MIN_FREE_SHARE))
    if usage.free < min_free_bytes:
        from structlog import get_logger  # late: see `logging_config`

        get_logger().error("disk_almost_full", free_bytes=usage.free, min_free_bytes=min_free_bytes)
        raise Unavailable(
            FULL_MESSAGE,
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
