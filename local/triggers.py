"""Which tracker listens to which documents, as sync.yaml has it."""

from pathlib import Path
from typing import Any

import yaml

from local.errors import StackError

READ_ONLY = {"bakalari"}
"""Kinds of peers that take no changes: nothing in Firestore is carried to them, so nothing there is tracked."""


def triggers(config: Path) -> dict[str, str]:
    """Return a document pattern per tracker, such as `{"track_member_changes": "members/{id}"}`.

    Reads only peers, entities and their collections; shared.config checks the rest when the functions start. A pair without a
    Firestore has no tracker. Raises StackError if those cannot be read.
    """
    try:
        content: Any = yaml.safe_load(config.read_text())
        peers = content["peers"]
        kinds = [({peers[pair[side]]["kind"] for side in ("left", "right")}, pair) for pair in content["pairs"].values()]
        tracked = [pair for pair_kinds, pair in kinds if "firestore" in pair_kinds and not pair_kinds & READ_ONLY]
        entities = {name: spec for pair in tracked for name, spec in pair["entities"].items()}
        return {f"track_{name}_changes": f"{spec['collection']}/{{id}}" for name, spec in entities.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as exc:
        what = type(exc).__name__
        raise StackError(f"{config} names no pairs with entities and their collections ({what}): mend it") from exc


def _without_firestore(pair: Any, kinds: dict[str, str]) -> bool:
    sides = (pair.get("left"), pair.get("right"))
    return all(side in kinds and kinds[side] != "firestore" for side in sides)
