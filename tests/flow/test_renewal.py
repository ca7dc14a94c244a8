"""SIGHUP to a running `pixeld serve`: certificates are read anew, in workers too, and nobody is cut off."""

import asyncio
import errno
import json
import os
import signal
import ssl
import sys
from itertools import count

import pytest

from pixeld.parts import crew
from tests.certificates import certificate
from tests.flow.test_workers import runs, until, workers
from tests.process import Process, pixeld

pytestmark = pytest.mark.slow


def trusting(cert):
    return {"ssl": ssl.create_default_context(cafile=cert), "server_hostname": "localhost"}


async def shown(address):
    """The certificate of a new handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*address, ssl=context)
    try:
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()


def der(cert):
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


class Visitor:
    """One connection that stays."""

    async def connect(self, address, cert):
        self.reader, self.writer = await asyncio.open_connection(*address, **trusting(cert))
        self.orders = count()
        return self

    async def order(self, name):
        self.writer.write(f"GET /t/shop/o.gif?order={name}-{next(self.orders)}&amount=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(43)
        return b"X-Pixeld: ok" in head


def logged(server, event):
    return [line for line in map(json.loads, server.log.read_text().splitlines()) if line.get("event") == event]


@pytest.mark.parametrize("number", [0, 2], ids=["one process", "two workers"])
async def test_new_certificates_are_for_new_connections(number, tmp_path):
    for name in ("old", "new", "third"):
        (tmp_path / name).mkdir()
    old, new, third = (certificate(tmp_path / name, "localhost") for name in ("old", "new", "third"))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair):
        for path, other in zip((cert, key), pair, strict=True):
            path.write_bytes(other.read_bytes())

    async def all_show(expected):
        return {await shown(server.address) for _ in range(8 * number or 1)} == {der(expected)}

    put(old)
    tls = {"tls_cert": cert, "tls_key": key, "admin_tls_cert": cert, "admin_tls_key": key, "admin_tls_ca": old[0]}
    async with pixeld(tmp_path / "data", workers=number, **tls) as server:
        await server.ready()
        admin = server.admin.rpartition("/")[2].split(":")
        visitors = [await Visitor().connect(server.address, old[0]) for _ in range(8)]
        assert [await visitor.order(n) for n, visitor in enumerate(visitors)] == [True] * 8

        put(new)
        server.child.send_signal(signal.SIGHUP)
        await until(lambda: all_show(new[0]))
        await until(lambda: _is(shown(admin), der(new[0])))

        key.write_text("no key")
        server.child.send_signal(signal.SIGHUP)
        told = "a certificate is not renewed, and the one before it stays in use"
        await until(lambda: _is(_true(len(logged(server, told)) == 1 + (number or 1)), True))
        assert await all_show(new[0]) and await shown(admin) == der(new[0])
        reasons = {line["reason"].partition(" ")[0] for line in logged(server, told)}
        assert reasons == {"tls_cert", "admin_tls_cert"}

        put(third)
        server.child.send_signal(signal.SIGHUP)
        await until(lambda: all_show(third[0]))
        if number:  # one that starts later has the newest, and a signal of its own does no harm
            first, _ = await workers_of(server, third[0])
            os.kill(first, signal.SIGHUP)
            assert runs(first) and await all_show(third[0])
        assert [await visitor.order(n) for n, visitor in enumerate(visitors)] == [True] * 8
        for visitor in visitors:
            visitor.writer.transport.abort()


async def workers_of(server, cert):
    server.trust = ssl.create_default_context(cafile=cert)
    return await workers(server)


async def _is(value, expected):
    return await value == expected


async def _true(value):
    return value


async def test_the_demo_belongs_to_its_terminal(tmp_path):
    async with pixeld(tmp_path / "data", "demo") as server:
        server.child.send_signal(signal.SIGHUP)
        assert await server.gone() == 0


async def test_a_start_is_not_ended_by_a_reload(tmp_path):
    """Sent as soon as the process looks for its settings, which it does first of all."""
    config = tmp_path / "config.toml"
    os.mkfifo(config)
    server = Process(tmp_path / "data", config=config)
    starting = asyncio.create_task(server.start())
    while True:
        try:
            end = os.open(config, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it yet
                raise
            await asyncio.sleep(0.005)
    server.child.send_signal(signal.SIGHUP)
    os.write(end, b"\n")
    os.close(end)
    await starting
    assert await server.stop() == 0


IMPORTED = "import sys; print('imported', flush=True); sys.stdin.read()\ndef main(_): sys.exit(7)\n"


async def test_a_workers_start_is_not_ended_by_a_reload_of_its_group(tmp_path):
    """Sent while its modules are imported, of which one waits here."""
    parts = tmp_path / "pixeld" / "parts"
    parts.mkdir(parents=True)
    for path in (parts, parts.parent):
        (path / "__init__.py").touch()
    (parts / "worker.py").write_text(IMPORTED)
    program = (sys.executable, "-P", "-c", crew._PROGRAM, "0", str(tmp_path), *sys.path)
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe)
    assert await worker.stdout.readline() == b"imported\n"
    worker.send_signal(signal.SIGHUP)
    await worker.communicate(b"")
    assert worker.returncode == 7


async def test_without_certificates_nothing_ends(tmp_path):
    async with pixeld(tmp_path / "data") as server:
        server.child.send_signal(signal.SIGHUP)
        for _ in range(3):
            assert (await server.browser().get("/t/shop/c/blog"))[1]["x-pixeld"] == "ok"
