"""The registry in Redis: atomic, audited, followed, and kept for a start without Redis."""

import asyncio

import pytest

from pixeld import app
from pixeld.datadir import DataDir
from pixeld.domain.commission import Terms
from pixeld.domain.record import fingerprint
from pixeld.domain.registry import Membership, Status
from pixeld.errors import AlreadyExists, BadInput, Conflict, NotFound, QueueAway, Unavailable
from pixeld.settings import Settings
from pixeld.storage import keys
from pixeld.storage.redis import connect
from pixeld.storage.registry import _FOLLOW_S, Registry
from pixeld.tasks import cancel

SHOP = {"id": "shop", "name": "Shop", "landing_url": "https://shop.example/"}


@pytest.fixture
def registry(redis, clock):
    """Makes registries on one Redis, as several servers would have them."""

    def make(kept=None):
        seen, kept_pictures = [], []
        made = Registry(redis, clock, changed=seen.append, keep=kept_pictures.append, kept=kept)
        made.seen, made.pictures = seen, kept_pictures
        return made

    return make


async def filled(registry):
    await registry.add_client(SHOP, "admin")
    await registry.add_partner({"id": "blog", "name": "Blog"}, "admin")
    await registry.set_member("shop", "blog", {"status": "approved"}, "admin")


async def test_a_change_is_in_the_picture_when_the_call_returns(registry):
    made = registry()
    await filled(made)
    assert made.snapshot.clients["shop"].name == "Shop"
    assert made.snapshot.members == {("shop", "blog"): Status.APPROVED}
    await made.change_client("shop", {"name": "Other"}, "admin")
    await made.set_member("shop", "blog", {"status": "ended"}, "admin")
    assert made.snapshot.clients["shop"].name == "Other"
    assert made.snapshot.approved == {}
    assert made.seen[-1] is made.snapshot


async def test_terms_of_a_membership_outlast_its_status_and_a_start_without_redis(registry, redis):
    made = registry()
    await filled(made)
    await made.set_member("shop", "blog", {"commission": [{"percent": "12.5"}]}, "admin")
    await made.set_member("shop", "blog", {"status": "ended"}, "admin")
    assert made.snapshot.members == {("shop", "blog"): Status.ENDED}
    assert made.snapshot.terms == {("shop", "blog"): (Terms("12.5"),)}
    assert registry(made.pictures[-1]).snapshot == made.snapshot
    newest = (await made.audit(1))[0]
    assert (newest["before"]["status"], newest["after"]["status"]) == ("approved", "ended")


async def test_a_membership_stored_by_an_earlier_version_is_read(registry, redis):
    await filled(registry())
    await redis.hset(keys.MEMBERS, "shop/blog", "applied")
    made = registry()
    await made.refresh()
    assert made.snapshot.members == {("shop", "blog"): Status.APPLIED}
    assert made.snapshot.terms == {}


async def test_a_clients_currency_must_express_what_its_memberships_agree_on(registry):
    made = registry()
    await filled(made)
    await made.set_member("shop", "blog", {"commission": [{"flat": "1.50"}]}, "admin")
    with pytest.raises(BadInput, match="no amount of JPY"):
        await made.change_client("shop", {"currency": "JPY"}, "admin")
    assert (await made.change_client("shop", {"currency": "EUR"}, "admin")).currency == "EUR"


async def test_a_change_made_elsewhere_is_followed_within_a_second(registry):
    here, there, looks = registry(), registry(), asyncio.Queue()
    refresh = here.refresh

    async def look():
        await refresh()
        looks.put_nowait(here.snapshot)

    here.refresh = look
    following = asyncio.create_task(here.follow())
    await filled(there)
    before = looks.qsize() + 1  # one may have begun earlier
    async with asyncio.timeout(60):
        seen = [await looks.get() for _ in range(before + 1)]
    await cancel(following)
    assert seen[-1] == there.snapshot and 2 * _FOLLOW_S < 1


async def test_every_change_is_audited_with_who_when_before_and_after(registry, clock):
    made = registry()
    await made.add_client(SHOP, "anna")
    clock.forward(60)
    await made.change_client("shop", {"window_days": 7}, "ben")
    newest, oldest = await made.audit(10)
    assert (oldest["who"], oldest["what"], oldest["before"]) == ("anna", "clients/shop", None)
    assert (newest["who"], newest["at_ms"] - oldest["at_ms"]) == ("ben", 60_000)
    assert (newest["before"]["window_days"], newest["after"]["window_days"]) == (30, 7)


async def test_the_audit_stream_never_holds_a_partners_name(registry, redis):
    made = registry()
    await made.add_partner({"id": "blog", "name": "Wilhelmina Quux"}, "anna")
    await made.change_partner("blog", {"name": "W. Quux"}, "anna")
    newest, oldest = await made.audit(10)
    assert (oldest["after"], newest["before"], newest["after"]) == ({"id": "blog"}, {"id": "blog"}, {"id": "blog"})
    assert b"Quux" not in repr(await redis.xrange("pixeld:{registry}:audit")).encode()


