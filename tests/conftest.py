"""Real parts for the tests: one emulator for all, a backend where one is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.emulator import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The Firestore emulator, with no triggers. Every test takes a project of its own on it."""
    with Emulator() as running:
        yield running
