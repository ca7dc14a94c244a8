"""The ingest path on a real Valkey, with failures where a test wants them."""

import asyncio
from functools import partial
from types import SimpleNamespace

import orjson
import pytest
from redis.asyncio.connection import AbstractConnection

from pixeld.domain.events import ORDER
from pixeld.domain.ports import Record
from pixeld.errors import ChunkRefused, QueueAway, WarehouseAway, WarehouseRefused
from pixeld.ingest.buffer import Buffer
from pixeld.ingest.flush import Flusher
from pixeld.ingest.ship import Shipper
from pixeld.ingest.spill import Spill
from pixeld.ingest.watch import Watch
from pixeld.metrics import Metrics
from pixeld.storage.records import RedisRecords
from pixeld.storage.redis import NO_REPLICAS, connect
from pixeld.storage.redis_queue import RedisQueue, others
from pixeld.tasks import cancel

NODE = "a1b2c3d4e5f6"


def order(clock, number, amount=100):
    """One encoded order."""
    audience = ("", "", "", "", "")
    return ORDER.encode(clock(), "shop", f"O-{number}", "blog", "click", "T", 1, amount, "EUR", "", "", "human", "allowed consent", *audience, 10, 0)


class Reply:
    """A waiter; `stored` is None until it is settled, and `released` says that the reply has left."""

    def __init__(self):
        self.stored, self.released = None, False

    def settle(self, stored):
        assert self.stored is None, "settled twice"
        self.stored = stored

    def release(self):
        assert self.stored is not None, "released before it was settled"
        self.released = True


class FaultyQueue(RedisQueue):
    """A real queue that fails when it is told to: `before` or `after` the real thing happened."""

    def __init__(self, redis, node=NODE, replicas=NO_REPLICAS):
        super().__init__(redis, node, replicas)
        self.faults, self.pushed = [], []

    async def push(self, chunk_id, data, meanwhile=lambda: None):
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise QueueAway("refused for the test")
        await super().push(chunk_id, data, meanwhile)
        self.pushed.append(chunk_id)
        if fault == "after":
            raise QueueAway("stored, but the connection broke before the reply")

    async def push_all(self, chunks):
        if not self.faults:
            self.pushed += [chunk_id for chunk_id, _ in chunks]
            await super().push_all(chunks)
            return
        refused = None
        for chunk in chunks:
            try:
                await self.push(*chunk)
            except ChunkRefused as error:
                refused = error
        if refused:
            raise refused


class MemoryWarehouse:
    """Tables in memory that honour insert tokens, and fail when they are told to."""

    def __init__(self):
        self.tables, self.tokens, self.faults, self.poison = {}, [], [], set()

    async def insert(self, table, columns, rows, token):
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise WarehouseAway("refused for the test")
        rows = [orjson.loads(row) for row in rows]
        if any(row[columns.index("order_id")] in self.poison for row in rows):
            raise WarehouseRefused("a row can't be parsed")
        if token not in self.tokens:
            self.tokens.append(token)
            self.tables.setdefault(table, []).extend(dict(zip(columns, row, strict=True)) for row in rows)
        if fault == "after":
            raise WarehouseAway("inserted, but the connection broke before the reply")

    def orders(self):
        return [row["order_id"] for row in self.tables.get("order_events", [])]


class Ingest:
    """Buffer, shipper, spill and flusher of one start of one node."""

    def __init__(self, redis, directory, clock, warehouse, epoch, replicas=NO_REPLICAS):
        self.clock, self.metrics, self.warehouse = clock, Metrics(), warehouse
        self.queue = FaultyQueue(redis, NODE, replicas)
        self.buffer, self.spill = Buffer(1 << 20), Spill(directory, 1 << 20)
        self.spill.open()
        self.shipper = Shipper(self.buffer, self.queue, self.spill, self.metrics, epoch)
        self.flusher = self.another_flusher(NODE)
        self.watch = Watch(
            buffer=self.buffer, shipper=self.shipper, spill=self.spill, queue=self.queue, others=partial(others, redis, [NODE]),
            flusher=self.flusher, clock=clock, late_s=60, look_s=60,
        )  # fmt: skip
        self.tasks = [asyncio.create_task(self.shipper.run()), asyncio.create_task(self.shipper.replay())]

    def another_flusher(self, owner):
        return Flusher(
            self.queue, self.warehouse, self.metrics, node=NODE, owner=owner, clock=self.clock,
            interval_s=0.01, max_events=1000, keep_s=0, lease_s=10,
        )  # fmt: skip

    async def send(self, *numbers):
        """Orders, each settled before the next is sent."""
        replies = []
        for number in numbers:
            replies.append(Reply())
            assert self.buffer.append(order(self.clock, number), replies[-1])
            await self.buffer.drained()
        return [reply.stored for reply in replies]

    async def close(self):
        for task in self.tasks:
            await cancel(task)
        self.spill.close()


@pytest.fixture
async def start(redis, tmp_path, clock):
    """Starts the ingest path, again after a crash if called again: same Redis, same spill, same warehouse."""
    warehouse, started = MemoryWarehouse(), []

    async def make():
        for earlier in started:
            await earlier.close()
        started.append(Ingest(redis, tmp_path / "spill", clock, warehouse, clock() + len(started)))
        return started[-1]

    yield make
    for ingest in started:
        await ingest.close()


@pytest.fixture
def trips(monkeypatch):
    """What is sent to Redis: an entry a round trip, of however many commands."""
    sent, really = [], AbstractConnection.send_packed_command

    async def send(connection, command, *args, **kwargs):
        sent.append(command)
        await really(connection, command, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", send)
    return sent


@pytest.fixture
async def rival(made, valkey, monkeypatch):
    """Another server, which writes each record of a kind as soon as this one has read it, while `rival.kind` names the kind."""
    redis, really = connect(valkey, 5.0), made.records.read
    records, found = RedisRecords(redis, made.clock), SimpleNamespace(kind="", wrote=0)

    async def read(kind, id):
        record = await really(kind, id)
        if kind == found.kind:
            there = record or Record({"accounts": []}, 0)
            await records.write(kind, id, there.value, expected=there.version, ttl_s=there.left_s)
            found.wrote += 1
        return record

    monkeypatch.setattr(made.records, "read", read)
    yield found
    await redis.aclose()
