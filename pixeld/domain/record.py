"""What stored things share: made from JSON and changed by JSON, every rule checked each time."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import MISSING, asdict, fields, replace
from typing import Any, Self

import orjson

from pixeld.errors import BadInput


class JsonRecord:
    """Base of frozen dataclasses whose fields are JSON values, or which `_converted` makes of those."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, in the order of its fields."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def from_store(cls, values: dict[str, Any]) -> Self:
        """A record that was stored, by this version or by a newer one, whose further fields are left alone."""
        known = _names(cls)
        return cls(**cls._converted({name: value for name, value in values.items() if name in known}, stored=True))

    @classmethod
    def from_json(cls, body: object) -> Self:
        """A new record. BadInput names the field that breaks a rule."""
        values = cls._values(body)
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]  # type: ignore[arg-type]
        if missing:
            raise BadInput(f"{missing[0]} is missing; a {cls.__name__.lower()} needs one", missing[0])
        return cls(**values)

    def changed(self, body: object) -> Self:
        """The record with some fields replaced. BadInput names the field that breaks a rule; an id never changes."""
        values = self._values(body)
        if "id" in values and values["id"] != self.id:  # type: ignore[attr-defined]
            raise BadInput("id cannot be changed: links and pixels out there carry it", "id")
        return replace(self, **values)  # type: ignore[type-var]

    @classmethod
    def _converted(cls, values: dict[str, Any], *, stored: bool) -> dict[str, Any]:
        """`values` with lists as the tuples that the fields hold. `stored` forgives what a newer version added."""
        return values

    @classmethod
    def _values(cls, body: object) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise BadInput("the body must be a JSON object")
        names = _names(cls)
        for key in body:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, 1)
                raise BadInput(f"unknown field {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""), str(key))
        return cls._converted(dict(body), stored=False)


def _names(cls: type) -> list[str]:
    return [f.name for f in fields(cls)]


def fingerprint(value: object) -> int:
    """A number of at most 15 digits that stands for a record's JSON value (None: no record), so that a change can say which
    one it was made from.
    """
    return int.from_bytes(hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()[:6])
