"""What an order pixel is answered, and the landing beacon, which keeps a click for an order to come."""

from __future__ import annotations

from pixeld.domain import affinity, money, referral
from pixeld.domain.attribution import attribute
from pixeld.domain.commission import commission_minor
from pixeld.domain.consent import EXPLICIT, REFUSED
from pixeld.domain.events import AFFINITY, ORDER, TEST_ORDER, Drop, Kind, Quality, encode
from pixeld.domain.orders import MAX_COUPON, MAX_ID
from pixeld.domain.tokens import Keyring
from pixeld.tracking import tcf
from pixeld.tracking.audience import Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.facts import Facts
from pixeld.tracking.paths import LANDING
from pixeld.tracking.query import form_text
from pixeld.tracking.replies import GIF, OK, Answer, Replies, Reply
from pixeld.tracking.shop import Shop
from pixeld.tracking.signals import Judge

_HUMAN, _BOT = str(Quality.HUMAN), str(Quality.BOT)  # to look a member up takes 60 ns, to encode one as much again
_NO_AUDIENCE = ("", "", "", "")


class Orders:
    """Answers what stands on a shop's pages: always the GIF, and `X-Pixeld` says whether the order is kept."""

    __slots__ = ("_cookies", "_judge", "_keys", "_replies", "_visitors")

    def __init__(self, keys: Keyring, replies: Replies, visitors: Visitors, cookies: Cookies, judge: Judge) -> None:
        self._keys, self._replies, self._visitors, self._cookies, self._judge = keys, replies, visitors, cookies, judge

    def order(self, facts: Facts, shop: Shop, values: dict[str, str], plain: bool, verdict: str) -> Answer:
        """An order; with a `verdict` that refuses, nothing of the visitor is read."""
        method, _, cookie, browser, address, country, now_ms = facts
        kind, client, get = ORDER, shop.client, values.get
        if method == "HEAD":
            return self._refuse(kind, Drop.HEAD)
        test = get("test", "")
        if test == "1":
            kind = TEST_ORDER
        elif test not in ("", "0"):
            return self._refuse(kind, Drop.BAD_TEST)
        order_id, amount, currency, click = get("order", ""), get("amount", ""), get("currency", ""), get("click", "")
        coupon, customer = get("coupon", ""), get("customer", "")
        if not plain:
            amount, currency, click, coupon = form_text(amount), form_text(currency), form_text(click), form_text(coupon)
            try:
                order_id = form_text(order_id, "strict")
            except UnicodeDecodeError:
                order_id = ""
        if not 1 <= len(order_id) <= MAX_ID or not order_id.isprintable():
            return self._refuse(kind, Drop.BAD_ORDER)
        if currency not in money.EXPONENTS:
            currency = currency.upper() or client.currency
            if currency not in money.EXPONENTS:
                return self._refuse(kind, Drop.BAD_CURRENCY)
        try:
            amount_minor = money.to_minor(amount, currency)
        except ValueError:
            return self._refuse(kind, Drop.BAD_AMOUNT)
        audience, now_s = browser.audience, now_ms // 1000
        allowed = verdict not in REFUSED
        if allowed:
            clicks = [] if client.stateless else self._cookies.clicks(cookie)
        else:
            click, clicks, country, audience = "", [], "", _NO_AUDIENCE
        partner, clicked_at, click_id, earned_by = attribute(
            self._keys, click, clicks, client.id, now_s, shop.window_s, shop.approved
        )
        quality = _BOT if allowed and browser.bot else _HUMAN
        line = encode(
            (
                kind.code,
                now_ms,
                client.id,
                order_id,
                partner,
                earned_by,
                click_id,
                clicked_at,
                amount_minor,
                currency,
                coupon[:MAX_COUPON],
                customer if customer in ("new", "returning") else "",
                quality,
                verdict,
                country,
                *audience,
                commission_minor(amount_minor, currency == client.currency, now_s, shop.own.get(partner, shop.common)),
                now_s + shop.lock_s if shop.lock_s else 0,
            )
        )
        # Of a click that no cookie carries, nobody could have it forgotten.
        if client.categories and click_id in clicks and kind is ORDER and verdict in EXPLICIT:
            named = get("cat", "") if plain else form_text(get("cat", ""))
            categories, query = affinity.chosen(named, client.categories), facts[1].partition("?")[2]
            if categories and self._judge.verdict(facts, shop.client, query, tcf.AUDIENCE) in EXPLICIT:
                visitor = self._visitors.number(client.id, address, browser.user_agent, now_ms)
                line += encode((AFFINITY.code, now_ms, client.id, partner, click_id, visitor, categories))
        return self._replies.ok, line, (kind.name, quality)

    def landing(self, facts: Facts, shop: Shop, values: dict[str, str]) -> Answer:
        """The landing beacon: the click id that the page was opened with goes into the landing cookie, if it may earn."""
        method, _, cookie, _, _, _, now_ms = facts
        if method == "HEAD":
            return self._refuse(LANDING, Drop.HEAD)
        click = form_text(values.get("click", ""))
        _, _, click_id, _ = attribute(self._keys, click, (), shop.client.id, now_ms // 1000, shop.window_s, shop.approved)
        if not click_id:
            return self._refuse(LANDING, Drop.BAD_CLICK)
        if shop.client.stateless:
            return self._replies.ok, None, (LANDING.name, OK)
        clicks = referral.merged([click_id], referral.read(cookie, self._cookies.landing))[: referral.MAX_CLICKS]
        clicks = referral.since(clicks, now_ms // 1000 - shop.cookie_s)
        before, after = shop.beacon
        return Reply(b"%s%s%s" % (before, ".".join(clicks).encode(), after), GIF), None, (LANDING.name, OK)

    def _refuse(self, kind: Kind, reason: Drop) -> Answer:
        return self._replies.dropped[reason], None, (kind.name, reason)
