"""Memory and time per change against the size of the backlog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.delta import TO_FIRESTORE, WrongOutcome
from bench.figures import Figure, Target
from bench.processes import processor_seconds
from bench.stand import Stand

FIGURES = {
    "peak memory": Target(at_most=1.2),
    "time per change": Target(at_most=1.15),
    "the run's processor time per change": Target(at_most=1.15),
    "the backend's processor time per change": None,
    "the emulator's processor time per change": None,
}
"""What is compared, and by how much it may grow. Processor time says whose a growth is, on a busy machine too."""


def backlogs(stand: Stand, sizes: Sequence[int], repetitions: int) -> Iterator[Figure]:
    """Carry new members to an empty collection, of each size in turn, each in a fresh process."""
    measured = {size: [_carried(stand, size) for _ in range(repetitions)] for size in sizes}
    least, note = sizes[0], "creations; the large sizes only with BENCH=large" if max(sizes) < 200_000 else "creations"
    for size in sizes[1:]:
        for name, target in FIGURES.items():
            grown = [big[name] / small[name] for big, small in zip(measured[size], measured[least], strict=True)]
            yield Figure("backlog", f"{name}, {size:,} waiting / {least:,}", grown, "", target, note)
    peaks = [each["peak memory"] for each in measured[sizes[-1]]]
    yield Figure("backlog", f"peak memory at {sizes[-1]:,}", peaks, "MiB", Target(at_most=256), note)


def _carried(stand: Stand, size: int) -> dict[str, float]:
    """Return what one such run took: memory in all, times per change."""
    documents = stand.firestore.documents("members", ["name"])
    stand.firestore.delete([each.name for each in documents])
    stand.side("pend", limit=size)
    peers = {"the backend's": stand.gunicorn.pid or 0, "the emulator's": stand.stack.emulator.pid or 0}
    before = {whose: processor_seconds(group) for whose, group in peers.items()}
    done = stand.ours("sync", "--direction", TO_FIRESTORE)
    used = {whose: processor_seconds(group) - before[whose] for whose, group in peers.items()}
    applied = done["report"]["directions"][TO_FIRESTORE]["applied"]
    if applied < size:
        raise WrongOutcome(f"of {size} changes {applied} were applied")
    times = {"time": done["seconds"], "the run's processor time": done["processor"]}
    times |= {f"{whose} processor time": seconds for whose, seconds in used.items()}
    return {"peak memory": done["peak_mib"]} | {f"{name} per change": seconds / size for name, seconds in times.items()}
