"""A ClickHouse server over its native protocol. The only module that imports clickhouse_driver.

The driver is synchronous and one Client is one connection: `storage.warehouse` gives each its own thread.
"""

from __future__ import annotations

import logging
import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from clickhouse_driver import Client, errors

from pixeld.domain.ports import Row
from pixeld.errors import SettingsError, WarehouseAway, WarehouseRefused
from pixeld.storage import urls
from pixeld.storage.features import QUERY_SECONDS, Cluster, Features
from pixeld.storage.warehouse import NETWORK_SECONDS, READ_ONLY, Link, Params, escaped, failure, transposed

log = logging.getLogger(__name__)
# It logs every failed connection with a traceback; what fails here is raised, and told once by whoever called.
logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)

_IDENTIFIER = r"[A-Za-z_]\w*"
CONNECT_SECONDS = 3  # a host that is down must not keep the next one waiting; nor a connection that lies idle, a new one
_GREETING_SECONDS = 5  # a server that accepts says within milliseconds which one it is, but for one that hangs
# A server that works on a query says every 0.1 s how far it is. Whoever asks is told that one hangs after a silence of this
# long; how long it may work is QUERY_SECONDS.
_SILENCE_SECONDS = 10
_UNKNOWN_DATABASE, _TIMEOUT_EXCEEDED = 81, 159
_OPTIONS = {"secure": "0", "verify": "1", "ca_certs": "", "timeout": str(NETWORK_SECONDS), "cluster": ""}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed PIXELD_CLICKHOUSE_URL. Its repr has no password."""

    hosts: tuple[tuple[str, int], ...]
    database: str
    user: str
    password: str = field(repr=False)
    secure: bool
    verify: bool
    ca_certs: str | None
    timeout_s: int
    cluster: Cluster | None

    @classmethod
    def parse(cls, url: str) -> Address:
        """SettingsError says what is wrong, without repeating the URL: it may hold a password."""
        parts = urlsplit(url)
        if parts.scheme != "clickhouse":
            raise SettingsError("the ClickHouse URL must look like clickhouse://user:password@host:9000/database")
        options = urls.options(parts.query, _OPTIONS, "ClickHouse")
        secure = options["secure"] == "1"
        userinfo, _, named = parts.netloc.rpartition("@")
        user, _, password = userinfo.partition(":")
        if (hosts := urls.hosts(named, 9440 if secure else 9000)) is None:
            raise SettingsError("the ClickHouse URL must name a host, or several: host:port,host2:port2")
        if re.fullmatch("[1-9][0-9]{0,5}", options["timeout"]) is None:
            raise SettingsError("the ClickHouse URL's option timeout must be a number of seconds")
        database = unquote(parts.path.strip("/")) or "default"
        return cls(
            hosts=hosts,
            database=database,
            user=unquote(user) or "default",
            password=unquote(password),
            secure=secure,
            verify=options["verify"] == "1",
            ca_certs=options["ca_certs"] or None,
            timeout_s=int(options["timeout"]),
            cluster=_cluster(options["cluster"], database) if options["cluster"] else None,
        )


def _cluster(name: str, database: str) -> Cluster:
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII) or not re.fullmatch(_IDENTIFIER, database, re.ASCII):
        raise SettingsError(
            "the ClickHouse URL's option cluster must be a name in the servers' remote_servers, and the database a plain name"
        )
    return Cluster(name, database)


class _Hosts:
    """The hosts of a URL, the one to use first. A host that a call failed on goes to the end, for every connection.

    Not only one that is down: a server that has lost ZooKeeper answers, and takes no insert. And queries follow the inserts,
    because its rows are yesterday's.
    """

    def __init__(self, hosts: tuple[tuple[str, int], ...]) -> None:
        self.order = hosts
        self.failures = 0  #: since an insert last succeeded
        self.doubt_s: float | None = time.monotonic()  #: when a call last failed, until `mend` has looked at every host

    def failed(self, host: tuple[str, int]) -> None:
        order = self.order  # replaced as a whole: several threads share it
        self.failures += 1
        self.doubt_s = time.monotonic()
        if order[0] == host:
            self.order = (*order[1:], host)


def as_user(url: str, user: str, password: str, database: str | None = None) -> str:
    """`url` for another user; with a `database`, for that one, which is no cluster's."""
    parts = urlsplit(url)
    parts = parts._replace(netloc=f"{quote(user, '')}:{quote(password, '')}@{parts.netloc.rpartition('@')[2]}")
    if database is not None:
        options = [(name, value) for name, value in parse_qsl(parts.query) if name != "cluster"]
        parts = parts._replace(path=f"/{quote(database, '')}", query=urlencode(options))
    return parts.geturl()


