"""The command line, against the real admin application over fakes of what stands behind it."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import types
from dataclasses import dataclass
from datetime import date
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from click.testing import CliRunner

import pixeld
from pixeld.accounts.account import Account, Contact, Role
from pixeld.accounts.outbox import Mail
from pixeld.accounts.parties import Rotated
from pixeld.accounts.policies import PolicyVersion
from pixeld.cli import main, options, output, server, settings_doc
from pixeld.cli.tail import human
from pixeld.domain.orders import OrderStatus
from pixeld.domain.registry import Client, Membership, MembershipChange, Partner, Snapshot, Status
from pixeld.errors import (
    AlreadyExists,
    BadInput,
    Conflict,
    DataDirInUse,
    InvalidForm,
    NotFound,
    PolicyError,
    SettingsError,
    Unavailable,
)
from pixeld.metrics import Metrics
from pixeld.settings import Settings, table
from pixeld.web import admin, keys
from pixeld.web.certificates import Certificate
from tests.certificates import certificate
from tests.services import free_port

TOKEN = "the-admin-token"
PROJECT = Path(__file__).parents[2]


class MemoryRegistry:
    """A Registry of one shop, one partner who works for it, and one who doesn't yet."""

    def __init__(self):
        self.snapshot = Snapshot(
            1,
            {"shop": Client("shop", "A shop", "https://shop.example/?lang=en", ("cdn.example",), currency="EUR")},
            {"blog": Partner("blog", "Ein Blog"), "new": Partner("new", "新しい")},
            {("shop", "blog"): Status.APPROVED, ("shop", "new"): Status.APPLIED},
        )
        self.changes = []

    async def note(self, what, before, after, who):
        assert (what, who) == ("single-events", "admin")

    async def add_client(self, body, who):
        return self._put("clients", Client.from_json(body))

    async def change_client(self, client, body, who):
        return self._put("clients", self.snapshot.clients[client].changed(body), new=False)

    async def add_partner(self, body, who):
        return self._put("partners", Partner.from_json(body))

    async def change_partner(self, partner, body, who):
        return self._put("partners", self.snapshot.partners[partner].changed(body), new=False)

    async def set_member(self, client, partner, body, who):
        if partner not in self.snapshot.partners:
            raise NotFound(f"there is no partner {partner!r}")
        key = client, partner
        before = Membership(self.snapshot.members[key], self.snapshot.terms.get(key, ())) if key in self.snapshot.members else None
        member = MembershipChange.from_json(body).applied(before, self.snapshot.clients[client].currency)
        self.snapshot.members[key], self.snapshot.terms[key] = member.status, member.commission
        return member.status

    async def audit(self, count, before=""):
        newest_first = [change for change in self.changes if not before or change["id"] < before]
        return newest_first[:count]

    def _put(self, kind, record, *, new=True):
        records = getattr(self.snapshot, kind)
        if new and record.id in records:
            raise AlreadyExists(f"{record.id!r} is taken; choose another id, or change the existing one with PATCH")
        records[record.id] = record
        return record


class MemoryReports:
    """Reports that answer what they are told to, and remember what they were asked."""

    def __init__(self):
        self.asked = None
        self.orders_page = {"rows": [], "next": None}
        self.audience_report = {"columns": ["os", "visitors"], "rows": [], "days": 0, "k": None}
        self.performance_report = {
            "columns": ["partner", "currency", "clicks", "revenue"],
            "rows": [
                {"partner": "blog", "currency": "EUR", "clicks": 1234, "revenue": "99.90"},
                {"partner": None, "currency": "EUR", "clicks": 0, "revenue": "5.00"},
            ],
            "totals": [{"currency": "EUR", "clicks": 1234, "revenue": "104.90"}],
        }

    async def performance(self, scope, query, clients):
        self.asked = query
        return self.performance_report

    async def refusals(self, scope, query, clients):
        self.asked = query
        row = {"day": "2026-11-01", "client": "shop", "partner": None, "what": "order", "verdict": "refused gpc", "requests": 1200}
        return {"columns": list(row), "rows": [row] if query.client != "empty" else []}

    async def orders(self, scope, query, clients=None):
        self.asked = query
        return self.orders_page

    async def audience(self, scope, query):
        self.asked = query
        return self.audience_report


class MemoryDecisions:
    """Decisions about orders of which one, O-1, is pending."""

    def __init__(self):
        self.asked = None

    async def decide(self, scope, client, order, status, reason, seen, who):
        self.asked = (scope.role, client, order, status, reason, seen, who)
        if order != "O-1":
            raise Conflict("the order is approved already: it is locked; nothing was changed")
        return OrderStatus(status)


class MemoryOperations:
    """Operations over nothing."""

    def __init__(self):
        self.events, self.goes_on, self.asked = [], True, asyncio.Event()

    async def health(self):
        return {}

    async def flush(self):
        return 7

    async def sql(self, statement):
        if not statement.startswith("SELECT"):
            raise BadInput("only reading statements are run: SELECT", "sql")
        return [] if "WHERE 0" in statement else [{"client": "shop", "n": 12}, {"client": "a", "n": 3}]

    async def tail(self):
        self.asked.set()
        for event in self.events:
            yield event
        if self.goes_on:
            await asyncio.Event().wait()

    def today(self):
        return date(2026, 11, 23)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A working directory of the test's own, with a server's data directory in it and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PIXELD_"):
            monkeypatch.delenv(name)
    (tmp_path / "pixeld-data").mkdir()
    (tmp_path / "pixeld-data" / "admin-token").write_text(TOKEN + "\n")
    return tmp_path


@dataclass
class Running:
    """A running admin listener, and the command line to ask it with."""

    url: str
    registry: MemoryRegistry
    reports: MemoryReports
    operations: MemoryOperations
    decisions: MemoryDecisions
    parties: "MemoryParties | None" = None

    async def run(self, *arguments):
        return await asyncio.to_thread(run, *arguments, "--url", self.url)


@pytest.fixture
async def pixeld_server(aiohttp_server):
    parts = MemoryRegistry(), MemoryReports(), MemoryOperations(), MemoryDecisions()
    app = admin.application()
    app[keys.REGISTRY], app[keys.REPORTS], app[keys.OPERATIONS], app[keys.DECISIONS] = parts
    app[keys.METRICS], app[keys.ADMIN_TOKEN], app[keys.SINGLE] = Metrics(), TOKEN, True
    return Running(str((await aiohttp_server(app, shutdown_timeout=0.1)).make_url("")), *parts)


def run(*arguments):
    return CliRunner().invoke(main, arguments, prog_name="pixeld")


def lines(text):
    return [line.rstrip() for line in text.splitlines()]


