"""The answers: facts in, the reply's bytes and the encoded event out. Sync, without I/O, without a clock of its own.

A `Tracker` is made from one snapshot of the registry and replaced when that changes; what depends on neither request
nor visitor is computed once a client, at its first request.
"""

from __future__ import annotations

from collections.abc import Callable

from pixeld.domain import optout, referral
from pixeld.domain.consent import REFUSED
from pixeld.domain.events import CLICK, FORGET, ORDER, REFUSAL, Drop, Kind, encode
from pixeld.domain.registry import Snapshot
from pixeld.domain.tokens import Keyring
from pixeld.tracking import paths
from pixeld.tracking.audience import Visitors
from pixeld.tracking.clicks import Clicks
from pixeld.tracking.cookies import Cookies
from pixeld.tracking.facts import Facts
from pixeld.tracking.orders import Orders
from pixeld.tracking.paths import LANDING
from pixeld.tracking.query import coded, split
from pixeld.tracking.replies import Answer, Replies, Reply
from pixeld.tracking.shop import Shop
from pixeld.tracking.signals import NAMES, Judge


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
        self._snapshot, self._keys, self._replies = snapshot, keys, replies
        self._cookies, self._cookie_days = cookies, cookie_days
        self._judge = Judge(honour_dnt, tcf_vendor_id)
        clicks = Clicks(keys, replies, visitors, cookies, random)
        self._click, self._impression = clicks.click, clicks.impression
        orders = Orders(keys, replies, visitors, cookies, self._judge)
        self._order, self._landing = orders.order, orders.landing
        self._shops: dict[str, Shop] = {}
        self._paths: dict[str, _Found] = {}

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
            verdict = self._judge.verdict(facts, shop.client, query)
            if verdict in REFUSED:
                return self._turn_away(facts, kind, shop, partner, values, plain, verdict)
        if kind is ORDER:
            return self._order(facts, shop, values, plain, verdict)
        if kind is LANDING:
            return self._landing(facts, shop, values)
        return (self._click if kind is CLICK else self._impression)(facts, shop, partner, values, plain, verdict)

    def unstored(self, answer: Answer, reason: Drop) -> Answer:
        """The answer that is sent instead when the event of `answer` could not be stored."""
        return self._instead(answer, reason, self._replies.unavailable[reason])

    def limited(self, answer: Answer) -> Answer:
        """The answer that is sent instead of a click's or an impression's from an address that has too many.

        The visitor still reaches the shop, with cookie and click id; both verify later, so that an order is credited as ever.
        """
        return self._instead(answer, Drop.RATE_LIMITED, self._replies.dropped[Drop.RATE_LIMITED])

    def _instead(self, answer: Answer, reason: Drop, gif: Reply) -> Answer:
        """Cookies are set and deleted all the same, but for one by which something should have been forgotten: it stays, so
        that the next contact has that done.
        """
        sent, line, (kind, _) = answer
        cookies = line is None or _FORGETS not in line
        return sent.instead(gif, reason, cookies=cookies), None, (kind, reason)

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
            return self._replies.no_path, None, ("none", Drop.BAD_PATH)
        kind = named[0]
        if self._snapshot is None:
            reply = self._replies.no_registry if kind is CLICK else self._replies.unavailable[Drop.NOT_READY]
            return reply, None, (kind.name, Drop.NOT_READY)
        reply = self._replies.no_client if kind is CLICK else self._replies.dropped[Drop.UNKNOWN_CLIENT]
        return reply, None, (kind.name, Drop.UNKNOWN_CLIENT)

    def _open(self, client_id: str) -> Shop | None:
        client = self._snapshot.clients.get(client_id) if self._snapshot else None
        if self._snapshot is None or client is None:
            return None
        approved, own = self._snapshot.approved.get(client_id, frozenset()), self._snapshot.own_terms.get(client_id, {})
        shop = Shop(client, approved, own, self._replies, self._cookies, self._cookie_days)
        self._shops[client_id] = shop
        return shop

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
            reply, line, counted = self._order(facts, shop, values, plain, verdict)
        elif kind is not LANDING:
            member = partner in shop.approved
            if kind is CLICK:
                before, after = shop.redirect_bare
                target = (member and shop.deep_link(values)) or shop.client.landing_url
                reply = Reply(f"{before}{target}{after}".encode(), b"")
            line = encode((REFUSAL.code, now_ms, shop.client.id, partner if member else "", kind.name, verdict))
        if shop.client.categories:
            own = (click for click in self._cookies.clicks(cookie) if self._keys.verify(click, shop.client.id))
            line = b"".join((line or b"", *(encode((FORGET.code, now_ms, shop.client.id, click)) for click in own))) or None
        for name, deletion in zip(self._cookies, self._cookies.deletions(shop.client.id), strict=True):
            if referral.held(cookie, name):
                reply = reply.setting(deletion)
        return reply, line, counted


_FORGETS = encode((FORGET.code, ""))[: -len('""]\n')]  # how such an event begins; no text within one has bare quotes
