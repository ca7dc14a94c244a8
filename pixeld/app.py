"""The composition root: one process of all parts, or an office and its workers. What is started is stopped in the reverse
order, by one stack.

Started: data directory, Redis, spill, registry, warehouse and flushing, shipping, admin listener, then whatever answers the
public: a listener here, or workers, which have a node of their own each. So a stop ends listening first, then lets replies go,
then ships, then flushes, and lets go of the data directory last.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixeld import logs
from pixeld.accounts.parties import Parties
from pixeld.clock import now_ms
from pixeld.datadir import DataDir
from pixeld.errors import SettingsError
from pixeld.ingest.watch import Look
from pixeld.metrics import Metrics
from pixeld.operations import AnyNode, ServerOperations
from pixeld.parts.accounts import first_operator, open_accounts
from pixeld.parts.crew import WORKERS, Crew
from pixeld.parts.flushing import Flushers
from pixeld.parts.links import RedisLinks, open_links
from pixeld.parts.listening import PublicListener, load_policy
from pixeld.parts.node import Node, directory, nothing
from pixeld.parts.releasing import Releasing
from pixeld.parts.rights import open_rights
from pixeld.parts.stopping import limit, on_hangup, on_signals
from pixeld.settings import EXACT_AUDIENCE, SINGLE_EVENTS, Settings
from pixeld.storage import retention
from pixeld.storage.affinities import Affinities
from pixeld.storage.audience import AudienceReleases
from pixeld.storage.decisions import Decisions
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis_queue import others
from pixeld.storage.registry import Registry
from pixeld.storage.reports import Reports
from pixeld.tasks import Tasks
from pixeld.tracking.audience import Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.web import admin, house, keys, portal, server, visitor
from pixeld.web import demo as demo_pages
from pixeld.web.api import tenants
from pixeld.web.certificates import Certificate
from pixeld.web.rate import Limiter

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """Where a started server is reached, and where its files are."""

    public_url: str
    admin_url: str
    data_dir: Path
    demo_url: str | None
    operator_url: str | None = None  #: where the first operator makes an account, while there is none


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server's parts: what `serve` needs, and what tests look into."""

    started: Started
    operations: ServerOperations
    registry: Registry
    releases: AudienceReleases
    parties: Parties | None
    failed: asyncio.Future[None]
    renew: Callable[[], None]  #: read the certificates of all listeners anew, for connections from now on


async def serve(
    settings: Settings,
    *,
    demo: bool = False,
    started: Callable[[Started], None] = lambda _: None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], int] = now_ms,
) -> None:
    """Run until SIGTERM or SIGINT (or `stop`), then stop in order within `shutdown_s`; a second signal ends at once.
    SIGHUP has certificates read anew; it stops the demo, which belongs to a terminal.

    Raises PixeldError when the server can't start, or when a part of it has failed for good.
    """
    logs.configure(settings.log_level)
    stop = stop or asyncio.Event()
    on_signals(stop)
    hung_up = asyncio.Event()
    on_hangup(stop.set if demo else hung_up.set)
    late = limit(settings.shutdown_s)
    try:
        async with running(settings, with_demo=demo, clock=clock) as parts:
            started(parts.started)
            parts.failed.add_done_callback(lambda _: stop.set())
            renewing = asyncio.create_task(_renew(hung_up, parts.renew))
            await stop.wait()
            renewing.cancel()
            parts.operations.stopping = True
            log.info("stopping")
            late.start()
            if parts.failed.done():
                parts.failed.result()
    finally:
        late.cancel()


async def _renew(hung_up: asyncio.Event, renew: Callable[[], None]) -> None:
    """For ever. A signal that came while the server was starting is obeyed now."""
    while True:
        await hung_up.wait()
        hung_up.clear()
        renew()


@asynccontextmanager
async def running(
    settings: Settings, *, with_demo: bool = False, clock: Callable[[], int] = now_ms
) -> AsyncIterator[RunningServer]:
    """A server that answers when this is entered and has stopped when it is left."""
    if with_demo and settings.workers:
        raise SettingsError("the demo is one process; leave workers at 0, or use `pixeld serve`")
    stack = AsyncExitStack()
    try:
        yield await _start(stack, settings, with_demo, clock)
    finally:
        await stack.aclose()