def each_host(url: str) -> list[str]:
    """`url` once for each of its hosts."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{userinfo}{at}{host}").geturl() for host in hosts.split(",")]


def connector(url: str) -> Callable[[], Link]:
    """What connects to a host of `url`: at first the first one that answers, after a failed call the next one that does."""
    address = Address.parse(url)
    hosts = _Hosts(address.hosts)

    def connect() -> Link:
        failures = []
        for host in hosts.order:
            try:
                return ServerLink(address, hosts, host)
            except (WarehouseAway, WarehouseRefused) as error:
                failures.append(str(error))
                hosts.failed(host)
        raise WarehouseAway("; ".join(failures))

    return connect


_HANGS = "timed out; it hangs, is overloaded or cut off: see its log and the network, and restart it if need be"
_LOST = (
    errors.NetworkError,
    errors.SocketTimeoutError,
    errors.PartiallyConsumedQueryError,
    errors.UnexpectedPacketFromServerError,
    errors.UnknownPacketFromServerError,
)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """The driver's exceptions as ours. Anything that leaves the outcome open is WarehouseAway."""
    try:
        yield
    except errors.ServerException as error:
        raise failure(error.code, error.message, where) from error
    except _LOST as error:
        reason = _HANGS if isinstance(error, errors.SocketTimeoutError) else error.message
        raise WarehouseAway(f"ClickHouse at {where} does not answer: {reason}") from error
    except TimeoutError as error:
        raise WarehouseAway(f"ClickHouse at {where} does not answer: {_HANGS}") from error
    except EOFError as error:
        raise WarehouseAway(f"ClickHouse at {where} closed the connection") from error
    except OSError as error:
        raise WarehouseAway(f"ClickHouse at {where} does not answer: {error}") from error
    except (errors.Error, struct.error, UnicodeError) as error:  # the driver could not write the values, or read the answer
        raise WarehouseRefused(f"ClickHouse at {where}: {type(error).__name__}: {error}"[:500]) from error


# How many tables there are that have not got every row yet, at the replicas that queries are sent to. One without ZooKeeper
# doesn't know what it lacks; one that has just started says that it is behind by decades, and queries avoid it as long as it
# does. An empty table's log has both numbers at 0, and so has one whose very first block is still on its way.
_BEHIND = """
SELECT count() AS behind FROM cluster('{0.name}', system, replicas)
WHERE database = '{0.database}'
    AND (is_readonly OR is_session_expired OR absolute_delay > 0 OR inserts_in_queue > 0
        OR (log_max_index > 0 AND log_pointer <= log_max_index))
"""
_PATIENCE_S = 1.0  # for a replica to catch up; one fetches a new part within some 20 ms

# Parts of a table that ZooKeeper doesn't know. A replica that loses ZooKeeper in the middle of an insert keeps the part: it
# may be registered. If it is not, the rows come again as another part, and 18.16 shows both until they are merged or it is
# restarted. A registration under way ends with its session, which is after 30 s unless configured otherwise.
_ORPHANS = """
SELECT count() AS orphans FROM system.parts
WHERE active AND database = {{database:String}} AND table = {{table:String}} AND modification_time < now() - {seconds}
    AND name NOT IN (SELECT name FROM system.zookeeper WHERE path = {{path:String}})
"""
_ORPHAN_S = 60
_DOUBT_S = 600.0  # a server may notice much later than pixeld that it has lost ZooKeeper


