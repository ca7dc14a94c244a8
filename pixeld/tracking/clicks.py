"""What a click and an impression are answered."""

from __future__ import annotations

from collections.abc import Callable

from pixeld.domain import landing, referral
from pixeld.domain.events import CLICK, IMPRESSION, Quality, encode
from pixeld.domain.tokens import Keyring, nonces
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.facts import Facts
from pixeld.tracking.labels import NO_LABELS
from pixeld.tracking.labels import labels as read_labels
from pixeld.tracking.replies import Answer, Replies, Reply
from pixeld.tracking.shop import Shop

# Plain strings: to look a member up takes 60 ns, to encode or hash one as much again.
_HUMAN, _BOT, _PREFETCH, _HEAD, _NOT_A_MEMBER, _BAD_DEEP_LINK = map(str, Quality)
_NO_REFERRAL = (_NOT_A_MEMBER, _HEAD, _PREFETCH)


class Clicks:
    """Answers partners' links and banners. `random(n)` gives n unguessable bytes."""

    __slots__ = ("_cookie", "_keys", "_nonce", "_ok", "_visitors")

    def __init__(
        self, keys: Keyring, replies: Replies, visitors: Visitors, cookies: Cookies, random: Callable[[int], bytes]
    ) -> None:
        self._keys, self._visitors, self._nonce = keys, visitors, nonces(random).__next__
        self._cookie, self._ok = cookies.referral, replies.ok

    def click(self, facts: Facts, shop: Shop, partner: str, values: dict[str, str], plain: bool, verdict: str) -> Answer:
        """On to the shop, with a click id for an approved partner's; the click is kept in any case, and flagged."""
        method, _, cookie, browser, address, country, now_ms = facts
        client = shop.client
        quality = _quality(shop, partner, method, browser)
        deep_link = ""
        if "u" in values and quality != _NOT_A_MEMBER:
            deep_link = shop.deep_link(values)
            if not deep_link and quality in (_HUMAN, _BOT):
                quality = _BAD_DEEP_LINK
        if quality in _NO_REFERRAL:
            click_id = visit = ""
            before, after = shop.redirect_bare
            head = f"{before}{deep_link or client.landing_url}{after}"
        else:
            now_s = now_ms // 1000
            click_id = self._keys.sign(client.id, partner, now_s, self._nonce())
            to, fragment = landing.around(deep_link, client.click_param) if deep_link else shop.arrival
            if client.stateless:
                visit = ""
                before, after = shop.redirect_bare
                head = f"{before}{to}{click_id}{fragment}{after}"
            else:
                earlier = referral.read(cookie, self._cookie)
                visit = "returning" if earlier else "new"
                clicks = referral.write(click_id, earlier, now_s - shop.cookie_s)
                before, between, after = shop.redirect
                head = f"{before}{to}{click_id}{fragment}{between}{clicks}{after}"
        visitor = self._visitors.number(client.id, address, browser.user_agent, now_ms)
        labels = NO_LABELS if quality == _NOT_A_MEMBER else read_labels(values, plain)  # no agreement, nobody to label for
        line = encode(
            (
                CLICK.code, now_ms, client.id, partner, quality, verdict, click_id, visitor,
                *labels, country, *browser.audience, visit,
            )
        )  # fmt: skip
        return Reply(head.encode(), b""), line, (CLICK.name, quality)

    def impression(self, facts: Facts, shop: Shop, partner: str, values: dict[str, str], plain: bool, verdict: str) -> Answer:
        """The GIF."""
        method, _, _, browser, address, country, now_ms = facts
        client = shop.client.id
        quality = _quality(shop, partner, method, browser)
        visitor = self._visitors.number(client, address, browser.user_agent, now_ms)
        labels = NO_LABELS if quality == _NOT_A_MEMBER else read_labels(values, plain)  # no agreement, nobody to label for
        line = encode(
            (IMPRESSION.code, now_ms, client, partner, quality, verdict, visitor, *labels, country, *browser.audience)
        )
        return self._ok, line, (IMPRESSION.name, quality)


def _quality(shop: Shop, partner: str, method: str, browser: Browser) -> str:
    """A Quality, by the one precedence: membership, then how it was asked for, then who asked."""
    if partner not in shop.approved:
        return _NOT_A_MEMBER
    if method == "HEAD":
        return _HEAD
    if browser.ahead:
        return _PREFETCH
    return _BOT if browser.bot else _HUMAN
