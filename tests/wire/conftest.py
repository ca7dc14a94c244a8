"""A public listener with a frozen clock, known randomness and an intake in memory, reached over real sockets."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest
import uvloop
from aiohttp import web

from pixeld.domain.registry import Client, Partner, Snapshot, Status
from pixeld.domain.tokens import NONCE_BYTES, Keyring
from pixeld.metrics import Metrics
from pixeld.settings import Settings
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies
from pixeld.web import server, tracking
from pixeld.web.certificates import Certificate
from pixeld.web.desk import Desk
from pixeld.web.origin import Origin
from tests.fakes import MemoryIntake
from tests.wire.peer import PATIENCE_S, Peer

P3P = 'policyref="/w3c/p3p.xml", CP="NON DSP"'
KEYS = Keyring({3: b"sixteen bytes or more"}, 3)
COOKIES = Cookies("pxref", "pxref-landing")
DAY_S = 86_400

CLIENTS = (
    Client("acme", "Acme", "https://shop.example/welcome?lang=de#top", ("m.shop.example", "shop.example:8443")),
    Client("tokyo", "Tokyo", "https://tokyo.example/", currency="JPY", window_days=7, click_param="ref"),
    Client("kuwait", "Kuwait", "https://kuwait.example", currency="KWD"),
    Client("bare", "Bare", "https://bare.example/", stateless=True),
)
MEMBERS = {
    ("acme", "blog"): Status.APPROVED,
    ("acme", "coupons"): Status.APPROVED,
    ("acme", "applied"): Status.APPLIED,
    ("acme", "declined"): Status.DECLINED,
    ("acme", "ended"): Status.ENDED,
    ("tokyo", "blog"): Status.APPROVED,
    ("kuwait", "blog"): Status.APPROVED,
    ("bare", "blog"): Status.APPROVED,
}
SNAPSHOT = Snapshot(
    1, {c.id: c for c in CLIENTS}, {p: Partner(p, p) for _, p in MEMBERS}, MEMBERS
)


def pytest_asyncio_loop_factories(config, item):
    """Every test here runs on both loops, unless its module asks for one."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@dataclass
class World:
    """One listener with all its parts."""

    clock: object
    settings: Settings
    intake: MemoryIntake
    metrics: Metrics
    desk: Desk
    app: web.Application
    port: int
    listener: server.Listener
    peers: list
    reached: list  # called when a stop waits for connections
    stopped: bool = False

    async def peer(self, **options):
        where = {} if "sock" in options else {"host": "127.0.0.1", "port": self.port}
        peer = await Peer.connect(**where, **options)
        self.peers.append(peer)
        return peer

    @property
    def connections(self):
        return self.listener._runner.server.connections

    @property
    def cold_requests(self):
        """How many requests got as far as aiohttp's handlers."""
        return self.listener._runner.server.requests_count

    @property
    def outcomes(self):
        """What was counted."""
        return dict(self.metrics.answers)

    async def stop(self):
        self.stopped = True
        await self.listener.stop()


def tracker(snapshot=SNAPSHOT):
    numbers = itertools.count(1)

    def random(n):
        return b"".join(next(numbers).to_bytes(NONCE_BYTES) for _ in range(n // NONCE_BYTES))

    return Tracker(snapshot, KEYS, Replies(P3P), Visitors(lambda n: b"s" * n), random, COOKIES)


async def until(true):
    """Give the loop turns until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0)


@pytest.fixture
async def start(clock):
    """Starts listeners; `manual` leaves it to the test when events are durable."""
    worlds = []

    async def make(*, manual=False, routes=(), app=None, origin=None, limiter=None, snapshot=SNAPSHOT, certificate=None, application=None, **changes):
        settings = Settings(host="127.0.0.1", port=0, **changes)
        intake = MemoryIntake(None if manual else asyncio.get_running_loop().call_soon)
        metrics = Metrics()
        desk = Desk(tracker(snapshot), intake, metrics, clock, origin or Origin(), limiter)
        app = application or web.Application(**(app or {}))
        app.add_routes(routes)
        tracking.add_routes(app, desk)
        reached = []

        async def on_shutdown(app):
            for each in reached:
                await each(app)

        app.on_shutdown.append(on_shutdown)
        bound = server.bind(settings.host, settings.port)
        try:
            listener = await server.listen(app, bound, desk, settings, certificate or Certificate.of(settings, "tls"))
        except BaseException:
            bound.close()
            raise
        worlds.append(World(clock, settings, intake, metrics, desk, app, bound.getsockname()[1], listener, [], reached))
        return worlds[-1]

    yield make
    for world in worlds:
        world.intake.schedule = asyncio.get_running_loop().call_soon
        world.intake.commit()
        for peer in world.peers:
            await peer.close()
        if not world.stopped:
            await world.stop()


@pytest.fixture(params=["hot", "cold"])
def fast_path(request):
    """Whether the listener has the fast path: every rule holds with and without."""
    return request.param == "hot"
