"""fsync of files and folders, so that a file and its name survive a power loss."""

import os
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk; OSError if the disk fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder with mode 0700 and its missing parents, and sync their names to the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        fsync_path(folder.parent)
