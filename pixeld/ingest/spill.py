"""The spill: chunks on this machine's disk while Redis can't take them. Synchronous; the shipper calls it from a thread.

Append-only segments of records, one fsync a record (a record is a chunk: hundreds of events under load):

    magic 4 │ length u32 │ CRC32C u32 of the rest │ epoch u64 │ seq u64 │ data            (big-endian)

Rules, each from a way in which another collector lost data: a torn tail is cut at start; a damaged record is skipped
and counted, never met again and again; the cursor is fsynced before a segment is unlinked; the oldest is never
deleted to make room.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google_crc32c import value as crc32c

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed

_MAGIC = b"PXS1"
_HEAD = struct.Struct(">4sIIQQ")
_CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment's bytes hold: whole records, how many stretches were damaged, and where its last whole record ends."""

    records: list[tuple[ChunkId, bytes]]
    damaged: int
    end: int


def encode(chunk_id: ChunkId, data: bytes) -> bytes:
    """One record."""
    body = struct.pack(">QQ", chunk_id.epoch, chunk_id.seq) + data
    return _MAGIC + struct.pack(">II", len(data), crc32c(body)) + body


def scan(raw: bytes) -> Scan:
    """Every whole record of a segment, in order. Never raises, and passes each byte once or, after damage, twice."""
    records: list[tuple[ChunkId, bytes]] = []
    damaged, end, at = 0, 0, 0
    while (start := raw.find(_MAGIC, at)) >= 0:
        if start + _HEAD.size <= len(raw):
            _, length, checksum, epoch, seq = _HEAD.unpack_from(raw, start)
            stop = start + _HEAD.size + length
            if stop <= len(raw) and crc32c(raw[start + 12 : stop]) == checksum:
                damaged += start > end
                records.append((ChunkId(epoch, seq), raw[start + _HEAD.size : stop]))
                at = end = stop
                continue
        at = start + 1
    return Scan(records, damaged, end)


class Spill:
    """A first-in, first-out store of chunks in `directory`, at most `max_bytes`. One process, one thread at a time.

    `append` goes to the active segment; `oldest` seals that and hands out sealed ones; `forget` drops one that was handed out.
    """

    def __init__(self, directory: Path, max_bytes: int, segment_bytes: int = 8 << 20) -> None:
        self._directory, self._max_bytes, self._segment_bytes = directory, max_bytes, segment_bytes
        self._sizes: dict[int, int] = {}  # segment number → bytes
        self._active: BinaryIO | None = None
        self._next = 1
        self.bytes = 0
        self.damaged = 0  #: stretches of segments that could not be read back

    @property
    def empty(self) -> bool:
        """Nothing waits here."""
        return not self._sizes

    @property
    def segments(self) -> int:
        """How many segments wait, the active one included."""
        return len(self._sizes)

    def open(self) -> None:
        """Find what an earlier process left; cut a torn tail. SpillFailed when the directory can't be used."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            first = int(self._cursor.read_text() or 1) if self._cursor.exists() else 1
            for path in sorted(self._directory.glob("*.seg")):
                number = int(path.stem)
                if number < first:  # forgotten, but its unlink didn't reach the disk
                    path.unlink()
                    continue
                raw = path.read_bytes()
                found = scan(raw)
                if found.end < len(raw):  # nobody was told that what follows is stored
                    os.truncate(path, found.end)
                if found.records:
                    self._sizes[number] = found.end
                else:
                    path.unlink()
                self._next = number + 1
            self._next = max(self._next, first)
            self.bytes = sum(self._sizes.values())
        except (OSError, ValueError) as error:
            raise SpillFailed(f"the spill {self._directory} cannot be opened: {error}") from error

    def last_id(self) -> ChunkId:
        """The greatest id that waits here; `ChunkId(0, 0)` for none."""
        ids = [chunk_id for number in self._sizes for chunk_id, _ in self._read(number)]
        return max(ids, default=ChunkId(0, 0))

    def first(self, after: ChunkId) -> tuple[ChunkId, bytes] | None:
        """The oldest chunk with a greater id than `after`, None for none. OSError when it can't be read."""
        for number in sorted(self._sizes):
            for record in scan(self._path(number).read_bytes()[: self._sizes[number]]).records:
                if record[0] > after:
                    return record
        return None

    def append(self, chunk_id: ChunkId, data: bytes) -> None:
        """Make a chunk durable. SpillFailed when it is not: the bound is reached, or the disk refused."""
        record = encode(chunk_id, data)
        if self.bytes + len(record) > self._max_bytes:
            raise SpillFailed(f"the spill holds {self.bytes} of {self._max_bytes} bytes and takes no more")
        try:
            if self._active is None:
                self._begin()
            assert self._active is not None
            self._active.write(record)
            self._active.flush()
            os.fsync(self._active.fileno())
        except OSError as error:
            self._abandon()
            raise SpillFailed(f"the spill {self._directory} cannot be written: {error}") from error
        number = self._next - 1
        self._sizes[number] = self._sizes.get(number, 0) + len(record)
        self.bytes += len(record)
        if self._sizes[number] >= self._segment_bytes:
            self._seal()

    def oldest(self) -> tuple[int, list[tuple[ChunkId, bytes]]] | None:
        """The oldest segment's number and chunks, oldest first; None when nothing waits."""
        if not self._sizes:
            return None
        number = min(self._sizes)
        if self._active is not None and number == self._next - 1:
            self._seal()
        try:
            return number, list(self._read(number))
        except OSError as error:
            raise SpillFailed(f"the spill's segment {number} cannot be read: {error}") from error

    def forget(self, number: int) -> None:
        """Drop the oldest segment: all of its chunks are in Redis. The cursor reaches the disk before the file goes."""
        try:
            temporary = self._cursor.with_suffix(".new")
            with temporary.open("w") as file:
                file.write(str(number + 1))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._cursor)
            _fsync_directory(self._directory)
            self._path(number).unlink(missing_ok=True)
        except OSError as error:
            raise SpillFailed(f"the spill's segment {number} cannot be dropped: {error}") from error
        self.bytes -= self._sizes.pop(number)

    def close(self) -> None:
        """Let go of the open file."""
        self._seal()

    @property
    def _cursor(self) -> Path:
        return self._directory / _CURSOR

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:012d}.seg"

    def _begin(self) -> None:
        self._active = self._path(self._next).open("wb")
        self._next += 1
        _fsync_directory(self._directory)

    def _seal(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    def _abandon(self) -> None:
        """After a failed write: cut what may be half a record and go on in another segment, so that no later record
        follows it.
        """
        active, self._active = self._active, None
        if active is None:
            return
        number = self._next - 1
        good = self._sizes.get(number, 0)
        with suppress(OSError):
            active.close()  # may try to write its rest again, and fail again
        with suppress(OSError):
            os.truncate(self._path(number), good)  # else `scan` skips the half record
        if good == 0:
            with suppress(OSError):
                self._path(number).unlink()

    def _read(self, number: int) -> Iterator[tuple[ChunkId, bytes]]:
        found = scan(self._path(number).read_bytes()[: self._sizes[number]])
        self.damaged += found.damaged
        yield from found.records


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