class MemoryParties:
    """The services around accounts, as far as commands use them."""

    def __init__(self):
        self.accounts = self.outbox = self.policies = self
        self.asked, self.operators, self.unneeded, self.mails, self.people = [], 0, ["a1"], [], []

    async def invite(self, role, subject, email, who):
        self.asked.append((role, subject, email, who))
        if subject not in ("", "shop"):
            raise InvalidForm({"subject": f"There is no {role} {subject!r}."})
        return "/portal/welcome/nobody.t"

    async def offer_end_of_totp(self, account, who):
        self.asked.append((account, who))
        return "m7"

    async def first_link(self):
        return None if self.operators else "/portal/welcome/operators.t"

    async def all(self):
        return self.people

    async def list(self, count):
        return self.mails[:count]

    async def read(self, id):
        if not self.mails:
            raise NotFound("there is no such mail; they are kept for 30 days")
        return self.mails[0]

    async def history(self):
        return [PolicyVersion(1, 0, "The first version.", False, "")]

    async def post(self, summary, changes_use, question, who):
        self.asked.append((summary, changes_use, question, who))
        return PolicyVersion(2, 5, summary, changes_use, question)

    async def rotate(self, who):
        return Rotated(42, "b2", self.unneeded)


@pytest.fixture
async def people(aiohttp_server):
    app, parties = admin.application(), MemoryParties()
    app[keys.ADMIN_TOKEN], app[keys.TRACKER_URL], app[keys.PARTIES] = TOKEN, "https://track.example", parties
    made = Running(str((await aiohttp_server(app, shutdown_timeout=0.1)).make_url("")), None, None, None, None)
    made.parties = parties
    return made


# People


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        pytest.param(("client", "shop", "clara@shop.example"), ("client", "shop", "clara@shop.example", "admin"), id="to a client"),
        pytest.param(("operator", "olga@x.example"), ("operator", "", "olga@x.example", "admin"), id="to the operators"),
    ],
)
async def test_somebody_is_invited(people, arguments, asked):
    done = await people.run("account", "invite", *arguments)
    assert "https://track.example/portal/welcome/nobody.t" in done.stdout and people.parties.asked == [asked]
    assert json.loads((await people.run("account", "invite", *arguments, "--json")).stdout) == {
        "url": "https://track.example/portal/welcome/nobody.t"
    }


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("account", "invite", "client", "clara@shop.example"), 2, "a client needs ID and EMAIL"),
        (("account", "invite", "operator", "shop", "o@x.example"), 2, "an operator needs EMAIL alone"),
        (("account", "invite", "client", "nobody", "o@x.example"), 1, "There is no client 'nobody'."),
        (("mail", "show", "x"), 1, "there is no such mail"),
        (("mail", "list", "--count", "0"), 1, "count must be a whole number from 1 to 1000"),
    ],
    ids=["no id", "an operator's id", "no such client", "no such mail", "no mails"],
)
async def test_what_people_commands_refuse(people, arguments, code, says):
    done = await people.run(*arguments)
    assert done.exit_code == code and says in done.stderr


async def test_the_first_operators_link_is_made_while_there_is_none(people):
    assert "https://track.example/portal/welcome/operators.t" in (await people.run("account", "first-link")).stdout
    people.parties.operators = 1
    assert "operator already" in (await people.run("account", "first-link")).stdout
    assert json.loads((await people.run("account", "first-link", "--json")).stdout) == {"url": None}


async def test_who_has_lost_an_authenticator_is_mailed_a_link(people):
    done = await people.run("account", "end-two-factor", "0a")
    assert "pixeld mail show m7" in done.stdout and people.parties.asked == [("0a", "admin")]
    assert json.loads((await people.run("account", "end-two-factor", "0a", "--json")).stdout) == {"mail": "m7"}


async def test_accounts_are_listed(people):
    assert "first-link" in (await people.run("account", "list")).stdout
    contact = Contact("Clara", "clara@shop.example")
    people.parties.people = [Account("0a", Role.CLIENT, "shop", "active", contact, True, False, 1, 5, 1)]
    assert lines((await people.run("account", "list")).stdout)[2] == "0a  client  shop     clara@shop.example  no"
    (listed,) = json.loads((await people.run("account", "list", "--json")).stdout)["accounts"]
    assert listed == {"id": "0a", "role": "client", "subject": "shop", "email": "clara@shop.example", "totp": False, "created_ms": 5}


async def test_mails_are_listed_and_shown(people):
    assert (await people.run("mail", "list")).stdout == "There is no mail.\n"
    people.parties.mails = [Mail("m1", "c@x.example", "Hello", "One\n\x1b[31mtwo\n", "waiting", "550 no", 2, 1_800_000_000_000, "0a")]
    assert lines((await people.run("mail", "list")).stdout)[2] == "m1  2027-01-15 08:00:00  waiting  c@x.example  Hello    550 no"
    shown = (await people.run("mail", "show", "m1")).stdout
    assert "Subject: Hello" in shown and "Error: 550 no" in shown and "\x1b" not in shown and shown.endswith("[31mtwo\n")
    assert "body" not in json.loads((await people.run("mail", "list", "--json")).stdout)["mails"][0]
    assert json.loads((await people.run("mail", "show", "m1", "--json")).stdout)["attempts"] == 2


async def test_a_policy_is_posted_and_versions_are_listed(people):
    assert (await people.run("policy", "post", "We keep less.")).stdout == "Version 2 is posted, and everybody is notified.\n"
    await people.run("policy", "post", "A newsletter.", "--question", "May we?")
    assert people.parties.asked == [("We keep less.", False, "", "admin"), ("A newsletter.", True, "May we?", "admin")]
    assert "The first version." in (await people.run("policy", "list")).stdout


async def test_a_rotation_says_how_many_and_what_is_not_needed(people):
    done = await people.run("vault", "rotate")
    assert lines(done.stdout) == [
        "42 records lie under the key b2 now.", "Nothing lies under a1 any more; only older backups of Redis need it still.",
    ]  # fmt: skip
    assert json.loads((await people.run("vault", "rotate", "--json")).stdout) == {"records": 42, "key": "b2", "unneeded": ["a1"]}


async def test_without_a_portal_there_are_no_people(pixeld_server):
    done = await pixeld_server.run("account", "list")
    assert done.exit_code == 1 and "set PIXELD_PORTAL=true" in done.stderr


# Registry

async def test_a_client_from_nothing_to_changed(pixeld_server):
    added = await pixeld_server.run("client", "add", "books", "Books", "https://books.example/", "--currency", "GBP")
    assert (added.exit_code, added.stdout) == (0, "Client 'books' is registered. Its pixel: pixeld snippet books\n")
    changed = await pixeld_server.run(
        "client", "set", "books", "--window-days", "60", "--allowed-host", "a.example", "--allowed-host", "b.example"
    )
    assert changed.exit_code == 0
    shown = json.loads((await pixeld_server.run("client", "show", "books", "--json")).stdout)
    assert shown == {
        "id": "books",
        "name": "Books",
        "landing_url": "https://books.example/",
        "allowed_hosts": ["a.example", "b.example"],
        "currency": "GBP",
        "window_days": 60,
        "timezone": "UTC",
        "click_param": "pxid",
        "commission": [],
        "lock_days": 30,
        "listed": True,
        "share_contact": True,
        "stateless": False,
        "categories": [],
        "consent": "operator_asserts",
        "consent_where": "eea",
    }


