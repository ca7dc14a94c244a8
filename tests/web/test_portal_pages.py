"""What holds for every page of the portal: who may have it, what it needs, which headers it has, and what is said when parts are away."""

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from pixeld.errors import WarehouseAway
from pixeld.web.portal import _MODULES, assets, navigation, sessions
from pixeld.web.portal.pages import Audience
from tests import portal
from tests.portal import CLIENT, OPERATOR, PARTNER

PAGES = [page for module in _MODULES for page in module.PAGES]
GETS = [page for page in PAGES if page.method == "GET"]
POSTS = [page for page in PAGES if page.method == "POST"]
WHO = {"nobody": None, "partner": PARTNER, "client": CLIENT, "operator": OPERATOR}
VALUES = {"{token}": "x.y", "{client}": "shop", "{key}": "0", "{partner}": "blog", "{account}": "0", "{mail}": "0"}
OPEN = dict.fromkeys(("/confirm/{token}", "/reset/{token}", "/second-factor/{token}", "/welcome/{token}"), 404)  # else 200
OF_OTHERS = ("/client/colleagues/{account}/remove", "/operator/mail/{mail}")  # no such ones
OF_MEMBERSHIPS = ("/client/partners/{partner}", "/client/partners/{partner}/commission", "/partner/messages/{client}")
LEADS_ON = ("", "/", "/consent")
MEMBERS = dict.fromkeys(LEADS_ON, 303) | dict.fromkeys(OF_OTHERS, 404)  # where there is a membership; else 200
THERE = MEMBERS | dict.fromkeys(OF_MEMBERSHIPS, 404)  # where there is none


def address(page):
    path = page.path
    for name, value in VALUES.items():
        path = path.replace(name, value)
    assert "{" not in path, "give the new parameter a value above"
    return f"/portal{path}"


def name(page):
    return f"{page.method} {page.path}"


def expected(page, who, there=THERE):
    """The status that somebody gets for a page."""
    if page.audience is Audience.EVERYBODY:
        return 303 if page.path == "/login" and who != "nobody" else OPEN.get(page.path, 200)
    if who == "nobody":
        return 303
    admitted = {Audience.ACCOUNT: ("partner", "client", "operator"), Audience.TENANT: ("partner", "client")}
    if who not in admitted.get(page.audience, (page.audience.value,)):
        return 404
    return there.get(page.path, 200)


@pytest.fixture
async def visitor(made, browser):
    async def make(who):
        await portal.people(made)
        return browser() if WHO[who] is None else await browser().log_in(WHO[who])

    return make


@pytest.mark.parametrize("who", WHO)
async def test_a_page_is_for_its_audience(visitor, who):
    someone = await visitor(who)
    for page in GETS:
        reply = await someone.get(address(page))
        assert reply.status == expected(page, who), (name(page), who)
        if who == "nobody" and page.audience is not Audience.EVERYBODY:
            assert reply.location.startswith("/portal/login?next=")
        assert (await someone.ask("HEAD", address(page))).status == reply.status


ANYBODYS = [page for page in POSTS if page.audience is Audience.EVERYBODY]


@pytest.mark.parametrize("who", WHO)
async def test_what_a_form_sends_is_for_the_audience_of_its_page(made, visitor, who):
    someone = await visitor(who)
    for page in POSTS:
        if page in ANYBODYS:
            continue
        if who == "nobody":
            reply = await someone.post(address(page), {})
            assert (reply.status, reply.location) == (303, "/portal/login")
            assert "was not saved" in (await someone.follow()).text
        elif expected(page, who) == 404:
            reply = await someone.post(address(page), {"csrf": await token(made, someone)})
            assert reply.status == 404 and "The address may be mistyped" in reply.text, name(page)


async def test_no_account_keeps_the_server_busy(visitor, browser):
    """Reports cost ClickHouse, forms cost Redis and the audit log; whoever wants to may register as a partner."""
    someone = await visitor("partner")
    for path in ("/portal/account/password", "/portal/partner/clients/nobody/apply"):
        method = "GET" if path.endswith("password") else "POST"
        replies = [await someone.ask(method, path) for _ in range(150)]
        refused = next(reply for reply in replies if reply.status == 429)
        assert refused.headers["Retry-After"] == "10" and "Wait some seconds" in refused.text
    other = await browser().log_in(CLIENT)
    assert (await other.get("/portal/account")).status == 200


TOKENS = {
    "no token": lambda own, other: {},
    "an empty one": lambda own, other: {"csrf": ""},
    "another session's": lambda own, other: {"csrf": other},
    "one letter changed": lambda own, other: {"csrf": own[:-1] + ("A" if own[-1] != "A" else "B")},
    "not ASCII": lambda own, other: {"csrf": "é" * 43},
}


