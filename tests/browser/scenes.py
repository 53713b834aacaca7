"""What the pages are shown with: members on both sides, what waits, what is in conflict, what was refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from proxy import Forward, Proxy
from real import Real

from local.process import wait_until

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


def everything(world: Real) -> None:
    """All of it, and something that waits on each side."""
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