async def test_a_client_is_shown_a_field_a_line(pixeld_server):
    shown = await pixeld_server.run("client", "show", "shop")
    assert "window_days    30" in lines(shown.stdout)
    assert "allowed_hosts  cdn.example" in lines(shown.stdout)


async def test_clients_are_listed_in_columns(pixeld_server):
    listed = await pixeld_server.run("client", "list")
    assert lines(listed.stdout) == [
        "id    name    landing_url                    currency  window_days  timezone",
        "----  ------  -----------------------------  --------  -----------  --------",
        "shop  A shop  https://shop.example/?lang=en  EUR                30  UTC",
    ]


async def test_a_partner_from_nothing_to_changed(pixeld_server):
    added = await pixeld_server.run("partner", "add", "mag", "A magazine")
    assert added.stdout == "Partner 'mag' is registered. Let it earn: pixeld member approve CLIENT mag\n"
    assert (await pixeld_server.run("partner", "set", "mag", "--name", "Magazine")).exit_code == 0
    assert lines((await pixeld_server.run("partner", "show", "mag")).stdout) == ["id    mag", "name  Magazine"]


async def test_wide_characters_keep_columns_straight(pixeld_server):
    listed = await pixeld_server.run("partner", "list")
    assert lines(listed.stdout) == ["id    name", "----  --------", "blog  Ein Blog", "new   新しい"]


@pytest.mark.parametrize(
    ("steps", "agreed"),
    [
        pytest.param([("--commission", "7.5%")], [("7.5", "0", "", "")], id="a percentage"),
        pytest.param([("--commission", "7.5", "--flat", "2.50")], [("7.5", "2.50", "", "")], id="and a flat amount"),
        pytest.param([("--commission", "5"), ("--flat", "1")], [("0", "1", "", "")], id="what is given replaces what was"),
        pytest.param(
            [("--commission", "5"), ("--commission", "8%", "--from", "2027-02-01")],
            [("5", "0", "", "2027-01-31"), ("8", "0", "2027-02-01", "")],
            id="from a day on",
        ),
        pytest.param(
            [("--commission", "5"), ("--commission", "9", "--from", "2027-02-01", "--until", "2027-02-28")],
            [("5", "0", "", "2027-01-31"), ("9", "0", "2027-02-01", "2027-02-28"), ("5", "0", "2027-03-01", "")],
            id="for a month",
        ),
    ],
)
@pytest.mark.parametrize("of", ["client", "member"])
async def test_terms_are_set_for_their_days(pixeld_server, of, steps, agreed):
    for step in steps:
        names = ("client", "set", "shop") if of == "client" else ("member", "set", "shop", "blog")
        done = await pixeld_server.run(*names, *step, "--json")
        assert done.exit_code == 0, done.output
    terms = json.loads(done.stdout)["commission"]
    assert [tuple(each.values()) for each in terms] == agreed


async def test_terms_are_told_in_words(pixeld_server):
    await pixeld_server.run("client", "set", "shop", "--commission", "7.5%", "--flat", "1.00")
    changed = await pixeld_server.run("client", "set", "shop", "--flat", "2.50", "--from", "2027-02-01", "--until", "2027-02-28")
    said = "7.5% + 1.00 until 2027-01-31, 2.50 from 2027-02-01 until 2027-02-28, 7.5% + 1.00 from 2027-03-01"
    assert f"commission     {said}" in lines(changed.stdout)
    await pixeld_server.run("member", "set", "shop", "blog", "--commission", "0")
    assert lines((await pixeld_server.run("member", "list", "shop")).stdout)[2] == "blog     approved  nothing"


async def test_a_membership_loses_its_terms_and_keeps_its_status(pixeld_server):
    await pixeld_server.run("member", "set", "shop", "blog", "--commission", "9")
    done = await pixeld_server.run("member", "set", "shop", "blog", "--as-client", "--json")
    assert json.loads(done.stdout) == {"client": "shop", "partner": "blog", "status": "approved"}


async def test_categories_are_replaced_and_taken_away(pixeld_server):
    for names, categories in ((("coffee", "tea"), ["coffee", "tea"]), (("tea",), ["tea"]), (("",), [])):
        given = [part for name in names for part in ("--category", name)]
        done = await pixeld_server.run("client", "set", "shop", *given, "--json")
        assert json.loads(done.stdout)["categories"] == categories


async def test_preferences_and_lock_days_are_set(pixeld_server):
    options = ("--lock-days", "14", "--unlisted", "--hide-contact", "--stateless")
    done = await pixeld_server.run("client", "set", "shop", *options, "--json")
    changed = json.loads(done.stdout)
    assert (changed["lock_days"], changed["listed"], changed["share_contact"]) == (14, False, False)
    assert changed["stateless"]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("approve", "shop", "O-1"), ("approved", "", "pending")),
        (("reject", "shop", "O-1", "returned"), ("rejected", "returned", "pending")),
    ],
    ids=["approve", "reject"],
)
async def test_an_order_is_decided_about(pixeld_server, arguments, asked):
    done = await pixeld_server.run("order", *arguments)
    assert done.stdout == f"Order 'O-1' of 'shop' is {asked[0]}.\n"
    assert pixeld_server.decisions.asked == ("operator", "shop", "O-1", *asked, "admin")


async def test_orders_are_listed_by_status(pixeld_server):
    row = {"order": "4711", "client": "shop", "status": "pending", "commission": "1.00", "click_id": "x"}
    pixeld_server.reports.orders_page = {"rows": [row], "next": None}
    shown = await pixeld_server.run("order", "list", "--status", "pending")
    assert "4711" in shown.stdout and "locks_at" in shown.stdout and "click_id" not in shown.stdout
    assert pixeld_server.reports.asked.status == "pending"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("set", "shop", "new", "applied"), "applied"),
        (("approve", "shop", "new"), "approved"),
        (("decline", "shop", "new"), "declined"),
        (("end", "shop", "blog"), "ended"),
    ],
)
async def test_memberships_are_set(pixeld_server, arguments, status):
    done = await pixeld_server.run("member", *arguments, "--json")
    assert json.loads(done.stdout)["status"] == status
    assert pixeld_server.registry.snapshot.members["shop", arguments[2]] == status


async def test_an_approval_shows_what_comes_next(pixeld_server):
    done = await pixeld_server.run("member", "approve", "shop", "new")
    assert done.stdout == "The membership of 'new' with 'shop' is approved. Its link: pixeld link shop new\n"
    done = await pixeld_server.run("member", "set", "shop", "new", "--commission", "10%", "--flat", "1")
    assert "is approved; its own terms: 10% + 1. Its link" in done.stdout


