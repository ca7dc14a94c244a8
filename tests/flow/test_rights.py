"""Erasure, export and audit on a whole server: what was deleted is in no file any more, and what wasn't is all there."""

import asyncio
import json
import os
import re
import signal
import sys
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest

from pixeld.domain.events import TRAITS
from tests.flow.files import contents
from tests.process import Process, pixeld

pytestmark = pytest.mark.slow
LABEL = "label-of-the-subject-7741"


def holding(directory, text):
    """The files in which a text stands as it is, or compressed by an engine that keeps short texts as they are."""
    needle = text.encode()
    return {path.relative_to(directory).parts[0] for path, data in contents(directory) if needle in data}


async def gone(directory, *texts):
    """Wait until no file holds any of them: Redis unlinks its old file in a thread of its own."""
    async with asyncio.timeout(60):
        while found := set().union(*(holding(directory, text) for text in texts)):
            assert found == {"redis"}, found
            await asyncio.sleep(0.02)


async def visit(server, order, partner="blog", label=LABEL):
    """A visitor who clicks and buys; his click id."""
    browser = server.browser()
    status, headers = await browser.get(f"/t/shop/c/{partner}?s1={label}")
    assert status == 302
    assert (await browser.get(f"/t/shop/i/{partner}.gif?s2={label}"))[0] == 200
    assert (await browser.get(f"/t/shop/o.gif?order={order}&amount=10.00"))[1]["x-pixeld"] == "ok"
    return parse_qs(urlsplit(headers["location"]).query)["pxid"][0]


async def erase(server, **subject):
    return await server.api("POST", "/api/privacy/erase", subject)


async def orders(server):
    status, page = await server.api("GET", "/api/reports/orders")
    assert status == 200
    return {row["order"]: (row["partner"], row["click_id"], row["clicked_at"] is None) for row in page["rows"]}


async def notes(server):
    _, found = await server.api("GET", "/api/audit")
    return [change for change in found["changes"] if change["what"].startswith("privacy/")]


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "workers"])
async def test_an_erased_click_is_in_no_file(tmp_path, workers):
    data = tmp_path / "data"
    async with pixeld(data, flush_keep_s=3600, workers=workers) as server:
        await server.ready()
        click, other = await visit(server, "O-1"), await visit(server, "O-2", label="another")
        await server.api("POST", "/api/flush")
        assert holding(data, click) == {"redis", "clickhouse"}
        status, proof = await erase(server, click_id=click)
        assert status == 200, proof
        assert proof["erased"] == {"clickhouse:clicks": 1, "clickhouse:order_events": 1} and proof["verified"]
        assert (proof["old_parts"], proof["redis_files"], proof["other_servers"]) == (0, "rewritten", 0)
        await gone(data, click)
        assert await orders(server) == {"O-1": ("blog", None, True), "O-2": ("blog", other, False)}
        assert await server.sql("SELECT click_id, s1 FROM clicks") == [{"click_id": other, "s1": "another"}]
        assert await server.sql("SELECT count() AS n FROM system.parts WHERE NOT active AND table IN ('clicks', 'order_events')") == [{"n": 0}]
        (erased, erasing) = await notes(server)
        assert erased["who"] == "admin" and erasing["what"] == "privacy/erasing"
        assert erased["after"]["subject"] == sha256(click.encode()).hexdigest() and click not in json.dumps([erased, erasing])
        status, again = await erase(server, click_id=click)
        assert status == 200 and again["erased"] == {} and again["verified"]
        _, found = await server.api("GET", "/api/privacy/audit")
        assert [place for place in found["places"] if place["problem"]] == [] and found["problems"] == 0
        assert [note["what"] for note in await notes(server)] == ["privacy/erased", "privacy/erased", "privacy/erasing"]
    assert holding(data, click) == set() and click not in server.log.read_text()


