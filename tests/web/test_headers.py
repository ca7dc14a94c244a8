"""The headers that protect readers of ordinary pages, and that no tracking reply has."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from aiohttp import web

from pixeld import privacy
from pixeld.settings import Settings
from pixeld.web import keys, public, tracking
from pixeld.web.desk import Desk
from pixeld.web.headers import csp
from pixeld.web.origin import Origin
from tests.fakes import MemoryIntake
from tests.wire.conftest import P3P, Metrics, tracker

HSTS = "Strict-Transport-Security"
PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
POLICY = privacy.Policy.from_map(privacy.default_map())


async def page(request):
    return web.Response(text="<p>hello", content_type="text/html")


async def streamed(request):
    response = web.StreamResponse(headers={"Referrer-Policy": "same-origin"})
    await response.prepare(request)
    await response.write(b"hello")
    return response


async def refused(request):
    raise web.HTTPForbidden


@pytest.fixture
def browser(aiohttp_client, clock):
    """The public application with a room, asked by somebody; `https` or not."""

    async def make(https=False):
        room, app = web.Application(), web.Application()
        for path, handler in (("/", page), ("/streamed", streamed), ("/refused", refused)):
            room.router.add_get(path, handler)
        app[keys.POLICY] = POLICY
        public.add_routes(app, p3p=True, https=https)
        tracking.add_routes(app, Desk(tracker(), MemoryIntake(lambda settle: settle()), Metrics(), clock, Origin()))
        app.add_subapp("/room", room)
        return await aiohttp_client(app)

    return make


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/privacy", 200, id="the privacy page"),
        pytest.param("GET", "/robots.txt", 200, id="robots.txt"),
        pytest.param("GET", "/w3c/p3p.xml", 200, id="the policy file"),
        pytest.param("GET", "/nothing", 404, id="no page"),
        pytest.param("POST", "/privacy", 405, id="no such method"),
        pytest.param("GET", "/room/", 200, id="a page of a room"),
        pytest.param("HEAD", "/room/", 200, id="its head"),
        pytest.param("GET", "/room/streamed", 200, id="a reply that is streamed"),
        pytest.param("GET", "/room/refused", 403, id="an error that is raised"),
        pytest.param("GET", "/room/nothing", 404, id="no page of a room"),
    ],
)
@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
async def test_pages_are_protected(method, path, status, https, browser):
    reply = await (await browser(https)).request(method, path)
    assert reply.status == status
    own = {"/privacy": {"Content-Security-Policy"} if status == 200 else set(), "/room/streamed": {"Referrer-Policy"}}
    for name in PROTECTION.keys() - own.get(path, set()):
        assert reply.headers.getall(name) == [PROTECTION[name]]
    assert reply.headers.getall(HSTS, []) == (["max-age=31536000"] if https else [])


async def test_what_a_handler_sets_itself_stays(browser):
    reply = await (await browser()).get("/room/streamed")
    assert reply.headers.getall("Referrer-Policy") == ["same-origin"]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        pytest.param("GET", "/t/acme/c/blog", id="click"),
        pytest.param("GET", "/t/acme/i/blog.gif", id="impression"),
        pytest.param("GET", "/t/acme/o.gif?order=1&amount=1", id="order"),
        pytest.param("HEAD", "/t/acme/o.gif?order=1&amount=1", id="head"),
        pytest.param("GET", "/t/nobody/c/blog", id="no such client"),
        pytest.param("POST", "/t/acme/o.gif", id="no such method"),
    ],
)
async def test_tracking_replies_have_none_of_it(method, target, browser):
    reply = await (await browser(https=True)).request(method, target, allow_redirects=False)
    allowed = {"Referrer-Policy": "strict-origin-when-cross-origin"} if reply.status == 302 else {}
    assert {name: reply.headers[name] for name in (*PROTECTION, HSTS) if name in reply.headers} == allowed
    assert reply.headers.get("P3P", P3P) == P3P


def test_the_privacy_page_s_style_is_the_one_that_its_policy_lets_in():
    (style,) = re.findall(rb"<style>(.*?)</style>", POLICY.page, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(style).digest()).decode()}'" == privacy.PAGE_STYLE
    assert b"style=" not in POLICY.page and b"<script" not in POLICY.page


async def test_the_privacy_page_lets_in_its_own_style_and_nothing_else(browser):
    reply = await (await browser()).get("/privacy")
    assert reply.headers["Content-Security-Policy"] == csp(style_src=privacy.PAGE_STYLE)
    assert f"style-src {privacy.PAGE_STYLE};" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("given", "https"),
    [
        pytest.param({}, False, id="plain"),
        pytest.param({"public_url": "http://track.example"}, False, id="plain, named"),
        pytest.param({"public_url": "https://track.example"}, True, id="a proxy has the certificate"),
        pytest.param({"public_url": "HTTPS://track.example"}, True, id="in capitals"),
        pytest.param({"tls_cert": "c", "tls_key": "k"}, True, id="TLS"),
        pytest.param({"tls_cert": "c", "tls_key": "k", "public_url": "http://track.example"}, True, id="TLS under another name"),
    ],
)
def test_https(given, https):
    assert Settings(**given).https is https