async def test_memberships_are_listed(pixeld_server):
    listed = await pixeld_server.run("member", "list", "shop")
    assert lines(listed.stdout)[2:] == ["blog     approved", "new      applied"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("client", "list"), "pixeld client add shop 'A shop' https://shop.example/"),
        (("partner", "list"), "pixeld partner add blog"),
        (("member", "list", "shop"), "pixeld member approve shop PARTNER"),
        (("report",), "--from and --to"),
        (("report", "orders"), "--from and --to"),
        (("sql", "SELECT 1 WHERE 0"), "SHOW TABLES"),
    ],
)
async def test_an_empty_result_says_so_and_what_to_do(pixeld_server, arguments, says):
    empty = pixeld_server.registry
    empty.snapshot = Snapshot(1, {k: v for k, v in empty.snapshot.clients.items() if arguments[0] == "member"}, {}, {})
    pixeld_server.reports.performance_report = {"columns": ["day"], "rows": [], "totals": []}
    found = await pixeld_server.run(*arguments)
    assert found.exit_code == 0
    assert says in found.stdout


# The audit log

def change(n, what, before, after):
    return {"id": f"{1_800_000_000_000 + n}-0", "at_ms": 1_800_000_000_000, "who": "admin", "what": what, "before": before, "after": after}


TOLD = {
    "a field": (({"window_days": 30, "name": "A"}, {"window_days": 45, "name": "A"}), "window_days 30 → 45"),
    "several fields": (({"a": 1, "b": False}, {"a": 2, "b": True}), "a 1 → 2, b false → true"),
    "a new thing": ((None, {"id": "shop", "categories": ["tea", "coffee"]}), "id → shop, categories → tea; coffee"),
    "a thing that is gone": (({"key": "b2"}, None), "key b2 → –"),
    "no fields": (("applied", "approved"), "applied → approved"),
    "what was begun": ((None, "rotation"), "→ rotation"),
    "nothing but that it was done": ((None, None), "–"),
    "what would command a terminal": ((None, {"sql": "\x1b[2J"}), "sql → \ufffd[2J"),
}


@pytest.mark.parametrize(("values", "told"), TOLD.values(), ids=TOLD)
async def test_a_change_is_told_on_one_line(pixeld_server, values, told):
    pixeld_server.registry.changes = [change(0, "clients/shop", *values)]
    shown = await pixeld_server.run("audit")
    assert lines(shown.stdout)[2:] == [f"2027-01-15 08:00:00  admin  clients/shop  {told}"] and not shown.stderr


def test_the_rule_under_a_sentence_fits_a_terminal():
    assert lines(output.table(("at", "change"), [{"at": "now", "change": "x" * 300}]))[1] == f"---  {'-' * 40}"


@pytest.mark.parametrize(
    ("count", "options", "shown", "more"),
    [
        pytest.param(0, (), "Nothing was changed yet.\n", None, id="nothing"),
        pytest.param(1, (), (0, 1), None, id="one"),
        pytest.param(50, (), (0, 50), None, id="a page"),
        pytest.param(51, (), (0, 50), 49, id="a page and one"),
        pytest.param(51, ("--before", "1799999999951-0"), (50, 51), None, id="the next page"),
        pytest.param(51, ("--before", "1799999999950-0"), "Nothing older.\n", None, id="behind the last"),
        pytest.param(51, ("--limit", "2", "--before", "1800000000000-0"), (1, 3), 2, id="as many as asked for"),
    ],
)
async def test_the_audit_log_is_told_page_by_page(pixeld_server, count, options, shown, more):
    pixeld_server.registry.changes = changes = [change(-n, f"clients/{n}", None, None) for n in range(count)]
    told = await pixeld_server.run("audit", *options)
    if isinstance(shown, str):
        assert told.stdout == shown
    else:
        assert [line.split()[3] for line in lines(told.stdout)[2:]] == [f"clients/{n}" for n in range(*shown)]
    assert told.stderr == (f"There are more: --before {changes[more]['id']}\n" if more else "")
    found = json.loads((await pixeld_server.run("audit", *options, "--json")).stdout)
    assert found == {"changes": changes[slice(*shown)] if isinstance(shown, tuple) else [], "next": changes[more]["id"] if more else None}


# Links and the snippet

async def test_a_link(pixeld_server):
    link = await pixeld_server.run("link", "shop", "blog", "--public-url", "https://track.example/")
    assert (link.stdout, link.stderr) == ("https://track.example/t/shop/c/blog\n", "")


async def test_a_link_escapes_what_it_carries(pixeld_server):
    deep = "https://shop.example/ü?a=1&b=2#c"
    link = await pixeld_server.run("link", "shop", "blog", "--u", deep, "--s1", "a b&c", "--cid", "{id}", "--json")
    url = urlsplit(json.loads(link.stdout)["url"])
    assert parse_qs(url.query, strict_parsing=True) == {"u": [deep], "s1": ["a b&c"], "cid": ["{id}"]}
    assert "+" not in url.query
    assert link.stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("new",), "won't count until the membership is approved: pixeld member approve shop new"),
        (("stranger",), "won't count until the membership is approved: pixeld member approve shop stranger"),
        (("blog", "--u", "https://other.example/"), "(shop.example, cdn.example)"),
    ],
)
async def test_a_link_that_would_not_do_is_told(pixeld_server, arguments, note):
    await pixeld_server.run("partner", "add", "stranger", "Who has not applied")
    link = await pixeld_server.run("link", "shop", *arguments, "--public-url", "https://track.example")
    assert link.exit_code == 0
    assert note in link.stderr


@pytest.mark.parametrize(("arguments", "told"), [(("nowhere", "blog"), "no client 'nowhere'"), (("shop", "nobody"), "no partner 'nobody'")])
async def test_there_is_no_link_for_who_is_not_there(pixeld_server, arguments, told):
    link = await pixeld_server.run("link", *arguments)
    assert (link.exit_code, link.stdout) == (1, "") and told in link.stderr


@pytest.mark.parametrize("command", [("link", "shop", "blog"), ("snippet", "shop")])
async def test_an_address_of_this_machine_only_is_told(pixeld_server, command, monkeypatch):
    here = await pixeld_server.run(*command)
    assert "http://localhost:8000/t/shop/" in here.stdout
    assert "works on this machine only" in here.stderr
    monkeypatch.setenv("PIXELD_PUBLIC_URL", "https://track.example")
    there = await pixeld_server.run(*command)
    assert "https://track.example/t/shop/" in there.stdout
    assert "works on this machine only" not in there.stderr


async def test_a_port_that_nobody_knows_is_no_address(pixeld_server, monkeypatch):
    monkeypatch.setenv("PIXELD_PORT", "0")
    link = await pixeld_server.run("link", "shop", "blog")
    assert link.exit_code == 2
    assert "--public-url" in link.stderr


