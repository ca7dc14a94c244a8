"""Every setting is flipped once, on a running server, and its effect seen: a setting that does nothing is a bug."""

import asyncio
import gc
import logging
import re
import ssl
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.smtp import SMTP
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from pixeld import app
from pixeld.accounts.vault import new_secret
from pixeld.cli import Unreachable
from pixeld.cli.server import Server as AdminApi
from pixeld.clock import now_ms
from pixeld.datadir import DataDir
from pixeld.domain.events import ChunkId, decode
from pixeld.domain.reports import Scope
from pixeld.errors import SettingsError
from pixeld.parts import flushing as flushing_part
from pixeld.settings import Settings
from pixeld.storage import keys
from pixeld.storage.redis import connect
from pixeld.web import tracking
from tests.certificates import certificate
from tests.consent import tc
from tests.process import Browser
from tests.services import free_port
from tests.tenants import api_key

NOWHERE = "clickhouse://127.0.0.1:1/pixeld"  # flushing stands still, and none of this is about flushing
BIG = "&".join(f"s{n}={'x' * 500}" for n in range(1, 6))  # a click of some 2,800 bytes


@pytest.fixture
def start(tmp_path, redis, valkey):
    """Starts servers with one shop; settings are given by name."""

    @asynccontextmanager
    async def make(**given):
        base = Settings(
            host="127.0.0.1", port=0, admin_port=0, data_dir=tmp_path / "data", redis_url=valkey, clickhouse_url=NOWHERE
        )
        settings = replace(base, **given)
        async with app.running(settings) as server:
            if server.registry.snapshot is None or "shop" not in server.registry.snapshot.clients:
                await server.registry.add_client({"id": "shop", "name": "S", "landing_url": "https://shop.example/"}, "test")
                await server.registry.add_partner({"id": "blog", "name": "B"}, "test")
                await server.registry.set_member("shop", "blog", {"status": "approved"}, "test")
            host, _, port = server.started.public_url.rpartition("/")[2].partition(":")
            public = (host, int(port or 443)) if "public_url" not in given else None
            yield SimpleNamespace(
                server=server, settings=settings, redis=redis, public=public, started=server.started, browser=Browser(public)
            )

    return make


async def get(running, target="/t/shop/c/blog"):
    try:
        return await running.browser.get(target)
    finally:
        await running.browser.close()
        running.browser.writer = None


