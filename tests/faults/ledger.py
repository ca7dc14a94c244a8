"""The campaign's own books: what was sent, what was answered, and whether ClickHouse holds exactly that."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

PARTNERS = ("blog", "deals")
TABLES = {"click": ("clicks", "s1"), "impression": ("impressions", "s1"), "order": ("order_events", "order_id")}
HANG_S = 60.0  # a reply must come, or the connection end, within it: two patient Redis timeouts and a stop, on a busy machine
_PACE_S = 0.01
_AUDIENCE = "country, device, browser, os, language"
# (the roll-up, the column of its time, the UTC time that it is of, what else tells its rows apart)
_ROLL_UPS = [
    ("traffic_hourly", "hour", "toStartOfHour(at)", f"client, partner, quality, {_AUDIENCE}"),
    ("traffic_grains WHERE grain = 'client day'", "start", "toStartOfDay(at)", "client, quality"),
    ("traffic_grains WHERE grain = 'client hour'", "start", "toStartOfHour(at)", "client, quality"),
    ("traffic_grains WHERE grain = 'partner day'", "start", "toStartOfDay(at)", "client, partner, quality"),
    ("traffic_grains WHERE grain = 'partner hour'", "start", "toStartOfHour(at)", "client, partner, quality"),
]


@dataclass
class Ledger:
    """Ids of events by what their visitor was told, with amounts in cents (0 for what is no order)."""

    answered: dict[str, tuple[str, int]] = field(default_factory=dict)  #: told that they are stored
    unknown: dict[str, tuple[str, int]] = field(default_factory=dict)  #: told nothing, or that they aren't
    refused: Counter = field(default_factory=Counter)  #: reasons given
    wrong: list[str] = field(default_factory=list)  #: replies that the contract doesn't know

    async def visit(self, node, number, seed):
        """One visitor, for ever: a request, its reply into the books, the next request."""
        rnd, n = random.Random(f"{seed}-{number}"), 0
        browser = None
        while True:
            await node.back.wait()
            if browser is None or browser.address != node.address:
                browser = node.browser(browser and browser.cookie)
            kind = rnd.choices(tuple(TABLES), (5, 2, 3))[0]
            event, amount, n = f"v{number:02}-{n}", rnd.randrange(1, 100_000) if kind == "order" else 0, n + 1
            partner = rnd.choice(PARTNERS)
            target = {
                "click": f"/t/shop/c/{partner}?s1={event}",
                "impression": f"/t/shop/i/{partner}.gif?s1={event}",
                "order": f"/t/shop/o.gif?order={event}&amount={amount // 100}.{amount % 100:02}",
            }[kind]
            self.unknown[event] = kind, amount
            try:
                async with asyncio.timeout(HANG_S):
                    status, headers = await browser.get(target)
            except TimeoutError:
                if not node.halted:
                    self.wrong.append(f"{target}: no reply within {HANG_S:.0f} s")
                await browser.close()
                browser = None
                continue
            except OSError:
                await browser.close()
                browser = None
                await asyncio.sleep(_PACE_S)
                continue
            said = headers.get("x-pixeld", "nothing")
            if said == "ok" and status == (302 if kind == "click" else 200):
                self.answered[event] = self.unknown.pop(event)
            elif status == (302 if kind == "click" else 503) and said in _REFUSALS:
                self.refused[said] += 1
            else:
                self.wrong.append(f"{target}: {status}, X-Pixeld: {said}")
            await asyncio.sleep(_PACE_S)

    async def reconcile(self, node, visitors):
        """What differs between these books and ClickHouse: a list of sentences, empty when nothing does."""
        found = list(self.wrong)
        stored = Counter()
        for kind, (table, column) in TABLES.items():
            amount = "amount_minor" if kind == "order" else "0"
            for number in range(visitors):
                sql = f"SELECT {column} AS id, {amount} AS amount FROM {table} WHERE {column} LIKE 'v{number:02}-%'"
                for row in await node.sql(sql):
                    stored[row["id"]] += 1
                    known = self.answered.get(row["id"]) or self.unknown.get(row["id"])
                    if known != (kind, row["amount"]):
                        found.append(f"{row['id']} is stored as {kind} of {row['amount']}, and was {known}")
        self.lost = sorted(self.answered.keys() - stored.keys())
        self.doubled = sorted(event for event, n in stored.items() if n > 1)
        self.stored = len(stored)
        found += [f"lost: {event} {self.answered[event]}" for event in self.lost]
        found += [f"doubled: {event}" for event in self.doubled]
        if unasked := stored.keys() - self.answered.keys() - self.unknown.keys():
            found.append(f"stored, and never sent: {sorted(unasked)[:5]}")
        for table, _ in TABLES.values():
            (row,) = await node.sql(f"SELECT count() AS n, uniqExact(event_id) AS ids FROM {table}")
            if row["n"] != row["ids"]:
                found.append(f"{table} has {row['n']} rows for {row['ids']} event ids")
        return found + await self._money(node, stored) + await self._roll_ups(node)

    async def _money(self, node, stored):
        everything = self.answered | self.unknown
        cents = sum(everything[event][1] for event in stored)
        number = sum(everything[event][0] == "order" for event in stored)
        (row,) = await node.sql("SELECT count() AS n, sum(amount_minor) AS cents FROM orders")
        if (row["n"], row["cents"]) != (number, cents):
            return [f"orders: {row['n']} with {row['cents']} cents, and the books have {number} with {cents}"]
        return []

    async def _roll_ups(self, node):
        tables = {row["name"] for row in await node.sql("SELECT name FROM system.tables WHERE database = currentDatabase()")}
        found = []
        for table, time, begin, key in _ROLL_UPS:
            if table.split()[0] not in tables:
                continue
            rolled = await node.sql(
                f"SELECT {time} AS t, {key}, sum(clicks) AS c, sum(impressions) AS i, uniqCombinedMerge(12)(visitors) AS v "
                f"FROM {table} GROUP BY t, {key} ORDER BY t, {key}"
            )
            columns = f"{begin} AS t, client, partner, quality, {_AUDIENCE}, visitor"
            raw = await node.sql(
                f"SELECT t, {key}, sum(click) AS c, sum(1 - click) AS i, uniqCombinedIf(12)(visitor, click = 1) AS v FROM ("
                f"SELECT {columns}, 1 AS click FROM clicks UNION ALL SELECT {columns}, 0 AS click FROM impressions"
                f") GROUP BY t, {key} ORDER BY t, {key}"
            )
            if rolled != raw:
                found.append(f"{table} differs from the raw tables: {_differing(rolled, raw)}")
        return found


_REFUSALS = {f"dropped; reason={reason}" for reason in ("not_durable", "buffer_full", "not_ready")}


def _differing(some, others):
    return [row for row in some if row not in others][:3], [row for row in others if row not in some][:3]
