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
        read: Any = yaml.safe_load(config.read_text())
        kinds = {name: peer.get("kind", "firestore") for name, peer in read.get("peers", {}).items()}
        pairs = [each for each in read["pairs"].values() if not _without_tracker(each, kinds)]
        entities = {name: spec for pair in pairs for name, spec in pair["entities"].items()}
        return {f"track_{name}_changes": f"{spec['collection']}/{{id}}" for name, spec in entities.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as exc:
        what = type(exc).__name__
        raise StackError(f"{config} names no pairs with entities and their collections ({what}): mend it") from exc


def _without_tracker(pair: Any, kinds: dict[str, str]) -> bool:
    sides = [kinds[side] for side in (pair.get("left"), pair.get("right")) if side in kinds]
    return bool(READ_ONLY & set(sides)) or (len(sides) == 2 and "firestore" not in sides)
