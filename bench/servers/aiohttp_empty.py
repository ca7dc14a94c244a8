"""The yardstick: an aiohttp server on uvloop whose only handler does nothing. Prints its port."""

import asyncio

import uvloop
from aiohttp import web


async def main() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
