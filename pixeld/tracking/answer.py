"""The answers: facts in, the reply's bytes and the encoded event out. Sync, without I/O, without a clock of its own.

A `Tracker` is made from one snapshot of the registry and replaced when that changes; what depends on neither request
nor visitor is computed once a client, at its first request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pixeld.domain import events, landing, money, referral
from pixeld.domain.attribution import attribute
from pixeld.domain.events import CLICK, IMPRESSION, ORDER, SUB_IDS, TEST_ORDER, Drop, Kind, Quality
from pixeld.domain.registry import Client, Snapshot
from pixeld.domain.tokens import ID, NONCE_BYTES, Keyring
from pixeld.tracking.audience import Visitors
from pixeld.tracking.facts import Facts
from pixeld.tracking.query import coded, form_text, split, url_text
from pixeld.tracking.replies import Replies, Reply, dropped

PREFIX = "/t/"
MAX_SUB_ID, MAX_PARTNER_CLICK_ID, MAX_CREATIVE, MAX_ORDER_ID, MAX_COUPON = 500, 256, 64, 128, 64
_PATH = re.compile(rf"/t/({ID})/(?:c/({ID})|i/({ID})\.gif|o\.gif)", re.ASCII)
_DAY_S = 86_400
_new = tuple.__new__  # for a named tuple: half as long as by its own name
# Plain strings: to look a member up takes 60 ns, to encode or hash one as much again.
_HUMAN, _BOT, _PREFETCH, _HEAD, _NOT_A_MEMBER, _BAD_DEEP_LINK = map(str, Quality)


class Answer(NamedTuple):
    """What to send, and what to store first.

    `line` is the encoded event, None when nothing is to be stored. `counted` is what it is counted as: the kind, and a Quality
    or a Drop.
    """

    reply: Reply
    line: bytes | None
    counted: tuple[str, str]


class _Shop:
    """One client, with everything computed that doesn't depend on a request."""

    __slots__ = ("approved", "client", "hosts", "landing", "redirect", "redirect_bare", "window_s")

    def __init__(self, client: Client, approved: frozenset[str], replies: Replies, cookie_name: str) -> None:
        self.client, self.approved = client, approved
        self.window_s = client.window_days * _DAY_S
        self.hosts = client.hosts
        self.landing = client.landing_url.encode()
        self.redirect = replies.redirect_parts(client.id, cookie_name, self.window_s)
        self.redirect_bare = replies.without_cookie(self.redirect)


