"""What processes have used: the most memory that this one has held at once, and the processor time of others. Linux only."""

import os
from pathlib import Path

PROC = Path("/proc")


def peak_mib() -> float:
    """Return the peak of this process's resident memory in MiB.

    Not getrusage's ru_maxrss: that is inherited from the process that started this one.
    """
    status = (PROC / "self" / "status").read_text(encoding="ascii")
    found = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024


def processor_seconds(group: int) -> float:
    """Return the processor time of all processes of a group that are running."""
    used = 0
    for file in PROC.glob("[0-9]*/stat"):
        try:
            after_name = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(after_name[2]) == group:
            used += int(after_name[11]) + int(after_name[12])
    return used / os.sysconf("SC_CLK_TCK")
