"""The answers: facts in, the reply's bytes and the encoded event out. Sync, without I/O, without a clock of its own.

A `Tracker` is made from one snapshot of the registry and replaced when that changes; what depends on neither request
nor visitor is computed once a client, at its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pixeld.domain import affinity, landing, money, optout, orders, referral
from pixeld.domain.attribution import attribute
from pixeld.domain.commission import Terms, commission_minor
from pixeld.domain.consent import EXPLICIT, REFUSED, decide
from pixeld.domain.events import AFFINITY, CLICK, FORGET, IMPRESSION, ORDER, REFUSAL, TEST_ORDER, Drop, Kind, Quality, encode
from pixeld.domain.registry import Snapshot
from pixeld.domain.tokens import NONCE_BYTES, Keyring
from pixeld.tracking import paths, tcf
from pixeld.tracking.audience import Browser, Visitors
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.facts import Facts
from pixeld.tracking.labels import NO_LABELS
from pixeld.tracking.labels import labels as read_labels
from pixeld.tracking.paths import LANDING
from pixeld.tracking.query import coded, form_text, split, url_text
from pixeld.tracking.replies import GIF, Replies, Reply, dropped
from pixeld.tracking.shop import Shop
from pixeld.tracking.signals import NAMES, read

_MAX_ID, _MAX_COUPON = orders.MAX_ID, orders.MAX_COUPON
OK = "ok"
# Plain strings: to look a member up takes 60 ns, to encode or hash one as much again.
_HUMAN, _BOT, _PREFETCH, _HEAD, _NOT_A_MEMBER, _BAD_DEEP_LINK = map(str, Quality)


# What to send; the encoded event (of an order, maybe two) that is to be stored first, or None; and what it is counted as: its
# kind, and a Quality, a Verdict that refused it, a Drop, or OK. Plain, because to make and to drop a named one takes 0.15 µs
# longer.
Answer = tuple[Reply, bytes | None, tuple[str, str]]


class NotTracking(Exception):
    """An address below PREFIX that is a page's."""


_Found = tuple[Kind, Shop, str]  # what a path names: kind, client, and partner (`""` for an order or a landing beacon)


