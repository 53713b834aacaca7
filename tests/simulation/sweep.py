"""`python -m simulation.sweep [PAIRS]`: every fault at every call of every scenario, then pairs of faults."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, product
from multiprocessing import get_context

from simulation.ending import end
from simulation.faults import Fault
from simulation.scenarios import SCENARIOS, Scenario

KINDS = ("crash before", "crash after", "lost answer", "doubled")
PAIRS = 400
"""Of one scenario: of all pairs of faults, so many are tried, evenly spread over them."""


@dataclass
class Swept:
    """A scenario: its calls when all goes well, the single faults and the pairs tried, and what went wrong, by plan."""

    name: str
    calls: int
    singles: int = 0
    pairs: int = 0
    all_pairs: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def play(scenario: Scenario, plan: Mapping[int, Fault], trace: list[str] | None = None) -> tuple[int, str | None]:
    """Do the work of a scenario under a plan (call number, from 1: fault), bring all to rest and close the books.

    Returns the number of calls made, and what did not hold.
    """
    stage = scenario.open(trace)
    before = stage.network.calls
    stage.network.plan = {before + number: fault for number, fault in plan.items()}
    try:
        for work in scenario.works:
            actor = work(stage)
            if actor is not None:
                stage.network.go_on(actor, None)
        calls = stage.network.calls - before
        stage.network.plan.clear()
        end(stage)
    except Exception as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        stage.network.drop()
    return calls, None


def single_plans(calls: int) -> list[dict[int, Fault]]:
    """Return a plan for every fault at every call."""
    return [{number: Fault(kind)} for number, kind in product(range(1, calls + 1), KINDS)]


def pair_plans(calls: int, most: int) -> tuple[list[dict[int, Fault]], int]:
    """Return plans of two faults, evenly taken from all that there are, and how many there are."""
    faults = [(number, Fault(kind)) for number, kind in product(range(1, calls + 1), KINDS)]
    pairs = [dict(pair) for pair in combinations(faults, 2) if pair[0][0] != pair[1][0]]
    stride = max(1, -(-len(pairs) // most))
    return pairs[::stride], len(pairs)


def sweep(name: str, most_pairs: int = PAIRS) -> Swept:
    """Sweep one scenario."""
    scenario = SCENARIOS[name]
    calls, failure = play(scenario, {})
    swept = Swept(name, calls)
    singles, (pairs, swept.all_pairs) = single_plans(calls), pair_plans(calls, most_pairs)
    swept.singles, swept.pairs = len(singles), len(pairs)
    if failure:
        swept.failures["no fault"] = failure
    for plan in (*singles, *pairs):
        _, failure = play(scenario, plan)
        if failure:
            swept.failures[", ".join(f"{fault.kind} at call {number}" for number, fault in plan.items())] = failure
    return swept


def sweeps(most_pairs: int = PAIRS) -> Iterator[Swept]:
    """Yield every scenario, swept."""
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn")) as pool:
        yield from pool.map(sweep, SCENARIOS, [most_pairs] * len(SCENARIOS))


def main(given: Sequence[str]) -> int:
    done = []
    for each in sweeps(int(given[0]) if given else PAIRS):
        tried = f"{each.singles:5} single, {each.pairs:5} of {each.all_pairs} pairs"
        sys.stdout.write(f"{each.name:52} {each.calls:4} calls {tried}\n")
        sys.stdout.writelines(f"  {plan}: {failure}\n" for plan, failure in list(each.failures.items())[:5])
        sys.stdout.flush()
        done.append(each)
    calls, singles, pairs = (sum(getattr(each, name) for each in done) for name in ("calls", "singles", "pairs"))
    failures = sum(len(each.failures) for each in done)
    sys.stdout.write(f"{len(done)} scenarios, {calls} calls, {singles} single faults, {pairs} pairs, {failures} failed\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
