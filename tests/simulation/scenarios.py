"""Scenarios for the sweeps: what people did, and then the work in the middle of which something goes wrong, at every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulation.actors import Actor
from simulation.entities import GROUPS, MARK, NOTES, THINGS
from simulation.ledger import COMMON
from simulation.moods import Mood
from simulation.schedule import beginning_of
from simulation.stage import Settings, Stage

X, Y = THINGS
P, Q = GROUPS
(N,) = NOTES
Work = Callable[[Stage], Actor | None]


@dataclass(frozen=True)
class Scenario:
    """What is done before, fault-free, and the work that is swept."""

    people: Callable[[Stage], None]
    works: Sequence[Work]
    beginning: str = "synced"
    patience: int = 4

    @property
    def name(self) -> str:
        return self.people.__name__

    def open(self, trace: list[str] | None = None) -> Stage:
        """Return the world in which the work is about to begin."""
        settings = Settings(("group", "thing", "note"), page_size=2, patience=self.patience)
        stage = Stage(settings, trace)
        stage.mood = Mood(faulty=True)
        stage.copy_from(beginning_of(self.beginning, settings.entities))
        stage.sleep(60)
        self.people(stage)
        return stage


def value(stage: Stage) -> str:
    return stage.ledger.value()


# Work


def runs(stage: Stage) -> Actor:
    return stage.start("sync")


def reconciles(stage: Stage) -> Actor:
    return stage.start("reconcile")


def an_event_comes(stage: Stage) -> Actor | None:
    waiting = stage.events()
    return stage.deliver(waiting[0]) if waiting else None


def the_last_event_comes(stage: Stage) -> Actor | None:
    waiting = stage.events()
    return stage.deliver(waiting[-1]) if waiting else None


def a_day_passes(stage: Stage) -> None:
    stage.sleep(25 * 3600)


def minutes_pass(stage: Stage) -> None:
    stage.sleep(150)


# People


def edits_both_ways(stage: Stage) -> None:
    stage.office.save(X, {"a": value(stage)})
    stage.clients.update(X, {"b": value(stage)})
    stage.office.save(Y, {"b": value(stage), "c": value(stage)})
    stage.clients.update(N, {"t": value(stage)})


def conflicts_both_ways(stage: Stage) -> None:
    stage.clients.update(X, {"a": value(stage)})
    stage.office.save(Y, {"b": value(stage)})
    stage.sleep(1)
    stage.office.save(X, {"a": value(stage)})
    stage.clients.update(Y, {"b": value(stage)})


def a_record_is_deleted_and_revived_by_the_other_side(stage: Stage) -> None:
    stage.office.save(X, {"c": value(stage)})
    stage.office.delete(X)
    stage.clients.delete(Y)
    stage.sleep(2)
    stage.clients.update(X, {"b": value(stage)})
    stage.office.save(Y, {"b": value(stage)})


def records_are_made_anew_over_tombstones(stage: Stage) -> None:
    stage.office.delete(X)
    stage.clients.delete(Y)
    stage.deliver_all()
    stage.run()
    stage.deliver_all()
    stage.sleep(3)
    stage.clients.set(X, {"a": value(stage), "b": value(stage)})
    stage.office.save(Y, {"a": value(stage)})


def an_event_and_a_row_are_lost(stage: Stage) -> None:
    stage.clients.update(X, {"a": value(stage)})
    for late in list(stage.events()):
        stage.drop(late)
    stage.office.write_raw(X, {"b": value(stage)})
    stage.office.vanish(Y)
    stage.unrepaired.add("a row vanished")


def edits_are_not_adopted_yet(stage: Stage) -> None:
    stage.clients.update(X, {"c": value(stage)})
    stage.clients.update(Y, {"a": value(stage)})
    stage.office.save(X, {"b": value(stage)})
    stage.office.save(Y, {"a": value(stage)})


def an_edit_comes_of_a_record_that_vanished(stage: Stage) -> None:
    stage.office.vanish(X)
    stage.unrepaired.add("a row vanished")
    stage.clients.update(X, {"b": value(stage)})


def two_claim_one_unique_value(stage: Stage) -> None:
    stage.office.save(X, {"u": COMMON})
    stage.clients.update(Y, {"u": COMMON, "b": value(stage)})


def a_reference_is_never_there(stage: Stage) -> None:
    stage.clients.update(X, {"g": MARK + "nowhere", "b": value(stage)})
    stage.clients.update(Y, {"b": value(stage)})


def both_sides_were_filled_before(stage: Stage) -> None:
    stage.clients.update(X, {"c": value(stage)})
    stage.office.write_raw(Y, {"c": value(stage)})


def a_document_is_deleted_before_its_edit_was_seen(stage: Stage) -> None:
    stage.clients.update(X, {"a": value(stage), "b": value(stage)})
    stage.clients.delete(X)
    stage.sleep(2)
    stage.office.save(X, {"c": value(stage)})


def a_reference_comes_with_what_it_refers_to(stage: Stage) -> None:
    stage.clients.set(Q, {"name": value(stage)})
    stage.clients.update(X, {"g": Q.key})
    stage.office.save(Y, {"g": P.key})


def one_of_two_edits_is_refused(stage: Stage) -> None:
    stage.office.save(X, {"c": [[value(stage)]]})
    stage.office.save(X, {"b": value(stage)})
    stage.clients.update(Y, {"b": stage.ledger.number()})
    stage.clients.update(Y, {"c": value(stage)})


def a_blind_set_meets_an_edit(stage: Stage) -> None:
    stage.office.save(X, {"b": value(stage)})
    stage.clients.set(X, {"a": value(stage), "c": value(stage)})
    stage.office.delete(Y)
    stage.clients.set(Y, {"a": value(stage)})


def a_run_overlaps_another(stage: Stage) -> None:
    conflicts_both_ways(stage)
    stage.network.go_on(stage.start("sync"), 30)
    stage.sleep(150)  # its lease has run out, and it goes on afterwards


EVENTS = (an_event_comes, an_event_comes)
SCENARIOS = {
    scenario.name: scenario
    for scenario in [
        Scenario(edits_both_ways, (*EVENTS, runs, runs)),
        Scenario(conflicts_both_ways, (*EVENTS, runs, runs)),
        Scenario(a_record_is_deleted_and_revived_by_the_other_side, (*EVENTS, runs, *EVENTS, runs)),
        Scenario(records_are_made_anew_over_tombstones, (*EVENTS, runs, *EVENTS)),
        Scenario(an_event_and_a_row_are_lost, (reconciles,)),
        Scenario(edits_are_not_adopted_yet, (runs, *EVENTS, runs)),
        Scenario(an_edit_comes_of_a_record_that_vanished, (*EVENTS, runs)),
        Scenario(two_claim_one_unique_value, (*EVENTS, runs)),
        Scenario(a_reference_is_never_there, (*EVENTS, runs, a_day_passes, runs, runs), patience=2),
        Scenario(both_sides_were_filled_before, (reconciles,), beginning="never synced"),
        Scenario(a_document_is_deleted_before_its_edit_was_seen, (the_last_event_comes, an_event_comes, runs, *EVENTS)),
        Scenario(a_reference_comes_with_what_it_refers_to, (*EVENTS, runs)),
        Scenario(one_of_two_edits_is_refused, (*EVENTS, runs)),
        Scenario(a_blind_set_meets_an_edit, (*EVENTS, runs, runs)),
        Scenario(a_run_overlaps_another, (runs, *EVENTS, minutes_pass, runs)),
    ]
}
