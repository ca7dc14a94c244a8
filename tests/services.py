"""Servers that tests start, kill and start again. Each is stopped by its own process id, never by name."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import require

_START_S = 180.0  # a busy machine takes ten times longer than a quiet one

_CONFIG = """<yandex>
 <logger><level>warning</level><console>1</console></logger>
 <tcp_port>{port}</tcp_port>
 <listen_host>127.0.0.1</listen_host>
 <path>{path}/data/</path><tmp_path>{path}/tmp/</tmp_path>
 <users_config>users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
 <mark_cache_size>67108864</mark_cache_size><timezone>UTC</timezone>
{more}</yandex>
"""
# A dead node's session ends within seconds, not half a minute.
_CLUSTER = """ <interserver_http_port>{interserver_port}</interserver_http_port><interserver_http_host>127.0.0.1</interserver_http_host>
 <zookeeper><node><host>127.0.0.1</host><port>{zookeeper_port}</port></node>
  <session_timeout_ms>3000</session_timeout_ms><operation_timeout_ms>2000</operation_timeout_ms></zookeeper>
 <zookeeper_session_expiration_check_period>1</zookeeper_session_expiration_check_period>
 <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
 <remote_servers><{name}>{shards}</{name}></remote_servers>
 <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
 <merge_tree><zookeeper_session_expiration_check_period>1</zookeeper_session_expiration_check_period></merge_tree>
"""
_SHARD = "<shard><internal_replication>true</internal_replication>{}</shard>"
_REPLICA = "<replica><host>127.0.0.1</host><port>{}</port><user>default</user><password>{}</password></replica>"
_ZOOKEEPER = """dataDir={path}
clientPort={port}
clientPortAddress=127.0.0.1
tickTime=500
minSessionTimeout=1000
maxClientCnxns=0
admin.enableServer=false
"""
_USERS = """<yandex>
 <profiles><default><max_memory_usage>2000000000</max_memory_usage>{profile}</default></profiles>
 <users><default>
  <password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
 </default></users>
 <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors><result_rows>0</result_rows>
  <read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas>
</yandex>
"""


_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on now, that nobody here was given before, and that no outgoing connection gets while a
    server is down."""
    while True:
        port = random.randrange(10_000, 32_000)  # the kernel's own choice begins at 32,768
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


class Server:
    """A server of its own process over `directory`, on a loopback port. What it stored outlives `kill`."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._command, self.directory = command, directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stopped(self) -> bool:
        """Whether nobody is there to answer."""
        return self._process is None or self._process.poll() is not None

    def launch(self) -> None:
        """Start it, without waiting."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, timeout_s: float = _START_S) -> None:
        """Wait until it answers. One that segfaults is started again: 18.16 does so while ZooKeeper is away."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            died = self._process is None or self._process.poll()
            if died == -signal.SIGSEGV:
                self.launch()
            elif died is not None or time.monotonic() > deadline:
                tail = (self.directory / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._command[0]} does not start: {tail}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            return True
        except OSError:
            return False

    def start(self, timeout_s: float = _START_S) -> None:
        """Start it and wait until it accepts."""
        self.launch()
        self.wait(timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP, to a server that runs."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, as a crash does (SIGKILL), and wait for that."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class ZooKeeper(Server):
    """Debian's ZooKeeper, alone."""

    def __init__(self, directory: Path) -> None:
        java, jar = shutil.which("java"), Path("/usr/share/java/zookeeper.jar")
        require(java and jar.exists(), "zookeeper with a Java")
        options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.preAllocSize=1024"]
        main = ["org.apache.zookeeper.server.ZooKeeperServerMain", str(directory / "zoo.cfg")]
        super().__init__([java, *options, "-cp", str(jar), *main], directory)
        (directory / "zoo.cfg").write_text(_ZOOKEEPER.format(path=directory, port=self.port))

    def connections(self) -> int:
        """How many it has, this one included; 0 while it doesn't serve: it accepts some time before that."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"srvr")
                found = re.search(rb"Connections: (\d+)", connection.makefile("rb").read())
        except OSError:
            return 0
        return int(found[1]) if found else 0

    def _answers(self) -> bool:
        return self.connections() > 0


class ClickHouseServer(Server):
    """A clickhouse-server. `configure` writes its configuration, before the first start."""

    password = "only-for-tests"

    def __init__(self, binary: str, directory: Path) -> None:
        super().__init__([binary, "--config-file", str(directory / "config.xml")], directory)

    def configure(self, more: str = "", profile: str = "") -> None:
        """`more` of config.xml, and settings of the default `profile`."""
        config = _CONFIG.format(port=self.port, path=self.directory, more=more)
        (self.directory / "config.xml").write_text(config)
        (self.directory / "users.xml").write_text(_USERS.format(password=self.password, profile=profile))

    def url(self, database: str = "pixeld", *, first: str = "", options: str = "") -> str:
        """Its URL; `first` is a host to be tried before it, `options` what follows the question mark."""
        hosts = f"{first}{',' if first else ''}127.0.0.1:{self.port}"
        return f"clickhouse://default:{self.password}@{hosts}/{database}{'?' if options else ''}{options}"


def _clickhouse_binary() -> str:
    binary = shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    require(binary, "clickhouse-server")
    return binary


@contextmanager
def clickhouse_server(directory: Path) -> Iterator[ClickHouseServer]:
    """Debian's clickhouse-server over `directory`, accepting. Skips where there is none (see `require`)."""
    server = ClickHouseServer(_clickhouse_binary(), directory)
    server.configure()
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGTERM)


