"""The spill: chunks on this machine's disk while Redis can't take them. Synchronous; the shipper calls it from a thread.

Append-only segments of records, one fsync a record (a record is a chunk: hundreds of events under load):

    magic 4 │ length u32 │ CRC32C u32 of the rest │ epoch u64 │ seq u64 │ data            (big-endian)

Rules, each from a way in which a collector lost data: a record is on disk, and so are its segment's name and the
directory's, before `append` returns; what a stop left half written is cut at start; a damaged record is skipped and
counted, never met again and again; a forgotten segment is gone for good before `forget` returns, without writing a
byte, as a full disk has room for none; the oldest is never deleted to make room.
"""

from __future__ import annotations

import errno
import logging
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from google_crc32c import value as crc32c

from pixeld.domain.events import ChunkId
from pixeld.errors import SpillFailed
from pixeld.ingest.disk import Disk

log = logging.getLogger(__name__)
READ_TRIES = 60  #: how often a segment may fail to be read before it counts as damaged: a minute of the shipper's
_MAGIC = b"PXS1"
_HEAD = struct.Struct(">4sIIQQ")
_NAME = re.compile(r"([0-9]{12}|[1-9][0-9]{12,})\.seg")
_BLOCK = 4096  # what a medium loses at once


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment's bytes hold: whole records, the stretches (start, end) that are none, and where the last one ends."""

    records: list[tuple[ChunkId, bytes]]
    damage: list[tuple[int, int]]
    end: int


def encode(chunk_id: ChunkId, data: bytes) -> bytes:
    """One record."""
    body = struct.pack(">QQ", chunk_id.epoch, chunk_id.seq) + data
    return _MAGIC + struct.pack(">II", len(data), crc32c(body)) + body


def scan(raw: bytes) -> Scan:
    """Every whole record of a segment, in order. Never raises, and passes each byte once or, after damage, twice.

    It finds its way again at the next magic and checksum. Data can't hold both: it is lines of JSON, without a zero byte.
    """
    records: list[tuple[ChunkId, bytes]] = []
    damage: list[tuple[int, int]] = []
    end, at = 0, 0
    while (start := raw.find(_MAGIC, at)) >= 0:
        at = start + 1
        if start + _HEAD.size <= len(raw):
            _, length, checksum, epoch, seq = _HEAD.unpack_from(raw, start)
            stop = start + _HEAD.size + length
            if stop <= len(raw) and crc32c(raw[start + 12 : stop]) == checksum:
                if start > end:
                    damage.append((end, start))
                records.append((ChunkId(epoch, seq), raw[start + _HEAD.size : stop]))
                at = end = stop
    if end < len(raw):
        damage.append((end, len(raw)))
    return Scan(records, damage, end)


