"""The simulation is itself tested: it finds every planted bug."""

from __future__ import annotations

import pytest

from simulation.plants import PLANTS
from simulation.selftest import findings, row


@pytest.mark.stack
@pytest.mark.timeout(1200)
def test_every_planted_bug_is_found() -> None:
    found = list(findings(list(PLANTS)))
    print("\n".join(map(row, found)))  # noqa: T201
    assert [each.bug for each in found if each.seeds is None] == []
    assert len(found) >= 40
