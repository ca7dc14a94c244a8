"""What people may type into forms: the table of all fields, and sentences about what is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from pixeld.domain.tokens import ID
from pixeld.errors import InvalidForm

_ID = re.compile(ID, re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# What a browser takes for <input type=email> (HTML standard), with a name of a host that has a dot.
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Field(NamedTuple):
    """A text of `least` to `most` characters, of several lines if `lines`. `what` begins the sentence about it."""

    what: str
    least: int
    most: int
    lines: bool = False


FIELDS = {
    "partner_id": Field("The id", 1, 32),
    "name": Field("The name", 1, 200),
    "contact_name": Field("The name of a person", 1, 200),
    "email": Field("The e-mail address", 3, 254),
    "postal": Field("The address", 0, 1000, lines=True),
    "site": Field("The site", 0, 500),
    "promotion": Field("How you promote", 0, 4000, lines=True),
    "summary": Field("The summary", 1, 4000, lines=True),
    "question": Field("The question", 0, 1000, lines=True),
    "subject": Field("The subject", 1, 200),
    "text": Field("The message", 1, 4000, lines=True),
}


class SentForm:
    """A form that is being read: `text` gives a field, `wrong` notes what is wrong with one, `done` raises InvalidForm if
    anything was.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values, self.problems = values, dict[str, str]()

    def text(self, name: str) -> str:
        """A field of the table: without space around it, its line breaks plain ones."""
        value = self.raw(name).replace("\r\n", "\n").replace("\r", "\n").strip()
        if problem := _problem(name, value):
            self.wrong(name, problem)
        return value

    def raw(self, name: str) -> str:
        """A field as it came, such as a password; empty when it didn't."""
        value = self._values.get(name, "")
        return value if isinstance(value, str) else ""

    def has(self, name: str) -> bool:
        """Whether the field came."""
        return name in self._values

    def wrong(self, name: str, problem: str | None) -> None:
        """Note a problem, if it is one and the field has none yet."""
        if problem:
            self.problems.setdefault(name, problem)

    def agreed(self) -> None:
        """The terms must be accepted."""
        self.wrong("terms", None if self.raw("terms") == "yes" else "Without agreeing to the terms there can be no account.")

    def only(self, names: Iterable[str]) -> None:
        """No other fields may have come."""
        for name in self._values:
            self.wrong(name, None if name in names else "This cannot be changed here.")

    def done(self) -> None:
        """InvalidForm when anything is wrong."""
        if self.problems:
            raise InvalidForm(self.problems)


def normal(email: str) -> str:
    """One spelling for each e-mail address, for comparing. No mail provider at hand tells letters' case apart."""
    return email.strip().lower()


def _problem(name: str, value: str) -> str | None:
    field = FIELDS[name]
    if len(value) < field.least:
        return f"{field.what} is missing."
    if len(value) > field.most:
        return f"{field.what} may have {field.most:,} characters; this has {len(value):,}."
    if _CONTROL.search(value) or ("\n" in value and not field.lines):
        return f"{field.what} has characters that cannot be printed; please type it anew."
    if name == "name" and not value.isprintable():  # the registry's rule, told before a mail is sent
        return "The name has characters that nobody sees; please type it anew."
    if name == "partner_id" and _ID.fullmatch(value) is None:
        return "The id may have letters a-z, digits and hyphens, and begins with a letter or digit; for example my-blog."
    # "=?" begins an encoded word of a mail's header: nobody's address, and read as something else.
    if name == "email" and (_EMAIL.fullmatch(value) is None or ".." in value or "=?" in value):
        return "This is not an e-mail address such as anna@example.com."
    if name == "site" and value and not _is_site(value):
        return "This is not an address of a web site such as https://blog.example/."
    return None


def _is_site(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and " " not in value
    except ValueError:
        return False
