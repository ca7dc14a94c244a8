"""What tests of the portal share: the pages over real services, browsers that keep cookies, and HTML that is looked at closely."""

import asyncio
import re
import secrets
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import html5lib
import orjson
from aiohttp import ClientSession, DummyCookieJar

from pixeld.accounts.account import Role
from pixeld.domain.events import decode
from pixeld.web import house, portal, public
from pixeld.web.keys import Health
from pixeld.web.origin import Origin
from tests import accounts

XHTML = "{http://www.w3.org/1999/xhtml}"
FORM = "application/x-www-form-urlencoded"
PARTNER, CLIENT, OPERATOR = accounts.FORM["email"], "clara@shop.example", "otto@operator.example"
PASSWORD = accounts.PASSWORD
_LABELLED = ("input", "select", "textarea")
_UNLABELLED = ("hidden", "submit", "button")


class Straight:
    """An Intake whose events are in the warehouse when they are confirmed: what lies between has tests of its own."""

    def __init__(self, warehouse):
        self._warehouse, self._tasks = warehouse, set()

    def append(self, line, waiter):
        task = asyncio.get_running_loop().create_task(self._insert(line, waiter))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _insert(self, line, waiter):
        for kind, values in decode(line):
            event_id = secrets.token_hex(8)
            row = orjson.dumps((*values, event_id))
            await self._warehouse.insert(kind.table, (*kind.columns, "event_id"), [row], event_id)
        waiter.settle(True)
        waiter.release()


async def well():
    """The health of a server of which every part is well."""
    return {"redis": Health(True, {"server": "Valkey", "durable": True}), "clickhouse": Health(True, {"version": "26.9"})}


def services(made, reports, url="https://track.example", *, decisions=None, health=well):
    """What the pages are made of, from `tests.accounts.services`, reports and decisions."""
    clock = made.clock

    def today():
        return datetime.fromtimestamp(clock() / 1000, UTC).date()

    return portal.Services(made.parties, made.registry, reports, url, today, decisions, health)


def site(of):
    """The house with its home page and the portal."""
    app = house.application(Origin())
    public.add_routes(app, p3p=False, https=of.tracker_url.startswith("https:"))
    app.router.add_get("/", portal.home(of))
    app.add_subapp(portal.PREFIX, portal.application(of))
    return app


async def people(made):
    """A client "shop" with an account, an operator, and a partner "blog" who is a member of nothing yet."""
    await made.registry.refresh()
    operator = await made.accounts.accept(
        (await made.accounts.first_link()).rpartition("/")[2],
        {"contact_name": "Otto", "email": OPERATOR, "password": PASSWORD, "terms": "yes"},
    )
    client = await accounts.client(made, CLIENT)
    made.clock.forward(1)  # mails are in the order of time
    partner = await accounts.partner(made)
    return {Role.OPERATOR: operator, Role.CLIENT: client, Role.PARTNER: partner}


