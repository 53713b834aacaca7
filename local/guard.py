"""Becomes the command it is given, but dies with the process that started it.

Run as a file, `guard.py PARENT_PID COMMAND...`, with nothing imported of ours. A `preexec_fn` would save a process
start, but it runs between fork and exec, where threads (gRPC has some) can hold locks for ever.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept over exec


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death (Linux only), then exec the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main()
