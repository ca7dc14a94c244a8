"""The outbox before real SMTP servers: well ones, and those that refuse, hang, die, or aren't who they should be."""

import asyncio
import ssl
from email import message_from_bytes
from email.policy import default

import pyotp
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from pixeld.accounts import outbox
from pixeld.accounts.account import Role
from pixeld.accounts.messages import About
from pixeld.accounts.outbox import Letter, NotSent
from pixeld.accounts.post import Smtp
from pixeld.accounts.sealed import SealedRecords
from pixeld.accounts.vault import Unopened
from pixeld.errors import NotFound, Unavailable
from pixeld.storage.redis import connect
from pixeld.tasks import cancel
from tests.accounts import FORM, PASSWORD, PEER, client, partner, services, token
from tests.certificates import certificate

LETTER = Letter("0001-a-b", "clara@shop.example", "Grüße", "Ein Link:\n\nhttps://x.example/äö\n", 1_800_000_000_000)
SENDER = "Partners <partners@track.example>"


class MailServer:
    """Takes mails, or does what a test wants instead: `says` maps SMTP commands to answers."""

    def __init__(self):
        self.mails, self.says, self.logins = [], {}, []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        envelope.rcpt_tos.append(address)
        return self.says.get("RCPT", "250 OK")

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if said := self.says.get("DATA"):
            return said
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, login):
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login, login.password, session.ssl is not None))
        return AuthResult(success=login.password == b"right:word", handled=False)


@pytest.fixture
async def smtp():
    """Starts mail servers on loopback; each gives its port."""
    servers = []

    async def start(handler=None, **options):
        loop = asyncio.get_running_loop()
        factory = handler if callable(handler) else lambda: SMTP(handler, loop=loop, hostname="mail.test", **options)
        servers.append(await loop.create_server(factory, "127.0.0.1", 0))
        return servers[-1].sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_mail_arrives_as_it_was_written(smtp):
    server = MailServer()
    port = await smtp(server)
    await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(LETTER)
    (mail,) = server.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == (SENDER, "clara@shop.example", "Grüße")
    assert mail["Message-ID"] == "<0001-a-b@track.example>" and mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 -0000"
    assert mail.get_content().replace("\r\n", "\n") == LETTER.body


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("=?utf-8?q?hi=0D=0ABcc:_eve=40evil.example?=", id="a header in an encoded word"),
        pytest.param("=?utf-8?b?CkJjYzogZXZlQGV2aWwuZXhhbXBsZQ==?=", id="a header in Base64"),
        pytest.param("==??utf-8?q?=0A=0Ahi?=", id="a body in one that is nested"),
        pytest.param("=?utf-7?q?+2AA-?=", id="half a character"),
        pytest.param("=?utf-8?q??=", id="nothing"),
    ],
)
async def test_a_subject_is_a_text_and_no_header(smtp, subject):
    server = MailServer()
    port = await smtp(server)
    await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(LETTER._replace(subject=f"{subject} (Blog)"))
    (mail,) = server.mails
    assert "Bcc" not in mail and len(mail.keys()) == 9
    assert mail["Subject"] == f"{subject} (Blog)".replace("=?", "= ?")
    assert mail.get_content().replace("\r\n", "\n") == LETTER.body