class Spill:
    """A first-in, first-out store of chunks in `directory`, at most `max_bytes`. One process, one thread at a time.

    `append` goes to the active segment; `oldest` seals that and hands out sealed ones; `forget` drops one that was handed out.
    A call that raised promises nothing: its chunk may come back or not, and so may the segment that `forget` was to drop, now
    or after the next start. Both are harmless, because Redis refuses an id that it has had.
    """

    def __init__(self, directory: Path, max_bytes: int, segment_bytes: int = 8 << 20, disk: Disk | None = None) -> None:
        self._directory, self._max_bytes, self._segment_bytes = directory, max_bytes, segment_bytes
        self._disk = disk or Disk()
        self._sizes: dict[int, int] = {}  # segment number → bytes up to the end of its last record
        self._active: FileIO | None = None
        self._next = 1
        self._last_id = ChunkId(0, 0)
        self.stored = 0  #: events that an earlier process stored, as the newest record's id counts them
        self._failures = 0  # to read the oldest segment
        self._told: set[tuple[int, int]] = set()  # the oldest segment's damage that is counted
        self.bytes = 0
        self.damaged = 0  #: stretches of segments that could not be read back, each counted once a start

    @property
    def empty(self) -> bool:
        """Nothing waits here."""
        return not self._sizes

    @property
    def segments(self) -> int:
        """How many segments wait, the active one included."""
        return len(self._sizes)

    def open(self) -> None:
        """Find what an earlier process left, and cut what a stop left half written at the end of the newest segment.

        SpillFailed when the directory can't be used. Damage is no reason for that: `oldest` meets and counts it, all but that
        of the very last records, which can't be told from a half written one. Files that are no segments are left alone.
        """
        try:
            self._disk.mkdir(self._directory)
            names = self._disk.sizes(self._directory).items()
            self._sizes = {int(match[1]): size for name, size in names if (match := _NAME.fullmatch(name))}
            self._next = max(self._sizes, default=0) + 1
            self._find_end()
            self.bytes = sum(self._sizes.values())
            self._disk.sync_path(self._directory.parent)  # what is synced in a directory that isn't there is lost with it
        except OSError as error:
            raise SpillFailed(
                f"the spill {self._directory} cannot be opened: {error}; let pixeld read and write there, or give it another "
                "data_dir"
            ) from error

    def last_id(self) -> ChunkId:
        """The greatest id that waits here or has done so since `open`; `ChunkId(0, 0)` for none."""
        return self._last_id

    def first(self, after: ChunkId) -> tuple[ChunkId, bytes] | None:
        """The oldest chunk with a greater id than `after`, None for none. OSError when it can't be read."""
        for number in sorted(self._sizes):
            for record in scan(self._read(number)).records:
                if record[0] > after:
                    return record
        return None

    def append(self, chunk_id: ChunkId, data: bytes) -> None:
        """Make a chunk durable; ids must grow. SpillFailed when it is not: the bound is reached, or the disk refused."""
        record = encode(chunk_id, data)
        if self.bytes + len(record) > self._max_bytes:
            raise SpillFailed(f"the spill holds {self.bytes} of {self._max_bytes} bytes and takes no more")
        try:
            if self._active is None:
                number, self._next = self._next, self._next + 1
                self._active = self._disk.create(self._path(number))
                self._disk.sync_path(self._directory)
            self._disk.write(self._active, record)
            self._disk.sync(self._active)
        except OSError as error:
            self._abandon()
            raise SpillFailed(f"the spill {self._directory} cannot be written: {error}") from error
        number = self._next - 1
        self._sizes[number] = self._sizes.get(number, 0) + len(record)
        self.bytes += len(record)
        self._last_id = chunk_id
        if self._sizes[number] >= self._segment_bytes:
            self._seal()

    def oldest(self) -> tuple[int, list[tuple[ChunkId, bytes]]] | None:
        """The oldest segment's number and chunks, oldest first; None when nothing waits.

        SpillFailed when it can't be read now. An error of the medium (EIO) is believed when it has come READ_TRIES times: from
        then on the blocks that can't be read are damage, and what is between them is handed out.
        """
        if not self._sizes:
            return None
        number = min(self._sizes)
        if number == self._next - 1:
            self._seal()
        try:
            found = scan(self._read(number))
        except OSError as error:
            self._failures += error.errno == errno.EIO
            raise SpillFailed(
                f"the spill's segment {self._path(number)} cannot be read: {error}; put it right, or move it away and start "
                "pixeld again to go on without it"
            ) from error
        fresh = set(found.damage) - self._told
        if fresh:
            self._told |= fresh
            self.damaged += len(fresh)
            lost = {"stretches": len(fresh), "bytes": sum(stop - start for start, stop in fresh)}
            log.error(
                "a part of the spill cannot be read back, and the events in it are lost; check this disk",
                extra={"segment": str(self._path(number)), "of_bytes": self._sizes[number], **lost},
            )
        return number, found.records

    def forget(self, number: int) -> None:
        """Drop the oldest segment: all of its chunks are in Redis. It doesn't come back unless this raises SpillFailed."""
        try:
            self._disk.unlink(self._path(number))
            self.bytes -= self._sizes.pop(number)
            self._failures, self._told = 0, set()
            self._disk.sync_path(self._directory)
        except OSError as error:
            raise SpillFailed(f"the spill's segment {self._path(number)} cannot be dropped: {error}") from error

    def close(self) -> None:
        """Let go of the open file."""
        self._seal()

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:012d}.seg"

    def _find_end(self) -> None:
        """Settle where the newest segment ends, and which id is the last."""
        for number in sorted(self._sizes, reverse=True):
            try:
                found = scan(self._read(number))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                continue  # `oldest` deals with it in its turn
            if number == self._next - 1:
                if found.end < self._sizes[number]:
                    log.warning(
                        "the spill ended in half a chunk, which is cut; unless this disk fails, nobody was told it is stored",
                        extra={"segment": str(self._path(number)), "bytes": self._sizes[number] - found.end},
                    )
                self._cut(number, found.end)  # also where all is whole: what is seen after a kill needn't be on disk yet
            if found.records:
                self._last_id, data = found.records[-1]
                self.stored = self._last_id.earlier + data.count(b"\n")
                return

    def _seal(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            with suppress(OSError):  # every record in it is synced already
                active.close()

    def _abandon(self) -> None:
        """After a failed write: cut what may be half a record and go on in another segment, so that no later record
        follows it.
        """
        if self._active is not None:
            self._seal()
            self._cut(self._next - 1, self._sizes.get(self._next - 1, 0))

    def _cut(self, number: int, size: int) -> None:
        """Leave a segment its first `size` bytes for good, or nothing of it. What a disk that refuses leaves behind them is
        not read in this start; a later one may count it as damage.
        """
        with suppress(OSError):
            if size:
                self._sizes[number] = size
                self._disk.truncate(self._path(number), size)
                self._disk.sync_path(self._path(number))
            else:
                self._sizes.pop(number, None)
                self._disk.unlink(self._path(number))
                self._disk.sync_path(self._directory)  # before the next one is made: names reach the disk in any order

    def _read(self, number: int) -> bytes:
        size, salvage = self._sizes[number], self._failures >= READ_TRIES
        step, parts = _BLOCK if salvage else max(size, 1), []
        for at in range(0, size, step):
            try:
                parts.append(self._disk.read(self._path(number), min(step, size - at), at))
            except OSError as error:
                if not salvage or error.errno != errno.EIO:
                    raise
                parts.append(bytes(min(step, size - at)))
        return b"".join(parts)
