"""What a campaign breaks: pixeld's nodes, their Redis, their ClickHouse, the network between, the disks beneath."""

import asyncio
import os
import secrets
import signal
import subprocess
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from redis.exceptions import RedisError

from pixeld.storage.embedded_redis import binary
from pixeld.storage.redis import connect
from tests.faults.child import OFFSET
from tests.faults.proxy import Proxy
from tests.process import Process, rows
from tests.services import clickhouse_cluster

ROOT = Path(__file__).resolve().parents[2]
START_S = 180
# Short times, so that more happens in a minute; none of them weakens a promise.
_SETTINGS = {
    "redis_timeout_s": 0.5, "flush_interval_s": 0.1, "flush_keep_s": 1, "lease_s": 1, "spill_bytes": 16 << 20,
    "log_level": "info",
}  # fmt: skip


class Disk:
    """A small file system of its own, which can be filled. `mount` needs the right to."""

    def __init__(self, path):
        self.path, self._filler = path, path / "filler"

    def mount(self, megabytes):
        self.path.mkdir()
        options = f"size={megabytes}m,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "pixeld-test", self.path], check=True, stderr=subprocess.DEVNULL)
        return self

    def fill(self, leave=0):
        """Take all space but so many bytes, now."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, self._filler.stat().st_size + _free(self.path) - leave)
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while not leave and file.write(bytes(4096)):
                pass

    async def fill_fast(self):
        """As a program does that writes 400 MB/s."""
        while (free := _free(self.path)) > 10 << 20:
            self.fill(leave=free - (10 << 20))
            await asyncio.sleep(0.025)
        self.fill()

    def free(self):
        self._filler.unlink(missing_ok=True)

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)


def _free(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_bsize


def can_mount(directory):
    """Whether this user may make file systems here."""
    try:
        disk = Disk(directory / "probe").mount(1)
    except (OSError, subprocess.CalledProcessError):
        return False
    disk.unmount()
    return True


class Valkey:
    """The Valkey (or Redis) that embedded pixelds use, but the campaign's own; reached by `socket`."""

    def __init__(self, directory):
        self.directory, self.socket = directory, str(directory / "redis.sock")
        self._child = None

    async def start(self, *options):
        self._spawn(options)
        async with asyncio.timeout(START_S):
            while not await self.command("PING"):
                assert self._child.poll() is None, "Valkey did not start; see valkey.log"
                await asyncio.sleep(0.02)

    def _spawn(self, options):
        Path(self.socket).unlink(missing_ok=True)
        with (self.directory.parent / "valkey.log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    *(str(binary()), "--port", "0", "--unixsocket", self.socket, "--dir", str(self.directory)),
                    *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
                    *options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self):
        return self._child.poll() is None

    def signal(self, number):
        self._child.send_signal(number)

    async def kill(self):
        """End it as a crash does. It may be dead already: that is what it does when its disk is full."""
        if self.alive:
            self._child.kill()
        await asyncio.to_thread(self._child.wait)

    async def command(self, *words):
        """The reply, past every proxy; None when there is none, be it for an error."""
        client = connect(f"unix://{self.socket}", 5.0)
        try:
            return await client.execute_command(*words)
        except (RedisError, OSError):
            return None
        finally:
            await client.aclose()


class EmbeddedValkey(Valkey):
    """The one that a pixeld has started over `directory`, and starts again when it has ended."""

    async def start(self, *options):
        async with asyncio.timeout(START_S):
            while not await self.command("PING"):
                await asyncio.sleep(0.02)

    @property
    def alive(self):
        return (Path("/proc") / self._pid).exists()

    @property
    def _pid(self):
        return (self.directory / "redis.pid").read_text().strip()

    def signal(self, number):
        with suppress(ProcessLookupError):
            os.kill(int(self._pid), number)

    async def kill(self):
        with suppress(OSError, ValueError):
            self.signal(signal.SIGKILL)


class Node(Process):
    """One pixeld, whose clock can be stepped."""

    program = ("-m", "tests.faults.child")

    def __init__(self, data_dir, **settings):
        super().__init__(data_dir, **_SETTINGS | settings)
        self.clock = data_dir.parent / f"{data_dir.name}.clock"
        self.step(0)
        self.env |= {"PYTHONPATH": str(ROOT), OFFSET: str(self.clock)}
        self.back = asyncio.Event()  #: set while it answers, as far as the campaign knows
        self.halted = False

    def step(self, ms):
        """Let its clock be wrong by so many milliseconds."""
        descriptor = os.open(self.clock, os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, ms.to_bytes(8, "little", signed=True), 0)  # in place: the child has mapped it
        os.close(descriptor)

    async def start(self):
        """Start, and again if it could not: whatever is in its way is being mended."""
        async with asyncio.timeout(START_S):
            while True:
                try:
                    await super().start()
                    break
                except AssertionError:
                    await self.child.wait()
                    await asyncio.sleep(0.2)
        self.back.set()
        return self

    async def killed(self):
        self.back.clear()
        self.halted = True
        self.kill()
        await self.gone()
        self.halted = False

    async def stopped(self):
        self.back.clear()
        return await self.stop()

    def halt(self):
        """SIGSTOP: it stands still, with everything it holds, until `go_on`."""
        self.halted = True
        self.child.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)
        self.halted = False

    async def sql(self, statement):
        """The rows; asked again while the audit stream, which every statement is noted on first, cannot be written."""
        async with asyncio.timeout(START_S):
            while (found := await self.api("POST", "/api/sql", {"sql": statement}))[0] == 503:
                await asyncio.sleep(0.1)
        return rows(*found)

    async def flushed(self):
        """Everything answered is in ClickHouse."""
        async with asyncio.timeout(START_S):
            while (await self.api("POST", "/api/flush"))[0] != 200:
                await asyncio.sleep(0.1)


