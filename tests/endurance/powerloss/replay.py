"""Replays a write log up to a point, and computes what a power loss there could leave.

The model is stricter than common file systems:
 - A file keeps each write made before the start of a sync that succeeded. Any part of the later
   writes may survive: a write whole, not at all, or torn at sectors of 512 or 4096 bytes. The same
   holds for changes of the length. A sector is never half written; its neighbours stay undamaged.
 - A name (created, renamed, linked, deleted) is kept when its folder is synced afterwards. A sync
   of the file does not keep its name, although it does on ext4, XFS and Btrfs. Of the later name
   changes a first part survives, in order, as in a journal.
 - A failed sync drops writes: any part of them may survive, and no later sync brings back
   the rest. Linux behaves so, because it marks the pages as written.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENTRY_HEADER = struct.Struct("=IIIIQQ")  # kind, path length, data length, flags, inode, offset
TRUNCATED_FLAG, FOLDER_FLAG = 1, 2
ACKNOWLEDGEMENT_FILE = "acknowledged"  # beside the instance; one acknowledgement a line
SECTOR_SIZES = (512, 4096)


@dataclass(frozen=True)
class LogEntry:
    """One change of the disk, or the start or end of a sync."""

    kind: str
    path: str
    data: bytes
    flags: int
    inode: int
    offset: int


@dataclass(frozen=True)
class Write:
    """Bytes written at an offset; without bytes, the file's new length."""

    number: int
    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Apply the write as a file system does: skipped bytes are zeros."""
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : self.offset + len(self.data)] = self.data

    def torn_sectors(self, rng: random.Random, sector: int) -> Iterator["Write"]:
        """Return a random part of the sectors that the write touches."""
        data = self.data or b""
        begin = self.offset
        while begin < self.offset + len(data):
            end = min(begin - begin % sector + sector, self.offset + len(data))
            if rng.random() < 0.5:
                yield Write(self.number, begin, data[begin - self.offset : end - self.offset])
            begin = end


@dataclass(eq=False)
class File:
    """A file or a folder: its durable content, and the writes that are not durable yet."""

    is_folder: bool = False
    durable_content: bytearray = field(default_factory=bytearray)
    pending_writes: list[Write] = field(default_factory=list)
    visible_content: bytearray = field(default_factory=bytearray)  # as the program reads it

    def write(self, write: Write) -> None:
        self.pending_writes.append(write)
        write.apply(self.visible_content)

    def sync(self, before: int) -> None:
        """Make all writes before entry number `before` durable."""
        while self.pending_writes and self.pending_writes[0].number < before:
            self.pending_writes.pop(0).apply(self.durable_content)

    def fail_sync(self, before: int, rng: random.Random) -> None:
        """Make a random part of the writes before entry number `before` durable; drop the rest."""
        dropped = [write for write in self.pending_writes if write.number < before]
        self.pending_writes = self.pending_writes[len(dropped) :]
        for write in dropped:
            if rng.random() < 0.5:
                write.apply(self.durable_content)

    def after_power_loss(self, rng: random.Random) -> bytes:
        """Return the content with a random part of the pending writes."""
        content, sector = bytearray(self.durable_content), rng.choice(SECTOR_SIZES)
        whole_write_rate = rng.choice((0.0, 0.5, 0.9, 1.0))
        for write in self.pending_writes:
            if rng.random() < whole_write_rate:
                write.apply(content)
            elif write.data is not None and rng.random() < 0.5:
                for piece in write.torn_sectors(rng, sector):
                    piece.apply(content)
        return bytes(content)


@dataclass(frozen=True)
class NameChange:
    """An atomic change of names: one is removed, one is added."""

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
    """The disk at a position in the log; `replay_until` moves to a later position."""

    def __init__(self, log: Path, root: Path, seed: int) -> None:
        self.entries = tuple(_read_entries(log, str(root)))
        self._acknowledgement_inodes = {
            entry.inode for entry in self.entries if entry.path == ACKNOWLEDGEMENT_FILE
        }
        self.acknowledgements: list[bytes] = []
        self.position = 0
        self.failed_syncs = 0
        self.syncs: Counter[str] = Counter()  # by path
        self._rng = random.Random(seed)
        root_folder = File(is_folder=True)
        self._names: dict[str, File] = {"": root_folder}
        self._durable_names: dict[str, File] = {"": root_folder}
        self._pending_name_changes: list[NameChange] = []
        self._files_by_inode: dict[int, File] = {}
        self._paths_by_inode: dict[int, str] = {}
        self._open_syncs: dict[tuple[int, int], int] = {}

    def replay_until(self, position: int) -> None:
        """Apply the entries before `position`."""
        for number in range(self.position, position):
            self._apply(number, self.entries[number])
        self.position = max(self.position, position)

    def is_acknowledgement(self, entry: LogEntry) -> bool:
        """Return True when the entry wrote an acknowledgement."""
        return entry.kind == "W" and entry.inode in self._acknowledgement_inodes

    def after_power_loss(self, rng: random.Random) -> dict[str, bytes]:
        """Return the files that a power loss here could leave, by path below the root."""
        names = dict(self._durable_names)
        for change in self._pending_name_changes[: rng.randint(0, len(self._pending_name_changes))]:
            change.apply(names)
        return {
            path: file.after_power_loss(rng)
            for path, file in names.items()
            if not file.is_folder and all(folder in names for folder in _parent_folders(path))
        }

    def visible_files(self) -> dict[str, bytes]:
        """Return the files as the running program reads them."""
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
        file = self._names.get(entry.path)
        if file is None:
            file = File(is_folder=entry.kind == "M" or bool(entry.flags & FOLDER_FLAG))
            self._change_names(number, None, entry.path, file)
        self._files_by_inode[entry.inode], self._paths_by_inode[entry.inode] = file, entry.path
        if entry.flags & TRUNCATED_FLAG:
            file.write(Write(number, 0, None))

    def _apply_write(self, number: int, entry: LogEntry) -> None:
        if self.is_acknowledgement(entry):
            self.acknowledgements += entry.data.splitlines()
            return
        data = entry.data if entry.kind == "W" else None
        self._files_by_inode[entry.inode].write(Write(number, entry.offset, data))

    def _apply_sync(self, entry: LogEntry, sync_started: int) -> None:
        file, failed = self._files_by_inode[entry.inode], entry.kind == "F"
        self.failed_syncs += failed
        self.syncs[self._paths_by_inode[entry.inode]] += not failed
        if failed:
            file.fail_sync(sync_started, self._rng)
        elif file.is_folder:
            self._sync_names(self._paths_by_inode[entry.inode], sync_started)
        else:
            file.sync(sync_started)

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
        while header := file.read(ENTRY_HEADER.size):
            if len(header) < ENTRY_HEADER.size:
                return  # the process was killed during this write
            kind, path, data, flags, inode, offset = ENTRY_HEADER.unpack(header)
            path_bytes, content = file.read(path), file.read(data)
            if len(path_bytes) == path and len(content) == data:
                if chr(kind) in "LR":
                    content = _relative_path(content, root).encode()
                yield LogEntry(
                    chr(kind), _relative_path(path_bytes, root), content, flags, inode, offset
                )


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
