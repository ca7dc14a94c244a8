"""Logins for tenants at the ClickHouse server itself: made, looked at through their own eyes, and taken away.

Straight at ClickHouse, not through pixeld's server: to make users needs rights that the server has no use for. The command
has the server note each change on the audit log. The statements are `storage.logins`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from hashlib import sha256
from secrets import token_hex, token_urlsafe

from pixeld.errors import WarehouseAway, WarehouseRefused
from pixeld.storage.clickhouse import Address, as_user, connector, each_host
from pixeld.storage.logins import VIEWS, Kind, Login, Statements, refusals, strangers
from pixeld.storage.warehouse import Link

__all__ = ["VIEWS", "Kind", "Logins"]

_DENIED = "(code 497)"
_FRAGMENT = "put config/clickhouse/tenants.xml into its config.d (on every server of a cluster), restart it, and try again"
# The metrics of the whole server: where reading `system` needs no grant, so does reading other tenants' queries there.
_METRICS = "SELECT count() FROM system.metrics"


class Logins:
    """Makes and removes the logins to the pixeld at `url`, as the user in it, or as `admin` (a user and its password).

    Every method raises WarehouseAway or WarehouseRefused, and SettingsError for a URL that is none. None changes anything on a
    server that cannot keep tenants apart.
    """

    def __init__(
        self,
        url: str | None,
        admin: tuple[str, str] | None = None,
        connect: Callable[[str], Callable[[], Link]] = connector,
    ) -> None:
        if url is None:
            raise WarehouseRefused(
                "the embedded ClickHouse engine has no logins: whoever reaches it reads everything. Name a ClickHouse server "
                "in PIXELD_CLICKHOUSE_URL; without one, tenants read their reports through the portal and the API"
            )
        address = Address.parse(url)
        self._url, self._connect = url, connect
        self._server_user, self._database = address.user, address.database
        self._admin = admin or (address.user, address.password)
        self._statements = Statements(address.database, address.cluster)

    def login(self, kind: Kind, id: str) -> Login:
        """The login of that client, partner or analyst. BadInput when `id` is no id."""
        return Login(kind, id, self._database)

    def plan(self, login: Login, password_sha256: str) -> list[str]:
        """The statements that `create` would run. Changes nothing."""
        with closing(self._administrator()) as link:
            users = self._users(link)
        return [*self._statements.admit(users), *self._statements.create(login, password_sha256, "…")]

    def create(self, login: Login, password_sha256: str | None = None) -> str | None:
        """Make `login`, or make it anew; its password, of which nothing is kept, unless its hash was given.

        First the server must show that it gives rows to nobody without a policy; then the login is used, and must find that it
        sees its own rows and nothing else. Otherwise it is taken away again.
        """
        password = token_urlsafe(24)
        with closing(self._administrator()) as link:
            self._test(link)
            self._run(link, self._statements.admit(self._users(link)))
            try:
                self._run(link, self._statements.create(login, _hashed(password), _hashed(token_urlsafe(24))))
                self._look_through(login, password)
            except BaseException:
                self._clean(link, self._statements.drop(login))
                raise
            if password_sha256 is None:
                return password
            self._run(link, [self._statements.set_password(login, password_sha256)])
            return None

    def drop(self, login: Login) -> None:
        """Take `login` away, and all that was made for it. It need not be there."""
        with closing(self._administrator()) as link:
            self._run(link, self._statements.drop(login))

    def _administrator(self) -> Link:
        link = self._connect(as_user(self._url, *self._admin))()
        if link.features.logins:
            return link
        link.close()
        raise WarehouseRefused(
            f"ClickHouse {link.features.version} cannot keep tenants apart: logins need row policies and views with rights "
            "of their own, which 24.3 and later have. With this one, tenants read their reports through the portal and the "
            "API, and `pixeld report --client …` or `--partner …` writes them for somebody"
        )

    def _users(self, link: Link) -> list[str]:
        """Who reads every row for pixeld: its server, and in a cluster whoever its servers ask each other as."""
        if (cluster := self._statements.cluster) is None:
            return [self._server_user]
        between = "SELECT DISTINCT user FROM system.clusters WHERE cluster = {cluster:String}"
        known = f"SELECT name FROM system.users WHERE name IN ({between})"  # noqa: S608 - of our own text
        return sorted({self._server_user, *(row["name"] for row in link.query(known, {"cluster": cluster.name}))})

    def _test(self, link: Link) -> None:
        """WarehouseRefused when a user whom no policy admits would get rows, or may look into the server's own tables."""
        name, password = f"{self._database}_canary_{token_hex(4)}", token_urlsafe(24)
        try:
            self._run(link, self._statements.canary(name, _hashed(password), self._server_user))
            for url in each_host(as_user(self._url, name, password)):
                with closing(self._connect(url)()) as canary:
                    if canary.query(f"SELECT count() AS n FROM {name}", {})[0]["n"]:  # noqa: S608 - of our own names
                        raise WarehouseRefused(
                            "this ClickHouse shows every row to a user whom no row policy names "
                            f"(users_without_row_policies_can_read_rows): {_FRAGMENT}"
                        )
                    if not _denied(canary, _METRICS):
                        raise WarehouseRefused(
                            "this ClickHouse lets everybody read its own tables, other tenants' queries among them "
                            f"(select_from_system_db_requires_grant): {_FRAGMENT}"
                        )
        finally:
            self._clean(link, self._statements.end_canary(name))

    def _look_through(self, login: Login, password: str) -> None:
        for url in each_host(as_user(self._url, login.name, password, login.name)):
            with closing(self._connect(url)()) as link:
                for sql in strangers(login):
                    if link.query(sql, {})[0]["n"]:
                        raise WarehouseRefused(f"{login.name} would see rows of others, and was taken away again: {sql}")
                for sql in (*refusals(login), _METRICS):
                    if not _denied(link, sql):
                        raise WarehouseRefused(f"{login.name} could read more than its views, and was taken away again: {sql}")

    def _run(self, link: Link, statements: Iterable[str]) -> None:
        for statement in statements:
            try:
                link.command(statement)
            except WarehouseAway as error:
                if _DENIED not in str(error):
                    raise
                raise WarehouseRefused(
                    f"{error}. {self._admin[0]} may not make logins: name a user that may manage access with --admin"
                ) from error

    def _clean(self, link: Link, statements: Iterable[str]) -> None:
        """Whatever can be cleaned up; the reason why is on its way already."""
        for statement in statements:
            with suppress(WarehouseAway, WarehouseRefused):
                link.command(statement)


def _denied(link: Link, sql: str) -> bool:
    try:
        link.query(sql, {})
    except WarehouseAway as error:
        if _DENIED in str(error):
            return True
        raise
    return False


def _hashed(password: str) -> str:
    return sha256(password.encode()).hexdigest()
