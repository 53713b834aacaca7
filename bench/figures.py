"""What was measured: figures, the table of them, and results.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Target:
    """What a figure is to reach: `at_least` or `at_most` so much."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Return whether a figure reaches it."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@dataclass(frozen=True)
class Figure:
    """One row: what the repetitions gave, in `unit` ("" for ratios), and what it is to reach. `seconds` name the times that a
    ratio was made of; they say nothing about other machines."""

    part: str
    name: str
    values: Sequence[float]
    unit: str = ""
    target: Target | None = None
    note: str = ""
    seconds: dict[str, list[float]] | None = None

    @property
    def median(self) -> float:
        """The middle one of the repetitions."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None where there is none."""
        return None if self.target is None else self.target.met(self.median)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as results.json keeps it."""
        return {
            "part": self.part,
            "name": self.name,
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "repetitions": len(self.values),
            "unit": self.unit or "ratio",
            "target": str(self.target) if self.target else None,
            "met": self.met,
            "note": self.note,
            "seconds": self.seconds or {},
        }


def ratio(
    part: str,
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    named: tuple[str, str],
    target: Target | None = None,
    note: str = "",
    scale: float = 1.0,
) -> Figure:
    """Return the ratio of times that were measured in turn, repetition by repetition; `scale` makes up for other amounts."""
    values = [scale * one / other for one, other in zip(above, below, strict=True)]
    return Figure(part, name, values, "", target, note, dict(zip(named, (list(above), list(below)), strict=True)))


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table("part", "figure", "median", "min - max", "target", "note", show_lines=False)
    for each in figures:
        mark = {None: "", True: "", False: "  MISSED"}[each.met]
        spread = f"{shown(min(each.values))} - {shown(max(each.values))}" if len(each.values) > 1 else ""
        target = f"{each.target}{mark}" if each.target else ""
        table.add_row(each.part, each.name, f"{shown(each.median)} {each.unit}".strip(), spread, target, each.note)
    console.print(table)


def shown(value: float) -> str:
    """Return a number with as many digits as say something."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def keep(figures: Sequence[Figure], file: Path, **about: Any) -> None:
    """Write results.json."""
    body = about | {"figures": [each.as_json() for each in figures]}
    file.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
