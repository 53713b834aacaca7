"""Puts the changes of one record on top of each other. Pure."""

from collections.abc import Sequence

from .merge import decide
from .states import State
from .versions import Change, Decision, Refused

Outcome = Decision | Refused


def decide_on(state: State, change: Change, mode: str) -> Decision:
    """Return what becomes of a change. Raise Refused (`incomplete`, `required`) where the record could not be made."""
    decision = decide(state.held, change, mode, state.entity.names)
    if not decision.held.live or decision.outcome == "held":
        return decision
    values = decision.held.values or {}
    lacking = [name for name in state.entity.needed if values.get(name) is None]
    if not lacking:
        return decision
    fields = dict.fromkeys(lacking, "never null, and not given")
    if change.action == "create" and not state.held.stamps:
        raise Refused("required", f"a create gives every field: {', '.join(lacking)}", fields)
    raise Refused("incomplete", f"not known here, and lacks {', '.join(lacking)}", fields)


def fold(state: State, changes: Sequence[tuple[int, Change]], mode: str) -> tuple[State, dict[int, Outcome]]:
    """Return the state after all changes and the outcome of each by position; the state given stays as it was."""
    after = State(state.entity, state.place, state.index, state.row, state.held, state.read, state.taken)
    outcomes: dict[int, Outcome] = {}
    for position, change in changes:
        try:
            decision = decide_on(after, change, mode)
        except Refused as refused:
            outcomes[position] = refused
            continue
        after.held = decision.held
        after.taken += (change,)
        outcomes[position] = decision
    return after, outcomes
