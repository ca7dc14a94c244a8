"""Redis behind sentinels: its URL, and a client that asks them for the primary anew for each connection that it makes.

    redis+sentinel://user:password@host:26379,host2:26379/name-of-the-primary/0?sentinel_password=…
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

from pixeld.errors import SettingsError
from pixeld.storage import urls

_SCHEMES = ("redis+sentinel", "rediss+sentinel")
_PORT = 26379
_OPTIONS = {
    "sentinel_user": "",
    "sentinel_password": "",
    "sentinel_tls": "0",  # 1 with rediss+sentinel
    "verify": "1",
    "ca_certs": "",
    "cert": "",
    "key": "",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed Sentinel URL. Its repr has no password. `tls` are redis-py's options, with which TLS is used."""

    sentinels: tuple[tuple[str, int], ...]
    primary: str
    db: int
    user: str | None
    password: str | None = field(repr=False)
    sentinel_user: str | None
    sentinel_password: str | None = field(repr=False)
    secure: bool
    sentinel_secure: bool
    tls: dict[str, Any]

    @classmethod
    def parse(cls, url: str) -> Address:
        """SettingsError says what is wrong, without repeating the URL: it may hold a password."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise SettingsError("the Sentinel URL is no URL; special characters must be written as %40 and the like") from None
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if parts.scheme not in _SCHEMES or not path[0] or len(path) > 2:
            raise SettingsError("the Sentinel URL must look like redis+sentinel://host:26379,host2:26379/name-of-the-primary/0")
        if len(path) > 1 and not path[1].isdecimal():
            raise SettingsError("the Sentinel URL must end with the number of a database, or with the primary's name")
        secure = parts.scheme == "rediss+sentinel"
        options = urls.options(parts.query, _OPTIONS | {"sentinel_tls": str(int(secure))}, "Sentinel")
        userinfo, _, named = parts.netloc.rpartition("@")
        if (sentinels := urls.hosts(named, _PORT)) is None:
            raise SettingsError("the Sentinel URL must name the sentinels: host:26379,host2:26379")
        user, _, password = userinfo.partition(":")
        tls = {
            "ssl_cert_reqs": "required" if options["verify"] == "1" else "none",
            "ssl_check_hostname": options["verify"] == "1",
            "ssl_ca_certs": options["ca_certs"] or None,
            "ssl_certfile": options["cert"] or None,
            "ssl_keyfile": options["key"] or None,
        }
        return cls(
            sentinels=sentinels,
            primary=path[0],
            db=int(path[1]) if len(path) > 1 else 0,
            user=unquote(user) or None,
            password=unquote(password) or None,
            sentinel_user=options["sentinel_user"] or None,
            sentinel_password=options["sentinel_password"] or None,
            secure=secure,
            sentinel_secure=options["sentinel_tls"] == "1",
            tls=tls,
        )


def names(url: str) -> bool:
    """Whether `url` leads to sentinels."""
    return url.partition("://")[0] in _SCHEMES


def connect(address: Address, options: dict[str, Any]) -> Any:
    """A client of the primary, with redis-py's connection `options`, which are those for the sentinels too."""
    tls = {"ssl": True, **address.tls}
    sentinels: Any = Sentinels(  # type: ignore[no-untyped-call]
        address.sentinels,
        sentinel_kwargs={
            "username": address.sentinel_user,
            "password": address.sentinel_password,
            **(tls if address.sentinel_secure else {}),
            **options,
        },
    )
    return sentinels.master_for(
        address.primary,
        connection_pool_class=_Pool,
        db=address.db,
        username=address.user,
        password=address.password,
        **(tls if address.secure else {}),
        **options,
    )


class Sentinels(Sentinel):
    """redis-py's, but asked all at once, so that one which hangs holds nobody up, and a minority's word is the last resort."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The primary's address, as the most recently configured of the first half of the sentinels that answer has it.

        MasterNotFoundError says what each of them said. Bounded by the timeouts of one.
        """
        asked = {asyncio.create_task(_ask(sentinel)): _name(sentinel) for sentinel in self.sentinels}
        found: list[tuple[int, tuple[str, int]]] = []
        problems, left = [], set(asked)
        try:
            while left and len(found) <= len(asked) // 2:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        state = task.result().get(service_name)
                    except (RedisError, OSError) as error:
                        problems.append(f"{asked[task]}: {type(error).__name__}: {error}")
                        continue
                    if state is None:
                        problems.append(f"{asked[task]} knows no {service_name!r}")
                    elif not self.check_master_state(state, service_name):
                        problems.append(f"{asked[task]} holds the primary for down")
                    else:
                        found.append((int(state["config-epoch"]), (state["ip"], int(state["port"]))))
        finally:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if not found:
            raise MasterNotFoundError(f"the sentinels name no primary {service_name!r} that is up: {'; '.join(problems)}")
        return max(found)[1]


class _Pool(SentinelConnectionPool):
    """Closes the clients of its sentinels with it."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


async def _ask(sentinel: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = await sentinel.sentinel_masters()
    return found


def _name(sentinel: Any) -> str:
    where = sentinel.connection_pool.connection_kwargs
    return f"{where['host']}:{where['port']}"
