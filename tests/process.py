"""A pixeld of its own process, to be asked, stopped and killed as an operator's would be."""

import asyncio
import json
import os
import re
import signal
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, suppress
from pathlib import Path

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
TOKEN = "a-token-for-tests"
START_S, STOP_S, ANSWER_S = 180, 90, 120  # a busy machine takes ten times longer than a quiet one


class Process:
    """`pixeld serve` (or `demo`) over `data_dir`; started again it finds what it left."""

    program = ("-X", "dev", "-m", "pixeld")

    def __init__(self, data_dir: Path, command: str = "serve", **settings):
        self.data_dir, self.command = data_dir, command
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PIXELD_")}
        self.env["PYTHONDEVMODE"] = "1"  # of its workers too
        given = {"host": "127.0.0.1", "port": 0, "admin_port": 0, "data_dir": data_dir, "admin_token": TOKEN}
        settings = given | {"admin_permissions": "single-events"} | settings  # what is stored is looked at one by one
        self.env |= {f"PIXELD_{name.upper()}": str(value) for name, value in settings.items()}
        ca = settings.get("admin_tls_ca")
        self.trust = ssl.create_default_context(cafile=ca) if ca else None  # who the admin listener must be
        self.child, self.browsers = None, []
        self.log = data_dir.parent / f"{data_dir.name}.log"

    async def start(self):
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, *self.program, self.command, "--json",
                stdout=asyncio.subprocess.PIPE, stderr=log, env=self.env, cwd=self.data_dir.parent,
            )  # fmt: skip
        async with asyncio.timeout(START_S):
            line = await self.child.stdout.readline()
        assert line, f"pixeld did not start: {self.log.read_text()[-2000:]}"
        self.started = json.loads(line)
        self.url, self.admin = self.started["public_url"], self.started["admin_url"]
        host, _, port = self.url.rpartition("/")[2].partition(":")
        self.address = host, int(port)
        return self

    @property
    def port(self):
        """Where it really listens; its public address may say another port, which its visitors are told to look for here."""
        return int(re.search(r":(\d+)$", (self.data_dir / "lock").read_text())[1])

    def browser(self, cookie=None):
        """A visitor's browser; it is closed when the process is left."""
        self.browsers.append(Browser(self.address, cookie))
        return self.browsers[-1]

    def kill(self):
        """As a power cut would, for this process."""
        self.child.send_signal(signal.SIGKILL)

    async def gone(self):
        async with asyncio.timeout(STOP_S):
            return await self.child.wait()

    async def stop(self):
        """As an operator would; the exit code."""
        if self.child is None:
            return None
        with suppress(ProcessLookupError):
            self.child.terminate()
        return await self.gone()

    async def api(self, method, path, body=None):
        """(status, JSON) of an admin request."""
        return await asyncio.to_thread(self._api, method, path, body)

    def _api(self, method, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin + path, data, {"Authorization": f"Bearer {TOKEN}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S, context=self.trust) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def text(self, path):
        """What an admin address without a token answers."""
        with urllib.request.urlopen(self.admin + path, timeout=ANSWER_S, context=self.trust) as response:
            return response.read().decode()

    async def register(self, client="shop", partners=("blog", "deals"), **fields):
        shop = {"id": client, "name": client, "landing_url": f"https://{client}.example/", "currency": "EUR"} | fields
        assert (await self.api("POST", "/api/clients", shop))[0] == 201
        for partner in partners:
            assert (await self.api("POST", "/api/partners", {"id": partner, "name": partner}))[0] in (201, 409)
            path = f"/api/clients/{client}/partners/{partner}"
            assert (await self.api("PUT", path, {"status": "approved"}))[0] == 200

    async def ready(self):
        """Wait until every dependency does its part."""
        async with asyncio.timeout(START_S):
            while True:
                status, health = await self.api("GET", "/readyz")
                if status == 200:
                    return health
                await asyncio.sleep(0.05)

    async def metrics(self):
        """The text of /metrics."""

        def ask():
            with urllib.request.urlopen(self.admin + "/metrics", timeout=ANSWER_S, context=self.trust) as response:
                return response.read()

        return await asyncio.to_thread(ask)

    async def sql(self, statement):
        status, answer = await self.api("POST", "/api/sql", {"sql": statement})
        return rows(status, answer)


def rows(status, answer):
    """Those in a reply of /api/sql, which must be one."""
    assert status == 200, answer
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


class Browser:
    """One keep-alive connection that sends requests as Chrome does, and keeps the referral cookie."""

    def __init__(self, address, cookie=None, agent=CHROME):
        self.address, self.cookie, self.agent = address, cookie, agent
        self.reader = self.writer = None

    async def get(self, target):
        """(status, headers) of a GET. ConnectionError when no whole reply came."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        cookie = f"Cookie: {self.cookie}\r\n" if self.cookie else ""
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: t.example\r\nUser-Agent: {self.agent}\r\n{cookie}\r\n".encode())
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            await self.reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("no whole reply") from error
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return int(head[0].split()[1]), headers

    async def close(self):
        if self.writer is not None:
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()


@asynccontextmanager
async def pixeld(data_dir, command="serve", **settings):
    """A started pixeld, registered with one shop and two partners unless it is the demo; stopped at the end."""
    process = await Process(data_dir, command, **settings).start()
    try:
        if command == "serve":
            await process.register()
        yield process
    finally:
        for browser in process.browsers:
            await browser.close()
        await process.stop()
        await _end_embedded(data_dir)


async def _end_embedded(data_dir):
    """A killed pixeld leaves its embedded Valkey for its next start, which may not come."""
    from pixeld.storage.embedded_redis import EmbeddedRedis

    server = EmbeddedRedis(data_dir / "redis")
    if server._socket.exists():
        await server.stop()
