"""Code snippets in fresh processes: what an import takes, in seconds and in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Target
from local.bundle import stage

ALONE = "import functions_framework, google.cloud.firestore"
BUNDLE = "import main"
MEASURED = """
import resource, time
began = time.perf_counter()
{imports}
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def imports(folder: Path, repetitions: int) -> Iterator[Figure]:
    """Yield the import time and memory of the staged bundle against those of what any such function needs, in turn."""
    bundle = stage(folder / "bundle")
    _measured(BUNDLE, bundle), _measured(ALONE, bundle)  # so that everything is compiled, and in the disk's cache
    pairs = [(_measured(BUNDLE, bundle), _measured(ALONE, bundle)) for _ in range(repetitions)]
    note = "against functions_framework and google.cloud.firestore alone"
    for place, what, bound in ((0, "time", 1.5), (1, "memory", None)):
        ratios = [ours[place] / alone[place] for ours, alone in pairs]
        target = Target(at_most=bound) if bound else None
        yield Figure("import", f"the bundle's import {what}", ratios, "", target, note)


def _measured(code: str, folder: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", MEASURED.format(imports=code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)
