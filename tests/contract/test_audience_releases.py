"""What comes out of the audience, attacked: by whoever may ask everything that may be asked, and subtract.

The attacker's questions go through the real statements and engine. What they are judged by is the world itself, in which every
visitor's identity is known; the released numbers' own making isn't asked.
"""

import asyncio
import itertools
import json
import re
import threading
from collections import defaultdict
from datetime import date, timedelta
from importlib.util import find_spec
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixeld.domain.audience import OTHER, ROUND, SALT_BITS, Trait
from pixeld.domain.events import AFFINITY, CLICK, FORGET
from pixeld.domain.reports import AudienceQuery, Scope
from pixeld.parts.releasing import GRACE_S, Releasing
from pixeld.storage import audience, keys, migrations
from pixeld.storage.audience import AudienceReleases
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import connect
from pixeld.storage.reports import Reports
from pixeld.storage.warehouse import INTEGERS
from tests.conftest import START_MS, FrozenClock, require
from tests.services import clickhouse_server

TABLES = ("clicks", "affinities", "forgotten", "audience_releases")
K = 30  # three times what numbers are rounded to: otherwise rounding alone would hide what is to be found
DAY_MS = 86_400_000
TODAY = START_MS // DAY_MS
DAYS = (TODAY - 2, TODAY - 1)
SHOP, PARTNERS = "shop", ("ann", "ben", "cid")
TRAITS = tuple(trait for trait in Trait if trait is not Trait.CATEGORY)
#: Device, browser and system; some browsers are of one system only.
TECHNOLOGY = (
    ("mobile", "Mobile Safari", "iOS"), ("mobile", "Chrome Mobile iOS", "iOS"), ("tablet", "Mobile Safari", "iOS"),
    ("desktop", "Chrome", "Windows"), ("desktop", "Edge", "Windows"),
)  # fmt: skip


class Block(NamedTuple):
    """Some people who click: those numbered from `start` on, by the server with that salt."""

    day: int
    client: str
    partner: str
    size: int
    start: int
    country: str = "DE"
    technology: int = 0
    hour: int = 9
    visit: str = "new"
    salt: int = 1


class Visitor(NamedTuple):
    """A click that is its visitor's first one that day. `who` is somebody's browser, whatever the salt."""

    day: int
    partner: str
    who: int
    values: dict


def clicks(blocks):
    """Rows of `clicks`, in the order of their time."""
    for index, block in enumerate(blocks):
        device, browser, os = TECHNOLOGY[block.technology]
        for n in range(block.size):
            who = block.start + n, block.technology
            at_ms = block.day * DAY_MS + block.hour * 3_600_000 + index * 1000 + n
            yield {
                "at_ms": at_ms, "client": block.client, "partner": block.partner, "quality": "human", "country": block.country,
                "device": device, "browser": browser, "os": os, "language": "de", "visit": block.visit,
                "visitor": block.salt << 64 - SALT_BITS | who[0] << 3 | who[1], "event_id": f"{index}-{n}",
            }  # fmt: skip