@pytest.mark.parametrize(
    "local",
    ["=?utf-8?q??=", "=?utf-8?q?a=0ABcc=3Aeve?=", "=?utf-7?q?+2AA-?=", "=?utf-8?q?=3Ceve=40evil.example=3E=2C?="],
    ids=["nothing", "a header", "half a character", "another's address"],
)
async def test_an_address_that_is_read_as_something_else_gets_no_mail_and_stops_nothing(smtp, local):
    server = MailServer()
    port = await smtp(server)
    with pytest.raises(NotSent, match="cannot be written") as refused:
        await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(LETTER._replace(to=f"{local}@shop.example"))
    assert not refused.value.away and server.mails == []


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A certificate for loopback that this process trusts."""
    cert, key = certificate(tmp_path, "mail.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def test_credentials_go_behind_starttls(smtp, trusted):
    server = MailServer()
    port = await smtp(server, tls_context=trusted, authenticator=server.authenticate, auth_required=True)
    await Smtp(f"smtp://pixeld:right%3Aword@127.0.0.1:{port}", SENDER).send(LETTER)
    assert server.logins == [(b"pixeld", b"right:word", True)] and len(server.mails) == 1


async def test_wrong_credentials_are_told(smtp, trusted):
    server = MailServer()
    port = await smtp(server, tls_context=trusted, authenticator=server.authenticate, auth_required=True)
    with pytest.raises(NotSent, match="Authentication"):
        await Smtp(f"smtp://pixeld:wrong@127.0.0.1:{port}", SENDER).send(LETTER)


async def test_credentials_go_to_nobody_who_does_not_encrypt(smtp):
    server = MailServer()
    port = await smtp(server, authenticator=server.authenticate, auth_require_tls=False)
    with pytest.raises(NotSent, match="STARTTLS") as refused:
        await Smtp(f"smtp://pixeld:right%3Aword@127.0.0.1:{port}", SENDER).send(LETTER)
    assert refused.value.away and server.logins == []


async def test_credentials_go_to_nobody_whose_certificate_is_not_trusted(smtp, trusted, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    server = MailServer()
    port = await smtp(server, tls_context=trusted, authenticator=server.authenticate)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the broken handshake
    with pytest.raises(NotSent):
        await Smtp(f"smtp://pixeld:right%3Aword@127.0.0.1:{port}", SENDER).send(LETTER)
    assert server.logins == [] and server.mails == []


async def test_smtps_encrypts_from_the_start(smtp, trusted):
    server = MailServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(server, loop=loop), "127.0.0.1", 0, ssl=trusted)
    await Smtp(f"smtps://127.0.0.1:{listening.sockets[0].getsockname()[1]}", SENDER).send(LETTER)
    listening.close()
    assert len(server.mails) == 1


class Silent(asyncio.Protocol):
    """Accepts, and says nothing ever."""


class Dying(asyncio.Protocol):
    """Greets, and is gone at the first command."""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"220 mail.test\r\n")

    def data_received(self, data):
        self.transport.abort()


class Babbling(asyncio.Protocol):
    """Says something that is not SMTP."""

    def connection_made(self, transport):
        transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    "protocol", [pytest.param(Silent, id="hangs"), pytest.param(Dying, id="dies"), pytest.param(Babbling, id="is no mail server")]
)
async def test_a_server_that_is_unwell_is_told_in_time(smtp, protocol):
    port = await smtp(protocol)
    async with asyncio.timeout(60):
        with pytest.raises(NotSent) as refused:
            await Smtp(f"smtp://127.0.0.1:{port}", SENDER, step_s=0.2).send(LETTER)
    assert refused.value.away


async def test_a_server_that_is_not_there_is_told(smtp):
    port = await smtp(Silent)
    with pytest.raises(NotSent) as refused:
        await Smtp(f"smtp://127.0.0.2:{port}", SENDER).send(LETTER)
    assert refused.value.away


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_refused_mail_is_told_and_says_nothing_about_the_next(smtp, command):
    server = MailServer()
    server.says[command] = "550 5.1.1 no such user here"
    port = await smtp(server)
    with pytest.raises(NotSent, match="no such user here") as refused:
        await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(LETTER)
    assert not refused.value.away


# The outbox itself.


class Post:
    """A mail server's end that keeps what it is given, or raises what a test wants."""

    def __init__(self):
        self.letters, self.faults, self.gate = [], [], None

    async def __call__(self, letter):
        if self.gate:
            await self.gate.wait()
        if self.faults:
            fault = self.faults.pop(0)
            if fault:
                raise fault
        self.letters.append(letter)


@pytest.fixture
async def made(redis, clock):
    """Services with a post, as on two servers."""
    post, keys = Post(), f"k:{'ab' * 32}"
    found = services(redis, clock, keys=keys, post=post)
    found.post, found.other = post, services(redis, clock, keys=keys, post=post)
    await found.registry.refresh()
    yield found
    for each in (found, found.other):
        each.passwords.close()


async def test_without_a_mail_server_mails_are_kept(redis, clock):
    made = services(redis, clock)
    id = await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    await made.outbox.deliver()
    mail = await made.outbox.read(id)
    assert (mail.state, mail.to, mail.subject) == ("kept", "clara@shop.example", "Set a new password")
    assert "https://track.example/portal/reset/t\n" in mail.body
    made.passwords.close()


async def test_a_mail_is_sent_once_and_shown(made):
    id = await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    await made.outbox.deliver()
    await made.outbox.deliver()
    await made.other.outbox.deliver()
    assert [letter.to for letter in made.post.letters] == ["clara@shop.example"]
    assert ((await made.outbox.read(id)).state, (await made.outbox.read(id)).attempts) == ("sent", 1)


