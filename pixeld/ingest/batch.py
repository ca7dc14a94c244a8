"""Batches: the chunks of the queue as rows of the warehouse, without decoding them.

A line of a chunk, `["o",at_ms,…]`, is JSON as both engines' way in takes it but for two things: the kind goes, the event's id
comes. So that is all that happens here, for 0.5 µs an event; decoding and encoding again took 7. What a line holds is
checked by the warehouse, whose engine does it beside the event loop; lines that don't look like those are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import orjson

from pixeld.domain.events import KINDS, ChunkId, Kind, decode
from pixeld.domain.ports import Manifest, Row

_COMMA, _BRACKET = b",]"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one batch that go into one partition of one table, and the token under which they go."""

    kind: Kind
    rows: list[Row]
    token: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A range of chunks as rows. `unreadable` holds chunks that are no events: (event id, reason, bytes)."""

    manifest: Manifest
    parts: list[Part]
    unreadable: list[tuple[str, str, bytes]]


class Draft:
    """A batch in the making. What it becomes is a function of its chunks' bytes alone, so that a repeat is the same batch."""

    def __init__(self, node: str) -> None:
        self._node, self._digest = node, sha256()
        self._tables: dict[tuple[str, str], list[Row]] = {}
        self._heads: dict[bytes, list[Row]] = {}
        self._unreadable: list[tuple[str, str, bytes]] = []
        self._first = self._last = ChunkId(0, 0)
        self._rows = 0
        self.chunks = 0  #: added so far
        self.size = 0  #: and their bytes

    def add(self, chunk_id: ChunkId, data: bytes) -> None:
        """Take the next chunk."""
        self._digest.update(f"{chunk_id}\n".encode())
        self._digest.update(data)
        self._first, self._last = self._first if self.chunks else chunk_id, chunk_id
        self.chunks, self.size = self.chunks + 1, self.size + len(data)
        marks = {table: len(rows) for table, rows in self._tables.items()}
        try:
            self._rows += self._as_it_lies(chunk_id, data)
            return
        except (KeyError, IndexError, ValueError):
            self._back_to(marks)
        try:
            self._rows += self._decoded(chunk_id, data)
        except (ValueError, OverflowError) as error:
            self._back_to(marks)
            self._unreadable.append((f"{self._node}-{chunk_id}", str(error), data))

    def batch(self, fence: int) -> Batch:
        """What has been added, as the batch of a flusher that holds `fence`."""
        digest, first, last = self._digest.hexdigest(), self._first, self._last
        prefix = f"v1:{self._node}:{first}:{last}:{digest[:32]}"
        parts = [
            Part(KINDS[code], rows, f"{prefix}:{code}:{when}") for (code, when), rows in sorted(self._tables.items()) if rows
        ]
        return Batch(Manifest(first, last, self._rows, digest, "open", fence), parts, self._unreadable)

    def _as_it_lies(self, chunk_id: ChunkId, data: bytes) -> int:
        """Add the chunk's lines by their looks. KeyError, IndexError or ValueError, with some added: one looks otherwise."""
        if not data.isascii():
            data.decode()
        rows_of, lines, event_id = self._heads.get, data.splitlines(), self._event_id(chunk_id)
        for index, line in enumerate(lines):
            if line[18] != _COMMA or line[-1] != _BRACKET:
                raise ValueError
            head = line[:13]
            rows = rows_of(head)
            if rows is None:
                rows = self._heads[head] = self._rows_under(head)
            rows.append(b'[%b,%b%d"]' % (line[5:-1], event_id, index))
        return len(lines)

    def _rows_under(self, head: bytes) -> list[Row]:
        """Where the rows of lines with such a head go. A head, `["o",17640960`, is the kind and the first 8 of `at_ms`'s 13
        digits, which decide the day: it is 864 times 100,000 ms. KeyError when it is none.
        """
        code, digits = head[2:3].decode("latin-1"), head[5:]
        if head != b'["%b",%b' % (code.encode(), digits) or code not in KINDS or not digits.isdigit():
            raise KeyError(head)
        return self._rows_of(code, int(digits) * 100)

    def _decoded(self, chunk_id: ChunkId, data: bytes) -> int:
        """Add the chunk's lines by what they say. ValueError or OverflowError, and some added, when one is no event."""
        count = 0
        for count, (kind, values) in enumerate(decode(data), 1):
            row = b'%b,%b%d"]' % (orjson.dumps(values)[:-1], self._event_id(chunk_id), count - 1)
            self._rows_of(kind.code, int(values[0]) // 1000).append(row)
        return count

    def _event_id(self, chunk_id: ChunkId) -> bytes:
        """The id of the chunk's events, as JSON, as far as they have it in common."""
        return orjson.dumps(f"{self._node}-{chunk_id}-")[:-1]

    def _rows_of(self, code: str, at_s: int) -> list[Row]:
        return self._tables.setdefault((code, datetime.fromtimestamp(at_s, UTC).strftime(KINDS[code].partition)), [])

    def _back_to(self, marks: dict[tuple[str, str], int]) -> None:
        for table, rows in self._tables.items():
            del rows[marks.get(table, 0) :]


def original(kind: Kind, row: Row) -> tuple[str, bytes]:
    """The event's id, and its line as it lay in the queue, of a row that a draft made."""
    values, _, event_id = row.rpartition(b',"')
    return event_id[:-2].decode(), b'["%b",%b]\n' % (kind.code.encode(), values[1:])
