"""The page of sync.yaml, made from the models that read it."""

from collections.abc import Mapping
from typing import Any

from local.reference.schemas import code, keys, said
from shared import config
from shared.mapping import Type
from shared.model import Policy
from shared.specs import bakalari, base, ojs

HEAD = """# sync.yaml

What is kept in step with what. `make docs` writes this page from the models that read the file (`shared/config.py`,
`shared/specs/`). A key that is not here is refused, and every mistake in the file is named at once, with its place and what
is valid there.

- `${NAME}` in any text is taken from the environment.
- `secret:NAME` names a secret of Secret Manager; what is in it never stands in the file.
- [sync.yaml](../sync.yaml) of the demo and those in [examples](../examples) are whole ones. `./bothways init` proposes one
  from your Django and your Firestore, `./bothways doctor` says what does not fit."""
SECTIONS: Mapping[str, Any] = {
    "The file": config.Settings,
    "pairs.NAME": config.PairSpec,
    "pairs.NAME.entities.NAME": config.EntitySpec,
    "pairs.NAME.entities.NAME.fields.NAME": config.FieldSpec,
    "pairs.NAME.schedule": config.Schedule,
    "pairs.NAME.real_time": config.RealTime,
    "pairs.NAME.limits": config.Limits,
    "pairs.NAME.health": config.Health,
    **{f"peers.NAME, kind: {name}": kind for name, kind in config.KINDS.items()},
    "peers.NAME.prices": base.PricesSpec,
    "peers.NAME.schools.NAME": bakalari.SchoolSpec,
    "peers.NAME.journals.NAME": ojs.JournalSpec,
}
"""Each part of the file by its place in it."""
ENUMS = {"Type": Type, "Policy": Policy}


def page() -> str:
    """Return the page as it should be."""
    parts = [f"## {place}\n\n{said(kind)}\n\n{keys(kind, _linked)}" for place, kind in SECTIONS.items()]
    return HEAD + "\n" + "\n".join(parts)


def _linked(name: str) -> str:
    if name in ENUMS:
        return ", ".join(code(each.value) for each in ENUMS[name])
    place = next(place for place, kind in SECTIONS.items() if kind.__name__ == name)
    return f"[{place.rpartition('kind: ')[2]}](#{_anchor(place)})"


def _anchor(place: str) -> str:
    kept = "".join(each for each in place.lower() if each.isalnum() or each in " _-")
    return kept.replace(" ", "-")
