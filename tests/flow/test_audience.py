"""An audience through a whole server."""

import pytest

from pixeld import app
from pixeld.settings import Settings
from tests.process import CHROME, Browser

PEOPLE = 12


@pytest.mark.parametrize(("k", "numbers"), [(PEOPLE, 7), (2 * PEOPLE, 0)], ids=["enough people", "as many numbers of visitors"])
async def test_people_who_come_again_after_a_restart_are_no_larger_crowd(tmp_path, valkey, redis, k, numbers):
    settings = Settings(host="127.0.0.1", port=0, admin_port=0, data_dir=tmp_path, redis_url=valkey, portal=False, audience_k=k)
    for start in ("first", "second"):
        async with app.running(settings) as server:
            if start == "first":
                await server.registry.add_client({"id": "shop", "name": "S", "landing_url": "https://shop.example/"}, "test")
                await server.registry.add_partner({"id": "blog", "name": "B"}, "test")
                await server.registry.set_member("shop", "blog", {"status": "approved"}, "test")
            await _all_click(server.started.public_url)
            await server.operations.flush()
            if start == "second":
                today = server.operations.today()
                assert await server.releases.release(today) == numbers
                await _all_click(server.started.public_url)
                assert await server.releases.release(today) is None, "a day is told of once"


async def _all_click(url):
    host, _, port = url.rpartition("/")[2].partition(":")
    for n in range(PEOPLE):
        browser = Browser((host, int(port)), agent=f"{CHROME} Edg/{n}.0")
        assert (await browser.get("/t/shop/c/blog"))[0] == 302
        await browser.close()
