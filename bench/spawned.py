"""What is measured in fresh processes alone: what an import takes, and the backend's apply."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Target
from local.bundle import ROOT, stage

ALONE = "import functions_framework, google.cloud.firestore"
BUNDLE = "import main"
APPLY = Path(__file__).with_name("apply.py")
MEASURED = """
import sys, time
began = time.perf_counter()
{imports}
seconds = time.perf_counter() - began
sys.path.append({root!r})
from bench.processes import peak_mib
print(seconds, peak_mib())
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
    command = [sys.executable, "-c", MEASURED.format(imports=code, root=str(ROOT))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def applied(database: str, rows: int) -> Iterator[Figure]:
    """Yield plain Django's time against that of apply, for the same rows; see apply.py."""
    named = {"postgresql": "postgres"}.get(database, database)
    command = [sys.executable, "-m", "bench.apply", "--rows", str(rows), "--database", named, "--json"]
    done = json.loads(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout)
    for what in ("creations", "updates"):
        ratio = done[what]["ratio"]
        yield Figure(
            f"apply, {database}", f"{what}: plain Django's time / apply's", [ratio], "", Target(at_least=0.4), f"{rows:,} rows"
        )
