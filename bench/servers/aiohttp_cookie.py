"""aiohttp that reads query and cookie and sets a cookie; with BENCH_REDIS, a socket's path, also one XADD a request before the
reply. Prints its port.
"""

import asyncio
import os
import time
from base64 import b64decode

import uvloop
from aiohttp import web
from redis import asyncio as aioredis

GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
REDIS = os.environ.get("BENCH_REDIS")
POOL = 128  # of 32, 128 and 1,024 the fastest here; without a blocking pool, redis-py refuses the 101st command at once


async def order(request: web.Request) -> web.Response:
    query, referral = request.query, request.cookies.get("pxref", "")
    event = {
        "at_ms": time.time_ns() // 1_000_000,
        "client": request.match_info["client"],
        "order": query.get("order", ""),
        "amount": query.get("amount", ""),
        "currency": query.get("currency", ""),
        "referral": referral,
        "agent": request.headers.get("User-Agent", ""),
        "language": request.headers.get("Accept-Language", ""),
    }
    if REDIS:
        await request.app["redis"].xadd("events", event)
    response = web.Response(body=GIF, content_type="image/gif", headers={"Cache-Control": "no-store"})
    response.set_cookie("pxref", referral, path="/t/", max_age=2_592_000, secure=True, httponly=True, samesite="None")
    return response


async def main() -> None:
    app = web.Application()
    app.router.add_get("/t/{client}/o.gif", order)
    if REDIS:
        socket = {"connection_class": aioredis.UnixDomainSocketConnection, "path": REDIS}
        app["redis"] = aioredis.Redis(connection_pool=aioredis.BlockingConnectionPool(POOL, timeout=30, **socket))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