async def test_what_comes_meanwhile_is_counted_once(tmp_path):
    """Streams are written anew while others are written to: no event is lost, none twice."""
    async with pixeld(tmp_path / "data", flush_keep_s=3600) as server:
        await server.ready()
        click = await visit(server, "O-0")
        sent, over = 0, asyncio.Event()

        async def load():
            nonlocal sent
            browser = server.browser()
            while not over.is_set():
                sent += 1
                assert (await browser.get(f"/t/shop/o.gif?order=L-{sent}&amount=1.00"))[1]["x-pixeld"] == "ok"

        loads = asyncio.create_task(load())
        for n in range(3):
            assert (await erase(server, click_id=click))[0] == 200
            click = await visit(server, f"O-{n + 1}")
        over.set()
        await loads
        await server.api("POST", "/api/flush")
        (row,) = await server.sql("SELECT count() AS n, uniqExact(order_id) AS u FROM order_events WHERE startsWith(order_id, 'L-')")
        assert row == {"n": sent, "u": sent} and sent > 0


async def test_an_erased_order_is_gone_and_its_click_is_not(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data, flush_keep_s=3600) as server:
        await server.ready()
        await visit(server, "order-to-erase-5512"), await visit(server, "order-to-keep")
        browser = server.browser()
        await browser.get("/t/shop/o.gif?order=order-to-erase-5512&amount=10.00&test=1")
        await server.api("POST", "/api/flush")
        decision = {"order": "order-to-erase-5512", "status": "approved", "seen": "pending"}
        assert (await server.api("POST", "/api/clients/shop/decisions", decision))[0] == 200
        status, proof = await erase(server, order="shop/order-to-erase-5512")
        assert status == 200 and proof["erased"] == {
            "redis:pixeld:{orders}:decision:*": 1,
            "clickhouse:order_decisions": 1,
            "clickhouse:order_events": 1,
            "clickhouse:test_order_events": 1,
        }, proof
        await gone(data, "order-to-erase-5512")
        assert set(await orders(server)) == {"order-to-keep"}
        assert (await server.sql("SELECT count() AS n FROM clicks"))[0]["n"] == 2
        assert (await erase(server, order="shop/order-to-erase-5512"))[1]["erased"] == {}


async def test_an_erased_partner_keeps_what_it_earned_under_its_bare_id(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data, flush_keep_s=3600) as server:
        await server.ready()
        assert (await server.api("PATCH", "/api/partners/blog", {"name": "Wilhelmina Quux"}))[0] == 200
        click, other = await visit(server, "O-1"), await visit(server, "O-2", "deals", "label-of-another")
        status, proof = await erase(server, partner="blog")
        assert status == 200 and proof["erased"] == {
            "redis:pixeld:{registry}:partners": 1,
            "redis:pixeld:{registry}:members": 1,
            "clickhouse:clicks": 1,
            "clickhouse:impressions": 1,
        }, proof
        await gone(data, LABEL, "Wilhelmina")
        assert await orders(server) == {"O-1": ("blog", click, False), "O-2": ("deals", other, False)}
        rows = await server.sql("SELECT partner, s1, click_id FROM clicks ORDER BY partner")
        assert rows == [{"partner": "blog", "s1": "", "click_id": ""}, {"partner": "deals", "s1": "label-of-another", "click_id": other}]
        assert (await server.api("GET", "/api/partners/blog"))[1]["name"] == "blog"
        assert (await erase(server, partner="blog"))[1]["erased"] == {}
        assert (await erase(server, partner="nobody"))[0] == 404


async def test_what_is_spilled_is_found_and_what_cant_be_reached_is_said(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data, flush_keep_s=3600, redis_timeout_s=2) as server:
        await server.ready()
        valkey = int((data / "redis" / "redis.pid").read_text())
        os.kill(valkey, signal.SIGSTOP)
        try:
            click = await visit(server, "O-1")
            assert "spill" in holding(data, click)
            status, problem = await erase(server, click_id=click)
            assert status == 503 and "Redis" in problem["detail"], problem
        finally:
            os.kill(valkey, signal.SIGCONT)
        await server.ready()
        assert await notes(server) == []
        assert (await erase(server, click_id=click))[1]["erased"] == {"clickhouse:clicks": 1, "clickhouse:order_events": 1}
        await gone(data, click)