def visitors(blocks, pooled):
    """What an all-knowing judge sees of the shop: `pooled` are the (day, partner) that are told together."""
    seen = {}
    for row in sorted(clicks(block for block in blocks if block.client == SHOP), key=lambda row: row["at_ms"]):
        day, group = row["at_ms"] // DAY_MS, row["partner"]
        if (day, group) in pooled:
            group = ""
        values = {trait: row[trait] for trait in Trait if trait in row} | {"hour": str(row["at_ms"] % DAY_MS // 3_600_000)}
        who = row["visitor"] & (1 << 64 - SALT_BITS) - 1
        seen.setdefault((day, row["visitor"]), Visitor(day, group, who, values))
    return list(seen.values())


class Engine:
    """A warehouse, a Redis, and everything that may be asked."""

    def __init__(self, url, directory, valkey):
        self.loop = asyncio.new_event_loop()
        self.clock = FrozenClock()
        self.warehouse = open_warehouse(url, directory)
        self.redis = self.run(self._connect(valkey))
        self.releases = self.server()
        self.reports = Reports(self.warehouse, self.clock)

    async def _connect(self, valkey):
        await self.warehouse.connect()
        await migrations.apply(self.warehouse)
        return connect(valkey, 5.0)

    def server(self, k=K):
        return AudienceReleases(self.redis, self.warehouse, self.clock, k)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def close(self):
        self.run(self.redis.aclose())
        self.run(self.warehouse.close())
        self.loop.close()

    def begin(self, blocks=()):
        """An empty world, then these clicks."""
        for migration in migrations.known():
            if migration.name in TABLES:
                self.run(self.warehouse.command(f"DROP TABLE {migration.name}"))
                for statement in migration.statements(self.warehouse.features):
                    # Without an end: the engine has a clock of its own.
                    self.run(self.warehouse.command(re.sub(r"\nTTL .*", "", statement)))
        self.run(self.redis.flushall())
        self.insert("clicks", CLICK.columns, clicks(blocks))

    def insert(self, table, columns, rows):
        columns = (*columns, "event_id")
        lines = [[row.get(column, 0 if column in INTEGERS else "") for column in columns] for row in rows]
        encoded = [json.dumps(line).encode() for line in lines]
        self.run(self.warehouse.insert(table, columns, encoded, str(hash(tuple(encoded)))))

    def release(self, days=DAYS):
        return [self.run(self.releases.release(as_date(day))) for day in days]

    def ask(self, scope, by="country", first=DAYS[0], last=TODAY, **filters):
        """value → number, as the report has it."""
        params = {"from": str(as_date(first)), "to": str(as_date(last)), "by": by, **filters}
        report = self.run(self.reports.audience(scope, AudienceQuery.parse(params, as_date(TODAY))))
        return {row[by]: row["visitors"] for row in report["rows"]}


def as_date(day):
    return date(1970, 1, 1) + timedelta(days=day)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, valkey):
    require(find_spec("chdb"), "chdb-core (pip install 'pixeld[embedded]')")
    made = Engine(None, tmp_path_factory.mktemp("audience"), valkey)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory, valkey):
    directory = tmp_path_factory.mktemp("clickhouse")
    with clickhouse_server(directory) as server:
        made = Engine(server.url(), directory, valkey)
        yield made
        made.close()


@pytest.fixture(params=["embedded", pytest.param("served", marks=pytest.mark.services)])
def engine(request):
    """The newest engine and the oldest."""
    return request.getfixturevalue(request.param)


# ---- the attack

SINGLE = (Trait.COUNTRY, Trait.LANGUAGE, Trait.HOUR, Trait.VISIT)


def attack(engine, blocks):
    """Ask everything, subtract everything, and judge. AssertionError says who was isolated."""
    told = {}  # (day, partner or the pool) → trait → value → number
    pooled = set()
    shop = Scope.client(SHOP)
    for day in DAYS:
        for partner in PARTNERS:
            told[day, partner] = {by: engine.ask(shop, by, day, day, partner=partner) for by in TRAITS}
            if not told[day, partner]["country"]:
                pooled.add((day, partner))
            other_eyes = engine.ask(Scope.partner(partner), "country", day, day, client=SHOP)
            assert other_eyes == told[day, partner]["country"], "partner and client were told two things"
        # Without one partner, and without any of them.
        told[day, ""] = {by: minus(engine.ask(shop, by, day, day), *(told[day, p][by] for p in PARTNERS)) for by in TRAITS}
    world = defaultdict(list)
    for visitor in visitors(blocks, pooled):
        world[visitor[:2]].append(visitor)
    for group, by_trait in told.items():
        judge(group, world[group], by_trait)
    adjacent_periods(engine, told)