async def _start(stack: AsyncExitStack, settings: Settings, with_demo: bool, clock: Callable[[], int]) -> RunningServer:
    metrics = Metrics()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks = Tasks(stack, failed)
    policy, p3p = load_policy(settings)  # what is wrong with it is told before anything is touched
    retention.check(policy.kept_days)
    public_socket = (server.reserve if settings.workers else server.bind)(settings.host, settings.port)
    stack.callback(public_socket.close)
    settings = replace(settings, port=public_socket.getsockname()[1])
    holder = f"the pixeld with process id {os.getpid()} on {settings.host}:{settings.port}"
    data = DataDir(settings.data_dir, holder)
    stack.callback(data.close)
    settings = replace(settings, signing_keys=data.signing_keys(settings.signing_keys))
    settings = replace(settings, redis_url=settings.redis_url or await _embedded_redis(stack, tasks, settings))
    links = open_links(stack, settings, settings.redis_url or "")

    node, keyring = Node(settings, data, links, metrics, clock), data.keyring(settings.signing_keys)
    visitors = Visitors(os.urandom)
    public = None
    if not settings.workers:
        public = PublicListener(stack, settings, node, metrics, keyring, visitors, clock)
    changed = public.changed if public else lambda _: None
    registry = Registry(links.redis, clock, changed=changed, keep=data.keep_registry, kept=data.registry())
    await node.open(stack, registry)
    left = [await _left(stack, settings, path, links, metrics, clock, holder) for path in _without_worker(settings)]
    local = [node, *left]

    warehouse = open_warehouse(settings.clickhouse_url, settings.data_dir)
    stack.push_async_callback(warehouse.close)
    flushers = Flushers(stack, failed, settings, links, warehouse, metrics, data.node, clock, policy.kept_days)
    for each in local:
        flusher = flushers.run(each.data.node, partial(_spills, each))
        each.start(stack, tasks, flusher, partial(others, links.redis, flushers.own.keys()) if each is node else nothing)
    tasks.start("registry", registry.follow())

    crew = Crew(settings, holder, links, flushers, metrics, visitors, clock)
    registry.spread = crew.refreshed
    nodes: list[AnyNode] = [*local, *crew.workers]
    reports = Reports(warehouse, clock)
    operations = ServerOperations(
        redis=links.redis,
        redis_replicas=settings.redis_replicas,
        nodes=nodes,
        watch=node.watch,
        spill_bytes=settings.spill_bytes,
        flushers=flushers.own,
        warehouse=warehouse,
        registry=registry,
        clock=clock,
    )
    _gauges(metrics, operations, node, flushers, crew)
    releases = AudienceReleases(links.redis, warehouse, clock, settings.audience_k)
    tasks.start("release", Releasing(releases, operations.oldest_s, clock).run())
    decisions = Decisions(links.redis, warehouse, node.buffer, registry.note, clock)
    parties = await open_accounts(stack, tasks, settings, data, links.redis, registry, clock) if settings.portal else None
    admin_app = admin.application()
    admin_app[keys.REGISTRY], admin_app[keys.REPORTS], admin_app[keys.METRICS] = registry, reports, metrics
    admin_app[keys.DECISIONS], admin_app[keys.TRACKER_URL] = decisions, settings.tracker_url
    admin_app[keys.EXACT] = EXACT_AUDIENCE in settings.permissions()
    admin_app[keys.SINGLE] = SINGLE_EVENTS in settings.permissions()
    admin_app[keys.OPERATIONS], admin_app[keys.ADMIN_TOKEN] = operations, data.admin_token(settings.admin_token)
    nodes_here, flush = flushers.own.keys(), operations.flush
    admin_app[keys.RIGHTS] = open_rights(
        warehouse, links.redis, nodes_here, registry, parties, settings.data_dir, flush, policy.promises, clock
    )
    if parties is not None:
        admin_app[keys.PARTIES] = parties
    admin_url, admin_certificate = await _admin_listener(stack, settings, admin_app)

    tracker_url = settings.tracker_url
    home = house.application(public.origin if public else None)  # workers find where visitors are, and tell it
    affinities = Affinities(warehouse, node.buffer, clock)
    limiter = Limiter(visitor.PER_S, visitor.BURST, time.monotonic)
    cookies = Cookies(settings.referral_cookie, settings.landing_cookie)
    visitor.add_routes(home, visitor.Services(registry, affinities, limiter, keyring, cookies, p3p, settings.honour_dnt))
    if parties is not None:
        _furnish(home, settings, parties, registry, reports, decisions, operations)
    if public is None:
        place = data.socket("house.sock")
        stack.callback(place.unlink, missing_ok=True)
        house_listener = await server.listen_plainly(home, server.bind_unix(place))
        stack.push_async_callback(house_listener.stop)
        crew.house = str(place)
    await crew.start(stack, tasks)
    if with_demo:
        home.add_subapp("/demo", demo_pages.application(demo_pages.Demo(tracker_url, reports, operations)))
    if public is not None:
        await public.listen(stack, public_socket, home)
    if with_demo:
        await demo_pages.register(registry, tracker_url)
    flushers.adopt()

    operator_url = await first_operator(parties, tracker_url) if parties is not None else None
    demo_url = f"{tracker_url}/demo/" if with_demo else None
    started = Started(tracker_url, admin_url, settings.data_dir.resolve(), demo_url, operator_url)
    gc.freeze()  # what start-up made lives for ever; to look at the rest less often than by default saves nothing that shows
    stack.callback(gc.unfreeze)  # a process may live longer than its server
    log.info("started", extra={"public": started.public_url, "admin": admin_url, "node": data.node, "epoch": node.epoch})

    def renew() -> None:
        for certificate in (admin_certificate, public.certificate if public else None):
            if certificate is not None:
                certificate.renew()
        crew.renew()

    return RunningServer(started, operations, registry, releases, parties, failed, renew)


