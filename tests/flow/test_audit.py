"""No change around accounts is made without an entry on the audit stream, whenever Redis goes away."""

import inspect
from types import SimpleNamespace

import pyotp
import pytest

from pixeld.accounts.account import Role
from pixeld.accounts.accounts import Accounts
from pixeld.accounts.apikeys import ApiKeys
from pixeld.accounts.messages import About, Messages
from pixeld.accounts.policies import Policies
from pixeld.errors import AlreadyExists, Conflict, QueueAway
from pixeld.storage import keys
from tests.accounts import FORM, OTHER_PASSWORD, PASSWORD, PEER, SHOP, client, log_in, partner, services, token

WRITTEN = {"subject": "Hello", "text": "A text"}
CLARA = {"contact_name": "Carl", "email": "carl@shop.example", "password": PASSWORD, "terms": "yes"}


def code(at):
    return pyotp.TOTP(at.secret).at(at.made.clock() // 1000)


# What can be done, as a method of whom → how it is done with what `at` holds.
CHANGES = {
    Accounts.confirm: lambda at: at.accounts.confirm(at.registered, PASSWORD),
    "confirm a new address": lambda at: at.accounts.confirm(at.moved, PASSWORD),
    Accounts.invite: lambda at: at.accounts.invite(Role.OPERATOR, "", "o@x.example", "admin"),
    Accounts.accept: lambda at: at.accounts.accept(at.invited, CLARA),
    Accounts.reset: lambda at: at.accounts.reset(at.forgotten, OTHER_PASSWORD),
    Accounts.change_password: lambda at: at.accounts.change_password(at.blog, PASSWORD, OTHER_PASSWORD),
    Accounts.confirm_totp: lambda at: at.accounts.confirm_totp(at.blog, code(at)),
    Accounts.renew_recovery_codes: lambda at: at.accounts.renew_recovery_codes(at.clara, PASSWORD),
    Accounts.end_totp: lambda at: at.accounts.end_totp(at.clara, PASSWORD),
    Accounts.offer_end_of_totp: lambda at: at.accounts.offer_end_of_totp(at.clara.id, "admin"),
    Accounts.end_totp_by_link: lambda at: at.accounts.end_totp_by_link(at.lost, PASSWORD),
    Accounts.log_in: lambda at: log_in(at.made, at.clara.contact.email, code=at.codes[0]),  # a recovery code is used up
    Accounts.correct: lambda at: at.accounts.correct(at.blog, {"postal": "Elsewhere 1", "name": "Pots"}, at.blog.version),
    Accounts.set_other_programmes: lambda at: at.accounts.set_other_programmes(at.blog, False),
    Accounts.remove: lambda at: at.accounts.remove(at.blog, PASSWORD),
    Accounts.remove_colleague: lambda at: at.accounts.remove_colleague(at.dora, at.clara.id, PASSWORD),
    Accounts.remove_of_client: lambda at: at.accounts.remove_of_client("shop", at.clara.id, "operator:x"),
    Accounts.remove_partner: lambda at: at.accounts.remove_partner("blog", "operator:x"),
    "remove a partner without an account": lambda at: at.accounts.remove_partner("bare", "operator:x"),
    ApiKeys.create: lambda at: at.made.keys.create(at.blog.scope, "k", at.blog.who),
    ApiKeys.revoke: lambda at: at.made.keys.revoke(at.blog.scope, at.key, at.blog.who),
    Messages.to_partner: lambda at: at.messages.to_partner("shop", "blog", About.OWN, WRITTEN, "client:shop/x"),
    Messages.to_client: lambda at: at.messages.to_client("blog", "shop", WRITTEN, "partner:blog"),
    Policies.post: lambda at: at.made.policies.post("Changed.", False, "", "admin"),
    Policies.consent: lambda at: at.made.policies.consent(at.blog, 2, True),
    "rotate keys": lambda at: at.made.rotate("admin"),
}
# What changes nothing, or nothing that anybody but its owner ever sees of: links, mails that were asked for, sessions.
UNNOTED = {
    *(Accounts.register, Accounts.awaiting, Accounts.first_link, Accounts.invited, Accounts.account, Accounts.of_subject, Accounts.all),
    *(Accounts.ask_reset, Accounts.resets, Accounts.begin_totp, Accounts.ends_totp, Accounts.export, Accounts.of_client),
    *(ApiKeys.list, ApiKeys.made_by, ApiKeys.scope_of),
    *(Policies.current, Policies.history, Policies.notify, Policies.run, Policies.question_for, Policies.newest_use),
}
IDS = [getattr(name, "__qualname__", name) for name in CHANGES]


@pytest.fixture
async def at(redis, clock):
    """Of everything that can be changed, one."""
    made = services(redis, clock)
    accounts = made.accounts
    await made.registry.refresh()
    await made.registry.add_client(SHOP, "admin")
    blog, clara, dora = await partner(made), await client(made), await client(made, "dora@shop.example")
    await made.registry.add_partner({"id": "bare", "name": "Bare"}, "admin")
    for each in ("blog", "bare"):
        await made.registry.set_member("shop", each, {"status": "approved"}, "admin")
    clock.forward(1)
    await made.policies.post("Counted", True, "May we?", "admin")
    clock.forward(1)
    found = SimpleNamespace(made=made, accounts=accounts, messages=made.parties.messages, blog=blog, dora=dora)
    await accounts.register(FORM | {"policy": "2", "partner_id": "tea", "email": "tea@x.example"}, PEER)
    found.registered = await token(made)
    await accounts.correct(blog, {"email": "new@quux.example"}, blog.version, PASSWORD)
    found.moved = await token(made)
    found.invited = (await accounts.invite(Role.CLIENT, "shop", "carl@shop.example", "admin")).rpartition("/")[2]
    clock.forward(1)
    await accounts.ask_reset(FORM["email"], PEER)
    found.forgotten = await token(made)
    found.secret, _ = await accounts.begin_totp(clara, PASSWORD)
    found.codes = await accounts.confirm_totp(clara, code(found))
    await accounts.offer_end_of_totp(clara.id, "admin")
    found.lost = await token(made)
    found.secret, _ = await accounts.begin_totp(blog, PASSWORD)
    _, key = await made.keys.create(blog.scope, "k", blog.who)
    found.key, found.blog, found.clara = key.id, await accounts.account(blog.id), await accounts.account(clara.id)
    yield found
    made.passwords.close()


async def everything(at):
    """What lies in Redis, opened: a link that was used and given back is sealed anew. But for counts of attempts."""
    records, redis = at.accounts._office.records, at.made.redis
    kinds = {name.split(b":")[2].decode() for name in await redis.keys("pixeld:{accounts}:*")} - {"limit"}
    found = {(kind, id): await records.read(kind, id) for kind in kinds for id in await records.ids(kind)}
    return found | {name: await redis.hgetall(name) for name in (keys.CLIENTS, keys.PARTNERS, keys.MEMBERS)}


def test_every_method_is_in_the_table():
    methods = {
        method
        for kind in (Accounts, ApiKeys, Messages, Policies)
        for name, method in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert methods == UNNOTED | {name for name in CHANGES if not isinstance(name, str)}


@pytest.mark.parametrize("change", CHANGES.values(), ids=IDS)
async def test_what_cannot_be_noted_is_not_done(at, monkeypatch, change):
    before = await everything(at)

    async def away(*_):
        raise QueueAway("Redis is away")

    monkeypatch.setattr(at.made.registry, "note", away)
    with pytest.raises(QueueAway):
        await change(at)
    assert await everything(at) == before
    monkeypatch.undo()
    await change(at)


async def test_what_is_refused_after_all_is_told(at):
    with pytest.raises(Conflict):
        await at.accounts.correct(at.blog, {"postal": "Elsewhere 1"}, at.blog.version - 1)
    told = [change["what"] for change in await at.made.registry.audit(2)]
    assert told == [f"accounts/{at.blog.id}/contact/failed", f"accounts/{at.blog.id}/contact"]
    await at.accounts.confirm(at.registered, PASSWORD)
    await at.accounts.register(FORM | {"policy": "2", "partner_id": "tea2", "email": "x@x.example"}, PEER)
    link = await token(at.made)
    await at.made.registry.add_partner({"id": "tea2", "name": "Another"}, "admin")
    with pytest.raises(AlreadyExists):
        await at.accounts.confirm(link, PASSWORD)
    assert (await at.made.registry.audit(1))[0]["what"].endswith("/failed")
