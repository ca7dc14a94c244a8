"""One data map, and rendered from it the compact policy, the policy file and the page for people and for machines, which
cannot disagree.

Pure: no clock, no environment, no network, and of files only the two that this package ships. P3P has been
obsolete since 2018 and current browsers ignore it; what it states is binding all the same, so that nothing of
it is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from pixeld.errors import PolicyError
from pixeld.privacy.coherence import contradictions
from pixeld.privacy.compact import compact_policy, header, ie6_medium, lint, mozilla
from pixeld.privacy.datamap import DataMap, load
from pixeld.privacy.machine import PRIVACY_JSON_PATH, privacy_json
from pixeld.privacy.page import PAGE_STYLE, privacy_page
from pixeld.privacy.policyfile import render_policy_file
from pixeld.privacy.structure import check_policy_file

__all__ = [
    "PAGE_STYLE", "PRIVACY_JSON_PATH", "DataMap", "Policy", "check_policy_file", "compact_policy", "contradictions",
    "default_map", "header", "ie6_medium", "lint", "load", "mozilla", "privacy_json", "privacy_page", "render_policy_file",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy fit to be sent: free of lint and contradictions, well-formed, accepted by IE6 at Medium."""

    compact: str
    xml: bytes
    page: bytes
    json: bytes
    kept_days: Mapping[str, int | None]  #: of each table that the map names; None is without limit
    promises: Mapping[str, int | None]  #: the same of every place
    cookies: Mapping[str, int | None]  #: and of every cookie

    @classmethod
    def from_map(cls, data_map: DataMap) -> Policy:
        """Renders the map in every way. Raises one PolicyError that names every offending token and field."""
        compact, xml = compact_policy(data_map), render_policy_file(data_map)
        verdict = ie6_medium(compact)
        problems = [
            *contradictions(data_map),
            *map(str, lint(compact)),
            *check_policy_file(xml),
            *([] if verdict.accepted else [verdict.sentence]),
        ]
        if problems:
            intro = f'The privacy data map gives a policy that must not be sent, CP="{compact}":'
            raise PolicyError("\n  - ".join([intro, *problems]))
        page, json = privacy_page(data_map), privacy_json(data_map)
        return cls(compact, xml, page, json, data_map.kept_days, data_map.promises, data_map.cookies)

    def cookie_days(self, *names: str) -> int | None:
        """How long the map lets cookies of these names live; None where it sets no limit."""
        return min((days for name in names if (days := self.cookies.get(name)) is not None), default=None)


def default_map() -> DataMap:
    """The map that pixeld ships: ``config/privacy.toml``, also where there is no checkout to find it in."""
    return load(resources.files(__name__).joinpath("default.toml").read_bytes())