async def raw(address, request, **kwargs):
    """Everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*address, **kwargs)
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def plain(target, *headers):
    lines = "".join(f"{header}\r\n" for header in (*headers, "Connection: close"))
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: Chrome\r\n{lines}\r\n".encode()


@asynccontextmanager
async def paused(running):
    """Redis takes nothing until the end."""
    await running.redis.client_pause(600_000, all=False)
    try:
        yield
    finally:
        await running.redis.client_unpause()


async def stored(running):
    """The columns of every event in the queue."""
    (node,) = await running.redis.smembers(keys.STREAMS)
    entries = await running.redis.xrange(keys.queue(node.decode()))
    return [dict(zip(k.columns, v, strict=True)) for _, e in entries for k, v in decode(e[b"e"])]


async def host(start, **_):
    async with start(host="127.0.0.2") as running:
        assert b"302" in await raw(("127.0.0.2", running.public[1]), plain("/t/shop/c/blog"))
        with pytest.raises(ConnectionRefusedError):
            await raw(("127.0.0.1", running.public[1]), b"")


async def port(start, **_):
    wanted = free_port()
    async with start(port=wanted) as running:
        assert running.started.public_url == f"http://localhost:{wanted}"
        assert (await get(running))[0] == 302


async def admin_host(start, **_):
    async with start(admin_host="127.0.0.2") as running:
        port = int(running.started.admin_url.rpartition(":")[2])
        assert b"alive" in await raw(("127.0.0.2", port), plain("/livez"))
        with pytest.raises(ConnectionRefusedError):
            await raw(("127.0.0.1", port), b"")


async def admin_port(start, **_):
    wanted = free_port()
    async with start(admin_port=wanted) as running:
        assert running.started.admin_url == f"http://127.0.0.1:{wanted}"
        assert b"alive" in await raw(("127.0.0.1", wanted), plain("/livez"))
        with pytest.raises(SettingsError, match=f":{wanted}: .* choose another with --admin-host or --admin-port"):
            async with start(admin_port=wanted, data_dir=running.settings.data_dir / "second"):
                pass


async def data_dir(start, tmp_path, **_):
    async with start(data_dir=tmp_path / "elsewhere"):
        assert (tmp_path / "elsewhere" / "node").exists()


async def redis_url(start, **_):
    async with start() as running:
        await get(running)
        assert len(await stored(running)) == 1
        assert not (running.settings.data_dir / "redis").exists()


async def redis_replicas(start, **_):
    async with start(redis_replicas=1, redis_timeout_s=1.0) as running:
        assert (await get(running))[1]["x-pixeld"] == "ok"
        health = await running.server.operations.health()
        assert health["spill"].detail["bytes"] > 0  # nobody else has it
        assert not health["redis"].ok and "0 of the 1 replicas" in health["redis"].detail["durability"]


async def clickhouse_url(start, **_):
    async with start(clickhouse_url="clickhouse://127.0.0.1:2/pixeld") as running:
        async with asyncio.timeout(60):
            while "127.0.0.1:2" not in str((await running.server.operations.health())["clickhouse"].detail):
                await asyncio.sleep(0.01)


async def public_url(start, **_):
    async with start(public_url="https://track.example/", port=(wanted := free_port())) as running:
        assert running.started.public_url == "https://track.example"
        reply = await raw(("127.0.0.1", wanted), plain("/t/shop/c/blog"))
        assert b'P3P: policyref="https://track.example/w3c/p3p.xml"' in reply


async def admin_token(start, **_):
    async with start(admin_token="given") as running:
        address = ("127.0.0.1", int(running.started.admin_url.rpartition(":")[2]))
        assert b"200 OK" in await raw(address, plain("/api/clients", "Authorization: Bearer given"))
        assert b"401" in await raw(address, plain("/api/clients", "Authorization: Bearer another"))


async def signing_keys(start, tmp_path, **_):
    given = f"3:{'ab' * 32},0:{'cd' * 32}"
    async with start(signing_keys=given) as running:
        _, headers = await get(running)
    data = DataDir(tmp_path / "other", "a test")
    assert data.keyring(given).verify(headers["location"].partition("pxid=")[2], "shop")[0] == "blog"
    assert data.keyring(None).verify(headers["location"].partition("pxid=")[2], "shop") is None
    data.close()


async def tls(start, tmp_path, **_):
    cert, key = certificate(tmp_path, "localhost")
    async with start(tls_cert=cert, tls_key=key) as running:
        assert running.started.public_url.startswith("https://")
        trust = ssl.create_default_context(cafile=cert)
        port = int(running.started.public_url.rpartition(":")[2])
        reply = await raw(("127.0.0.1", port), plain("/t/shop/c/blog"), ssl=trust, server_hostname="localhost")
        assert b"302 Found" in reply


async def admin_tls(start, tmp_path, **_):
    cert, key = certificate(tmp_path, "localhost")
    async with start(admin_tls_cert=cert, admin_tls_key=key, admin_token="given") as running:
        url = running.started.admin_url
        assert url.startswith("https://127.0.0.1:")
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        trust = ssl.create_default_context(cafile=cert)
        assert b"alive" in await raw(address, plain("/livez"), ssl=trust, server_hostname="localhost")
        knowing = replace(running.settings, admin_token="given", admin_port=address[1], admin_tls_cert=cert, admin_tls_key=key)
        with pytest.raises(Unreachable, match="a certificate that isn't trusted: self.signed.*PIXELD_ADMIN_TLS_CA"):
            await asyncio.to_thread(AdminApi(knowing).get, "clients")
        asked = await asyncio.to_thread(AdminApi(replace(knowing, admin_tls_ca=cert)).get, "clients")
        assert [client["id"] for client in asked["clients"]] == ["shop"]


async def portal(start, **_):
    for on in (True, False):
        async with start(workers=1, portal=on) as running:
            assert (await get(running, "/my-data"))[0] == 200  # visitors have theirs all the same
            assert (await get(running, "/t/shop/my-data"))[0] == 200
            for path in ("/", "/portal/login"):
                assert (await get(running, path))[0] == (200 if on else 404)
            invited = running.started.operator_url or ""
            assert invited.startswith(f"{running.started.public_url}/portal/welcome/operators.") is on


async def fast_path(start, monkeypatch, **_):
    asked, handle = [], tracking.handle

    async def counted(request):
        asked.append(request.path)
        return await handle(request)

    monkeypatch.setattr(tracking, "handle", counted)
    for on, times in ((True, 0), (False, 1)):
        asked.clear()
        async with start(fast_path=on) as running:
            assert (await get(running))[0] == 302
        assert len(asked) == times


async def cookie_name(start, tmp_path, **_):
    with pytest.raises(SettingsError, match="the privacy data map names no cookie 'other'"):
        async with start(cookie_name="other"):
            pass
    shipped = (Path(__file__).parents[2] / "config" / "privacy.toml").read_text(encoding="utf-8")
    (tmp_path / "map.toml").write_text(re.sub(r"(__Secure-|__Host-)?pxref\b", r"\1other", shipped), encoding="utf-8")
    start = partial(start, privacy_file=tmp_path / "map.toml")
    async with start(cookie_name="other") as running:
        assert (await get(running))[1]["set-cookie"].startswith("other=")
    async with start(cookie_name="other", public_url="https://track.example", port=(port := free_port())):
        clicked = await raw(("127.0.0.1", port), plain("/t/shop/c/blog"))
        click_id = re.search(rb"pxid=([\w-]+)\r\n", clicked)[1]
        landed = await raw(("127.0.0.1", port), plain(f"/t/shop/l.gif?click={click_id.decode()}"))
        tail = b"; Max-Age=2592000; Secure; HttpOnly; SameSite=None"
        assert b"\r\nSet-Cookie: __Secure-other=%s; Path=/t/shop/%s\r\n" % (click_id, tail) in clicked
        assert b"\r\nSet-Cookie: __Host-other=%s; Path=/%s; Partitioned\r\n" % (click_id, tail) in landed


async def honour_dnt(start, **_):
    async with start(honour_dnt=True) as running:
        assert b"Set-Cookie" not in await raw(running.public, plain("/t/shop/c/blog", "DNT: 1"))
        assert b"Set-Cookie" in await raw(running.public, plain("/t/shop/c/blog", "DNT: 0"))
        assert b"sends Do Not Track" in await raw(running.public, plain("/my-data", "DNT: 1"))
    async with start() as running:
        assert b"sends Do Not Track" not in await raw(running.public, plain("/my-data", "DNT: 1"))


async def tcf_vendor_id(start, **_):
    async with start(tcf_vendor_id=75) as running:
        for vendors, location in ({75}, True), ({74}, False):
            _, headers = await get(running, f"/t/shop/c/blog?gdpr_consent={tc((1, 7), vendors)}")
            assert ("pxid=" in headers["location"]) is location


async def p3p(start, **_):
    async with start(p3p=False) as running:
        assert "p3p" not in (await get(running))[1]
        assert (await get(running, "/w3c/p3p.xml"))[0] == 404
        assert (await get(running, "/privacy"))[0] == 200
    async with start() as running:
        assert (await get(running, "/w3c/p3p.xml"))[0] == 200


async def privacy_file(start, tmp_path, **_):
    text = (Path(app.__file__).parents[1] / "config" / "privacy.toml").read_text()
    own = tmp_path / "privacy.toml"
    own.write_text(text.replace("The operator of this pixeld server", "Zebra Tracking GmbH"))
    async with start(privacy_file=own) as running:
        assert b"Zebra Tracking GmbH" in await raw(running.public, plain("/privacy"))


FORWARDED = "X-Forwarded-For: 203.0.113.9"


async def trusted_proxies(start, tmp_path, **_):
    db = _country_db(tmp_path)
    for networks, country in (("", "NO"), ("127.0.0.0/8", "SE")):
        async with start(trusted_proxies=networks, country_db=db) as running:
            await raw(running.public, plain("/t/shop/c/blog", FORWARDED))
            assert (await stored(running))[-1]["country"] == country
            await running.redis.flushall()


async def country_header(start, **_):
    async with start(trusted_proxies="127.0.0.1", country_header="CF-IPCountry") as running:
        await raw(running.public, plain("/t/shop/c/blog", "CF-IPCountry: pt"))
        assert (await stored(running))[-1]["country"] == "PT"


async def country_db(start, tmp_path, **_):
    async with start(country_db=_country_db(tmp_path)) as running:
        await raw(running.public, plain("/t/shop/c/blog"))
        assert (await stored(running))[-1]["country"] == "NO"


def _country_db(tmp_path):
    writer = MMDBWriter(4, "Test-Country", languages=["en"])
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "SE"}})
    writer.insert_network(IPSet(["127.0.0.0/8"]), {"country": {"iso_code": "NO"}})
    path = tmp_path / "country.mmdb"
    writer.to_db_file(str(path))
    return path


async def max_url_bytes(start, **_):
    async with start(max_url_bytes=2048) as running:
        assert b" 302 " in await raw(running.public, plain(f"/t/shop/c/blog?s1={'x' * 1900}"))
        assert b" 400 " in await raw(running.public, plain(f"/t/shop/c/blog?s1={'x' * 2100}"))


async def max_header_bytes(start, **_):
    async with start(max_header_bytes=1024) as running:
        assert b" 302 " in await raw(running.public, plain("/t/shop/c/blog", f"X-A: {'x' * 900}"))
        assert b" 400 " in await raw(running.public, plain("/t/shop/c/blog", f"X-A: {'x' * 1100}"))


async def max_headers(start, **_):
    async with start(max_headers=10) as running:
        assert b" 302 " in await raw(running.public, plain("/t/shop/c/blog", *["A: b"] * 7))
        assert b" 400 " in await raw(running.public, plain("/t/shop/c/blog", *["A: b"] * 8))


async def max_request_bytes(start, **_):
    async with start(max_request_bytes=2048) as running:
        assert b" 302 " in await raw(running.public, plain("/t/shop/c/blog", *[f"A: {'x' * 400}"] * 4))
        assert b" 400 " in await raw(running.public, plain("/t/shop/c/blog", *[f"A: {'x' * 400}"] * 5))


async def max_connections(start, **_):
    async with start(max_connections=1) as running:
        assert (await running.browser.get("/t/shop/c/blog"))[0] == 302
        with suppress(ConnectionError):
            assert await raw(running.public, plain("/t/shop/c/blog")) == b""
        await running.browser.close()


async def request_s(start, **_):
    async with start(request_s=0.1) as running:
        assert await raw(running.public, b"GET /t/shop/c/blog HT") == b""  # `raw` returns when the server closes


async def rate(start, **_):
    async with start(rate_per_s=0.001, rate_burst=2) as running:
        said = [(await get(running))[1]["x-pixeld"] for _ in range(3)]
        assert said == ["ok", "ok", "dropped; reason=rate_limited"]
        assert len(await stored(running)) == 2
    async with start(data_dir=running.settings.data_dir.with_name("other")) as running:
        assert [(await get(running))[1]["x-pixeld"] for _ in range(200)] == ["ok"] * 200


async def api_rate(start, redis, **_):
    secret = new_secret()
    async with start(portal=True, vault_keys=secret, api_per_s=0.001, api_burst=2) as running:
        key = await api_key(redis, secret, Scope.client("shop"))
        asked = plain("/api/v1/me", f"Authorization: Bearer {key}")
        said = [await raw(running.public, asked) for _ in range(3)]
        assert [reply.partition(b" ")[2][:3] for reply in said] == [b"200", b"200", b"429"]
        assert b"Retry-After: 1000\r\n" in said[-1]
    async with start(portal=True, vault_keys=secret) as running:
        assert [(await raw(running.public, asked))[9:12] for _ in range(20)] == [b"200"] * 20


async def keepalive_s(start, **_):
    async with start(keepalive_s=0.5) as running:
        request = plain("/t/shop/c/blog").replace(b"Connection: close\r\n", b"")
        assert b"302 Found" in await raw(running.public, request)  # `raw` returns when the server closes


async def buffer_bytes(start, **_):
    async with start(buffer_bytes=1 << 16) as running:
        async with paused(running):
            replies = await raw(running.public, plain(f"/t/shop/c/blog?{BIG}").replace(b"close", b"keep-alive") * 31 + plain("/x"))
        assert b"reason=buffer_full" in replies


async def spill_bytes(start, **_):
    async with start(spill_bytes=1 << 16, redis_timeout_s=0.5) as running:
        async with paused(running):
            reasons = [(await running.browser.get(f"/t/shop/c/blog?{BIG}"))[1]["x-pixeld"] for _ in range(30)]
        await running.browser.close()
        assert reasons[0] == "ok" and reasons[-1] == "dropped; reason=not_durable"


async def redis_timeout_s(start, tmp_path, **_):
    async with start(redis_timeout_s=60.0) as patient, start(redis_timeout_s=0.5, data_dir=tmp_path / "hasty") as hasty:
        async with paused(hasty):
            waiting = asyncio.create_task(get(patient))
            assert (await get(hasty))[1]["x-pixeld"] == "ok"  # by way of the spill
            assert (await hasty.server.operations.health())["spill"].detail["bytes"] > 0
            assert not waiting.done()
        assert (await waiting)[1]["x-pixeld"] == "ok"


async def queue_bytes(start, **_):
    async with start(redis_url=None, queue_bytes=8 << 20) as running:
        embedded = connect(f"unix://{running.settings.data_dir / 'redis' / 'redis.sock'}", 1.0)
        for name in ("maxmemory", "auto-aof-rewrite-min-size"):  # rewritten no sooner than it is as large as the queue may be
            assert await embedded.config_get(name) == {name: str(8 << 20)}
        await embedded.aclose()


async def late_s(start, **_):
    for given, well in ((0.1, False), (3600.0, True)):
        async with start(late_s=given) as running:
            await get(running)
            async with asyncio.timeout(60):
                while (backlog := (await running.server.operations.health())["backlog"]).detail["oldest_unflushed_seconds"] < 0.1:
                    await asyncio.sleep(0.01)
            assert backlog.ok is well


async def flushing(start, monkeypatch, **_):
    """What reaches the flusher; tests/flow/test_flush.py shows what each does there."""
    made = {}

    class Noted(flushing_part.Flusher):
        def __init__(self, *args, **kwargs):
            made.update(kwargs)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(flushing_part, "Flusher", Noted)
    async with start(flush_interval_s=7.0, flush_max_events=123, flush_keep_s=9.0, lease_s=11.0):
        pass
    assert (made["interval_s"], made["max_events"], made["keep_s"], made["lease_s"]) == (7.0, 123, 9.0, 11.0)


async def shutdown_s(start, **_):
    loop = asyncio.get_running_loop()
    async with start(shutdown_s=1.0) as running:
        _, writer = await asyncio.open_connection(*running.public)
        writer.write(b"POST /privacy HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")  # never finished
        await writer.drain()
        begun = loop.time()
    assert loop.time() - begun < 8  # not the 9 s that it would be without
    writer.close()


async def workers(start, **_):
    async with start(workers=1) as running:
        assert (await running.browser.get("/t/shop/c/blog"))[1]["x-pixeld"] == "ok"
        await running.browser.close()
        found = (await running.server.operations.health())["workers"]
        assert found.ok and list(found.detail) == ["worker 0"]
    async with start() as running:
        assert "workers" not in await running.server.operations.health()


async def log_level(tmp_path, valkey, **_):
    root, stop = logging.getLogger(), asyncio.Event()
    before = root.level, root.handlers[:]
    stop.set()
    settings = Settings(
        host="127.0.0.1", port=0, admin_port=0, data_dir=tmp_path, redis_url=valkey, clickhouse_url=NOWHERE, log_level="error"
    )
    try:
        await app.serve(settings, stop=stop)
        assert root.level == logging.ERROR
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]


async def vault_keys(start, **_):
    one, other = f"a:{'ab' * 32}", f"b:{'cd' * 32}"
    async with start(portal=True, vault_keys=one):
        pass
    async with start(portal=True, vault_keys=f"{other},{one}"):
        pass
    with pytest.raises(SettingsError, match="the accounts in Redis lie under other keys"):
        async with start(portal=True, vault_keys=other):
            pass
    async with start(portal=True) as here:  # with keys of its own it still counts, and has no pages for people
        assert [(await get(here, path))[0] for path in ("/t/shop/o.gif", "/portal/login")] == [200, 404]
    with pytest.raises(SettingsError, match="vault_keys cannot be used: key a must be 32 bytes"):
        async with start(portal=True, vault_keys="a:abcd"):
            pass


async def smtp(start, **_):
    taken = asyncio.get_running_loop().create_future()

    class Server:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
            taken.set_result((envelope.mail_from, envelope.rcpt_tos))
            return "250 OK"

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(Server(), loop=loop, hostname="mail.test"), "127.0.0.1", 0)
    url = f"smtp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    with pytest.raises(SettingsError, match="needs a mail_from"):
        Settings(smtp_url=url)
    async with start(portal=True, smtp_url=url, mail_from="Partners <p@track.example>") as running:
        await running.server.parties.outbox.send("clara@shop.example", "reset", "", token="t")
        assert await asyncio.wait_for(taken, 60) == ("p@track.example", ["clara@shop.example"])
    listening.close()
    await listening.wait_closed()


async def audience_k(tmp_path, **_):
    """Twelve visitors are enough for 10, not for 50; of the day that isn't over nobody else would tell."""
    for k, numbers in ((10, b"7"), (0, b"0")):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.web.audience_child", str(tmp_path / str(k)), str(k), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await child.communicate()
        assert (child.returncode, told.strip()) == (0, numbers)
    with pytest.raises(SettingsError, match="audience_k is 9; it must be from 10"):
        Settings(audience_k=9)