def judge(group, there, by_trait):
    for trait, values in by_trait.items():
        for value, number in values.items():
            who = {v.who for v in there if (v.values[trait] == value if value != OTHER else True)}
            assert len(who) >= K, f"{group}: {trait} {value} tells of {len(who)}"
            assert number % ROUND == 0 and number >= K - ROUND
    for trait in SINGLE:
        if values := by_trait[trait]:
            hidden = {v.who for v in there if v.values[trait] not in values}
            assert OTHER in values or not hidden, f"{group}: the group minus its {trait} is {len(hidden)}"
            assert OTHER not in values or len(hidden) >= K, f"{group}: other {trait} are {len(hidden)}"
            # What is exact elsewhere minus what is told here is nothing but rounding.
            assert abs(len(there) - sum(values.values())) <= ROUND / 2 * len(values)
    # A browser that is of one system only, subtracted from that system; and so on.
    for (outer, inner) in itertools.permutations((Trait.DEVICE, Trait.BROWSER, Trait.OS), 2):
        for (a, many), (b, few) in itertools.product(by_trait[outer].items(), by_trait[inner].items()):
            implied = b != OTHER and all(v.values[outer] == a for v in there if v.values[inner] == b)
            if implied:
                assert many == few or many - few >= K - ROUND, f"{group}: {a} without {b} are about {many - few}"


def adjacent_periods(engine, told):
    """A period and one that is a day longer differ by what was told of that day."""
    for by, partner in itertools.product((Trait.COUNTRY, Trait.OS), ("", *PARTNERS)):
        filters = {"partner": partner} if partner else {}
        longer = [engine.ask(Scope.client(SHOP), by, DAYS[0], day, **filters) for day in (*DAYS, TODAY)]
        assert longer[-1] == longer[-2], "today is told"
        for day, before, after in zip(DAYS[1:], longer, longer[1:], strict=False):
            of_day = [told[day, p][by] for p in ([partner] if partner else ("", *PARTNERS))]
            assert minus(after, before) == plus(*of_day)
    everything = engine.ask(Scope.operator(), client=SHOP)
    assert everything == plus(*(by["country"] for by in told.values())), "an operator is told something else"


def plus(*answers):
    total = defaultdict(int)
    for value, number in itertools.chain.from_iterable(answer.items() for answer in answers):
        total[value] += number
    return dict(total)


def minus(answer, *others):
    total = plus(answer, *({value: -number for value, number in other.items()} for other in others))
    return {value: number for value, number in total.items() if number}


BLOCKS = st.lists(
    st.builds(
        Block,
        day=st.sampled_from(DAYS),
        client=st.sampled_from((SHOP, SHOP, SHOP, "store")),
        partner=st.sampled_from(PARTNERS),
        size=st.sampled_from((1, 3, 20, 29, 30, 31, 60, 65)),
        start=st.sampled_from((0, 20, 100, 200, 300)),
        country=st.sampled_from(("DE", "FR", "NL", "")),
        technology=st.integers(0, len(TECHNOLOGY) - 1),
        hour=st.sampled_from((0, 9, 23)),
        visit=st.sampled_from(("new", "returning", "")),
        salt=st.sampled_from((0, 1, 2**SALT_BITS - 1)),
    ),
    min_size=3,
    max_size=10,
)
D = DAYS[0]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example([Block(D, "shop", "ann", 60, 0), Block(D, "shop", "ann", 3, 100, "FR")]).via("one small value beside a large one")
@example(
    [Block(D, "shop", "ann", 60, 0), Block(D, "shop", "ann", 40, 100, "NL"), Block(D, "shop", "ann", 3, 200, "FR")]
).via("one small value: a second one has to go with it")
@example([Block(D, "shop", "ann", 29, 0)]).via("a group that is too small")
@example([Block(D, "shop", "ann", 29, 0), Block(D, "shop", "ben", 1, 100)]).via("a pool that is just large enough")
@example([Block(D, "shop", "ann", 20, 0), Block(D, "shop", "ben", 20, 0)]).via("a pool of the same people twice")
@example([Block(D, "shop", "ann", 20, 0, salt=s) for s in (1, 2)]).via("the same people after a restart")
@example(
    [Block(D, "shop", "ann", 60, 0, technology=0), Block(D, "shop", "ann", 12, 100, technology=1),
     Block(D, "shop", "ann", 60, 200, technology=3), Block(D, "shop", "ann", 25, 300, technology=4)]
).via("iOS without Safari, Windows without Chrome")  # fmt: skip
@given(BLOCKS)
def test_no_series_of_questions_isolates_fewer_than_k(embedded, blocks):
    embedded.begin(blocks)
    embedded.release()
    attack(embedded, blocks)


# ---- what is told, and what isn't

