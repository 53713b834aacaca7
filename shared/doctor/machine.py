"""Checks of this machine: Python, and the libraries beside what is pinned."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from shared.doctor.finding import Finding, failed, ok, skipped, warning

OLDEST = (3, 11)


def python() -> Finding:
    """Return whether this Python is new enough."""
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        return failed("python", f"this is Python {here}, and 3.11 is the oldest that will do", "install a newer Python")
    return ok("python", f"Python {here}")


def libraries(pins: Path) -> Finding:
    """Return whether the libraries here are those that the functions are deployed with; `pins` is requirements.txt."""
    if not pins.is_file():
        return skipped("libraries", f"there is no {pins.name} beside sync.yaml")
    wanted = pinned(pins.read_text(encoding="utf-8"))
    other = sorted(_differing(wanted))
    if other:
        more = f" and {len(other) - 3} more" if other[3:] else ""
        cure = "`make check` sets up .venv as pinned"
        return warning("libraries", f"{', '.join(other[:3])}{more}: not as {pins.name} pins it", cure)
    return ok("libraries", f"{len(wanted)} libraries, each as {pins.name} pins it")


def pinned(text: str) -> Mapping[str, str]:
    """Return the versions that requirements.txt pins for every machine, by name; what only some need is left out."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE))


def _differing(wanted: Mapping[str, str]) -> Iterator[str]:
    for name, pin in wanted.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            here = "missing"
        if here != pin:
            yield f"{name} is {here}, not {pin}"
