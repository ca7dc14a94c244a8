"""The composition root: the only module that knows every layer. What is started is stopped in the reverse order, by one stack.

Started: data directory, Redis, spill, registry, shipping, warehouse and flushing, admin listener, public listener. So
a stop ends intake first, then lets replies go, then ships, then flushes, and lets go of the data directory last.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import maxminddb
from aiohttp import web

from pixeld import logs, privacy
from pixeld.datadir import DataDir
from pixeld.domain.events import ChunkId
from pixeld.domain.registry import Snapshot
from pixeld.errors import LeaseLost, QueueAway, SettingsError, Unavailable
from pixeld.ingest.buffer import Buffer
from pixeld.ingest.flush import Flusher
from pixeld.ingest.ship import Shipper, first_epoch
from pixeld.ingest.spill import Spill
from pixeld.ingest.watch import Watch
from pixeld.metrics import Metrics
from pixeld.operations import ServerOperations
from pixeld.settings import Settings
from pixeld.storage import migrations as schema
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import RedisClient, Replicas, connect, fitness
from pixeld.storage.redis_queue import RedisQueue, nodes, others
from pixeld.storage.registry import Registry
from pixeld.storage.reports import Reports
from pixeld.storage.warehouse import Warehouse
from pixeld.tasks import Tasks
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Visitors
from pixeld.tracking.replies import Replies
from pixeld.web import admin, keys, public, server, tracking
from pixeld.web import demo as demo_pages
from pixeld.web.desk import Desk
from pixeld.web.origin import Origin
from pixeld.web.rate import Limiter

log = logging.getLogger(__name__)
_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_PATIENCE = 5  # times redis_timeout_s: nobody waits for a reply behind these
_ADOPT_S = 5.0  # how often the queues of other nodes are looked at


def now_ms() -> int:
    """The clock: milliseconds since 1970, UTC. Read here and nowhere else."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Started:
    """Where a started server is reached, and where its files are."""

    public_url: str
    admin_url: str
    data_dir: Path
    demo_url: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """A running server's parts, for the demo and for tests."""

    started: Started
    operations: ServerOperations
    registry: Registry
    reports: Reports
    failed: asyncio.Future[None]


async def serve(
    settings: Settings,
    *,
    demo: bool = False,
    started: Callable[[Started], None] = lambda _: None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], int] = now_ms,
) -> None:
    """Run until SIGTERM or SIGINT (or `stop`), then stop in order within `shutdown_s`; a second signal ends at once.

    Raises PixeldError when the server can't start, or when a part of it has failed for good.
    """
    logs.configure(settings.log_level)
    stop = stop or asyncio.Event()
    _on_signals(stop)
    late = threading.Timer(settings.shutdown_s, _end)  # a thread of its own: it must not depend on what hangs
    late.daemon = True
    try:
        async with running(settings, with_demo=demo, clock=clock) as parts:
            started(parts.started)
            parts.failed.add_done_callback(lambda _: stop.set())
            await stop.wait()
            parts.operations.stopping = True
            log.info("stopping")
            late.start()
            if parts.failed.done():
                parts.failed.result()
    finally:
        late.cancel()


def _on_signals(stop: asyncio.Event) -> None:
    def handle() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: what is answered is on disk already
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, handle)


def _end() -> None:
    """End the process, whatever hangs: a thread in the middle of a query can be waited for, not stopped."""
    log.critical("not everything was stopped in time; what was answered is on disk")
    os._exit(1)


@asynccontextmanager
async def running(
    settings: Settings, *, with_demo: bool = False, clock: Callable[[], int] = now_ms
) -> AsyncIterator[Server]:
    """A server that answers when this is entered and has stopped when it is left."""
    stack = AsyncExitStack()
    try:
        yield await _start(stack, settings, with_demo, clock)
    finally:
        await stack.aclose()


