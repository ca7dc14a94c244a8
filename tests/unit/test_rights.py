"""What is about whom, what becomes of it, and what an audit says: decisions, without a place."""

import asyncio
from hashlib import sha256

import pytest

from pixeld.domain.events import CLICK, DECISION, IMPRESSION, ORDER
from pixeld.domain.subject import Contents, Subject, What
from pixeld.errors import BadInput, Unavailable
from pixeld.parts.rights import files
from pixeld.rights.audit import judged
from pixeld.rights.places import Places
from pixeld.rights.rights import Rights
from pixeld.storage import keys, traces
from pixeld.storage.holdings import rules

DAY_MS = 86_400_000
CLICK_ID = Subject(What.CLICK, "a-click-id")
ORDERED = Subject(What.ORDER, "4711/b", "shop")
PARTNER = Subject(What.PARTNER, "blog")


def event(kind, **values):
    numbers = {"at_ms", "visitor", "clicked_at", "amount_minor", "commission_minor", "locks_at"}
    return kind.encode(*(values.get(name, 1 if name in numbers else "") for name in kind.columns))


@pytest.mark.parametrize(
    ("asked", "subject"),
    [
        ({"click_id": "a-click-id"}, CLICK_ID),
        ({"order": "shop/4711/b"}, ORDERED),
        ({"partner": "blog"}, PARTNER),
    ],
    ids=["a click", "an order, whose id may hold a slash", "a partner"],
)
def test_a_subject_is_read(asked, subject):
    assert Subject.parse(asked) == subject
    assert subject.digest == sha256(next(iter(asked.values())).encode()).hexdigest()
    assert subject.id not in repr(subject)


