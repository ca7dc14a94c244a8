"""Decisions about orders: whose they are, one at a time, durable when confirmed, and counted once."""

import asyncio
import signal

import orjson
import pytest

from pixeld.domain.events import DECISION, ORDER, decode
from pixeld.domain.orders import OrderStatus
from pixeld.domain.reports import Scope
from pixeld.errors import BadInput, Conflict, Forbidden, NotFound, QueueAway, Unavailable
from pixeld.storage import keys, migrations
from pixeld.storage.decisions import Decisions
from pixeld.storage.engines import open_warehouse
from pixeld.storage.redis import connect
from pixeld.storage.registry import Registry
from tests.conftest import START_MS
from tests.fakes import MemoryIntake
from tests.process import pixeld

SHOP, OPERATOR = Scope.client("shop"), Scope.operator()
DAY_S = 86_400
ORDERS = {
    "pending": {"locks_at": START_MS // 1000 + 1},
    "never locked": {},
    "locked": {"locks_at": START_MS // 1000},
    "from a clock ahead": {"at_ms": START_MS + 5000},
    "A/1 ../%2F?#ä'": {},
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A warehouse with ORDERS of the client `shop`, and one that was rejected."""
    warehouse = open_warehouse(None, tmp_path_factory.mktemp("decisions"))

    async def fill():
        await warehouse.connect()
        await migrations.apply(warehouse)
        integers = {"at_ms": START_MS, "clicked_at": 0, "amount_minor": 100, "commission_minor": 10, "locks_at": 0}
        rows = []
        for order_id, values in ({"rejected": {}} | ORDERS).items():
            row = {name: integers.get(name, "") for name in ORDER.columns} | {"client": "shop", "order_id": order_id} | values
            rows.append(orjson.dumps((*row.values(), order_id)))
        await warehouse.insert(ORDER.table, (*ORDER.columns, "event_id"), rows, "orders")
        decision = (START_MS, "shop", "rejected", "rejected", "client:shop/1", "returned", "d1")
        await warehouse.insert(DECISION.table, (*DECISION.columns, "event_id"), [orjson.dumps(decision)], "decision")

    asyncio.run(fill())
    yield warehouse
    asyncio.run(warehouse.close())


@pytest.fixture
async def intake():
    return MemoryIntake(asyncio.get_running_loop().call_soon)


@pytest.fixture
async def decisions(redis, stored, intake, clock):
    return opened(redis, stored, intake, clock)


def opened(redis, stored, intake, clock):
    registry = Registry(redis, clock, changed=lambda _: None, keep=lambda _: None, kept=None)
    return Decisions(redis, stored, intake, registry.note, clock)


async def audited(redis, clock):
    """What the audit stream says, newest first: what, after, who."""
    registry = Registry(redis, clock, changed=lambda _: None, keep=lambda _: None, kept=None)
    return [(entry["what"], entry["after"], entry["who"]) for entry in await registry.audit(100)]


async def decide(decisions, order="pending", status="approved", reason="", seen="pending", scope=SHOP, client="shop"):
    return await decisions.decide(scope, client, order, status, reason, seen, "client:shop/7")


@pytest.mark.parametrize("scope", [SHOP, OPERATOR], ids=["its client", "the operator"])
async def test_a_decision_is_an_event_that_is_durable_when_it_is_confirmed(decisions, intake, scope):
    assert await decide(decisions, status="rejected", reason=" returned ", scope=scope) is OrderStatus.REJECTED
    ((kind, values),) = intake.events
    assert (kind, tuple(values.values())) == (
        "decision",
        (START_MS, "shop", "pending", "rejected", "client:shop/7", "returned"),
    )


@pytest.mark.parametrize("order", ["never locked", "A/1 ../%2F?#ä'"])
async def test_any_order_that_nobody_decided_about_can_be_decided_about(decisions, intake, order):
    await decide(decisions, order)
    assert intake.events[0][1]["order_id"] == order


async def test_a_decision_is_never_older_than_its_order(decisions, intake):
    await decide(decisions, "from a clock ahead")
    assert intake.events[0][1]["at_ms"] == START_MS + 5000


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        pytest.param({"scope": Scope.partner("blog")}, Forbidden, "only the client", id="a partner"),
        pytest.param({"scope": Scope.client("store")}, Forbidden, "only the client", id="another client"),
        pytest.param({"scope": Scope.client("store"), "order": "none"}, Forbidden, "only", id="another client learns nothing"),
        pytest.param({"order": "none"}, NotFound, "no such order", id="no such order"),
        pytest.param({"order": ""}, NotFound, "no such order", id="no order"),
        pytest.param({"client": "store", "scope": OPERATOR}, NotFound, "no such order", id="an order of another client"),
        pytest.param({"status": "pending"}, BadInput, "approved or rejected", id="no decision"),
        pytest.param({"status": "rejected"}, BadInput, "reason is missing", id="rejected without a reason"),
        pytest.param({"seen": "sent"}, BadInput, "seen must be", id="saw no status"),
        pytest.param({"order": "locked"}, Conflict, "approved already: it is locked", id="locked"),
        pytest.param({"order": "rejected"}, Conflict, "rejected already: somebody", id="decided"),
        pytest.param({"seen": "rejected"}, Conflict, "you saw it rejected", id="saw another status"),
    ],
)
async def test_what_is_refused_decides_nothing(decisions, intake, redis, asked, error, message):
    with pytest.raises(error, match=message):
        await decide(decisions, **asked)
    assert intake.lines == [] and intake.held == []
    assert await redis.keys("*") == []


async def test_of_two_people_at_once_one_decides_and_the_other_is_told(redis, stored, clock):
    intake = MemoryIntake()
    here, there = (opened(redis, stored, intake, clock) for _ in range(2))
    first = asyncio.create_task(decide(here))
    await intake.holds(1)
    with pytest.raises(Conflict, match="right now"):
        async with asyncio.timeout(60):
            await decide(there, status="rejected", reason="no")
    intake.commit()
    assert await first is OrderStatus.APPROVED
    with pytest.raises(Conflict, match="somebody has approved the order a moment ago"):  # though no report shows it yet
        await decide(there, status="rejected", reason="no")
    assert [values["status"] for _, values in intake.events] == ["approved"]


async def test_many_at_once_decide_once(redis, stored, intake, clock):
    everybody = [opened(redis, stored, intake, clock) for _ in range(20)]
    outcomes = await asyncio.gather(*(decide(each) for each in everybody), return_exceptions=True)
    assert sum(outcome is OrderStatus.APPROVED for outcome in outcomes) == 1
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if outcome is not OrderStatus.APPROVED)
    assert len(intake.events) == 1


@pytest.mark.parametrize("why", ["full", "failing"], ids=["the buffer is full", "neither Redis nor disk takes it"])
async def test_a_decision_that_cannot_be_stored_is_none_and_can_be_made_again(decisions, intake, why):
    setattr(intake, why, True)
    with pytest.raises(Unavailable, match="nothing was changed"):
        await decide(decisions)
    setattr(intake, why, False)
    assert await decide(decisions) is OrderStatus.APPROVED


ONE = ("decisions/shop", {"orders": 1, "decision": "approved"}, "client:shop/7")
SEVERAL = ("decisions/shop", {"orders": 2, "decision": "rejected"}, "client:shop/7")


async def test_what_is_decided_at_once_is_durable_at_once_and_one_entry_of_the_audit_log(decisions, intake, redis, clock):
    orders = {"pending": "pending", "locked": "pending", "none": "pending", "never locked": "pending", "rejected": "sent"}
    wanted, refused = await decisions.decide_all(SHOP, "shop", orders, "rejected", "late", "client:shop/7")
    assert wanted is OrderStatus.REJECTED
    assert {order: type(error) for order, error in refused.items()} == {"locked": Conflict, "none": NotFound, "rejected": BadInput}
    assert [values["order_id"] for _, values in intake.events] == ["pending", "never locked"] and len(intake.lines) == 1
    assert await audited(redis, clock) == [SEVERAL]
    for order in ("pending", "never locked"):
        with pytest.raises(Conflict, match="rejected the order a moment ago"):
            await decide(decisions, order)


async def test_a_decision_is_on_the_audit_log_before_it_is_made_and_names_no_order(redis, stored, clock):
    intake = MemoryIntake()
    making = asyncio.create_task(decide(opened(redis, stored, intake, clock)))
    await intake.holds(1)
    assert await audited(redis, clock) == [ONE]
    intake.commit()
    await making


async def test_a_decision_that_the_audit_log_does_not_take_is_none(decisions, intake, redis, monkeypatch):
    async def refused(*_):
        raise QueueAway("away")

    monkeypatch.setattr(decisions, "_note", refused)
    with pytest.raises(QueueAway):
        await decide(decisions)
    assert intake.lines == [] and await redis.keys("*") == []


async def test_a_decision_that_cannot_be_stored_is_told_on_the_audit_log(decisions, intake, redis, clock):
    intake.full = True
    with pytest.raises(Unavailable):
        await decide(decisions)
    failed = ("decisions/shop/failed", None, "client:shop/7")
    assert await audited(redis, clock) == [failed, ONE]


async def test_without_redis_nobody_decides(stored, intake, clock):
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    with pytest.raises(QueueAway):
        await decide(opened(nowhere, stored, intake, clock))
    assert intake.lines == []
    await nowhere.aclose()


async def test_whoever_dies_while_deciding_holds_nobody_up_for_long(decisions, redis):
    await redis.set(keys.decision("shop", "pending"), "somebody", ex=60)
    with pytest.raises(Conflict, match="right now"):
        await decide(decisions)
    assert 0 < await redis.ttl(keys.decision("shop", "pending")) <= 60
    await redis.delete(keys.decision("shop", "pending"))
    await decide(decisions)
    assert await redis.get(keys.decision("shop", "pending")) == b"approved"
    assert 60 < await redis.ttl(keys.decision("shop", "pending")) <= 3600  # what is made is remembered until reports show it


def test_a_decision_is_read_back():
    line = DECISION.encode(START_MS, "shop", "O-1", "approved", "operator:1", "")
    assert list(decode(line)) == [(DECISION, [START_MS, "shop", "O-1", "approved", "operator:1", ""])]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "an office and workers"])
async def test_a_decision_survives_a_kill_and_counts_once(tmp_path, workers):
    async with pixeld(tmp_path / "data", workers=workers) as server:
        agreed = {"commission": [{"percent": "7.5", "flat": "1.00"}]}
        assert (await server.api("PATCH", "/api/clients/shop", agreed))[0] == 200
        own = {"status": "approved", "commission": [{"percent": "50"}]}
        assert (await server.api("PUT", "/api/clients/shop/partners/deals", own))[1]["commission"][0]["percent"] == "50"
        await server.ready()
        for partner, order in (("blog", "O-1"), ("blog", "O-2"), ("deals", "O-3/ä")):
            visitor = server.browser()
            await visitor.get(f"/t/shop/c/{partner}")
            assert (await visitor.get(f"/t/shop/o.gif?order={order.replace('ä', '%C3%A4')}&amount=49.90"))[0] == 200
        await server.browser().get("/t/shop/o.gif?order=O-4&amount=10")
        await server.api("POST", "/api/flush")

        async def decide(order, status, reason=""):
            body = {"order": order, "status": status, "seen": "pending", "reason": reason}
            return (await server.api("POST", "/api/clients/shop/decisions", body))[0]

        assert await decide("O-1", "approved") == 200
        assert await decide("O-3/ä", "rejected", "returned") == 200
        server.kill()
        assert await server.gone() == -signal.SIGKILL
        await server.start()
        await server.ready()
        await server.api("POST", "/api/flush")
        assert await decide("O-1", "rejected", "too late") == 409
        assert await server.sql("SELECT count() AS n, uniqExact(event_id) AS ids FROM order_decisions") == [{"n": 2, "ids": 2}]
        rows = (await server.api("GET", "/api/reports/orders"))[1]["rows"]
        assert {row["order"]: (row["status"], row["commission"], row["reason"], row["decided_by"]) for row in rows} == {
            "O-1": ("approved", "4.74", None, "admin"),
            "O-2": ("pending", "4.74", None, None),
            "O-3/ä": ("rejected", "24.95", "returned", "admin"),
            "O-4": ("pending", "0.00", None, None),
        }
        (total,) = (await server.api("GET", "/api/reports/performance?by="))[1]["totals"]
        assert (total["orders"], total["orders_pending"], total["orders_approved"], total["orders_rejected"]) == (4, 2, 1, 1)
        assert (total["commission_pending"], total["commission_approved"], total["commission_rejected"]) == ("4.74", "4.74", "24.95")
        assert total["commission"] == "9.48"