async def _start(stack: AsyncExitStack, settings: Settings, with_demo: bool, clock: Callable[[], int]) -> Server:
    metrics = Metrics()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks = Tasks(stack, failed)
    policy, p3p = load_policy(settings)
    public_socket = server.bind(settings.host, settings.port)
    stack.callback(public_socket.close)
    settings = replace(settings, port=public_socket.getsockname()[1])
    data = DataDir(settings.data_dir, f"the pixeld with process id {os.getpid()} on {settings.host}:{settings.port}")
    stack.callback(data.close)

    # Redis. One connection for shipping, so that no report or flush ever stands before a chunk; more patience for the others.
    url = settings.redis_url
    if url is None:
        embedded = EmbeddedRedis(settings.data_dir / "redis", settings.queue_bytes)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        tasks.start("embedded-redis", embedded.keep())
        url = embedded.url
    ship_redis, redis = connect(url, settings.redis_timeout_s), connect(url, _PATIENCE * settings.redis_timeout_s)
    stack.push_async_callback(redis.aclose)
    stack.push_async_callback(ship_redis.aclose)
    replicas = Replicas(settings.redis_replicas, settings.redis_timeout_s)
    queue = RedisQueue(redis, data.node, replicas)

    # Registry and answers
    keyring, visitors, replies = data.keyring(settings.signing_keys), Visitors(os.urandom), Replies(p3p)

    def tracker(snapshot: Snapshot | None) -> Tracker:
        return Tracker(snapshot, keyring, replies, visitors, os.urandom, settings.cookie_name)

    buffer = Buffer(settings.buffer_bytes)
    country_db = stack.enter_context(load_country_db(settings.country_db)) if settings.country_db else None
    origin = Origin(settings.networks(), settings.country_header, country_db)
    limiter = Limiter(settings.rate_per_s, settings.rate_burst, time.monotonic) if settings.rate_per_s else None
    desk = Desk(tracker(None), buffer, metrics, clock, origin, limiter)

    def changed(snapshot: Snapshot) -> None:
        desk.tracker = tracker(snapshot)

    registry = Registry(redis, clock, changed=changed, keep=data.keep_registry, kept=data.registry())

    # Shipping
    spill = Spill(settings.data_dir / "spill", settings.spill_bytes)
    await asyncio.to_thread(spill.open)
    stack.callback(spill.close)
    seen = await _first_contact(redis, queue, registry, settings.redis_replicas)
    if not spill.empty and seen.epoch > max(data.epoch(), spill.last_id().epoch):
        raise SettingsError(
            f"Redis has chunks of a later start of this data directory ({seen.epoch}) than it knows: it may be an old copy. "
            f"Those in {settings.data_dir / 'spill'} could be taken for repeats, so move that directory away and start again"
        )
    epoch = data.next_epoch(first_epoch(clock, seen, spill.last_id()))
    shipper = Shipper(buffer, RedisQueue(ship_redis, data.node, replicas), spill, metrics, epoch)

    # Warehouse and flushing
    warehouse = open_warehouse(settings.clickhouse_url, settings.data_dir)
    stack.push_async_callback(warehouse.close)

    def flusher_of(node: str) -> Flusher:
        return Flusher(
            RedisQueue(redis, node, replicas),
            warehouse,
            metrics,
            node=node,
            owner=data.node,
            clock=clock,
            interval_s=settings.flush_interval_s,
            max_events=settings.flush_max_events,
            keep_s=settings.flush_keep_s,
            lease_s=settings.lease_s,
            pressed=lambda: not spill.empty,
        )

    flusher = flusher_of(data.node)
    stack.push_async_callback(_last_flush, flusher)
    tasks.start("adopt", _adopt(redis, flusher, flusher_of, data.node))
    # Not cancelled in the middle of a batch: its insert would go on in its thread, and then be repeated by the last flush.
    tasks.start("flush", _flush(queue, warehouse, flusher), between=flusher.stepping)
    tasks.start("mend", warehouse.mend())
    tasks.start("replay", shipper.replay())
    tasks.start("ship", shipper.run())
    stack.push_async_callback(buffer.drained)
    tasks.start("registry", registry.follow())

    watch = Watch(
        buffer=buffer,
        shipper=shipper,
        spill=spill,
        queue=queue,
        others=partial(others, redis, data.node),
        flusher=flusher,
        clock=clock,
        late_s=settings.late_s,
    )
    tasks.start("watch", watch.run())

    # Listeners
    reports = Reports(warehouse)
    operations = ServerOperations(
        redis=redis,
        redis_replicas=settings.redis_replicas,
        queue=queue,
        watch=watch,
        buffer=buffer,
        spill=spill,
        spill_bytes=settings.spill_bytes,
        shipper=shipper,
        flusher=flusher,
        warehouse=warehouse,
        registry=registry,
        clock=clock,
    )
    admin_app = admin.application()
    admin_app[keys.REGISTRY], admin_app[keys.REPORTS], admin_app[keys.METRICS] = registry, reports, metrics
    admin_app[keys.OPERATIONS], admin_app[keys.ADMIN_TOKEN] = operations, data.admin_token(settings.admin_token)
    admin_socket = server.bind(settings.admin_host, settings.admin_port)
    admin_listener = await server.listen_plainly(admin_app, admin_socket)
    stack.push_async_callback(admin_listener.stop)

    public_app = web.Application()
    public_app[keys.POLICY] = policy
    public.add_routes(public_app, p3p=settings.p3p)
    tracking.add_routes(public_app, desk)
    tracker_url = settings.tracker_url
    if with_demo:
        public_app.add_subapp("/demo", demo_pages.application(demo_pages.Demo(tracker_url, reports, operations)))
    listener = await server.listen(public_app, public_socket, desk, settings)
    stack.push_async_callback(listener.stop)
    if with_demo:
        await demo_pages.register(registry, tracker_url)

    metrics.gauge("pixeld_ready", lambda: operations.ready)
    metrics.gauge("pixeld_buffer_bytes", lambda: buffer.bytes)
    for prefix, figures in (("pixeld", watch.figures), ("pixeld_others", watch.others)):
        for name in figures():
            metrics.gauge(f"{prefix}_{name}", partial(_figure, figures, name))
    metrics.gauge("pixeld_flush_last_success_timestamp_seconds", lambda: flusher.succeeded_ms / 1000)
    metrics.gauge("pixeld_connections", lambda: listener.connections)
    admin_url = f"http://{settings.admin_host}:{admin_socket.getsockname()[1]}"
    started = Started(tracker_url, admin_url, settings.data_dir.resolve(), f"{tracker_url}/demo/" if with_demo else None)
    gc.freeze()  # what start-up made lives for ever; the collector needn't look at it again
    log.info("started", extra={"public": started.public_url, "admin": admin_url, "node": data.node, "epoch": epoch})
    return Server(started, operations, registry, reports, failed)


