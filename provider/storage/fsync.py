"""fsync of files and folders, and their modes: nobody but the program's user may read them."""

import os
from contextlib import suppress
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


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
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for folder in missing:
        fsync_path(folder.parent)


def make_private(path: Path) -> None:
    """Take the permissions of other users from a file; a missing file is no error.

    A file of another user stays as it is, because only its owner can change it.
    """
    with suppress(FileNotFoundError, PermissionError):
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)


def make_tree_private(folder: Path) -> None:
    """Take the permissions of other users from a folder and everything in it."""
    for parent, _, files in os.walk(folder):
        with suppress(PermissionError):
            Path(parent).chmod(FOLDER_MODE)
        for name in files:
            make_private(Path(parent) / name)
