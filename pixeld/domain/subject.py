"""Whom or what an erasure or an export is about: a click, an order or a partner; and what is held, whoever it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

import orjson

from pixeld.domain.events import decode
from pixeld.domain.orders import MAX_ID
from pixeld.domain.tokens import ID
from pixeld.errors import BadInput

_FORM = 'name exactly one: {"click_id": "…"}, {"order": "CLIENT/ORDER"} or {"partner": "…"}'


class What(StrEnum):
    """The three that can be named."""

    CLICK = "click_id"
    ORDER = "order"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """One of them. `client` is an order's, empty otherwise. Its repr says nothing, so that no log does."""

    what: What
    id: str
    client: str = ""

    @classmethod
    def parse(cls, asked: object) -> Subject:
        """Read `{"click_id": …}`, `{"order": "CLIENT/ORDER"}` or `{"partner": …}`. BadInput for anything else."""
        if not isinstance(asked, Mapping) or len(asked) != 1 or next(iter(asked)) not in tuple(What):
            raise BadInput(_FORM)
        ((name, text),) = asked.items()
        what, client = What(name), ""
        if not isinstance(text, str) or not text.isprintable():
            raise BadInput(f"{name} must be a text", name)
        if what is What.ORDER:
            client, _, text = text.partition("/")
            if re.fullmatch(ID, client, re.ASCII) is None or not text:
                raise BadInput("order must be CLIENT/ORDER, such as shop/4711", name)
        if what is What.PARTNER and re.fullmatch(ID, text, re.ASCII) is None:
            raise BadInput(f"{text!r} is no partner's id", name)
        if not 1 <= len(text) <= MAX_ID:  # a click id has 64
            raise BadInput(f"{name} must have 1 to {MAX_ID} characters", name)
        return cls(what, text, client)

    @property
    def text(self) -> str:
        """As it was asked for."""
        return f"{self.client}/{self.id}" if self.what is What.ORDER else self.id

    @property
    def digest(self) -> str:
        """SHA-256 of `text`, in hexadecimal: all that is written down of a subject, in the proof and in statements, which
        ClickHouse keeps in its own files.
        """
        return sha256(self.text.encode()).hexdigest()

    def is_in(self, data: bytes) -> bool:
        """Whether one of encoded events is about it; of a line that can't be read, whether its whole name stands there. Of a
        partner's, its clicks and impressions: orders are what it is owed.
        """
        return self.without(data) != data

    def without(self, data: bytes) -> bytes:
        """Encoded events without those about it, all others as they were. A click's orders stay, as the shop's own facts, and
        forget which click it was.
        """
        return b"".join(map(self._left, data.splitlines(keepends=True)))

    def within(self, data: bytes) -> bytes:
        """Of encoded events, those about it."""
        return b"".join(line for line in data.splitlines(keepends=True) if self.is_in(line))

    def _left(self, line: bytes) -> bytes:
        """What stays of one event's line."""
        try:
            found = list(decode(line))
        except ValueError:
            return b"" if all(_named(name, line) for name in filter(None, (self.client, self.id))) else line
        for kind, values in found:
            event = dict(zip(kind.columns, values, strict=True))
            if self._is(event):
                if self.what is What.CLICK and "order_id" in event:
                    return kind.encode(*{**event, "click_id": "", "clicked_at": 0}.values())
                return b""
        return line

    def _is(self, event: Mapping[str, str | int]) -> bool:
        if self.what is What.PARTNER:
            return event.get("partner") == self.id and "s1" in event
        if self.what is What.ORDER:
            return (event.get("client"), event.get("order_id")) == (self.client, self.id)
        return event.get("click_id") == self.id


def _named(name: str, line: bytes) -> bool:
    """Whether a line that can't be read has a name in it that is not a part of a longer one."""
    return re.search(rb"(?<![\w-])%b(?![\w-])" % re.escape(orjson.dumps(name)[1:-1]), line, re.ASCII) is not None


class Contents(NamedTuple):
    """What lies at one place, whoever it is about. A place is written as the data map writes it: `clickhouse:clicks`,
    `redis:pixeld:{accounts}:account:*`, `file:spill/*`.
    """

    place: str
    number: int  #: of rows, keys, entries or files
    oldest_ms: int | None  #: milliseconds since 1970; None where there is nothing, or nobody can tell
