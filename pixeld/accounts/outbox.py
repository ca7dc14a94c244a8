"""The outbox: mails that go, and mails that wait where an operator sees them."""

from __future__ import annotations

from typing import Any, NamedTuple


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


class Outbox:
    """Mails by template: `mails/<template>.txt`, whose first line is the subject."""

    async def send(self, to: str, template: str, account_id: str, **values: Any) -> str:
        """Put a mail into the outbox; its id. `url` is there for every template: where links lead."""
        raise NotImplementedError

    async def list(self, count: int) -> list[Mail]:
        """The newest mails, newest first."""
        raise NotImplementedError

    async def read(self, id: str) -> Mail:
        """One mail. NotFound."""
        raise NotImplementedError

    async def deliver(self) -> None:
        """Try once every mail whose time has come."""
        raise NotImplementedError

    async def run(self) -> None:
        """Deliver, for ever."""
        raise NotImplementedError