class Images(HTMLParser):
    """The attributes of the images of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert tag == "img"
        self.found.append(dict(attrs))


PIXEL = "https://track.example/t/shop/o.gif?order=ORDER&amount=AMOUNT&currency=CURRENCY&click=CLICK"
BEACON = "https://track.example/t/shop/l.gif?click=CLICK"


@pytest.mark.parametrize(("option", "images"), [("--with-cookies", [PIXEL, BEACON]), ("--stateless", [PIXEL])])
async def test_the_snippet_is_its_images_and_nothing_else(pixeld_server, option, images):
    assert (await pixeld_server.run("client", "set", "shop", option)).exit_code == 0
    run = partial(pixeld_server.run, "snippet", "shop", "--public-url", "https://track.example")
    snippet = await run()
    assert [image["src"] for image in Images(snippet.stdout).found] == images
    assert "&amp;amount=" in snippet.stdout
    found = json.loads((await run("--json")).stdout)
    assert [url for url in (found["url"], found["beacon_url"]) if url] == images
    assert ("works without cookies" in " ".join(snippet.stderr.split())) == (option == "--stateless")


async def test_the_snippet_tells_how_to_name_categories_where_there_are_some(pixeld_server):
    said = []
    for names in ([], ["hot-drinks", "tea"]):
        given = [part for name in names or [""] for part in ("--category", name)]
        await pixeld_server.run("client", "set", "shop", *given)
        said.append(" ".join((await pixeld_server.run("snippet", "shop")).stderr.split()))
    assert "&cat=" not in said[0] and "up to 5 of these" in said[1] and said[1].count("hot-drinks, tea.") == 1


async def test_the_snippet_tells_what_to_put_where(pixeld_server):
    said = (await pixeld_server.run("snippet", "shop")).stderr
    for word in ("ORDER", "AMOUNT", "CURRENCY", "CLICK", "it is EUR", "shop.example/?lang=en&pxid=<click id>", "test=1", "consent=1"):
        assert word in said


# Reports

async def test_a_report_has_numbers_to_the_right_and_totals_below(pixeld_server):
    shown = await pixeld_server.run("report", "--by", "partner")
    assert lines(shown.stdout) == [
        "partner  currency  clicks  revenue",
        "-------  --------  ------  -------",
        "blog     EUR         1234    99.90",
        "-        EUR            0     5.00",
        "-------  --------  ------  -------",
        "total    EUR         1234   104.90",
    ]


@pytest.mark.parametrize("arguments", [("--json",), ("--format", "json"), ("performance", "--json")])
async def test_a_report_as_json_is_the_server_s(pixeld_server, arguments):
    shown = await pixeld_server.run("report", *arguments)
    assert json.loads(shown.stdout) == pixeld_server.reports.performance_report


async def test_an_audience_is_asked_for_by_one_trait(pixeld_server):
    shown = await pixeld_server.run("report", "audience", "--from", "2027-01-01", "--to", "2027-01-02", "--by", "os")
    assert "too few visitors came" in shown.stdout and pixeld_server.reports.asked.by == "os"
    pixeld_server.reports.audience_report["rows"] = [{"os": "iOS", "visitors": 60}, {"os": "other", "visitors": 1240}]
    shown = await pixeld_server.run("report", "audience", "--by", "os")
    assert shown.stdout.splitlines()[-1].split() == ["other", "1240"]
    shown = await pixeld_server.run("report", "audience", "--json")
    assert json.loads(shown.stdout) == pixeld_server.reports.audience_report


async def test_a_report_as_csv_is_the_server_s(pixeld_server):
    pixeld_server.reports.performance_report["rows"][0]["partner"] = "=cmd()"
    shown = await pixeld_server.run("report", "--format", "csv")
    assert shown.stdout_bytes.splitlines()[:2] == [b"partner,currency,clicks,revenue", b"'=cmd(),EUR,1234,99.90"]


async def test_a_report_asks_what_it_is_told_to(pixeld_server):
    days = ("--from", "2026-11-01", "--to", "2026-11-02", "--client", "shop")
    await pixeld_server.run("report", *days, "--by", "day")
    asked = pixeld_server.reports.asked
    await pixeld_server.run("report", "performance", *days, "--by", "day")
    assert asked == pixeld_server.reports.asked
    await pixeld_server.run("report", *days, "--by", "partner")
    assert asked != pixeld_server.reports.asked


async def test_refusals_are_told(pixeld_server):
    shown = await pixeld_server.run("report", "refusals", "--client", "shop", "--from", "2026-11-01")
    assert lines(shown.stdout)[0].split() == ["day", "client", "partner", "what", "verdict", "requests"]
    assert lines(shown.stdout)[2].split() == ["2026-11-01", "shop", "-", "order", "refused", "gpc", "1200"]
    assert pixeld_server.reports.asked.client == "shop"
    assert json.loads((await pixeld_server.run("report", "refusals", "--json")).stdout)["rows"][0]["requests"] == 1200
    assert "Nothing in these days" in (await pixeld_server.run("report", "refusals", "--client", "empty")).stdout


async def test_the_consent_of_a_client_is_set(pixeld_server):
    shown = await pixeld_server.run("client", "set", "shop", "--consent", "require", "--consent-where", "everywhere", "--json")
    changed = json.loads(shown.stdout)
    assert (changed["consent"], changed["consent_where"]) == ("require", "everywhere")
    assert "maybe" in (await pixeld_server.run("client", "set", "shop", "--consent", "maybe")).stderr


async def test_orders_are_told_page_by_page(pixeld_server):
    pixeld_server.reports.orders_page = {"rows": [{"order": "4711", "partner": None, "flags": ["conflict"]}], "next": "abc"}
    shown = await pixeld_server.run("report", "orders")
    assert lines(shown.stdout)[2:] == [" 4711  -        conflict"]
    assert "--cursor abc" in shown.stderr


async def test_a_question_in_sql(pixeld_server):
    shown = await pixeld_server.run("sql", "SELECT client, count() AS n FROM clicks GROUP BY client")
    assert lines(shown.stdout) == ["client   n", "------  --", "shop    12", "a        3"]


async def test_a_flush(pixeld_server):
    assert (await pixeld_server.run("flush")).stdout == "7 events were flushed.\n"
    assert json.loads((await pixeld_server.run("flush", "--json")).stdout) == {"events": 7}


# Tail

EVENT = {
    "kind": "click",
    "at_ms": 1_795_446_862_123,
    "client": "shop",
    "partner": "blog",
    "quality": "human",
    "s1": "a",
    "s2": "",
}


async def test_tail_shows_an_event_a_line_and_tells_the_end(pixeld_server):
    pixeld_server.operations.events, pixeld_server.operations.goes_on = [EVENT, {**EVENT, "kind": "order"}], False
    seen = await pixeld_server.run("tail")
    assert lines(seen.stdout)[0] == "15:14:22.123Z  click       shop        blog        human       s1=a"
    assert len(lines(seen.stdout)) == 2
    assert seen.exit_code == 3
    assert "the server was stopped, or the connection broke" in seen.stderr


async def test_tail_as_json_is_the_server_s(pixeld_server):
    pixeld_server.operations.events, pixeld_server.operations.goes_on = [EVENT], False
    assert [json.loads(line) for line in lines((await pixeld_server.run("tail", "--json")).stdout)] == [EVENT]


@pytest.mark.parametrize("events", [[EVENT], []], ids=["after an event", "before any event"])
async def test_tail_ends_quietly_with_ctrl_c(pixeld_server, events, home):
    pixeld_server.operations.events = events
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pixeld", "tail", "--json", "--url", pixeld_server.url),
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    await pixeld_server.operations.asked.wait()
    if events:
        assert json.loads(await child.stdout.readline()) == EVENT
    child.send_signal(signal.SIGINT)
    _, said = await child.communicate()
    assert (child.returncode, said.strip()) == (130, b"")


async def test_a_quiet_tail_waits(pixeld_server, monkeypatch):
    monkeypatch.setattr(server, "_ANSWER_S", 2.0)  # within which its headers must come, on a busy machine too

    async def later():
        await asyncio.sleep(3)
        yield EVENT

    pixeld_server.operations.tail = later
    assert len(lines((await pixeld_server.run("tail")).stdout)) == 1


def test_what_strangers_write_cannot_command_a_terminal():
    line = human({**EVENT, "s1": "\x1b[2J\r\n\x9b1m", "client": "\x1b]0;x\x07"})
    assert line.isprintable()
    cells = output.table(["a"], [{"a": "\x1b[2J\n\u202e"}]).splitlines()
    assert len(cells) == 3
    assert cells[2].isprintable()


# Exit codes

TABLE = [
    (0, ("client", "list"), ""),
    (0, ("version",), ""),
    (1, ("client", "show", "nobody"), "pixeld: there is no client 'nobody'\n"),
    (1, ("client", "add", "shop", "S", "https://s.example/"), "'shop' is taken"),
    (1, ("client", "add", "Shop", "S", "https://s.example/"), "id must be 1 to 32 of a-z 0-9 -"),
    (1, ("client", "set", "shop", "--currency", "euro"), "currency 'euro' is not an ISO 4217 code"),
    (1, ("order", "approve", "shop", "O-2"), "the order is approved already"),
    (1, ("client", "set", "shop", "--commission", "7,5%"), "percent must be text such as"),
    (1, ("client", "set", "shop", "--flat", "0.005"), "no amount of EUR"),
    (2, ("client", "set", "shop", "--from", "2027-01-01"), "say which terms hold on these days"),
    (2, ("member", "set", "shop", "blog"), "say what to set"),
    (2, ("member", "set", "shop", "blog", "--flat", "1", "--as-client"), "not both"),
    (2, ("order", "reject", "shop", "O-1"), "Missing argument 'REASON'"),
    (1, ("member", "set", "shop", "blog", "fired"), "status must be one of applied, approved, declined, ended"),
    (1, ("member", "approve", "shop", "nobody"), "there is no partner 'nobody'"),
    (1, ("sql", "DROP TABLE clicks"), "only reading statements"),
    (2, ("clint",), "There is no command 'clint'; did you mean client?"),
    (2, ("client", "lst"), "No such command 'lst'."),
    (2, ("client", "list", "--jsn"), "No such option '--jsn'"),
    (2, ("client", "show"), "Missing argument 'ID'"),
    (2, ("client", "add", "books", "Books"), "Missing argument 'LANDING_URL'"),
    (2, ("client", "set", "shop"), "say what to change"),
    (2, ("report", "--format", "xml"), "'xml' is not one of"),
    (2, ("serve", "--port", "x", "--p3q"), "No such option '--p3q'"),
    (2, ("serve", "--port", "x", "--lease-s", "y"), "port must be a whole number\nflag --lease-s: lease_s must be a number\n"),
    (2, ("serve", "--config", "gone.toml"), "cannot read the settings file gone.toml"),
    (2, ("migrate", "--status", "--dry-run"), "ask one at a time"),
    (2, ("sql-access",), "name one: --client, --partner or --analyst"),
    (2, ("sql-access", "--client", "a", "--partner", "b"), "name one: --client, --partner or --analyst"),
    (2, ("sql-access", "--client", "a", "--drop", "--show"), "--drop goes with neither"),
    (2, ("sql-access", "--client", "a", "--password-sha256", "secret"), "64 hexadecimal digits"),
    (1, ("sql-access", "--client", "a"), "the embedded ClickHouse engine has no logins"),
]


@pytest.mark.parametrize(("code", "arguments", "says"), TABLE, ids=[f"{code} {shlex.join(a)}" for code, a, _ in TABLE])
@pytest.mark.parametrize("as_json", [False, True], ids=["human", "json"])
async def test_exit_codes(pixeld_server, code, arguments, says, as_json):
    local = arguments[0] in ("version", "clint", "serve", "migrate", "sql-access")
    arguments = (*arguments, "--json") if as_json else arguments
    done = await (asyncio.to_thread(run, *arguments) if local else pixeld_server.run(*arguments))
    assert done.exit_code == code
    if code == 0:
        json.loads(done.stdout) if as_json else None
    elif as_json:
        said = json.loads(done.stderr)
        assert said["code"]
        assert done.stdout == ""
        assert says.removeprefix("pixeld: ").strip() in said["detail"]
    else:
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


async def test_a_problem_is_told_whole_in_json(pixeld_server):
    done = await pixeld_server.run("client", "add", "Shop", "S", "https://s.example/", "--json")
    assert json.loads(done.stderr) == {
        "title": "Bad Request",
        "status": 400,
        "code": "bad_input",
        "detail": "id must be 1 to 32 of a-z 0-9 -, and begin with a letter or digit",
        "field": "id",
    }


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:{free}", "nothing listens there"),
        ("http://no-such-host.invalid:8001", "that host name is not known"),
    ],
)
def test_no_server(url, why):
    done = run("client", "list", "--url", url.format(free=free_port()))
    assert done.exit_code == 3
    assert why in done.stderr
    assert "Start one with `pixeld demo`" in done.stderr


@pytest.fixture
async def tls_server(pixeld_server, aiohttp_server, tmp_path):
    """The same over TLS, as 127.0.0.1 and as admin.example; its certificate's file."""
    cert, key = certificate(tmp_path, "admin.example")
    app = admin.application()
    app[keys.REGISTRY], app[keys.REPORTS], app[keys.OPERATIONS] = MemoryRegistry(), MemoryReports(), pixeld_server.operations
    app[keys.METRICS], app[keys.ADMIN_TOKEN] = Metrics(), TOKEN
    listening = await aiohttp_server(app, ssl=Certificate("admin_tls", cert, key).context, shutdown_timeout=0.1)
    return listening.port, cert


