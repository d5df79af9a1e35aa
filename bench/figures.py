"""Figures of `make bench` as a file: a table a processor."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def merged(before: Figures, processor: str, table: Mapping[str, Any]) -> Figures:
    """The figures with this processor's table in the place of its old one; other processors' stay.

    A part that was not measured this time stays too, if it was by the same versions on as many cores.
    """
    old = before.get(processor, {})
    kept = old if old.get("machine") == table["machine"] else {}
    # Of `rows`, each setting is a part of its own.
    settings = {row["setting"] for row in table.get("rows", ())}
    rows = [row for row in kept.get("rows", ()) if row["setting"] not in settings]
    whole = {**kept, **table, "rows": [*rows, *table.get("rows", ())]}
    return dict(sorted({**before, processor: whole}.items()))


def write(path: Path, processor: str, table: Mapping[str, Any]) -> None:
    """Merge into the file."""
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(merged(before, processor, table), indent=1) + "\n")
