"""A stage answers and bills as the documents below it would, and leaves them as they are."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from memory_firestore import Clock, MemoryFirestore

from shared import stage as stages
from shared.peers.documents import Contended, Documents, Snapshot, Write
from shared.stage import Stage

PATHS = [f"{collection}/{id}" for collection in ("q", "t") for id in ("a", "b", "c", "d", "é", "z")]


def fields(dice: random.Random) -> dict[str, Any]:
    return {name: dice.choice(["x", "y"]) for name in dice.sample(["one", "two", "three"], dice.randint(1, 3))}


def a_write(dice: random.Random, seen: dict[str, Snapshot], path: str) -> Write:
    body = None if dice.random() < 0.2 else fields(dice)
    mask = tuple(body) if body and dice.random() < 0.5 else None
    return Write(path, body, mask, dice.choice([None, True, seen.get(path, Snapshot(path, {}, None))]))


def what(found: list[Snapshot]) -> list[tuple[str, Any, bool]]:
    return [(each.path, dict(each.fields), each.exists) for each in found]


def act(documents: Documents, seed: int) -> list[object]:
    """Do something, chosen by the seed alone, and return what came of it."""
    dice, told = random.Random(seed), []  # type: ignore[var-annotated]
    seen: dict[str, Snapshot] = {}
    for _ in range(dice.randint(1, 25)):
        kind = dice.choice(["get", "write", "commit", "query", "count"])
        equal = dice.choice([{}, {"one": "x"}, {"one": "x", "two": "y"}])
        if kind == "get":
            found = documents.get(dice.sample(PATHS, 3))[0]
            seen |= found
            told.append(what([found[path] for path in sorted(found)]))
        elif kind == "query":
            after, limit = dice.choice([None, "b", "é"]), dice.randint(1, 7)
            rows = documents.query(dice.choice("qt"), equal, after, limit)
            seen |= {row.path: row for row in rows}
            told.append(what(rows))
        elif kind == "count":
            told.append(documents.count(dice.choice("qt"), equal))
        else:
            told.append(write(documents, kind, [a_write(dice, seen, path) for path in dice.sample(PATHS, 2)]))
    return told


def write(documents: Documents, kind: str, writes: list[Write]) -> object:
    if kind == "write":
        return [status == 0 for status in documents.write(writes)]
    try:
        documents.commit(writes)
    except Contended:
        return "contended"
    return "committed"


@pytest.mark.parametrize("most_seen", [0, 4, 5000])
def test_a_stage_answers_and_bills_as_the_real_documents_would_and_leaves_them_alone(
    monkeypatch: pytest.MonkeyPatch, most_seen: int
) -> None:
    monkeypatch.setattr(stages, "MOST_SEEN", most_seen)
    for seed in range(400):
        clock = Clock()
        below = MemoryFirestore(clock)
        dice = random.Random(seed)
        for path in dice.sample(PATHS, 7):
            below.client_set(path, fields(dice))
        real = copy.deepcopy(below)
        before, billed = dict(below.documents), real.billed.copy()
        stage = Stage(below, clock)
        assert act(stage, seed) == act(real, seed), f"seed {seed}"
        assert stage.billed == real.billed.since(billed), f"seed {seed}"
        assert below.documents == before


def test_a_stages_clock_is_firestores_and_goes_on() -> None:
    clock = Clock()
    stage = Stage(MemoryFirestore(clock.apart(-90)), clock)
    _, first = stage.get(["q/a"])
    clock.tick(5)
    _, later = stage.get(["q/a"])
    assert ((clock() - first).total_seconds(), (later - first).total_seconds()) == (95, 5)