@pytest.mark.parametrize("sent", TOKENS.values(), ids=TOKENS)
async def test_a_form_from_elsewhere_is_refused_and_changes_nothing(made, visitor, browser, sent):
    someone = await visitor("partner")
    other = await browser().log_in(CLIENT)
    fields = sent(await token(made, someone), await token(made, other))
    before = await made.redis.get("pixeld:version")
    for page in POSTS:
        if expected(page, "partner") == 404 and page not in ANYBODYS:
            continue
        reply = await someone.post(address(page), fields | {"email": PARTNER, "password": portal.PASSWORD})
        assert reply.status == 400 and "has been open for too long" in reply.text, name(page)
    assert await made.redis.get("pixeld:version") == before
    assert await made.sessions.find(someone.jar[sessions.COOKIE])


@pytest.mark.parametrize("sent", TOKENS.values(), ids=TOKENS)
async def test_before_log_in_a_form_comes_back_with_its_cookie(browser, sent):
    someone, other = browser(), browser()
    for each in (someone, other):
        await each.get("/portal/login")
    fields = sent(someone.jar[sessions.FORM_COOKIE], other.jar[sessions.FORM_COOKIE])
    for page in ANYBODYS:
        assert (await someone.post(address(page), fields)).status == 400, name(page)
    del someone.jar[sessions.FORM_COOKIE]
    assert (await someone.post("/portal/login", {"csrf": ""})).status == 400


KINDS = {"application/json": b"{}", "multipart/form-data; boundary=x": b"--x--\r\n", "text/plain": b"csrf="}


@pytest.mark.parametrize(("kind", "body"), KINDS.items(), ids=KINDS)
async def test_what_no_form_of_ours_sends_is_refused(browser, kind, body):
    page = await browser().ask("POST", "/portal/login", data=body, headers={"Content-Type": kind})
    assert page.status == 415


BROKEN = b"\xff\xfe" * 21 + b"\xff"  # as long as a token
COOKIES = ["__Host-pixeld", "__Host-pixeld-form", "__Host-pixeld-notice"]


async def told(server, head, body=b""):
    """The status of a reply to bytes that no client of ours would send."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head + b"Host: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    reply = await reader.read()
    writer.close()
    return int(reply.split()[1])


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.parametrize(
    ("line", "status"),
    [("GET /", 200), ("GET /portal/login", 200), ("GET /portal/account", 303), ("GET /portal/nowhere", 404), ("POST /portal/login", 400)],
)
async def test_a_cookie_that_is_no_text_is_none(server, name, line, status):
    head = f"{line} HTTP/1.1\r\nContent-Type: {portal.FORM}\r\nCookie: {name}=".encode() + BROKEN + b"\r\n"
    assert await told(server, head, b"csrf=x") == status


@pytest.mark.parametrize(
    ("charset", "body", "status"),
    [
        pytest.param("", b"&email=\xff", 400, id="bytes that are no UTF-8"),
        pytest.param("", b"&email=%ff&password=%ed%a0%80&code=%00", 401, id="escapes that are no UTF-8"),
        pytest.param("; charset=UTF-8", b"&email=a", 401, id="UTF-8 by name"),
        pytest.param("; charset=none", b"&email=a", 415, id="an encoding that isn't there"),
        pytest.param("; charset=rot13", b"&email=a", 415, id="an encoding of texts"),
        pytest.param("; charset=utf-7", b"&email=%2B2AA-", 415, id="half a character"),
    ],
)
async def test_a_form_in_another_encoding_is_refused(server, browser, charset, body, status):
    token = (await browser().get("/portal/login")).form("/portal/login")["csrf"].encode()
    head = f"POST /portal/login HTTP/1.1\r\nContent-Type: {portal.FORM}{charset}\r\n".encode()
    head += b"Cookie: __Host-pixeld-form=" + token + b"\r\n"
    assert await told(server, head, b"csrf=" + token + body) == status


async def test_a_form_has_a_greatest_length(browser):
    someone = browser()
    await someone.get("/portal/register")
    reply = await someone.post("/portal/register", {"csrf": someone.jar[sessions.FORM_COOKIE], "promotion": "x" * 70_000})
    assert reply.status == 413 and "too much at once" in reply.text


HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000",
}


@pytest.mark.parametrize("who", WHO)
async def test_every_page_has_the_headers(visitor, who):
    someone = await visitor(who)
    for path in [*map(address, GETS), "/", "/portal/nowhere", "/portal/static/nothing.css"]:
        reply = await someone.get(path)
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS, path
        assert "aiohttp" not in reply.headers.get("Server", ""), path


async def test_static_files_are_kept_for_ever_under_an_address_of_their_content(browser):
    page = await browser().get("/")
    addresses = [link.get("href") for link in page.all("link")] + [script.get("src") for script in page.all("script")]
    assert len(addresses) == 3
    for path in [*addresses, assets.address("vendor/uplot.js"), assets.address("vendor/uplot.css"), assets.address("chart.js")]:
        reply = await browser().get(path)
        assert (reply.status, reply.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert reply.headers["Content-Type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    for path in ("portal.css", "portal.000000000000.css", "vendor/README.md", "../portal/pages.py", "%2e%2e/pages.py"):
        assert (await browser().get(f"/portal/static/{path}")).status == 404


async def test_a_page_that_isnt_there_says_so_with_the_menu(visitor):
    someone = await visitor("partner")
    page = await someone.get("/portal/nowhere")
    assert page.status == 404 and page.all("nav", aria_label="Main")


async def test_the_menu_leads_to_pages_that_are_there(visitor):
    someone = await visitor("partner")
    for path, name in navigation.MENUS["partner"]:
        page = await someone.get(path)
        assert page.status == 200
        (here,) = [link for link in page.all("a") if link.get("aria-current")]
        assert (here.get("href"), here.text) == (path, name)


class Away:
    """A service that doesn't answer."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        async def fails(*_, **__):
            raise self._error

        return fails


