"""What the tenants' API demands and JSON Schema can't say: days in order and not too far apart, cursors that were given, orders
that there are, characters that Python's Unicode knows (a pattern goes by that of whoever reads it). Nor can a query tell a list
of one empty name from an empty list.
"""

import os
from datetime import date, timedelta

import schemathesis

from pixeld.domain.reports import DEFAULT_DAYS, MAX_DAYS


@schemathesis.hook
def before_load_schema(context, schema):
    """Every value of an enumeration is tried; of the 600 time zones a few will do."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "tz":
                    parameter["schema"]["enum"] = parameter["schema"]["enum"][::150]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Make a case that is meant to be right right in these, too, and one that is meant to be wrong wrong."""
    mode = case.meta and case.meta.generation.mode
    if mode is schemathesis.GenerationMode.NEGATIVE and case.query and case.query.get("by") in ("", [""]):
        case.query["by"] = "nothing"
    if mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if isinstance(case.body, dict) and len(case.body["order"]) % 2:
        case.body["order"] = f"A{len(case.body['order']) % 4}"
    if isinstance(case.body, dict) and not case.body.get("reason", "").isprintable():
        case.body["reason"] = "sent back"
    if query := case.query:
        if "cursor" in query:
            query["cursor"] = os.environ["PIXELD_CURSOR"]
        if "from" in query:
            first = date.fromisoformat(query["from"])
            last = date.fromisoformat(query["to"]) if "to" in query else date.today()
            if not 0 <= (last - first).days < MAX_DAYS:
                query["to"] = str(min(first + timedelta(days=DEFAULT_DAYS), date(2099, 12, 31)))
