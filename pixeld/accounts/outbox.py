"""The outbox: mails that go, and mails that wait where an operator sees them."""

from __future__ import annotations

import asyncio
import builtins
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from pixeld.accounts.forms import normal
from pixeld.accounts.vault import Unopened
from pixeld.domain.ports import Record, Records
from pixeld.errors import AlreadyExists, Conflict, NotFound, PixeldError, Unavailable

log = logging.getLogger(__name__)
KEPT_S = 30 * 86_400.0  # then a mail is deleted, sent or not
_ROUND_S = 5.0  # how soon a mail from another server, or whose retry is due, is looked at
_CLAIM_S = 120.0  # how long a server has a mail to itself; a sending takes half of it at most
_AGAIN_S, _AGAIN_MOST_S = 60.0, 6 * 3600.0  # the first retry, and the longest pause; each is twice the last
_CHANGES = 20


class Letter(NamedTuple):
    """What is handed to the mail server. `id` is the same at every attempt."""

    id: str
    to: str
    subject: str
    body: str
    at_ms: int


class Mail(NamedTuple):
    """A mail of the last 30 days. Personal: for operators' eyes and the recipient's own."""

    id: str
    to: str
    subject: str
    body: str
    state: str  #: "kept" (there is no SMTP server), "waiting" (to be sent, perhaps again) or "sent"
    error: str  #: why the last attempt failed; empty
    attempts: int
    at_ms: int
    account_id: str  #: whom it is about; empty for somebody without an account


class NotSent(PixeldError):
    """The mail server didn't take a mail; the message says why, and may quote addresses. `away`: it would take none."""

    code = "not_sent"

    def __init__(self, message: str, *, away: bool) -> None:
        super().__init__(message)
        self.away = away


