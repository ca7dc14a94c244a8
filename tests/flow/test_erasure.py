"""What lies where: personal data is sealed while it is there, leaves nothing behind when it goes, and moves to new keys whole."""

import asyncio
import re
import threading
from contextlib import suppress

import pyotp
import pytest

from pixeld import app
from pixeld.accounts.account import Role
from pixeld.accounts.sealed import SEALED
from pixeld.accounts.vault import Unopened, Vault, new_secret
from pixeld.datadir import DataDir
from pixeld.errors import NotFound, Unauthorized
from pixeld.parts.crew import WORKERS
from pixeld.settings import Settings
from pixeld.storage.embedded_redis import EmbeddedRedis
from pixeld.storage.redis import connect
from tests.accounts import FORM, OTHER_PASSWORD, PASSWORD, PEER, SHOP, client, log_in, partner, services, token
from tests.flow.files import contents

OLD, NEW = f"old:{'ab' * 32}", f"new:{'cd' * 32}"
# Whatever of somebody's data may stand anywhere, in texts that no ciphertext has by chance, as it had "quux" once; the trade name
# stands in the registry until he goes.
PERSONAL = ("wilhelmina quux", "quux.example", "hollow lane", "teapots.example", "letter about", "my own laptop", PEER, "192.0.2")
NAME = "wilhelmina's teapots"


async def everything(redis):
    """Every key and value of Redis, in lower case."""
    found = []
    for key in await redis.keys("*"):
        kind = await redis.type(key)
        read = {b"hash": redis.hgetall, b"string": redis.get, b"set": redis.smembers}
        if kind in read:
            value = await read[kind](key)
        else:
            value = await (redis.xrange(key) if kind == b"stream" else redis.zrange(key, 0, -1, withscores=True))
        found.append(repr((key, value)))
    return "\n".join(found).lower()


def on_disk(directory):
    """Every byte of every file, in lower case."""
    return b"\n".join(data for _, data in contents(directory)).decode(errors="replace").lower()


@pytest.fixture
async def own(tmp_path):
    """A Valkey of the test's own, its connection and its directory."""
    server = EmbeddedRedis(tmp_path / "redis")
    await server.start()
    redis = connect(server.url, 60.0)
    yield redis, tmp_path / "redis"
    await redis.aclose()
    await server.stop()


async def lived(made):
    """A partner's account that has done everything that leaves something somewhere."""
    await made.registry.add_client(SHOP, "admin")
    await made.accounts.invite(Role.OPERATOR, "", FORM["email"], "admin")
    made.clock.forward(1)
    account = await partner(made)
    await made.registry.set_member("shop", "blog", {"status": "approved"}, "admin")
    await log_in(made)
    await made.keys.create(account.scope, "My own laptop", account.who)
    account = await made.accounts.correct(account, {"postal": "Hollow Lane 100", "email": "w@other.quux.example"}, account.version, PASSWORD)
    await made.accounts.ask_reset(FORM["email"], PEER)
    made.clock.forward(1)
    await made.accounts.register(FORM | {"partner_id": "second"}, PEER)
    await made.accounts.begin_totp(account, PASSWORD)
    with pytest.raises(Unauthorized):
        await log_in(made, password="guess number one")
    await made.policies.post("We keep less.", False, "", "operator:1")
    return await made.accounts.account(account.id)


async def test_personal_data_is_never_readable_in_redis_and_never_in_the_log(own, clock, caplog):
    redis, directory = own
    caplog.set_level("DEBUG")
    made = services(redis, clock)
    await lived(made)
    stored, disk = await everything(redis), on_disk(directory)
    for text in PERSONAL:
        assert text.lower() not in stored and text.lower() not in disk and text.lower() not in caplog.text.lower()
    assert PASSWORD not in stored and "$argon2id$" not in stored
    made.passwords.close()


