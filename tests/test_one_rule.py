"""Two implementations of one rule: the library's and the backend's must say the same of every change.

The backend never imports the library, so the rule is written down twice; its pure modules need no Django.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import canonical
from shared.merge import merge
from shared.model import Action, Change, Conflict, RecordId, Stamp, Value, Version
from shared.policy import Mode, decide

BACKEND = Path(__file__).resolve().parents[1] / "backend"
RULES = settings(max_examples=1500, derandomize=True, database=None, deadline=None)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    """The backend's rule, as it lies."""
    sys.path.insert(0, str(BACKEND))
    from syncqueue import merge, versions

    yield merge, versions
    sys.path.remove(str(BACKEND))


def at(second: int, origin: str) -> Stamp:
    return Stamp(f"2026-01-01T00:00:{second:02d}.000000Z|{origin}")


stamps = st.builds(at, st.integers(1, 6), st.sampled_from(["django", "firestore"]))
values = st.builds(Value, st.sampled_from([None, True, 0, 1, 1.0, "x", "y", [1]]), stamps)
live = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
held = st.builds(Version, live, st.none() | stamps).map(lambda each: merge(each, Version()))
changes = st.builds(
    Change,
    st.just("c"),
    st.just(RecordId("thing", "x")),
    st.just(Action.UPDATE),
    st.dictionaries(st.sampled_from(NAMES), values),
    st.dictionaries(st.sampled_from(NAMES), st.none() | stamps),
    st.none() | stamps,
    st.dictionaries(st.sampled_from(NAMES), stamps),
).filter(lambda change: bool(change.stamps))


def theirs(backend: Any, local: Version, change: Change, mode: Mode) -> Any:
    """Return what the backend decides."""
    rule, versions = backend
    here = versions.Held(
        {name: each.stamp for name, each in local.fields.items()},
        {name: each.value for name, each in local.fields.items()},
        local.deleted,
    )
    sent = versions.Change(
        change.id,
        "thing",
        "",
        "x",
        "update",
        {name: each.value for name, each in change.fields.items()},
        change.latest,
        {name: each.stamp for name, each in change.fields.items()},
        change.deleted,
        change.base,
        change.deleted_base,
    )
    return rule.decide(here, sent, str(mode), NAMES)


def side(each: Any) -> tuple[str, str | None]:
    """Return a conflict's side of either implementation: its stamp, and its value if it has one."""
    if isinstance(each, str):
        return each, None
    return each.stamp, canonical(each.value) if getattr(each, "has_value", True) else None


def shown(conflict: Conflict | Any) -> tuple[object, ...]:
    return conflict.field, conflict.winner, side(conflict.local), side(conflict.incoming)


@RULES
@given(held, changes, st.sampled_from(Mode))
def test_the_library_and_the_backend_decide_alike(backend: Any, local: Version, change: Change, mode: Mode) -> None:
    mine, other = decide(local, change, mode), theirs(backend, local, change, mode)
    assert str(mine.outcome) == other.outcome
    assert set(mine.applied) == set(other.applied)
    assert mine.version.deleted == other.held.deleted
    assert {name: each.stamp for name, each in mine.version.fields.items()} == other.held.stamps
    assert {name: canonical(each.value) for name, each in mine.version.fields.items()} == {
        name: canonical(each) for name, each in other.held.values.items()
    }
    assert sorted(map(shown, mine.conflicts), key=repr) == sorted(map(shown, other.conflicts), key=repr)
