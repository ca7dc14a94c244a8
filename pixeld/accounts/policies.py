"""Versions of the privacy policy: what changed, who was told, who consented."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from pixeld.accounts.account import Account
from pixeld.accounts.audit import noted
from pixeld.accounts.forms import SentForm
from pixeld.accounts.outbox import Outbox
from pixeld.accounts.people import People, Person
from pixeld.accounts.vault import Unopened
from pixeld.domain.ports import Records, Registry
from pixeld.errors import AlreadyExists, Conflict, NotFound, Unavailable

log = logging.getLogger(__name__)
_FIRST = "The first version."
_ATTEMPTS = 20
_ROUND_S = 60.0


class PolicyVersion(NamedTuple):
    """One version. Where `changes_use`, personal data is used anew, and `question` asks each user whether it may be theirs."""

    number: int  #: from 1
    posted_ms: int  #: 0 for the first version, which is there from the start
    summary: str
    changes_use: bool
    question: str


class Policies:
    """The versions, newest last. Version 1 is there before any is posted. `clock()` is milliseconds since 1970."""

    def __init__(
        self, records: Records, people: People, outbox: Outbox, registry: Registry, clock: Callable[[], int]
    ) -> None:
        self._records, self._people, self._outbox, self._registry = records, people, outbox, registry
        self._clock = clock

    async def current(self) -> PolicyVersion:
        """The newest version."""
        return (await self.history())[0]

    async def history(self) -> list[PolicyVersion]:
        """Every version, newest first."""
        found = [PolicyVersion(1, 0, _FIRST, False, "")]
        async for id, record in self._records.each("policy"):
            value = record.value
            found.append(PolicyVersion(int(id), value["posted_ms"], value["summary"], value["changes_use"], value["question"]))
        return sorted(found, reverse=True)

    async def post(
        self, summary: str, changes_use: bool, question: str, who: str, *, seen: int | None = None
    ) -> PolicyVersion:
        """Post a new version and notify every account by mail. InvalidForm (summary, question); Conflict when `seen` isn't the
        newest one any more.
        """
        read = SentForm({"summary": summary, "question": question})
        value = {"summary": read.text("summary"), "question": read.text("question"), "changes_use": changes_use}
        if changes_use and not value["question"]:
            read.wrong("question", "Ask what you want consent for: a change in how personal data is used needs it.")
        if not changes_use and value["question"]:
            read.wrong("question", "A change that asks a question changes how personal data is used; say so.")
        read.done()
        value |= {"posted_ms": self._clock(), "notified": False}
        for _ in range(_ATTEMPTS):
            newest = (await self.current()).number
            if seen not in (None, newest):
                raise Conflict(f"Version {newest} was posted since you opened this page (or by you): nothing was posted now.")
            number = newest + 1
            try:
                async with noted(self._registry, f"policies/{number}", None, {"changes_use": changes_use}, who):
                    await self._records.write("policy", str(number), value, expected=0)
            except AlreadyExists:
                continue
            await self.notify()
            return next(version for version in await self.history() if version.number == number)
        raise Conflict("others post versions at the same moment; nothing was posted, please try again")

    async def notify(self) -> None:
        """Notify those who have not been yet. Whatever interrupts it, everybody gets one mail a version."""
        for id in await self._records.ids("policy"):
            record = await self._records.read("policy", id)
            if record is None or record.value["notified"]:
                continue
            for person in await self._people.all():
                account = person.account
                if account.state == "active" and account.created_ms <= record.value["posted_ms"]:
                    values = {name: record.value[name] for name in ("summary", "changes_use")}
                    occasion = (f"policy{id}", record.value["posted_ms"])
                    await self._outbox.send(account.contact.email, "policy", account.id, once=occasion, **values)
            try:
                await self._records.write("policy", id, record.value | {"notified": True}, expected=record.version)
            except Conflict:
                pass  # another server has just done the same

    async def run(self) -> None:
        """Notify, for ever, those whom an interrupted `post` left out."""
        while True:
            try:
                await self.notify()
            except (Unavailable, Unopened) as error:
                log.warning("users are not notified of the policy yet", extra={"reason": type(error).__name__})
            await asyncio.sleep(_ROUND_S)

    async def consent(self, account: Account, version: int, answer: bool) -> Account:
        """Remember an answer to a version's question; it may be given anew. NotFound for a version that asks nothing."""
        if not any(found.number == version and found.changes_use for found in await self.history()):
            raise NotFound(f"version {version} of the privacy policy asks nothing")

        def answered(person: Person) -> Person:
            accepted = max(person.account.accepted, version) if answer else person.account.accepted
            return person.with_(accepted=accepted, uses={**person.account.uses, version: answer})

        what, before = f"accounts/{account.id}/consent/{version}", account.uses.get(version)
        async with noted(self._registry, what, before, answer, account.who):
            return (await self._people.change(account.id, answered)).account

    async def question_for(self, account: Account) -> PolicyVersion | None:
        """The oldest version whose question the account has to answer; None when it has none."""
        for version in reversed(await self.history()):
            if version.changes_use and version.number > account.accepted and version.number not in account.uses:
                return version
        return None

    async def newest_use(self) -> int:
        """The newest version that changed how personal data is used; 0 if none has."""
        return next((version.number for version in await self.history() if version.changes_use), 0)
