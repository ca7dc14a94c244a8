"""The privacy page: what the data map promises, in prose, for the people it is about."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from pixeld.privacy import vocabulary
from pixeld.privacy.compact import POLICY_FILE_PATH, compact_policy
from pixeld.privacy.datamap import DataMap, Practice

_CONSENT = {"always": "", "opt-in": ", only if you agree", "opt-out": ", unless you object"}


def _days(kept_days: int | None) -> str:
    """How long a field stays, as a reader would say it."""
    if kept_days is None:
        return "without a time limit"
    return {0: "until the request is answered", 1: "1 day"}.get(kept_days, f"{kept_days} days")


def _say(practice: Practice, terms: dict[str, vocabulary.Term]) -> str:
    return terms[practice.name].prose + _CONSENT[practice.required]


# Everything in the map is text: autoescape, and an undefined name is an error rather than a gap in a legal
# statement.
_ENVIRONMENT = Environment(
    loader=PackageLoader("pixeld.privacy"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"days": _days, "say": _say}


def privacy_page(data_map: DataMap) -> bytes:
    """A whole HTML page, UTF-8, without script and without anything loaded from elsewhere."""
    page = _ENVIRONMENT.get_template("privacy.html").render(
        map=data_map, words=vocabulary, compact=compact_policy(data_map), policy_file=POLICY_FILE_PATH,
    )
    return page.encode()
