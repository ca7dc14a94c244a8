"""The machine-readable page, ``/privacy.json``: the data map whole, in the words that it is written in."""

from __future__ import annotations

import json
from dataclasses import asdict

from pixeld.privacy.compact import compact_policy
from pixeld.privacy.datamap import DataMap

PRIVACY_JSON_PATH = "/privacy.json"


def privacy_json(data_map: DataMap) -> bytes:
    """UTF-8 JSON. Keys are those of the map; `compact_policy` is the P3P header's, and `kept_days` says for each table of the
    database how long its rows stay, null without limit. The same map gives the same bytes.
    """
    told = asdict(data_map) | {"compact_policy": compact_policy(data_map), "kept_days": data_map.kept_days}
    return json.dumps(told, ensure_ascii=False, indent=1).encode() + b"\n"
