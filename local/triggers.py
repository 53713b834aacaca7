"""Which tracker listens to which documents, as sync.yaml has it."""

from pathlib import Path
from typing import Any

import yaml

from local.errors import StackError


def triggers(config: Path) -> dict[str, str]:
    """Return a document pattern per tracker, such as `{"track_member_changes": "members/{id}"}`.

    Reads only entities and their collections; shared.config checks the rest when the functions start.
    Raises StackError if those cannot be read.
    """
    try:
        pairs: Any = yaml.safe_load(config.read_text())["pairs"]
        entities = {name: spec for pair in pairs.values() for name, spec in pair["entities"].items()}
        return {f"track_{name}_changes": f"{spec['collection']}/{{id}}" for name, spec in entities.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as exc:
        what = type(exc).__name__
        raise StackError(f"{config} names no pairs with entities and their collections ({what}): mend it") from exc