class Page:
    """A reply. If it is HTML, it has been parsed by the standard's rules, and looked through (`flaws`)."""

    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body
        self.location = response.headers.get("Location", "")
        self.cookies = dict(response.cookies)
        self.tree = None
        if body and response.content_type == "text/html":
            self.tree = html5lib.HTMLParser(strict=True).parse(body, transport_encoding="utf-8")
            found = flaws(self.tree)
            assert not found, found

    @property
    def text(self):
        """What there is to read, white space aside."""
        return " ".join(" ".join(self.tree.find(f"{XHTML}body").itertext()).split())

    def all(self, tag, **attributes):
        """Every element of a tag, with these attributes."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [e for e in self.tree.iter(f"{XHTML}{tag}") if wanted.items() <= e.attrib.items()]

    def one(self, tag, **attributes):
        (found,) = self.all(tag, **attributes)
        return found

    def problem(self, name):
        """What is said beside a field; it has to be tied to it, and to be in the summary with a link."""
        field = next(e for e in self.tree.iter() if e.get("id") == name)
        assert field.get("aria-invalid") == "true" and f"{name}-problem" in field.get("aria-describedby").split()
        (beside,) = [e for e in self.tree.iter() if e.get("id") == f"{name}-problem"]
        said = " ".join("".join(beside.itertext()).split()).removeprefix("Error: ")
        assert [link for link in self.all("a", href=f"#{name}") if "".join(link.itertext()) == said]
        return said

    @property
    def problems(self):
        """The names of the fields that something is said beside."""
        return {e.get("id").removesuffix("-problem") for e in self.all("p") if (e.get("id") or "").endswith("-problem")}

    def form(self, action, post=False):
        """The fields of a form as a browser would send them, untouched; of two with one action, the one that posts."""
        (form,) = [form for form in self.all("form") if form.get("action") == action and (not post or form.get("method") == "post")]
        return self._fields(form)

    def form_with(self, action, **values):
        """The form among several to one action that holds these values."""
        (found,) = [f for form in self.all("form", action=action) if values.items() <= (f := self._fields(form)).items()]
        return found

    def _fields(self, form):
        fields = {}
        for element in form.iter():
            tag, name = element.tag.removeprefix(XHTML), element.get("name")
            if tag == "input" and name and (element.get("type") not in ("checkbox", "radio") or "checked" in element.attrib):
                fields[name] = element.get("value", "")
            elif tag == "textarea" and name:
                fields[name] = element.text or ""
            elif tag == "select" and name:
                options = list(element.iter(f"{XHTML}option"))
                fields[name] = next((o for o in options if "selected" in o.attrib), options[0]).get("value")
        return fields


class Browser:
    """Keeps cookies, follows nothing by itself, and sends forms that are on the page it looks at."""

    def __init__(self, server):
        self._server, self.jar, self.page = server, {}, None
        self._session = ClientSession(cookie_jar=DummyCookieJar())

    async def close(self):
        await self._session.close()

    async def ask(self, method, path, **more):
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        sent = {"Cookie": cookies} if cookies else {}
        sent |= more.pop("headers", {})
        async with self._session.request(
            method, self._server.make_url("/").join(_url(path)), headers=sent, allow_redirects=False, **more
        ) as response:
            page = Page(response, await response.read())
        for name, morsel in page.cookies.items():
            assert name.startswith("__Host-") and morsel["secure"] and morsel["httponly"] and morsel["path"] == "/"
            assert morsel["samesite"] == "Lax" and not morsel["domain"]
            if morsel.value and morsel["max-age"] != "0":
                self.jar[name] = morsel.value
            else:
                self.jar.pop(name, None)
        self.page = page
        return page

    async def get(self, path):
        return await self.ask("GET", path)

    async def post(self, path, fields):
        """Send fields as they are."""
        return await self.ask("POST", path, data=urlencode(fields), headers={"Content-Type": FORM})

    async def submit(self, on, action=None, **fields):
        """Open the page `on`, fill its form in, and send it."""
        page = await self.get(on)
        assert page.status == 200, (on, page.status, page.location)
        action = action or urlsplit(on).path
        return await self.post(action, page.form(action, post=True) | fields)

    async def follow(self):
        """Where the last reply leads."""
        assert self.page.status == 303, self.page.text
        return await self.get(self.page.location)

    async def log_in(self, email, password=PASSWORD):
        page = await self.submit("/portal/login", email=email, password=password)
        assert page.status == 303, page.text
        return self


def _url(path):
    from yarl import URL

    return URL(path, encoded=True)


def flaws(tree):
    """What keeps people from using a page, though every browser shows it: nothing in here is a matter of taste."""
    elements = list(tree.iter())
    named = {}
    for element in elements:
        if "id" in element.attrib:
            named.setdefault(element.get("id"), []).append(element)
    found = [f"id {name} is there {len(those)} times" for name, those in named.items() if len(those) > 1]
    labels = {e.get("for") for e in elements if e.tag == f"{XHTML}label"}
    heads = 0
    for element in elements:
        if not isinstance(element.tag, str):
            continue  # a comment
        tag = element.tag.removeprefix(XHTML)
        found += [f"{tag} has an inline {name}" for name in element.attrib if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and (element.text or not element.get("src"))):
            found.append(f"an inline {tag}")
        for name in ("aria-describedby", "aria-labelledby", "for", "popovertarget", "data-copies", "data-chart"):
            found += [f"{name} names {id}, which is not there" for id in element.get(name, "").split() if id not in named]
        if tag == "a" and element.get("href", "").startswith("#") and element.get("href")[1:] not in named:
            found.append(f"a link to {element.get('href')}, which is not there")
        if tag in _LABELLED and element.get("type") not in _UNLABELLED and "hidden" not in element.attrib:
            found += [] if element.get("id") in labels else [f"{element.get('name')} has no label"]
        if tag == "form" and element.get("method") == "post":
            tokens = [e for e in element.iter(f"{XHTML}input") if e.get("name") == "csrf" and e.get("value")]
            found += [] if len(tokens) == 1 else [f"the form to {element.get('action')} has {len(tokens)} tokens"]
        if tag == "table":
            found += [] if element.find(f"{XHTML}caption") is not None else ["a table without a caption"]
            found += ["a th without a scope" for th in element.iter(f"{XHTML}th") if "scope" not in th.attrib]
        if tag == "img" and "alt" not in element.attrib:
            found.append("a picture without alt")
        if re.fullmatch(r"h[1-6]", tag):
            if int(tag[1]) > heads + 1:
                found.append(f"{tag} after h{heads}")
            heads = int(tag[1])
        if tag in ("a", "button") and not "".join(element.itertext()).strip() and not element.get("aria-label"):
            found.append(f"an empty {tag}")
    summary = next(iter(named.get("problems", ())), ())
    links = [link.get("href")[1:] for each in summary for link in each.iter(f"{XHTML}a")]
    if links != [e.get("id") for e in elements if e.get("id") in links]:
        found.append(f"what is wrong is told in another order than that of the fields: {links}")
    for tag, number in (("h1", 1), ("main", 1), ("title", 1), ("header", 1)):
        count = sum(e.tag == f"{XHTML}{tag}" for e in elements)
        found += [] if count == number else [f"{tag} is there {count} times"]
    if next(e for e in elements if e.tag == f"{XHTML}html").get("lang") != "en":
        found.append("no language")
    return found