@pytest.mark.parametrize(
    ("host", "ca", "code", "says"),
    [
        pytest.param("127.0.0.1", "cert", 0, "", id="known by its own certificate"),
        pytest.param("127.0.0.1", None, 3, "a certificate that isn't trusted: self", id="not known"),
        pytest.param("localhost", "cert", 3, "a certificate that isn't trusted: Hostname mismatch", id="under another name"),
        pytest.param("127.0.0.1", "gone.pem", 2, "admin_tls_ca gone.pem cannot be used", id="no such file"),
    ],
)
async def test_a_server_with_tls(host, ca, code, says, tls_server, monkeypatch):
    port, cert = tls_server
    if ca:
        monkeypatch.setenv("PIXELD_ADMIN_TLS_CA", str(cert) if ca == "cert" else ca)
    done = await asyncio.to_thread(run, "client", "list", "--url", f"https://{host}:{port}")
    assert done.exit_code == code and says in done.stderr and "Traceback" not in done.stderr


async def test_events_are_followed_over_tls_too(tls_server, pixeld_server, monkeypatch):
    port, cert = tls_server
    monkeypatch.setenv("PIXELD_ADMIN_TLS_CA", str(cert))
    pixeld_server.operations.events, pixeld_server.operations.goes_on = [EVENT], False
    done = await asyncio.to_thread(run, "tail", "--json", "--url", f"https://127.0.0.1:{port}")
    assert json.loads(done.stdout) == EVENT


