"""Actors (a run, the delivery of an event) that stop before and after every call, and go on when the scheduler says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from greenlet import getcurrent, greenlet

from simulation.faults import STOPS, Crash, Fault

ENDLESS = 5_000
AFTER = frozenset({"crash after", "stop after"})
"""Faults that befall an actor once its call is done; the others change the call, or come before it."""


class Actor:
    """Somebody at work. `points` are the moments before and after its calls that it may still pass by itself."""

    def __init__(self, name: str, work: Callable[[], None], reads_only: bool = False) -> None:
        self.name, self.reads_only = name, reads_only
        self.greenlet = greenlet(work)
        self.points: int | None = 0
        self.fault: Fault | None = None
        self.calls = 0
        self.crashed = False
        self.held_until = 0
        """The number of the step before which it does not go on."""

    @property
    def done(self) -> bool:
        return self.greenlet.dead


@dataclass
class Network:
    """Stands between the actors and both systems. `trace` is None where nobody reads it."""

    trace: list[str] | None = None
    actors: list[Actor] = field(default_factory=list)
    running: Actor | None = None
    injected: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    plan: dict[int, Fault] = field(default_factory=dict)
    """What befalls which call, by its number, whoever makes it."""

    @property
    def steps(self) -> int:
        """How many steps the schedule has done."""
        return self.injected["steps"]

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(text)

    def go_on(self, actor: Actor, points: int | None, fault: Fault | None = None) -> None:
        """Let an actor pass so many points (None: all), then meet the fault if there is one, then stop, or end."""
        actor.points, actor.fault = points, fault
        before, self.running = self.running, actor
        actor.greenlet.parent = getcurrent()
        try:
            actor.greenlet.switch()
        except Crash:
            actor.crashed = True
            self.say(f"  {actor.name} is gone")
        finally:
            self.running = before
        if actor.done:
            self.actors.remove(actor)

    def gate(self, label: str, act: Callable[[Fault | None], Any]) -> Any:
        """Make a call of the actor that is running, with what befalls it."""
        actor = self.running
        if actor is None or actor.greenlet is not getcurrent():
            return act(None)
        if actor.crashed:
            raise Crash
        self.calls += 1
        actor.calls += 1
        if actor.calls > ENDLESS:
            raise AssertionError(f"{actor.name} never ends")
        planned = self.plan.get(self.calls)
        fault = self._point(actor, label, before=True)
        if planned is not None and planned.kind not in AFTER:
            fault = planned
        answer = self._made(actor, label, act, fault)
        if self._point(actor, label, before=False) or (planned is not None and planned.kind in AFTER):
            self._crash(actor, label, "crash after")
        return answer

    def _made(self, actor: Actor, label: str, act: Callable[[Fault | None], Any], fault: Fault | None) -> Any:
        if fault is not None and fault.kind == "crash before":
            self._crash(actor, label, fault.kind)
        if fault is not None:
            self.injected[f"{label.split()[0]} {fault.kind}"] += 1
        if self.trace is None:
            return act(fault)
        self.say(f"  {actor.name}: {label}" + (f" [{fault.kind} {fault.detail}]" if fault else ""))
        return act(fault)

    def _crash(self, actor: Actor, label: str, kind: str) -> None:
        self.injected[kind] += 1
        self.say(f"  {actor.name}: {label} [{kind}]")
        actor.crashed = True
        raise Crash

    def _point(self, actor: Actor, label: str, before: bool) -> Fault | None:
        """Stop here, if this is where the actor was told to stop; return the fault that it meets here, if any."""
        while actor.points is not None:
            if actor.points > 0:
                actor.points -= 1
                return None
            fault = actor.fault
            if fault is not None and (before is (fault.kind in AFTER) or not _fits(fault, label)):
                return None  # it comes at the next call that it can befall
            if fault is not None and fault.kind not in STOPS:
                return self._met(actor, fault)
            self._stop(actor, f"{'before' if before else 'after'} {label}")
        return None

    def _stop(self, actor: Actor, where: str) -> None:
        self.say(f"  {actor.name} stops {where}")
        assert actor.greenlet.parent is not None
        actor.greenlet.parent.switch()
        if actor.crashed:
            raise Crash

    def _met(self, actor: Actor, fault: Fault) -> Fault:
        if fault.times > 1:
            actor.fault = replace(fault, times=fault.times - 1)
        else:
            actor.fault, actor.points = None, None
        return fault

    def finish(self) -> None:
        """Let every actor come to its end."""
        while self.actors:
            self.go_on(self.actors[0], None)

    def drop(self) -> None:
        """Forget the actors that are still under way."""
        for actor in self.actors:
            actor.crashed = True
            actor.greenlet.parent = getcurrent()
            try:
                actor.greenlet.throw(Crash)
            except Crash:
                continue
        self.actors.clear()


def _fits(fault: Fault, label: str) -> bool:
    """Return whether a call can meet the fault: only bulk writes fail in part, and reading twice is no fault."""
    if fault.kind == "doubled" and not (" POST " in label or label.startswith(("firestore write", "firestore commit"))):
        return False
    return fault.at in label and (fault.kind != "partial" or label.startswith("firestore write"))
