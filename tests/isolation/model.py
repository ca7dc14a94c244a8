"""What each scope may see, in plain Python over lists: written from the contract, and sharing nothing with the code that answers."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.conftest import START_MS

_PLACES = {"EUR": 2, "USD": 2, "JPY": 0}
_STATUSES = ("pending", "approved", "rejected")
_COUNTS = (
    *("impressions", "clicks", "unique_clicks", "orders", "revenue", "commission"),
    *(f"{what}_{status}" for what in ("orders", "commission") for status in _STATUSES),
)
NOW_S = START_MS // 1000


def sees(scope, client, partner):
    """Whether a row of this client and this partner ("" for none) is for `scope`, a (role, id)."""
    role, own = scope
    return role == "operator" or (role == "client" and client == own) or (role == "partner" and partner == own)


def known_clients(scope, network):
    """id → (currency, time zone) of those whose very existence the scope may know of."""
    role, own = scope
    if role == "operator":
        return network.clients
    if role == "client":
        return {own: network.clients[own]}
    return {client: network.clients[client] for client, partner in network.members if partner == own}


def standing(network):
    """One order for each client and number: the first attributed observation, or else the first; and whether others differ."""
    seen = defaultdict(list)
    for order in network.orders:
        seen[order.client, order.order].append(order)
    for observations in seen.values():
        observations.sort(key=lambda o: (o.partner == "", o.at_ms, o.event_id))
        values = {(o.amount, o.currency) for o in observations}
        earners = {o.partner for o in observations if o.partner}
        yield observations[0], len(values) > 1 or len(earners) > 1


def decision(network, order):
    """What was decided last about an order, or None."""
    about = [d for d in network.decisions if (d.client, d.order) == (order.client, order.order)]
    return max(about, key=lambda d: d.at_ms, default=None)


def status(network, order):
    """pending, approved or rejected: as decided; else approved once it is locked."""
    decided = decision(network, order)
    if decided:
        return decided.status
    return "approved" if order.locks_at and order.locks_at <= NOW_S else "pending"


def performance(scope, network, params, today):
    """(columns, rows, totals) of the performance report; rows in no particular order."""
    by = [name for name in params.get("by", "day").split(",") if name]
    known, zone, within, wanted = _asked(scope, network, params, today)
    quality = params.get("quality", "all" if "quality" in by else "human")
    rows, totals = defaultdict(_empty), defaultdict(_empty)
    for visit in network.visits:
        if within(visit.at_ms) and wanted(visit.client, visit.partner) and quality in ("all", visit.quality):
            currency = known.get(visit.client, (None,))[0]
            for row in (rows[(*(_value(visit, d, zone) for d in by), currency)], totals[currency,]):
                row["clicks" if visit.clicked else "impressions"] += 1
                if visit.clicked:
                    row["people"].add(visit.visitor)
    clicks = {(v.client, v.click_id): v for v in network.visits if v.click_id and wanted(v.client, v.partner)}
    for order, _ in standing(network):
        if within(order.at_ms) and wanted(order.client, order.partner):
            click = clicks.get((order.client, order.click_id))
            for row in (rows[(*(_value(order, d, zone, click) for d in by), order.currency)], totals[order.currency,]):
                row["orders"] += 1
                row["minor"] += order.amount
                row["orders", status(network, order)] += 1
                row["commission", status(network, order)] += order.commission
    columns = [*by, "currency", *_COUNTS]
    return columns, [_row(columns, *item) for item in rows.items()], [_row(columns[len(by) :], *item) for item in totals.items()]


def orders(scope, network, params, today):
    """The rows of the list of orders, newest first."""
    _, _, within, wanted = _asked(scope, network, params, today)
    found = [
        (o, conflict, decision(network, o))
        for o, conflict in standing(network)
        if within(o.at_ms) and wanted(o.client, o.partner) and params.get("status") in (None, status(network, o))
    ]
    return [
        {
            "order": o.order,
            "client": o.client,
            "partner": o.partner or None,
            "amount": money(o.amount, o.currency),
            "currency": o.currency,
            "commission": money(o.commission, o.currency),
            "status": status(network, o),
            "decided_at": _utc(decided.at_ms // 1000) if decided else None,
            **({"decided_by": decided.who if decided else None} if scope[0] != "partner" else {}),
            "reason": (decided.reason or None) if decided else None,
            "locks_at": _utc(o.locks_at) if o.locks_at else None,
            "method": o.method or None,
            "click_id": o.click_id or None,
            "clicked_at": _utc(o.clicked_at) if o.clicked_at else None,
            "ordered_at": _utc(o.at_ms // 1000),
            "coupon": o.coupon or None,
            "customer": o.customer or None,
            "flags": ["conflict"] if conflict else [],
        }
        for o, conflict, decided in sorted(found, key=lambda item: (item[0].at_ms, item[0].client, item[0].order), reverse=True)
    ]


def money(minor, currency):
    """Minor units as decimal text."""
    places = _PLACES.get(currency, 0)
    whole, rest = divmod(minor, 10**places)
    return f"{whole}.{rest:0{places}}" if places else str(whole)


def _asked(scope, network, params, today):
    known = known_clients(scope, network)
    single = scope[1] if scope[0] == "client" else params.get("client")
    zone = ZoneInfo(params.get("tz") or known.get(single, ("", "UTC"))[1])
    last = date.fromisoformat(params["to"]) if "to" in params else today
    first = date.fromisoformat(params["from"]) if "from" in params else last - timedelta(days=29)

    def within(at_ms):
        return first <= datetime.fromtimestamp(at_ms // 1000, zone).date() <= last

    def wanted(client, partner):
        named = params.get("client") in (None, client) and params.get("partner") in (None, partner)
        return named and sees(scope, client, partner)

    return known, zone, within, wanted


def _value(event, dimension, zone, click=None):
    local = datetime.fromtimestamp(event.at_ms // 1000, zone)
    if dimension == "hour":
        return local.replace(minute=0, second=0).isoformat()
    if dimension == "day":
        return local.date().isoformat()
    if dimension == "month":
        return local.strftime("%Y-%m")
    if dimension == "partner":
        return event.partner or None
    if dimension in ("s1", "s2", "s3", "s4", "s5", "creative"):  # what only a click knows
        return getattr(click or event, dimension, "")
    return getattr(event, dimension, "")


def _empty():
    by_status = {(what, status): 0 for what in ("orders", "commission") for status in _STATUSES}
    return {"impressions": 0, "clicks": 0, "people": set(), "orders": 0, "minor": 0} | by_status


def _row(columns, key, counts):
    currency = key[-1] or ""
    commission = [counts["commission", status] for status in _STATUSES]
    values = (
        counts["impressions"], counts["clicks"], len(counts["people"]), counts["orders"], money(counts["minor"], currency),
        money(commission[0] + commission[1], currency), *(counts["orders", status] for status in _STATUSES),
        *(money(minor, currency) for minor in commission),
    )  # fmt: skip
    return dict(zip(columns, (*key, *values), strict=True))


def _utc(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
