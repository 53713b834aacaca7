"""What to write where a held change met something that its author had not seen: pure.

A resolution is a newer write of the value that a policy chooses, stamped right after both that met. So it depends on those
alone: a repeat, and the other direction, make the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from shared.canonical import conflict_id, same
from shared.joining import join
from shared.mapping import Entity
from shared.merge import later, merge
from shared.model import (
    Action,
    Change,
    Conflict,
    Json,
    Outcome,
    Policy,
    Side,
    Stamp,
    Value,
    Version,
    Winner,
    side_stamp,
    stamp_after,
    stamp_time,
)
from shared.policy import Mode, decide

BY_LAST_WRITE = "merge_by_last_write"
"""The rule noted where `merge` knew no way to join two values."""
Base = Callable[[str, Stamp | None], tuple[Json] | None]
"""(field, stamp) -> the value that the field had then, in a tuple; None if nobody knows."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The names of the peers that a change goes from and to, and of the pair's left one."""

    source: str
    target: str
    left: str

    def declared(self, policy: Policy) -> str | None:
        """Return the peer whose writes win under a policy, if it names one."""
        right = self.target if self.left == self.source else self.source
        return {Policy.LEFT_WINS: self.left, Policy.RIGHT_WINS: right}.get(policy)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan is made by: the entity's policies and types, the two sides, and what is known of older values."""

    entity: Entity
    sides: Sides
    base: Base

    def by_last_write(self, name: str) -> bool:
        """Whether the later write of a field wins."""
        return self.entity.policy_of(name) is Policy.LAST_WRITE_WINS


@dataclass(frozen=True, slots=True)
class Plan:
    """What a held change leads to: changes to be applied only as fast-forwards at its source and then at its target, what
    falls to the last write there, the conflicts, and the fields that wait for somebody."""

    at_source: Change | None = None
    at_target: Change | None = None
    by_last_write: Change | None = None
    conflicts: tuple[Conflict, ...] = ()
    disputed: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    """The fields in which the target comes to hold the change's value."""
    wins: bool = False
    """Whether a delete, or a revival, is carried through at the target."""


@dataclass(slots=True)
class _Fields:
    """A plan for the fields of a record that lives on both sides, while it is made."""

    source: dict[str, Value] = field(default_factory=dict)
    target: dict[str, Value] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


def plan(change: Change, mine: Version, theirs: Version, rules: Rules) -> Plan:
    """Return what to do with a change that its target held: `mine` is what its source holds by now, `theirs` its target."""
    beaten = is_beaten(change, mine)
    if beaten and (theirs.deleted or not theirs.known or rules.entity.policy in {Policy.LAST_WRITE_WINS, Policy.MANUAL}):
        return _plan_of_rest(change, mine, theirs, rules)
    if not theirs.known:
        return Plan(by_last_write=change)
    if change.deleted and not change.deletes and mine.known and not mine.deleted and not theirs.deleted:
        return _plan_of_rest(change, mine, theirs, rules)  # the delete is beaten by what it was collapsed with
    change = _knowing_of_delete(change, theirs)
    if not beaten and not any(_is_moved_on(change, name, mine, rules) for name in change.fields) and _follows(change, theirs):
        return Plan(at_target=change, taken=tuple(change.fields), wins=change.deletes)  # it has become a fast-forward
    if change.deletes or theirs.deleted:
        return _plan_of_record(change, mine, theirs, rules)
    made = _Fields()
    for name in change.fields:
        if not rules.by_last_write(name):
            _plan_field(made, change, name, mine, theirs.fields.get(name), rules)
    return Plan(
        onto(change, Version(made.source), mine),
        onto(change, Version(made.target), theirs),
        _part(change, [name for name in change.fields if rules.by_last_write(name)]),
        tuple(made.conflicts),
        tuple(made.disputed),
        tuple(made.taken),
    )


def _knowing_of_delete(change: Change, theirs: Version) -> Change:
    """Return the change based on the target's delete in all fields, if it is in one: who made the record anew at the source had
    the delete before them, and so had whoever wrote there after it, also of a field that was not synced at that time."""
    knows = theirs.deleted is not None and not change.deletes and theirs.deleted in change.base.values()
    later = [name for name, value in change.fields.items() if knows and value.stamp > (theirs.deleted or "")]
    return replace(change, base={**change.base, **dict.fromkeys(later, theirs.deleted)}) if later else change


