"""What somebody decides of a conflict, and what is to be written for it: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.canonical import fingerprint
from shared.conflicts import Kept
from shared.errors import BadRequest, SyncError
from shared.merge import merge
from shared.model import Action, Change, Conflict, Side, Stamp, Value, Version, parse_stamp, side_stamp, stamp_after
from shared.resolution import onto, state_of

OPERATOR = "operator"


class Decision(BaseModel):
    """What somebody decides of a conflict: `keep` one of its sides, or a `value` of their own. `again` decides anew what
    somebody has decided before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=200)
    keep: Literal["local", "incoming", "value"]
    value: Any = None
    note: str | None = Field(None, max_length=2000)
    by: str = Field(OPERATOR, min_length=1, max_length=200)
    again: bool = False

    @model_validator(mode="after")
    def _names_its_value(self) -> Decision:
        if (self.keep == "value") != ("value" in self.model_fields_set):
            raise ValueError("`value` goes with keep: value, and only with that")
        return self


@dataclass(frozen=True, slots=True)
class Case:
    """A conflict, what its two peers hold by now, and what is to be written."""

    kept: Kept
    held: Mapping[str, Version]
    chosen: Side
    stamp: Stamp
    names: tuple[str, ...]
    """The fields of the record's entity."""
    whole: bool
    """Whether the whole record is written, since a side has it deleted (or had, when this decision began)."""

    @property
    def conflict(self) -> Conflict:
        return self.kept.conflict

    @property
    def intent(self) -> dict[str, Any]:
        """What is noted of the decision before it is carried out."""
        return {"stamp": self.stamp, "chosen": _fingerprint(self.chosen), "whole": self.whole}

    @property
    def known(self) -> set[Stamp | None]:
        """The stamps that a side may hold if nobody has written there since."""
        return {*_met(self.kept), self.stamp, _intent(self.kept).get("stamp")}


def case_of(kept: Kept, held: Mapping[str, Version], names: tuple[str, ...], at: datetime, origin: str, asked: Decision) -> Case:
    """Return the case of a conflict whose peers hold `held`. Its stamp is later than all of that, or that which was noted
    when the same decision was begun before. BadRequest if what is to be kept is nowhere any more."""
    chosen, intent = _chosen(kept, asked, list(held.values())), _intent(kept)
    whole = bool(intent.get("whole")) or any(version.deleted for version in held.values())
    if intent.get("chosen") == _fingerprint(chosen):
        return Case(kept, held, chosen, parse_stamp(intent["stamp"]), names, whole)
    seen = [value.stamp for version in held.values() for value in version.fields.values()]
    seen += [version.deleted for version in held.values() if version.deleted]
    seen += [*_met(kept), *([parse_stamp(intent["stamp"])] if intent else [])]
    return Case(kept, held, chosen, stamp_after(at, origin, seen), names, whole)


def _intent(kept: Kept) -> Mapping[str, Any]:
    return kept.notes.get("resolving") or {}


def _chosen(kept: Kept, asked: Decision, held: Sequence[Version]) -> Side:
    """Return the side, or the value, that was chosen; a value that was too large to be kept is taken from the record."""
    if asked.keep == "value":
        return Value(asked.value, Stamp(""))
    side = kept.conflict.local if asked.keep == "local" else kept.conflict.incoming
    if asked.keep not in kept.left_out:
        return side
    there = [version.fields[kept.conflict.field] for version in held if kept.conflict.field in version.fields]
    still = [value for value in there if value.stamp == side_stamp(side)]
    if not still:
        raise BadRequest(f"conflict {asked.id}: its {asked.keep} value was too large to be kept, and the record has it no more")
    return still[0]


def _fingerprint(side: Side) -> str:
    try:
        return fingerprint(side.value) if isinstance(side, Value) else "deleted"
    except SyncError as error:
        raise BadRequest(f"value: {error}") from None


def _met(kept: Kept) -> list[Stamp]:
    """Return the stamps of all that the conflict has led to so far."""
    found = [side_stamp(kept.conflict.local), side_stamp(kept.conflict.incoming)]
    return found if kept.conflict.resolution is None else [*found, kept.conflict.resolution]


def is_overtaken(case: Case) -> bool:
    """Return whether a side holds something else by now than it held in the conflict."""
    return any(state_of(version, case.conflict.field) not in case.known for version in case.held.values())


def changes_of(case: Case) -> dict[str, Change]:
    """Return by peer what is to be written there, based on what it holds, or held by what the conflict knows of it."""
    stub = Change(f"resolve:{case.conflict.id}", case.conflict.record, Action.UPDATE)
    wanted, name = _wanted(case), case.conflict.field
    made = {peer: onto(stub, wanted, version) for peer, version in case.held.items()}
    return {
        peer: change if state_of(case.held[peer], name) in case.known else _unseen(change, case)
        for peer, change in made.items()
        if change is not None
    }


def _unseen(change: Change, case: Case) -> Change:
    """Return the change based on the conflict alone, so that what was written since is kept as a conflict again."""
    last, name = max(_met(case.kept)), case.conflict.field
    return replace(
        change,
        base={each: last if each == name else base for each, base in change.base.items()},
        deleted_base={each: stamp for each, stamp in change.deleted_base.items() if each != name},
    )


def _wanted(case: Case) -> Version:
    """Return what both sides are to hold: the field's value, the whole record where it is brought back, or a tombstone."""
    left, right = case.held.values()
    merged = merge(Version(left.fields), Version(right.fields)).fields
    if not isinstance(case.chosen, Value):
        return Version(merged, case.stamp)
    chosen = {case.conflict.field: Value(case.chosen.value, case.stamp)}
    if not case.whole:
        return Version(chosen)
    living = left.fields if right.deleted and not left.deleted else right.fields if left.deleted and not right.deleted else merged
    lacking = [name for name in case.names if name not in living and name not in chosen]
    if lacking:
        raise BadRequest(
            f"conflict {case.conflict.id}: the record is deleted and its other values are gone: {', '.join(lacking)}"
        )
    return Version({name: Value(each.value, case.stamp) for name, each in living.items()} | chosen)
