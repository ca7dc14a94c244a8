"""Nobody sees what isn't theirs: over 1,000 random networks, what comes back for every endpoint, every credential and any
parameters is exactly what an independent model permits. All networks share one database, each with ids of its own.
"""

import csv
import io
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import START_MS
from tests.isolation import model
from tests.isolation.networks import Network, Order, Visit, networks
from tests.isolation.world import TODAY

AT_ONCE, EXAMPLES = 10, 100  # networks in the registry at a time; times


@settings(
    max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.filter_too_much],
)  # fmt: skip
@given(st.lists(networks, min_size=AT_ONCE, max_size=AT_ONCE))
def _everybody_sees_exactly_their_own(runner, world, drawn):
    runner.run(check(world, drawn))


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two minutes of CPU time, of which a busy machine gives little
def test_over_a_thousand_networks(runner, world):
    _everybody_sees_exactly_their_own(runner, world)
    assert world.networks >= AT_ONCE * EXAMPLES


@pytest.mark.parametrize("by", ["s1", "s2", "creative"])
def test_an_order_tells_nothing_of_another_partners_click(runner, world, by):
    """Too rare to be met with by chance, and no real order names one; the statement has the scope all the same."""
    prefix, at_ms = f"x-{by}", START_MS - 60_000
    client, mine, theirs = f"{prefix}-shop", f"{prefix}-mine", f"{prefix}-theirs"
    click = Visit(True, at_ms, client, theirs, "human", f"{prefix}-k", 7, "their s1", "their s2", "their creative", "", "")
    order = Order(
        f"{prefix}-e", at_ms, client, "O-1", mine, "click", click.click_id, 1, 100, "EUR", 5, 0, "", "", "human", "", ""
    )  # fmt: skip
    network = Network({client: ("EUR", "UTC")}, [mine, theirs], {}, [click], [order], [])

    async def ask():
        await world.hold([network])
        for scope in (("partner", mine), ("partner", theirs), ("client", client)):
            key = await world.key(scope)
            asking = Asking(world, scope, network, network, lambda path, params, key=key: world.ask(path, params, key))
            await asking.performance({"by": [by]})

    runner.run(ask())


async def check(world, drawn):
    """Ask everybody's questions, and compare."""
    begin = world.networks
    found = [named(f"n{begin + n}") for n, (named, _) in enumerate(drawn)]
    await world.hold(found)
    for n, (network, (_, question)) in enumerate(zip(found, drawn, strict=True)):
        stranger = found[n - 1]
        scopes = [("client", id) for id in network.clients] + [("partner", id) for id in network.partners]
        for scope in scopes:
            key = await world.key(scope)
            ask = Asking(world, scope, network, stranger, lambda path, params, key=key: world.ask(path, params, key))
            await ask.report(*question)
            await ask.parties()
            await world.revoke(scope)
            assert (await world.ask("/me", {}, key)).status == 401
    report, params = drawn[0][1]  # an operator sees the other networks too, and is asked about one of them
    await Asking(world, ("operator", ""), found[0], found[-1], world.ask_as_operator).report(report, params | {"client": "own"})


class Asking:
    """One credential, and what comes back for it."""

    def __init__(self, world, scope, network, stranger, get):
        self.world, self.scope, self.network, self.stranger, self.get = world, scope, network, stranger, get

    def params(self, question):
        """Request parameters: days from their distance to today, filters from whom they mean."""
        role, own = self.scope
        given = {}
        for name, value in question.items():
            if name in ("from", "to"):
                given[name] = str(TODAY - timedelta(days=value))
            elif name in ("client", "partner") and value:
                mine, theirs = ([*n.clients] if name == "client" else n.partners for n in (self.network, self.stranger))
                one = own if role == name else mine[0]
                given[name] = {"own": one, "another": mine[-1], "stranger": theirs[0], "nobody": "nobody"}[value]
            elif name == "by":
                given[name] = ",".join(value)
            elif value:
                given[name] = str(value)
        if "from" in given and given["from"] > given.get("to", str(TODAY)):
            given["to"] = given["from"]
        return given

    async def report(self, name, question):
        await {"performance": self.performance, "orders": self.orders}[name](question)

    async def answer(self, path, params):
        response = await self.get(path, params)
        assert response.status == 200, (self.scope, path, params, await response.text())
        return response

    async def performance(self, question):
        params = self.params(question)
        columns, rows, totals = model.performance(self.scope, self.network, params, TODAY)
        response = await self.answer("/performance", params)
        if params.get("format") == "csv":
            assert read(await response.text()) == (columns, bag(printed(columns, rows))), (self.scope, params)
            return
        report = await response.json()
        assert report["columns"] == columns
        assert bag(report["rows"]) == bag(rows), (self.scope, params)
        assert bag(report["totals"]) == bag(totals), (self.scope, params)

    async def orders(self, question):
        params = self.params(question)
        expected = model.orders(self.scope, self.network, params, TODAY)
        limit = int(params.get("limit", 100))
        for first in range(0, len(expected) or 1, limit):
            response = await self.answer("/orders", params)
            page, last = expected[first : first + limit], first + limit >= len(expected)
            link = response.links.get("next")
            assert (link is None) is last, (self.scope, params)
            if params.get("format") == "csv":
                assert read(await response.text())[1] == bag(printed([*page[0]] if page else [], page)), (self.scope, params)
            else:
                assert (await response.json())["rows"] == page, (self.scope, params)
            if link:
                params = params | {"cursor": link["url"].query["cursor"]}

    async def parties(self):
        """Who it is, and whom it has agreements with."""
        role, own = self.scope
        me = await (await self.answer("/me", {})).json()
        assert me == {"role": role, "id": own, "name": own}
        others = {"client": "partners", "partner": "clients"}[role]
        listed = (await (await self.answer(f"/{others}", {})).json())[others]
        at = 1 if role == "client" else 0
        expected = [{"id": pair[at], "status": str(s)} for pair, s in self.network.members.items() if pair[1 - at] == own]
        assert bag({name: each[name] for name in ("id", "status")} for each in listed) == bag(expected), self.scope
        assert (await self.get({"client": "/clients", "partner": "/partners"}[role], {})).status == 404


def bag(rows):
    """Rows without their order."""
    return sorted(([(k, str(v)) for k, v in row.items()] for row in rows), key=repr)


def read(text):
    """(columns, rows) of CSV."""
    columns, *lines = csv.reader(io.StringIO(text, newline=""))
    return columns, bag(dict(zip(columns, line, strict=True)) for line in lines)


def printed(columns, rows):
    """Rows as CSV has them: nothing is an empty cell, and no cell is a formula."""
    for row in rows:
        cells = {column: "" if (value := row[column]) is None else value for column in columns}
        cells = {column: " ".join(value) if isinstance(value, list) else str(value) for column, value in cells.items()}
        yield {column: f"'{value}" if value.startswith("=") else value for column, value in cells.items()}