def _follows(change: Change, theirs: Version) -> bool:
    """Return whether the change's author had seen all that the target holds. A peer need not show what its tombstone hides."""
    if theirs.deleted:
        return not change.deletes and all(change.base.get(name) == theirs.deleted for name in change.fields)
    return decide(theirs, change, Mode.IF_UNCHANGED).outcome is not Outcome.HELD


def is_beaten(change: Change, mine: Version) -> bool:
    """Return whether a delete is beaten at its own side, by what was written there since or put back."""
    return change.deletes and mine.known and mine.deleted is None


def _is_moved_on(change: Change, name: str, mine: Version, rules: Rules) -> bool:
    """Return whether the source holds something later than what it sent, which may wait for somebody's decision over what the
    target holds."""
    own = mine.fields.get(name)
    return rules.entity.policy_of(name) is Policy.MANUAL and own is not None and own.stamp > change.fields[name].stamp


def _plan_field(made: _Fields, change: Change, name: str, mine: Version, other: Value | None, rules: Rules) -> None:
    """Plan for one field, of which the target holds `other`."""
    sent = change.fields[name]
    own = mine.fields.get(name, sent)
    follows = other is not None and change.base.get(name) == other.stamp and sent.stamp != other.stamp
    restored = other is not None and own.stamp > sent.stamp and same(own.value, other.value)  # at the source, since
    if other is None or (follows and not restored and not _is_moved_on(change, name, mine, rules)):
        made.target[name] = sent
        made.taken.append(name)
        return
    if _equal(own, other):
        return  # settled before this run
    newer = _superseding(own, other, rules.sides)
    if newer:
        made.source[name] = made.target[name] = newer
        made.taken += [name] if same(newer.value, sent.value) else []
        return
    if other.stamp > sent.stamp and rules.entity.policy_of(name) in {Policy.LEFT_WINS, Policy.RIGHT_WINS}:
        return  # only the later author can have seen the other value; whether they had, the later change will tell
    value, conflict = _settled(change, sent, other, name, rules)
    if not _equal(own, sent) and not (value and _equal(own, value)):  # the source's users have written it anew, or the sync
        if rules.entity.policy_of(name) is not Policy.MANUAL:
            return  # that, and what the target's users made of it, is in the queues or was carried: both authors may have seen it
        value, conflict = _settled(replace(change, base={}), own, other, name, rules)
    made.conflicts += [conflict] if conflict else []
    if value is None:
        made.disputed.append(name)
        return
    made.source[name] = made.target[name] = value
    made.taken += [name] if same(value.value, sent.value) else []


def _superseding(own: Value, other: Value, sides: Sides) -> Value | None:
    """Return the later one if the peer that holds it wrote the other one too: whoever wrote the later had that before them, and
    the other side was left, or put back, with it."""
    newer, older, holder = (own, other, sides.source) if own.stamp > other.stamp else (other, own, sides.target)
    return newer if newer.stamp > older.stamp and older.stamp.partition("|")[2] == holder else None


def _settled(change: Change, own: Value, other: Value, name: str, rules: Rules) -> tuple[Value | None, Conflict | None]:
    """Return the value that both sides are to hold (None: it waits for somebody), and the conflict if there is one."""
    if same(own.value, other.value):
        return later(own, other), None
    policy, seen, sides = rules.entity.policy_of(name), change.base.get(name), rules.sides
    id = conflict_id(change.record, name, own.stamp, other.stamp)
    met = Conflict(id, change.record, name, "none", other, own, seen, policy)
    if policy is Policy.MANUAL:
        return None, met
    if policy is Policy.MERGE:
        return _merged(met, own, other, rules)
    winner = sides.declared(policy) or sides.left
    chosen, stamp = own if winner == sides.source else other, after([own.stamp, other.stamp], winner)
    return Value(chosen.value, stamp), replace(met, winner=_name(winner, sides), resolution=stamp)


