"""A tracker, a shop and a partner's page on three sites with TLS, and a proxy through which every browser finds them."""

import asyncio
import http.client
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from html import escape

from aiohttp import web

from tests.certificates import certificate
from tests.process import pixeld

TRACKER, SHOP, BLOG = "track.tracker.example", "www.coffee-shop.example", "www.partner-blog.example"
PARTNER = "blog"
#: How a referral may come from the click to the order; each has a client of its own, so that none profits from another's.
WAYS = ("redirect", "landing", "click", "own")
REPORT_S = 60  # until a test has failed
_OWN_COOKIE = "shop_click"


class Sites:
    """What the test asks of them. `proxy` is `host:port`."""

    def __init__(self, process, cert, proxy):
        self._process, self._cert, self.proxy = process, cert, proxy

    async def landing_url(self, link):
        """Where a click leads; made from here, so that no browser has got a cookie by it."""
        return await asyncio.to_thread(self._location, link)

    def _location(self, link):
        server = http.client.HTTPSConnection("127.0.0.1", self._process.port, context=ssl.create_default_context(cafile=self._cert))
        try:
            server.request("GET", link.removeprefix(f"https://{TRACKER}"), headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"})
            return server.getresponse().headers["Location"]
        finally:
            server.close()

    async def credit(self, client, order):
        """(partner, method) of an order, as the report has it."""
        async with asyncio.timeout(REPORT_S):
            while True:
                _, found = await self._process.api("GET", f"/api/reports/orders?client={client}")
                for row in found["rows"]:
                    if row["order"] == order:
                        return row["partner"], row["method"]
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(directory):
    """All of them; stopped at the end."""
    cert, key = certificate(directory, TRACKER, SHOP, BLOG)
    async with AsyncExitStack() as stack:
        settings = {"public_url": f"https://{TRACKER}:443", "tls_cert": cert, "tls_key": key}
        process = await stack.enter_async_context(pixeld(directory / "data", **settings))
        await process.ready()
        for way in WAYS:
            await process.register(way, (PARTNER,), landing_url=f"https://{SHOP}/{way}/landing")
        shop = await stack.enter_async_context(_pages(cert, key))
        proxy = await stack.enter_async_context(_proxy({TRACKER: process.port, SHOP: shop, BLOG: shop}))
        yield Sites(process, cert, proxy)


# The partner's page, and the shop's: a landing page, and one that thanks for an order


async def _partner(request):
    return _html(f'<a id="link" href="{escape(request.query["to"])}">A shop</a>')


async def _landing(request):
    way, click, order = request.match_info["way"], request.query["pxid"], request.query["order"]
    handed_on = f"&click={click}" if way == "click" else ""
    beacon = f'<img src="https://{TRACKER}/t/{way}/l.gif?click={click}" alt="">' if way == "landing" else ""
    response = _html(f'{beacon}<a id="order" href="/{way}/thanks?order={order}{handed_on}">Order</a>')
    if way == "own":
        response.set_cookie(_OWN_COOKIE, click, secure=True, httponly=True, samesite="Lax")
    return response


async def _thanks(request):
    way, order = request.match_info["way"], request.query["order"]
    click = request.query.get("click", request.cookies.get(_OWN_COOKIE, "") if way == "own" else "")
    pixel = f"https://{TRACKER}/t/{way}/o.gif?order={order}&amount=24.90&currency=EUR&click={click}"
    return _html(f'Thank you.<img src="{escape(pixel)}" alt="">')


def _html(body):
    return web.Response(text=f"<!doctype html><title>Coffee</title>{body}", content_type="text/html")


@asynccontextmanager
async def _pages(cert, key):
    app = web.Application()
    app.add_routes([web.get("/", _partner), web.get("/{way}/landing", _landing), web.get("/{way}/thanks", _thanks)])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


# The proxy: RFC 9110 §9.3.6, for these hosts and no other


@asynccontextmanager
async def _proxy(ports):
    tunnels = set()

    async def tunnel(reader, writer):
        tunnels.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await _tunnel(reader, writer, ports)
        writer.close()
        tunnels.discard(asyncio.current_task())

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tunnels:
            task.cancel()
        await asyncio.gather(*tunnels, return_exceptions=True)


async def _tunnel(reader, writer, ports):
    method, target, _ = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split(" ", 2)
    port = ports.get(target.partition(":")[0]) if method == "CONNECT" else None
    if port is None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))
    finally:
        inner_writer.close()


async def _pipe(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
