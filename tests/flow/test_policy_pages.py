"""The policy's pages are the data map's: nothing that happens to a server, and no setting, changes a byte of them."""

import urllib.request
from asyncio import to_thread
from pathlib import Path

import pytest

from pixeld import privacy
from tests.process import pixeld

pytestmark = pytest.mark.slow
SHIPPED = (Path(__file__).parents[2] / "config" / "privacy.toml").read_text(encoding="utf-8")


async def served(server):
    """(page, JSON, policy file) as a visitor gets them."""

    def ask(path):
        with urllib.request.urlopen(server.url + path, timeout=120) as reply:
            return reply.read()

    return [await to_thread(ask, path) for path in ("/privacy", "/privacy.json", "/w3c/p3p.xml")]


def made(toml):
    policy = privacy.Policy.from_map(privacy.load(toml))
    return [policy.page, policy.json, policy.xml]


@pytest.mark.parametrize(
    "settings",
    [{}, {"workers": 1}, {"portal": False, "fast_path": False}, {"rate_burst": 7, "rate_per_s": 5, "redis_timeout_s": 3}],
    ids=["as it comes", "workers", "no portal, no fast path", "other settings"],
)
async def test_nothing_but_the_map_changes_them(tmp_path, settings):
    async with pixeld(tmp_path / "data", **settings) as server:
        await server.ready()
        assert await served(server) == made(SHIPPED)
        visitor = server.browser()
        await visitor.get("/t/shop/c/blog")
        await visitor.get("/t/shop/o.gif?order=O-1&amount=1")
        await server.register("second", window_days=90)
        if settings.get("portal", True):
            post = {"summary": "We keep less.", "question": "", "changes_use": False}
            assert (await server.api("POST", "/api/policies", post))[0] < 300
        assert await served(server) == made(SHIPPED)
        await server.stop()
        await server.start()
        assert await served(server) == made(SHIPPED)


async def test_a_changed_map_changes_them_and_what_is_kept(tmp_path):
    changed = SHIPPED.replace('name = "The operator of this pixeld server"', 'name = "Somebody else"').replace("= 395", "= 30")
    (tmp_path / "map.toml").write_text(changed, encoding="utf-8")
    async with pixeld(tmp_path / "data") as server:
        await server.ready()
        assert await served(server) == made(SHIPPED)
        server.env["PIXELD_PRIVACY_FILE"] = str(tmp_path / "map.toml")
        await server.stop()
        await server.start()
        await server.ready()
        assert await served(server) == made(changed)
        (table,) = await server.sql("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'clicks'")
        assert "TTL at + toIntervalDay(30)" in table["engine_full"]