async def admin_permissions(start, **_):
    asked = plain("/api/reports/performance?by=country", "Authorization: Bearer given")
    for given, status in (({}, b"400"), ({"admin_permissions": "exact-audience"}, b"503")):  # a report needs ClickHouse
        async with start(admin_token="given", **given) as running:
            address = ("127.0.0.1", int(running.started.admin_url.rpartition(":")[2]))
            assert (await raw(address, asked))[9:12] == status
            noted = [change for change in await running.server.registry.audit(9) if change["what"] == "exact-audience"]
            assert [(change["who"], change["after"]["by"]) for change in noted] == ([("admin", ["country"])] if given else [])
    with pytest.raises(SettingsError, match="there is no permission 'everything'"):
        Settings(admin_permissions="exact-audience, everything")


EFFECTS = {
    name: effect
    for names, effect in {
        ("tls_cert", "tls_key"): tls,
        ("admin_tls_cert", "admin_tls_key", "admin_tls_ca"): admin_tls,
        ("smtp_url", "mail_from"): smtp,
        ("rate_per_s", "rate_burst"): rate,
        ("api_per_s", "api_burst"): api_rate,
        ("flush_interval_s", "flush_max_events", "flush_keep_s", "lease_s"): flushing,
        **{
            (effect.__name__,): effect
            for effect in (
                host, port, admin_host, admin_port, data_dir, redis_url, redis_replicas, clickhouse_url, public_url, admin_token, signing_keys,
                fast_path, cookie_name, honour_dnt, tcf_vendor_id, p3p, privacy_file, trusted_proxies, country_header, country_db, max_url_bytes,
                max_header_bytes, max_headers, max_request_bytes, max_connections, request_s, keepalive_s, buffer_bytes,
                spill_bytes, queue_bytes, redis_timeout_s, late_s, shutdown_s, workers, log_level, portal, vault_keys,
                audience_k, admin_permissions,
            )
        },
    }.items()
    for name in names
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
async def test_a_setting_has_its_effect(name, start, tmp_path, valkey, redis, monkeypatch):
    seen_with_a_sibling = (
        "tls_key", "admin_tls_key", "admin_tls_ca", "rate_burst", "api_burst", "flush_max_events", "flush_keep_s", "lease_s",
        "mail_from",
    )  # fmt: skip
    if name in seen_with_a_sibling:
        assert name in EFFECTS  # seen together with its sibling
        return
    await EFFECTS[name](start=start, tmp_path=tmp_path, valkey=valkey, redis=redis, monkeypatch=monkeypatch)


def test_chunk_ids_of_a_start_come_after_those_of_the_one_before(tmp_path):
    data = DataDir(tmp_path, "a test")
    first = data.next_epoch(1000)
    assert ChunkId(first, 10**9) < ChunkId(data.next_epoch(5), 0)
    data.close()


@pytest.mark.parametrize(("back_s", "told"), [(0, False), (59, False), (3600, True)], ids=["stands", "back a little", "back an hour"])
async def test_a_clock_that_is_behind_where_it_was_is_told(back_s, told, tmp_path, valkey, redis, caplog):
    settings, at = Settings(host="127.0.0.1", port=0, admin_port=0, data_dir=tmp_path, redis_url=valkey, clickhouse_url=NOWHERE), now_ms()
    for now in (at, at - back_s * 1000):
        async with app.running(settings, clock=lambda now=now: now):
            pass
    said = [record.behind_s for record in caplog.records if "the clock is behind" in record.message]
    assert said == ([pytest.approx(3600, abs=1)] if told else [])


async def test_a_server_that_has_stopped_leaves_its_process_to_the_collector(start):
    async with start():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        pytest.param({"admin_host": "127.0.0.2"}, False, id="this machine only"),
        pytest.param({"admin_host": "0.0.0.0"}, True, id="a network"),
        pytest.param({"admin_host": "0.0.0.0", "tls": True}, False, id="a network, with TLS"),
    ],
)
async def test_an_admin_token_that_would_cross_a_network_in_the_clear_is_warned_of(given, warned, start, tmp_path, caplog):
    if given.pop("tls", False):
        given["admin_tls_cert"], given["admin_tls_key"] = certificate(tmp_path, "localhost")
    async with start(**given):
        assert ("the admin listener is open to a network and has no TLS" in caplog.text) is warned
