"""Builds the shim, and tells a process to run under it."""

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
# What a sync does, whether the disk is full, its room in bytes, of how many reads one fails.
CONTROL = struct.Struct("=iiqq")
HONEST, FAILS, LIES = range(3)


class Missing(Exception):
    """The proofs cannot be made here; says why."""


def built(folder: Path) -> Path:
    """Compile the shim into a folder; Missing where there is no gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise Missing(
            "gcc is missing, so no write log can be recorded: apt-get install gcc libc6-dev"
        )
    library = folder / "shim.so"
    options = ["-O2", "-Wall", "-shared", "-fPIC", "-o", str(library)]
    command = [gcc, *options, str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"gcc could not build the shim (libc6-dev missing?): {done.stderr.strip()}")
    return library


class Disk:
    """A folder whose every change is recorded, and which can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log = folder / "disk", folder / "log"
        self.root.mkdir(mode=0o700, parents=True)
        self.instance = self.root / "instance"  # made by the server, with all that is in it
        control = folder / "control"
        control.write_bytes(bytes(CONTROL.size))
        self.environment = {
            "LD_PRELOAD": str(built(folder)),
            "SHIM_ROOT": str(self.root),
            "SHIM_LOG": str(self.log),
            "SHIM_FAULTS": str(control),
        }
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), CONTROL.size)

    def syncs_fail(self) -> None:
        """From now on every fsync and fdatasync answers EIO."""
        self._set(FAILS)

    def syncs_lie(self) -> None:
        """From now on every fsync and fdatasync says that it was done, and does nothing."""
        self._set(LIES)

    def fills_up(self, room: int) -> None:
        """From now on only `room` more bytes can be written; then ENOSPC."""
        self._set(HONEST, full=1, room=room)

    def reads_fail(self, one_of: int) -> None:
        """From now on one of so many reads answers EIO."""
        self._set(HONEST, reads=one_of)

    def heals(self) -> None:
        """From now on all is well again."""
        self._set(HONEST)

    def _set(self, sync: int, full: int = 0, room: int = 0, reads: int = 0) -> None:
        self._control[: CONTROL.size] = CONTROL.pack(sync, full, room, reads)


def environment(disk: Disk) -> dict[str, str]:
    """Return this process's variables, without settings of the server's, and with the shim's."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")}
    return rest | disk.environment