class ServerLink:
    """`storage.warehouse.Link` to one server."""

    def __init__(self, address: Address, hosts: _Hosts, host: tuple[str, int]) -> None:
        self._address, self._hosts, self._host = address, hosts, host
        self._where = f"{host[0]}:{host[1]}"
        self._restriction: dict[str, str | int] = {}
        self._behind_since = 0.0
        self._client = _client(address, *host, address.database)
        try:
            self._open(address)
        except BaseException:
            self._client.disconnect()
            raise

    def _open(self, address: Address) -> None:
        with _translated(self._where):
            try:
                version = self._client.execute("SELECT version()")[0][0]
            except errors.ServerException as error:
                if error.code != _UNKNOWN_DATABASE:
                    raise
                # A session cannot even be opened in a database that isn't there yet.
                with _client(address, *self._host, "") as client:
                    version = client.execute("SELECT version()")[0][0]
                    features = Features.of(version, address.cluster)
                    _define(client, features, features.create_database(_name(address.database)))
                version = self._client.execute("SELECT version()")[0][0]
        self.features = Features.of(version, address.cluster)

    def preferred(self) -> bool:
        return self._hosts.order[0] == self._host

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row], token: str) -> None:
        """Columnar and uncompressed; `insert_block_size` is the driver's own limit on a block."""
        values = transposed(columns, rows)
        settings = self.features.insert_settings(token) | {"insert_block_size": len(rows)}
        if self._hosts.failures and "load_balancing" in settings:
            settings["load_balancing"] = "random"  # a shard's first replica may answer and take no insert
        with self._calling(self._address.timeout_s):
            sql = f"INSERT INTO {_name(table)} ({', '.join(map(_name, columns))}) VALUES"
            self._client.execute(sql, values, columnar=True, settings=settings)
        self._hosts.failures = 0

    def query(self, sql: str, params: Params) -> list[dict[str, Any]]:
        settings: dict[str, Any] = {"max_execution_time": QUERY_SECONDS, **self.features.query_settings(), **self._restriction}
        if self.features.server_parameters:
            settings["server_side_params"] = True
        else:
            sql, params = with_literals(sql, params), {}
        with self._calling(_SILENCE_SECONDS, query=True):
            rows, columns = self._client.execute(sql, dict(params) or None, with_column_types=True, settings=settings)
        names = [name for name, _ in columns]
        return [dict(zip(names, map(_as_json, row), strict=True)) for row in rows]

    def everywhere(self, sql: str) -> list[dict[str, Any]]:
        if self.features.cluster is None:
            return self.query(sql, {})
        found = []
        for host in self._address.hosts:
            with closing(ServerLink(self._address, _Hosts((host,)), host)) as link:
                found += link.query(sql, {})
        return found

    def settled(self) -> bool:
        """Ask the replicas that a query from this host is sent to. If they don't catch up in time, the next host's might."""
        if self.features.cluster is None or not self.query(_BEHIND.format(self.features.cluster), {})[0]["behind"]:
            self._behind_since = 0.0
            return True
        self._behind_since = self._behind_since or time.monotonic()
        if time.monotonic() - self._behind_since > _PATIENCE_S:
            self._hosts.failed(self._host)
        return False

    def mend(self) -> None:
        """Restart every table, at every host of the URL, that shows rows which are not in ZooKeeper: it lays them aside."""
        doubt_s = self._hosts.doubt_s
        if not self.features.leaves_orphans or doubt_s is None:
            return
        looked, sound, address = time.monotonic(), True, replace(self._address, timeout_s=CONNECT_SECONDS)
        for host in address.hosts:
            try:
                with closing(ServerLink(address, _Hosts((host,)), host)) as link:
                    sound = link._mend_tables() and sound
            except (WarehouseAway, WarehouseRefused):
                sound = False
        if sound and looked - doubt_s > _DOUBT_S and self._hosts.doubt_s == doubt_s:
            self._hosts.doubt_s = None

    def _mend_tables(self) -> bool:
        """False if a table could not be looked at."""
        sql = "SELECT table, replica_path, is_readonly OR is_session_expired AS away FROM system.replicas WHERE database = "
        tables = self.query(sql + "{database:String}", {"database": self._address.database})
        for row in tables:
            if row["away"]:
                continue
            names = {"database": self._address.database, "table": row["table"], "path": f"{row['replica_path']}/parts"}
            if self.query(_ORPHANS.format(seconds=_ORPHAN_S), names)[0]["orphans"]:
                log.warning("restarting a table that shows rows twice", extra={"table": row["table"], "server": self._where})
                self.command(f"SYSTEM RESTART REPLICA {self._address.database}.{_name(row['table'])}")
        return not any(row["away"] for row in tables)

    def restrict(self) -> None:
        self._restriction = READ_ONLY

    def command(self, sql: str) -> None:
        with self._calling(self._address.timeout_s):
            _define(self._client, self.features, sql)

    @contextmanager
    def _calling(self, silence_s: int, *, query: bool = False) -> Iterator[None]:
        """Connected, and with that much patience for each piece of an answer."""
        try:
            with _translated(self._where):
                connection = self._client.connection
                if not connection.ping():  # before the driver does, which would leave a new connection the greeting's patience
                    connection.connect()
                connection.socket.settimeout(min(silence_s, self._address.timeout_s))
                yield
        except WarehouseAway as error:
            # A single server that won't answer a query is well enough for inserts, and the next one may not have its rows.
            told = isinstance(error.__cause__, errors.ServerException)
            if not (query and told and self.features.cluster is None):
                self._hosts.failed(self._host)
            raise

    def close(self) -> None:
        self._client.disconnect()


