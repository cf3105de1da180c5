"""Plays a write log up to a point, and says what a power loss there would have left.

The model, harder than the file systems that people use:
 - A file keeps what was written before a sync that has ended began. Of the rest any part may be
   there: each write whole, not at all, or torn at sectors of 512 or 4096 bytes; so may each change
   of its length. A sector is never half written, and its neighbours are never harmed.
 - A name (made, moved, linked, deleted) is kept when its folder was synced afterwards. To sync a
   file does not keep its name, though ext4, XFS and Btrfs would. Of the names' later changes some
   first ones are there, in order, as in a journal.
 - A sync that fails forgets: of what it should have kept any part is there, and no later sync
   brings the rest back. So Linux does it; the pages are taken for written.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENTRY_HEADER = struct.Struct("=IIIIQQ")  # kind, length of path, length of data, flags, inode, at
TRUNCATED_FLAG, FOLDER_FLAG = 1, 2
ACKNOWLEDGEMENT_FILE = (
    "acknowledged"  # a file beside the instance: what is written to it are the promises
)
SECTOR_SIZES = (512, 4096)


@dataclass(frozen=True)
class LogEntry:
    """One change of the disk, or the begin or end of a sync."""

    kind: str
    path: str
    data: bytes
    flags: int
    inode: int
    offset: int


@dataclass(frozen=True)
class Write:
    """Bytes at a place; no bytes: the file's new length."""

    number: int
    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it as the file system would: what is skipped is zeros."""
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : self.offset + len(self.data)] = self.data

    def torn_sectors(self, rng: random.Random, sector: int) -> Iterator["Write"]:
        """Return some of the sectors that it touches."""
        data = self.data or b""
        begin = self.offset
        while begin < self.offset + len(data):
            end = min(begin - begin % sector + sector, self.offset + len(data))
            if rng.random() < 0.5:
                yield Write(self.number, begin, data[begin - self.offset : end - self.offset])
            begin = end


@dataclass(eq=False)
class File:
    """A file, or a folder: what is surely on the disk, and what may be."""

    is_folder: bool = False
    durable_content: bytearray = field(default_factory=bytearray)
    pending_writes: list[Write] = field(default_factory=list)
    visible_content: bytearray = field(default_factory=bytearray)  # as the running program sees it

    def write(self, write: Write) -> None:
        """Take a write, which nobody has asked to keep yet."""
        self.pending_writes.append(write)
        write.apply(self.visible_content)

    def sync(self, before: int) -> None:
        """Keep all that was written before a number."""
        while self.pending_writes and self.pending_writes[0].number < before:
            self.pending_writes.pop(0).apply(self.durable_content)

    def fail_sync(self, before: int, rng: random.Random) -> None:
        """Keep any part of what was written before a number, and nothing more of it ever."""
        doubtful = [write for write in self.pending_writes if write.number < before]
        self.pending_writes = self.pending_writes[len(doubtful) :]
        for write in doubtful:
            if rng.random() < 0.5:
                write.apply(self.durable_content)

    def after_power_loss(self, rng: random.Random) -> bytes:
        """Return the file with any part of what was not synced."""
        content, sector = bytearray(self.durable_content), rng.choice(SECTOR_SIZES)
        whole = rng.choice((0.0, 0.5, 0.9, 1.0))
        for write in self.pending_writes:
            if rng.random() < whole:
                write.apply(content)
            elif write.data is not None and rng.random() < 0.5:
                for piece in write.torn_sectors(rng, sector):
                    piece.apply(content)
        return bytes(content)


@dataclass(frozen=True)
class NameChange:
    """A change of names in one step: what goes, what comes."""

    number: int
    old_path: str | None
    new_path: str | None
    file: File

    def apply(self, names: dict[str, File]) -> None:
        if self.old_path is not None:
            names.pop(self.old_path, None)
        if self.new_path is not None:
            names[self.new_path] = self.file

    def is_in_folder(self, path: str) -> bool:
        return path in {
            _parent_path(name) for name in (self.old_path, self.new_path) if name is not None
        }


class DiskReplay:
    """The disk as it was at a place in the log; `play` goes on to a later one."""

    def __init__(self, log: Path, root: Path, seed: int) -> None:
        self.entries = tuple(_read_entries(log, str(root)))
        self._acknowledgement_inodes = {
            each.inode for each in self.entries if each.path == ACKNOWLEDGEMENT_FILE
        }
        self.acknowledgements: list[bytes] = []
        self.position = 0
        self.failed_syncs = 0
        self.syncs: Counter[str] = Counter()  # by path
        self._rng = random.Random(seed)
        top = File(is_folder=True)
        self._names: dict[str, File] = {"": top}
        self._durable_names: dict[str, File] = {"": top}
        self._pending_name_changes: list[NameChange] = []
        self._files_by_inode: dict[int, File] = {}
        self._paths_by_inode: dict[int, str] = {}
        self._open_syncs: dict[tuple[int, int], int] = {}

    def replay_until(self, position: int) -> None:
        """Play the entries before `to`."""
        for number in range(self.position, position):
            self._apply(number, self.entries[number])
        self.position = max(self.position, position)

    def is_acknowledgement(self, entry: LogEntry) -> bool:
        """Whether an entry is a promise that was given."""
        return entry.kind == "W" and entry.inode in self._acknowledgement_inodes

    def after_power_loss(self, rng: random.Random) -> dict[str, bytes]:
        """Return the files that a power loss here would leave, by their paths below the root."""
        names = dict(self._durable_names)
        for change in self._pending_name_changes[: rng.randint(0, len(self._pending_name_changes))]:
            change.apply(names)
        return {
            path: file.after_power_loss(rng)
            for path, file in names.items()
            if not file.is_folder and all(each in names for each in _parent_folders(path))
        }

    def visible_files(self) -> dict[str, bytes]:
        """Return the files as the running program sees them."""
        return {
            name: bytes(file.visible_content)
            for name, file in self._names.items()
            if not file.is_folder
        }

    def _apply(self, number: int, entry: LogEntry) -> None:
        match entry.kind:
            case "O" | "M":
                self._apply_open(number, entry)
            case "W" | "T":
                self._apply_write(number, entry)
            case "B":
                self._open_syncs[entry.inode, entry.offset] = number
            case "E" | "F":
                self._apply_sync(entry, self._open_syncs.pop((entry.inode, entry.offset)))
            case "U":
                self._change_names(number, entry.path, None, self._names[entry.path])
            case "R":
                self._change_names(number, entry.path, _target_path(entry), self._names[entry.path])
            case "L":
                self._change_names(number, None, _target_path(entry), self._names[entry.path])

    def _apply_open(self, number: int, entry: LogEntry) -> None:
        known = self._names.get(entry.path)
        if known is None:
            known = File(is_folder=entry.kind == "M" or bool(entry.flags & FOLDER_FLAG))
            self._change_names(number, None, entry.path, known)
        self._files_by_inode[entry.inode], self._paths_by_inode[entry.inode] = known, entry.path
        if entry.flags & TRUNCATED_FLAG:
            known.write(Write(number, 0, None))

    def _apply_write(self, number: int, entry: LogEntry) -> None:
        if self.is_acknowledgement(entry):
            self.acknowledgements += entry.data.splitlines()
            return
        data = entry.data if entry.kind == "W" else None
        self._files_by_inode[entry.inode].write(Write(number, entry.offset, data))

    def _apply_sync(self, entry: LogEntry, begun: int) -> None:
        file, failed = self._files_by_inode[entry.inode], entry.kind == "F"
        self.failed_syncs += failed
        self.syncs[self._paths_by_inode[entry.inode]] += not failed
        if failed:
            file.fail_sync(begun, self._rng)
        elif file.is_folder:
            self._sync_names(self._paths_by_inode[entry.inode], begun)
        else:
            file.sync(begun)

    def _sync_names(self, folder: str, before: int) -> None:
        for change in tuple(self._pending_name_changes):
            if change.number < before and change.is_in_folder(folder):
                change.apply(self._durable_names)
                self._pending_name_changes.remove(change)

    def _change_names(
        self, number: int, old_path: str | None, new_path: str | None, file: File
    ) -> None:
        change = NameChange(number, old_path, new_path, file)
        change.apply(self._names)
        self._pending_name_changes.append(change)


def _read_entries(log: Path, root: str) -> Iterator[LogEntry]:
    with log.open("rb") as file:
        while head := file.read(ENTRY_HEADER.size):
            if len(head) < ENTRY_HEADER.size:
                return  # the process was killed while it wrote this
            kind, path, data, flags, inode, at = ENTRY_HEADER.unpack(head)
            name, content = file.read(path), file.read(data)
            if len(name) == path and len(content) == data:
                if chr(kind) in "LR":
                    content = _relative_path(content, root).encode()
                yield LogEntry(chr(kind), _relative_path(name, root), content, flags, inode, at)


def _relative_path(path: bytes, root: str) -> str:
    return path.decode().removeprefix(root).lstrip("/")


def _target_path(entry: LogEntry) -> str:
    return entry.data.decode()


def _parent_path(path: str) -> str:
    return path.rpartition("/")[0]


def _parent_folders(path: str) -> Iterator[str]:
    while path:
        path = _parent_path(path)
        yield path