class Cluster:
    """Two shards of two replicas, and the ZooKeeper that they agree through.

    `nodes` are in the order of shard and replica: nodes[0] and nodes[1] hold the same rows. Each, and `zookeeper`, has
    `kill`, `start` and `send` (a signal).
    """

    name = "pixels"

    def __init__(self, directory: Path) -> None:
        binary = _clickhouse_binary()
        for part in ("zookeeper", "1-1", "1-2", "2-1", "2-2"):
            (directory / part).mkdir(parents=True)
        self.zookeeper = ZooKeeper(directory / "zookeeper")
        self.nodes = [ClickHouseServer(binary, directory / f"{shard}-{replica}") for shard in (1, 2) for replica in (1, 2)]
        replicas = [_REPLICA.format(node.port, node.password) for node in self.nodes]
        shards = _SHARD.format("".join(replicas[:2])) + _SHARD.format("".join(replicas[2:]))
        profile = "<background_pool_size>4</background_pool_size><background_schedule_pool_size>8</background_schedule_pool_size>"
        for index, node in enumerate(self.nodes):
            more = _CLUSTER.format(
                interserver_port=free_port(), zookeeper_port=self.zookeeper.port, name=self.name, shards=shards,
                shard=index // 2 + 1, replica=f"replica-{index % 2 + 1}",
            )  # fmt: skip
            node.configure(more, profile)

    def url(self, database: str = "pixeld", *, ports: Sequence[int] | None = None) -> str:
        """The cluster's URL; `ports` are where its nodes are reached, when that is not directly."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or [node.port for node in self.nodes])
        return f"clickhouse://default:{ClickHouseServer.password}@{hosts}/{database}?cluster={self.name}"

    def start(self) -> None:
        """Start everything and wait until it accepts."""
        self.zookeeper.start()
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()
        # 18.16 crashes when ON CLUSTER comes before it has its session with ZooKeeper
        deadline = time.monotonic() + _START_S
        while self.zookeeper.connections() <= len(self.nodes):
            assert time.monotonic() < deadline, "the servers do not connect to ZooKeeper"
            time.sleep(0.02)

    def revive(self) -> None:
        """Start whatever is down: what a test stopped, and a server that crashed by itself (18.16 does, at ON CLUSTER and while
        ZooKeeper is away), as an init system does."""
        for server in (self.zookeeper, *self.nodes):
            if server.stopped:
                server.start()

    def kill(self) -> None:
        """End everything. ZooKeeper last: a server that waits for it takes long to end."""
        for node in self.nodes:
            node.kill()
        self.zookeeper.kill()


@contextmanager
def clickhouse_cluster(directory: Path) -> Iterator[Cluster]:
    """Debian's clickhouse-servers and ZooKeeper as a cluster over `directory`, accepting. Skips where one is missing."""
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """Debian's redis-server over `directory`, which fsyncs every write; its URL. Skips where there is none."""
    binary = shutil.which("redis-server")
    require(binary, "redis-server")
    directory.mkdir(exist_ok=True)
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--appendonly", "yes"]
    options += ["--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction", "--logfile", "redis.log"]
    process = subprocess.Popen([binary, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + _START_S
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"redis-server does not start: {(directory / 'redis.log').read_text()}") from None
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(_START_S)


class RedisNode:
    """One redis-server, or redis-sentinel, over a directory: started, killed, stopped and continued by itself."""

    def __init__(self, command: list[str], directory: Path, port: int) -> None:
        self._command, self._directory, self.port = command, directory, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Straight to it, past the sentinels."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> None:
        """Start it, if it doesn't run, and wait until it accepts."""
        if self._process is not None:
            return
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *more], cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"redis does not start: {(self._directory / 'log').read_text()[-2000:]}") from None
                time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT, for a machine that hangs."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does, also while it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class RedisFailover:
    """Two redis-servers and three redis-sentinels with a quorum of two. `servers` are a primary and a replica; which is which
    changes. A failover takes some 4 s: sentinels connect at most once a second, and with the patience of one second they took the
    primary that they had just made for down, and went back.
    """

    def __init__(self, server: str, directory: Path) -> None:
        ports, self._server = [free_port() for _ in range(5)], server
        options = ["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", "."]
        options += ["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "1mb"]
        self.servers = [self._node([server, *options, "--port", str(p)], directory / f"redis-{p}", p) for p in ports[:2]]
        self.sentinels = [self._sentinel(directory / f"sentinel-{p}", p, ports) for p in ports[2:]]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{s.port}' for s in self.sentinels)}/main/0"

    @staticmethod
    def _node(command: list[str], directory: Path, port: int) -> RedisNode:
        directory.mkdir(parents=True)
        return RedisNode(command, directory, port)

    def _sentinel(self, directory: Path, port: int, ports: list[int]) -> RedisNode:
        ids = {p: f"{p:040x}" for p in ports[2:]}
        lines = [f"port {port}", "bind 127.0.0.1", "protected-mode no", f"sentinel myid {ids[port]}"]
        lines += [f"sentinel monitor main 127.0.0.1 {ports[0]} 2", "sentinel down-after-milliseconds main 2000"]
        lines += ["sentinel failover-timeout main 3000", f"sentinel known-replica main 127.0.0.1 {ports[1]}"]
        # Named here, they needn't find each other first, which takes some 4 s.
        lines += [f"sentinel known-sentinel main 127.0.0.1 {p} {ids[p]}" for p in ids if p != port]
        node = self._node([self._server, "sentinel.conf", "--sentinel"], directory, port)
        (directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        return node

    def start(self, *, sentinels: bool = True) -> None:
        """Everything, the second server as a replica of the first."""
        self.servers[0].start()
        self.servers[1].start("--replicaof", f"127.0.0.1 {self.servers[0].port}")
        for sentinel in self.sentinels if sentinels else ():
            sentinel.start()

    def close(self) -> None:
        """End everything."""
        for node in (*self.sentinels, *self.servers):
            node.kill()


@contextmanager
def redis_failover(directory: Path, server: str | None = None, *, sentinels: bool = True) -> Iterator[RedisFailover]:
    """A started set over `directory`, of Debian's redis-server or of `server`. Skips where there is none."""
    server = server or shutil.which("redis-server")
    require(server, "redis-server")
    require(not sentinels or shutil.which("redis-sentinel"), "redis-sentinel")
    found = RedisFailover(server, directory)
    try:
        found.start(sentinels=sentinels)
        yield found
    finally:
        found.close()