async def test_a_server_without_tls_is_not_asked_for_it(pixeld_server):
    done = await asyncio.to_thread(run, "client", "list", "--url", pixeld_server.url.replace("http:", "https:"))
    assert done.exit_code == 3 and "it speaks no TLS that is understood here" in done.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "ftp://x", "http://", "http://x:y", "http://x:99999", "http://["])
def test_an_address_that_is_none(url):
    done = run("client", "list", "--url", url)
    assert done.exit_code == 2
    assert "it must be like http://127.0.0.1:8001" in done.stderr


@pytest.mark.parametrize(
    ("host", "port", "asked"),
    [("0.0.0.0", 9, "http://127.0.0.1:9"), ("::", 9, "http://[::1]:9"), ("10.1.2.3", 80, "http://10.1.2.3:80")],
)
def test_the_settings_say_where_the_server_is(host, port, asked):
    assert server.Server(Settings(admin_host=host, admin_port=port)).url == asked
    tls = Settings(admin_host=host, admin_port=port, admin_tls_cert="c", admin_tls_key="k")
    assert server.Server(tls).url == asked.replace("http:", "https:")


def test_a_port_that_nobody_knows_is_no_server(monkeypatch):
    monkeypatch.setenv("PIXELD_ADMIN_PORT", "0")
    done = run("client", "list")
    assert done.exit_code == 2
    assert "say with --url which one" in done.stderr


async def other_server(aiohttp_server, handler):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return str((await aiohttp_server(app, shutdown_timeout=0.1)).make_url(""))


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<h1>It works</h1>", "content_type": "text/html"},
        {"text": "nothing here", "status": 404},
        {"text": '{"error": 1}', "status": 404},
        {"text": "[]", "status": 500},
    ],
    ids=["a page", "a text", "JSON of another kind", "a list"],
)
async def test_somebody_else_s_server(aiohttp_server, answer):
    async def handler(request):
        return web.Response(**answer)

    url = await other_server(aiohttp_server, handler)
    done = await asyncio.to_thread(run, "client", "list", "--url", url)
    assert done.exit_code == 3
    assert "is not pixeld's admin API" in done.stderr


async def test_a_redirect_is_not_followed_with_the_token(aiohttp_server):
    asked = []

    async def handler(request):
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    url = await other_server(aiohttp_server, handler)
    done = await asyncio.to_thread(run, "client", "list", "--url", url)
    assert done.exit_code == 3
    assert asked == ["/api/clients"]


async def test_a_server_that_says_nothing(aiohttp_server, monkeypatch):
    monkeypatch.setattr(server, "_ANSWER_S", 0.05)
    silence = asyncio.Event()

    async def handler(request):
        await silence.wait()

    url = await other_server(aiohttp_server, handler)
    done = await asyncio.to_thread(run, "flush", "--url", url)
    silence.set()
    assert done.exit_code == 3
    assert "did not answer (not in time); it is not known whether it did what was asked" in done.stderr


async def test_a_server_that_breaks_off(aiohttp_server):
    async def handler(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        request.transport.abort()
        return response

    url = await other_server(aiohttp_server, handler)
    done = await asyncio.to_thread(run, "client", "list", "--url", url)
    assert done.exit_code == 3
    assert "Traceback" not in done.stderr


# The token

async def test_the_token_is_found_in_the_data_directory_or_the_environment(pixeld_server, home, monkeypatch):
    (home / "pixeld-data").rename(home / "elsewhere")
    assert (await pixeld_server.run("client", "list")).exit_code == 1
    assert (await pixeld_server.run("client", "list", "--data-dir", "elsewhere")).exit_code == 0
    monkeypatch.setenv("PIXELD_ADMIN_TOKEN", TOKEN)
    assert (await pixeld_server.run("client", "list")).exit_code == 0


async def test_no_token_is_told_with_what_to_do(pixeld_server, home):
    (home / "pixeld-data" / "admin-token").unlink()
    done = await pixeld_server.run("client", "list")
    assert done.exit_code == 1
    assert "there is no file pixeld-data/admin-token" in done.stderr
    assert "--data-dir" in done.stderr
    assert "PIXELD_ADMIN_TOKEN" in done.stderr


async def test_a_wrong_token_is_not_shown(pixeld_server, monkeypatch):
    monkeypatch.setenv("PIXELD_ADMIN_TOKEN", "wrong-but-secret")
    done = await pixeld_server.run("client", "list")
    assert done.exit_code == 1
    assert "wrong-but-secret" not in done.output


# serve, demo, check, migrate

@pytest.fixture
def app(monkeypatch):
    """A stand-in for pixeld.app and pixeld.checkup that is as quick as it is empty."""
    module = types.ModuleType("pixeld.app")
    module.served = []
    started = types.SimpleNamespace(
        public_url="http://localhost:8000", admin_url="http://127.0.0.1:8001", data_dir=Path("my data"), demo_url=None,
        operator_url=None,
    )  # fmt: skip

    async def serve(settings, *, demo=False, started=lambda _: None):
        module.served.append((settings, demo, type(asyncio.get_running_loop()).__module__))
        if module.raises:
            raise module.raises
        module.started.demo_url = "http://localhost:8000/demo/" if demo else None
        started(module.started)

    module.serve, module.started, module.raises = serve, started, None
    for name in ("app", "checkup"):
        monkeypatch.setitem(sys.modules, f"pixeld.{name}", module)
        monkeypatch.setattr(pixeld, name, module, raising=False)
    return module


def test_serve_says_what_one_needs_to_know(app):
    done = run("serve")
    assert done.exit_code == 0
    token = Path("my data").resolve() / "admin-token"
    assert f"admin token  {token}" in done.stdout
    assert f"""curl -H "Authorization: Bearer $(cat '{token}')" http://127.0.0.1:8001/api/clients""" in done.stdout
    assert "Ctrl-C" in done.stdout
    assert "demo" not in done.stdout


def test_demo_says_where_the_shop_is(app):
    assert "http://localhost:8000/demo/" in run("demo").stdout
    assert json.loads(run("demo", "--json").stdout)["demo_url"] == "http://localhost:8000/demo/"


def test_serve_says_where_the_first_operator_goes_while_there_is_none(app):
    assert "operator" not in run("serve").stdout and "operator_url" not in json.loads(run("serve", "--json").stdout)
    app.started.operator_url = "https://track.example/portal/welcome/operators.t"
    assert f"  {app.started.operator_url}\n" in run("serve").stdout
    assert json.loads(run("serve", "--json").stdout)["operator_url"] == app.started.operator_url


def test_serve_runs_on_uvloop(app):
    run("serve")
    assert app.served[0][2].startswith("uvloop")


def test_flags_are_settings(app, monkeypatch):
    monkeypatch.setenv("PIXELD_PORT", "1")
    monkeypatch.setenv("PIXELD_REDIS_URL", "redis://cache")
    run("serve", "--port", "9000", "--no-p3p", "--data-dir", "d", "--flush-interval-s", "0.5")
    settings, demo, _ = app.served[0]
    expected = {"port": 9000, "p3p": False, "data_dir": Path("d"), "flush_interval_s": 0.5, "redis_url": "redis://cache"}
    assert settings == Settings(**expected)
    assert not demo


@pytest.mark.parametrize("command", ["serve", "demo", "check", "migrate", "sql-access"])
def test_every_setting_is_a_flag_but_secrets(command):
    shown = run(command, "--help").stdout
    flags = {name for name, _, _ in table() if f" --{name.replace('_', '-')} " in shown}
    assert {name for name, _, _ in table()} - flags == {
        "redis_url", "clickhouse_url", "admin_token", "signing_keys", "vault_keys", "smtp_url",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("port 80 is not allowed"), 2),
        (PolicyError("the map contradicts itself"), 2),
        (DataDirInUse("the data directory is in use by another"), 1),
        (Unavailable("the embedded Valkey ended"), 1),
    ],
)
def test_a_server_that_cannot_start_says_why(app, error, code):
    app.raises = error
    done = run("serve")
    assert (done.exit_code, done.stderr, done.stdout) == (code, f"pixeld: {error}\n", "")


