"""How far a full reconcile came, kept after each page, so that the next one goes on from there after a crash or a cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from shared.naming import state_id
from shared.native import loaded, stored
from shared.report import comparison_of
from shared.run import Run

GOOD_FOR = timedelta(days=1)
"""Older ones are not gone on with: what was compared that long ago may have come to differ since."""


@dataclass
class Progress:
    """The checkpoint of one scope: entity, tenant, last key done, and the figures up to there."""

    run: Run
    name: str | None = None
    """None: nothing is kept, and nothing gone on with."""
    start: tuple[str, str | None, str] | None = None
    kept: bool = False

    @classmethod
    def begun(cls, run: Run, resumable: bool, restart: bool) -> Progress:
        """Return where to start: at the beginning, or where an earlier run was cut off."""
        scope = run.pair.scope
        if not resumable:
            return cls(run)
        progress = cls(run, state_id(run.pair.name, "+".join(scope.entities), scope.tenant))
        if not restart:
            progress._go_on()
        return progress

    def _go_on(self) -> None:
        found = self.run.store.checkpoint(self.name or "")
        self.kept = bool(found)
        if not found or self.run.now() - found["at"] > GOOD_FOR or not self._is_place(found["entity"], found["tenant"]):
            return
        self.start = found["entity"], found["tenant"], loaded("after", found["after"])
        self.run.report.resumed_from = found["run_id"]
        self.run.report.reconciled |= {name: comparison_of(figures) for name, figures in found["reconciled"].items()}

    def _is_place(self, entity: str, tenant: str | None) -> bool:
        pair = self.run.pair
        return entity in pair.scope.entities and tenant in pair.tenants_of(entity)

    def passed(self, entity: str, tenant: str | None) -> bool:
        """Return whether this part was done by the run that is gone on with."""
        return self.start is not None and self.start[:2] != (entity, tenant)

    def take_start(self) -> str | None:
        """Return the key after which to start, of the part that was cut off; None for all parts after it."""
        start, self.start = self.start, None
        return start[2] if start else None

    def reached(self, entity: str, tenant: str | None, after: str | None) -> None:
        """Keep that everything up to this key is compared and mended."""
        if self.name is None or after is None:
            return
        figures = {name: asdict(each) for name, each in self.run.report.reconciled.items()}
        place = {"entity": entity, "tenant": tenant, "after": stored("after", after)}
        run = {"pair": self.run.pair.name, "run_id": self.run.order.run_id, "at": self.run.now()}
        self.run.store.keep_checkpoint(self.name, run | place | {"reconciled": figures})
        self.kept = True

    def finished(self) -> None:
        """Forget the checkpoint: all is done."""
        if self.name is not None and self.kept:
            self.run.store.keep_checkpoint(self.name, None)
