"""Where figures go: a page for each measurement, and the README's table, both written by the measurement itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "results"
_README = Path(__file__).parent.parent / "README.md"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def save(name: str, title: str, body: str) -> None:
    """Write `results/<name>.md`."""
    DIRECTORY.mkdir(exist_ok=True)
    (DIRECTORY / f"{name}.md").write_text(f"# {title}\n\n{body.strip()}\n")


def save_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the figures that a page is made from as `results/<name>.jsonl`, so that it can be made again without measuring."""
    DIRECTORY.mkdir(exist_ok=True)
    (DIRECTORY / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(name: str) -> list[dict[str, Any]]:
    """What save_rows wrote; [] when it hasn't."""
    file = DIRECTORY / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def put_in_readme(mark: str, text: str) -> None:
    """Replace what stands between `<!-- mark -->` and `<!-- /mark -->` in the README."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, rest = _README.read_text().split(start)
    _README.write_text(before + start + text.strip() + "\n" + end + rest.split(end)[1])
