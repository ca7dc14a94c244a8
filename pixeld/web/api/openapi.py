"""One table of routes, from which both aiohttp's routes and their OpenAPI 3.1 document are made: they can't disagree."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from pixeld.web.api import schemas

JSON, PROBLEM = "application/json", "application/problem+json"
VERSION = "1"  #: of the interface; it grows when something that was there is taken away
_REFUSALS = {
    400: "A parameter or the body breaks a rule; `field` names it.",
    401: "No key, or one that is not valid (any more).",
    404: "There is no such thing among your own.",
    409: "It has changed since you saw it, or can't be changed any more; nothing was changed.",
    413: "The body is larger than any that would make sense.",
    429: "Too many requests with this key; `Retry-After` says when to go on.",
    503: "Something that is needed doesn't answer now; `Retry-After` says when to try again.",
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_NEXT = {"Link": {"description": 'The next page, `rel="next"`, if there is one.', "schema": {"type": "string"}}}
_DESCRIPTION = """\
What a client or a partner may read, as programs read it. The key says whose data this is: a client's own, with all its
partners, or a partner's own, at all its clients. Keys are made in the portal. Days are UTC's unless a time zone is given.
Money is decimal text in the currency beside it. Errors are `application/problem+json` (RFC 9457) with a stable `code`.\
"""


@dataclass(frozen=True, slots=True)
class Route:
    """One address and method. The handler's name is the operation's id; its docstring says what it does.

    `gives` are the bodies of a success by media type, `roles` who may ask (empty: everybody, without a key), `params` names of
    schemas.PARAMETERS, `own` what some of them are here instead, `takes` the JSON body. `fails` are statuses besides those
    that every route may have. `paged` replies may have a `Link` to the next page.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[..., Awaitable[web.StreamResponse]]
    gives: Mapping[str, schemas.Schema]
    roles: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    takes: schemas.Schema | None = None
    fails: tuple[int, ...] = ()
    paged: bool = False
    own: dict[str, schemas.Parameter] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0].rstrip(".")

    @property
    def refusals(self) -> list[int]:
        """The statuses of its problems."""
        always = (400, 401, 429, 503) if self.roles else ()
        wrong_role = (404,) if len(self.roles) == 1 else ()
        too_large = (413,) if self.takes is not None else ()
        return sorted({*always, *wrong_role, *too_large, *self.fails})


def document(routes: Iterable[Route], prefix: str) -> dict[str, Any]:
    """The OpenAPI document of `routes`, which are mounted at `prefix`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.1",
        "info": {"title": "pixeld for clients and partners", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": prefix}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.COMPONENTS,
            "responses": {str(status): _refusal(status) for status in _REFUSALS},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key from the portal: `pxk_…`. It is shown once."}
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {"operationId": route.handler.__name__, "summary": route.summary}
    if len(route.roles) == 1:
        said["description"] = f"For a {route.roles[0]}'s keys only."
    if not route.roles:
        said["security"] = []
    if route.params:
        said["parameters"] = [_parameter(name, *(schemas.PARAMETERS | route.own)[name]) for name in route.params]
    if route.takes is not None:
        said["requestBody"] = {"required": True, "content": {JSON: {"schema": route.takes}}}
    success: dict[str, Any] = {"description": "As asked.", "content": {kind: {"schema": s} for kind, s in route.gives.items()}}
    if route.paged:
        success["headers"] = _NEXT
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in route.refusals}
    return said | {"responses": {"200": success} | refusals}


def _parameter(name: str, schema: schemas.Schema, about: str) -> dict[str, Any]:
    listed = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return {"name": name, "in": "query", "required": False, "description": about, **listed, "schema": schema}


def _refusal(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {"description": _REFUSALS[status], "content": {PROBLEM: {"schema": schemas.ref("Problem")}}}
    return said | ({"headers": _RETRY} if status in (429, 503) else {})