async def test_without_clickhouse_nothing_is_deleted_and_it_is_said(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data, clickhouse_url="clickhouse://127.0.0.1:1/pixeld", portal=False) as server:
        click = await visit(server, "O-1")
        for path in ("erase", "export"):
            status, problem = await server.api("POST", f"/api/privacy/{path}", {"click_id": click})
            assert status == 503 and "ClickHouse" in problem["detail"], problem
        assert (await server.api("GET", "/api/privacy/audit"))[0] == 503
        assert await notes(server) == [] and "redis" in holding(data, click)


async def test_an_erasure_that_was_killed_is_ended_by_the_next(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data, flush_keep_s=3600) as server:
        await server.ready()
        click = await visit(server, "O-1")
        asked = asyncio.create_task(erase(server, click_id=click))
        async with asyncio.timeout(60):
            while not any(note["what"] == "privacy/erasing" for note in await notes(server)):
                await asyncio.sleep(0.005)
        server.kill()
        await server.gone()
        await asyncio.gather(asked, return_exceptions=True)
        again = await Process(data, flush_keep_s=3600).start()
        try:
            await again.ready()
            assert (await erase(again, click_id=click))[0] == 200
            await gone(data, click)
            assert await orders(again) == {"O-1": ("blog", None, True)}
        finally:
            await again.stop()


async def command(server, *args):
    """(exit code, output, errors) of `pixeld` asking this server."""
    asked = (*args, "--url", server.admin, "--data-dir", str(server.data_dir))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pixeld", *asked, env=server.env, cwd=server.data_dir.parent,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await child.communicate()
    return child.returncode, out.decode(), errors.decode()


async def test_the_command_line_exports_erases_and_audits(tmp_path):
    data = tmp_path / "data"
    async with pixeld(data) as server:
        await server.ready()
        click = await visit(server, "O-1")
        code, out, _ = await command(server, "privacy", "export", "--click-id", click)
        held = json.loads(out)
        assert code == 0 and held["click_id"] == click
        assert {item["place"] for item in held["held"]} == {"clickhouse:clicks", "clickhouse:order_events"}
        assert next(item["record"]["s1"] for item in held["held"] if item["place"] == "clickhouse:clicks") == LABEL
        code, out, _ = await command(server, "privacy", "export", "--partner", "blog")
        places = [item["place"] for item in json.loads(out)["held"]]
        assert code == 0 and sorted(set(places)) == [
            "clickhouse:clicks", "clickhouse:impressions", "clickhouse:order_events",
            "redis:pixeld:{registry}:members", "redis:pixeld:{registry}:partners",
        ]  # fmt: skip
        assert not TRAITS & {name for item in json.loads(out)["held"] for name in item["record"]}, "of its visitors, not of it"
        exported = [note["after"] for note in await notes(server) if note["what"] == "privacy/exported"]
        assert [note["subject"] for note in exported] == [sha256(text.encode()).hexdigest() for text in ("blog", click)]
        code, out, errors = await command(server, "privacy", "audit")
        assert code == 0, out + errors
        assert re.search(r"clickhouse:clicks +1 +\S+ \S+ +395", out), out
        code, out, _ = await command(server, "privacy", "erase", "--click-id", click)
        assert code == 0 and "clickhouse:clicks" in out and "audit log" in out
        code, out, _ = await command(server, "privacy", "erase", "--click-id", click)
        assert code == 0 and "nothing" in out
        assert (await erase(server, visitor="1"))[0] == 400
        code, _, errors = await command(server, "privacy", "erase")
        assert code == 2 and "--click-id" in errors
        (data / "left-by-somebody").write_text("x")
        code, out, errors = await command(server, "privacy", "audit")
        assert code == 1 and "unmapped" in errors and re.search(r"file:left-by-somebody .*unmapped", out)
