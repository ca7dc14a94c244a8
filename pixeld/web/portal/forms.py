"""A form on a page: what is in its fields, what is wrong with them, and what somebody else has saved meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from pixeld.errors import AlreadyExists, BadInput, InvalidForm
from pixeld.web.portal import keys


class Change(NamedTuple):
    """A field that two people have changed: what stands now, and what was typed."""

    label: str
    stands: str
    typed: str


@dataclass(frozen=True, slots=True)
class Form:
    """`values` are shown in the fields (never in those for passwords), `problems` beside them and above the form.

    `changes` is what a conflict was about; the form is then shown with the version that stands, so that sending it again is
    a decision and no accident.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    @classmethod
    def again(cls, request: web.Request, error: BadInput | AlreadyExists, taken: str = "") -> Form:
        """The form as it was sent, with what is wrong with it: about all of it, where it is no field that was sent, then by
        field, in the order of the page. `taken` is the field whose value there must not be twice.
        """
        sent = posted(request)
        if isinstance(error, InvalidForm):
            problems = error.problems
        else:
            field = error.field if isinstance(error, BadInput) else taken
            problems = {field if field and field in sent else "": str(error)}
        places = {name: place for place, name in enumerate(["", *sent])}
        # A box that isn't ticked is not sent, and stands at the end of its form.
        return cls(sent, {name: problems[name] for name in sorted(problems, key=lambda name: places.get(name, len(places)))})

    def conflict(self, stands: Mapping[str, str], version: int, labels: Mapping[str, str]) -> Form:
        """The form as it was sent, beside what stands now under `version`; `labels` names the fields to compare."""
        changes = tuple(
            Change(label, stands.get(name, ""), self.values.get(name, ""))
            for name, label in labels.items()
            if stands.get(name, "") != self.values.get(name, "")
        )
        return Form({**self.values, "version": str(version)}, changes=changes)


def posted(request: web.Request) -> dict[str, str]:
    """The fields of a POST, without the token; of one that is there twice, the last."""
    return request[keys.POSTED]


def version(request: web.Request) -> int:
    """The version that the form was made from. BadInput when it isn't a number, which no form of ours sends."""
    text = posted(request).get("version", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadInput("This form lacks the version that it was made from. Load the page again.")
    return int(text)
