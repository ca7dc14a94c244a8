"""Handing a mail to an SMTP server."""

from __future__ import annotations

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP
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

_ENCODED = "=?"  # how an encoded word begins (RFC 2047)
_STEP_S = 20.0  # for each command; a mail takes three times that at most, whatever the server does
_OWN = (SMTPDataError, SMTPRecipientRefused, SMTPRecipientsRefused, SMTPSenderRefused)  # about this mail, not about the server


class Smtp:
    """A mail server at `url`: smtps://, or smtp://, where credentials are only ever sent behind STARTTLS.

    Without credentials, smtp:// encrypts where the server can, without asking who it is, as mail servers do among themselves.
    """

    def __init__(self, url: str, sender: str, step_s: float = _STEP_S) -> None:
        parts = urlsplit(url)
        self._sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2]
        self._whole_s = 3 * step_s
        # without a name, it would ask the DNS for this machine's, on the loop
        self._options = _options(parts) | {"timeout": step_s, "local_hostname": self._domain}

    async def send(self, letter: Letter) -> None:
        """Hand one over. NotSent says why not."""
        written = self._written(letter)
        sender = parseaddr(self._sender)[1]
        try:
            async with asyncio.timeout(self._whole_s):
                await aiosmtplib.send(written, sender=sender, recipients=[letter.to], **self._options)
        except _OWN as error:
            raise NotSent(f"the mail server refused it: {error}", away=False) from error
        except TimeoutError as error:
            raise NotSent("the mail server did not answer in time", away=True) from error
        except (SMTPException, OSError, ValueError) as error:
            raise NotSent(f"the mail server cannot be used: {type(error).__name__}: {error}", away=True) from error

    def _written(self, letter: Letter) -> bytes:
        """The mail as it is sent. A subject may be a stranger's: the email package takes `=?…?=` in it for its own encoding,
        and writes what that stands for, line breaks and all. In an address it stumbles over it.
        """
        message = EmailMessage()
        try:
            if _ENCODED in letter.to:
                raise ValueError
            message["From"], message["To"] = self._sender, letter.to
            message["Subject"] = letter.subject.replace(_ENCODED, "= ?")
            message["Date"], message["Message-ID"] = formatdate(letter.at_ms / 1000), f"<{letter.id}@{self._domain}>"
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(letter.body)
            return message.as_bytes(policy=SMTP)
        except Exception as error:  # its parser of headers stumbles with IndexError and others
            raise NotSent(f"it cannot be written as a mail: {type(error).__name__}", away=False) from error


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
    }
    if known:
        options |= {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    return options
