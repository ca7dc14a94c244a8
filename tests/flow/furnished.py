"""`pixeld` with a room in its house, for test_house.py; the same command line."""

import os

from aiohttp import web

from pixeld import app
from pixeld.cli import main
from pixeld.web import house

LARGE = bytes(range(256)) * 8192  # 2 MiB


async def told(request):
    """Who answers, and what it was asked."""
    body = (await request.read()).decode()
    said = {"pid": os.getpid(), "address": house.address(request), "body": body, "target": request.raw_path}
    return web.json_response(said, headers={"Referrer-Policy": "same-origin"})


async def away(request):
    response = web.HTTPSeeOther("/room/told")
    response.headers.add("Set-Cookie", "__Host-pixeld=1; Path=/; Secure")
    response.headers.add("Set-Cookie", "other=2; Path=/")
    raise response


async def large(request):
    return web.Response(body=LARGE)


def furnished(home, *needed, furnish=app._furnish):
    furnish(home, *needed)
    room = web.Application()
    room.router.add_route("*", "/told", told)
    room.router.add_post("/away", away)
    room.router.add_get("/large", large)
    home.add_subapp("/room", room)


if __name__ == "__main__":
    app._furnish = furnished
    main()
