"""What somebody decides of a conflict, and what is to be written for it: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.canonical import conflict_id, fingerprint, same
from shared.conflicts import Kept
from shared.errors import BadRequest, SyncError
from shared.merge import merge
from shared.model import Action, Change, Conflict, Policy, Side, Stamp, Value, Version, parse_stamp, side_stamp, stamp_after
from shared.policy import decide
from shared.resolution import after, onto, state_of

OPERATOR = "operator"


class Decision(BaseModel):
    """What somebody decides of a conflict."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=200)
    """The id of its document in `sync_conflicts`."""
    keep: Literal["local", "incoming", "value"]
    """One of its sides, which may be a delete, or a value of your own."""
    value: Any = None
    """The value, with `keep: value` and only with that. If it breaks a rule of one side, nothing is written."""
    note: str | None = Field(None, max_length=2000)
    """Why; kept with the conflict."""
    by: str = Field(OPERATOR, min_length=1, max_length=200)
    """Who decides; whoever has a token of their own is named by that instead."""
    again: bool = False
    """Decide anew what somebody has decided before."""

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
    """Whether the whole record is written, since a side has it deleted (or had, when this decision, or one before it that was
    cut off, began)."""

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
        return {*_met(self.kept), self.stamp, self.kept.intent.get("stamp")}

    @property
    def begun(self) -> bool:
        """Whether a side holds something of what was decided: the call that wrote it was cut off."""
        return any(self.stamp in _stamps(version) for version in self.held.values())

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of what was begun, and what it was to replace has been written since."""
        return not self.begun and any((self._replaced(version) or "") > self.stamp for version in self.held.values())

    def _replaced(self, version: Version) -> Stamp | None:
        """Return the latest stamp of what the decision replaces at a side: of the field's value, or of the whole record."""
        if self.whole or not isinstance(self.chosen, Value):
            return max(_stamps(version), default=None)
        return state_of(version, self.conflict.field)

    @property
    def anew(self) -> Stamp:
        """The stamp of what was edited while the rest of its record was carried over, once both sides are to hold it."""
        return after([self.stamp], self.stamp.partition("|")[2])


def case_of(kept: Kept, held: Mapping[str, Version], names: tuple[str, ...], at: datetime, origin: str, asked: Decision) -> Case:
    """Return the case of a conflict whose peers hold `held`. Its stamp is later than all of that, or that which was noted
    when the same decision was begun before. BadRequest if what is to be kept is nowhere any more."""
    chosen, intent = _chosen(kept, asked, list(held.values())), kept.intent
    seen = [stamp for version in held.values() for stamp in _stamps(version)]
    seen += [*_met(kept), *([parse_stamp(intent["stamp"])] if intent else [])]
    goes_on = intent.get("chosen") == _fingerprint(chosen) and not _is_taken(kept, held, intent["stamp"], chosen)
    stamp = parse_stamp(intent["stamp"]) if goes_on else stamp_after(at, origin, seen)
    whole = any(version.deleted and version.deleted < stamp for version in held.values())
    return Case(kept, held, chosen, stamp, names, whole or bool(intent.get("whole")))


def _is_taken(kept: Kept, held: Mapping[str, Version], stamp: str, chosen: Side) -> bool:
    """Return whether a side holds another value under the stamp that was noted. A user's edit may get the same one where clocks
    are behind: nobody had told that side of the decision yet."""
    there = (version.fields.get(kept.conflict.field) for version in held.values())
    of_that_stamp = [each for each in there if each is not None and each.stamp == stamp]
    return any(not isinstance(chosen, Value) or not same(each.value, chosen.value) for each in of_that_stamp)


def _stamps(version: Version) -> list[Stamp]:
    own = [value.stamp for value in version.fields.values()]
    return [*own, version.deleted] if version.deleted else own


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
    return not all(_is_known(case, version) for version in case.held.values())


def _is_known(case: Case, held: Version) -> bool:
    """Return whether a side holds of the field what the conflict tells of. A user's edit may have got the stamp of a resolution,
    or of a decision, that never came to that side, where clocks are behind."""
    conflict, intent = case.conflict, case.kept.intent
    state = state_of(held, conflict.field)
    there: Side | None = held.deleted or held.fields.get(conflict.field)
    if there is not None and state == intent.get("stamp"):
        return bool(_fingerprint(there) == intent["chosen"])
    if state is None or state != conflict.resolution or held.deleted or conflict.winner not in {"local", "incoming"}:
        return state in case.known
    won = conflict.local if conflict.winner == "local" else conflict.incoming
    return isinstance(won, Value) and same(held.fields[conflict.field].value, won.value)


def differing(case: Case, left: str) -> Conflict | None:
    """Return an open conflict of what the two sides hold of the field now, the left peer's as the local one; None if that is the
    same."""
    name, record = case.conflict.field, case.conflict.record
    sides = [_side(version, name) for version in (case.held[left], *(case.held[each] for each in case.held if each != left))]
    local, incoming = sides
    if local is None or incoming is None or _alike(local, incoming):
        return None
    id = conflict_id(record, name, side_stamp(local), side_stamp(incoming))
    return Conflict(id, record, name, "none", local, incoming, None, Policy.MANUAL)


