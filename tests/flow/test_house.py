"""`pixeld serve` with a room in its house, in one process and with workers: a visitor sees no difference."""

import http.client
import json
import os
import signal
from asyncio import create_task, gather, to_thread
from contextlib import closing
from pathlib import Path

import pytest

from tests.flow.furnished import LARGE
from tests.process import Process, pixeld
from tests.services import free_port

pytestmark = pytest.mark.slow
FURNISHED = Path(__file__).with_name("furnished.py")
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
NAMED = {"X-Forwarded-For": "203.0.113.9", "X-Pixeld-Address": "198.51.100.1"}


@pytest.fixture
def furnished(monkeypatch):
    monkeypatch.setattr(Process, "program", ("-X", "dev", str(FURNISHED)))


async def ask(server, method, path, body=None, **headers):
    """(reply, its body) over a connection of its own, so that every worker gets some."""

    def asked():
        with closing(http.client.HTTPConnection(*server.address, timeout=120)) as connection:
            connection.request(method, path, body, headers)
            with connection.getresponse() as reply:
                return reply, reply.read()

    return await to_thread(asked)


@pytest.mark.parametrize("number", [0, 2], ids=["one process", "two workers"])
async def test_a_room_is_reached_whoever_answers(number, tmp_path, furnished):
    port = free_port()  # the proxy that has the certificate stands where pixeld does
    settings = {"portal": True, "trusted_proxies": "127.0.0.1", "port": port, "public_url": f"https://127.0.0.1:{port}"}
    async with pixeld(tmp_path / "data", workers=number, **settings) as server:
        for n in range(8):
            reply, body = await ask(server, "POST", f"/room/told?n={n}%20", "a=b", **NAMED)
            told = {"pid": server.child.pid, "address": "203.0.113.9", "body": "a=b", "target": f"/room/told?n={n}%20"}
            assert (reply.status, json.loads(body)) == (200, told)
            assert reply.headers["Referrer-Policy"] == "same-origin"
            assert reply.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
            assert "Server" not in reply.headers

            reply, _ = await ask(server, "POST", "/room/away", "")
            assert (reply.status, reply.headers["Location"]) == (303, "/room/told")
            assert reply.headers.get_all("Set-Cookie") == ["__Host-pixeld=1; Path=/; Secure", "other=2; Path=/"]

            reply, body = await ask(server, "GET", "/room/large")
            assert (reply.status, body) == (200, LARGE)
            reply, body = await ask(server, "HEAD", "/room/large")
            assert (reply.status, reply.headers["Content-Length"], body) == (200, str(len(LARGE)), b"")
            assert (await ask(server, "POST", "/room/told", "x" * 65_537))[0].status == 413
            assert (await ask(server, "GET", "/nothing"))[0].status == 404
            assert (await ask(server, "GET", "/privacy"))[0].status == 200

            reply, _ = await ask(server, "GET", "/t/shop/o.gif?order=1&amount=1")
            assert reply.headers["X-Pixeld"] == "ok" and "Strict-Transport-Security" not in reply.headers


async def test_while_the_office_stands_still_visitors_of_the_house_wait_and_tracking_goes_on(tmp_path, furnished):
    async with pixeld(tmp_path / "data", workers=2, portal=True) as server:
        place = tmp_path / "data" / "house.sock"
        assert place.stat().st_mode & 0o777 == 0o600
        os.kill(server.child.pid, signal.SIGSTOP)
        try:
            waiting = [create_task(ask(server, "GET", "/room/told")) for _ in range(4)]
            orders = [ask(server, "GET", f"/t/shop/o.gif?order={n}&amount=1") for n in range(4)]
            assert {reply.headers["X-Pixeld"] for reply, _ in await gather(*orders)} == {"ok"}
            assert not any(task.done() for task in waiting)
        finally:
            os.kill(server.child.pid, signal.SIGCONT)
        assert {reply.status for reply, _ in await gather(*waiting)} == {200}


@pytest.mark.parametrize("number", [0, 2], ids=["one process", "two workers"])
async def test_without_the_portal_visitors_still_have_their_pages(number, tmp_path):
    async with pixeld(tmp_path / "data", workers=number, portal=False) as server:
        cookie = None
        for _ in range(4):
            assert (await ask(server, "GET", "/portal/login"))[0].status == 404
            reply, _ = await ask(server, "GET", "/t/shop/c/blog", **({"Cookie": cookie} if cookie else {}))
            cookie = reply.headers["Set-Cookie"].partition(";")[0]
            for path in ("/my-data", "/opt-out", "/t/shop/opt-out"):
                assert (await ask(server, "GET", path))[0].status == 200
            reply, body = await ask(server, "GET", "/t/shop/my-data", Cookie=cookie)
            assert reply.status == 200 and b"you followed a link of" in body
            reply, _ = await ask(server, "POST", "/t/shop/my-data", "do=delete", **FORM)
            assert (reply.status, len(reply.headers.get_all("Set-Cookie"))) == (303, 2)
            assert (await ask(server, "POST", "/opt-out", "do=opt-out", **FORM | {"Sec-Fetch-Site": "cross-site"}))[0].status == 403


async def test_a_data_directory_whose_path_is_too_long_for_a_socket(tmp_path, furnished):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    async with pixeld(deep / "data", workers=1, portal=True) as server:
        assert json.loads((await ask(server, "GET", "/room/told"))[1])["pid"] == server.child.pid
