"""What the pages are shown with: members on both sides, what waits, what is in conflict, what was refused."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from proxy import Forward, Proxy
from real import Real

from local.process import wait_until
from shared.model import Billed
from shared.statistics import Figures

ANNA, JON, SIGGA = "0101701234", "0202805678", "0303909012"
NAMES = {ANNA: "Anna Jónsdóttir", JON: "Jón Árnason", SIGGA: "Sigríður Þórsdóttir"}


def members(world: Real) -> None:
    """Three members, a branch and two interests, in step."""
    world.users.call("save", entity="branch", key="RVK", fields={"name": "Reykjavík", "city": "Reykjavík"})
    for slug, name in (("chess", "Chess"), ("choir", "Choir")):
        world.users.call("save", entity="interest", key=slug, fields={"name": name})
    for number, (key, name) in enumerate(NAMES.items()):
        fields: dict[str, Any] = {"name": name, "email": f"m{number}@example.is", "phone": f"555 000{number}", "branch": "RVK"}
        world.users.call("save", entity="member", key=key, fields=fields)
    world.sync()
    world.wait_for_triggers()
    world.sync()


def in_django(world: Real, key: str, **fields: Any) -> None:
    """Edit a member as somebody does in Django's admin."""
    world.users.call("save", entity="member", key=key, fields=fields)


def in_firestore(world: Real, key: str, **fields: Any) -> None:
    """Edit a member as an app does, and wait until the edit is queued."""
    world.firestore.document(f"members/{key}").update(fields)
    wait_until(lambda: any(set(fields) & set(row["fields"]) for row in waiting(world, key)), "the edit in the queue", 30)


def waiting(world: Real, key: str) -> list[dict[str, Any]]:
    return world.rows("sync_queue", sync_status="pending", key=key)


def open_conflict(world: Real, key: str = ANNA) -> None:
    """Both sides write the phone, whose policy is manual: somebody has to decide."""
    in_django(world, key, phone="555 1111")
    in_firestore(world, key, phone="555 2222")
    world.sync()


def settled_conflict(world: Real, key: str = JON) -> None:
    """Both sides write the name; the later write wins at once."""
    in_django(world, key, name="Jón Á. Árnason")
    in_firestore(world, key, name="Jón Árni Árnason")
    world.sync()


def dead_letter(world: Real, key: str = SIGGA) -> None:
    """An app writes more than the model has room for."""
    in_firestore(world, key, phone="5" * 41)
    world.sync()
    assert world.rows("sync_dead_letters", status="open")


def history(world: Real, today: date) -> None:
    """What the runs of the last 59 days came to: quiet on Sundays, busy in between, with a bad day three weeks ago."""
    batch = world.firestore.batch()
    for back in range(1, 60):
        day = today - timedelta(days=back)
        changes = 4 if day.weekday() == 6 else round(90 + 45 * math.sin(back / 6) + 13 * (back % 5))
        troubles = {5: 2, 21: 7, 40: 1}.get(back, 0)
        figures = Figures(
            24,
            changes=changes,
            conflicts=troubles,
            dead_letters=troubles // 3,
            durations=Counter({50 + back // 20: 22, 58 - back // 12: 2}),
        )
        figures.billed, figures.costs = Billed(3 * changes, 2 * changes, 0), Counter(USD=changes * 0.0000054)
        expiry = {"expire_at": datetime(2030, 1, 1, tzinfo=UTC)}
        body = {"pair": "members", "day": day.isoformat(), **figures.as_kept(), **expiry}
        batch.set(world.firestore.document(f"sync_statistics/members:{day}"), body)
    batch.commit()


def everything(world: Real) -> None:
    """All of it, something that waits on each side, and the figures of two months."""
    history(world, datetime.now(UTC).date())
    members(world)
    open_conflict(world)
    settled_conflict(world)
    dead_letter(world)
    in_django(world, SIGGA, notes="prefers letters")
    in_firestore(world, JON, phone="555 3333")


@contextmanager
def held_up(door: Proxy, function: str) -> Iterator[Callable[[], None]]:
    """Within, calls of a function wait at the door; give what lets one of them pass. Those left over pass at the end."""
    turn, over = threading.Semaphore(0), threading.Event()

    def wait(_: object, forward: Forward) -> bool:
        while not over.is_set() and not turn.acquire(timeout=0.05):
            pass
        return False

    door.faults[function] = wait
    try:
        yield turn.release
    finally:
        del door.faults[function]
        over.set()