@pytest.mark.parametrize(
    "asked",
    [
        None, [], "blog", {}, {"visitor": "1"}, {"click_id": "a", "partner": "blog"}, {"click_id": 1}, {"click_id": ""},
        {"click_id": "x" * 129}, {"click_id": "a\nb"}, {"order": "4711"}, {"order": "shop/"}, {"order": "Sh'op/1"},
        {"partner": "Blog"}, {"partner": "' OR 1"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_subject_is_refused(asked):
    with pytest.raises(BadInput):
        Subject.parse(asked)


@pytest.mark.parametrize("text", ["4711", "shop/", "/4711", "Sh'op/1", ""])
def test_an_order_without_its_client_is_told_how_to_be_named(text):
    with pytest.raises(BadInput, match=r"order must be CLIENT/ORDER, such as shop/4711"):
        Subject.parse({"order": text})


@pytest.mark.parametrize(
    ("subject", "data", "about"),
    [
        (CLICK_ID, event(CLICK, click_id="a-click-id"), True),
        (CLICK_ID, event(ORDER, click_id="a-click-id"), True),
        (CLICK_ID, event(CLICK, click_id="another", s1="a-click-id"), False),
        (CLICK_ID, event(CLICK, click_id="another") + event(CLICK, click_id="a-click-id"), True),
        (CLICK_ID, b'["c",torn a-click-id', True),
        (ORDERED, event(ORDER, client="shop", order_id="4711/b"), True),
        (ORDERED, event(DECISION, client="shop", order_id="4711/b"), True),
        (ORDERED, event(ORDER, client="other", order_id="4711/b"), False),
        (ORDERED, b'["o",1,"shop","4711/b"', True),
        (ORDERED, b'["o",1,"other","4711/b"', False),
        (PARTNER, event(IMPRESSION, partner="blog"), True),
        (PARTNER, event(ORDER, partner="blog"), False),
        (PARTNER, event(CLICK, partner="deals", s1="blog"), False),
        (PARTNER, b'["c",1,"shop","my-blog","human", torn', False),
        (PARTNER, b'["c",1,"shop","blog","human", torn', True),
    ],
    ids=[
        "its click", "its order", "another's label", "among others", "unreadable, with its name", "the order", "its decision",
        "another client's", "unreadable, with both names", "unreadable, with one", "its impression", "its order: owed to it",
        "another's label that is its name", "unreadable, with a longer name", "unreadable, with the name of a partner",
    ],
)  # fmt: skip
def test_whether_an_event_is_about_it(subject, data, about):
    assert subject.is_in(data) is about


OTHERS = event(CLICK, click_id="another", s1="a-click-id"), event(ORDER, client="shop", order_id="4711/a", amount_minor=4990)


@pytest.mark.parametrize(
    ("subject", "own", "left"),
    [
        (CLICK_ID, event(CLICK, click_id="a-click-id"), b""),
        (
            CLICK_ID,
            event(ORDER, client="shop", order_id="1", partner="blog", click_id="a-click-id", amount_minor=4990),
            event(ORDER, client="shop", order_id="1", partner="blog", clicked_at=0, amount_minor=4990),
        ),
        (CLICK_ID, b'["c",torn a-click-id\n', b""),
        (ORDERED, event(ORDER, client="shop", order_id="4711/b"), b""),
        (PARTNER, event(CLICK, partner="blog"), b""),
    ],
    ids=["its click", "its order forgets it", "a torn line", "an order", "a partner's click"],
)
@pytest.mark.parametrize("torn", [b"", b'["c",torn another\n'], ids=["readable", "with a torn line"])
def test_what_is_left_of_events_is_all_that_is_others(subject, own, left, torn):
    before, after = OTHERS
    assert subject.without(before + torn + own + after) == before + torn + left + after
    assert subject.within(before + torn + own + after) == own
    assert not subject.is_in(before + torn + left + after)


TABLES = {
    "clicks": ["client", "partner", "click_id", "s1", "event_id", "at"],
    "orders": ["client", "order_id", "partner", "click_id", "clicked_at", "event_id", "at"],
    "made_tomorrow": ["client", "click_id", "event_id"],
    "counts": ["hour", "client", "partner", "clicks"],
    "counts_of_an_old_server": ["at_ms", "event_id", "hour", "client", "partner", "clicks"],
}


@pytest.mark.parametrize(
    ("subject", "changes"),
    [
        (CLICK_ID, {"clicks": "DELETE", "orders": "UPDATE click_id = '', clicked_at = 0", "made_tomorrow": "DELETE"}),
        (ORDERED, {"orders": "DELETE"}),
        (PARTNER, {"clicks": "UPDATE s1 = '', click_id = ''", "orders": ""}),
    ],
    ids=["a click: its order stays", "an order goes whole", "a partner: its labels; what it earned stays"],
)
def test_what_becomes_of_each_table(subject, changes):
    found = rules(subject, TABLES)
    assert {rule.table: rule.change.partition(" WHERE ")[0] for rule in found} == changes
    if subject is not PARTNER:
        assert all(subject.id not in rule.change + rule.held + rule.erased for rule in found)


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        (Contents("table", 0, None), ""),
        (Contents("table", 1, 100 * DAY_MS), ""),
        (Contents("table", 1, 89 * DAY_MS), ""),
        (Contents("table", 1, 89 * DAY_MS - 1), "too old"),
        (Contents("for ever", 1, 0), ""),
        (Contents("elsewhere", 1, None), "unmapped"),
    ],
    ids=["empty", "new", "a day late, as ClickHouse may be", "later", "no limit", "not in the map"],
)
def test_what_an_audit_finds(held, problem):
    (finding,) = judged([held], {"table": 10, "for ever": None}, 100 * DAY_MS)
    assert finding.problem == problem


@pytest.mark.parametrize(
    ("key", "family"),
    [
        (keys.STREAMS, "pixeld:streams"),
        (keys.CLIENTS, "pixeld:{registry}:clients"),
        (keys.queue("0123456789ab"), "pixeld:{*}:queue"),
        (keys.decision("shop", "a:b/c"), "pixeld:{orders}:decision:*"),
        (keys.record("mail", "1:2"), "pixeld:{accounts}:mail:*"),
        (keys.records("mail"), "pixeld:{accounts}:mail"),
    ],
    ids=["no tag", "registry", "a node's", "an order's", "a record", "its index"],
)
def test_the_family_of_a_key(key, family):
    assert traces.family(key) == family


def test_files_are_told_by_folder(tmp_path):
    for name in ("epoch", "spill/1.seg", "workers/0/epoch", "workers/0/spill/2.seg", "clickhouse/a/b/c"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found = {held.place: held.number for held in files(tmp_path)}
    workers = {"file:workers/*/epoch": 1, "file:workers/*/spill/*": 1}
    assert found == {"file:epoch": 1, "file:spill/*": 1, "file:clickhouse/*": 1} | workers
    assert {held.place for held in files(tmp_path) if held.oldest_ms} == {"file:spill/*", "file:workers/*/spill/*"}


# ---- the order of the steps


class World:
    """All places at once, and what was done to them. `rows` is what is found there; `comes` gathers behind each erasure."""

    def __init__(self, rows=1, comes=0, away=""):
        self.rows, self.comes, self.away, self.done = rows, comes, away, []

    def places(self):
        return Places(
            database=self, queues=self, partners=_Nobody(self), flush=self.flush, files=list, note=self.note, promises={}, clock=lambda: 7
        )

    def _do(self, what):
        if what == self.away:
            raise Unavailable(f"{what} is away")
        self.done.append(what)

    async def reached(self):
        self._do("reached")

    async def flush(self):
        self._do("flush")

    async def flushed(self):
        self._do("flushed")

    async def note(self, what, before, after, who):
        assert "a-click-id" not in str(after) and who == "admin"
        self._do(what)

    async def count(self, subject):
        return {"there": self.rows} if self.rows else {}

    async def erase(self, subject):
        self._do("erase")
        await asyncio.sleep(0)
        self.rows, self.comes = (1, self.comes - 1) if self.comes else (0, 0)
        return 0

    async def rewrite(self):
        self._do("rewrite")
        return "rewritten"

    async def elsewhere(self):
        return 0


class _Nobody:
    """Accounts."""

    def __init__(self, world):
        self._world = world

    async def count(self, partner):
        return {}

    async def erase(self, partner, who):
        self._world._do("account")


SETTLED = ["reached", "reached", "flush", "flushed"]
ROUND = ["erase", "erase", "rewrite", *SETTLED]


async def test_an_intention_stands_in_the_audit_log_before_anything_goes_and_a_proof_behind_it():
    world = World()
    proof = await Rights(world.places()).erase(CLICK_ID, "admin")
    assert world.done == [*SETTLED, "privacy/erasing", *ROUND, "privacy/erased"]
    assert proof["erased"] == {"there": 1} and proof["subject"] == CLICK_ID.digest and proof["at_ms"] == 7


async def test_what_is_nowhere_is_proven_to_be():
    world = World(rows=0)
    proof = await Rights(world.places()).erase(CLICK_ID, "admin")
    assert proof["erased"] == {} and "privacy/erasing" not in world.done and world.done[-1] == "privacy/erased"


async def test_a_partner_s_account_goes_before_its_rows():
    world = World()
    await Rights(world.places()).erase(PARTNER, "admin")
    assert world.done.index("account") < world.done.index("erase")


@pytest.mark.parametrize("away", ["reached", "flush", "flushed", "privacy/erasing"])
async def test_nothing_is_deleted_while_something_cannot_be_looked_at(away):
    world = World(away=away)
    with pytest.raises(Unavailable):
        await Rights(world.places()).erase(CLICK_ID, "admin")
    assert "erase" not in world.done and "privacy/erased" not in world.done


@pytest.mark.parametrize(("comes", "rounds"), [(0, 1), (2, 2), (4, 3)])
async def test_what_comes_meanwhile_goes_too(comes, rounds):
    world = World(comes=comes)
    assert (await Rights(world.places()).erase(CLICK_ID, "admin"))["verified"]
    assert world.done.count("rewrite") == rounds


async def test_no_proof_of_what_comes_faster_than_it_goes():
    world = World(comes=99)
    with pytest.raises(Unavailable, match=r"there \(1\)"):
        await Rights(world.places()).erase(CLICK_ID, "admin")
    assert "privacy/erased" not in world.done


async def test_two_erasures_at_once_are_made_one_after_the_other():
    world = World(rows=0)
    rights = Rights(world.places())
    await asyncio.gather(*(rights.erase(CLICK_ID, "admin") for _ in range(2)))
    whole = [*SETTLED, *ROUND, "privacy/erased"]
    assert world.done == whole + whole
