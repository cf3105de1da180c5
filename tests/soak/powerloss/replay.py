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

HEAD = struct.Struct("=IIIIQQ")  # kind, length of path, length of data, flags, inode, at
TRUNCATED, FOLDER = 1, 2
WITNESS = "acknowledged"  # a file beside the instance: what is written to it are the promises
SECTORS = (512, 4096)


@dataclass(frozen=True)
class Entry:
    """One change of the disk, or the begin or end of a sync."""

    kind: str
    path: str
    data: bytes
    flags: int
    inode: int
    at: int


@dataclass(frozen=True)
class Write:
    """Bytes at a place; no bytes: the file's new length."""

    number: int
    at: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it as the file system would: what is skipped is zeros."""
        if len(content) < self.at:
            content.extend(bytes(self.at - len(content)))
        if self.data is None:
            del content[self.at :]
        else:
            content[self.at : self.at + len(self.data)] = self.data

    def torn(self, chance: random.Random, sector: int) -> Iterator["Write"]:
        """Return some of the sectors that it touches."""
        data = self.data or b""
        begin = self.at
        while begin < self.at + len(data):
            end = min(begin - begin % sector + sector, self.at + len(data))
            if chance.random() < 0.5:
                yield Write(self.number, begin, data[begin - self.at : end - self.at])
            begin = end


@dataclass(eq=False)
class File:
    """A file, or a folder: what is surely on the disk, and what may be."""

    folder: bool = False
    kept: bytearray = field(default_factory=bytearray)
    loose: list[Write] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)  # as the running program sees it

    def write(self, write: Write) -> None:
        """Take a write, which nobody has asked to keep yet."""
        self.loose.append(write)
        write.apply(self.seen)

    def sync(self, before: int) -> None:
        """Keep all that was written before a number."""
        while self.loose and self.loose[0].number < before:
            self.loose.pop(0).apply(self.kept)

    def forget(self, before: int, chance: random.Random) -> None:
        """Keep any part of what was written before a number, and nothing more of it ever."""
        doubtful = [write for write in self.loose if write.number < before]
        self.loose = self.loose[len(doubtful) :]
        for write in doubtful:
            if chance.random() < 0.5:
                write.apply(self.kept)

    def after_power_loss(self, chance: random.Random) -> bytes:
        """Return the file with any part of what was not synced."""
        content, sector = bytearray(self.kept), chance.choice(SECTORS)
        whole = chance.choice((0.0, 0.5, 0.9, 1.0))
        for write in self.loose:
            if chance.random() < whole:
                write.apply(content)
            elif write.data is not None and chance.random() < 0.5:
                for piece in write.torn(chance, sector):
                    piece.apply(content)
        return bytes(content)


@dataclass(frozen=True)
class Naming:
    """A change of names in one step: what goes, what comes."""

    number: int
    gone: str | None
    come: str | None
    file: File

    def apply(self, names: dict[str, File]) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.come is not None:
            names[self.come] = self.file

    def in_folder(self, path: str) -> bool:
        return path in {_parent(name) for name in (self.gone, self.come) if name is not None}


class Tape:
    """The disk as it was at a place in the log; `play` goes on to a later one."""

    def __init__(self, log: Path, root: Path, seed: int) -> None:
        self.entries = tuple(_read(log, str(root)))
        self._witnesses = {each.inode for each in self.entries if each.path == WITNESS}
        self.promises: list[bytes] = []
        self.played = 0
        self.failed_syncs = 0
        self.syncs: Counter[str] = Counter()  # by path
        self._chance = random.Random(seed)
        top = File(folder=True)
        self._names: dict[str, File] = {"": top}
        self._kept: dict[str, File] = {"": top}
        self._loose: list[Naming] = []
        self._inodes: dict[int, File] = {}
        self._paths: dict[int, str] = {}
        self._syncs: dict[tuple[int, int], int] = {}

    def play(self, to: int) -> None:
        """Play the entries before `to`."""
        for number in range(self.played, to):
            self._one(number, self.entries[number])
        self.played = max(self.played, to)

    def is_promise(self, entry: Entry) -> bool:
        """Whether an entry is a promise that was given."""
        return entry.kind == "W" and entry.inode in self._witnesses

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files that a power loss here would leave, by their paths below the root."""
        names = dict(self._kept)
        for change in self._loose[: chance.randint(0, len(self._loose))]:
            change.apply(names)
        return {
            path: file.after_power_loss(chance)
            for path, file in names.items()
            if not file.folder and all(each in names for each in _above(path))
        }

    def as_written(self) -> dict[str, bytes]:
        """Return the files as the running program sees them."""
        return {name: bytes(file.seen) for name, file in self._names.items() if not file.folder}

    def _one(self, number: int, entry: Entry) -> None:
        match entry.kind:
            case "O" | "M":
                self._opened(number, entry)
            case "W" | "T":
                self._written(number, entry)
            case "B":
                self._syncs[entry.inode, entry.at] = number
            case "E" | "F":
                self._synced(entry, self._syncs.pop((entry.inode, entry.at)))
            case "U":
                self._named(number, entry.path, None, self._names[entry.path])
            case "R":
                self._named(number, entry.path, _second(entry), self._names[entry.path])
            case "L":
                self._named(number, None, _second(entry), self._names[entry.path])

    def _opened(self, number: int, entry: Entry) -> None:
        known = self._names.get(entry.path)
        if known is None:
            known = File(folder=entry.kind == "M" or bool(entry.flags & FOLDER))
            self._named(number, None, entry.path, known)
        self._inodes[entry.inode], self._paths[entry.inode] = known, entry.path
        if entry.flags & TRUNCATED:
            known.write(Write(number, 0, None))

    def _written(self, number: int, entry: Entry) -> None:
        if self.is_promise(entry):
            self.promises += entry.data.splitlines()
            return
        data = entry.data if entry.kind == "W" else None
        self._inodes[entry.inode].write(Write(number, entry.at, data))

    def _synced(self, entry: Entry, begun: int) -> None:
        file, failed = self._inodes[entry.inode], entry.kind == "F"
        self.failed_syncs += failed
        self.syncs[self._paths[entry.inode]] += not failed
        if failed:
            file.forget(begun, self._chance)
        elif file.folder:
            self._keep_names(self._paths[entry.inode], begun)
        else:
            file.sync(begun)

    def _keep_names(self, folder: str, before: int) -> None:
        for change in tuple(self._loose):
            if change.number < before and change.in_folder(folder):
                change.apply(self._kept)
                self._loose.remove(change)

    def _named(self, number: int, gone: str | None, come: str | None, file: File) -> None:
        change = Naming(number, gone, come, file)
        change.apply(self._names)
        self._loose.append(change)


def _read(log: Path, root: str) -> Iterator[Entry]:
    with log.open("rb") as file:
        while head := file.read(HEAD.size):
            if len(head) < HEAD.size:
                return  # the process was killed while it wrote this
            kind, path, data, flags, inode, at = HEAD.unpack(head)
            name, content = file.read(path), file.read(data)
            if len(name) == path and len(content) == data:
                if chr(kind) in "LR":
                    content = _below(content, root).encode()
                yield Entry(chr(kind), _below(name, root), content, flags, inode, at)


def _below(path: bytes, root: str) -> str:
    return path.decode().removeprefix(root).lstrip("/")


def _second(entry: Entry) -> str:
    return entry.data.decode()


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _above(path: str) -> Iterator[str]:
    while path:
        path = _parent(path)
        yield path
