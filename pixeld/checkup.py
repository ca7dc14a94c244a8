"""`pixeld check` and `pixeld migrate`: a set-up looked at part by part, without serving anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pixeld.datadir import DataDir, keyring
from pixeld.errors import DataDirInUse, PixeldError, Unavailable
from pixeld.parts.accounts import open_vault
from pixeld.parts.listening import load_country_db, load_policy
from pixeld.settings import Settings
from pixeld.storage import embedded_redis, retention
from pixeld.storage import migrations as schema
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import connect, fitness
from pixeld.storage.warehouse import Warehouse
from pixeld.web.certificates import Certificate
from pixeld.web.server import bind, is_loopback


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of a set-up: whether a server could start with it, what was found, and how to mend or better it."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class MigrationState:
    """One migration, `applied` or `pending`, and the statement that it is on this ClickHouse."""

    number: int
    name: str
    state: str
    statement: str


async def check(settings: Settings) -> list[Finding]:
    """Every part's finding. Starts nothing that stays, changes nothing but a missing data directory."""
    running = _running(settings)
    ports = (("public", settings.host, settings.port), ("admin", settings.admin_host, settings.admin_port))
    return [
        running or Finding("data directory", True, f"{settings.data_dir.resolve()} can be used"),
        *(_port(settings, *port) for port in ports if running is None),
        *([_keys("signing keys", keyring, settings.signing_keys)] if settings.signing_keys else []),
        *([_keys("vault keys", open_vault, settings.vault_keys)] if settings.vault_keys else []),
        await _redis(settings),
        await _clickhouse(settings, in_use=running is not None and running.ok),
        _policy(settings),
        *([_mail(settings)] if settings.portal else []),
        *(_tls(settings, name) for name in ("tls", "admin_tls") if getattr(settings, f"{name}_cert")),
        *([_country_db(settings)] if settings.country_db else []),
    ]


async def migrations(settings: Settings, *, apply: bool, dry_run: bool) -> list[MigrationState]:
    """Every migration's state, after applying what is pending if `apply`. Raises WarehouseAway, MigrationError,
    DataDirInUse.
    """
    async with _warehouse(settings) as warehouse:
        kept_days = load_policy(settings)[0].kept_days
        retention.check(kept_days)
        if apply and not dry_run:
            await schema.apply(warehouse)
            await retention.apply(warehouse, kept_days)
        return [
            MigrationState(
                state.migration.number,
                state.migration.name,
                "applied" if state.applied_at else "pending",
                ";\n".join(state.migration.statements(warehouse.features)),
            )
            for state in await schema.status(warehouse)
        ]


@asynccontextmanager
async def _warehouse(settings: Settings) -> AsyncIterator[Warehouse]:
    async with AsyncExitStack() as stack:
        if settings.clickhouse_url is None:  # the embedded engine is for one process at a time
            stack.callback(DataDir(settings.data_dir, "a pixeld command").close)
        warehouse = open_warehouse(settings.clickhouse_url, settings.data_dir)
        stack.push_async_callback(warehouse.close)
        await warehouse.connect()
        yield warehouse


def _running(settings: Settings) -> Finding | None:
    """What is to be said about the data directory if it can't be opened."""
    try:
        DataDir(settings.data_dir, "a pixeld command").close()
    except DataDirInUse as error:
        found = str(error).partition(";")[0]  # what to do about it is for who would start another
        return Finding("data directory", True, f"a server runs: {found}", "its own view of its parts is at /readyz")
    except PixeldError as error:
        return Finding("data directory", False, str(error))
    return None


def _port(settings: Settings, name: str, host: str, port: int) -> Finding:
    try:
        with bind(host, port, prefix="admin-" if name == "admin" else "") as bound:
            private = is_loopback(bound)
    except PixeldError as error:
        return Finding(f"{name} port", False, str(error))
    advice = ""
    if name == "admin" and not private and settings.admin_tls_cert is None:
        advice = "its token can be read on the network it is open to; set admin_tls_cert, or let only this machine reach it"
    return Finding(f"{name} port", True, f"{host}:{port} is free", advice)


def _keys(name: str, read: Callable[[str], object], given: str) -> Finding:
    """Whether keys that are given can be used; those of the data directory are pixeld's own."""
    try:
        read(given)
    except PixeldError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, "as given")


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        try:
            return Finding("redis", True, f"embedded: {embedded_redis.binary()}")
        except Unavailable as error:
            return Finding("redis", False, str(error))
    try:
        client = connect(settings.redis_url, settings.redis_timeout_s)
    except PixeldError as error:
        return Finding("redis", False, str(error))
    try:
        fit = await fitness(client, settings.redis_replicas)
    except Unavailable as error:
        return Finding("redis", False, str(error), "is redis_url right, and does Redis run? Events go to the spill meanwhile")
    finally:
        await client.aclose()
    if not fit.enough:
        return Finding("redis", False, f"{fit.server}: {fit.text}")
    if fit.durable:
        return Finding("redis", True, f"{fit.server}: {fit.text}")
    return Finding("redis", True, f"{fit.server}: answered events are NOT safe from a crash", fit.text)


async def _clickhouse(settings: Settings, *, in_use: bool) -> Finding:
    if settings.clickhouse_url is None and in_use:
        return Finding("clickhouse", True, "embedded, and open in the running server")
    try:
        async with _warehouse(settings) as warehouse:
            pending = [state for state in await schema.status(warehouse) if state.applied_at is None]
            detail = f"version {warehouse.version}" + (f", {len(pending)} migrations pending" if pending else "")
            if warehouse.features.exactly_once:
                return Finding("clickhouse", True, detail)
            advice = "before version 22.3 a batch repeated after a failure may be counted twice; use a newer one, or a cluster"
            return Finding("clickhouse", True, detail, advice)
    except PixeldError as error:
        return Finding("clickhouse", False, str(error), "is clickhouse_url right, and does ClickHouse run?")


def _policy(settings: Settings) -> Finding:
    try:
        policy, header = load_policy(settings)
        retention.check(policy.kept_days)
    except PixeldError as error:
        return Finding("privacy policy", False, str(error))
    detail = f'P3P compact policy "{policy.compact}"' if header else "P3P is off"
    if settings.privacy_file is None:
        advice = "it names no operator yet: copy config/privacy.toml, say in it who you are, and set privacy_file"
        return Finding("privacy policy", True, detail, advice)
    return Finding("privacy policy", True, detail)


def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is None:
        advice = "whoever registers waits for a link that is not sent: set smtp_url and mail_from, or portal = false"
        return Finding("mail", True, "kept here, where `pixeld mail list` shows it", advice)
    return Finding("mail", True, f"sent as {settings.mail_from}")


def _tls(settings: Settings, name: str) -> Finding:
    called = name.replace("_", " ")
    try:
        Certificate.of(settings, name)
    except PixeldError as error:
        return Finding(called, False, str(error))
    return Finding(called, True, f"{getattr(settings, f'{name}_cert')}")


def _country_db(settings: Settings) -> Finding:
    assert settings.country_db is not None
    try:
        with load_country_db(settings.country_db) as reader:
            return Finding("country database", True, f"{reader.metadata().database_type}")
    except PixeldError as error:
        return Finding("country database", False, str(error))
