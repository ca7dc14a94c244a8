"""A server with an engine of its own, which a process has once: `python -m tests.web.audience_child DIRECTORY K` sends it twelve
visitors, and tells how many numbers it releases of their day. K of 0 is the default.
"""

import asyncio
import sys
from pathlib import Path

from pixeld import app
from pixeld.settings import Settings
from tests.process import Browser


async def released(data_dir, k):
    given = {"audience_k": k} if k else {}
    settings = Settings(host="127.0.0.1", port=0, admin_port=0, data_dir=data_dir, portal=False, **given)
    async with app.running(settings) as server:
        await server.registry.add_client({"id": "shop", "name": "S", "landing_url": "https://shop.example/"}, "test")
        await server.registry.add_partner({"id": "blog", "name": "B"}, "test")
        await server.registry.set_member("shop", "blog", {"status": "approved"}, "test")
        browser = Browser(("127.0.0.1", int(server.started.public_url.rpartition(":")[2])))
        for n in range(12):
            browser.agent, browser.cookie = f"Mozilla/5.0 (X11; Linux x86_64; rv:1.0) Gecko/20100101 Firefox/{n}.0", None
            assert (await browser.get("/t/shop/c/blog"))[0] == 302
        await browser.close()
        await server.operations.flush()
        return await server.releases.release(server.operations.today())


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(released(Path(sys.argv[1]), int(sys.argv[2])))}\n")
