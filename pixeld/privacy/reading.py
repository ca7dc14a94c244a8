"""Reading a TOML tree strictly: every key must be asked for, and every complaint joins one list.

Asking for a key is what makes it known, so that there is no second list of keys to keep in step. A refused
value is replaced by an empty one so that reading goes on; `Table.close` returns the complaints, and whoever
gets any must not use what was read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeVar

_Value = TypeVar("_Value")

# What XML 1.0 cannot carry (section 2.2 of its Recommendation), and other control characters, which no prose
# needs.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Shape(NamedTuple):
    """What a text must look like, and what to call that in a message."""

    pattern: re.Pattern[str]
    called: str


class Table:
    """One TOML table, at one place of the document."""

    def __init__(
        self, tree: Mapping[str, object], place: str = "", complaints: list[str] | None = None
    ) -> None:
        self._tree = tree
        self._place = place
        self._complaints: list[str] = [] if complaints is None else complaints
        self._asked: set[str] = set()
        self._children: list[Table] = []

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def close(self) -> list[str]:
        """Refuses keys that nobody asked for, here and below; returns every complaint about the document."""
        for key in self._tree:
            if key not in self._asked:
                self.complain(key, f"there is no such key. {nearest(key, self._asked)}")
        for child in self._children:
            child.close()
        return self._complaints

    def complain(self, key: str, what: str) -> None:
        self._complaints.append(f"{self._at(key)}: {what}")

    def text(self, key: str, *, default: str | None = None, shape: Shape | None = None) -> str:
        """Prose on one line (a run of white space becomes one space), or "" after a complaint."""
        value = self._take(key, str, "text in quotes", default)
        if value is None or key not in self:
            return value or ""
        text = " ".join(value.split())
        if not text:
            self.complain(key, "is empty. Fill it in, or leave the key out if it is optional.")
        elif _UNFIT.search(text):
            self.complain(key, "holds a control character, which XML cannot carry. Take it out.")
        elif shape and not shape.pattern.fullmatch(text):
            self.complain(key, f'"{text}" is not {shape.called}. Write one.')
        return text

    def word(self, key: str, known: Collection[str]) -> str:
        """One of the known words, or "" after a complaint."""
        value = self._take(key, str, f"one of {', '.join(known)}")
        return "" if value is None else self._known(key, value, known)

    def words(self, key: str, known: Collection[str], *, least: int = 1) -> tuple[str, ...]:
        """A list of known words without repetition; a list that may be empty may be left out."""
        words = self._list(key, str, "a list of words", least)
        for word in sorted({word for word in words if words.count(word) > 1}):
            self.complain(key, f'"{word}" stands there twice. Keep one.')
        return tuple(self._known(key, word, known) for word in words)

    def texts(self, key: str, shape: Shape) -> tuple[str, ...]:
        """Texts of one shape, without repetition; none if left out."""
        found = self._list(key, str, f"a list, each {shape.called}", 0)
        for text in sorted({text for text in found if found.count(text) > 1}):
            self.complain(key, f'"{text}" stands there twice. Keep one.')
        for text in found:
            if not shape.pattern.fullmatch(text):
                self.complain(key, f'"{text}" is not {shape.called}. Write one.')
        return tuple(found)

    def flag(self, key: str) -> bool:
        """True or false; false if left out."""
        return bool(self._take(key, bool, "true or false", False))

    def number(self, key: str, *, least: int) -> int:
        value = self._take(key, int, "a whole number")
        if value is not None and value < least:
            self.complain(key, f"{value} is less than {least}. Write {least} or more.")
        return least if value is None else value

    def optional_number(self, key: str, *, least: int) -> int | None:
        self._asked.add(key)
        return self.number(key, least=least) if key in self else None

    def table(self, key: str) -> Table:
        tree = self._take(key, dict, f"a table, [{self._at(key)}]")
        # What hangs below a missing table is not missing piece by piece: its complaints go nowhere.
        return Table({}) if tree is None else self._child(tree, self._at(key))

    def tables(self, key: str, *, least: int = 1) -> list[Table]:
        entries = self._list(key, dict, f"tables, [[{key}]]", least)
        return [self._child(tree, f"{self._at(key)}[{number}]") for number, tree in enumerate(entries)]

    def _at(self, key: str) -> str:
        return ".".join(part for part in (self._place, key) if part)

    def _child(self, tree: Mapping[str, object], place: str) -> Table:
        child = Table(tree, place, self._complaints)
        self._children.append(child)
        return child

    def _take(
        self, key: str, kind: type[_Value], called: str, default: _Value | None = None
    ) -> _Value | None:
        """The value if it is of this kind; the default if the key is absent; None after a complaint."""
        self._asked.add(key)
        if key not in self:
            if default is None:
                self.complain(key, f"is missing. Write {called}.")
            return default
        value = self._tree[key]
        if type(value) is kind:  # not isinstance: TOML's true is no whole number, though Python's is
            return value
        self.complain(key, f"is {value!r}. Write {called} instead.")
        return None

    def _list(self, key: str, kind: type[_Value], called: str, least: int) -> list[_Value]:
        entries: list[_Value] | None = self._take(key, list, called, None if least else [])
        if entries is None:
            return []
        if any(type(entry) is not kind for entry in entries):
            self.complain(key, f"holds something else. Write {called}.")
            return []
        if len(entries) < least:
            self.complain(key, f"is empty. Name at least {least}.")
        return entries

    def _known(self, key: str, word: str, known: Collection[str]) -> str:
        if word in known:
            return word
        self.complain(key, f'"{word}" is not known here. {nearest(word, known)}')
        return ""


def nearest(word: str, known: Collection[str]) -> str:
    """The remedy for a misspelt word: the known word most like it, or all of them if none is like it."""
    close = difflib.get_close_matches(word, known, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Choose from: {', '.join(sorted(known))}."
