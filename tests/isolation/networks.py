"""Random networks of clients, partners, memberships, clicks and orders, drawn by hypothesis; ids are the caller's to tell apart."""

from collections import namedtuple
from dataclasses import dataclass

from hypothesis import strategies as st

from pixeld.domain.registry import Status
from tests.conftest import START_MS

DAY_S = 86_400
CURRENCIES, ZONES = ("EUR", "USD", "JPY"), ("UTC", "Europe/Berlin", "Asia/Kolkata")
DIMENSIONS = ("day", "month", "client", "partner", "s1", "s2", "s3", "s4", "s5", "creative", "quality")
_TEXTS = ("", "a", "=1+1")
_QUALITIES = ("human", "human", "bot", "not_a_member")

Visit = namedtuple("Visit", "clicked at_ms client partner quality click_id visitor s1 s2 creative country device")
Order = namedtuple(
    "Order",
    "event_id at_ms client order partner method click_id clicked_at amount currency commission locks_at coupon customer quality country device",
)
Decision = namedtuple("Decision", "event_id at_ms client order status who reason")


@dataclass
class Network:
    """Clients as id → (currency, time zone), partners' ids, memberships, and what has happened."""

    clients: dict
    partners: list
    members: dict
    visits: list
    orders: list
    decisions: list


def _seconds(days=3):
    """A moment of the last days, now and then one that others have too."""
    return st.sampled_from([0, 3600, DAY_S, DAY_S - 1]) | st.integers(0, days * DAY_S)


_visits = st.lists(
    st.tuples(
        st.booleans(), _seconds(), st.integers(0, 2), st.integers(0, 2), st.sampled_from(_QUALITIES), st.integers(0, 2),
        st.sampled_from(_TEXTS), st.sampled_from(_TEXTS), st.sampled_from(_TEXTS), st.sampled_from(["", "DE"]), st.sampled_from(["", "phone"]),
    ),
    max_size=8,
)  # fmt: skip
# Mostly by a click, if there is one; else of nobody, or of a partner all the same
_orders = st.lists(
    st.tuples(
        _seconds(), st.integers(0, 2), st.integers(0, 3), st.sampled_from([None, 0, 1, 2]), st.integers(0, 8),
        st.integers(0, 10_000), st.sampled_from(CURRENCIES), st.integers(0, 500), st.sampled_from([0, START_MS // 1000, START_MS // 1000 + 1]),
        st.sampled_from(_TEXTS), st.sampled_from(["", "new"]),
        st.sampled_from(["human", "bot"]), st.sampled_from(["", "DE"]), st.sampled_from(["", "phone"]),
    ),
    max_size=8,
)  # fmt: skip
_decisions = st.lists(
    st.tuples(_seconds(), st.integers(0, 2), st.integers(0, 3), st.sampled_from(["approved", "rejected"]), st.sampled_from(["", "=sent back"])),
    max_size=4,
    unique_by=lambda decision: decision[0],  # of two in one millisecond, which one stands is nobody's business
)  # fmt: skip
_plans = st.tuples(
    st.lists(st.tuples(st.sampled_from(CURRENCIES), st.sampled_from(ZONES)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.lists(st.sampled_from([None, *Status]), min_size=9, max_size=9),
    _visits,
    _orders,
    _decisions,
)


def _network(plan):
    """The network of a plan, given a prefix for its ids."""
    shops, partner_count, statuses, visits, orders, decisions = plan

    def named(prefix):
        clients = {f"{prefix}-c{n}": shop for n, shop in enumerate(shops)}
        partners = [f"{prefix}-p{n}" for n in range(partner_count)]
        pairs = [(client, partner) for client in clients for partner in partners]
        members = {pair: status for pair, status in zip(pairs, statuses, strict=False) if status}
        ids = list(clients)
        happened = []
        for n, (clicked, ago_s, client, partner, quality, visitor, *texts) in enumerate(visits):
            at_ms, client = START_MS - ago_s * 1000, ids[client % len(ids)]
            click_id = f"{prefix}-k{n}" if clicked and n % 4 else ""
            # A visitor is another one at another client and on another day of UTC: that is how they are told apart at all.
            person = hash((prefix, client, at_ms // (DAY_S * 1000), visitor)) % 2**63
            happened.append(Visit(clicked, at_ms, client, partners[partner % partner_count], quality, click_id, person, *texts))
        observed = []
        for n, (ago_s, client, number, partner, visit, amount, currency, *rest) in enumerate(orders):
            at_ms, client = START_MS - ago_s * 1000, ids[client % len(ids)]
            earner, click = partners[partner % partner_count] if partner is not None else "", None
            clicks = [visit for visit in happened if visit.click_id]
            if clicks and partner in (0, 1):  # its partner is that of a click before it
                click = clicks[visit % len(clicks)]
                at_ms, client, earner = max(at_ms, click.at_ms), click.client, click.partner
            elif earner and visit % 2:  # no real one names another partner's click: if one did, nothing of the click is told
                click = next((each for each in clicks if each.client == client and each.at_ms <= at_ms), None)
            method = ("click" if visit % 2 else "cookie") if earner else ""
            found = (click.click_id, click.at_ms // 1000) if click else ("", 0)
            observed.append(Order(f"{prefix}-e{n}", at_ms, client, f"O-{number}", earner, method, *found, amount, currency, *rest))
        decided = [
            Decision(f"{prefix}-d{n}", START_MS - ago_s * 1000, ids[client % len(ids)], f"O-{number}", status, f"client:{prefix}/7", reason)
            for n, (ago_s, client, number, status, reason) in enumerate(decisions)
        ]
        return Network(clients, partners, members, happened, observed, decided)

    return named


_days = st.integers(0, 4)
_filters = st.sampled_from(["", "", "", "own", "another", "stranger", "nobody"])
_performance = st.fixed_dictionaries(
    {"by": st.lists(st.sampled_from(DIMENSIONS), max_size=4, unique=True)},
    optional={
        "from": _days, "to": _days, "client": _filters, "partner": _filters, "tz": st.sampled_from(ZONES), "quality": st.sampled_from(["human", "all"]),
        "format": st.sampled_from(["json", "csv"]),
    },
)  # fmt: skip
_orders_asked = st.fixed_dictionaries(
    {},
    optional={
        "from": _days, "to": _days, "client": _filters, "partner": _filters, "tz": st.sampled_from(ZONES), "limit": st.sampled_from([1, 2, 3, 1000]),
        "status": st.sampled_from(["pending", "approved", "rejected"]), "format": st.sampled_from(["json", "csv"]),
    },
)  # fmt: skip
#: A network, as a function of its ids' prefix, and what everybody in it asks: (report, parameters).
networks = st.tuples(
    _plans.map(_network),
    st.one_of(st.tuples(st.just("performance"), _performance), st.tuples(st.just("orders"), _orders_asked)),
)