async def test_a_removal_leaves_nothing_behind(own, clock, tmp_path, caplog):
    redis, directory = own
    caplog.set_level("DEBUG")
    data = DataDir(tmp_path / "data", "a test")
    made = services(redis, clock, keep=data.keep_registry)
    account = await lived(made)
    clara = await client(made)
    await made.parties.messages.to_client("blog", "shop", {"subject": "Hello", "text": "From me"}, account.who)
    held = {kind: await made.records.ids(kind) for kind in ("account", "mail", "link", "session", "key", "email", "party")}
    assert all(held.values())  # there is something of each to erase
    assert NAME in on_disk(directory) and NAME in on_disk(tmp_path / "data").lower()
    await made.accounts.remove(account, PASSWORD)
    async with asyncio.timeout(120):
        while (await redis.info("persistence"))["aof_rewrite_in_progress"] or NAME in on_disk(directory):
            await asyncio.sleep(0.01)
    for place in (await everything(redis), on_disk(directory), on_disk(tmp_path / "data"), caplog.text.lower()):
        for text in (*PERSONAL, NAME):
            assert text.lower() not in place
    clock.forward(1)  # an empty party's time
    # not sealed either: of all records, what is left is about others
    assert await made.records.ids("account") == [clara.id] and len(await made.records.ids("email")) == 1
    assert await made.records.ids("party") == ["client:shop", "partner:blog"]
    ended = await made.records.read("party", "partner:blog")  # so that nobody joins what keeps its clicks and orders
    assert ended.value == {"accounts": [], "ended": True}
    for kind in ("link", "session", "key"):
        assert await made.records.ids(kind) == []
    left = await made.outbox.list(100)
    assert {mail.to for mail in left} == {"clara@shop.example"}
    assert not any(NAME in (mail.subject + mail.body).lower() for mail in left)  # what it wrote to others, too
    assert made.registry.snapshot.partners["blog"].name == "blog"
    data.close()
    made.passwords.close()


async def test_a_removal_that_failed_halfway_can_be_repeated(redis, clock, monkeypatch):
    made = services(redis, clock)
    account = await lived(made)
    change = made.registry.change_partner

    async def failing(*_):
        raise NotFound("interrupted for the test")

    monkeypatch.setattr(made.registry, "change_partner", failing)
    with pytest.raises(NotFound):
        await made.accounts.remove(account, PASSWORD)
    monkeypatch.setattr(made.registry, "change_partner", change)
    _, again = await log_in(made)
    await made.accounts.remove(again, PASSWORD)
    assert await made.records.ids("account") == []
    made.passwords.close()


# Keys of the vault.


def keys_of(stored):
    return set(re.findall(r"(?<![\w.-])px1\.(\w+)\.", stored))  # where a text begins: one in 65,000 has a "px1." of its own in its middle


async def test_a_rotation_moves_every_record_and_says_how_many(redis, clock):
    made = services(redis, clock, keys=OLD)
    await made.parties.check()
    account = await lived(made)
    sealed = sum([len(await made.records.ids(kind)) for kind in SEALED])
    assert keys_of(await everything(redis)) == {"old"}
    both = services(redis, clock, keys=f"{NEW},{OLD}")
    await both.registry.refresh()
    await log_in(both)  # found under the old key's hash
    done = await both.rotate("operator:1")
    assert (done.records, done.key, done.unneeded) == (sealed, "new", ["old"])
    assert keys_of(await everything(redis)) == {"new"}
    assert (await both.rotate("operator:1")).records == 0
    alone = services(redis, clock, keys=NEW)
    await alone.registry.refresh()
    await alone.parties.check()
    cookie, found = await log_in(alone)
    assert found.contact == account.contact and (await alone.sessions.find(cookie)).account == found
    assert [key.name for key in await alone.keys.list(found.scope)] == ["My own laptop"]
    assert len(await alone.outbox.list(100)) == len(await made.records.ids("mail"))
    for each in (made, both, alone):
        each.passwords.close()


async def test_what_ends_by_itself_still_does_after_a_rotation(redis, clock):
    made = services(redis, clock, keys=OLD)
    await made.registry.refresh()
    await made.accounts.register(FORM, PEER)
    link = await token(made)
    clock.forward(3600)
    await services(redis, clock, keys=f"{NEW},{OLD}").rotate("operator:1")
    clock.forward(23 * 3600)
    with pytest.raises(NotFound):
        await services(redis, clock, keys=NEW).accounts.confirm(link, PASSWORD)


