"""The most memory that this process has held at once."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Return the peak of the resident memory in MiB. Linux only.

    Not getrusage's ru_maxrss: that is inherited from the process that started this one.
    """
    found = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024