CROWD = Block(D, SHOP, "ann", 60, 0)
ANN = Scope.partner("ann")


@pytest.mark.parametrize(
    ("blocks", "by", "expected"),
    [
        pytest.param([CROWD], "country", {"DE": 60}, id="a value of k or more is told"),
        pytest.param([Block(D, SHOP, "ann", 30, 0)], "country", {"DE": 30}, id="k is enough"),
        pytest.param([Block(D, SHOP, "ann", 29, 0)], "country", {}, id="a group of fewer than k is not told of"),
        pytest.param([CROWD, Block(D, SHOP, "ann", 4, 100)], "country", {"DE": 60}, id="64 are told as 60"),
        pytest.param([CROWD, Block(D, SHOP, "ann", 5, 100)], "country", {"DE": 70}, id="65 are told as 70"),
        pytest.param(
            [CROWD, Block(D, SHOP, "ann", 20, 100, "FR"), Block(D, SHOP, "ann", 20, 200, "NL")],
            "country", {"DE": 60, "other": 40}, id="small values together are large enough",
        ),
        pytest.param(
            [CROWD, Block(D, SHOP, "ann", 40, 100, "NL"), Block(D, SHOP, "ann", 3, 200, "FR")],
            "country", {"DE": 60, "other": 40}, id="the smallest value goes with a small one",
        ),
        pytest.param([CROWD, Block(D, SHOP, "ann", 1, 200, "FR")], "country", {"other": 60}, id="the last value goes, too"),
        pytest.param(
            [Block(D, SHOP, "ann", 20, 0), Block(D, SHOP, "ben", 20, 100)], "country", {"DE": 40}, id="small partners are a pool"
        ),
        pytest.param(
            [Block(D, SHOP, "ann", 20, 0), Block(D, SHOP, "ben", 20, 0)], "country", {}, id="a pool counts nobody twice"
        ),
        pytest.param([CROWD, Block(D, SHOP, "ben", 29, 0)], "country", {"DE": 60}, id="one small partner is no pool"),
        pytest.param(
            [Block(D, SHOP, "ann", 29, 0, salt=s) for s in (1, 2)], "country", {}, id="two salts of one crowd are no larger crowd"
        ),
        pytest.param(
            [Block(D, SHOP, "ann", 30, 0, salt=s) for s in (1, 2)], "country", {"DE": 60}, id="what is told is the sum over salts"
        ),
        pytest.param(
            # Told of twice, ann's from FR would be 40 and ben's 30: so the one who came through ann alone would be from there.
            [Block(D, SHOP, "ann", 40, 0), Block(D, SHOP, "ann", 35, 100, "FR"),
             Block(D, SHOP, "ben", 40, 0, hour=10), Block(D, SHOP, "ben", 34, 100, "FR", hour=10)],
            "country", {"DE": 40, "FR": 40}, id="who comes through two partners is told of with the first",
        ),
        pytest.param([CROWD, Block(D, SHOP, "ann", 60, 0, "FR", hour=10)], "country", {"DE": 60}, id="the first visit counts"),
        pytest.param(
            [CROWD, CROWD._replace(start=100, hour=21, size=40), CROWD._replace(start=200, hour=10, size=50)],
            "hour", {"9": 60, "10": 50, "21": 40}, id="hours are in UTC and in their order",
        ),
        pytest.param(
            [CROWD, CROWD._replace(start=100, visit="returning", size=40)], "visit", {"new": 60, "returning": 40}, id="new or not"
        ),
        pytest.param(
            [CROWD, CROWD._replace(start=100, technology=1, size=20), CROWD._replace(start=200, technology=2, size=40)],
            "device", {"other": 60, "mobile": 60}, id="a system minus its one browser: taken together",
        ),
        pytest.param(
            [CROWD, CROWD._replace(start=100, technology=1, size=20), CROWD._replace(start=200, technology=2, size=40)],
            "os", {"iOS": 60, "other": 60}, id="the same by system",
        ),
        pytest.param([Block(TODAY, SHOP, "ann", 60, 0)], "country", {}, id="a day that isn't over"),
    ],
)  # fmt: skip
def test_what_is_told(engine, blocks, by, expected):
    engine.begin(blocks)
    engine.release()
    found = engine.ask(Scope.client(SHOP), by)
    assert found == expected
    assert by != "hour" or list(found) == list(expected)


