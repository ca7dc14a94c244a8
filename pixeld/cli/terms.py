"""Options for what partners earn, shared by clients and memberships."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

_Callback = TypeVar("_Callback", bound=Callable[..., Any])


def terms_options(callback: _Callback) -> _Callback:
    """--commission, --flat, --from, --until, which `agreement` makes terms of."""
    for option in reversed(
        (
            click.option("--commission", metavar="PERCENT", help="What partners earn of an order's amount, e.g. 7.5%."),
            click.option("--flat", metavar="AMOUNT", help="What they earn for each order besides, e.g. 2.50."),
            click.option("--from", "from_day", metavar="DAY", help="First day (UTC) of these terms.  [default: always]"),
            click.option("--until", "until_day", metavar="DAY", help="Last day, inclusive.  [default: never ends]"),
        )
    ):
        callback = option(callback)
    return callback


def agreement(
    current: Callable[[], Sequence[Any]],
    commission: str | None,
    flat: str | None,
    from_day: str | None,
    until_day: str | None,
) -> list[dict[str, Any]] | None:
    """The terms that `current()` become by the options; None when none was given. On other days than theirs, all stays."""
    if commission is None and flat is None:
        if from_day or until_day:
            raise click.UsageError("say which terms hold on these days: --commission 7.5%, --flat 2.50 or both")
        return None
    from pixeld.domain.commission import Terms, amended

    new = Terms((commission or "0").removesuffix("%").strip(), flat or "0", from_day or "", until_day or "")
    return [terms.to_json() for terms in amended(Terms.listed(current(), stored=True), new)]


def told(found: Mapping[str, Any]) -> dict[str, Any]:
    """A client or a membership with its terms, if it has any, in words: 7.5% + 1.00 until 2026-03-31, 8% from 2026-04-01."""
    agreed = {"commission": [_told(terms) for terms in found["commission"]]} if "commission" in found else {}
    return {**found, **agreed}


def _told(terms: Mapping[str, str]) -> str:
    earned = {f"{terms['percent']}%": terms["percent"], terms["flat"]: terms["flat"]}
    earns = " + ".join(text for text, number in earned.items() if number.strip("0.")) or "nothing"
    return earns + "".join(f" {word} {day}" for word in ("from", "until") if (day := terms[f"{word}_day"]))