def _define(client: Client, features: Features, sql: str) -> None:
    """Run a statement that has no result. Servers of a cluster that are down will run it when they are back."""
    try:
        client.execute(sql, settings=features.command_settings())
    except errors.ServerException as error:
        if error.code != _TIMEOUT_EXCEEDED or "(0 of them are currently active)" not in error.message:
            raise


def _client(address: Address, host: str, port: int, database: str) -> Client:
    return Client(
        host,
        port=port,
        database=database,
        user=address.user,
        password=address.password,
        client_name="pixeld",
        secure=address.secure,
        verify=address.verify,
        ca_certs=address.ca_certs,
        connect_timeout=CONNECT_SECONDS,
        send_receive_timeout=min(_GREETING_SECONDS, address.timeout_s),  # until `ServerLink._calling` says otherwise
        sync_request_timeout=min(CONNECT_SECONDS, address.timeout_s),
        tcp_keepalive=True,
    )


def _name(text: str) -> str:
    """An identifier that needs no quotes. Tables and columns come from pixeld's own code, a database from its settings."""
    if not re.fullmatch(_IDENTIFIER, text, re.ASCII):
        raise WarehouseRefused(f"{text!r} cannot name a database, a table or a column")
    return text


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return value.isoformat() if isinstance(value, date) else value


_PARAMETER = re.compile(r"\{(\w+):(\w+)\}", re.ASCII)


def with_literals(sql: str, params: Params) -> str:
    """`sql` with every `{name:Type}` replaced by a literal of that type, for servers that cannot do it themselves.

    In one pass, so that a value that looks like a parameter stays a value. WarehouseRefused for a missing parameter, a
    value that is not of the type, or a type other than String, UInt8-64 and Int8-64.
    """

    def literal(match: re.Match[str]) -> str:
        name, declared = match.groups()
        value = params.get(name)
        integer = re.fullmatch(r"(U?)Int(8|16|32|64)", declared)
        if declared == "String" and type(value) is str:
            return f"'{escaped(value)}'"
        if integer and type(value) is int:
            bits = int(integer[2])
            low, high = (0, 2**bits) if integer[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1))
            if low <= value < high:
                return str(value)
        raise WarehouseRefused(f"the parameter {name} is missing, or not a {declared}")

    return _PARAMETER.sub(literal, sql)
