"""A client as the answers see it."""

from __future__ import annotations

from collections.abc import Mapping

from pixeld.domain import landing
from pixeld.domain.commission import Terms, rates
from pixeld.domain.consent import SILENCE, Mode, decide
from pixeld.domain.registry import Client
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.query import url_text
from pixeld.tracking.replies import Replies

_DAY_S = 86_400


class Shop:
    """One client, with everything computed that doesn't depend on a request."""

    __slots__ = (
        "approved", "arrival", "beacon", "client", "common", "cookie_s", "hosts", "lock_s", "own", "redirect", "redirect_bare",
        "verdict", "window_s",
    )  # fmt: skip

    def __init__(
        self,
        client: Client,
        approved: frozenset[str],
        own: Mapping[str, tuple[Terms, ...]],
        replies: Replies,
        cookies: Cookies,
        cookie_days: int | None,
    ) -> None:
        self.client, self.approved, self.lock_s = client, approved, client.lock_days * _DAY_S
        self.common = rates(client.commission, client.currency)
        #: What the orders of partners with terms of their own earn, and those of nobody.
        self.own = {partner: rates(terms, client.currency) + self.common for partner, terms in own.items()} | {"": ()}
        self.window_s = client.window_days * _DAY_S
        #: How long cookies keep a click: for as long as an order may count for it, if the privacy policy allows that.
        self.cookie_s = self.window_s if cookie_days is None else min(self.window_s, cookie_days * _DAY_S)
        self.hosts = client.hosts
        #: The landing page, around a click id.
        self.arrival = landing.around(client.landing_url, client.click_param)
        self.redirect = replies.redirect_parts(cookies.of_client(client.id, self.cookie_s))
        self.redirect_bare = replies.without_cookie(self.redirect)
        self.beacon = replies.gif_with_cookie(cookies.of_page(self.cookie_s))
        #: What is decided about a request without signals; empty where that depends on the country.
        self.verdict = "" if client.consent == Mode.REQUIRE else str(decide(SILENCE, client.consent, client.consent_where, ""))

    def deep_link(self, values: dict[str, str]) -> str:
        """Where `u` leads, if it leads to the shop; empty otherwise."""
        url = url_text(values["u"]) if "u" in values else ""
        return url if landing.allowed(url, self.hosts) else ""