def test_each_scope_is_told_of_its_own_groups(engine):
    engine.begin(
        [CROWD, CROWD._replace(partner="ben", size=40, start=100), CROWD._replace(client="store", size=50),
         *(CROWD._replace(partner=partner, size=20, start=start) for partner, start in (("cid", 200), ("dan", 300)))]
    )  # fmt: skip
    engine.release()
    asked = {
        "the shop": engine.ask(Scope.client(SHOP)), "the shop of ann": engine.ask(Scope.client(SHOP), partner="ann"),
        "the shop of the store": engine.ask(Scope.client(SHOP), client="store"),
        "ann": engine.ask(ANN), "ann at the shop": engine.ask(ANN, client=SHOP), "ann of ben": engine.ask(ANN, partner="ben"),
        "cid": engine.ask(Scope.partner("cid")), "the operator": engine.ask(Scope.operator()),
    }  # fmt: skip
    assert {who: sum(found.values()) for who, found in asked.items()} == {
        "the shop": 140, "the shop of ann": 60, "the shop of the store": 0, "ann": 110, "ann at the shop": 60, "ann of ben": 0,
        "cid": 0, "the operator": 190,
    }  # fmt: skip


def test_a_day_is_told_once_whatever_comes_late(engine):
    engine.begin([CROWD])
    assert engine.release() == [7, 0]  # one of each trait but category; nobody came on the second day
    told = {by: engine.ask(Scope.client(SHOP), by) for by in Trait}
    late = [Block(day, SHOP, partner, 40, 200, "FR") for day in DAYS for partner in PARTNERS]
    engine.insert("clicks", CLICK.columns, clicks(late))
    assert engine.release() == [None, None]
    assert {by: engine.ask(Scope.client(SHOP), by) for by in Trait} == told


def test_a_day_is_cut_beside_the_event_loop(engine, monkeypatch):
    cut, threads = audience.release, set()
    monkeypatch.setattr(audience, "release", lambda *args: threads.add(threading.current_thread()) or cut(*args))
    engine.begin([CROWD])
    engine.release()
    assert threads and threading.main_thread() not in threads


def test_of_two_servers_at_once_one_releases_a_day(engine):
    engine.begin([CROWD])
    both = engine.run(_both(engine.server(), engine.server(), as_date(D)))
    assert sorted(both, key=str) == [7, None]
    assert engine.ask(Scope.client(SHOP)) == {"DE": 60}


async def _both(one, other, day):
    return await asyncio.gather(one.release(day), other.release(day))


def test_a_release_whose_claim_was_taken_over_comes_to_nothing(engine):
    """Another server took it for dead, released the day and more had come by then: nobody sees the second version."""
    engine.begin([CROWD])
    slow = engine.server()
    counting = slow._clients

    async def stalled(day):
        clients = await counting(day)
        await engine.redis.delete(keys.release(day.isoformat()))  # it has expired
        assert await engine.releases.release(day) == 7
        return clients

    slow._clients = stalled
    assert engine.run(slow.release(as_date(D))) is None
    assert engine.ask(Scope.client(SHOP)) == {"DE": 60}


def test_of_two_releases_of_a_day_the_first_holds(engine):
    """What only an engine without insert tokens, or one whose window is over, can come to."""
    engine.begin([CROWD])
    engine.release()
    columns = ("day", "client", "partner", "dimension", "value", "visitors", "k", "released_ms")
    rows = [(D, SHOP, "ann", "country", "FR", 900, K, START_MS + 1), (D, "", "", "", "", 0, K, START_MS + 1)]
    engine.run(engine.warehouse.insert("audience_releases", columns, [json.dumps(row).encode() for row in rows], "another"))
    assert engine.ask(Scope.client(SHOP)) == {"DE": 60}


def test_another_k_is_for_days_that_are_released_from_now_on(engine):
    engine.begin([CROWD, CROWD._replace(day=DAYS[1])])
    engine.release([D])
    engine.run(engine.server(k=100).release(as_date(DAYS[1])))
    assert engine.ask(Scope.client(SHOP)) == {"DE": 60}


