"""The pages of the documentation as tests read them: boxes, headings with their anchors, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.bundle import ROOT

FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")


def pages() -> list[Path]:
    """Return all pages of the project, those beside the code too."""
    below = (ROOT / "docs").rglob("*.md")
    return sorted([*below, *ROOT.glob("*.md"), ROOT / "backend" / "README.md", ROOT / "backend" / "deploy" / "README.md"])


@dataclass(frozen=True)
class Box:
    """What stands between two fences. `said` is the paragraph before it, `section` the heading that it is under."""

    section: str
    said: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines as a shell takes them: a line that ends with a backslash goes on, comments are none."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def boxes(page: Path) -> list[Box]:
    """Return the boxes of a page, in order."""
    return list(_boxes(page.read_text(encoding="utf-8")))


def _boxes(text: str) -> Iterator[Box]:
    for found in FENCE.finditer(text):
        before = _without_boxes(text[: found.start()])
        headings = HEADING.findall(before)
        said = " ".join(re.split(r"\n\s*\n|\n\0|^#.*$", before.rstrip(), flags=re.MULTILINE)[-1].split())
        yield Box(headings[-1] if headings else "", said, found[2], re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE))


def _without_boxes(text: str) -> str:
    return FENCE.sub("\0", text)


def anchors(page: Path) -> set[str]:
    """Return what may stand behind # in a link to a page, as GitHub makes it of the headings."""
    return {_anchor(title) for title in HEADING.findall(_without_boxes(page.read_text(encoding="utf-8")))}


def _anchor(title: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def links(page: Path) -> list[str]:
    """Return where a page's links and pictures lead, addresses of other sites left out."""
    text = re.sub(r"`[^`\n]*`", "", _without_boxes(page.read_text(encoding="utf-8")))
    found = [target for each in LINK.findall(text) for target in each if target]
    return [each for each in found if not re.match(r"[a-z]+:", each)]
