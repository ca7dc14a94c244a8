"""What the inner layers ask of the outer ones. `app.py` hands the real parts in; nothing else knows which they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pixeld.domain.events import ChunkId
from pixeld.domain.orders import OrderStatus
from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.reports import AudienceQuery, OrdersQuery, PerformanceQuery, RefusalsQuery, Scope
from pixeld.errors import PixeldError

Row = bytes  #: a JSON array of texts and integers without a newline in it, as `orjson` writes it


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one batch is, written before its insert and marked done after it.

    `first`..`last` is the range of chunks (inclusive); `rows` and `digest` are what a repeat must find in that range again;
    `state` is "open" or "done"; `fence` is the lease's token under which it was written. The tokens of the batch's inserts
    derive from this record alone.
    """

    first: ChunkId
    last: ChunkId
    rows: int
    digest: str
    state: str
    fence: int


class Backlog(NamedTuple):
    """What a queue holds. `events` are those behind the newest batch that is done, `oldest_ms` is when the first of them was
    taken (None for none).
    """

    chunks: int  #: in the stream, those kept after their flush included
    dead_letters: int
    events: int
    oldest_ms: int | None


class Waiter(Protocol):
    """Someone whose reply may leave once an event is durable, or must be another one if it can't be."""

    def settle(self, stored: bool) -> None:
        """Learn the outcome. Called exactly once; writes nothing yet, so that one write can carry a chunk's replies."""

    def release(self) -> None:
        """Send what may be sent now. Called after every waiter of the chunk has been settled."""


class Intake(Protocol):
    """Where an encoded event goes to become durable."""

    def append(self, line: bytes, waiter: Waiter) -> bool:
        """Take the event, without waiting; False (and nothing taken) when the buffer is full. Several may come as one `line`,
        each ended by its newline: they are durable together.
        """


class Queue(Protocol):
    """A durable, ordered log of chunks (a Redis stream). Every method raises QueueAway when Redis does not do its part."""

    async def push(self, chunk_id: ChunkId, data: bytes, meanwhile: Callable[[], None]) -> None:
        """Store a chunk durably under its id. ChunkRefused, and nothing stored, when the stream has had that or a greater id.

        `meanwhile` is called once the chunk is on its way, for what can be done while Redis works; not if it never is.
        """

    async def push_all(self, chunks: Sequence[tuple[ChunkId, bytes]]) -> None:
        """Store chunks durably in one go, oldest first. ChunkRefused when some were, as by `push`; the others are stored."""

    async def last_id(self) -> ChunkId:
        """The greatest id that this stream ever held; `ChunkId(0, 0)` for none."""

    async def read(self, after: ChunkId, *, count: int, until: ChunkId | None = None) -> list[tuple[ChunkId, bytes]]:
        """Up to `count` chunks with ids greater than `after` (and at most `until`), oldest first."""

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        """Take the stream's lease; its fencing token, or None while another owner holds it."""

    async def renew(self, fence: int, ttl_ms: int) -> None:
        """Hold the lease longer. LeaseLost when it is somebody else's."""

    async def release(self, fence: int) -> None:
        """Give the lease back, if it is still ours."""

    async def manifest(self) -> Manifest | None:
        """The newest manifest, or None before the first batch."""

    async def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest; compare-and-set on the fence: LeaseLost when a newer lease exists."""

    async def bury(self, entries: Sequence[tuple[str, str, bytes]]) -> None:
        """Put (event id, reason, bytes) on the dead-letter stream."""

    async def trim(self, upto: ChunkId) -> None:
        """Forget every chunk up to and including `upto`."""

    async def backlog(self, until: ChunkId | None = None) -> Backlog:
        """What it holds now; `events` and `oldest_ms` only of chunks at most `until`."""


class Registry(Protocol):
    """Clients, partners and memberships. Changes raise BadInput, NotFound, AlreadyExists or QueueAway and then change
    nothing. `seen` is the fingerprint of the record that a change was made from; Conflict when it is another one by now.
    """

    snapshot: Snapshot | None

    async def refresh(self) -> None:
        """Read it again if it has changed. QueueAway, or another Unavailable when an entry of it can't be read."""

    async def add_client(self, body: object, who: str) -> Client:
        """Register a client."""

    async def change_client(self, client: str, body: object, who: str, *, seen: int | None = None) -> Client:
        """Change some of a client's fields."""

    async def add_partner(self, body: object, who: str) -> Partner:
        """Register a partner."""

    async def change_partner(self, partner: str, body: object, who: str, *, seen: int | None = None) -> Partner:
        """Change some of a partner's fields."""

    async def set_member(
        self, client: str, partner: str, body: object, who: str, *, seen: int | None = None
    ) -> Status:
        """Set status, commission or both of a membership; both parties must exist. What the body leaves out stays."""

    async def note(self, what: str, before: object, after: object, who: str) -> None:
        """Put a change that was made elsewhere on the audit stream. `before` and `after` are JSON values; they name nobody."""

    async def audit(self, count: int, before: str = "") -> list[dict[str, Any]]:
        """The newest changes, newest first: id, at_ms, who, what, before, after. With `before`, an id: those before it.
        BadInput (field `before`) for what is no id.
        """


