"""Handing a mail to an SMTP server."""

from __future__ import annotations

import asyncio
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib
from aiosmtplib.errors import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)

from pixeld.accounts.outbox import Letter, NotSent

_STEP_S = 20.0  # for each command
_WHOLE_S = 60.0  # for a mail, whatever the server does
_OWN = (SMTPDataError, SMTPRecipientRefused, SMTPRecipientsRefused, SMTPSenderRefused)  # about this mail, not about the server


class Smtp:
    """A mail server at `url`: smtps://, or smtp://, where credentials are only ever sent behind STARTTLS.

    Without credentials, smtp:// encrypts where the server can, without asking who it is, as mail servers do among themselves.
    """

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self._sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2]
        self._options = _options(parts)

    async def send(self, letter: Letter) -> None:
        """Hand one over. NotSent says why not; after 60 s at the latest."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, letter.to, letter.subject
        message["Date"], message["Message-ID"] = formatdate(), f"<{letter.id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.body)
        try:
            async with asyncio.timeout(_WHOLE_S):
                await aiosmtplib.send(message, **self._options)
        except _OWN as error:
            raise NotSent(f"the mail server refused it: {error}", away=False) from error
        except TimeoutError as error:
            raise NotSent("the mail server did not answer in time", away=True) from error
        except (SMTPException, OSError, ValueError) as error:
            raise NotSent(f"the mail server cannot be used: {type(error).__name__}: {error}", away=True) from error


def _options(parts: SplitResult) -> dict[str, Any]:
    implicit = parts.scheme == "smtps"
    known = bool(parts.username)
    context = ssl.create_default_context()
    if not implicit and not known:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    options: dict[str, Any] = {
        "hostname": parts.hostname,
        "port": parts.port or (465 if implicit else 587),
        "use_tls": implicit,
        "start_tls": False if implicit else True if known else None,
        "tls_context": context,
        "timeout": _STEP_S,
    }
    if known:
        options |= {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    return options