class Tracker:
    """Answers for one snapshot of the registry; `snapshot` None means that it has not been read yet.

    `random(n)` gives n unguessable bytes. `tcf_vendor_id` is the operator's own id on the IAB's list, 0 for none.
    `cookie_days` is how long cookies may keep a click, None for as long as the client's window. `answer` raises NotTracking
    for a page's address, and nothing else for any request.
    """

    def __init__(
        self,
        snapshot: Snapshot | None,
        keys: Keyring,
        replies: Replies,
        visitors: Visitors,
        random: Callable[[int], bytes],
        cookies: Cookies,
        *,
        honour_dnt: bool = False,
        tcf_vendor_id: int = 0,
        cookie_days: int | None = None,
    ) -> None:
        self._snapshot, self._keys, self._visitors, self._random, self._cookies = snapshot, keys, visitors, random, cookies
        self._honour_dnt, self._tcf_vendor_id, self._cookie_days = honour_dnt, tcf_vendor_id, cookie_days
        self._approved: Mapping[str, frozenset[str]] = snapshot.approved if snapshot else {}
        self._own: Mapping[str, Mapping[str, tuple[Terms, ...]]] = snapshot.own_terms if snapshot else {}
        self._shops: dict[str, Shop] = {}
        self._paths: dict[str, _Found] = {}
        self._replies = replies
        self._gif_dropped = {reason: replies.gif_dropped(reason) for reason in Drop}
        self._gif_unavailable = {r: replies.gif_unavailable(r) for r in (Drop.NOT_DURABLE, Drop.BUFFER_FULL, Drop.NOT_READY)}
        self._dropped = {reason: dropped(reason) for reason in Drop}
        self._no_client = replies.text(b"404 Not Found", Drop.UNKNOWN_CLIENT, "There is no such client.")
        self._no_path = replies.text(b"404 Not Found", Drop.BAD_PATH, "There is no such tracking address.")
        self._no_registry = replies.text(b"503 Service Unavailable", Drop.NOT_READY, "Starting; please try again.")

    def answer(self, facts: Facts) -> Answer:
        """The answer to any request whose path begins with PREFIX."""
        path, _, query = facts[1].partition("?")
        found = self._paths.get(path)
        if found is None:
            found = self._find(path)
            if found is None:
                return self._nothing(path)
        kind, shop, partner = found
        values, plain = split(query), not coded(query)
        verdict = shop.verdict
        # Nearly no request holds a signal: to find that out costs 0.15 µs, to read and to decide some 5.
        if (
            not verdict
            or facts[3].objects
            or optout.COOKIE in facts[2]
            or not NAMES.isdisjoint(values)
            or (not plain and "%" in "".join(values))  # a name that is written in another way
        ):
            verdict = self._decide(facts, shop, query)
            if verdict in REFUSED:
                return self._turn_away(facts, kind, shop, partner, values, plain, verdict)
        if kind is ORDER:
            return self._order(facts, shop, values, plain, verdict)
        if kind is LANDING:
            return self._landing(facts, shop, values)
        return (self._click if kind is CLICK else self._impression)(facts, shop, partner, values, plain, verdict)

    def unstored(self, answer: Answer, reason: Drop) -> Answer:
        """The answer that is sent instead when the event of `answer` could not be stored."""
        return self._instead(answer, reason, self._gif_unavailable[reason])

    def limited(self, answer: Answer) -> Answer:
        """The answer that is sent instead of a click's or an impression's from an address that has too many.

        The visitor still reaches the shop, with cookie and click id; both verify later, so that an order is credited as ever.
        """
        return self._instead(answer, Drop.RATE_LIMITED, self._gif_dropped[Drop.RATE_LIMITED])

    def _instead(self, answer: Answer, reason: Drop, gif: Reply) -> Answer:
        """Cookies are set and deleted all the same, but for one by which something should have been forgotten: it stays, so
        that the next contact has that done.
        """
        sent, line, (kind, _) = answer
        cookies = line is None or _FORGETS not in line
        return self._replies.not_durable(sent, gif, self._dropped[reason], cookies=cookies), None, (kind, reason)

    def _find(self, path: str) -> _Found | None:
        """What a path names; remembered where that is there, so that there are no more than clients and memberships, twice."""
        named = paths.named(path)
        shop = named and (self._shops.get(named[1]) or self._open(named[1]))
        if named is None or shop is None:
            return None
        kind, _, partner = named
        if not partner or partner in shop.approved:
            self._paths[path] = kind, shop, partner
        return kind, shop, partner

    def _nothing(self, path: str) -> Answer:
        """For a path that names nothing, or no client that is there, or not yet."""
        named = paths.named(path)
        if named is None:
            if paths.is_page(path):
                raise NotTracking
            return self._no_path, None, ("none", Drop.BAD_PATH)
        kind = named[0]
        if self._snapshot is None:
            reply = self._no_registry if kind is CLICK else self._gif_unavailable[Drop.NOT_READY]
            return reply, None, (kind.name, Drop.NOT_READY)
        reply = self._no_client if kind is CLICK else self._gif_dropped[Drop.UNKNOWN_CLIENT]
        return reply, None, (kind.name, Drop.UNKNOWN_CLIENT)

    def _open(self, client_id: str) -> Shop | None:
        client = self._snapshot.clients.get(client_id) if self._snapshot else None
        if client is None:
            return None
        approved, own = self._approved.get(client_id, frozenset()), self._own.get(client_id, {})
        shop = Shop(client, approved, own, self._replies, self._cookies, self._cookie_days)
        self._shops[client_id] = shop
        return shop

    def _decide(self, facts: Facts, shop: Shop, query: str, purposes: Collection[int] = tcf.REFERRAL) -> str:
        """The Verdict on a request."""
        _, _, cookie, browser, _, country, _ = facts
        said = read(query, cookie, browser, honour_dnt=self._honour_dnt, vendor=self._tcf_vendor_id, purposes=purposes)
        return str(decide(said, shop.client.consent, shop.client.consent_where, country))

    def _turn_away(
        self, facts: Facts, kind: Kind, shop: Shop, partner: str, values: dict[str, str], plain: bool, verdict: str
    ) -> Answer:
        """For a visitor who may not be tracked: on to the shop, or the GIF, one more in a count, and no referral any more, nor
        what was kept by an earlier consent of what its clicks bought.

        An order is the shop's own fact, which it keeps. A partner is told of only if there is one: the path is a stranger's.
        """
        cookie, now_ms = facts[2], facts[6]
        reply, line, counted = self._replies.ok, None, (kind.name, verdict)
        if kind is ORDER:
            reply, line, counted = self._order(facts, shop, values, plain, verdict, read=False)
        elif kind is not LANDING:
            member = partner in shop.approved
            if kind is CLICK:
                before, after = shop.redirect_bare
                deep_link = _deep_link(shop, values) if member else None
                reply = Reply(b"%s%s%s" % (before, shop.landing if deep_link is None else deep_link, after), b"")
            line = encode((REFUSAL.code, now_ms, shop.client.id, partner if member else "", kind.name, verdict))
        if shop.client.categories:
            own = (click for click in self._cookies.clicks(cookie) if self._keys.verify(click, shop.client.id))
            line = b"".join((line or b"", *(encode((FORGET.code, now_ms, shop.client.id, click)) for click in own))) or None
        for name, deletion in zip(self._cookies, self._cookies.deletions(shop.client.id), strict=True):
            if referral.held(cookie, name):
                reply = reply.setting(deletion)
        return reply, line, counted

    def _click(self, facts: Facts, shop: Shop, partner: str, values: dict[str, str], plain: bool, verdict: str) -> Answer:
        method, _, cookie, browser, address, country, now_ms = facts
        client = shop.client
        quality = _quality(shop, partner, method, browser)
        target = shop.landing
        if "u" in values and quality != _NOT_A_MEMBER:
            deep_link = _deep_link(shop, values)
            if deep_link is not None:
                target = deep_link
            elif quality in (_HUMAN, _BOT):
                quality = _BAD_DEEP_LINK
        if quality in _NO_REFERRAL:
            click_id = visit = ""
            before, after = shop.redirect_bare
            head = b"%s%s%s" % (before, target, after)
        else:
            click_id = self._keys.sign(client.id, partner, now_ms // 1000, self._random(NONCE_BYTES))
            url = landing.with_parameter(target.decode(), client.click_param, click_id)
            if client.stateless:
                visit = ""
                before, after = shop.redirect_bare
                head = b"%s%s%s" % (before, url.encode(), after)
            else:
                earlier = referral.read(cookie, self._cookies.referral)
                visit = "returning" if earlier else "new"
                clicks = referral.write(click_id, earlier, now_ms // 1000 - shop.cookie_s)
                before, between, after = shop.redirect
                head = b"%s%s%s%s%s" % (before, url.encode(), between, clicks.encode(), after)
        visitor = self._visitors.number(client.id, address, browser.user_agent, now_ms)
        labels = NO_LABELS if quality == _NOT_A_MEMBER else read_labels(values, plain)  # no agreement, nobody to label for
        line = encode(
            (
                CLICK.code, now_ms, client.id, partner, quality, verdict, click_id, visitor,
                *labels, country, *browser.audience, visit,
            )
        )  # fmt: skip
        return Reply(head, b""), line, (CLICK.name, quality)

    def _impression(
        self, facts: Facts, shop: Shop, partner: str, values: dict[str, str], plain: bool, verdict: str
    ) -> Answer:
        method, _, _, browser, address, country, now_ms = facts
        client = shop.client.id
        quality = _quality(shop, partner, method, browser)
        visitor = self._visitors.number(client, address, browser.user_agent, now_ms)
        labels = NO_LABELS if quality == _NOT_A_MEMBER else read_labels(values, plain)  # no agreement, nobody to label for
        line = encode(
            (IMPRESSION.code, now_ms, client, partner, quality, verdict, visitor, *labels, country, *browser.audience)
        )
        return self._replies.ok, line, (IMPRESSION.name, quality)

    def _order(
        self, facts: Facts, shop: Shop, values: dict[str, str], plain: bool, verdict: str, *, read: bool = True
    ) -> Answer:
        """An order; unless `read`, nothing of the visitor is."""
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
        if not 1 <= len(order_id) <= _MAX_ID or not order_id.isprintable():
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
        if read:
            clicks = [] if client.stateless else self._cookies.clicks(cookie)
        else:
            click, clicks, country, audience = "", [], "", _NO_AUDIENCE
        partner, clicked_at, click_id, earned_by = attribute(
            self._keys, click, clicks, client.id, now_s, shop.window_s, shop.approved
        )
        quality = _BOT if read and browser.bot else _HUMAN
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
                coupon[:_MAX_COUPON],
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
            if categories and self._decide(facts, shop, query, tcf.AUDIENCE) in EXPLICIT:
                visitor = self._visitors.number(client.id, address, browser.user_agent, now_ms)
                line += encode((AFFINITY.code, now_ms, client.id, partner, click_id, visitor, categories))
        return self._replies.ok, line, (kind.name, quality)

    def _landing(self, facts: Facts, shop: Shop, values: dict[str, str]) -> Answer:
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
        return self._gif_dropped[reason], None, (kind.name, reason)


_NO_REFERRAL = (_NOT_A_MEMBER, _HEAD, _PREFETCH)
_NO_AUDIENCE = ("", "", "", "")
_FORGETS = encode((FORGET.code, ""))[: -len('""]\n')]  # how such an event begins; no text within one has bare quotes


def _quality(shop: Shop, partner: str, method: str, browser: Browser) -> str:
    """A Quality, by the one precedence: membership, then how it was asked for, then who asked."""
    if partner not in shop.approved:
        return _NOT_A_MEMBER
    if method == "HEAD":
        return _HEAD
    if browser.ahead:
        return _PREFETCH
    return _BOT if browser.bot else _HUMAN


def _deep_link(shop: Shop, values: dict[str, str]) -> bytes | None:
    """Where `u` leads, if it leads to the shop."""
    url = url_text(values["u"]) if "u" in values else ""
    return url.encode() if landing.allowed(url, shop.hosts) else None