def _merged(met: Conflict, own: Value, other: Value, rules: Rules) -> tuple[Value, Conflict]:
    sides = rules.sides
    left, right = (own, other) if sides.left == sides.source else (other, own)
    joined = join(rules.entity.by_name[met.field].type, left.value, right.value, rules.base(met.field, met.base))
    stamp = after([own.stamp, other.stamp], sides.left)
    if joined is not None:
        return Value(joined[0], stamp), replace(met, winner="both", resolution=stamp)
    last = later(own, other)
    winner: Winner = "incoming" if last is own else "local"
    return Value(last.value, stamp), replace(met, winner=winner, rule=BY_LAST_WRITE, resolution=stamp)


def _plan_of_record(change: Change, mine: Version, theirs: Version, rules: Rules) -> Plan:
    """Plan for a record that one side has deleted: the entity's policy says whether it lives, as the living side has it."""
    sides, policy = rules.sides, rules.entity.policy
    winner = sides.declared(policy) or (sides.target if change.deletes else sides.source)  # `merge`: the edit lives
    stamp = after([*change.stamps, *_stamps(theirs)], winner)
    if change.deletes:
        met = [
            each for each in _unseen_at_target(change, theirs, policy) if not _is_from(sides.source, each.local, change.deleted)
        ]
    else:
        unseen = _unseen_by_target(change, mine, theirs, stamp, policy)
        met = [each for each in unseen if not _is_from(sides.target, each.incoming, theirs.deleted)]
    gone = theirs.deleted and (change.deletes or mine.deleted not in {None, stamp})
    if gone or policy is Policy.LAST_WRITE_WINS or (policy is Policy.MANUAL and not met):
        return Plan(by_last_write=change)
    if policy is Policy.MANUAL:
        names = dict.fromkeys([*change.fields, *(each.field for each in met)])
        return Plan(conflicts=tuple(replace(each, rule=policy) for each in met), disputed=tuple(names))
    wanted = _record_wanted(change, mine, theirs, stamp, lives=change.deletes is not (winner == sides.source))
    at_source = onto(change, wanted, mine)
    if is_beaten(change, mine) and at_source:
        return _plan_of_rest(change, mine, theirs, rules)
    conflicts = tuple(replace(each, winner=_name(winner, sides), rule=policy, resolution=stamp) for each in met)
    wins = winner == sides.source
    return Plan(at_source, onto(change, wanted, theirs), None, conflicts, (), tuple(change.fields) if wins else (), wins)


def _plan_of_rest(change: Change, mine: Version, theirs: Version, rules: Rules) -> Plan:
    """Plan for what a beaten delete carried with it, without the delete. What had beaten it may be a resolution that was cut off
    before it came to the target: where the values are the same, the target is to hold the stamps too."""
    rest = _part(change, list(change.fields))
    made = plan(rest, mine, theirs, rules) if rest else Plan()
    alike = {name: own for name, own in mine.fields.items() if _is_newer_stamp(own, theirs.fields.get(name))}
    stamps = None if theirs.deleted else onto(change, Version(alike), theirs)
    taken = tuple(name for name in made.taken if theirs.deleted or name not in alike)
    return replace(made, at_target=_together(stamps, made.at_target), taken=taken)


def _together(one: Change | None, other: Change | None) -> Change | None:
    """Return two changes of one record, for the same peer, as one; where both write a field, the first does."""
    if one is None or other is None:
        return one or other
    return replace(one, fields={**other.fields, **one.fields}, base={**other.base, **one.base})


def _is_newer_stamp(own: Value, other: Value | None) -> bool:
    return other is not None and own.stamp > other.stamp and same(own.value, other.value)


def _unseen_at_target(change: Change, theirs: Version, policy: Policy) -> list[Conflict]:
    """Return what the target's users wrote and the source's deleter had not seen. What the source wrote before it deleted,
    its deleter had seen: so these are conflicts with the delete."""
    deleted = change.deleted or Stamp("")
    found = [(each.field, each.local) for each in decide(theirs, change, Mode.IF_UNCHANGED).conflicts]
    found += [
        (name, value) for name, value in theirs.fields.items() if value.value is None and _is_disputed(value, deleted, policy)
    ]
    return [_with_delete(change, name, local, deleted) for name, local in found]