def _figure(figures: Callable[[], dict[str, float]], name: str) -> float:
    return figures()[name]


def load_policy(settings: Settings) -> tuple[privacy.Policy, str | None]:
    """The policy of the data map, and the P3P header's value (None when P3P is off). PolicyError names what is wrong
    with it.
    """
    if settings.privacy_file is not None:
        try:
            data_map = privacy.load(settings.privacy_file.read_bytes())
        except OSError as error:
            raise SettingsError(f"privacy_file {settings.privacy_file} cannot be read: {error.strerror}") from error
    else:
        data_map = privacy.default_map()
    policy = privacy.Policy.from_map(data_map)
    return policy, privacy.header(policy.compact, settings.public_url) if settings.p3p else None


def load_country_db(path: Path) -> maxminddb.Reader:
    """The operator's country database. SettingsError when it can't be read."""
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise SettingsError(f"country_db {path} cannot be used: {error}") from error


async def _first_contact(redis: RedisClient, queue: RedisQueue, registry: Registry, replicas: int) -> ChunkId:
    """What Redis knows of this node, if it answers; without it the server starts all the same and spills."""
    try:
        fit = await fitness(redis, replicas)
        level = logging.INFO if fit.durable and fit.enough else logging.WARNING
        log.log(level, "Redis answers", extra={"server": fit.server, "durable": fit.durable, "durability": fit.text})
        await registry.refresh()
        return await queue.last_id()
    except QueueAway as error:
        log.warning("Redis is away; events go to the spill until it is back", extra={"reason": str(error)})
        return ChunkId(0, 0)


async def _flush(queue: RedisQueue, warehouse: Warehouse, flusher: Flusher) -> None:
    """Wait for both ends with patience, bring the schema up to date, then flush for ever."""
    attempt = 0
    while True:
        try:
            await queue.announce()
            await warehouse.connect()
            if applied := await schema.apply(warehouse):
                log.info("brought the schema up to date", extra={"migrations": [str(migration) for migration in applied]})
            break
        except Unavailable as error:
            if attempt in (0, 10) or attempt % 60 == 0:
                log.warning("flushing cannot begin yet and will be tried again", extra={"reason": str(error)})
            flusher.problem = str(error)
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1
    log.info("ClickHouse answers", extra={"version": warehouse.version, "exactly_once": warehouse.features.exactly_once})
    await flusher.run()


async def _adopt(redis: RedisClient, own: Flusher, flusher_of: Callable[[str], Flusher], me: str) -> None:
    """Flush what other nodes left behind, for ever: a node that is alive holds the lease of its queue."""
    orphans: dict[str, Flusher] = {}  # kept, because each remembers what it has to trim
    while True:
        await asyncio.sleep(_ADOPT_S)
        if own.problem is not None:
            continue
        try:
            found = [node for node in await nodes(redis) if node != me]
        except Unavailable:
            continue
        for node in found:
            orphan = orphans.setdefault(node, flusher_of(node))
            try:
                if events := await orphan.drain():
                    log.warning("flushed the queue of a node that is gone", extra={"node": node, "events": events})
                await orphan.release()
            except (LeaseLost, Unavailable) as error:
                log.info("another node's queue could not be flushed now", extra={"node": node, "reason": str(error)})


async def _last_flush(flusher: Flusher) -> None:
    """Flush what has been shipped, if that is possible now; what isn't flushed stays in the queue."""
    try:
        if flusher.problem is None:
            await flusher.drain()
        await flusher.release()
    except (LeaseLost, Unavailable) as error:
        log.warning("the last batch stays in the queue until the next start", extra={"reason": str(error)})