async def test_a_change_made_elsewhere_is_noted(registry, clock):
    await registry().note("accounts/1", None, {"role": "client"}, "admin")
    (noted,) = await registry().audit(10)
    told = {"at_ms": clock(), "who": "admin", "what": "accounts/1", "before": None, "after": {"role": "client"}}
    assert noted["id"].endswith("-0") and noted == {"id": noted["id"]} | told


@pytest.mark.parametrize(
    ("key", "field", "stored"),
    [
        pytest.param(keys.CLIENTS, "tea", b'{"id": "tea", "name": "Tea", "landing_url": "https://tea.example/", "timezone": "Mars/Olympus"}', id="a time zone that isn't known here"),
        pytest.param(keys.CLIENTS, "tea", b'{"id": "tea"}', id="a client without a name"),
        pytest.param(keys.PARTNERS, "tea", b"{", id="no JSON"),
        pytest.param(keys.MEMBERS, "shop/tea", b"perhaps", id="no such status"),
        pytest.param(keys.MEMBERS, "shop/tea", b'{"commission": []}', id="a membership without a status"),
    ],
)
async def test_an_entry_that_cannot_be_read_is_named_and_the_last_picture_serves(registry, redis, caplog, key, field, stored):
    made = registry()
    await filled(made)
    before = made.snapshot
    await redis.hset(key, field, stored)
    await redis.incr(keys.VERSION)
    with pytest.raises(Unavailable, match=rf"the (client|partner|membership) {field} can't be read here"):
        await made.refresh()
    following = asyncio.create_task(made.follow())
    async with asyncio.timeout(60):
        while "the last picture serves" not in caplog.text:
            await asyncio.sleep(0.01)
    await cancel(following)
    assert made.snapshot is before


async def test_a_server_starts_beside_an_entry_that_cannot_be_read(redis, valkey, tmp_path, caplog):
    await redis.hset(keys.CLIENTS, "tea", b"{")
    nowhere = "clickhouse://127.0.0.1:1/pixeld"
    async with app.running(Settings(host="127.0.0.1", port=0, admin_port=0, data_dir=tmp_path, redis_url=valkey, clickhouse_url=nowhere)) as server:
        assert server.registry.snapshot is None
    assert any("the client tea can't be read here" in getattr(record, "reason", "") for record in caplog.records)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda r: r.add_client(SHOP, "x"), AlreadyExists, id="id taken"),
        pytest.param(lambda r: r.change_client("nobody", {"name": "x"}, "x"), NotFound, id="no such client"),
        pytest.param(lambda r: r.change_partner("nobody", {"name": "x"}, "x"), NotFound, id="no such partner"),
        pytest.param(lambda r: r.set_member("nobody", "blog", {"status": "approved"}, "x"), NotFound, id="member of nothing"),
        pytest.param(lambda r: r.set_member("shop", "nobody", {"status": "approved"}, "x"), NotFound, id="nobody as a member"),
        pytest.param(lambda r: r.set_member("shop", "blog", {"status": "perhaps"}, "x"), BadInput, id="no such status"),
        pytest.param(lambda r: r.change_client("shop", {"currency": "X"}, "x"), BadInput, id="broken rule"),
    ],
)
async def test_what_is_refused_changes_nothing(registry, call, error):
    made = registry()
    await filled(made)
    before, changes = made.snapshot, len(await made.audit(100))
    with pytest.raises(error):
        await call(made)
    await made.refresh()
    assert made.snapshot == before
    assert len(await made.audit(100)) == changes


async def test_a_change_that_changes_nothing_is_no_change(registry):
    made = registry()
    await filled(made)
    version = made.snapshot.version
    await made.change_client("shop", {"name": "Shop"}, "x")
    assert made.snapshot.version == version


async def test_simultaneous_changes_are_all_there(registry):
    made = [registry() for _ in range(5)]
    await filled(made[0])
    await asyncio.gather(*(each.add_partner({"id": f"p{n}", "name": "P"}, "x") for n, each in enumerate(made)))
    await asyncio.gather(
        *(each.set_member("shop", f"p{n}", {"status": "approved"}, "x") for n, each in enumerate(made)),
        *(each.change_client("shop", {"window_days": n + 1}, "x") for n, each in enumerate(made)),
    )
    await made[0].refresh()
    assert made[0].snapshot.approved["shop"] == {"blog", *(f"p{n}" for n in range(5))}
    assert len(await made[0].audit(100)) == 3 + 5 + 5 + 5


async def test_pictures_are_kept_one_after_the_other_and_the_newest_last(registry, redis, clock, tmp_path):
    made = registry()
    data = DataDir(tmp_path, "a test")
    made._keep = data.keep_registry
    following = asyncio.create_task(made.follow())
    await asyncio.gather(*(made.add_partner({"id": f"p{n}", "name": "P"}, "x") for n in range(10)), made.refresh())
    await made.refresh()
    await cancel(following)
    alone = registry(kept=data.registry())
    data.close()
    assert alone.snapshot == made.snapshot and len(alone.snapshot.partners) == 10


