"""Memory and time per change against the size of the backlog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.delta import TO_FIRESTORE, WrongOutcome
from bench.figures import Figure, Target
from bench.stand import Stand


def backlogs(stand: Stand, sizes: Sequence[int], repetitions: int) -> Iterator[Figure]:
    """Carry new members to an empty collection, of each size in turn, each in a fresh process."""
    memory: dict[int, list[float]] = {size: [] for size in sizes}
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repetitions):
        for size in sizes:
            documents = stand.firestore.documents("members", ["name"])
            stand.firestore.delete([each.name for each in documents])
            stand.side("pend", limit=size)
            done = stand.ours("sync", "--direction", TO_FIRESTORE)
            applied = done["report"]["directions"][TO_FIRESTORE]["applied"]
            if applied < size:
                raise WrongOutcome(f"of {size} changes {applied} were applied")
            memory[size].append(done["peak_mib"])
            seconds[size].append(done["seconds"] / size)
    least, note = sizes[0], "creations; the issue's sizes only with BENCH=large" if max(sizes) < 200_000 else "creations"
    for size in sizes[1:]:
        name = f"{size:,} waiting / {least:,}"
        heavier = [big / small for big, small in zip(memory[size], memory[least], strict=True)]
        slower = [big / small for big, small in zip(seconds[size], seconds[least], strict=True)]
        yield Figure("backlog", f"peak memory, {name}", heavier, "", Target(at_most=1.2), note)
        yield Figure("backlog", f"time per change, {name}", slower, "", Target(at_most=1.15), note)
    yield Figure("backlog", f"peak memory at {sizes[-1]:,}", memory[sizes[-1]], "MiB", Target(at_most=256), note)