async def _admin_listener(stack: AsyncExitStack, settings: Settings, app: web.Application) -> tuple[str, Certificate | None]:
    """Listen until the stack is unwound to here; the address, and the certificate if there is one."""
    certificate = Certificate.of(settings, "admin_tls")
    bound = server.bind(settings.admin_host, settings.admin_port, prefix="admin-")
    if certificate is None and not server.is_loopback(bound):
        where = {"admin_host": settings.admin_host}
        log.warning("the admin listener is open to a network and has no TLS; see admin_tls_cert", extra=where)
    port = bound.getsockname()[1]
    listener = await server.listen_plainly(app, bound, certificate)
    stack.push_async_callback(listener.stop)
    return f"{'https' if certificate else 'http'}://{settings.admin_host}:{port}", certificate


def _furnish(
    home: web.Application,
    settings: Settings,
    parties: Parties,
    registry: Registry,
    reports: Reports,
    decisions: Decisions,
    operations: ServerOperations,
) -> None:
    """Put into the house what people and their programs ask for: the home page, the portal, the tenants' API."""
    limiter = Limiter(settings.api_per_s, settings.api_burst, time.monotonic)
    needed = tenants.Tenants(parties.keys, registry, reports, decisions, operations.today, limiter)
    home.add_subapp(tenants.PREFIX, tenants.application(needed))
    served = portal.Services(
        parties, registry, reports, settings.tracker_url, operations.today, decisions, operations.health,
        exact=EXACT_AUDIENCE in settings.permissions(),
    )
    home.router.add_get("/", portal.home(served))
    home.add_subapp(portal.PREFIX, portal.application(served))


async def _embedded_redis(stack: AsyncExitStack, tasks: Tasks, settings: Settings) -> str:
    embedded = EmbeddedRedis(settings.data_dir / "redis", settings.queue_bytes)
    await embedded.start()
    stack.push_async_callback(embedded.stop)
    tasks.start("embedded-redis", embedded.keep())
    return embedded.url


def _without_worker(settings: Settings) -> list[Path]:
    """Data directories of workers that there were and are no more: what waits in them is still to be counted."""
    found = [path for path in (settings.data_dir / WORKERS).glob("*") if path.name.isdecimal()]
    return sorted(path for path in found if int(path.name) >= settings.workers)


async def _left(
    stack: AsyncExitStack,
    settings: Settings,
    path: Path,
    links: RedisLinks,
    metrics: Metrics,
    clock: Callable[[], int],
    holder: str,
) -> Node:
    data = await directory(path, holder, settings.shutdown_s)
    stack.callback(data.close)
    data.forget_registry()
    node = Node(settings, data, links, metrics, clock)
    await node.open(stack)
    return node


def _spills(node: Node) -> bool:
    return not node.spill.empty


def _gauges(metrics: Metrics, operations: ServerOperations, node: Node, flushers: Flushers, crew: Crew) -> None:
    """What /metrics shows of this moment; of nodes, as of the last look, which reading it has just made."""

    def seen() -> Look:
        return operations.seen or node.watch.seen()

    metrics.gauge("pixeld_ready", lambda: operations.ready)
    for name in node.watch.seen().figures:
        metrics.gauge(f"pixeld_{name}", lambda name=name: seen().figures[name])  # type: ignore[misc]
    for name in node.watch.others():
        metrics.gauge(f"pixeld_others_{name}", lambda name=name: node.watch.others()[name])  # type: ignore[misc]
    metrics.gauge("pixeld_flush_last_success_timestamp_seconds", lambda: flushers.succeeded_ms / 1000)
    metrics.gauge("pixeld_connections", lambda: seen().connections)
    metrics.gauge("pixeld_workers", lambda: sum(worker.running for worker in crew.workers))