class Outbox:
    """Mails by template: `mails/<template>.txt`, whose first line is the subject.

    `post` hands a letter over, or raises NotSent; without one, mails are kept. `url` is where links lead. A mail's id begins
    with its time, so that the newest are found. Of all servers, the one whose claim is written sends a mail; where one dies
    between sending and noting it, the mail is sent again, under the same Message-ID.
    """

    def __init__(
        self, records: Records, clock: Callable[[], int], url: str, post: Callable[[Letter], Awaitable[None]] | None
    ) -> None:
        self._records, self._clock, self._url, self._post = records, clock, url, post
        loader = PackageLoader("pixeld.accounts", "mails")
        self._templates = Environment(  # noqa: S701 - plain text
            loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
        )
        self._new = asyncio.Event()
        self._done: set[str] = set()  # mails that need no further look
        self._sent: set[str] = set()  # mails that went, while Redis, which is to know it, is away

    async def send(
        self, to: str, template: str, account_id: str, *, once: tuple[str, int] | None = None, author: str = "", **values: Any
    ) -> str:
        """Put a mail into the outbox; its id. `url` is there for every template: where links lead. `author` is the id of a
        partner who wrote it.

        With `once`, an occasion's name and time, the account gets one mail for it, however often this is called.
        """
        subject, _, body = self._templates.get_template(f"{template}.txt").render(url=self._url, **values).partition("\n")
        name, now = once or (secrets.token_hex(6), self._clock())
        id = f"{now:013d}-{account_id or 'nobody'}-{name}"
        letter = {"to": to, "subject": subject, "body": body.strip() + "\n", "error": ""}
        value = {"letter": letter, "account": account_id, "at_ms": now, "attempts": 0, "next_ms": now, "author": author}
        try:
            state = "waiting" if self._post else "kept"
            await self._records.write("mail", id, value | {"state": state}, expected=0, ttl_s=KEPT_S)
        except AlreadyExists:
            if not once:
                raise
        self._new.set()
        return id

    async def list(self, count: int) -> builtins.list[Mail]:
        """The newest mails, newest first."""
        newest = (await self._records.ids("mail"))[::-1][:count]
        return [_mail(id, record) async for id, record in self._records.each("mail", newest)]

    async def read(self, id: str) -> Mail:
        """One mail. NotFound."""
        record = await self._records.read("mail", id)
        if record is None:
            raise NotFound("there is no such mail; they are kept for 30 days")
        return _mail(id, record)

    async def retry(self, id: str) -> None:
        """Let a mail that waits be tried again at once. NotFound; Conflict when it doesn't wait."""
        await self.read(id)
        record = await self._records.read("mail", id)
        if record is None or record.value["state"] != "waiting":
            raise Conflict("this mail isn't waiting: it was sent, or there is no mail server to send it")
        await self._change(id, {"next_ms": self._clock()})
        self._new.set()

    async def about(self, account_id: str, emails: set[str]) -> builtins.list[Mail]:
        """The mails of an account, and those to one of the addresses (in lower case)."""
        mails = [_mail(id, record) async for id, record in self._records.each("mail")]
        return [mail for mail in mails if mail.account_id == account_id or normal(mail.to) in emails]

    async def erase(self, account_id: str, emails: set[str]) -> None:
        """Delete them. One that is being sent right now still arrives."""
        for mail in await self.about(account_id, emails):
            await self._records.delete("mail", mail.id)

    async def erase_of(self, author: str) -> None:
        """Delete what a partner wrote."""
        async for id, record in self._records.each("mail"):
            if record.value.get("author") == author:
                await self._records.delete("mail", id)

    async def run(self) -> None:
        """Deliver, for ever."""
        while True:
            try:
                self._new.clear()
                await self.deliver()
            except Unavailable as error:
                log.warning("mails wait: the outbox cannot be read", extra={"reason": type(error).__name__})
            try:
                async with asyncio.timeout(_ROUND_S):
                    await self._new.wait()
            except TimeoutError:
                pass

    async def deliver(self) -> None:
        """Try once every mail whose time has come; when the mail server is away, one."""
        if self._post is None:
            return
        ids = await self._records.ids("mail")
        self._done &= set(ids)
        for id in ids:
            try:
                if id not in self._done and not await self._deliver(id, self._post):
                    break
            except Unopened:  # sealed under a key that was taken away too early; the others go all the same
                log.error("a mail cannot be opened, and is not sent", extra={"mail": id})
                self._done.add(id)

    async def _deliver(self, id: str, post: Callable[[Letter], Awaitable[None]]) -> bool:
        """Whether it makes sense to go on."""
        record, now = await self._records.read("mail", id), self._clock()
        if record is None:
            return True
        if id in self._sent:
            await self._note_sent(id)
            return True
        if record.value["state"] != "waiting":
            self._done.add(id)
            return True
        if record.value["next_ms"] > now:
            return True
        attempts = record.value["attempts"] + 1
        claim = record.value | {"attempts": attempts, "next_ms": now + int(_CLAIM_S * 1000)}
        try:
            await self._write(id, record, claim)
        except (Conflict, AlreadyExists):
            return True  # another server has it
        letter = record.value["letter"]
        try:
            await post(Letter(id, letter["to"], letter["subject"], letter["body"], record.value["at_ms"]))
        except NotSent as error:
            log.warning("a mail could not be sent and is tried again", extra={"mail": id, "attempts": attempts})
            pause_s = min(_AGAIN_S * 2 ** (attempts - 1), _AGAIN_MOST_S)
            again = {"letter": letter | {"error": str(error)}, "next_ms": self._clock() + int(pause_s * 1000)}
            await self._change(id, again)
            return not error.away
        self._sent.add(id)
        await self._note_sent(id)
        return True

    async def _note_sent(self, id: str) -> None:
        await self._change(id, {"state": "sent"})
        self._sent.discard(id)
        self._done.add(id)

    async def _change(self, id: str, changes: dict[str, Any]) -> None:
        """Nothing when it is there no more: whom it was about may have been removed meanwhile. Unavailable when others change
        it all the time.
        """
        for _ in range(_CHANGES):
            record = await self._records.read("mail", id)
            if record is None:
                return
            try:
                await self._write(id, record, record.value | changes)
                return
            except Conflict:
                continue
        raise Unavailable("others are changing this mail at this moment; please do it again in a minute")

    async def _write(self, id: str, record: Record, value: dict[str, Any]) -> None:
        await self._records.write("mail", id, value, expected=record.version, ttl_s=record.left_s)


def _mail(id: str, record: Record) -> Mail:
    kept = {name: record.value[name] for name in ("state", "attempts", "at_ms")}
    return Mail(id=id, account_id=record.value["account"], **kept, **record.value["letter"])