class Tracker:
    """Answers for one snapshot of the registry; `snapshot` None means that it has not been read yet.

    `random(n)` gives n unguessable bytes. `answer` never raises for any request.
    """

    def __init__(
        self,
        snapshot: Snapshot | None,
        keys: Keyring,
        replies: Replies,
        visitors: Visitors,
        random: Callable[[int], bytes],
        cookie_name: str = "pxref",
    ) -> None:
        self._snapshot, self._keys, self._visitors, self._random = snapshot, keys, visitors, random
        self._cookie_name = cookie_name
        self._approved: Mapping[str, frozenset[str]] = snapshot.approved if snapshot else {}
        self._shops: dict[str, _Shop] = {}
        self._paths: dict[str, tuple[Kind, _Shop, str]] = {}
        self._replies = replies
        self._gif_dropped = {reason: replies.gif_dropped(reason) for reason in Drop}
        self._gif_unavailable = {r: replies.gif_unavailable(r) for r in (Drop.NOT_DURABLE, Drop.BUFFER_FULL, Drop.NOT_READY)}
        self._dropped = {reason: dropped(reason) for reason in Drop}
        self._no_client = replies.text(b"404 Not Found", Drop.UNKNOWN_CLIENT, "There is no such client.")
        self._no_path = replies.text(b"404 Not Found", Drop.BAD_PATH, "There is no such tracking address.")
        self._no_registry = replies.text(b"503 Service Unavailable", Drop.NOT_READY, "Starting; please try again.")

    def answer(self, facts: Facts) -> Answer:
        """The answer to any request whose path begins with PREFIX."""
        path, _, query = facts.target.partition("?")
        found = self._paths.get(path) or self._find(path)
        if isinstance(found, Answer):
            return found
        kind, shop, partner = found
        if kind is ORDER:
            return self._order(facts, shop, split(query), coded(query))
        return (self._click if kind is CLICK else self._impression)(facts, shop, partner, split(query))

    def unstored(self, answer: Answer, reason: Drop) -> Answer:
        """The answer that is sent instead when the event of `answer` could not be stored."""
        reply = self._replies.not_durable(answer.reply, self._gif_unavailable[reason], self._dropped[reason])
        return Answer(reply, None, (answer.counted[0], reason))

    def limited(self, answer: Answer) -> Answer:
        """The answer that is sent instead of a click's or an impression's from an address that has too many.

        The visitor still reaches the shop, with cookie and click id; both verify later, so that an order is credited as ever.
        """
        reason = Drop.RATE_LIMITED
        reply = self._replies.not_durable(answer.reply, self._gif_dropped[reason], self._dropped[reason])
        return Answer(reply, None, (answer.counted[0], reason))

    def _find(self, path: str) -> tuple[Kind, _Shop, str] | Answer:
        """What a path names: kind, client and partner (`""` for an order); or what is said of one that names nothing.

        Remembered where it names what there is, so that there are no more of them than clients and memberships, twice.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            return Answer(self._no_path, None, ("none", Drop.BAD_PATH))
        client, clicked, shown = match.groups("")
        kind, partner = (CLICK, clicked) if clicked else (IMPRESSION, shown) if shown else (ORDER, "")
        shop = self._shops.get(client) or self._open(client)
        if shop is None:
            return self._nobody(kind)
        if kind is ORDER or partner in shop.approved:
            self._paths[path] = kind, shop, partner
        return kind, shop, partner

    def _nobody(self, kind: Kind) -> Answer:
        """For a client that isn't there, or not yet."""
        if self._snapshot is None:
            reply = self._no_registry if kind is CLICK else self._gif_unavailable[Drop.NOT_READY]
            return Answer(reply, None, (kind.name, Drop.NOT_READY))
        reply = self._no_client if kind is CLICK else self._gif_dropped[Drop.UNKNOWN_CLIENT]
        return Answer(reply, None, (kind.name, Drop.UNKNOWN_CLIENT))

    def _open(self, client_id: str) -> _Shop | None:
        client = self._snapshot.clients.get(client_id) if self._snapshot else None
        if client is None:
            return None
        shop = _Shop(client, self._approved.get(client_id, frozenset()), self._replies, self._cookie_name)
        self._shops[client_id] = shop
        return shop

    def _click(self, facts: Facts, shop: _Shop, partner: str, values: dict[str, str]) -> Answer:
        client = shop.client
        quality = _quality(facts, shop, partner)
        target = shop.landing
        if "u" in values and quality != _NOT_A_MEMBER:
            deep_link = url_text(values["u"])
            if landing.allowed(deep_link, shop.hosts):
                target = deep_link.encode()
            elif quality in (_HUMAN, _BOT):
                quality = _BAD_DEEP_LINK
        if quality in _NO_REFERRAL:
            click_id = ""
            before, after = shop.redirect_bare
            head = b"%s%s%s" % (before, target, after)
        else:
            click_id = self._keys.sign(client.id, partner, facts.now_ms // 1000, self._random(NONCE_BYTES))
            url = landing.with_parameter(target.decode(), client.click_param, click_id)
            cookie = referral.write(click_id, referral.read(facts.cookie, self._cookie_name))
            before, between, after = shop.redirect
            head = b"%s%s%s%s%s" % (before, url.encode(), between, cookie.encode(), after)
        line = CLICK.encode(
            facts.now_ms, client.id, partner, quality, click_id, self._visitor(facts, client), *_traffic(facts, values)
        )
        return Answer(Reply(head, b""), line, (CLICK.name, quality))

    def _impression(self, facts: Facts, shop: _Shop, partner: str, values: dict[str, str]) -> Answer:
        quality = _quality(facts, shop, partner)
        client = shop.client
        line = IMPRESSION.encode(
            facts.now_ms, client.id, partner, quality, self._visitor(facts, client), *_traffic(facts, values)
        )
        return Answer(self._replies.ok, line, (IMPRESSION.name, quality))

    def _order(self, facts: Facts, shop: _Shop, values: dict[str, str], coded: bool) -> Answer:
        kind, client = ORDER, shop.client
        if facts.method == "HEAD":
            return self._refuse(kind, Drop.HEAD)
        test = values.get("test", "")
        if test == "1":
            kind = TEST_ORDER
        elif test not in ("", "0"):
            return self._refuse(kind, Drop.BAD_TEST)
        get = values.get
        order_id, amount, currency, click = get("order", ""), get("amount", ""), get("currency", ""), get("click", "")
        if coded:
            amount, currency, click = form_text(amount), form_text(currency), form_text(click)
            try:
                order_id = form_text(order_id, "strict")
            except UnicodeDecodeError:
                order_id = ""
        if not 1 <= len(order_id) <= MAX_ORDER_ID or not order_id.isprintable():
            return self._refuse(kind, Drop.BAD_ORDER)
        currency = currency.upper() or client.currency
        if currency not in money.EXPONENTS:
            return self._refuse(kind, Drop.BAD_CURRENCY)
        try:
            amount_minor = money.to_minor(amount, currency)
        except ValueError:
            return self._refuse(kind, Drop.BAD_AMOUNT)
        earned = attribute(
            self._keys,
            click,
            referral.read(facts.cookie, self._cookie_name),
            client.id,
            facts.now_ms // 1000,
            shop.window_s,
            shop.approved,
        )
        partner, click_id, clicked_at, method = "", "", 0, ""
        if earned is not None:
            (_, partner, clicked_at, click_id), method = earned
        customer = get("customer", "")
        browser = facts.browser
        quality = _BOT if browser.bot else _HUMAN
        line = kind.encode(
            facts.now_ms,
            client.id,
            order_id,
            partner,
            method,
            click_id,
            clicked_at,
            amount_minor,
            currency,
            _cut(values, "coupon", MAX_COUPON),
            customer if customer in ("new", "returning") else "",
            quality,
            facts.country,
            *browser.audience,
        )
        return _new(Answer, (self._replies.ok, line, (kind.name, quality)))

    def _refuse(self, kind: Kind, reason: Drop) -> Answer:
        return Answer(self._gif_dropped[reason], None, (kind.name, reason))

    def _visitor(self, facts: Facts, client: Client) -> int:
        return self._visitors.number(client.id, facts.address, facts.browser.user_agent, facts.now_ms)


_NO_REFERRAL = (_NOT_A_MEMBER, _HEAD, _PREFETCH)


def _quality(facts: Facts, shop: _Shop, partner: str) -> str:
    """A Quality, by the one precedence: membership, then how it was asked for, then who asked."""
    if partner not in shop.approved:
        return _NOT_A_MEMBER
    if facts.method == "HEAD":
        return _HEAD
    if facts.browser.ahead:
        return _PREFETCH
    return _BOT if facts.browser.bot else _HUMAN


def _traffic(facts: Facts, values: dict[str, str]) -> tuple[str, ...]:
    """The columns that clicks and impressions share, in events' order."""
    return (
        *(_cut(values, name, MAX_SUB_ID) for name in SUB_IDS),
        _cut(values, "cid", MAX_PARTNER_CLICK_ID),
        _cut(values, "cr", MAX_CREATIVE),
        facts.country,
        *facts.browser.audience,
    )


def _cut(values: dict[str, str], name: str, length: int) -> str:
    """An optional text, cut to the length the contract gives: an over-long label is no reason to lose a paid order."""
    value = values.get(name)
    return form_text(value)[:length] if value else ""


assert events.CLICK.columns[6:11] == SUB_IDS  # _traffic writes them in this order
