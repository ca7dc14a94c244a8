"""What answers the public, over a node that stores."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import maxminddb
from aiohttp import web

from pixeld import privacy
from pixeld.domain import optout
from pixeld.domain.registry import Snapshot
from pixeld.domain.tokens import Keyring
from pixeld.errors import SettingsError
from pixeld.metrics import Metrics
from pixeld.parts.node import Node
from pixeld.settings import Settings
from pixeld.tracking.answer import Tracker
from pixeld.tracking.audience import Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.replies import Replies
from pixeld.web import keys, public, server, tracking
from pixeld.web.certificates import Certificate
from pixeld.web.desk import Desk
from pixeld.web.origin import Origin
from pixeld.web.rate import Limiter


class PublicListener:
    """The desk, which follows the registry, and then the public listener. PolicyError or SettingsError names what can't be
    used.
    """

    def __init__(
        self,
        stack: AsyncExitStack,
        settings: Settings,
        node: Node,
        metrics: Metrics,
        keyring: Keyring,
        visitors: Visitors,
        clock: Callable[[], int],
    ) -> None:
        self._settings, self._node, self._keyring, self._visitors = settings, node, keyring, visitors
        self._policy, p3p = load_policy(settings)
        self._replies = Replies(p3p)
        country_db = stack.enter_context(load_country_db(settings.country_db)) if settings.country_db else None
        self.origin = Origin(settings.networks(), settings.country_header, country_db)
        self.certificate = Certificate.of(settings, "tls")
        limiter = Limiter(settings.rate_per_s, settings.rate_burst, time.monotonic) if settings.rate_per_s else None
        self._desk = Desk(self._tracker(None), node.buffer, metrics, clock, self.origin, limiter)

    def changed(self, snapshot: Snapshot) -> None:
        """Answer by this picture of the registry from now on."""
        self._desk.tracker = self._tracker(snapshot)

    async def listen(self, stack: AsyncExitStack, bound: socket.socket, app: web.Application) -> None:
        """Answer the public, until the stack is unwound to here. `app` has everything but tracking and what belongs to it."""
        app[keys.POLICY] = self._policy
        public.add_routes(app, p3p=self._settings.p3p, https=self._settings.https)
        tracking.add_routes(app, self._desk)
        listener = await server.listen(app, bound, self._desk, self._settings, self.certificate)
        stack.push_async_callback(listener.stop)
        self._node.connections = lambda: listener.connections

    def _tracker(self, snapshot: Snapshot | None) -> Tracker:
        settings = self._settings
        return Tracker(
            snapshot,
            self._keyring,
            self._replies,
            self._visitors,
            os.urandom,
            Cookies(settings.referral_cookie, settings.landing_cookie),
            honour_dnt=settings.honour_dnt,
            tcf_vendor_id=settings.tcf_vendor_id,
            cookie_days=self._policy.cookie_days(settings.referral_cookie, settings.landing_cookie),
        )


def load_policy(settings: Settings) -> tuple[privacy.Policy, str | None]:
    """The policy of the data map, and the P3P header's value (None when P3P is off). PolicyError names what is wrong
    with it.
    """
    if settings.privacy_file is not None:
        try:
            data_map = privacy.load(settings.privacy_file.read_bytes())
        except OSError as error:
            raise SettingsError(f"privacy_file {settings.privacy_file} cannot be read: {error.strerror}") from error
    else:
        data_map = privacy.default_map()
    policy = privacy.Policy.from_map(data_map)
    for name in (settings.referral_cookie, settings.landing_cookie):
        if name not in policy.cookies:
            raise SettingsError(
                f"cookie_name is {settings.cookie_name!r}, and the privacy data map names no cookie {name!r}: name it among "
                "the `cookies` of a map of your own, which config/privacy.toml is a draft of, and set privacy_file"
            )
    days = policy.cookies.get(optout.NAME, 0)
    if days is not None and days < optout.DAYS:
        raise SettingsError(
            f"the privacy data map lets the cookie {optout.NAME} of whoever opts out stay {days} days, and it stays "
            f"{optout.DAYS}, so that nobody has to opt out again soon; say so there, as config/privacy.toml does"
        )
    return policy, privacy.header(policy.compact, settings.public_url) if settings.p3p else None


def load_country_db(path: Path) -> maxminddb.Reader:
    """The operator's country database. SettingsError when it can't be read."""
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise SettingsError(f"country_db {path} cannot be used: {error}") from error
