"""Messages between clients and partners: mails that tell neither side the other's address."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pixeld.accounts.account import Role
from pixeld.accounts.audit import noted
from pixeld.accounts.forms import SentForm
from pixeld.accounts.office import Office
from pixeld.domain.registry import Status
from pixeld.errors import Forbidden, NotFound


class About(StrEnum):
    """What a client writes to a partner about."""

    OWN = "own"  # the programme that the partner is an approved member of
    OTHER = "other"  # any other one: refused when the partner has opted out


class Messages:
    """A message is a mail with a subject and a text. The audit stream learns that it was sent, and nothing of what it says."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def to_partner(self, client: str, partner: str, about: About, form: Mapping[str, str], who: str) -> None:
        """A client writes to one of those who have, or had, a membership with it; `form` has subject and text.

        NotFound (no such membership), InvalidForm, TooMany; Forbidden when the message is about the client's own programme
        and the partner isn't approved, about others and the partner has opted out, or when nobody would read it.
        """
        office = self._office
        status = office.snapshot.members.get((client, partner))
        if status is None:
            raise NotFound(f"there is no partner {partner!r}")
        subject, text = _read(form)
        name = office.snapshot.partners[partner].name
        if about is About.OWN and status is not Status.APPROVED:
            raise Forbidden(f"{name} isn't an approved partner of your programme, so there is nothing to write about it")
        people = await office.people.of(Role.PARTNER, partner)
        if not people:
            raise Forbidden(f"{name} has no account here, and so no mailbox")
        if about is About.OTHER and not all(person.account.other_programmes for person in people):
            raise Forbidden(f"{name} doesn't want messages about other programmes")
        await office.limits.attempt("message", client, partner)
        values: dict[str, Any] = {"client": office.snapshot.clients[client].name, "id": client, "about": about}
        values |= {"title": subject, "text": text}
        async with noted(office.registry, f"messages/{client}/{partner}", None, {"to": "partner", "about": about}, who):
            for person in people:
                await office.outbox.send(person.account.contact.email, "from_client", person.account.id, **values)

    async def to_client(self, partner: str, client: str, form: Mapping[str, str], who: str) -> None:
        """An approved partner writes to a client that lets its partners do so; `form` has subject and text.

        NotFound (no membership), InvalidForm, TooMany; Forbidden when it isn't approved, the client has opted out, or nobody
        would read it.
        """
        office = self._office
        status, shop = office.snapshot.members.get((client, partner)), office.snapshot.clients.get(client)
        if status is None or shop is None:
            raise NotFound(f"there is no client {client!r}")
        subject, text = _read(form)
        if status is not Status.APPROVED:
            raise Forbidden(f"{shop.name} hasn't approved you; only approved partners can write to it")
        if not shop.share_contact:
            raise Forbidden(f"{shop.name} takes no messages from partners")
        people = await office.people.of(Role.CLIENT, client)
        if not people:
            raise Forbidden(f"{shop.name} has no account here, and so no mailbox")
        await office.limits.attempt("message", "partner", partner, client)
        values: dict[str, Any] = {"partner": office.snapshot.partners[partner].name, "id": partner}
        values |= {"title": subject, "text": text}
        async with noted(office.registry, f"messages/{client}/{partner}", None, {"to": "client"}, who):
            for person in people:
                to = person.account.contact.email
                await office.outbox.send(to, "from_partner", person.account.id, author=partner, **values)


def _read(form: Mapping[str, str]) -> tuple[str, str]:
    read = SentForm(form)
    subject, text = read.text("subject"), read.text("text")
    read.done()
    return subject, text