async def test_who_writes_while_keys_are_rotated_loses_nothing(redis, clock):
    made = services(redis, clock, keys=f"{OLD},{NEW}")  # a server that still seals under the old one
    account = await partner(made)
    both = services(redis, clock, keys=f"{NEW},{OLD}")
    await both.registry.refresh()

    async def changes():
        for n in range(30):
            await made.accounts.set_other_programmes(account, n % 2 == 0)

    await asyncio.gather(changes(), *(both.rotate("operator:1") for _ in range(5)))
    await both.rotate("operator:1")
    found = await services(redis, clock, keys=NEW).accounts.account(account.id)
    assert found.contact == account.contact and found.other_programmes is False


class Together(DataDir):
    """A directory whose keys two read before either writes them, if they can."""

    both = threading.Barrier(2)

    def vault_keys(self, make):
        found = super().vault_keys(make)
        with suppress(threading.BrokenBarrierError):
            self.both.wait(0.2)
        return found


async def test_two_rotations_at_once_lose_no_key(redis, clock, tmp_path):
    data = Together(tmp_path / "data", "a test")

    async def renew():
        return await asyncio.to_thread(data.renew_vault_keys, new_secret)

    made = services(redis, clock, keys=data.vault_keys(new_secret), renew=renew)
    account = await partner(made)
    await asyncio.gather(made.rotate("operator:1"), made.rotate("operator:2"))
    again = services(redis, clock, keys=data.vault_keys(new_secret))
    assert await again.accounts.account(account.id) == await made.accounts.account(account.id)
    data.close()


async def test_an_address_has_one_account_while_keys_are_rotated(redis, clock):
    made = services(redis, clock, keys=OLD)
    await partner(made)
    both = services(redis, clock, keys=f"{NEW},{OLD}")
    await both.registry.refresh()
    await both.accounts.register(FORM | {"partner_id": "second"}, PEER)
    assert (await both.outbox.list(1))[0].subject == "You have an account already"


async def test_a_server_with_other_keys_says_so(redis, clock):
    await services(redis, clock, keys=OLD).parties.check()
    await services(redis, clock, keys=OLD).parties.check()
    with pytest.raises(Unopened):
        await services(redis, clock, keys=NEW).parties.check()
    with pytest.raises(Unopened):  # the same id, another key
        await services(redis, clock, keys=f"old:{'ef' * 32}").parties.check()


async def test_a_sealed_text_moved_to_another_account_does_not_open(redis, clock):
    made = services(redis, clock)
    one, other = await partner(made), await client(made)
    await redis.hset(
        f"pixeld:{{accounts}}:account:{one.id}", "value", await redis.hget(f"pixeld:{{accounts}}:account:{other.id}", "value")
    )
    with pytest.raises(Unopened):
        await made.accounts.account(one.id)


async def test_a_directorys_own_keys_are_made_once_and_renewed_in_front(tmp_path):
    data = DataDir(tmp_path, "a test")
    made = iter([OLD, NEW])
    assert data.vault_keys(lambda: next(made)) == OLD == data.vault_keys(lambda: next(made))
    assert (tmp_path / "vault-keys").stat().st_mode & 0o777 == 0o600
    assert data.renew_vault_keys(lambda: NEW) == f"{NEW},{OLD}" == data.vault_keys(lambda: "")
    assert Vault(data.vault_keys(lambda: "")).current == "new"
    data.close()


async def test_the_picture_of_a_worker_that_is_no_more_is_forgotten(redis, valkey, tmp_path):
    given = {"host": "127.0.0.1", "port": 0, "admin_port": 0, "data_dir": tmp_path, "redis_url": valkey}
    left = DataDir(tmp_path / WORKERS / "0", "a test")
    left.keep_registry(b'{"partners": [{"id": "blog", "name": "Wilhelmina Quux"}]}')
    left.close()
    async with app.running(Settings(clickhouse_url="clickhouse://127.0.0.1:1/pixeld", **given)):
        assert not (tmp_path / WORKERS / "0" / "registry.json").exists()


async def test_secrets_of_an_authenticator_are_sealed(redis, clock):
    made = services(redis, clock)
    account = await partner(made)
    secret, _ = await made.accounts.begin_totp(account, PASSWORD)
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(clock() // 1000))
    assert secret.lower() not in await everything(redis)
    await made.accounts.end_totp(account, PASSWORD)
    assert OTHER_PASSWORD not in await everything(redis)
