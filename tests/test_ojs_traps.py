"""Every numbered trap of OJS's REST API has tests that bear its number, and no test bears a number that is none."""

from __future__ import annotations

import re
from pathlib import Path

TRAPS = {
    "1": "addresses, tokens, and errors that differ by version",
    "2": "lists: paging, order, clocks, and what moves none",
    "2a": "what of another journal is shown",
    "3": "the records: what lists leave out, what versions write otherwise, secrets among them",
    "4_1": "a new submission: no external id, a second one after a lost answer",
    "4_2": "changes of a publication: merged by language, replaced whole, dropped without a word, refused once published",
    "4_3": "contributors: a call for each, no way in 3.3",
    "4_4": "finishing a draft sends e-mail",
    "5": "no webhooks",
    "6": "limits, proxies, pages in place of data",
}
FILES = sorted(Path(__file__).parent.glob("test_ojs_*.py"))


def test_every_numbered_trap_has_a_test_of_its_number() -> None:
    named = {found for path in FILES for found in re.findall(r"^def test_trap_(\d(?:a|_\d)?)_", path.read_text(), re.MULTILINE)}
    assert named - {"4"} == set(TRAPS), "4 alone stands for what no version can write at all"