@dataclass
class Finding:
    name: str
    ok: bool
    detail: str
    advice: str


def test_a_check_that_finds_nothing_wrong(app):
    async def check(settings):
        return [Finding("redis", True, "Redis 7.0.15: every chunk is fsynced", "")]

    app.check = check
    done = run("check")
    assert (done.exit_code, done.stdout) == (0, "ok    redis  Redis 7.0.15: every chunk is fsynced\n")


def test_a_check_that_finds_something_wrong(app):
    async def check(settings):
        return [Finding("redis", True, "fine", ""), Finding("disk", False, "full", "make room")]

    app.check = check
    done = run("check")
    assert done.exit_code == 1
    assert lines(done.stdout) == ["ok    redis  fine", "FAIL  disk   full", "             make room"]
    assert json.loads(run("check", "--json").stdout)["ok"] is False


@dataclass
class MigrationState:
    number: int
    name: str
    state: str
    statement: str


@pytest.mark.parametrize(
    ("flags", "asked"),
    [((), (True, False)), (("--status",), (False, False)), (("--dry-run",), (False, True))],
    ids=["apply", "status", "dry run"],
)
def test_migrations(app, flags, asked):
    async def migrations(settings, *, apply, dry_run):
        assert (apply, dry_run) == asked
        state = "applied" if apply else "pending"
        return [MigrationState(1, "clicks", "applied", "CREATE 1"), MigrationState(2, "orders", state, "CREATE 2\n")]

    app.migrations = migrations
    done = run("migrate", *flags)
    assert done.exit_code == 0
    if "--dry-run" in flags:
        assert done.stdout == "-- 2 orders\nCREATE 2;\n\n"
    else:
        pending = "--status" in flags
        assert lines(done.stdout)[3] == f"     2  orders  {'pending' if pending else 'applied'}"
        assert lines(done.stdout)[4].startswith("Apply what is pending" if pending else "The tables are up to date")
    assert [row["number"] for row in json.loads(run("migrate", *flags, "--json").stdout)["migrations"]] == [1, 2]


# The command itself

def test_help_lists_every_command_and_the_exit_codes():
    shown = run("--help").stdout
    for name in main.list_commands(None):
        assert f"\n  {name} " in shown
    for line in ("0  done", "1  the server", "2  wrong usage", "3  the server could not be reached"):
        assert line in shown


def subcommands(command, path=()):
    yield path, command
    for name in getattr(command, "commands", {}):
        yield from subcommands(command.commands[name], (*path, name))


ALL = [(path, c) for name in main.list_commands(None) for path, c in subcommands(main.get_command(None, name), (name,))]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_explains_itself_and_speaks_json(path, command):
    shown = run(*path, "--help")
    assert shown.exit_code == 0
    assert command.help
    assert hasattr(command, "commands") or "--json" in shown.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["client", "--help"]])
def test_what_needs_no_server_starts_without_it(arguments):
    program = (
        "import sys; from pixeld.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print([m for m in ('aiohttp', 'asyncio', 'orjson', 'redis', 'uvloop') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert lines(done.stdout)[-1] == "[]"


def test_the_version():
    assert run("version").stdout == f"pixeld {pixeld.__version__}\n" == run("--version").stdout
    assert json.loads(run("version", "--json").stdout)["version"] == pixeld.__version__


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "pixeld", "version"], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout == f"pixeld {pixeld.__version__}\n"


def test_patience_is_for_terminals_only(capsys, monkeypatch):
    monkeypatch.setattr(output, "_PATIENCE_S", 0)
    with output.patience("waiting"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with output.patience("waiting"):
        pass
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_json_is_indented_for_terminals_only(capsys, monkeypatch):
    output.print_json({"a": "ü"})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_json({"a": "ü"})
    assert capsys.readouterr().out == '{"a": "ü"}\n{\n  "a": "ü"\n}\n'


def test_settings_come_from_the_environment_of_this_process(monkeypatch):
    monkeypatch.setenv("PIXELD_PORT", "7")
    assert options.settings(None, {}).port == 7


def test_the_documentation_is_written_where_it_belongs(home):
    (home / "config").mkdir()
    (home / "README.md").write_text(f"# pixeld\n{settings_doc.BEGIN}\n{settings_doc.END}\n")
    settings_doc.main()
    assert (home / settings_doc.TOML).read_text() == settings_doc.toml()
    assert settings_doc.markdown() in (home / settings_doc.README).read_text()