async def test_two_servers_do_not_send_one_mail_twice(made):
    made.post.gate = asyncio.Event()
    for n in range(10):
        await made.outbox.send(f"c{n}@shop.example", "reset", "abc", token="t")
    rounds = [asyncio.create_task(each.outbox.deliver()) for each in (made, made.other) for _ in range(3)]
    while sum(mail.attempts for mail in await made.outbox.list(10)) < 6:  # each round has claimed one, and holds it
        await asyncio.sleep(0)
    made.post.gate.set()
    await asyncio.gather(*rounds)
    for each in (made, made.other):
        await each.outbox.deliver()
    assert sorted(letter.to for letter in made.post.letters) == sorted(f"c{n}@shop.example" for n in range(10))


async def test_what_a_dead_server_had_claimed_is_sent_by_another(made, clock):
    made.post.gate = asyncio.Event()
    await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    dying = asyncio.create_task(made.outbox.deliver())
    while (await made.outbox.list(1))[0].attempts == 0:
        await asyncio.sleep(0)
    await cancel(dying)
    made.post.gate = None
    clock.forward(119)
    await made.other.outbox.deliver()
    assert made.post.letters == []
    clock.forward(1)
    await made.other.outbox.deliver()
    assert len(made.post.letters) == 1


async def test_what_could_not_be_sent_stays_with_its_error_and_is_tried_ever_more_seldom(made, clock, caplog):
    made.post.faults = [NotSent("550 clara@shop.example is unknown", away=False)] * 12
    id = await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    await made.outbox.deliver()
    for minutes in (1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360):
        mail = await made.outbox.read(id)
        assert (mail.state, mail.error) == ("waiting", "550 clara@shop.example is unknown")
        clock.forward(60 * minutes - 1)
        await made.outbox.deliver()
        assert (await made.outbox.read(id)).attempts == mail.attempts
        clock.forward(1)
        await made.outbox.deliver()
        assert (await made.outbox.read(id)).attempts == mail.attempts + 1
    clock.forward(6 * 3600)
    await made.outbox.deliver()
    assert (await made.outbox.read(id)).state == "sent" and len(made.post.letters) == 1
    assert "clara" not in caplog.text and "could not be sent" in caplog.text


async def test_one_mail_that_is_refused_holds_up_no_other(made):
    made.post.faults = [NotSent("550", away=False)]
    for n in range(3):
        await made.outbox.send(f"c{n}@shop.example", "reset", "abc", token="t")
        made.clock.forward(1)
    await made.outbox.deliver()
    assert [letter.to for letter in made.post.letters] == ["c1@shop.example", "c2@shop.example"]


async def test_while_the_mail_server_is_away_it_is_asked_once_a_round(made):
    made.post.faults = [NotSent("away", away=True)] * 5
    for n in range(3):
        await made.outbox.send(f"c{n}@shop.example", "reset", "abc", token="t")
    await made.outbox.deliver()
    assert len(made.post.faults) == 4


async def test_a_mail_that_went_while_redis_went_away_does_not_go_again(made, monkeypatch):
    await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    store, post = made.records, made.post

    async def sending(letter):
        await post(letter)
        monkeypatch.setattr(store, "_redis", nowhere)

    made.outbox._post = sending
    with pytest.raises(Exception, match="Redis"):
        await made.outbox.deliver()
    monkeypatch.setattr(store, "_redis", made.redis)
    made.clock.forward(1000)
    await made.outbox.deliver()
    assert len(post.letters) == 1 and (await made.outbox.list(1))[0].state == "sent"
    await nowhere.aclose()


async def test_a_mail_that_went_while_others_changed_it_does_not_go_again(made, rival, clock):
    made.post.gate = asyncio.Event()
    id = await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    sending = asyncio.create_task(made.outbox.deliver())
    async with asyncio.timeout(20):
        while not (await made.other.outbox.read(id)).attempts:
            await asyncio.sleep(0.01)
    rival.kind = "mail"
    made.post.gate.set()
    with pytest.raises(Unavailable, match="others are changing this mail"):
        await sending
    rival.kind = ""
    clock.forward(130)  # the claim is over
    await made.outbox.deliver()
    await made.other.outbox.deliver()
    assert len(made.post.letters) == 1 and (await made.outbox.read(id)).state == "sent"


