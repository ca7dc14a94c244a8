"""The document of the tenants' API, its page, and the routes, which are made from one table."""

import re
from datetime import date

import jsonschema_rs
import pytest

from pixeld.domain.reports import OrdersQuery, PerformanceQuery
from pixeld.errors import BadInput
from pixeld.web.api import apidocs, schemas, tenants
from pixeld.web.api.openapi import document

DOCUMENT = document(tenants.ROUTES, tenants.PREFIX)
OPERATIONS = {(method.upper(), path): o for path, methods in DOCUMENT["paths"].items() for method, o in methods.items()}
PAGE = apidocs.page(DOCUMENT)


def test_the_document_has_every_route_and_no_other():
    app = tenants.application(None)
    routes = {(r.method, r.resource.canonical) for r in app.router.routes()} - {("GET", "/docs.css")}
    assert {route for route in routes if route[0] != "HEAD"} == set(OPERATIONS)
    assert all(operation["summary"] for operation in OPERATIONS.values())
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


def test_only_the_description_itself_needs_no_key():
    assert {path for (_, path), operation in OPERATIONS.items() if operation.get("security") == []} == {"/openapi.json", "/docs"}


@pytest.mark.parametrize("name", schemas.COMPONENTS)
def test_a_schema_is_one(name):
    jsonschema_rs.meta.validate(dict(schemas.COMPONENTS[name]) | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_page_shows_it(method, path):
    operation = OPERATIONS[method, path]
    assert f"<code>{method} {tenants.PREFIX}{path}</code>" in PAGE
    for parameter in operation.get("parameters", ()):
        assert f"<code>{parameter['name']}</code>" in PAGE


def test_the_page_needs_nothing_from_elsewhere_and_leads_nowhere_wrong():
    assert "<script" not in PAGE and "http://" not in PAGE and "https://" not in PAGE and "style=" not in PAGE
    assert set(re.findall(r'href="#([^"]+)"', PAGE)) <= set(re.findall(r'id="([^"]+)"', PAGE))


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("from", "2000-01-01", True),
        ("from", "1999-12-31", False),
        ("to", "2099-12-31", True),
        ("to", "2100-01-01", False),
        ("to", "2027-1-1", False),
        ("limit", 1, True),
        ("limit", 0, False),
        ("limit", 1000, True),
        ("limit", 1001, False),
        ("by", ["day", "month", "client", "s1", "s2", "s3"], True),
        ("by", ["day", "month", "client", "s1", "s2", "s3", "s4"], False),
        ("by", ["day", "day"], False),
        ("by", ["shoe"], False),
        ("by", [], True),
        ("client", "a" * 32, True),
        ("client", "a" * 33, False),
        ("client", "-a", False),
        ("partner", "", False),
        ("tz", "Europe/Berlin", True),
        ("tz", "Europe/Nowhere", False),
        ("quality", "human", True),
        ("quality", "bot", False),
        ("status", "rejected", True),
        ("status", "paid", False),
    ],
)
def test_the_document_and_the_parser_have_the_same_limits(name, value, fits):
    schema = DOCUMENT["paths"]["/performance" if name in ("by", "quality") else "/orders"]["get"]["parameters"]
    schema = next(parameter["schema"] for parameter in schema if parameter["name"] == name)
    assert jsonschema_rs.is_valid(dict(schema), value) is fits
    text = ",".join(value) if isinstance(value, list) else str(value)
    query = PerformanceQuery if name in ("by", "quality") else OrdersQuery
    params = {name: text} | ({"to": "2000-01-01"} if name == "from" else {})
    if fits:
        query.parse(params, date(2027, 1, 15))
    else:
        with pytest.raises(BadInput) as told:
            query.parse(params, date(2027, 1, 15))
        assert told.value.field == name
