"""The portal over real services: accounts in a real Valkey, reports in a real engine."""

import asyncio
from importlib.util import find_spec

import pytest
from aiohttp.test_utils import TestServer

from pixeld.storage import migrations
from pixeld.storage.decisions import Decisions
from pixeld.storage.engines import open_warehouse
from pixeld.storage.reports import Reports
from tests import accounts, portal
from tests.conftest import require


@pytest.fixture(scope="package")
def engine(tmp_path_factory):
    """An engine with the schema. It ends with this folder's tests: a process can have one at a time, and others want one."""
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    opened = open_warehouse(None, tmp_path_factory.mktemp("portal"))

    async def prepare():
        await opened.connect()
        await migrations.apply(opened)

    asyncio.run(prepare())
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
async def warehouse(engine):
    """The engine, without any event."""
    for row in await engine.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'", {}):
        if row["name"] != "schema_migrations":
            await engine.command(f"TRUNCATE TABLE `{row['name']}`")
    return engine


@pytest.fixture
async def made(redis, clock):
    """All services around accounts."""
    found = accounts.services(redis, clock)
    await found.registry.refresh()
    return found


@pytest.fixture
async def server(made, warehouse, clock):
    """The house on a port of its own, with nobody in it yet."""
    decisions = Decisions(made.redis, warehouse, portal.Straight(warehouse), made.registry.note, clock)
    async with TestServer(portal.site(portal.services(made, Reports(warehouse, clock), decisions=decisions))) as running:
        yield running


@pytest.fixture
async def browser(server):
    """Opens browsers; each is somebody else's."""
    opened = []

    def make():
        opened.append(portal.Browser(server))
        return opened[-1]

    yield make
    for each in opened:
        await each.close()
