"""Files and their names, written through to the disk: what is promised outlives a power loss."""

import os
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Write a file, or the names in a folder, through to the disk; OSError when that fails."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone, and what is missing above it; it stays."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        fsync_path(each.parent)