class System:
    """All parts of one run. `disks`: whether the disks are small ones that can be filled."""

    patience_s = 0  #: how long ClickHouse may show something else than what is answered, after everything is flushed

    def __init__(self, directory, *, disks):
        self.directory, self.disks = directory, disks
        self.nodes, self.node_disks, self.redis_disk = [], [], None
        self.redis = self.redis_net = None
        self.cluster, self.clickhouse_nets = None, []
        self._stack = AsyncExitStack()

    async def start(self):
        try:
            await self._start_redis()
            await self._start_nodes()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start_redis(self):
        directory = self.directory / "valkey"
        if self.disks:
            self.redis_disk = self._disk(directory, 256)
        else:
            directory.mkdir()
        (directory / "dump.rdb").mkdir()  # a snapshot can be asked for, and fails: that is how MISCONF comes about
        self.redis = Valkey(directory)
        await self.redis.start()
        self._stack.push_async_callback(self.redis.kill)
        self.redis_net = await Proxy(self.redis.socket).start()
        self._stack.push_async_callback(self.redis_net.stop)

    async def _start_nodes(self):
        """One node, and ClickHouse's engine inside it."""
        await self._node("node")
        await self.nodes[0].register()

    async def _node(self, name, **settings):
        data_dir = self.directory / name
        if self.disks:
            self.node_disks.append(self._disk(data_dir, 640))
        if self.redis_net is not None:
            settings["redis_url"] = f"redis://127.0.0.1:{self.redis_net.port}/0"
        node = Node(data_dir, **settings)
        await node.start()
        self._stack.push_async_callback(self._end, node)
        self.nodes.append(node)

    def _disk(self, path, megabytes):
        disk = Disk(path).mount(megabytes)
        self._stack.callback(disk.unmount)
        return disk

    async def _end(self, node):
        for browser in node.browsers:
            await browser.close()
        if node.child.returncode is None:
            with suppress(ProcessLookupError):
                node.child.kill()
            await node.child.wait()

    async def ready(self):
        """Every part does its part, and every node knows the same shop and partners."""
        async with asyncio.timeout(START_S):
            while len({(await node.ready())["registry"]["version"] for node in self.nodes}) > 1:
                await asyncio.sleep(0.05)

    async def settle(self):
        """Everything is whole again, and everything answered is in ClickHouse."""
        for node in self.nodes:
            node.step(0)
        await self.ready()
        for node in self.nodes:
            await node.flushed()

    async def stop(self):
        """End it all; sentences about nodes that did not end as they should."""
        wrong = []
        for node in self.nodes:
            code = await node.stopped()
            if code != 0:
                wrong.append(f"{node.data_dir.name} ended with {code} after SIGTERM")
            log = node.log.read_text(errors="replace")
            if "Traceback" in log:
                wrong.append(f"{node.data_dir.name} logged a traceback: {log[log.index('Traceback') :][:1500]}")
        await self._stack.aclose()
        return wrong

    async def abandon(self):
        """End it all, whatever state it is in."""
        await self._stack.aclose()


class SingleSystem(System):
    """One node that brings everything: its Valkey, its engine, one disk for all."""

    async def _start_redis(self):
        pass

    async def _start_nodes(self):
        await super()._start_nodes()
        directory = self.nodes[0].data_dir / "redis"
        (directory / "dump.rdb").mkdir()
        self.redis = EmbeddedValkey(directory)
        self._stack.push_async_callback(self.redis.kill)


class ClusterSystem(System):
    """Two nodes of pixeld that share a Redis and a replicated ClickHouse cluster, which they reach through proxies."""

    # A server of 18.16 that loses ZooKeeper in the middle of an insert may show that batch twice, until pixeld has restarted
    # the table: a minute after the last failure, and a look at every server.
    patience_s = 180

    async def _start_nodes(self):
        (self.directory / "clickhouse").mkdir()
        self.cluster = await asyncio.to_thread(self._stack.enter_context, clickhouse_cluster(self.directory / "clickhouse"))
        for server in self.cluster.nodes:
            self.clickhouse_nets.append(await Proxy(("127.0.0.1", server.port)).start())
            self._stack.push_async_callback(self.clickhouse_nets[-1].stop)
        ports = [net.port for net in self.clickhouse_nets]
        keys = f"1:{secrets.token_hex(32)}"
        for number in (1, 2):
            ports = [*ports[1:], ports[0]]  # each begins with another server
            url = self.cluster.url(ports=ports)
            await self._node(f"node-{number}", clickhouse_url=url + "&timeout=5", signing_keys=keys)
        await self.nodes[0].register()


SYSTEMS = {"single": SingleSystem, "embedded": System, "cluster": ClusterSystem}
