"""What one step makes happen in the middle of a call, and in the wrong order: the interleavings that chance seldom finds."""

from __future__ import annotations

from shared.model import RecordId
from simulation.choices import Word
from simulation.entities import ENTITIES, MORE, THINGS
from simulation.faults import STOPS, Fault
from simulation.people import clients, fields_of, office, record_of, saves
from simulation.stage import Late, Stage

AMBUSHED = ("firestore commit things", "firestore write things", "POST apply", "POST records", "firestore get", "POST mark")


def ambush(stage: Stage, word: Word) -> None:
    """Hold somebody at a call; let events come, or people write, just then; and let it go on to its end, or to a fault."""
    if not stage.mood.faulty:
        return
    free = [each for each in stage.network.actors if each.held_until <= stage.network.steps]
    actor = free[0] if free and word.take(2) else stage.start(word.pick(("sync", "sync", "reconcile")))
    stop = Fault(word.pick(STOPS), at=stage.mood.favourite or word.pick(AMBUSHED))
    fleeting = next(iter(_only_here(stage)), None) if stage.mood.fleeting else None
    if fleeting:
        stop = Fault("stop before", at="firestore commit things")
    stage.network.go_on(actor, 2 * word.take(4), stop)
    if fleeting and not actor.done:
        _comes_and_goes(stage, fleeting)
    for _ in range(word.pick((1, 2, 3)) if not actor.done else 0):
        word.pick((_meanwhile_an_event, office, clients))(stage, word)
    if not actor.done and word.take(2):
        stage.network.go_on(actor, 0, Fault(word.pick(stage.mood.kinds), word.take(210)))
    if not actor.done:
        stage.network.go_on(actor, None)


def crossing(stage: Stage, word: Word) -> None:
    """People act at one record and a run passes, twice, while events are held back; then these come across one another."""
    if not stage.mood.faulty:
        return
    record = record_of(stage, word)
    for _ in range(2):
        for _ in range(1 + word.take(3)):
            word.pick((_edit_in_the_app, _delete_in_the_app, _saves_here))(stage, word, record)
        stage.sleep(1.5)
        stage.network.go_on(stage.start("sync"), None)
    path = ENTITIES[record.entity].path(record)
    held_back = [each for each in stage.events() if not each.busy and each.event.path == path]
    for late in held_back[:: -1 if word.take(2) else 1]:
        _comes(stage, late)
    word.pick((_saves_here, _edit_in_the_app))(stage, word, record)


def _only_here(stage: Stage) -> list[RecordId]:
    """Return the things that the backend has, and the app has not."""
    return [each for each in (*THINGS, *MORE) if stage.office.values(each) is not None and not stage.clients.exists(each)]


def _comes_and_goes(stage: Stage, record: RecordId) -> None:
    """Somebody with the app makes a record, or has one, and deletes it; each event comes at once."""
    stage.network.say(f"  a client makes and deletes {record.key}")
    if not stage.clients.exists(record):
        stage.clients.set(record, {ENTITIES[record.entity].names[0]: stage.ledger.value()})
        _comes(stage, stage.events()[-1])
    stage.sleep(1.5)
    stage.clients.delete(record)
    _comes(stage, stage.events()[-1])


def _edit_in_the_app(stage: Stage, word: Word, record: RecordId) -> None:
    """Somebody edits a document that is there; its event comes at once."""
    if stage.clients.exists(record):
        stage.sleep(0.001)
        stage.clients.update(record, fields_of(stage, word, record, clients=True))
        _comes(stage, stage.events()[-1])


def _delete_in_the_app(stage: Stage, word: Word, record: RecordId) -> None:
    if stage.clients.exists(record):
        stage.sleep(1.5)
        stage.clients.delete(record)


def _saves_here(stage: Stage, word: Word, record: RecordId) -> None:
    stage.sleep(0.001)
    stage.network.say(f"  django saves {record.key}: {saves(stage, word, record)}")


def _comes(stage: Stage, late: Late) -> None:
    actor = stage.deliver(late)
    if actor is not None:
        stage.network.go_on(actor, None)


def _meanwhile_an_event(stage: Stage, word: Word) -> None:
    waiting = [each for each in stage.events() if not each.busy]
    if waiting:
        _comes(stage, waiting[word.take(len(waiting))])
