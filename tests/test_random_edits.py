"""Random edits on both sides of the real stack, and a ledger that stands outside of it: nothing may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from real import Real
from town import Town

from local.django_users import DjangoUsers
from local.stack import Stack

pytestmark = pytest.mark.stack

KEYS = ("0101301111", "a/b", "þ%2F ð", "4")
AT = {"notes": "no.tes `&` þ"}


@pytest.fixture(scope="module", params=["stack", "stack_on_postgres"], ids=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Real]:
    """The stack on either database."""
    stack: Stack = request.getfixturevalue(request.param)
    assert stack.backend is not None
    client = stack.firestore()
    with DjangoUsers(stack.backend.env, stack.backend.manage_script) as users:
        yield Real(stack, users, client)
    client.close()


@pytest.mark.parametrize("seed", range(4))
def test_random_edits_end_the_same_on_both_sides_and_none_is_lost(anywhere: Real, seed: int) -> None:
    real = anywhere
    real.empty()
    town = Town(real.users, real.firestore, Random(seed), KEYS, AT)
    for _ in range(40):
        if town.dice.random() < 0.15:
            real.sync()
        else:
            town.edit()
    for _ in range(3):
        real.wait_for_triggers()
        real.sync("reconcile")
    real.wait_for_triggers()
    real.sync()
    assert real.moved(real.sync()) == 0
    assert real.rows("sync_dead_letters") == []
    assert town.in_django() == town.in_firestore()
    assert town.lost() == set()
