"""A pixeld to be measured: `pixeld serve` as an operator starts it, with a client, partners and a valid cookie."""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import machine

CLIENT, PARTNER = "shop", "coffee-blog"


@dataclass(frozen=True)
class Pixeld:
    """A running server. `pids` is the process that was started, `worker_pids` those that answer for it, if there are any, and
    `redis_pids` the embedded Valkey; `cookie` is what a click set.
    """

    pids: tuple[int, ...]
    worker_pids: tuple[int, ...]
    redis_pids: tuple[int, ...]
    public_url: str
    admin_url: str
    token: str
    cookie: str

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the admin API; the reply's JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.admin_url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.loads(reply.read())


@contextmanager
def running(directory: Path, core: int | str, redis_core: int | str, **settings: object) -> Iterator[Pixeld]:
    """pixeld on `core`, its embedded Valkey on `redis_core`; both end with the block."""
    token = secrets.token_hex(16)
    given = {"host": "127.0.0.1", "port": 0, "admin_port": 0, "data_dir": directory, "admin_token": token}
    env = {f"PIXELD_{name.upper()}": str(value) for name, value in (given | {"log_level": "warning"} | settings).items()}
    with machine.process(core, sys.executable, "-m", "pixeld", "serve", "--json", env=env) as (server, line):
        started = json.loads(line)
        redis = int((directory / "redis" / "redis.pid").read_text())
        machine.pin(redis, redis_core)
        workers = tuple(pid for pid in machine.children(server.pid) if pid != redis)
        found = Pixeld((server.pid,), workers, (redis,), started["public_url"], started["admin_url"], token, "")
        found.api("POST", "/api/clients", {"id": CLIENT, "name": "Shop", "landing_url": "https://shop.example/"})
        found.api("POST", "/api/partners", {"id": PARTNER, "name": "Blog"})
        found.api("PUT", f"/api/clients/{CLIENT}/partners/{PARTNER}", {"status": "approved"})
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if "tls_cert" in settings:
            trusting = ssl.create_default_context(cafile=str(settings["tls_cert"]))
            handlers.append(urllib.request.HTTPSHandler(context=trusting))
        click = urllib.request.build_opener(*handlers).open(f"{found.public_url}/t/{CLIENT}/c/{PARTNER}", timeout=10)
        yield replace(found, cookie=click.headers["Set-Cookie"].partition(";")[0])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp
