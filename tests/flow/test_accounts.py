"""Accounts over a real Valkey: how they begin, are entered, change and end; what is refused, and in which words."""

import asyncio

import pyotp
import pytest

from pixeld.accounts.account import Role
from pixeld.accounts.limits import LIMITS
from pixeld.accounts.links import LIFE_S
from pixeld.domain.registry import Status
from pixeld.domain.reports import Scope
from pixeld.errors import (
    AlreadyExists,
    CodeNeeded,
    Conflict,
    Forbidden,
    InvalidForm,
    NotFound,
    QueueAway,
    TooMany,
    Unauthorized,
    Unavailable,
)
from tests.accounts import FORM, OTHER_PASSWORD, PASSWORD, PEER, SHOP, client, log_in, partner, services, token

DAY_S = 86_400


@pytest.fixture
async def made(redis, clock):
    found = services(redis, clock)
    await found.registry.refresh()
    yield found
    found.passwords.close()


async def operator(made, email="olga@track.example"):
    path = await made.accounts.first_link()
    form = {"contact_name": "Olga", "email": email, "password": PASSWORD, "terms": "yes"}
    return await made.accounts.accept(path.rpartition("/")[2], form)


# Registration.


async def test_a_partner_registers_confirms_and_logs_in(made):
    await made.accounts.register(FORM, PEER)
    assert made.registry.snapshot.partners == {}
    with pytest.raises(Unauthorized):
        await log_in(made)
    account = await made.accounts.confirm(await token(made), PASSWORD)
    assert (account.role, account.subject, account.state, account.accepted) == (Role.PARTNER, "blog", "active", 1)
    assert account.scope == Scope.partner("blog") and account.who == "partner:blog"
    assert account.contact.address == "Hollow Lane 99\n12345 Nowhere" and account.contact.site == "https://teapots.example/"
    assert made.registry.snapshot.partners["blog"].name == "Wilhelmina's Teapots"
    cookie, logged_in = await log_in(made)
    assert logged_in == account and (await made.sessions.find(cookie)).account == account
    assert await made.accounts.of_subject(Role.PARTNER, "blog") == await made.accounts.all() == [account]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        pytest.param("partner_id", "", "missing", id="no id"),
        pytest.param("partner_id", "My Blog", "letters a-z", id="an id with a space"),
        pytest.param("partner_id", "x" * 33, "33", id="an id that is too long"),
        pytest.param("name", " ", "missing", id="no name"),
        pytest.param("name", "a\nb", "cannot be printed", id="a name of two lines"),
        pytest.param("name", "Tea\u200bpots", "nobody sees", id="a name that the registry would refuse"),
        pytest.param("contact_name", "", "missing", id="no contact name"),
        pytest.param("contact_name", "a\x1b[31m", "cannot be printed", id="control characters"),
        pytest.param("email", "wilhelmina", "anna@example.com", id="no e-mail address"),
        pytest.param("email", "a@b.example, c@d.example", "anna@example.com", id="two e-mail addresses"),
        pytest.param("email", "a@b.example\nBcc: c@d.example", "cannot be printed", id="a header in the e-mail address"),
        pytest.param("email", "=?utf-8?q??=@b.example", "anna@example.com", id="an encoded word in the e-mail address"),
        pytest.param("email", "a@localhost", "anna@example.com", id="an e-mail address without a domain"),
        pytest.param("site", "javascript:alert(1)", "web site", id="a site that is no site"),
        pytest.param("site", "https://a b.example/", "web site", id="a site with a space"),
        pytest.param("promotion", "x" * 4001, "4,001", id="promotion that is too long"),
        pytest.param("terms", "", "agreeing", id="terms not accepted"),
        pytest.param("policy", "0", "changed meanwhile", id="another version of the policy"),
    ],
)
async def test_a_form_says_what_is_wrong_beside_the_field(made, field, value, says):
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.register(FORM | {field: value}, PEER)
    assert list(refused.value.problems) == [field] and says in refused.value.problems[field]
    assert await made.outbox.list(10) == []


async def test_everything_that_is_wrong_is_told_at_once(made):
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.register({}, PEER)
    assert list(refused.value.problems) == [
        "contact_name", "email", "partner_id", "name", "terms", "policy",
    ]  # fmt: skip


async def test_what_is_optional_may_be_left_out(made):
    account = await partner(made, postal="", site="", promotion="")
    assert account.contact.address == account.contact.site == account.contact.promotion == ""


async def test_an_id_is_reserved_until_it_is_confirmed_or_a_day_is_over(made, clock):
    await made.accounts.register(FORM, PEER)
    with pytest.raises(InvalidForm, match="taken"):
        await made.accounts.register(FORM | {"email": "other@quux.example"}, PEER)
    clock.forward(DAY_S)
    await made.accounts.register(FORM | {"email": "other@quux.example"}, PEER)


async def test_an_id_in_the_registry_is_taken(made):
    await made.registry.add_partner({"id": "blog", "name": "Another"}, "admin")
    with pytest.raises(InvalidForm, match="taken"):
        await made.accounts.register(FORM, PEER)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        pytest.param("short", "12 to 200", id="short"),
        pytest.param("x" * 201, "12 to 200", id="long"),
        pytest.param("aaaaaaaaaaaab", "repeats", id="of one letter"),
        pytest.param(FORM["email"].upper(), "guess", id="the e-mail address"),
    ],
)
async def test_a_password_that_is_none_does_not_use_a_confirmation_up(made, password, says):
    await made.accounts.register(FORM, PEER)
    link = await token(made)
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.confirm(link, password)
    assert list(refused.value.problems) == ["password"] and says in refused.value.problems["password"]
    await made.accounts.confirm(link, PASSWORD)


async def test_who_lost_the_mail_registers_again(made):
    await made.accounts.register(FORM, PEER)
    await made.accounts.register(FORM | {"email": FORM["email"].upper()}, PEER)
    await made.accounts.confirm(await token(made), PASSWORD)
    await log_in(made)


async def test_a_confirmation_shows_what_was_typed(made):
    await made.accounts.register(FORM, PEER)
    link = await token(made)
    account, name, email = await made.accounts.awaiting(link)
    assert (account.subject, name, email) == ("blog", FORM["name"], FORM["email"])
    assert account.contact.address == FORM["postal"]
    await made.accounts.confirm(link, PASSWORD)
    assert await made.accounts.awaiting(link) is None


@pytest.mark.parametrize("order", ["the owner first", "the stranger first"])
@pytest.mark.parametrize("follows", ["her own link", "the stranger's link"])
async def test_a_stranger_who_registers_the_same_gets_nothing(made, order, follows):
    """Whoever types somebody's address and id: what counts is what the mailbox's owner chooses behind the link that she follows."""
    strangers, links = FORM | {"contact_name": "Mallory", "postal": "Elsewhere 1", "password": OTHER_PASSWORD}, {}
    both = {"her own link": FORM, "the stranger's link": strangers}
    for whose in both if order == "the owner first" else reversed(both):
        await made.accounts.register(both[whose], PEER)
        links[whose] = await token(made)
    shown = (await made.accounts.awaiting(links[follows])).account.contact
    account = await made.accounts.confirm(links.pop(follows), PASSWORD)
    assert account.contact == shown and await made.accounts.of_subject(Role.PARTNER, "blog") == [account]
    assert (await log_in(made))[1] == account
    with pytest.raises(Unauthorized):
        await log_in(made, password=OTHER_PASSWORD)
    (other,) = links.values()
    with pytest.raises(AlreadyExists, match="has an account already"):
        await made.accounts.confirm(other, OTHER_PASSWORD)
    await log_in(made)


async def test_of_links_for_one_id_that_are_followed_at_once_one_counts(made):
    links = []
    for n in range(4):
        await made.accounts.register(FORM, f"192.0.2.{n}")
        links.append(await token(made))
    outcomes = await asyncio.gather(*(made.accounts.confirm(link, PASSWORD) for link in links), return_exceptions=True)
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 3
    assert len(await made.accounts.of_subject(Role.PARTNER, "blog")) == 1


async def test_a_stranger_cannot_use_up_the_registrations_of_an_address(made):
    for _ in range(3):
        await made.accounts.register(FORM | {"partner_id": "blog2"}, "192.0.2.66")
    with pytest.raises(TooMany):
        await made.accounts.register(FORM, "192.0.2.66")
    await partner(made)


async def test_many_strangers_delay_a_registration_by_hours_and_leave_a_link_that_works(made, clock):
    links = []
    for n in range(6):
        await made.accounts.register(FORM | {"partner_id": f"blog{n}"}, f"192.0.2.{n}")
        links.append(await token(made))
    with pytest.raises(TooMany, match="links are in its mailbox"):
        await made.accounts.register(FORM, PEER)
    assert LIMITS["registration by e-mail address"].window_s < LIFE_S["confirm"]
    clock.forward(6 * 3600)
    await made.accounts.register(FORM, PEER)
    account = await made.accounts.confirm(links[0], PASSWORD)  # who has the mailbox gets in by any of them
    assert account.subject == "blog0"
    await made.accounts.correct(account, {"name": "My own", "contact_name": "Myself"}, account.version)


WRITES = ("hset", "del", "zadd", "zrem", "xadd", "pexpire", "incr")


async def test_a_known_address_is_told_by_mail_only(made):
    account = await partner(made)
    await made.accounts.register(FORM | {"partner_id": "blog2"}, PEER)
    (mail,) = await made.outbox.list(1)
    assert mail.subject == "You have an account already" and mail.to == FORM["email"] and mail.account_id == account.id
    # its id is reserved like any other, which would tell otherwise
    with pytest.raises(InvalidForm, match="taken"):
        await made.accounts.register(FORM | {"partner_id": "blog2", "email": "other@quux.example"}, PEER)
    assert await made.accounts.all() == [account]


@pytest.mark.parametrize("how", ["register", "move there", "be invited"])
async def test_as_much_is_written_for_a_known_address_as_for_any(made, redis, how):
    """Each write waits for the disk, so that one more shows in how long it takes."""
    account = await partner(made)
    await client(made, "clara@shop.example")
    await made.registry.add_client(SHOP | {"id": "tea"}, "admin")
    written = {}
    for n, email in enumerate(("first@x.example", "clara@shop.example", "nobody@x.example")):  # the first is what others replace
        await redis.config_resetstat()
        if how == "register":
            await made.accounts.register(FORM | {"partner_id": f"blog-{n}", "email": email}, f"192.0.2.{n}")
        elif how == "move there":
            account = await made.accounts.correct(account, {"email": email}, account.version, PASSWORD)
        else:
            await made.accounts.invite(Role.CLIENT, "tea", email, "client:tea/1", discreet=True)
        stats = await redis.info("commandstats")
        written[email] = {name: stats[name]["calls"] for name in stats if name.removeprefix("cmdstat_") in WRITES}
    assert written["clara@shop.example"] == written["nobody@x.example"] and written["nobody@x.example"]


async def test_of_two_registrations_with_one_address_one_is_confirmed(made):
    await made.accounts.register(FORM, PEER)
    first = await token(made)
    await made.accounts.register(FORM | {"partner_id": "blog2"}, PEER)
    second = await token(made)
    await made.accounts.confirm(second, PASSWORD)
    with pytest.raises(AlreadyExists, match="has an account already"):
        await made.accounts.confirm(first, PASSWORD)
    assert set(made.registry.snapshot.partners) == {"blog2"}


@pytest.mark.parametrize("name", ["Another", FORM["name"]], ids=["of another name", "of the same name"])
async def test_an_id_that_the_operator_gave_away_meanwhile_is_not_taken_over(made, name):
    await made.accounts.register(FORM, PEER)
    await made.registry.add_partner({"id": "blog", "name": name}, "admin")
    with pytest.raises(AlreadyExists, match="taken meanwhile"):
        await made.accounts.confirm(await token(made), PASSWORD)
    assert await made.accounts.all() == []
    await partner(made, partner_id="blog2")


async def test_a_confirmation_that_failed_halfway_can_be_repeated(made, monkeypatch):
    await made.accounts.register(FORM, PEER)
    link = await token(made)
    activate = made.accounts._office.people.activate

    async def away(person):
        raise QueueAway("Redis is away")

    monkeypatch.setattr(made.accounts._office.people, "activate", away)
    with pytest.raises(QueueAway):
        await made.accounts.confirm(link, PASSWORD)
    with pytest.raises(Unauthorized):  # it has its address by now, and is not confirmed
        await log_in(made)
    monkeypatch.setattr(made.accounts._office.people, "activate", activate)
    await made.accounts.confirm(link, PASSWORD)
    await log_in(made)


# One-time links.


@pytest.mark.parametrize("wrong", ["", "x", "nobody.", "a" * 5000, "operators.x", "../x", "ä.\ud800"[:2]])
async def test_what_is_no_link_is_none(made, wrong):
    with pytest.raises(NotFound):
        await made.accounts.confirm(wrong, PASSWORD)
    with pytest.raises(NotFound):
        await made.accounts.accept(wrong, FORM)
    with pytest.raises(NotFound):
        await made.accounts.reset(wrong, PASSWORD)
    assert await made.accounts.invited(wrong) is None


async def test_a_link_works_once(made):
    await made.accounts.register(FORM, PEER)
    link = await token(made)
    outcomes = await asyncio.gather(*(made.accounts.confirm(link, PASSWORD) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 4
    with pytest.raises(NotFound, match="used already"):
        await made.accounts.confirm(link, PASSWORD)


async def test_a_link_is_for_one_purpose(made):
    await partner(made)
    await made.accounts.ask_reset(FORM["email"], PEER)
    reset = await token(made)
    with pytest.raises(NotFound):
        await made.accounts.confirm(reset, PASSWORD)
    with pytest.raises(NotFound):
        await made.accounts.accept(reset, FORM)
    await made.accounts.reset(reset, OTHER_PASSWORD)


@pytest.mark.parametrize(
    ("ask", "follow", "seconds"),
    [
        pytest.param(
            lambda m: m.accounts.register(FORM | {"partner_id": "b", "email": "b@x.example"}, PEER),
            lambda m, link: m.accounts.confirm(link, PASSWORD), DAY_S, id="confirmation: a day",
        ),
        pytest.param(
            lambda m: m.accounts.ask_reset(FORM["email"], PEER),
            lambda m, link: m.accounts.reset(link, OTHER_PASSWORD), 3600, id="new password: an hour",
        ),
        pytest.param(
            lambda m: m.accounts.invite(Role.OPERATOR, "", "o@x.example", "admin"),
            lambda m, link: m.accounts.accept(link, FORM), 7 * DAY_S, id="invitation: 7 days",
        ),
    ],
)  # fmt: skip
async def test_a_link_is_short_lived(made, clock, ask, follow, seconds):
    await partner(made)
    clock.forward(1)
    await ask(made)
    link = await token(made)
    clock.forward(seconds)
    with pytest.raises(NotFound):
        await follow(made, link)


# Invitations.


async def test_a_client_is_invited(made):
    await made.registry.add_client(SHOP, "admin")
    path = await made.accounts.invite(Role.CLIENT, "shop", "clara@shop.example", "operator:1")
    link = path.removeprefix("/portal/welcome/")
    assert await token(made) == link
    assert await made.accounts.invited(link) == await made.accounts.invited(link) == (Role.CLIENT, "shop", "clara@shop.example")
    form = {"contact_name": "Clara", "email": "Clara@shop.example", "password": PASSWORD, "terms": "yes"}
    account = await made.accounts.accept(link, form)
    assert account.scope == Scope.client("shop") and account.who == f"client:shop/{account.id}"
    assert (await log_in(made, "clara@shop.example"))[1] == account
    with pytest.raises(NotFound, match="invitation was used"):
        await made.accounts.accept(link, form)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"email": "mallory@x.example"}, "email", id="another address"),
        pytest.param({"contact_name": ""}, "contact_name", id="no name"),
        pytest.param({"password": "short"}, "password", id="a short password"),
        pytest.param({"terms": "no"}, "terms", id="terms not accepted"),
    ],
)
async def test_an_invitation_that_is_filled_in_wrongly_is_not_used_up(made, changes, field):
    path = await made.accounts.invite(Role.OPERATOR, "", "o@x.example", "admin")
    link, form = path.rpartition("/")[2], {"contact_name": "O", "email": "o@x.example", "password": PASSWORD, "terms": "yes"}
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.accept(link, form | changes)
    assert list(refused.value.problems) == [field]
    await made.accounts.accept(link, form)


@pytest.mark.parametrize(
    ("role", "subject", "email", "field"),
    [
        pytest.param(Role.CLIENT, "nobody", "a@x.example", "subject", id="no such client"),
        pytest.param(Role.PARTNER, "nobody", "a@x.example", "subject", id="no such partner"),
        pytest.param(Role.OPERATOR, "shop", "a@x.example", "subject", id="an operator of a client"),
        pytest.param(Role.OPERATOR, "", "a@", "email", id="no address"),
    ],
)
async def test_an_invitation_to_nothing_is_refused(made, role, subject, email, field):
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.invite(role, subject, email, "admin")
    assert list(refused.value.problems) == [field]


async def test_who_has_an_account_is_not_invited_to_another(made):
    await partner(made)
    with pytest.raises(AlreadyExists, match="address has an account"):
        await made.accounts.invite(Role.OPERATOR, "", FORM["email"].upper(), "admin")
    with pytest.raises(AlreadyExists, match="as many accounts"):
        await made.accounts.invite(Role.PARTNER, "blog", "second@quux.example", "admin")


async def test_a_partner_that_the_operator_made_is_invited_and_has_one_account(made):
    await made.registry.add_partner({"id": "blog", "name": "Blog"}, "admin")
    links = [await made.accounts.invite(Role.PARTNER, "blog", f"{who}@x.example", "admin") for who in "ab"]
    forms = [{"contact_name": who, "email": f"{who}@x.example", "password": PASSWORD, "terms": "yes"} for who in "ab"]
    both = [made.accounts.accept(link.rpartition("/")[2], form) for link, form in zip(links, forms, strict=True)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 1
    assert len(await made.accounts.all()) == 1


async def test_the_first_operator_has_a_link_that_every_start_makes_anew(made):
    first, second = await made.accounts.first_link(), await made.accounts.first_link()
    assert await made.accounts.invited(first.rpartition("/")[2]) is None
    assert await made.accounts.invited(second.rpartition("/")[2]) == (Role.OPERATOR, "", "")
    form = {"contact_name": "Olga", "email": "olga@track.example", "password": PASSWORD, "terms": "yes"}
    account = await made.accounts.accept(second.rpartition("/")[2], form)
    assert account.scope == Scope.operator() and account.who == f"operator:{account.id}"
    assert await made.accounts.first_link() is None


async def test_of_two_first_links_one_makes_an_operator(made, monkeypatch):
    one, other = [await made.accounts._office.links.make("first", "operators", {"role": "operator", "subject": "", "email": ""})
                  for _ in range(2)]  # fmt: skip
    form = {"contact_name": "Olga", "email": "olga@track.example", "password": PASSWORD, "terms": "yes"}

    async def away(*_):
        raise QueueAway("Redis is away")

    monkeypatch.setattr(made.accounts._office.links, "end", away)  # the other link is still there
    with pytest.raises(QueueAway):
        await made.accounts.accept(one, form)
    with pytest.raises(NotFound, match="operator already"):
        await made.accounts.accept(other, form | {"email": "mallory@x.example"})


# Log-in.


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param("nobody@x.example", PASSWORD, id="no such account"),
        pytest.param(FORM["email"], OTHER_PASSWORD, id="wrong password"),
        pytest.param(FORM["email"], "", id="no password"),
        pytest.param(FORM["email"], "x" * 100_000, id="a huge password"),
        pytest.param("pending@x.example", PASSWORD, id="not confirmed"),
        pytest.param("", PASSWORD, id="no address"),
    ],
)
async def test_a_refused_log_in_says_the_same_whatever_the_reason(made, email, password):
    await partner(made)
    await made.accounts.register(FORM | {"partner_id": "pending", "email": "pending@x.example"}, PEER)
    with pytest.raises(Unauthorized, match="^The e-mail address, the password or the code is wrong") as refused:
        await log_in(made, email, password)
    assert not isinstance(refused.value, CodeNeeded)


async def test_an_address_is_the_same_in_capitals_and_a_password_in_every_spelling(made):
    await partner(made, password="Ångström and Björn")
    await log_in(made, " WILHELMINA@QUUX.EXAMPLE ", "A\u030angstro\u0308m and Bjo\u0308rn")


@pytest.mark.parametrize("known", [True, False], ids=["of an account", "of nobody"])
async def test_guesses_are_limited_by_account_and_address(made, clock, known):
    await partner(made)
    email = FORM["email"] if known else "nobody@x.example"
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await log_in(made, email, "guess number one")
    with pytest.raises(TooMany, match="15 minutes") as refused:
        await log_in(made, email)
    assert refused.value.retry_s == 900
    if known:  # the owner, elsewhere, is not locked out
        await log_in(made, address="198.51.100.1")
    clock.forward(900)
    if known:
        await log_in(made)


async def test_guesses_from_many_addresses_are_limited_by_account(made):
    await partner(made)
    for n in range(50):
        with pytest.raises(Unauthorized):
            await log_in(made, password="guess number one", address=f"198.51.100.{n}")
    with pytest.raises(TooMany, match="60 minutes"):
        await log_in(made, address="198.51.100.99")


async def test_guesses_at_many_accounts_are_limited_by_address(made):
    for n in range(200):
        with pytest.raises(Unauthorized):
            await log_in(made, f"a{n}@x.example", address=f"2001:db8::{n:x}")  # one /64
    with pytest.raises(TooMany):
        await log_in(made, "b@x.example", address="2001:db8::ffff:1")


async def test_a_log_in_that_succeeds_begins_anew(made):
    await partner(made)
    for _ in range(3):
        for _ in range(9):
            with pytest.raises(Unauthorized):
                await log_in(made, password="guess number one")
        await log_in(made)


async def test_a_password_of_another_cost_is_hashed_again(made):
    account = await partner(made)
    people = made.accounts._office.people
    from argon2 import PasswordHasher

    dear = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    await people.change(account.id, lambda person: person.with_secrets(password=dear))
    await log_in(made)
    assert "m=8,t=1" in (await people.get(account.id)).secrets["password"]
    await log_in(made)


# Passwords.


async def test_a_forgotten_password_is_replaced_and_sessions_end(made):
    await partner(made)
    cookie, _ = await log_in(made)
    await made.accounts.ask_reset(FORM["email"].upper(), PEER)
    first = await token(made)
    made.clock.forward(1)
    await made.accounts.ask_reset(FORM["email"], PEER)
    link = await token(made)
    with pytest.raises(InvalidForm):
        await made.accounts.reset(link, "short")
    await made.accounts.reset(link, OTHER_PASSWORD)
    assert await made.sessions.find(cookie) is None
    with pytest.raises(Unauthorized):
        await log_in(made)
    await log_in(made, password=OTHER_PASSWORD)
    with pytest.raises(NotFound):  # the others end with it
        await made.accounts.reset(first, PASSWORD)


async def test_nothing_tells_whether_there_is_such_an_account(made):
    await made.accounts.ask_reset("nobody@x.example", PEER)
    await made.accounts.register(FORM, PEER)
    mails = len(await made.outbox.list(10))
    await made.accounts.ask_reset(FORM["email"], PEER)  # unconfirmed
    assert len(await made.outbox.list(10)) == mails
    loop = asyncio.get_running_loop()
    began = loop.time()
    await made.accounts.ask_reset("nobody@x.example", PEER)
    assert loop.time() - began >= 0.25


@pytest.mark.parametrize("email", [FORM["email"], "nobody@x.example"], ids=["of an account", "of nobody"])
async def test_mails_that_strangers_cause_are_limited(made, email):
    await partner(made)
    asked = [made.accounts.ask_reset(email, f"192.0.2.{n}") for n in range(6)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, TooMany)]
    assert "in its mailbox" in str(refused) and refused.retry_s == 3600