class Warehouse(Protocol):
    """ClickHouse, as a server or as an engine in this process. One statement at a time for each role."""

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], token: str) -> None:
        """Insert all rows, each an array of `columns`' values, as one block, or none. A repeat with the same token changes
        nothing where that is promised. Rows that lack a value, have one too many or one of another type or out of bounds are
        refused; but an integer in quotes may be taken for the integer, and empty quotes for 0.

        Raises WarehouseAway (outcome unknown, retry with the same token) or WarehouseRefused (these rows never go in).
        """

    async def query(self, sql: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """Run one SELECT with `{name:Type}` parameters. Raises WarehouseAway or WarehouseRefused."""


class Reports(Protocol):
    """What clients, partners and operators read. Raise BadInput (too much was asked for), WarehouseAway or WarehouseRefused.

    `clients` maps every client that may appear to its (currency, time zone).
    """

    async def performance(
        self, scope: Scope, query: PerformanceQuery, clients: Mapping[str, tuple[str, str]]
    ) -> dict[str, Any]:
        """`{"columns": […], "rows": [{…}], "totals": [{…}]}`, as the API gives it."""

    async def refusals(self, scope: Scope, query: RefusalsQuery, clients: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
        """`{"columns": […], "rows": [{…}]}`: how many requests of visitors who may not be tracked, and why not."""

    async def orders(
        self, scope: Scope, query: OrdersQuery, clients: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, Any]:
        """`{"rows": [{…}], "next": cursor or None}`, newest first. `clients` gives the days their time zone; UTC without."""

    async def audience(self, scope: Scope, query: AudienceQuery) -> dict[str, Any]:
        """`{"columns": […], "rows": [{…}], "days": …, "k": …}`: sums of what was released, the largest first and `other` last;
        of how many days something was, and the fewest visitors that a number stood for (None without rows).
        """


class Affinities(Protocol):
    """What is kept of visitors who have agreed to it, for themselves."""

    async def held(self, client: str, click_ids: Sequence[str]) -> list[str]:
        """The categories of what was bought by these clicks, sorted; nothing that was to be forgotten. WarehouseAway."""

    async def forget(self, client: str, click_ids: Sequence[str]) -> None:
        """Have these clicks' categories left out from now on; returns when that is durable. Unavailable when it can't be."""


class Record(NamedTuple):
    """A stored record; `version` is 1 when it is made and grows with every change. It ends in `left_s`, or never (None)."""

    value: dict[str, Any]
    version: int
    left_s: float | None = None


class Records(Protocol):
    """Small records by kind and id, each changed by compare-and-set. Every method raises QueueAway without Redis."""

    async def read(self, kind: str, id: str) -> Record | None:
        """The record, or None when there is none or its time is over."""

    def each(self, kind: str, ids: Iterable[str] | None = None) -> AsyncIterator[tuple[str, Record]]:
        """Every record of a kind with its id, by id; or, in the order given, those of `ids` that there are. Read many at a
        time, each as it is when its turn comes.
        """

    async def write(
        self, kind: str, id: str, value: dict[str, Any], *, expected: int, ttl_s: float | None = None
    ) -> int:
        """Replace the record whole; its new version. It ends by itself after `ttl_s`, or never.

        `expected` is the version that was read, or 0 for one that must not exist yet. Raises Conflict, or AlreadyExists, and
        then nothing is changed.
        """

    async def take(self, kind: str, id: str) -> dict[str, Any] | None:
        """Read and delete in one step: of all who take a record, one gets it."""

    async def delete(self, kind: str, id: str) -> bool:
        """Delete the record; whether there was one."""

    async def ids(self, kind: str) -> list[str]:
        """The id of every record of a kind, sorted."""

    async def count(self, kind: str, id: str, window_s: float) -> int:
        """One more in a counter that begins anew `window_s` after its first; its new value. `delete` sets it back to 0."""

    async def rewrite(self) -> None:
        """Have Redis write its append-only file anew, so that what was deleted leaves the disk, too."""


class Decisions(Protocol):
    """What people decide about orders."""

    async def decide(
        self, scope: Scope, client: str, order: str, status: object, reason: object, seen: object, who: str
    ) -> OrderStatus:
        """Approve or reject an order that its decider has `seen` pending; returns when that is durable. It is for good, and
        reports show it as soon as any event.

        Raises Forbidden (for partners and other clients), BadInput (`status`, `seen`, or `reason`, which a rejection needs),
        NotFound, Conflict (it is not pending, or somebody else is deciding), WarehouseAway, QueueAway or Unavailable, and then
        nothing was decided; but QueueAway may leave the order claimed for a minute. `reason` is shown to the partner; `who`
        is not, and no name: "operator:7", "client:shop/3".
        """

    async def decide_all(
        self, scope: Scope, client: str, orders: Mapping[str, object], status: object, reason: object, who: str
    ) -> tuple[OrderStatus, dict[str, PixeldError]]:
        """The same with several `orders`, each with the status that was `seen` of it: what they have become, but for those
        that were refused, each with its BadInput, NotFound or Conflict. One entry of the audit stream tells of them all.
        """
