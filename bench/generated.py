"""Clicks and orders by the million, made by the engine itself and inserted like pixeld's batches, views and all.

200 clients with 50 partners each out of 2,000 (10,000 memberships), popularity by a power law, 40 days that end today (UTC).
A visitor of a client comes back on the same day for some 30 % of its clicks; 10 % of the traffic is not human; there is one
impression for ten clicks. Of the orders 90 % are attributed to a click, 5 % are seen twice, 1 % with another amount; 30 % are
approved and 5 % rejected by somebody within the hour, the others are locked after 30 days.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pixeld.storage.warehouse import Warehouse

DAYS = 40
CLIENTS = {f"shop-{n:03}": (("EUR", "USD")[n % 2], "UTC") for n in range(200)}
_PARTNERS_EACH, _PARTNERS, _EXPONENT = 50, 2000, 2.5
_PIECE = 250_000  # rows of one insert; more would only make it need more memory
_MERGE_S = 300  # at most, at the end: pixeld's merges run in the background all day


def _uniform(n: str, what: str) -> str:
    return f"(cityHash64({n}, '{what}') / 18446744073709551616)"


def _click(n: str, start_ms: int, rows: int) -> dict[str, str]:
    """The columns of click `n` of `rows`, as expressions."""
    client = f"toUInt32(floor({len(CLIENTS)} * pow({_uniform(n, 'client')}, {_EXPONENT})))"
    partner = f"cityHash64({client}, floor({_PARTNERS_EACH} * pow({_uniform(n, 'partner')}, 2))) % {_PARTNERS}"
    at_ms = f"toUInt64({start_ms} + intDiv({n} * {DAYS * 86_400_000}, {rows}))"
    # Of as many visitors as make 70 % of a day's clicks the first of theirs.
    share = f"(pow(({client} + 1) / {len(CLIENTS)}, {1 / _EXPONENT}) - pow({client} / {len(CLIENTS)}, {1 / _EXPONENT}))"
    visitor = f"floor({_uniform(n, 'visitor')} * ({rows / DAYS / 0.76} * {share} + 1))"
    return {
        "at_ms": at_ms,
        "client": f"concat('shop-', leftPad(toString({client}), 3, '0'))",
        "partner": f"concat('partner-', toString({partner}))",
        "quality": f"multiIf({_uniform(n, 'quality')} < 0.9, 'human', {_uniform(n, 'quality')} < 0.97, 'bot', 'prefetch')",
        "consent": f"if({_uniform(n, 'consent')} < 0.3, 'allowed tcf', 'allowed operator_asserts')",
        "visitor": f"cityHash64({client}, intDiv({at_ms}, 86400000), {visitor})",
        "s1": f"concat('campaign-', toString(toUInt32(floor(100 * pow({_uniform(n, 's1')}, 2)))))",
        "s2": f"if({_uniform(n, 's2')} < 0.3, concat('ad-', toString(cityHash64({n}) % 1000)), '')",
        "country": f"arrayElement(['DE', 'US', 'FR', 'GB', 'AT', 'CH', 'PL', ''], {_choice(n, 'country', 8)})",
        "device": f"arrayElement(['mobile', 'desktop', 'tablet'], {_choice(n, 'device', 3)})",
        "browser": f"arrayElement(['Chrome', 'Mobile Safari', 'Firefox', 'Edge', 'Safari'], {_choice(n, 'browser', 5)})",
        "os": f"arrayElement(['Android', 'iOS', 'Windows', 'Mac OS X'], {_choice(n, 'os', 4)})",
        "language": f"arrayElement(['de', 'en', 'fr', 'pl', 'it', ''], {_choice(n, 'language', 6)})",
        "event_id": f"concat('0a1b2c-', toString(intDiv({n}, 1000)), '-', toString({n} % 1000))",
    }


def _choice(n: str, what: str, of: int) -> str:
    return f"1 + toUInt8(floor({of} * pow({_uniform(n, what)}, 2)))"


def _order(n: str, start_ms: int, clicks: int, orders: int) -> dict[str, str]:
    """The columns of observation `n`: every 20th is of the same order as the one before."""
    order = f"({n} - ({n} % 20 = 19))"
    # Of every so many clicks the one that a random choice falls on, so that orders come in the order of time, as clicks do.
    chosen = f"toUInt64(intDiv({order} * {clicks}, {orders}) + cityHash64({order}) % {max(1, clicks // orders)})"
    click = _click(chosen, start_ms, clicks)
    attributed = f"(cityHash64({order}, 'attributed') % 10 != 0)"
    conflicting = f"({n} % 100 = 99)"
    return {
        "at_ms": f"{click['at_ms']} + if({n} % 20 = 19, 3000, 0)",
        "client": click["client"],
        "order_id": f"concat('A-', toString(100000000 + {order}))",
        "partner": f"if({attributed}, {click['partner']}, '')",
        "method": f"if({attributed}, 'cookie', '')",
        "click_id": f"if({attributed}, {_click_id(click['event_id'])}, '')",
        "clicked_at": f"if({attributed}, toUInt32(intDiv({click['at_ms']}, 1000)), 0)",
        "amount_minor": f"toInt64(1000 + cityHash64({order}) % 20000 + {conflicting})",
        "currency": f"if(substring({click['client']}, 8, 1) IN ('0', '2', '4', '6', '8'), 'EUR', 'USD')",
        "quality": "'human'",
        "consent": click["consent"],
        "commission_minor": f"if({attributed}, toInt64(intDiv(1000 + cityHash64({order}) % 20000, 20)), 0)",
        "locks_at": f"toUInt32(intDiv({click['at_ms']}, 1000) + 2592000)",
        **{name: click[name] for name in ("country", "device", "browser", "os", "language")},
        "event_id": f"concat('0a1b2d-', toString({n}))",
    }


def _decision(n: str, start_ms: int, clicks: int, orders: int) -> dict[str, str]:
    """The columns of decision `n`: there are 7 about each 20 observations."""
    order = _order(f"(20 * intDiv({n}, 7) + 2 * ({n} % 7))", start_ms, clicks, orders)
    return {
        "at_ms": f"{order['at_ms']} + 1000 * (cityHash64({n}) % 3600)",
        **{name: order[name] for name in ("client", "order_id")},
        "status": f"if({n} % 7 = 6, 'rejected', 'approved')",
        "who": f"concat('client:', {order['client']}, '/1')",
        "reason": f"if({n} % 7 = 6, 'returned', '')",
        "event_id": f"concat('0a1b2e-', toString({n}))",
    }


def _click_id(event_id: str) -> str:
    return f"substring(base64Encode(concat(unhex(hex(cityHash64({event_id}))), unhex(hex(sipHash128({event_id}))))), 1, 32)"


async def fill(warehouse: Warehouse, clicks: int, orders: int) -> None:
    """Insert them all, then wait until the merges that this set off are done."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=DAYS - 1)
    start_ms = int(start.timestamp() * 1000)
    click = _click("number", start_ms, clicks)
    click["click_id"] = f"if({click['quality']} = 'human', {_click_id(click['event_id'])}, '')"
    await _insert(warehouse, "clicks", click, start, clicks)
    await _insert(warehouse, "impressions", _click("number", start_ms, clicks // 10), start, clicks // 10)
    await _insert(warehouse, "order_events", _order("number", start_ms, clicks, orders), start, orders)
    decisions = orders // 20 * 7
    await _insert(warehouse, "order_decisions", _decision("number", start_ms, clicks, orders), start, decisions)
    end = time.monotonic() + _MERGE_S
    merging = "SELECT count() AS n FROM system.merges"
    while (await warehouse.query(merging, {}))[0]["n"] and time.monotonic() < end:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.5)


async def _insert(warehouse: Warehouse, table: str, columns: dict[str, str], start: datetime, rows: int) -> None:
    for first, count in _pieces(start, rows):
        settings = warehouse.features.insert_settings(f"{table}-{first}")
        options = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
        await warehouse.command(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
            f"FROM numbers({first}, {count}) SETTINGS {options}"
        )


def _pieces(start: datetime, rows: int) -> Iterator[tuple[int, int]]:
    """(first, how many), each of one month, in the order of time."""
    end, first = start + timedelta(days=DAYS), 0
    month = start
    while month < end:
        after = min(end, (month.replace(day=1) + timedelta(days=32)).replace(day=1))
        last = -(int((start - after).total_seconds()) * rows // (DAYS * 86_400))  # rounded up: the first row of the next month
        while first < last:
            yield first, min(_PIECE, last - first)
            first += min(_PIECE, last - first)
        month = after