def _side(version: Version, name: str) -> Side | None:
    return version.deleted or version.fields.get(name)


def _alike(one: Side, other: Side) -> bool:
    values = [each.value for each in (one, other) if isinstance(each, Value)]
    return not values or (len(values) == 2 and same(*values))


def changes_of(case: Case) -> dict[str, Change]:
    """Return by peer what is to be written there, based on just what it holds; nothing where that is later already, since
    somebody wrote on top of what was decided before the other side had it."""
    stub = Change(f"resolve:{case.conflict.id}", case.conflict.record, Action.UPDATE)
    wanted = _wanted(case)
    made = {
        peer: onto(stub, _decided(case, wanted, version), version)
        for peer, version in case.held.items()
        if not _is_past(case, version)
    }
    return {peer: change for peer, change in made.items() if change is not None}


def displaced(case: Case, changes: Mapping[str, Change]) -> list[Conflict]:
    """Return, as conflicts to be kept first, what the changes are going to replace and the conflict does not know of."""
    return [
        conflict
        for peer, change in changes.items()
        for conflict in decide(case.held[peer], _unseen(change, case, case.held[peer])).conflicts
    ]


def _unseen(change: Change, case: Case, held: Version) -> Change:
    """Return the change based on the conflict alone, and on nothing that was carried over."""
    name, base = case.conflict.field, dict(change.base)
    base |= {each: None for each, value in change.fields.items() if value.stamp == case.anew}
    known, latest = _is_known(case, held), max(_met(case.kept))
    last = {name: None if latest == state_of(held, name) else latest} if name in base and not known else {}
    if change.deleted is None:
        return replace(change, base=base | last)
    seen = {each for each, stamp in change.deleted_base.items() if (known if each == name else _was_seen(case, each, stamp))}
    base = {each: stamp if each in seen else None for each, stamp in base.items()}
    return replace(change, base=base | last, deleted_base={each: change.deleted_base[each] for each in seen})


def _was_seen(case: Case, name: str, stamp: Stamp) -> bool:
    """Return whether who deleted the record, as is now decided for, had this value of another field before them, or whoever
    settled the conflict put it there: both sides know it (a peer need not show what its tombstone hides), and it is older than
    both writes that met. Who decides had only the conflict before them."""
    conflict = case.conflict
    before = stamp < side_stamp(case.chosen) and stamp <= min(side_stamp(conflict.local), side_stamp(conflict.incoming))
    return (before or stamp == conflict.resolution) and all(_knows(version, name, stamp) for version in case.held.values())


def _knows(version: Version, name: str, stamp: Stamp) -> bool:
    value = version.fields.get(name)
    return version.deleted is not None if value is None else value.stamp == stamp


def _is_past(case: Case, held: Version) -> bool:
    """Return whether a side was deleted, or outlives a delete, by something later than the decision."""
    last = held.deleted if isinstance(case.chosen, Value) else max(_stamps(held), default=None)
    return (last or "") > case.stamp


def _decided(case: Case, wanted: Version, held: Version) -> Version:
    """Return what is wanted without what a side has later by now, or will get from the other's queue."""
    if held.deleted or wanted.deleted:
        return wanted
    own = {name: value for name, value in wanted.fields.items() if value.stamp in {case.stamp, case.anew}}
    return Version({name: value for name, value in own.items() if (state_of(held, name) or "") <= value.stamp})


def _wanted(case: Case) -> Version:
    """Return what both sides are to hold: the field's value, the whole record where it is brought back, or a tombstone."""
    left, right = case.held.values()
    if not isinstance(case.chosen, Value):
        merged = merge(Version(left.fields), Version(right.fields)).fields
        return Version(merged, case.stamp)
    chosen = {case.conflict.field: Value(case.chosen.value, case.stamp)}
    if not case.whole:
        return Version(chosen)
    living = dict(_living(case, left, right))
    lacking = [name for name in case.names if name not in living and name not in chosen]
    if lacking:
        raise BadRequest(
            f"conflict {case.conflict.id}: the record is deleted and its other values are gone: {', '.join(lacking)}"
        )
    return Version({name: Value(each.value, max(each.stamp, case.stamp)) for name, each in living.items()} | chosen)


def _living(case: Case, left: Version, right: Version) -> Iterator[tuple[str, Value]]:
    """Yield the values of the side that lives, else the later ones. What was carried over by an attempt that was cut off gives
    way to what was written where it came from."""
    alone = left if right.deleted and not left.deleted else right if left.deleted and not right.deleted else None
    if alone:
        yield from alone.fields.items()
        return
    for name, value in merge(Version(left.fields), Version(right.fields)).fields.items():
        both = [version.fields[name] for version in (left, right) if name in version.fields]
        written = [each for each in both if each.stamp < case.stamp and not same(each.value, value.value)]
        gives_way = value.stamp == case.stamp and written and name != case.conflict.field
        yield name, Value(written[0].value, case.anew) if gives_way else value