def _unseen_by_target(change: Change, mine: Version, theirs: Version, stamp: Stamp, policy: Policy) -> list[Conflict]:
    """Return what the source holds, in this change or besides it, that the target's deleter had not seen. A peer need not show
    what its tombstone hides: of what it does not, what is older than the delete, and than this change, had been carried there
    before. What has `stamp` was written by this resolution, before it was cut off."""
    deleted = theirs.deleted or Stamp("")
    found = []
    own = {name: value for name, value in mine.fields.items() if value.stamp != stamp}
    for name, value in {**change.fields, **own}.items():
        hidden = theirs.fields.get(name)
        carried = name not in change.fields and value.stamp < deleted and value.stamp <= change.latest
        known = _equal(hidden, value) if hidden else carried
        tells = value.value is not None or _is_disputed(value, deleted, policy)
        if tells and not known and change.base.get(name) != deleted:
            found.append(_with_delete(change, name, deleted, value))
    return found


def _is_from(peer: str, side: Side, deleted: Stamp | None) -> bool:
    """Return whether a value was written at the peer where the record was deleted later: who deleted it had it before them."""
    return deleted is not None and side_stamp(side) < deleted and side_stamp(side).partition("|")[2] == peer


def _is_disputed(value: Value, deleted: Stamp, policy: Policy) -> bool:
    """Return whether a write, of nothing perhaps, would bring back a record that somebody is to decide about."""
    return policy is Policy.MANUAL and value.stamp > deleted


def _with_delete(change: Change, name: str, local: Side, incoming: Side) -> Conflict:
    id = conflict_id(change.record, name, side_stamp(local), side_stamp(incoming))
    base = change.base.get(name) if isinstance(incoming, Value) else change.deleted_base.get(name)
    return Conflict(id, change.record, name, "none", local, incoming, base)


def _record_wanted(change: Change, mine: Version, theirs: Version, stamp: Stamp, lives: bool) -> Version:
    """Return what both sides are to hold: all that the living side has, written anew, or nothing but a tombstone."""
    if not lives:
        return Version(merge(mine, theirs).fields, stamp)
    living = theirs if change.deletes else mine
    return Version({name: Value(each.value, max(each.stamp, stamp)) for name, each in living.fields.items()})


def onto(change: Change, wanted: Version, held: Version) -> Change | None:
    """Return the change that makes a peer that holds `held` hold `wanted` too, based on just that; None if it does already."""
    fields = {name: each for name, each in wanted.fields.items() if held.deleted or not _equal(held.fields.get(name), each)}
    if wanted.deleted is None and not fields:
        return None
    if wanted.deleted is not None and wanted.deleted == held.deleted:
        return None
    base = {name: held.deleted or (held.fields[name].stamp if name in held.fields else None) for name in fields}
    seen = {name: each.stamp for name, each in held.fields.items()} if wanted.deleted else {}
    action = Action.DELETE if wanted.deleted else Action.CREATE if held.deleted else Action.UPDATE
    return Change(change.id, change.record, action, fields, base, wanted.deleted, seen)


def state_of(version: Version, name: str) -> Stamp | None:
    """Return the stamp of what a peer holds of a field: of the record's delete, or of the field's value."""
    return version.deleted or (version.fields[name].stamp if name in version.fields else None)


def after(stamps: list[Stamp], origin: str) -> Stamp:
    """Return the stamp of a write at `origin` right after all of `stamps`."""
    return stamp_after(stamp_time(max(stamps)), origin, stamps)


def _part(change: Change, names: list[str]) -> Change | None:
    """Return the change with only these fields, without a delete that they outlive anyway."""
    if not names:
        return None
    fields = {name: change.fields[name] for name in names}
    base = {name: change.base.get(name) for name in names}
    action = Action.UPDATE if change.deletes else change.action
    return replace(change, action=action, fields=fields, base=base, deleted=None, deleted_base={})


def _name(winner: str, sides: Sides) -> Winner:
    return "incoming" if winner == sides.source else "local"


def _stamps(version: Version) -> list[Stamp]:
    own = [value.stamp for value in version.fields.values()]
    return own if version.deleted is None else [*own, version.deleted]


def _equal(one: Value | None, other: Value) -> bool:
    return one is not None and one.stamp == other.stamp and same(one.value, other.value)
