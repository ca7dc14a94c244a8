"""The servers that pixeld is measured beside: one small file each, a program or a configuration. Here is how they start."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from redis import Redis

from bench import browsers, machine
from bench.subjects import ORDER, Subject
from pixeld.storage.embedded_redis import binary

HERE = Path(__file__).parent
_START_S = 10.0
_MODULES, _LUA_REDIS = Path("/usr/lib/nginx/modules"), Path("/usr/share/lua/5.1/nginx/redis.lua")  # where Debian has them


@dataclass(frozen=True)
class Place:
    """Where a peer runs: a directory of its own, its core, the core of its Redis; and the cookie that its requests bring."""

    directory: Path
    core: int
    redis_core: int
    cookie: str


@dataclass(frozen=True)
class Peer:
    """A server to measure beside. `lacking()` says what it needs and this machine hasn't, empty when nothing."""

    name: str
    start: Callable[[str, Place], AbstractContextManager[Subject]]
    lacking: Callable[[], str] = lambda: ""


@contextmanager
def script(name: str, place: Place, file: str, env: dict[str, str] | None = None) -> Iterator[Subject]:
    """A Python server that prints its port."""
    with machine.process(place.core, sys.executable, str(HERE / file), env=env) as (server, line):
        yield _asked(name, int(line), place, (server.pid,))


def _python(file: str) -> Callable[[str, Place], AbstractContextManager[Subject]]:
    return lambda name, place: script(name, place, file)


def _python_redis(file: str) -> Callable[[str, Place], AbstractContextManager[Subject]]:
    @contextmanager
    def start(name: str, place: Place) -> Iterator[Subject]:
        with _valkey(place) as (path, pid), script(name, place, file, {"BENCH_REDIS": path}) as subject:
            yield _storing(subject, path, pid)

    return start


def _nginx(access_log: str) -> Callable[[str, Place], AbstractContextManager[Subject]]:
    @contextmanager
    def start(name: str, place: Place) -> Iterator[Subject]:
        with _nginx_process(place, "nginx.conf", access_log=access_log) as (port, pids):
            yield _asked(name, port, place, pids)

    return start


@contextmanager
def _nginx_redis(name: str, place: Place) -> Iterator[Subject]:
    with _valkey(place) as (path, pid), _nginx_process(place, "nginx_redis.conf", redis=path) as (port, pids):
        yield _storing(_asked(name, port, place, pids), path, pid)


def _asked(name: str, port: int, place: Place, pids: tuple[int, ...]) -> Subject:
    url = f"http://127.0.0.1:{port}"
    return Subject(name, url, [browsers.request(url, ORDER, browsers.CHROME, place.cookie)], pids)


def _storing(subject: Subject, path: str, pid: int) -> Subject:
    redis = Redis(unix_socket_path=path)
    return replace(
        subject,
        redis_pids=(pid,),
        stored=lambda: int(redis.xinfo_stream("events")["entries-added"]) if redis.exists("events") else 0,
        settle=lambda: redis.xtrim("events", 0, approximate=False),  # its memory, so that a long run doesn't fill the machine
    )


@contextmanager
def _valkey(place: Place) -> Iterator[tuple[str, int]]:
    """A Valkey that fsyncs before it answers, as pixeld's own does; the path of its socket, as long as the block."""
    path = place.directory / "redis.sock"
    where = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(place.directory)]
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    with _ended(place, place.redis_core, str(binary()), *where, *durable) as server:
        _await(path.exists, server, place)
        yield str(path), server.pid


@contextmanager
def _nginx_process(place: Place, template: str, **values: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = pwd.getpwuid(os.geteuid()).pw_name  # started by root, its worker would be nobody, who may not enter the directory
    paths = {"directory": str(place.directory), "here": str(HERE), "modules": str(_MODULES)}
    told = {"user": user, "port": str(port), **paths, **values}
    file = place.directory / "nginx.conf"
    file.write_text(Template((HERE / template).read_text()).substitute(told))
    with _ended(place, place.core, "nginx", "-p", str(place.directory), "-c", str(file)) as master:
        _await(lambda: _accepts(port), master, place)
        yield port, (master.pid, *machine.children(master.pid))


@contextmanager
def _ended(place: Place, core: int, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with (place.directory / "said").open("wb") as said:
        started = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=said, stderr=said)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(ready: Callable[[], bool], started: subprocess.Popen[bytes], place: Place) -> None:
    deadline = time.monotonic() + _START_S
    while not ready():
        if started.poll() is not None or time.monotonic() > deadline:
            said = (place.directory / "said").read_text(errors="replace").strip().splitlines()[-3:]
            sys.exit(f"a server beside which to measure does not start; it says: {' | '.join(said)}")
        time.sleep(0.02)


def _no_nginx() -> str:
    return "" if shutil.which("nginx") else "nginx is not installed (Debian: nginx-extras)"


def _no_lua() -> str:
    there = (_MODULES / "ngx_http_lua_module.so").exists() and _LUA_REDIS.exists()
    return _no_nginx() or ("" if there else "nginx has no Lua here (Debian: libnginx-mod-http-lua, lua-nginx-redis)")


def _no_fastapi() -> str:
    there = all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "httptools"))
    return "" if there else "FastAPI is not installed (pip install '.[bench]')"


EMPTY, NGINX, NGINX_REDIS = "empty aiohttp handler", "nginx empty_gif", "nginx + Lua + XADD"
PEERS = (
    Peer(EMPTY, _python("aiohttp_empty.py")),
    Peer("aiohttp, query and cookie", _python("aiohttp_cookie.py")),
    Peer("aiohttp, the same + XADD", _python_redis("aiohttp_cookie.py")),
    Peer("FastAPI on uvicorn + XADD", _python_redis("fastapi_redis.py"), _no_fastapi),
    Peer(NGINX_REDIS, _nginx_redis, _no_lua),
    Peer(NGINX, _nginx("off"), _no_nginx),
    Peer("nginx empty_gif, access log", _nginx("access.log"), _no_nginx),
    Peer("raw uvloop protocol, a constant", _python("uvloop_constant.py")),
)