async def test_one_stranger_cannot_use_up_the_resets_of_an_address(made):
    await partner(made)
    outcomes = await asyncio.gather(*(made.accounts.ask_reset(FORM["email"], "192.0.2.66") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 1
    await made.accounts.ask_reset(FORM["email"], PEER)


@pytest.mark.parametrize("every_s", [0, 700], ids=["at once", "through the hour"])
async def test_many_strangers_leave_the_owner_a_link_that_works(made, clock, every_s):
    """Refused at any time, the owner has a link in the mailbox that holds; with it, asking begins anew."""
    await partner(made)
    links = []
    for n in range(5):
        await made.accounts.ask_reset(FORM["email"], f"192.0.2.{n}")
        links.append(await token(made))
        clock.forward(every_s)
    clock.forward(3600 - 5 * every_s - 1)
    with pytest.raises(TooMany):
        await made.accounts.ask_reset(FORM["email"], PEER)
    await made.accounts.reset(links[0], OTHER_PASSWORD)
    await made.accounts.ask_reset(FORM["email"], PEER)


async def test_strangers_cannot_use_up_the_mails_of_who_is_logged_in(made):
    account = await partner(made)
    for n in range(5):
        await made.accounts.register(FORM | {"partner_id": "blog2", "email": "new@quux.example"}, f"192.0.2.{n}")
        await made.accounts.ask_reset("new@quux.example", f"192.0.2.{n}")
    await made.accounts.correct(account, {"email": "new@quux.example"}, account.version, PASSWORD)
    await made.accounts.confirm(await token(made), PASSWORD)
    for n in range(4):
        account = await made.accounts.account(account.id)
        await made.accounts.correct(account, {"email": f"new{n}@quux.example"}, account.version, PASSWORD)
    with pytest.raises(TooMany):
        await made.accounts.correct(account, {"email": "other@quux.example"}, account.version, PASSWORD)


async def test_a_password_is_changed_by_who_knows_the_old_one(made):
    account = await partner(made)
    cookie, _ = await log_in(made)
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.change_password(account, "not the old one", OTHER_PASSWORD)
    assert list(refused.value.problems) == ["old"]
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.change_password(account, PASSWORD, "short")
    assert list(refused.value.problems) == ["new"]
    await made.accounts.change_password(account, PASSWORD, OTHER_PASSWORD)
    assert await made.sessions.find(cookie) is None
    await log_in(made, password=OTHER_PASSWORD)


async def test_a_stolen_session_does_not_guess_the_password(made):
    account = await partner(made)
    for _ in range(10):
        with pytest.raises(InvalidForm):
            await made.accounts.remove(account, "guess number one")
    with pytest.raises(TooMany):
        await made.accounts.remove(account, PASSWORD)


# Codes of an authenticator.


async def with_totp(made):
    account = await partner(made)
    secret, uri = await made.accounts.begin_totp(account, PASSWORD)
    assert uri.startswith("otpauth://totp/pixeld:") and secret in uri
    code = pyotp.TOTP(secret)
    codes = await made.accounts.confirm_totp(account, code.at(made.clock() // 1000))
    made.clock.forward(30)
    return await made.accounts.account(account.id), code, codes


async def test_codes_are_wanted_once_one_was_seen(made, clock):
    account = await partner(made)
    secret, _ = await made.accounts.begin_totp(account, PASSWORD)
    await log_in(made)
    with pytest.raises(InvalidForm):
        await made.accounts.confirm_totp(account, "000000")
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(clock() // 1000))
    with pytest.raises(CodeNeeded):
        await log_in(made)


async def test_a_code_that_was_never_begun_is_wrong(made):
    with pytest.raises(InvalidForm):
        await made.accounts.confirm_totp(await partner(made), "123456")


@pytest.mark.parametrize(
    ("offset_s", "right"),
    [(0, True), (-30, True), (30, True), (-90, False), (60, False)],
    ids=["now", "half a minute ago", "in half a minute", "too old", "too early"],
)
async def test_a_code_is_right_for_a_while(made, clock, offset_s, right):
    account, code, _ = await with_totp(made)
    clock.forward(60)
    if right:
        assert (await log_in(made, code=f" {code.at(clock() // 1000 + offset_s)} "))[1].id == account.id
    else:
        with pytest.raises(Unauthorized, match="password or the code"):
            await log_in(made, code=code.at(clock() // 1000 + offset_s))


async def test_a_code_works_once(made, clock):
    _, code, _ = await with_totp(made)
    now = code.at(clock() // 1000)
    outcomes = await asyncio.gather(*(log_in(made, code=now) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, Unauthorized) for outcome in outcomes) == 3


async def test_whether_the_password_is_right_shows_only_with_a_right_one(made):
    await with_totp(made)
    with pytest.raises(Unauthorized) as refused:
        await log_in(made, password=OTHER_PASSWORD)
    assert not isinstance(refused.value, CodeNeeded)


async def test_guesses_of_codes_are_limited(made):
    await with_totp(made)
    for n in range(10):
        with pytest.raises(Unauthorized):
            await log_in(made, code="000000", address=f"192.0.2.{n}")
    with pytest.raises(TooMany):
        await log_in(made, code="000000", address="192.0.2.99")


async def test_who_is_only_at_the_browser_cannot_lock_its_owner_out(made):
    account = await partner(made)
    with pytest.raises(InvalidForm, match="not your password"):
        await made.accounts.begin_totp(account, OTHER_PASSWORD)
    with pytest.raises(InvalidForm):
        await made.accounts.confirm_totp(account, pyotp.TOTP(pyotp.random_base32()).at(made.clock() // 1000))
    await log_in(made)


async def test_an_authenticator_is_not_replaced_without_the_password(made):
    account = await partner(made)
    secret, _ = await made.accounts.begin_totp(account, PASSWORD)
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(made.clock() // 1000))
    with pytest.raises(Forbidden, match="off first"):
        await made.accounts.begin_totp(account, PASSWORD)
    await made.accounts.end_totp(account, PASSWORD)
    await made.accounts.begin_totp(account, PASSWORD)


async def test_ten_recovery_codes_let_in_once_each(made):
    account, _, codes = await with_totp(made)
    assert len(set(codes)) == account.recovery == 10
    for n, code in enumerate(codes):
        typed = code.upper() if n % 2 else code.replace("-", " ")
        assert (await log_in(made, code=typed))[1].recovery == 9 - n
        with pytest.raises(Unauthorized, match="password or the code"):
            await log_in(made, code=code)
    mails = [mail for mail in await made.outbox.list(50) if mail.subject == "A recovery code was used"]
    assert len(mails) == 10 and {mail.to for mail in mails} == {FORM["email"]}
    assert sum("No code is left" in mail.body for mail in mails) == sum("1 of your codes is left" in mail.body for mail in mails) == 1
    told = [change for change in await made.registry.audit(100) if change["what"] == f"accounts/{account.id}/recovery"]
    assert [(change["before"], change["after"]) for change in told[::-1]] == [(10 - n, 9 - n) for n in range(10)]


async def test_of_who_use_one_recovery_code_at_once_one_gets_in(made):
    _, _, (code, *_) = await with_totp(made)
    outcomes = await asyncio.gather(*(log_in(made, code=code) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, Unauthorized) for outcome in outcomes) == 3


async def test_a_recovery_code_is_another_accounts_no_code(made):
    _, _, codes = await with_totp(made)
    other = await client(made)
    secret, _ = await made.accounts.begin_totp(other, PASSWORD)
    await made.accounts.confirm_totp(other, pyotp.TOTP(secret).at(made.clock() // 1000))
    with pytest.raises(Unauthorized):
        await log_in(made, other.contact.email, code=codes[0])
    assert (await log_in(made, code=codes[0]))[1].recovery == 9


async def test_guesses_of_recovery_codes_are_limited_as_any_code(made):
    _, _, codes = await with_totp(made)
    for n in range(10):
        with pytest.raises(Unauthorized):
            await log_in(made, code="aaaa-bbbb-cccc-dddd", address=f"192.0.2.{n}")
    with pytest.raises(TooMany):
        await log_in(made, code=codes[0], address="192.0.2.99")


async def test_new_recovery_codes_take_the_place_of_the_old(made):
    account, _, old = await with_totp(made)
    await log_in(made, code=old[0])
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.renew_recovery_codes(account, OTHER_PASSWORD)
    assert list(refused.value.problems) == ["password"]
    new = await made.accounts.renew_recovery_codes(account, PASSWORD)
    assert not set(new) & set(old) and (await made.accounts.account(account.id)).recovery == 10
    with pytest.raises(Unauthorized):
        await log_in(made, code=old[1])
    await log_in(made, code=new[0])


async def test_without_two_factor_log_in_there_are_no_recovery_codes(made):
    account, _, codes = await with_totp(made)
    account = await made.accounts.end_totp(account, PASSWORD)
    assert (account.totp, account.recovery) == (False, 0)
    with pytest.raises(Conflict):
        await made.accounts.renew_recovery_codes(account, PASSWORD)
    secret, _ = await made.accounts.begin_totp(account, PASSWORD)
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(made.clock() // 1000))
    with pytest.raises(Unauthorized):
        await log_in(made, code=codes[0])


async def test_recovery_codes_lie_in_redis_as_hashes_under_the_seal(made):
    account, _, codes = await with_totp(made)
    person = await made.accounts._office.people.get(account.id)
    stored = repr(person.secrets)  # as it is once it has been opened
    assert not any(code in stored or code.replace("-", "") in stored for code in codes)


async def test_who_has_lost_every_code_gets_in_by_an_operators_link_and_the_password(made):
    account, _, codes = await with_totp(made)
    cookie, _ = await log_in(made, code=codes[0])
    made.clock.forward(0.001)
    mail = await made.accounts.offer_end_of_totp(account.id, "admin")
    assert mail == (await made.outbox.list(1))[0].id and (await made.outbox.read(mail)).to == FORM["email"]
    link = await token(made)
    assert await made.accounts.ends_totp(link) and (await made.accounts.account(account.id)).totp
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.end_totp_by_link(link, OTHER_PASSWORD)
    assert list(refused.value.problems) == ["password"]
    assert not (await made.accounts.end_totp_by_link(link, PASSWORD)).totp
    await log_in(made)
    with pytest.raises(NotFound):
        await made.accounts.end_totp_by_link(link, PASSWORD)
    assert (await made.outbox.list(1))[0].subject == "Two-factor log-in is off" and await made.sessions.find(cookie)
    told = [(c["who"], c["what"].removeprefix(f"accounts/{account.id}/")) for c in await made.registry.audit(2)]
    assert told == [("partner:blog", "totp"), ("admin", "totp/link")]


async def test_a_link_for_a_lost_authenticator_is_short_lived_single_and_guarded(made, clock):
    account, *_ = await with_totp(made)
    links = []
    for _ in range(2):
        await made.accounts.offer_end_of_totp(account.id, "admin")
        links.append(await token(made))
    assert [await made.accounts.ends_totp(link) for link in links] == [False, True]
    for _ in range(10):
        with pytest.raises(InvalidForm):
            await made.accounts.end_totp_by_link(links[1], "guess number one")
    with pytest.raises(TooMany):
        await made.accounts.end_totp_by_link(links[1], PASSWORD)
    clock.forward(DAY_S)
    assert not await made.accounts.ends_totp(links[1])
    await made.accounts.end_totp(account, PASSWORD)
    with pytest.raises(Conflict):
        await made.accounts.offer_end_of_totp(account.id, "admin")
    with pytest.raises(NotFound):
        await made.accounts.offer_end_of_totp("nobody", "admin")


async def set_by_link(made, account):
    await made.accounts.ask_reset(FORM["email"], PEER)
    await made.accounts.reset(await token(made), OTHER_PASSWORD)


async def set_by_hand(made, account):
    await made.accounts.change_password(account, PASSWORD, OTHER_PASSWORD)


@pytest.mark.parametrize("set_anew", [set_by_link, set_by_hand])
async def test_a_new_password_ends_every_link_of_the_account(made, set_anew):
    account = await partner(made)
    await made.accounts.ask_reset(FORM["email"], PEER)
    reset = await token(made)
    await made.accounts.correct(account, {"email": "eve@evil.example"}, account.version, PASSWORD)
    moved = await token(made)
    await set_anew(made, account)
    with pytest.raises(NotFound):
        await made.accounts.confirm(moved, PASSWORD)
    with pytest.raises(NotFound):
        await made.accounts.reset(reset, PASSWORD)
    await log_in(made, password=OTHER_PASSWORD)


async def test_a_new_address_ends_the_links_that_the_old_one_has_got(made):
    account = await partner(made)
    await made.accounts.ask_reset(FORM["email"], PEER)
    reset = await token(made)
    await made.accounts.correct(account, {"email": "new@quux.example"}, account.version, PASSWORD)
    await made.accounts.confirm(await token(made), PASSWORD)
    with pytest.raises(NotFound):
        await made.accounts.reset(reset, OTHER_PASSWORD)


@pytest.mark.parametrize("outdated", [False, True], ids=["", "while it is hashed anew"])
async def test_a_log_in_that_began_before_a_new_password_is_none(made, monkeypatch, outdated):
    account = await partner(made)
    passwords = made.passwords
    name = "hash" if outdated else "matches"
    slow, changed = getattr(passwords, name), []

    async def meanwhile(*given):
        found = await slow(*given)
        if not changed:
            changed.append(True)
            await set_by_hand(made, account)
        return found

    if outdated:
        monkeypatch.setattr(passwords, "outdated", lambda _: True)
    monkeypatch.setattr(passwords, name, meanwhile)
    with pytest.raises(Unauthorized):
        await log_in(made)
    assert await made.sessions.times(account.id) == []
    monkeypatch.undo()
    await log_in(made, password=OTHER_PASSWORD)


async def test_codes_end_with_the_password(made):
    account, *_ = await with_totp(made)
    with pytest.raises(InvalidForm):
        await made.accounts.end_totp(account, OTHER_PASSWORD)
    assert not (await made.accounts.end_totp(account, PASSWORD)).totp
    await log_in(made)


# Sessions.


async def test_a_session_ends_two_hours_after_its_last_use(made, clock):
    await partner(made)
    cookie, _ = await log_in(made)
    clock.forward(2 * 3600 - 1)
    assert await made.sessions.find(cookie)
    clock.forward(2 * 3600 - 1)
    assert await made.sessions.find(cookie)
    clock.forward(2 * 3600)
    assert await made.sessions.find(cookie) is None


async def test_a_session_ends_twelve_hours_after_its_log_in(made, clock):
    await partner(made)
    cookie, _ = await log_in(made)
    for _ in range(12):
        assert await made.sessions.find(cookie)
        clock.forward(3600)
    assert await made.sessions.find(cookie) is None


async def test_each_log_in_is_a_session_of_its_own(made):
    await partner(made)
    one, other = [(await log_in(made))[0] for _ in range(2)]
    found = [await made.sessions.find(cookie) for cookie in (one, other)]
    assert found[0].id != found[1].id and found[0].csrf != found[1].csrf
    await made.sessions.close(one)
    assert await made.sessions.find(one) is None and await made.sessions.find(other)
    await made.sessions.close_all(found[1].account.id)
    assert await made.sessions.find(other) is None


@pytest.mark.parametrize("alter", [lambda c: c + "x", lambda c: c[:-1], lambda c: "", lambda c: "." + c, lambda c: "x" * 10_000])
async def test_another_cookie_is_no_session(made, alter):
    await partner(made)
    cookie, _ = await log_in(made)
    assert await made.sessions.find(alter(cookie)) is None


async def test_what_redis_has_of_a_session_or_a_key_opens_nothing(made, redis):
    account = await partner(made)
    cookie, _ = await log_in(made)
    text, _ = await made.keys.create(account.scope, "a key", account.who)
    await made.accounts.ask_reset(FORM["email"], PEER)
    link = await token(made)
    stored = b"".join([key + repr(await redis.hgetall(key)).encode() for key in await redis.keys("*") if b":mail:" not in key
                       and await redis.type(key) == b"hash"])  # fmt: skip
    for secret in (cookie.partition(".")[2], text[13:], link.partition(".")[2]):
        assert len(secret) >= 32 and secret.encode() not in stored


# Keys.


async def test_a_key_is_shown_once_and_reads_what_its_owner_may(made, clock):
    account = await partner(made)
    text, info = await made.keys.create(account.scope, " my sheet ", account.who)
    assert text.startswith(info.prefix + "_") and len(text) == 4 + 8 + 1 + 32
    assert (info.name, info.used_ms, info.created_ms) == ("my sheet", None, clock())
    assert await made.keys.scope_of(text) == Scope.partner("blog")
    clock.forward(59)
    await made.keys.scope_of(text)
    (found,) = await made.keys.list(account.scope)
    assert found.used_ms == clock() // 60_000 * 60_000 - 60_000 or found.used_ms == clock() // 60_000 * 60_000
    clock.forward(3600)
    await made.keys.scope_of(text)
    assert (await made.keys.list(account.scope))[0].used_ms == clock() // 60_000 * 60_000


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda text: "", id="none"),
        pytest.param(lambda text: text[:-1] + ("a" if text[-1] != "a" else "b"), id="one character is another"),
        pytest.param(lambda text: text[:12], id="its prefix"),
        pytest.param(lambda text: text + "\n", id="a line break behind it"),
        pytest.param(lambda text: "pxk_aaaaaaaa_" + text[13:], id="of another id"),
        pytest.param(lambda text: "x" * 10_000, id="anything"),
    ],
)
async def test_what_is_no_key_reads_nothing(made, alter):
    account = await partner(made)
    text, _ = await made.keys.create(account.scope, "k", account.who)
    with pytest.raises(Unauthorized, match="Bearer pxk_"):
        await made.keys.scope_of(alter(text))


async def test_a_key_is_revoked_by_its_owner_alone(made):
    account = await partner(made)
    text, info = await made.keys.create(account.scope, "k", account.who)
    for scope in (Scope.partner("other"), Scope.client("blog"), Scope.operator()):
        assert await made.keys.list(scope) == []
        with pytest.raises(NotFound):
            await made.keys.revoke(scope, info.id, "x")
    await made.keys.revoke(account.scope, info.id, account.who)
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(text)
    with pytest.raises(NotFound):
        await made.keys.revoke(account.scope, info.id, account.who)


async def test_keys_are_few_and_have_names_and_an_operator_has_none(made):
    account = await partner(made)
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(InvalidForm):
            await made.keys.create(account.scope, name, account.who)
    with pytest.raises(Forbidden, match="admin API"):
        await made.keys.create(Scope.operator(), "k", "operator:1")
    for n in range(20):
        await made.keys.create(account.scope, f"k{n}", account.who)
    with pytest.raises(Forbidden, match="revoke one"):
        await made.keys.create(account.scope, "k", account.who)


# One's own data.


async def test_contact_data_is_corrected(made):
    account = await partner(made)
    changes = {"contact_name": "W. Quux", "postal": "", "site": "https://new.example/", "promotion": "a\r\nb", "name": "Teapots"}
    after = await made.accounts.correct(account, changes, account.version)
    contact = after.contact
    assert (contact.contact_name, contact.address, contact.site, contact.promotion) == ("W. Quux", "", "https://new.example/", "a\nb")
    assert contact.email == FORM["email"] and made.registry.snapshot.partners["blog"].name == "Teapots"
    assert await made.accounts.account(account.id) == after


async def test_two_who_edit_one_account_are_told(made):
    account = await partner(made)
    await made.accounts.correct(account, {"contact_name": "First"}, account.version)
    with pytest.raises(Conflict, match="nothing was changed"):
        await made.accounts.correct(account, {"contact_name": "Second"}, account.version)
    assert (await made.accounts.account(account.id)).contact.contact_name == "First"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"contact_name": ""}, "contact_name", id="a name is needed"),
        pytest.param({"role": "operator"}, "role", id="the role"),
        pytest.param({"partner_id": "other"}, "partner_id", id="the id"),
        pytest.param({"email": "x"}, "email", id="no address"),
    ],
)
async def test_what_cannot_be_changed_stays(made, changes, field):
    account = await partner(made)
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.correct(account, changes, account.version)
    assert list(refused.value.problems) == [field]
    assert await made.accounts.account(account.id) == account


async def test_a_client_has_no_site(made):
    account = await client(made)
    with pytest.raises(InvalidForm):
        await made.accounts.correct(account, {"site": "https://x.example/"}, account.version)
    assert (await made.accounts.correct(account, {"contact_name": "C."}, account.version)).contact.contact_name == "C."


async def test_a_new_address_counts_once_its_mail_is_followed(made):
    account = await partner(made)
    after = await made.accounts.correct(account, {"email": "new@quux.example"}, account.version, PASSWORD)
    assert after.contact.email == FORM["email"]
    (mail,) = await made.outbox.list(1)
    assert mail.to == "new@quux.example"
    await log_in(made)
    confirmed = await made.accounts.confirm(await token(made), PASSWORD)
    assert confirmed.contact.email == "new@quux.example"
    assert (await log_in(made, "new@quux.example"))[1] == confirmed
    with pytest.raises(Unauthorized):
        await log_in(made)
    assert any(mail.to == FORM["email"] and mail.subject == "Your e-mail address was changed" for mail in await made.outbox.list(9))
    made.clock.forward(1)
    await partner(made, partner_id="blog2")  # the old address is free


async def test_a_link_that_ends_two_factor_log_in_and_went_to_an_old_address_ends_with_it(made):
    account, _, _ = await with_totp(made)
    made.clock.forward(0.001)
    await made.accounts.offer_end_of_totp(account.id, "admin")
    link = await token(made)
    now = await made.accounts.account(account.id)
    await made.accounts.correct(now, {"email": "w@new.example"}, now.version, PASSWORD)
    await made.accounts.confirm(await token(made), PASSWORD)
    assert not await made.accounts.ends_totp(link)
    with pytest.raises(NotFound):
        await made.accounts.end_totp_by_link(link, PASSWORD)
    assert (await made.accounts.account(account.id)).totp


async def test_what_is_taken_along_holds_no_link_that_works(made):
    account = await partner(made)
    await made.accounts.ask_reset(FORM["email"], PEER)
    reset = await token(made)
    mails = (await made.accounts.export(account))["mails"]
    assert [mail["subject"] for mail in mails] == ["Confirm your e-mail address", "Set a new password"]
    assert all("/portal/" in mail["body"] and "/…\n" in mail["body"] for mail in mails)
    assert reset not in str(mails)


@pytest.mark.parametrize("password", ["", OTHER_PASSWORD])
async def test_a_new_address_takes_the_password(made, password):
    account = await partner(made)
    with pytest.raises(InvalidForm) as refused:
        await made.accounts.correct(account, {"email": "eve@evil.example", "site": ""}, account.version, password)
    assert list(refused.value.problems) == ["password"]
    assert (await made.accounts.account(account.id)) == account
    assert {mail.to for mail in await made.outbox.list(10)} == {FORM["email"]}


async def test_a_new_address_that_has_an_account_is_told_by_mail_only(made):
    other = await client(made)
    account = await partner(made)
    made.clock.forward(1)
    await made.accounts.correct(account, {"email": "CLARA@shop.example"}, account.version, PASSWORD)
    (mail,) = await made.outbox.list(1)
    assert (mail.to, mail.subject, mail.account_id) == ("CLARA@shop.example", "You have an account already", other.id)
    assert (await made.accounts.account(account.id)).contact.email == FORM["email"]


async def test_who_owns_an_address_is_not_led_to_confirm_a_strangers_account(made):
    account = await partner(made)
    await made.accounts.correct(account, {"email": "victim@x.example"}, account.version, PASSWORD)
    link = await token(made)
    assert (await made.accounts.awaiting(link)).email == "victim@x.example"
    for _ in range(10):
        with pytest.raises(InvalidForm) as refused:
            await made.accounts.confirm(link, "the password of the victim")
        assert list(refused.value.problems) == ["password"]
    with pytest.raises(TooMany):
        await made.accounts.confirm(link, PASSWORD)
    assert (await made.accounts.account(account.id)).contact.email == FORM["email"]
    await made.accounts.change_password(account, PASSWORD, OTHER_PASSWORD)  # its owner is locked out of nothing by that


async def test_an_address_may_change_its_capitals(made):
    account = await partner(made)
    after = await made.accounts.correct(account, {"email": FORM["email"].lower()}, account.version, PASSWORD)
    assert after.contact.email == FORM["email"].lower()
    await log_in(made)


async def test_being_written_to_is_a_choice(made):
    account = await partner(made)
    assert account.other_programmes
    assert not (await made.accounts.set_other_programmes(account, False)).other_programmes
    assert not (await made.accounts.account(account.id)).other_programmes


async def test_everything_that_is_held_can_be_taken_along(made):
    await made.registry.add_client(SHOP, "admin")
    account = await partner(made)
    await made.registry.set_member("shop", "blog", {"status": "applied"}, account.who)
    await log_in(made)
    await made.keys.create(account.scope, "my sheet", account.who)
    held = await made.accounts.export(account)
    assert held["contact"] == {
        "contact_name": "Wilhelmina Quux", "email": FORM["email"], "address": FORM["postal"], "site": FORM["site"],
        "promotion": FORM["promotion"],
    }  # fmt: skip
    assert held["partner"] == {"id": "blog", "name": FORM["name"]} and held["memberships"] == {"shop": "applied"}
    assert len(held["sessions"]) == 1 and held["keys"][0]["name"] == "my sheet"
    assert [mail["subject"] for mail in held["mails"]] == ["Confirm your e-mail address"]
    assert {change["what"] for change in held["changes"]} >= {f"accounts/{account.id}", "partners/blog", "members/shop/blog"}
    assert "argon2" not in repr(held)


async def test_a_client_and_an_operator_take_theirs_along(made):
    shop, olga = await client(made), await operator(made)
    assert (await made.accounts.export(shop))["keys"] == []
    assert "keys" not in await made.accounts.export(olga)


async def test_one_of_a_clients_accounts_goes_and_the_others_stay(made):
    clara, dora = await client(made), await client(made, "dora@shop.example")
    await made.accounts.remove(clara, PASSWORD)
    assert await made.accounts.of_subject(Role.CLIENT, "shop") == [dora]
    await client(made)


async def by_herself(made, clara, dora):
    await made.accounts.remove(clara, PASSWORD)


async def by_a_colleague(made, clara, dora):
    await made.accounts.remove_colleague(dora, clara.id, PASSWORD)


async def by_an_operator(made, clara, dora):
    await made.accounts.remove_of_client("shop", clara.id, "operator:x")


@pytest.mark.parametrize("remove", [by_herself, by_a_colleague, by_an_operator])
async def test_keys_end_with_the_account_that_made_them(made, remove):
    clara, dora = await client(made), await client(made, "dora@shop.example")
    hers, _ = await made.keys.create(clara.scope, "hers", clara.who)
    theirs, info = await made.keys.create(dora.scope, "theirs", dora.who)
    assert [key.name for key in await made.keys.made_by(clara)] == ["hers"]
    cookie, _ = await log_in(made, clara.contact.email)
    await remove(made, clara, dora)
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(hers)
    assert await made.keys.scope_of(theirs) == Scope.client("shop")
    assert [key.id for key in await made.keys.list(dora.scope)] == [info.id]
    assert await made.sessions.find(cookie) is None and await made.accounts.of_subject(Role.CLIENT, "shop") == [dora]


async def test_a_colleague_is_of_the_same_client_and_goes_by_ones_own_password(made):
    clara, other, blog = await client(made), await client(made, "eve@other.example", "other"), await partner(made, partner_id="shop")
    for who in (other, blog):  # a partner may have the id of a client
        with pytest.raises(NotFound):
            await made.accounts.remove_colleague(who, clara.id, PASSWORD)
    with pytest.raises(NotFound):
        await made.accounts.remove_of_client("other", clara.id, "operator:x")
    dora = await client(made, "dora@shop.example")
    for _ in range(10):
        with pytest.raises(InvalidForm) as refused:
            await made.accounts.remove_colleague(dora, clara.id, "guess number one")
        assert list(refused.value.problems) == ["password"]
    with pytest.raises(TooMany):
        await made.accounts.remove_colleague(dora, clara.id, PASSWORD)
    assert await made.accounts.of_subject(Role.CLIENT, "shop") == [clara, dora]


async def test_who_was_removed_can_register_again_under_another_id(made):
    account = await partner(made)
    await made.accounts.remove(account, PASSWORD)
    with pytest.raises(InvalidForm, match="taken"):
        await made.accounts.register(FORM, PEER)
    await partner(made, partner_id="blog2")


@pytest.mark.parametrize("how", ["by itself", "by an operator"])
async def test_nobody_inherits_a_removed_partner(made, how):
    await made.registry.add_partner({"id": "blog", "name": "Blog"}, "admin")
    first, second = [
        (await made.accounts.invite(Role.PARTNER, "blog", email, "admin")).rpartition("/")[2]
        for email in ("anna@blog.example", "eve@evil.example")
    ]
    form = {"contact_name": "Anna", "email": "anna@blog.example", "password": PASSWORD, "terms": "yes"}
    account = await made.accounts.accept(first, form)
    if how == "by itself":
        await made.accounts.remove(account, PASSWORD)
    else:
        await made.accounts.remove_partner("blog", "operator:x")
    with pytest.raises(AlreadyExists, match="removed"):
        await made.accounts.accept(second, form | {"email": "eve@evil.example"})
    with pytest.raises(InvalidForm, match="removed"):
        await made.accounts.invite(Role.PARTNER, "blog", "eve@evil.example", "admin")
    assert await made.accounts.all() == []


async def test_a_removed_partner_earns_no_more(made):
    await made.registry.add_client(SHOP, "admin")
    account = await partner(made)
    await made.registry.set_member("shop", "blog", {"status": "approved"}, "admin")
    text, _ = await made.keys.create(account.scope, "k", account.who)
    cookie, _ = await log_in(made)
    await made.accounts.remove(account, PASSWORD)
    assert made.registry.snapshot.members == {("shop", "blog"): Status.ENDED}
    assert made.registry.snapshot.partners["blog"].name == "blog"
    assert await made.sessions.find(cookie) is None
    with pytest.raises(Unauthorized):
        await made.keys.scope_of(text)
    with pytest.raises(Unauthorized):
        await log_in(made)
    with pytest.raises(NotFound):
        await made.accounts.account(account.id)


# Others, who are faster.

RIVALS = {
    "a partner removes itself": ("party", partner, lambda made, one: made.accounts.remove(one, PASSWORD)),
    "an operator removes a partner": ("party", partner, lambda made, one: made.accounts.remove_partner("blog", "operator:x")),
    "a client's account goes": ("party", client, lambda made, one: made.accounts.remove(one, PASSWORD)),
    "a partner registers": ("party", client, lambda made, one: made.accounts.register(FORM, PEER)),
    "a client's colleague joins": ("party", client, lambda made, one: client(made, "new@shop.example")),
    "a password is changed": ("account", partner, lambda made, one: made.accounts.change_password(one, PASSWORD, OTHER_PASSWORD)),
}


@pytest.mark.parametrize(("kind", "begin", "do"), RIVALS.values(), ids=RIVALS)
async def test_who_is_outrun_is_told_and_can_do_it_again(made, rival, clock, kind, begin, do):
    one = await begin(made)
    accounts, partners, mails = await made.accounts.all(), made.registry.snapshot.partners, await made.outbox.list(40)
    rival.kind = kind
    with pytest.raises(Unavailable, match="others are changing .* at this moment.* do it again"):
        await do(made, one)
    rival.kind = ""
    assert rival.wrote >= 20
    clock.forward(60)  # that long an account lives whose making was interrupted
    assert await made.records.ids("account") == [account.id for account in accounts]
    assert made.registry.snapshot.partners == partners
    assert begin is client or await made.outbox.list(40) == mails
    await do(made, one)


# Who did what.


LISTINGS = [
    pytest.param(lambda made, first: made.accounts.all(), id="every account"),
    pytest.param(lambda made, first: made.accounts.of_subject(Role.CLIENT, "shop"), id="a client's accounts"),
    pytest.param(lambda made, first: made.keys.list(Scope.client("shop")), id="API keys"),
    pytest.param(lambda made, first: made.sessions.times(first.id), id="an account's sessions"),
    pytest.param(lambda made, first: made.outbox.list(40), id="the newest mails"),
    pytest.param(lambda made, first: made.outbox.about(first.id, {first.contact.email}), id="mails about somebody"),
    pytest.param(lambda made, first: made.policies.history(), id="versions of the privacy policy"),
]


@pytest.mark.parametrize("listing", LISTINGS)
async def test_a_list_that_grows_takes_no_more_round_trips(made, trips, listing):
    first = await client(made)
    counts = []
    for size in (1, 4):
        for n in range(size):
            await client(made, email=f"c{size}{n}@shop.example")
            await made.keys.create(Scope.client("shop"), "A key", first.who)
            await log_in(made, first.contact.email)
            await made.policies.post(f"Version {n}", False, "", "admin")
        trips.clear()
        found = await listing(made, first)
        counts.append((len(found), len(trips)))
    (few, before), (many, after) = counts
    assert few < many and before == after <= 3


async def test_every_change_is_on_the_audit_stream_and_names_nobody(made, redis):
    account = await partner(made)
    await made.accounts.correct(account, {"name": "Teapots & Co", "postal": "Elsewhere 7"}, account.version)
    await made.accounts.set_other_programmes(account, False)
    await made.accounts.change_password(account, PASSWORD, OTHER_PASSWORD)
    _, info = await made.keys.create(account.scope, "Wilhelmina's own", account.who)
    await made.keys.revoke(account.scope, info.id, account.who)
    secret, _ = await made.accounts.begin_totp(account, OTHER_PASSWORD)
    await made.accounts.confirm_totp(account, pyotp.TOTP(secret).at(made.clock() // 1000))
    await made.accounts.end_totp(account, OTHER_PASSWORD)
    await made.accounts.invite(Role.OPERATOR, "", "olga@track.example", "operator:1")
    await made.policies.post("New words", False, "", "operator:1")
    await made.rotate("operator:1")
    await made.accounts.remove(account, OTHER_PASSWORD)
    changes = await made.registry.audit(100)
    own = [change["what"].replace(account.id, "ID").replace(info.id, "KEY") for change in changes if change["who"] == "partner:blog"]
    assert own[::-1] == [
        "accounts/ID", "partners/blog", "accounts/ID/contact", "partners/blog", "accounts/ID/other_programmes",
        "accounts/ID/password", "keys/KEY", "keys/KEY", "accounts/ID/totp", "accounts/ID/totp", "accounts/ID",
        "partners/blog/removal", "partners/blog",
    ]  # fmt: skip
    assert [change["what"] for change in changes if change["who"] == "operator:1"] == ["vault", "vault", "policies/2", "invitations"]
    told = repr(await redis.xrange("pixeld:{registry}:audit"))
    for personal in ("Wilhelmina", "Teapots", "Hollow Lane", "Elsewhere 7", "quux.example", "olga@track"):  # no id is these by chance
        assert personal not in told
