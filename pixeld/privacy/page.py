"""The privacy page: what the data map promises, in prose, for the people it is about."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pixeld.privacy import vocabulary
from pixeld.privacy.compact import POLICY_FILE_PATH, compact_policy
from pixeld.privacy.datamap import DataMap, Practice
from pixeld.privacy.machine import PRIVACY_JSON_PATH

_STYLE = resources.files(__package__).joinpath("templates", "privacy.css").read_text("utf-8")
#: The page's only style, as a source of a Content-Security-Policy: it stands in the page, which loads nothing.
PAGE_STYLE = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
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
        privacy_json=PRIVACY_JSON_PATH, style=Markup(_STYLE),  # noqa: S704 - our own
    )
    return page.encode()