#: Of the pages for everybody, those that are made of what lies in Redis. All that are for who has logged in are.
OF_REDIS = {"/register", "/confirm/{token}", "/reset/{token}", "/second-factor/{token}", "/welcome/{token}"}
#: What is made of reports: all that is missing without ClickHouse. The operator's overview leaves its figures out instead.
OF_CLICKHOUSE = {
    "/performance", "/performance.csv", "/audience", "/partner", "/partner/transactions", "/client", "/client/orders",
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
async def test_without_redis_pages_say_what_still_works(made, visitor, who):
    someone = await visitor(who)
    pool = made.redis.connection_pool
    made.redis.connection_pool = type(pool)(connection_class=pool.connection_class, path="/nowhere/redis.sock")
    try:
        assert (await someone.get("/")).status == 200
        for page in PAGES:
            reply = await someone.ask(page.method, address(page), data={"csrf": "x"} if page.method == "POST" else None)
            if who == "nobody" and page.audience is not Audience.EVERYBODY:
                assert reply.status == 303 and reply.location.startswith("/portal/login"), name(page)
            elif who == "nobody" and page.method == "POST":
                assert reply.status == 400, name(page)  # it has no page that the form could have come from
            elif page.method == "GET" and page.audience is Audience.EVERYBODY and page.path not in OF_REDIS:
                assert reply.status == 200, name(page)
            else:
                assert reply.status == 503 and reply.headers["Retry-After"] == "5", name(page)
                assert "tracking links lead to their shops" in reply.text and "Redis" not in reply.text, name(page)
    finally:
        made.redis.connection_pool = pool


@pytest.mark.parametrize("who", [who for who in WHO if WHO[who]])
async def test_without_clickhouse_only_reports_are_missing(made, browser, who):
    await portal.people(made)
    await made.registry.set_member("shop", "blog", {"status": "approved"}, "admin")
    of = portal.services(made, Away(WarehouseAway("ClickHouse does not answer")))
    async with TestServer(portal.site(of)) as server:
        someone = portal.Browser(server)
        try:
            await someone.log_in(WHO[who])
            for page in GETS:
                reply, usual = await someone.get(address(page)), expected(page, who, MEMBERS)
                if page.path in OF_CLICKHOUSE and usual == 200:
                    assert reply.status == 503 and "ClickHouse" not in reply.text, name(page)
                    assert reply.all("nav", aria_label="Main"), name(page)
                else:
                    assert reply.status == usual, name(page)
        finally:
            await someone.close()


async def test_an_error_of_ours_is_logged_and_not_told(made, browser, caplog):
    await portal.people(made)
    of = portal.services(made, Away(RuntimeError("a secret of ours")))
    async with TestServer(portal.site(of)) as server:
        someone = portal.Browser(server)
        try:
            await someone.log_in(PARTNER)
            page = await someone.get("/portal/performance")
        finally:
            await someone.close()
    assert page.status == 500 and "secret" not in page.body.decode()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.route == "/portal/performance" and "a secret of ours" in record.exc_text


async def token(made, someone):
    """The token of a browser's session."""
    return (await made.sessions.find(someone.jar[sessions.COOKIE])).csrf