async def test_a_picture_that_cannot_be_kept_costs_nothing_but_a_log_line(registry, caplog):
    made = registry()

    def full(_):
        raise OSError(28, "No space left on device")

    made._keep = full
    await filled(made)
    assert made.snapshot.members
    assert "cannot be kept" in caplog.text


async def test_without_redis_the_kept_picture_serves_and_is_replaced_when_redis_is_back(registry, clock):
    made = registry()
    await filled(made)
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    alone = Registry(nowhere, clock, changed=lambda _: None, keep=lambda _: None, kept=made.pictures[-1])
    assert alone.snapshot == made.snapshot
    with pytest.raises(QueueAway):
        await alone.refresh()
    await nowhere.aclose()
    await made.change_client("shop", {"name": "Newer"}, "x")
    again = registry(kept=made.pictures[0])
    await again.refresh()
    assert again.snapshot.clients["shop"].name == "Newer"


@pytest.mark.parametrize(
    ("earlier", "said"),
    [
        pytest.param(True, "the last picture serves", id="a start with a picture of an earlier one"),
        pytest.param(False, "there is no earlier picture: hits get a 503 until it can be", id="the first start"),
    ],
)
async def test_without_redis_the_log_says_what_serves(registry, clock, caplog, earlier, said):
    made = registry()
    await filled(made)
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    alone = Registry(nowhere, clock, changed=lambda _: None, keep=lambda _: None, kept=made.pictures[-1] if earlier else None)
    following = asyncio.create_task(alone.follow())
    async with asyncio.timeout(20):
        while not caplog.messages:
            await asyncio.sleep(0.01)
    await cancel(following)
    await nowhere.aclose()
    assert caplog.messages == [f"the registry cannot be read; {said}"]


# ---- changes that say what they were made from

SEEN = {
    "a client": (
        lambda s: fingerprint(s.clients["shop"].to_json()),
        lambda r, seen: r.change_client("shop", {"name": "Mine"}, "x", seen=seen),
        lambda r: r.change_client("shop", {"name": "Theirs"}, "x"),
    ),
    "a partner": (
        lambda s: fingerprint(s.partners["blog"].to_json()),
        lambda r, seen: r.change_partner("blog", {"name": "Mine"}, "x", seen=seen),
        lambda r: r.change_partner("blog", {"name": "Theirs"}, "x"),
    ),
    "a membership": (
        lambda s: fingerprint(Membership(s.members["shop", "blog"], s.terms.get(("shop", "blog"), ())).to_json()),
        lambda r, seen: r.set_member("shop", "blog", {"status": "ended"}, "x", seen=seen),
        lambda r: r.set_member("shop", "blog", {"status": "declined"}, "x"),
    ),
    "a membership's terms": (
        lambda s: fingerprint(Membership(s.members["shop", "blog"], s.terms.get(("shop", "blog"), ())).to_json()),
        lambda r, seen: r.set_member("shop", "blog", {"commission": [{"percent": "1"}]}, "x", seen=seen),
        lambda r: r.set_member("shop", "blog", {"commission": [{"percent": "2"}]}, "x"),
    ),
}


@pytest.mark.parametrize(("look", "mine", "theirs"), SEEN.values(), ids=SEEN)
async def test_what_somebody_else_has_changed_is_not_overwritten(registry, look, mine, theirs):
    made, other = registry(), registry()
    await filled(made)
    seen = look(made.snapshot)
    await theirs(other)
    before = other.snapshot
    with pytest.raises(Conflict, match="nothing was changed"):
        await mine(made, seen)
    await other.refresh()
    assert other.snapshot.version == before.version
    await mine(made, look(other.snapshot))
    assert made.snapshot.version == before.version + 1


async def test_a_membership_that_is_not_there_yet_is_seen_as_none(registry):
    made = registry()
    await filled(made)
    await made.add_partner({"id": "new", "name": "New"}, "x")
    with pytest.raises(Conflict):
        await made.set_member("shop", "new", {"status": "applied"}, "x", seen=fingerprint("approved"))
    assert await made.set_member("shop", "new", {"status": "applied"}, "x", seen=fingerprint(None)) is Status.APPLIED


async def test_the_audit_stream_is_read_page_by_page(registry):
    made = registry()
    await filled(made)
    everything = await made.audit(100)
    newest = await made.audit(2)
    assert newest + await made.audit(100, newest[-1]["id"]) == everything
    assert await made.audit(100, everything[-1]["id"]) == []
    for wrong in ("x", "1", "1-", "+", "(1-0", "1-0 2-0"):
        with pytest.raises(BadInput):
            await made.audit(1, wrong)
