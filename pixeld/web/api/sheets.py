"""Rows as CSV (RFC 4180) that is safe to open in a spreadsheet: no cell of it is taken for a formula.

Sub-ids, order numbers and coupons are written by strangers. A spreadsheet evaluates what begins with = + - or @, some do after
white space, and where a semicolon separates cells, what stands behind one too. An apostrophe before it makes text of it
(OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/csv"
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_BLANK = r"(?:(?![\t\r\n])[\s\x00-\x20\x7f-\xa0\u200b-\u200f\ufeff])*"  # what a reader doesn't see, and a program may skip
# Where an apostrophe belongs: before a formula (also in full width) at the beginning or behind what may separate cells,
# and before TAB, CR and LF at the beginning.
_FORMULA = re.compile(rf"(?:^|(?<=[;\t\r\n]))(?={_BLANK}[=+\-@＝＋－＠])|^(?=[\t\r\n])")


def cell(value: Any) -> Any:
    """A value as a spreadsheet may have it. Numbers stay as they are, whatever their sign; a list is joined by spaces."""
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub("'", value)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A line of `columns`, and one for each row. A value that a row lacks, or that is None, is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(cell, columns))
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()
