"""Builds the shim, and the environment of a process that runs under it."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SHIM_SOURCE = Path(__file__).with_name("shim.c")
# The result of a sync, whether the disk is full, its free bytes, and which reads fail (every n-th).
CONTROL_STRUCT = struct.Struct("=iiqq")
SYNC_WORKS, SYNC_FAILS, SYNC_IGNORED = range(3)


class ShimUnavailable(Exception):
    """The shim cannot be built on this machine; the message says why."""


def build_shim(folder: Path) -> Path:
    """Compile the shim into a folder. ShimUnavailable: gcc or libc6-dev is missing."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise ShimUnavailable(
            "gcc is missing, so no write log can be recorded: apt-get install gcc libc6-dev"
        )
    library = folder / "shim.so"
    options = ["-O2", "-Wall", "-shared", "-fPIC", "-o", str(library)]
    command = [gcc, *options, str(SHIM_SOURCE), "-ldl", "-lpthread"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ShimUnavailable(
            f"gcc could not build the shim (libc6-dev missing?): {result.stderr.strip()}"
        )
    return library


class RecordedDisk:
    """A folder whose changes are all recorded, and which can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log = folder / "disk", folder / "log"
        self.root.mkdir(mode=0o700, parents=True)
        self.instance = self.root / "instance"  # created by the server
        control = folder / "control"
        control.write_bytes(bytes(CONTROL_STRUCT.size))
        self.environment = {
            "LD_PRELOAD": str(build_shim(folder)),
            "SHIM_ROOT": str(self.root),
            "SHIM_LOG": str(self.log),
            "SHIM_FAULTS": str(control),
        }
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), CONTROL_STRUCT.size)

    def fail_syncs(self) -> None:
        """Make every fsync and fdatasync fail with EIO."""
        self._set(SYNC_FAILS)

    def ignore_syncs(self) -> None:
        """Make every fsync and fdatasync succeed without doing anything."""
        self._set(SYNC_IGNORED)

    def limit_free_space(self, free_bytes: int) -> None:
        """Let only `free_bytes` more bytes be written; then writes fail with ENOSPC."""
        self._set(SYNC_WORKS, is_full=1, free_bytes=free_bytes)

    def fail_reads(self, interval: int) -> None:
        """Make every `interval`-th read fail with EIO."""
        self._set(SYNC_WORKS, read_failure_interval=interval)

    def repair(self) -> None:
        """Make the disk work again."""
        self._set(SYNC_WORKS)

    def _set(
        self, sync: int, is_full: int = 0, free_bytes: int = 0, read_failure_interval: int = 0
    ) -> None:
        self._control[: CONTROL_STRUCT.size] = CONTROL_STRUCT.pack(
            sync, is_full, free_bytes, read_failure_interval
        )


def shim_environment(disk: RecordedDisk) -> dict[str, str]:
    """Return this process's environment without PROVIDER_ variables, with the shim's."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")
    }
    return inherited | disk.environment
