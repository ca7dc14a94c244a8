"""Books: what was answered against what reports say. An answered event is a stored event, or this says which isn't."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal

from bench.visitors import CLICK, IMPRESSION, amount_minor
from pixeld.cli import Refused
from pixeld.cli.server import Server

_POLL_S = 0.5
_OK, _MAYBE = 2, 1
#: What leaves open whether the event is stored: no answer, one that isn't pixeld's, one that gave up waiting for a disk.
_OPEN = ("", "not_durable")
_NAMES = {"revenue_minor": "revenue in cents"}


@dataclass(frozen=True, slots=True)
class Books:
    """Events of one run; an order counts once, however often its page was loaded. Revenue in cents."""

    clicks: int = 0
    impressions: int = 0
    orders: int = 0
    revenue_minor: int = 0


class Ledger:
    """What became of each request, as its sender knows it."""

    __slots__ = ("_clicks", "_impressions", "_orders")

    def __init__(self) -> None:
        self._clicks, self._impressions = [0, 0], [0, 0]  # answered, open
        self._orders = bytearray()  # one for each order: _OK | _MAYBE

    def new_order(self) -> int:
        """The number of the next order."""
        self._orders.append(0)
        return len(self._orders) - 1

    def told(self, kind: int, order: int, said: str) -> None:
        """What X-Pixeld said of a request: `ok`, a reason, or nothing (`""`) when no reply came. `order` is for orders."""
        if said != "ok" and said not in _OPEN:
            return
        if kind in (CLICK, IMPRESSION):
            (self._clicks if kind == CLICK else self._impressions)[said != "ok"] += 1
        else:
            self._orders[order] |= _OK if said == "ok" else _MAYBE

    def answered(self) -> Books:
        """What must be stored."""
        return self._books(0, lambda state: state & _OK)

    def open(self) -> Books:
        """What may be stored, and may not: nobody was told."""
        return self._books(1, lambda state: state == _MAYBE)

    def _books(self, column, wanted) -> Books:
        orders = [number for number, state in enumerate(self._orders) if wanted(state)]
        return Books(self._clicks[column], self._impressions[column], len(orders), sum(map(amount_minor, orders)))


def differences(answered: Books, open: Books, stored: Books) -> list[str]:
    """What doesn't add up, a sentence each; empty when the books are equal.

    Equal: everything answered is stored, and nothing else but what was left open.
    """
    least, more, found = asdict(answered), asdict(open), asdict(stored)
    wrong = []
    for name, there in found.items():
        low, high = least[name], least[name] + more[name]
        if not low <= there <= high:
            allowed = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            off = there - (low if there < low else high)
            wrong.append(f"{_NAMES.get(name, name)}: {allowed} answered, {there:,} stored ({off:+,})")
    return wrong


def read(server: Server, client: str, partner: str, run: str, first: date, last: date) -> Books:
    """What the performance report says of a run. PixeldError when it can't be had."""
    report = server.get(
        "reports", "performance",
        from_=first.isoformat(), to=last.isoformat(), tz="UTC", by="s1", quality="all", client=client, partner=partner,
    )  # fmt: skip
    rows = [row for row in report["rows"] if row["s1"] == run]
    clicks, impressions, orders = (sum(row[name] for row in rows) for name in ("clicks", "impressions", "orders"))
    revenue = sum(int(Decimal(row["revenue"]) * 100) for row in rows if row["currency"] == "EUR")
    return Books(clicks, impressions, orders, revenue)


def flush(server: Server, patience_s: float) -> None:
    """Have everything flushed. Refused when that takes longer than `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            server.post("flush")
            return
        except Refused as error:  # it gives up after some seconds of a long backlog, and goes on working it off
            if error.problem.get("code") != "unavailable" or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def settled(ledger: Ledger, look, patience_s: float) -> tuple[Books, list[str]]:
    """(what is stored, what doesn't add up), looked at until it adds up or time is over.

    One flush reaches the server that was asked; behind a load balancer there are others, which flush in their own time.
    """
    answered, open = ledger.answered(), ledger.open()
    deadline = time.monotonic() + patience_s
    while True:
        stored = look()
        wrong = differences(answered, open, stored)
        if not wrong or time.monotonic() > deadline:
            return stored, wrong
        time.sleep(_POLL_S)