async def test_who_lets_a_mail_be_tried_again_is_told_where_others_are_faster(made, rival):
    id = await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    rival.kind = "mail"
    with pytest.raises(Unavailable, match="others are changing this mail"):
        await made.outbox.retry(id)


async def test_the_task_delivers_at_once_and_outlives_redis(made, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "_ROUND_S", 3600)
    nowhere = connect("unix:///nonexistent/redis.sock", 1.0)
    monkeypatch.setattr(made.records, "_redis", nowhere)
    running = asyncio.create_task(made.outbox.run())
    while "mails wait" not in caplog.text:
        await asyncio.sleep(0)
    monkeypatch.setattr(made.records, "_redis", made.redis)
    await made.outbox.send("clara@shop.example", "reset", "abc", token="t")
    async with asyncio.timeout(60):
        while not made.post.letters:
            await asyncio.sleep(0)
    await cancel(running)
    await nowhere.aclose()


async def test_the_newest_are_listed_first_for_thirty_days(made, clock):
    for n in range(5):
        await made.outbox.send(f"c{n}@shop.example", "reset", "abc", token="t")
        clock.forward(1)
    assert [mail.to for mail in await made.outbox.list(2)] == ["c4@shop.example", "c3@shop.example"]
    id = (await made.outbox.list(1))[0].id
    clock.forward(30 * 86_400)
    assert await made.outbox.list(10) == []
    with pytest.raises(NotFound):
        await made.outbox.read(id)


async def test_what_cannot_be_opened_stops_nothing_else(made, redis, clock, caplog):
    stranger = services(redis, clock, keys=f"other:{'cd' * 32}")
    await stranger.outbox.send("a@x.example", "known", "")
    clock.forward(1)
    await made.outbox.send("b@x.example", "known", "")
    for _ in range(2):
        await made.outbox.deliver()
    assert [letter.to for letter in made.post.letters] == ["b@x.example"]
    assert [r.message for r in caplog.records] == ["a mail cannot be opened, and is not sent"]
    await SealedRecords(stranger.records, stranger.vault).write("account", "x", {"contact": {}}, expected=0)
    with pytest.raises(Unopened):
        await made.policies.post("Changed.", False, "", "admin")
    with pytest.raises(TimeoutError):  # it goes on
        async with asyncio.timeout(0.2):
            await made.policies.run()


