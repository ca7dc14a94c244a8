"""An office and two workers, as processes: what a visitor and an operator see is what they see of one process."""

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from pixeld import app
from pixeld.errors import SettingsError
from pixeld.settings import Settings
from pixeld.storage.embedded_redis import EmbeddedRedis
from tests.certificates import certificate
from tests.flow.test_kill import CONNECTIONS, Ledger, balance, half_way
from tests.process import TOKEN, pixeld
from tests.services import clickhouse_server, redis_server

pytestmark = pytest.mark.slow
EVENTS = 4_000


async def workers(server):
    """Process ids, by number."""
    found = (await server.api("GET", "/readyz"))[1]["workers"]
    return [found[name]["pid"] for name in sorted(found) if name.startswith("worker ")]


def runs(pid):
    """Whether it does; one whose parent is gone may wait for somebody to take note of its end (Z)."""
    with suppress(FileNotFoundError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def ended(pids):
    return not any(map(runs, pids))


async def until(true):
    async with asyncio.timeout(120):
        while not await true():
            await asyncio.sleep(0.02)


async def nobody_listens(address):
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def load(server, name, answered):
    """Orders, one after the other on one connection, until it breaks; `answered` takes the number of each."""
    browser, n = server.browser(), 0
    with suppress(OSError):
        while True:
            _, headers = await browser.get(f"/t/shop/o.gif?order={name}-{n}&amount=1")
            if headers["x-pixeld"] == "ok":
                answered.append(f"{name}-{n}")
            n += 1


async def stored_once(server, answered):
    await server.ready()
    assert (await server.api("POST", "/api/flush"))[0] == 200
    ids = [row["order_id"] for row in await server.sql("SELECT order_id FROM order_events")]
    assert set(answered) <= set(ids) and len(ids) == len(set(ids))


async def killed_under_load(server, exactly_once):
    """Many visitors, and half-way a worker dies. The visitors that it served come again to whoever answers."""
    server.back, server.half_way, server.events = asyncio.Event(), asyncio.Event(), EVENTS
    server.back.set()
    ledger, (first, second) = Ledger(), await workers(server)
    visits = [asyncio.create_task(ledger.visit(server, n, EVENTS // CONNECTIONS)) for n in range(CONNECTIONS)]
    await half_way(server, visits)
    os.kill(first, signal.SIGKILL)
    await asyncio.gather(*visits)
    await server.ready()
    restarted, other = await workers(server)
    assert restarted != first and other == second
    assert b"pixeld_worker_restarts_total 1.0" in await server.metrics()
    assert 0 < sum(ledger.unanswered.values()) <= 2 * CONNECTIONS
    assert (await server.api("POST", "/api/flush"))[0] == 200
    await balance(server, ledger, exactly_once)


async def test_a_killed_worker_is_started_again_and_every_answered_event_counts_once(tmp_path):
    async with pixeld(tmp_path / "data", workers=2) as server:
        await server.ready()
        await killed_under_load(server, exactly_once=True)


@pytest.mark.services
async def test_the_same_on_redis_and_clickhouse_servers(tmp_path):
    (tmp_path / "clickhouse").mkdir()
    with redis_server(tmp_path / "redis") as redis_url, clickhouse_server(tmp_path / "clickhouse") as clickhouse:
        async with pixeld(tmp_path / "data", workers=2, redis_url=redis_url, clickhouse_url=clickhouse.url()) as server:
            await server.ready()
            await killed_under_load(server, exactly_once=False)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_workers_end_with_their_office_and_nothing_is_lost(tmp_path, how):
    async with pixeld(tmp_path / "data", workers=2) as server:
        await server.ready()
        pids, answered = await workers(server), []
        visits = [asyncio.create_task(load(server, name, answered)) for name in range(20)]
        while len(answered) < 300:
            await asyncio.sleep(0.01)
        server.child.send_signal(how)
        assert await server.gone() == (0 if how == signal.SIGTERM else -how)
        if how == signal.SIGTERM:
            assert not any(map(runs, pids))
        await asyncio.gather(*visits)
        await until(lambda: nobody_listens(server.address))
        await server.start()  # also while those of the killed one are still about to end
        await stored_once(server, answered)
        await until(lambda: ended(pids))


async def test_two_workers_are_counted_and_shown_as_one_server(tmp_path):
    async with pixeld(tmp_path / "data", workers=2) as server:
        await server.ready()
        reader, writer = await asyncio.open_connection(*server.admin.removeprefix("http://").split(":"))
        writer.write(f"GET /api/tail HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for n in range(30):  # one visitor, on so many connections that both workers get some
            visitor = server.browser()
            assert (await visitor.get(f"/t/shop/c/blog?s1={n}"))[1]["x-pixeld"] == "ok"
            await visitor.get(f"/t/shop/o.gif?order={n}&amount=1")
            await visitor.get("/t/shop/o.gif?order=none&amount=bad")
        tailed = b""
        async with asyncio.timeout(60):
            while tailed.count(b'"kind":"click"') < 30:
                tailed += await reader.read(65536)
        assert {int(n) for n in re.findall(rb'"s1":"(\d+)"', tailed)} == set(range(30))
        writer.close()

        assert (await server.api("POST", "/api/flush"))[0] == 200
        await until(lambda: _counted(server))  # a worker that is late is shown as it was last seen
        nodes = await server.sql("SELECT uniqExact(substring(event_id, 1, 12)) AS n FROM clicks")
        assert nodes == [{"n": 2}], "one worker took them all"
        _, report = await server.api("GET", "/api/reports/performance?by=client")
        assert (report["rows"][0]["clicks"], report["rows"][0]["unique_clicks"]) == (30, 1)

        before = await workers(server)
        os.kill(before[1], signal.SIGTERM)  # a worker by itself stops in order, and is started again
        await until(lambda: _another(server, before[1]))
        await server.ready()
        assert b'{kind="click",outcome="human"} 30.0' in await server.metrics()
        for _ in range(10):
            await server.browser().get("/t/shop/c/blog")
        await server.api("POST", "/api/flush")
        _, report = await server.api("GET", "/api/reports/performance?by=client")
        assert (report["rows"][0]["clicks"], report["rows"][0]["unique_clicks"]) == (40, 1)


async def _counted(server):
    metrics = (await server.metrics()).decode()
    lines = (
        'pixeld_answers_total{kind="click",outcome="human"} 30.0',
        'pixeld_answers_total{kind="order",outcome="human"} 30.0',
        'pixeld_answers_total{kind="order",outcome="bad_amount"} 30.0',
        "pixeld_stored_events_total 60.0",
        "pixeld_flushed_events_total 60.0",
        "pixeld_connections 30.0",
        "pixeld_waiting_events 0.0",
        "pixeld_workers 2.0",
        "pixeld_others_waiting_events 0.0",
    )
    return all(f"\n{line}\n" in metrics for line in lines)


async def _another(server, pid):
    return pid not in await workers(server) and b"pixeld_workers 2.0" in await server.metrics()


async def test_a_worker_that_does_not_answer_or_cannot_start_makes_the_server_unready_and_is_named(tmp_path):
    async with pixeld(tmp_path / "data", workers=2, shutdown_s=10) as server:
        await server.ready()
        _, hangs = await workers(server)
        os.kill(hangs, signal.SIGSTOP)
        silent = {"ok": False, "pid": hangs, "reason": "it has not answered within 1 s"}
        await until(lambda: _shown(server, silent))
        os.kill(hangs, signal.SIGCONT)
        await server.ready()

        name = tmp_path / "data" / "workers" / "1" / "node"
        kept = name.read_text()
        name.write_text("no name")
        os.kill(hangs, signal.SIGKILL)
        await until(lambda: _said(server, "does not hold a node's name"))
        assert (await server.browser().get("/t/shop/c/blog"))[1]["x-pixeld"] == "ok"  # the other one's
        name.write_text(kept)
        await server.ready()

        _, hangs = await workers(server)
        os.kill(hangs, signal.SIGSTOP)
        assert await server.stop() == 0  # one that doesn't stop either is killed
        assert not runs(hangs)


async def test_a_worker_that_hangs_is_killed_and_replaced_and_nothing_answered_is_lost(tmp_path):
    async with pixeld(tmp_path / "data", workers=2) as server:
        await server.ready()
        (other, hangs), answered = await workers(server), []
        visits = [asyncio.create_task(load(server, name, answered)) for name in range(20)]
        while len(answered) < 300:
            await asyncio.sleep(0.01)
        os.kill(hangs, signal.SIGSTOP)
        await until(lambda: _another(server, hangs))
        assert not runs(hangs) and (await workers(server))[0] == other
        metrics = await server.metrics()
        assert b"pixeld_worker_kills_total 1.0" in metrics and b"pixeld_worker_restarts_total 1.0" in metrics
        for n in range(20):  # as many connections: the new one has its share of them
            assert (await server.browser().get(f"/t/shop/o.gif?order=after-{n}&amount=1"))[1]["x-pixeld"] == "ok"
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await stored_once(server, [*answered, *(f"after-{n}" for n in range(20))])
        nodes = await server.sql("SELECT uniqExact(substring(event_id, 1, 12)) AS n FROM order_events WHERE order_id LIKE 'after-%'")
        assert nodes == [{"n": 2}], "one worker took them all"


async def _shown(server, state):
    """Whether the second worker is shown so, and the first, which may be late on a busy machine, as well."""
    status, health = await server.api("GET", "/readyz")
    return status == 503 and health["workers"]["worker 0"]["ok"] and health["workers"]["worker 1"] == state


async def _said(server, words):
    status, health = await server.api("GET", "/readyz")
    return status == 503 and words in health["workers"]["worker 1"].get("reason", "")


async def test_what_waits_on_the_disk_of_a_worker_is_flushed_from_there_with_fewer_workers_or_none_too(tmp_path):
    async def order(server, *numbers):
        for n in numbers:
            assert (await server.browser().get(f"/t/shop/o.gif?order={n}&amount=1"))[1]["x-pixeld"] == "ok"

    redis = EmbeddedRedis(tmp_path / "redis")
    await redis.start()
    async with AsyncExitStack() as stack, pixeld(tmp_path / "data", redis_url=redis.url, workers=2) as server:
        stack.push_async_callback(redis.stop)
        await redis.stop()
        await order(server, *range(20))
        await redis.start()
        await until(lambda: _flushed(server))
        ids = {row["order_id"] for row in await server.sql("SELECT order_id FROM order_events")}
        assert ids == {str(n) for n in range(20)}

        await redis.stop()
        await order(server, *range(20, 50))
        assert await server.stop() == 0
        assert all(any((tmp_path / "data" / "workers" / n / "spill").iterdir()) for n in "01")
        await redis.start()
        server.env["PIXELD_WORKERS"] = "0"
        await server.start()
        await stored_once(server, [str(n) for n in range(50)])
        assert (await server.api("GET", "/readyz"))[1]["spill"]["empty"]


async def _flushed(server):
    return (await server.api("POST", "/api/flush"))[0] == 200


async def test_tls(tmp_path):
    cert, key = certificate(tmp_path, "localhost")
    async with pixeld(tmp_path / "data", workers=1, tls_cert=cert, tls_key=key) as server:
        trusting = ssl.create_default_context(cafile=cert)
        reader, writer = await asyncio.open_connection(*server.address, ssl=trusting, server_hostname="localhost")
        writer.write(b"GET /t/shop/o.gif?order=1&amount=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"X-Pixeld: ok" in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_what_cannot_be_is_told_in_a_sentence(tmp_path):
    async with pixeld(tmp_path / "data", workers=1) as first:
        for name, settings, said in (
            ("a port that another server shares among its own", {"PIXELD_PORT": str(first.address[1])}, "cannot listen on"),
            ("what a worker finds", {"PIXELD_TLS_CERT": "/dev/null", "PIXELD_TLS_KEY": "/dev/null"}, "cannot be used"),
        ):
            env = first.env | {"PIXELD_DATA_DIR": str(tmp_path / "other"), "PIXELD_REDIS_URL": "redis://127.0.0.1:1"} | settings
            line = [sys.executable, "-m", "pixeld", "serve", "--json"]
            done = await asyncio.to_thread(subprocess.run, line, env=env, capture_output=True, text=True, timeout=120)
            assert done.returncode == 2 and "Traceback" not in done.stderr, name
            assert said in json.loads(done.stderr.splitlines()[-1])["detail"], name


async def test_the_demo_is_one_process(tmp_path):
    with pytest.raises(SettingsError, match="demo"):
        async with app.running(Settings(data_dir=tmp_path, workers=1), with_demo=True):
            pass
