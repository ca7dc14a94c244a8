"""The public listener's ordinary pages: the policy file, the privacy page, robots.txt, gpc.json."""

from __future__ import annotations

from aiohttp import web

from pixeld.privacy import PAGE_STYLE, PRIVACY_JSON_PATH
from pixeld.web import headers, keys
from pixeld.web.responses import without_server

_ROBOTS = "User-agent: *\nDisallow: /t/\n"
# When what it states last became true (https://privacycg.github.io/gpc-spec/#gpc-support-resource): a date of the code.
_GPC = b'{"gpc": true, "lastUpdate": "2026-11-26"}\n'
_DAY = "public, max-age=86400"  # what the policy file itself states as its expiry


def add_routes(app: web.Application, *, p3p: bool, https: bool) -> None:
    """Add the pages, and the headers of all pages, to the public application; without P3P its file is not there."""
    headers.protect(app, https=https)
    app.on_response_prepare.append(without_server)
    app.router.add_get("/privacy", privacy)
    app.router.add_get(PRIVACY_JSON_PATH, privacy_json)
    app.router.add_get("/robots.txt", robots)
    app.router.add_get("/.well-known/gpc.json", gpc)
    if p3p:
        app.router.add_get("/w3c/p3p.xml", policy_file)


async def policy_file(request: web.Request) -> web.Response:
    """The P3P policy reference file, with the policy inline."""
    return web.Response(body=request.app[keys.POLICY].xml, content_type="application/xml", headers={"Cache-Control": _DAY})


async def privacy(request: web.Request) -> web.Response:
    """What is collected, why, and for how long, in prose."""
    own = {headers.CSP: headers.csp(style_src=PAGE_STYLE)}
    return web.Response(body=request.app[keys.POLICY].page, content_type="text/html", charset="utf-8", headers=own)


async def privacy_json(request: web.Request) -> web.Response:
    """The same for programs, any site's."""
    headers = {"Cache-Control": _DAY, "Access-Control-Allow-Origin": "*"}
    return web.Response(body=request.app[keys.POLICY].json, content_type="application/json", headers=headers)


async def robots(request: web.Request) -> web.Response:
    """Crawlers have no business with tracking addresses."""
    return web.Response(text=_ROBOTS)


async def gpc(request: web.Request) -> web.Response:
    """That Global Privacy Control is obeyed here."""
    return web.Response(body=_GPC, content_type="application/json", headers={"Cache-Control": _DAY})