async def test_every_mail_can_be_written(made):
    """Each template with what it is given, and no sentence is left unfinished."""
    await made.registry.add_client({"id": "shop", "name": "S", "landing_url": "https://shop.example/"}, "admin")
    account = await partner(made)
    await made.accounts.register(FORM | {"partner_id": "blog2"}, PEER)
    await made.accounts.ask_reset(FORM["email"], PEER)
    made.clock.forward(1)
    await made.accounts.correct(account, {"email": "new@quux.example"}, account.version, PASSWORD)
    await made.accounts.confirm(await token(made), PASSWORD)
    await made.accounts.change_password(await made.accounts.account(account.id), PASSWORD, "another long password")
    secret, _ = await made.accounts.begin_totp(account, "another long password")
    codes = await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(made.clock() // 1000))
    await made.accounts.log_in("new@quux.example", "another long password", codes[0], PEER)
    await made.accounts.offer_end_of_totp(account.id, "admin")
    await made.accounts.end_totp(account, "another long password")
    for role, subject in ((Role.OPERATOR, ""), (Role.CLIENT, "shop")):
        await made.accounts.invite(role, subject, f"{role}@x.example", "admin")
    await client(made)
    await made.registry.set_member("shop", "blog", {"status": "approved"}, "admin")
    written = {"subject": "Hello", "text": "A text"}
    await made.parties.messages.to_partner("shop", "blog", About.OWN, written, "client:shop/x")
    await made.parties.messages.to_client("blog", "shop", written, "partner:blog")
    await made.policies.post("Changed.", True, "May we?", "admin")
    mails = await made.outbox.list(100)
    assert len({mail.subject for mail in mails}) == len(made.outbox._templates.list_templates())
    for mail in mails:
        assert mail.subject and "\n\n\n" not in mail.body and "{" not in mail.body and mail.body.endswith("\n")
        assert all(len(line) <= 200 for line in mail.body.splitlines())


# The privacy policy.


async def test_a_new_version_is_posted_and_everybody_is_told_once(made, clock):
    account, other = await partner(made), await client(made)
    clock.forward(1)
    await made.accounts.register(FORM | {"partner_id": "pending", "email": "pending@x.example"}, PEER)
    assert (await made.policies.current()).number == 1
    version = await made.policies.post("We keep less.", False, "", "operator:1")
    assert (version.number, version.summary, version.changes_use, version.posted_ms) == (2, "We keep less.", False, clock())
    assert await made.policies.current() == version and [v.number for v in await made.policies.history()] == [2, 1]
    for each in (made, made.other):
        await each.policies.notify()
    told = [mail for mail in await made.outbox.list(100) if mail.subject == "The privacy policy has changed"]
    assert sorted(mail.account_id for mail in told) == sorted([account.id, other.id])
    assert all("We keep less." in mail.body and "asked when you next log in" not in mail.body for mail in told)
    assert await made.policies.question_for(account) is None


async def test_who_was_left_out_when_it_was_interrupted_is_told_later(made, monkeypatch):
    await partner(made)
    await client(made)
    send, calls = made.outbox.send, []

    async def failing(*args, **values):
        calls.append(args)
        if len(calls) == 2:
            raise NotFound("interrupted for the test")
        return await send(*args, **values)

    monkeypatch.setattr(made.outbox, "send", failing)
    with pytest.raises(NotFound):
        await made.policies.post("We keep less.", False, "", "operator:1")
    await made.other.policies.notify()
    told = [mail.to for mail in await made.outbox.list(100) if mail.subject == "The privacy policy has changed"]
    assert sorted(told) == ["Wilhelmina@quux.example", "clara@shop.example"]


async def test_a_change_of_use_asks_everybody_and_the_old_use_holds_until_then(made, clock):
    account, other = await partner(made), await client(made)
    clock.forward(1)
    version = await made.policies.post("A newsletter.", True, "May we write to you?", "operator:1")
    clock.forward(1)
    newer = await client(made, "dora@shop.example")  # registers under the new version
    for each in (account, other):
        assert await made.policies.question_for(each) == version
        assert not each.allows(2)
    assert await made.policies.question_for(newer) is None and newer.allows(2)
    account = await made.policies.consent(account, 2, True)
    other = await made.policies.consent(other, 2, False)
    assert (account.accepted, account.uses, other.accepted, other.uses) == (2, {2: True}, 1, {2: False})
    for each, allowed in ((account, True), (other, False)):
        each = await made.accounts.account(each.id)
        assert await made.policies.question_for(each) is None
        assert each.allows(2) is allowed
    other = await made.policies.consent(other, 2, True)  # a mind may change
    assert other.allows(2) and await made.policies.newest_use() == 2


async def test_questions_are_asked_oldest_first_and_each_is_its_own(made):
    account = await partner(made)
    await made.policies.post("One.", True, "One?", "operator:1")
    await made.policies.post("Only words.", False, "", "operator:1")
    await made.policies.post("Two.", True, "Two?", "operator:1")
    assert (await made.policies.question_for(account)).number == 2
    account = await made.policies.consent(account, 2, False)
    assert (await made.policies.question_for(account)).number == 4
    account = await made.policies.consent(account, 4, True)
    assert await made.policies.question_for(account) is None
    assert not account.allows(2) and account.allows(4) and await made.policies.newest_use() == 4


@pytest.mark.parametrize("version", [1, 2, 3, 0, -1])
async def test_a_version_that_asks_nothing_takes_no_answer(made, version):
    account = await partner(made)
    await made.policies.post("Only words.", False, "", "operator:1")
    with pytest.raises(NotFound):
        await made.policies.consent(account, version, True)


@pytest.mark.parametrize(
    ("summary", "changes_use", "question", "field"),
    [
        pytest.param("", False, "", "summary", id="no summary"),
        pytest.param("x", True, "", "question", id="a change of use without a question"),
        pytest.param("x", False, "May we?", "question", id="a question without a change of use"),
    ],
)
async def test_a_version_says_what_changes(made, summary, changes_use, question, field):
    with pytest.raises(Exception) as refused:
        await made.policies.post(summary, changes_use, question, "operator:1")
    assert list(refused.value.problems) == [field]


async def test_two_who_post_at_once_make_two_versions(made):
    await asyncio.gather(*(each.policies.post("x", False, "", "operator:1") for each in (made, made.other)))
    assert [version.number for version in await made.policies.history()] == [3, 2, 1]