# ---- affinity

def bought(categories, size, start=0, partner="ann", salt=1):
    """So many consented orders, each of a visitor of its own."""
    for n in range(start, start + size):
        yield {
            "at_ms": D * DAY_MS + n, "client": SHOP, "partner": partner, "click_id": f"click-{n}",
            "visitor": salt << 64 - SALT_BITS | n, "categories": categories, "event_id": f"{categories}-{n}",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("orders", "forgotten", "expected"),
    [
        pytest.param([("shoes", 40, 0)], 0, {"shoes": 40}, id="k buyers or more"),
        pytest.param([("shoes", 29, 0)], 0, {}, id="fewer"),
        pytest.param([("shoes", 40, 0), ("hats", 40, 100)], 0, {"hats": 40, "shoes": 40}, id="each category"),
        pytest.param([("shoes", 40, 0), ("hats", 3, 100)], 0, {}, id="those without must be k or nobody"),
        pytest.param([("clothes,shoes", 40, 0)], 0, {"clothes": 40, "shoes": 40}, id="one order, two categories"),
        pytest.param([("shoes", 40, 0), ("clothes", 40, 0)], 0, {"clothes": 40, "shoes": 40}, id="one buyer, two orders"),
        pytest.param(
            [("clothes,shoes", 60, 0), ("clothes", 3, 100)], 0, {}, id="clothes without shoes would be three"
        ),
        pytest.param(
            [("shoes", 60, 0), ("hats", 40, 200), ("hats,shoes", 5, 100)], 0, {"hats": 40, "shoes": 70}, id="few with both: the commoner"
        ),
        pytest.param([("shoes", 40, 0)], 11, {}, id="who wants to be forgotten isn't counted"),
        pytest.param([("shoes", 40, 0)], 10, {"shoes": 30}, id="the others are"),
    ],
)
def test_what_categories_are_told(engine, orders, forgotten, expected):
    engine.begin()
    engine.insert("affinities", AFFINITY.columns, itertools.chain.from_iterable(bought(*order) for order in orders))
    gone = ({"at_ms": D * DAY_MS, "client": SHOP, "click_id": f"click-{n}", "event_id": f"f-{n}"} for n in range(forgotten))
    engine.insert("forgotten", FORGET.columns, gone)
    engine.release()
    assert engine.ask(Scope.client(SHOP), "category") == expected


def test_who_buys_through_two_partners_is_told_of_with_the_first_and_by_what_that_one_earned(engine):
    engine.begin()
    later = [row | {"at_ms": row["at_ms"] + 1000} for row in bought("hats", 40, partner="ben")]
    engine.insert("affinities", AFFINITY.columns, [*later, *bought("shoes", 40)])
    engine.release()
    assert engine.ask(Scope.client(SHOP), "category") == engine.ask(ANN, "category") == {"shoes": 40}


# ---- when


@pytest.mark.parametrize(
    ("now_ms", "oldest_s", "days"),
    [
        pytest.param(START_MS, 0, 30, id="a first start: the last 30 days"),
        pytest.param(TODAY * DAY_MS + GRACE_S * 1000, 0, 30, id="when the grace is over"),
        pytest.param(TODAY * DAY_MS + GRACE_S * 1000 - 1, 0, 30, id="a moment earlier the day before is the last"),
        pytest.param(START_MS, GRACE_S - 1, 30, id="what waits is of today"),
        pytest.param(START_MS, GRACE_S, 0, id="events of yesterday wait"),
    ],
)
def test_when_a_day_is_due(embedded, now_ms, oldest_s, days):
    embedded.begin([CROWD._replace(day=TODAY - 1)])
    embedded.clock.ms = now_ms

    async def oldest():
        return oldest_s

    releasing = Releasing(embedded.releases, oldest, embedded.clock)
    assert embedded.run(releasing.step()) == days
    assert embedded.run(releasing.step()) == 0
    closed = days and now_ms >= TODAY * DAY_MS + GRACE_S * 1000
    assert embedded.ask(Scope.client(SHOP)) == ({"DE": 60} if closed else {})
