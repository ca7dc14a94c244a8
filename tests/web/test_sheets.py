"""CSV that a spreadsheet can be trusted with: what strangers wrote is text there, never a formula."""

import csv
import io

import pytest

from pixeld.web.api.sheets import cell, csv_text


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        pytest.param("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0", id="equals"),
        pytest.param("+1-555", "'+1-555", id="plus"),
        pytest.param("-2+3+cmd|'/c calc'!A0", "'-2+3+cmd|'/c calc'!A0", id="minus"),
        pytest.param("@SUM(1+1)", "'@SUM(1+1)", id="at"),
        pytest.param("\tx", "'\tx", id="tab"),
        pytest.param("\rx", "'\rx", id="carriage return"),
        pytest.param("\t=1", "'\t'=1", id="behind a tab"),
        pytest.param("\n=1", "'\n'=1", id="behind a line break"),
        pytest.param("  =1", "'  =1", id="behind spaces"),
        pytest.param("\xa0=1", "'\xa0=1", id="behind a no-break space"),
        pytest.param("\ufeff=1", "'\ufeff=1", id="behind a byte order mark"),
        pytest.param("\x00=1", "'\x00=1", id="behind a NUL"),
        pytest.param("＝1", "'＝1", id="full width"),
        pytest.param("a;=1", "a;'=1", id="behind a semicolon, which separates in Germany"),
        pytest.param('a";@x', "a\";'@x", id="behind a quote and a semicolon"),
        pytest.param("a\r\n-1", "a\r\n'-1", id="on a second line"),
        pytest.param("a=b", "a=b", id="in the middle"),
        pytest.param("summer-sale", "summer-sale", id="a hyphen in a word"),
        pytest.param("-1.50", "-1.50", id="a negative number"),
        pytest.param("+5", "+5", id="a number with its sign"),
        pytest.param("-", "'-", id="a sign alone"),
        pytest.param("-1e5", "'-1e5", id="no plain number"),
        pytest.param("-٣", "'-٣", id="digits that aren't ASCII"),
        pytest.param(-3, -3, id="an integer"),
        pytest.param(None, None, id="nothing"),
        pytest.param(["conflict", "late"], "conflict late", id="a list"),
        pytest.param(["=1"], "'=1", id="a list of formulas"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_cell_is_no_formula(value, safe):
    assert cell(value) == safe


def test_rows_have_every_column_and_quotes_where_they_must():
    text = csv_text(["a", "=b"], [{"a": 'x"y,z', "=b": "l1\nl2"}, {"a": None}])
    assert text == 'a,\'=b\r\n"x""y,z","l1\nl2"\r\n,\r\n'
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "'=b"], ['x"y,z', "l1\nl2"], ["", ""]]
