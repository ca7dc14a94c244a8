"""A server's reading half on a real chDB and a real Valkey: the tenants' API, the admin API, and keys for everybody."""

import asyncio
import itertools
from datetime import date

import orjson
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.sealed import SealedRecords
from pixeld.accounts.vault import Vault, new_secret
from pixeld.domain.events import CLICK, DECISION, IMPRESSION, ORDER
from pixeld.domain.registry import Client, Partner
from pixeld.domain.reports import Scope
from pixeld.storage import chdb, migrations
from pixeld.storage import keys as redis_keys
from pixeld.storage.decisions import Decisions
from pixeld.storage.records import RedisRecords
from pixeld.storage.redis import connect
from pixeld.storage.registry import Registry
from pixeld.storage.reports import Reports
from pixeld.storage.warehouse import Warehouse
from pixeld.web import admin, keys
from pixeld.web.api import tenants
from pixeld.web.rate import Limiter
from tests.conftest import FrozenClock
from tests.fakes import MemoryIntake

TODAY = date(2027, 1, 15)  # of the frozen clock
PER_S, BURST = 10, 50
ADMIN = "the-admin-token"


class Operations:
    """What of the running server an answer needs here."""

    def today(self):
        return TODAY


class World:
    """One database for all networks; a registry that is replaced with each batch of them."""

    def __init__(self, valkey, directory):
        self.redis, self.directory, self.clock = connect(valkey, 5.0), directory, FrozenClock()
        self.now, self._batches, self.networks = 0.0, itertools.count(), 0

    async def open(self):
        self.warehouse = Warehouse(chdb.connector(self.directory / "clickhouse"))  # not niced: nobody else waits for it
        await self.warehouse.connect()
        await migrations.apply(self.warehouse)
        await self.redis.flushall()
        self.registry = Registry(self.redis, self.clock, changed=lambda _: None, keep=lambda _: None, kept=None)
        await self.registry.refresh()
        self.keys = ApiKeys(SealedRecords(RedisRecords(self.redis, self.clock), Vault(new_secret())), self.registry, self.clock)
        reports = Reports(self.warehouse, self.clock)
        public, private = web.Application(), admin.application()
        intake = MemoryIntake(lambda settle: asyncio.get_running_loop().call_soon(settle))
        self.decided, decisions = intake, Decisions(self.redis, self.warehouse, intake, self.registry.note, self.clock)
        limiter = Limiter(PER_S, BURST, lambda: self.now)
        needed = tenants.Tenants(self.keys, self.registry, reports, decisions, lambda: TODAY, limiter)
        public.add_subapp(tenants.PREFIX, tenants.application(needed))
        private[keys.REGISTRY], private[keys.REPORTS] = self.registry, reports
        private[keys.OPERATIONS], private[keys.ADMIN_TOKEN] = Operations(), ADMIN
        self.public, self.private = TestClient(TestServer(public)), TestClient(TestServer(private))
        await self.public.start_server()
        await self.private.start_server()
        return self

    async def close(self):
        await self.public.close()
        await self.private.close()
        await self.warehouse.close()
        await self.redis.aclose()

    async def hold(self, networks):
        """Have these networks in the registry, and what happened in them in the warehouse beside all earlier ones."""
        number = next(self._batches)
        self.now += 3600  # nobody is kept waiting
        clients = {c: Client(c, c, f"https://{c}.example/", currency=v[0], timezone=v[1]) for n in networks for c, v in n.clients.items()}
        partners = {partner: Partner(partner, partner) for n in networks for partner in n.partners}
        members = {f"{client}/{partner}": str(status) for n in networks for (client, partner), status in n.members.items()}
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.delete(redis_keys.CLIENTS, redis_keys.PARTNERS, redis_keys.MEMBERS).incr(redis_keys.VERSION)
            for key, records in ((redis_keys.CLIENTS, clients), (redis_keys.PARTNERS, partners)):
                pipe.hset(key, mapping={id: orjson.dumps(record.to_json()) for id, record in records.items()})
            if members:
                pipe.hset(redis_keys.MEMBERS, mapping=members)
            await pipe.execute()
        await self.registry.refresh()
        visits = [visit._asdict() | {"event_id": f"{number}-{n}"} for n, visit in enumerate(v for w in networks for v in w.visits)]
        orders = [
            order._asdict() | {"order_id": order.order, "amount_minor": order.amount, "commission_minor": order.commission}
            for network in networks
            for order in network.orders
        ]
        decisions = [decision._asdict() | {"order_id": decision.order} for network in networks for decision in network.decisions]
        for kind, rows in (
            (CLICK, [visit for visit in visits if visit["clicked"]]),
            (IMPRESSION, [visit for visit in visits if not visit["clicked"]]),
            (ORDER, orders),
            (DECISION, decisions),
        ):
            columns = (*kind.columns, "event_id")
            encoded = [orjson.dumps([row.get(column, "") for column in columns]) for row in rows]
            if encoded:
                await self.warehouse.insert(kind.table, columns, encoded, f"batch {number} of {kind.name}")
        self.networks += len(networks)

    async def key(self, scope):
        text, _ = await self.keys.create(Scope(*scope), "a program", "a test")
        return text

    async def revoke(self, scope):
        for info in await self.keys.list(Scope(*scope)):
            await self.keys.revoke(Scope(*scope), info.id, "a test")

    async def ask(self, path, params, key):
        return await self.public.get(tenants.PREFIX + path, params=params, headers={"Authorization": f"Bearer {key}"})

    async def ask_as_operator(self, path, params):
        return await self.private.get(f"/api/reports{path}", params=params, headers={"Authorization": f"Bearer {ADMIN}"})
