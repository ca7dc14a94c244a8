"""From the order pixel to the visitor's page and back: what was bought is seen, forgotten at once, and forgotten by every reader."""

import asyncio
import time

import orjson
import pytest

from pixeld.domain.events import AFFINITY, FORGET
from pixeld.errors import Unavailable
from pixeld.storage import migrations
from pixeld.storage.affinities import Affinities
from pixeld.storage.engines import open_warehouse
from tests.fakes import MemoryIntake
from tests.flow.test_house import ask
from tests.process import CHROME, pixeld

OWN = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A warehouse with four clicks' categories, of which one is forgotten."""
    warehouse = open_warehouse(None, tmp_path_factory.mktemp("affinities"))

    async def fill():
        await warehouse.connect()
        await migrations.apply(warehouse)
        now_ms = int(time.time() * 1000)  # a week later, the engine's own clock would take them
        rows = [("shop", "a", "tea,cups"), ("shop", "a", "coffee,tea"), ("shop", "b", "pots"), ("shop", "c", "milk"), ("other", "a", "beer")]
        affinities = [orjson.dumps((now_ms, client, "blog", id, 7, names, f"e{n}")) for n, (client, id, names) in enumerate(rows)]
        await warehouse.insert(AFFINITY.table, (*AFFINITY.columns, "event_id"), affinities, "affinities")
        forgotten = [orjson.dumps((now_ms, "shop", "c", "e9")), orjson.dumps((now_ms, "other", "b", "e10"))]
        await warehouse.insert(FORGET.table, (*FORGET.columns, "event_id"), forgotten, "forgotten")

    asyncio.run(fill())
    yield warehouse
    asyncio.run(warehouse.close())


@pytest.fixture
async def intake():
    return MemoryIntake(asyncio.get_running_loop().call_soon)


@pytest.fixture
def affinities(stored, intake, clock):
    return Affinities(stored, intake, clock)


@pytest.mark.parametrize(
    ("client", "clicks", "names"),
    [
        pytest.param("shop", ["a"], ["coffee", "cups", "tea"], id="of several orders, each once"),
        pytest.param("shop", ["a", "b"], ["coffee", "cups", "pots", "tea"], id="of several clicks"),
        pytest.param("shop", ["c"], [], id="forgotten"),
        pytest.param("shop", ["c", "b"], ["pots"], id="beside one that is forgotten"),
        pytest.param("other", ["a", "b"], ["beer"], id="of another client, who has not the first one's"),
        pytest.param("shop", ["nobody's"], [], id="unknown"),
        pytest.param("shop", [], [], id="none asked for"),
    ],
)
async def test_what_is_held(client, clicks, names, affinities):
    assert await affinities.held(client, clicks) == names


async def test_to_forget_is_an_event_and_holds_at_once(affinities, intake, clock):
    await affinities.forget("shop", ["a", "b"])
    assert await affinities.held("shop", ["a", "b"]) == []
    assert intake.events == [("forget", {"at_ms": clock(), "client": "shop", "click_id": id}) for id in ("a", "b")]


@pytest.mark.parametrize("state", ["full", "failing"])
async def test_what_is_not_durable_is_not_forgotten(state, affinities, intake):
    setattr(intake, state, True)
    with pytest.raises(Unavailable, match="could not be forgotten"):
        await affinities.forget("shop", ["a"])
    assert await affinities.held("shop", ["a"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
async def test_from_the_pixel_to_the_visitor_s_page_and_back(workers, tmp_path):
    async with pixeld(tmp_path / "data", workers=workers) as server:
        assert (await server.api("PATCH", "/api/clients/shop", {"categories": ["coffee", "tea"]}))[0] == 200
        click, _ = await ask(server, "GET", "/t/shop/c/blog", **{"User-Agent": CHROME})
        cookie = click.headers["Set-Cookie"].partition(";")[0]
        async with asyncio.timeout(120):  # until every worker knows the categories
            found = []
            while len(found) < (workers or 1):
                for query in ("order=1&amount=1&cat=coffee,beer&consent=1", "order=2&amount=1&cat=tea"):
                    reply, _ = await ask(server, "GET", f"/t/shop/o.gif?{query}", Cookie=cookie)
                    assert reply.headers["X-Pixeld"] == "ok"
                assert (await server.api("POST", "/api/flush"))[0] == 200
                found = await server.sql("SELECT DISTINCT substring(event_id, 1, 12) AS node FROM affinities")
        _, page = await ask(server, "GET", "/t/shop/my-data", Cookie=cookie)
        assert b"<strong>coffee</strong>." in page and b"tea" not in page
        done, _ = await ask(server, "POST", "/t/shop/my-data", "do=forget", Cookie=cookie, **OWN)
        assert done.status == 303
        _, page = await ask(server, "GET", "/t/shop/my-data", Cookie=cookie)
        assert b"<strong>coffee</strong>" not in page and b"you followed a link of" in page
        assert (await server.api("POST", "/api/flush"))[0] == 200
        assert await server.sql("SELECT click_id FROM forgotten") == [{"click_id": cookie.partition("=")[2]}]
        # And without the page: whoever refuses later has forgotten by that what was kept of a click that is still in the cookie.
        click, _ = await ask(server, "GET", "/t/shop/c/blog", **{"User-Agent": CHROME})
        cookie = click.headers["Set-Cookie"].partition(";")[0]
        await ask(server, "GET", "/t/shop/o.gif?order=2&amount=1&cat=coffee&consent=1", Cookie=cookie)
        refused, _ = await ask(server, "GET", "/t/shop/l.gif", Cookie=cookie, **{"Sec-GPC": "1"})
        assert refused.headers["X-Pixeld"] == "ok" and "Max-Age=0" in refused.headers["Set-Cookie"]
        assert (await server.api("POST", "/api/flush"))[0] == 200
        _, page = await ask(server, "GET", "/t/shop/my-data", Cookie=cookie)
        assert b"<strong>coffee</strong>" not in page and b"you followed a link of" in page
        kept = "SELECT count() AS clicks, countIf(click_id IN (SELECT click_id FROM forgotten)) AS forgotten FROM"
        assert await server.sql(f"{kept} (SELECT DISTINCT click_id FROM affinities)") == [{"clicks": 2, "forgotten": 2}]
        assert await server.sql("SELECT DISTINCT categories, partner FROM affinities") == [{"categories": "coffee", "partner": "blog"}]
        assert await server.sql("SELECT DISTINCT order_id FROM order_events ORDER BY order_id") == [{"order_id": "1"}, {"order_id": "2"}]
