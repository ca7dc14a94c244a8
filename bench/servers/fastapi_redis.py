"""FastAPI on uvicorn with uvloop and httptools, one worker, no access log: parameters validated, one XADD, then
the GIF. Prints its port; BENCH_REDIS is the path of Redis' socket.
"""

import os
import socket
import time
from base64 import b64decode
from typing import Annotated

import uvicorn
from fastapi import Cookie, FastAPI, Header, Response
from redis import asyncio as aioredis

GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
app = FastAPI()
place = {"connection_class": aioredis.UnixDomainSocketConnection, "path": os.environ["BENCH_REDIS"]}
redis = aioredis.Redis(connection_pool=aioredis.BlockingConnectionPool(128, timeout=30, **place))  # as aiohttp_cookie.py


@app.get("/t/{client}/o.gif")
async def order(
    client: str,
    order: str,
    amount: str,
    currency: str = "EUR",
    pxref: Annotated[str, Cookie()] = "",
    user_agent: Annotated[str, Header()] = "",
    accept_language: Annotated[str, Header()] = "",
) -> Response:
    event = {
        "at_ms": time.time_ns() // 1_000_000,
        "client": client,
        "order": order,
        "amount": amount,
        "currency": currency,
        "referral": pxref,
        "agent": user_agent,
        "language": accept_language,
    }
    await redis.xadd("events", event)
    return Response(GIF, media_type="image/gif", headers={"Cache-Control": "no-store"})


bound = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(bound.getsockname()[1], flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning", backlog=4096)
uvicorn.Server(config).run(sockets=[bound])
