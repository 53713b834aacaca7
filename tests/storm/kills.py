"""Edits at both sides without a pause, and meanwhile one kill -9 after the other."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from contextlib import ExitStack
from random import Random
from typing import Any, Self

import requests
from google.cloud.firestore_v1.base_query import FieldFilter
from town import ENTITY, Town

from local.process import wait_until
from shared.model import instant
from shared.naming import state_id
from shared.peers.documents import snapshot_of
from storm.eventarc import Post
from storm.stand import Call, Stand

KILLS, IN_THE_MIDDLE, TRACKER_KILLS, BACKEND_KILLS = 50, 10, 10, 3
ROUNDS = 150
"""After so many, whatever was not reached is said."""
KEYS = tuple(f"{number:04}" for number in range(300))
FORGETTABLE = frozenset(KEYS[::6])
PAUSE = 0.2
"""Seconds between two edits at most."""
UNFIT = 0.03
WEIGHTS = {"kill_function": 55, "kill_trackers": 20, "kill_backend": 6, "let_through": 19}
LONGEST_RUN = 10.0
"""Seconds after which a run that waits for the locks of dead ones is killed too."""

BEFORE, BETWEEN, AFTER, OVER = "before the first apply", "between two applies", "after the last apply", "after the run's end"


class Editors:
    """The town, writing in a thread of its own until the end of `with`; under `lock` nobody writes."""

    def __init__(self, town: Town, dice: Random) -> None:
        self.town, self.lock = town, threading.Lock()
        self._dice, self._over = dice, threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        try:
            while not self._over.wait(self._dice.uniform(0, PAUSE)):
                with self.lock:
                    self.town.edit()
        except Exception as error:  # told to the one who waits
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error:
            raise self._error


class Storm:
    """Breaks the stand while the editors write, and counts what it broke, and where it hit."""

    def __init__(self, stand: Stand, dice: Random) -> None:
        self.stand, self.dice = stand, dice
        self.counts: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.run_phases: Counter[str] = Counter()
        self.event_phases: Counter[str] = Counter()
        self._scheduled, self._typical = itertools.count(1), 1.0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self.town = Town(self._new_users(), self.stand.firestore, Random(self.dice.random()), KEYS, unfit=UNFIT)
        self.function, self.trackers = self.stand.instances.take(), self.stand.instances.take()
        self.stand.eventarc.target = self.trackers.url
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _new_users(self) -> Any:
        return self._exits.enter_context(self.stand.users())

    def rage(self) -> None:
        """Go on until enough was killed in enough places."""
        self.stand.proxy.faults[""] = self.stand.weather
        with Editors(self.town, Random(self.dice.random())) as editors:
            for _ in range(ROUNDS):
                getattr(self, self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])()
                if self.kills >= KILLS / 2 and not self.counts["PostgreSQL restarted"]:
                    self.restart_database(editors)
                if self._enough():
                    break
        self.stand.proxy.faults.clear()

    @property
    def kills(self) -> int:
        """How many function processes were killed."""
        return self.counts["kill -9 of the function"] + self.counts["kill -9 of the trackers"]

    def _enough(self) -> bool:
        wanted = {"kill -9 of the trackers": TRACKER_KILLS, "kill -9 of the backend": BACKEND_KILLS, "PostgreSQL restarted": 1}
        everywhere = all(self.counts[kind] >= number for kind, number in wanted.items())
        return self.kills >= KILLS and everywhere and self.run_phases[BETWEEN] >= IN_THE_MIDDLE

    def _call(self) -> Call:
        self.runs["begun"] += 1
        return Call(self.function, self.stand.stack, f"{next(self._scheduled)}")

    def kill_function(self) -> None:
        """Kill the function's process at some moment of a run, see where it was, and go on with another one."""
        waiting, mark = self._waiting(), self._mark()
        call = self._call()
        call.over(self.dice.uniform(0, 0.9 * self._typical))
        self._kill_function(call)
        self.run_phases[self._phase(call, waiting, mark)] += 1

    def _kill_function(self, call: Call) -> None:
        """The lease of a killed run would run out in two minutes; it is taken away."""
        self.function.child.kill()
        self.counts["kill -9 of the function"] += 1
        call.over(60)
        self.stand.firestore.document("sync_leases/members").delete()
        self.function = self.stand.instances.take()

    def let_through(self) -> None:
        """Let a run come to its end, or kill it if it takes too long."""
        self._finish(self._call())

    def _finish(self, call: Call, usual: bool = True) -> None:
        if not call.over(LONGEST_RUN):
            self._kill_function(call)
            self.run_phases["while it waited for a lock"] += 1
        elif call.answer is not None:
            self.runs[f"answered {call.answer.status_code}"] += 1
            seconds = call.answer.elapsed.total_seconds()
            self._typical = 0.7 * self._typical + 0.3 * seconds if usual else self._typical

    def kill_trackers(self) -> None:
        """Kill the trackers' process while it has an event in its hands, beside a run that goes through."""
        call = self._call()
        wait_until(lambda: bool(self.stand.eventarc.out()), "an event on its way")
        call.over(self.dice.uniform(0, 0.003))
        out = self.stand.eventarc.out()
        self.trackers.child.kill()
        self.counts["kill -9 of the trackers"] += 1
        self.event_phases[self._event_phase(out)] += 1
        self.trackers = self.stand.instances.take()
        self.stand.eventarc.target = self.trackers.url
        self._finish(call)

    def kill_backend(self) -> None:
        """Kill Django at some moment of a run. PostgreSQL stays, and rolls back what was under way."""
        call, backend = self._call(), self.stand.stack.backend
        call.over(self.dice.uniform(0, self._typical))
        backend.kill()
        self.counts["kill -9 of the backend"] += 1
        backend.start()
        self._finish(call, usual=False)

    def restart_database(self, editors: Editors) -> None:
        """Restart PostgreSQL at some moment of a run, as after a crash, between two edits of people."""
        call = self._call()
        call.over(self.dice.uniform(0, self._typical))
        with editors.lock:
            self.stand.postgres.stop()
            self.stand.postgres.start()
            self.town.users = self._new_users()
        self.counts["PostgreSQL restarted"] += 1
        self._finish(call, usual=False)

    # Where a kill has hit

    def _mark(self) -> tuple[int, int]:
        return len(self.stand.eventarc.taken), len(self.stand.proxy.done)

    def _waiting(self) -> dict[tuple[str, str], str]:
        """Return what waits in the queues: (side, id): key."""
        query = self.stand.firestore.collection("sync_queue").where(filter=FieldFilter("sync_status", "==", "pending"))
        waiting = {("firestore", row.id): row.get("key") for row in query.stream()}
        stack = self.stand.stack
        headers = {"Authorization": f"Token {stack.backend_token}"}
        body = requests.get(f"{stack.backend_url}/changes/?entity={ENTITY}&limit=1000", headers=headers, timeout=60).json()
        return waiting | {("django", row["id"]): row["key"] for row in body["results"]}

    def _phase(self, call: Call, waiting: dict[tuple[str, str], str], mark: tuple[int, int]) -> str:
        run = self.stand.firestore.document(f"sync_runs/{state_id('members', call.run_id)}").get()
        if run.exists and run.get("status") != "running":
            return OVER
        self.stand.eventarc.wait_until_taken(self.stand.firestore)
        carried = any(_carried(post) for post in self.stand.eventarc.taken[mark[0] :])
        sent = [request for request in self.stand.proxy.done[mark[1] :] if request.call == "apply"]
        if not carried and not sent:
            return BEFORE
        applied = {("firestore", change["key"]) for request in sent for change in request.json["changes"]}
        left = {(side, waiting[side, id]) for side, id in waiting.keys() & self._waiting().keys()}
        return AFTER if left <= applied else BETWEEN

    def _event_phase(self, out: list[Post]) -> str:
        if not out:
            return "between two events"
        queue = self.stand.firestore.collection("sync_queue")
        if any(queue.document(id).get().exists for post in out if (id := _entry_id(post))):
            return "after an event's commit, before its answer"
        return "in the middle of an event"


def _carried(post: Post) -> bool:
    """Whether an event is of a document to which something of Django's was just applied."""
    event = post.event
    return bool(_of_django(event.value) - _of_django(event.old_value))


def _of_django(document: Any) -> set[str]:
    lines = document.fields["_sync"].map_value.fields["fields"].map_value.fields if "_sync" in document.fields else {}
    return {line.string_value for line in lines.values() if "|django|" in line.string_value}


def _entry_id(post: Post) -> str | None:
    """Return the id that the queue entry of an event's write has; none for a delete, whose time only the tracker knows."""
    event = post.event
    if not event.value.name:
        return None
    document = snapshot_of(event.value)
    return state_id(ENTITY, document.path.rpartition("/")[2], at=instant(document.update_time)) if document.update_time else None
