"""Each page in both themes and on a phone: nothing serious for axe, no sideways scrolling, and a picture to look at."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from browser.chromium import DESK, PHONE, Opened, expect
from browser.scenes import ANNA, everything
from real import Real

from local.bundle import ROOT

pytestmark = pytest.mark.stack
PICTURES = ROOT / ".local" / "screenshots"
AXE = ROOT / "hosting" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "overview": ("/", "All is well|need you|needs you"),
    "runs": ("/#runs", "Latest"),
    "queue": ("/#queue", "555 3333"),
    "conflicts": ("/#conflicts", "555 1111"),
    "settled": ("/#conflicts/settled", "Keep this after all"),
    "letters": ("/#letters", "55555"),
    "record": (f"/#record/member/{ANNA}", "What happened"),
    "reconcile": ("/#reconcile", "Earlier ones"),
    "profile": (f"/profile#{ANNA}", "in conflict"),
}
UNFINISHED = re.compile("Loading …|Asking how|looking …|Looking …")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "light", "viewport": PHONE},
}


def serious(page: Any) -> list[str]:
    """Return what axe finds serious or critical; where, and why."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    bad = [each for each in found if each["impact"] in {"serious", "critical"}]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in bad for node in each["nodes"]]


def test_every_page_looks_right_in_both_themes_and_on_a_phone(opened: Opened, world: Real) -> None:
    everything(world)
    PICTURES.mkdir(parents=True, exist_ok=True)
    troubles: dict[str, Any] = {}
    for look, context in LOOKS.items():
        for name, (path, wanted) in PAGES.items():
            page = opened(path, **context)
            page.locator("#content", has_text=re.compile(wanted)).wait_for()
            expect(page.locator("progress")).to_have_count(0)
            expect(page.get_by_text(UNFINISHED)).to_have_count(0)
            expect(page.locator("button:disabled")).to_have_count(0)
            page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            troubles |= {f"{name}-{look}": each for each in (serious(page), wide and "scrolls sideways") if each}
            page.context.close()
    assert troubles == {}, json.dumps(troubles, indent=1, ensure_ascii=False)
