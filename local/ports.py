"""Ports on 127.0.0.1 that nobody uses."""

import os
import random
import socket

from local.errors import StackError

HOST = "127.0.0.1"
# Below the ranges from which Linux (32768) and macOS (49152) take ports for outgoing connections, so that
# none of those lands on a port between our choosing it and the server's binding it.
FIRST, LAST = 20_000, 32_000
_handed_out: set[int] = set()


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free now and was not handed out by this process before."""
    return free_row(1)[0]


def free_row(number: int) -> range:
    """Return so many ports in a row, each free now and not handed out by this process before."""
    choice = random.SystemRandom()
    for _ in range(1000):
        first = choice.randint(FIRST, LAST - number + 1)
        row = range(first, first + number)
        if _handed_out.isdisjoint(row) and all(map(is_free, row)):
            _handed_out.update(row)
            return row
    many = "port" if number == 1 else f"{number} ports in a row"
    raise StackError(f"no free {many} between {FIRST} and {LAST} on {HOST}: stop some of what listens there")


def port_from(variable: str) -> int:
    """Return the port that an environment variable asks for, or any free one where it is unset.

    Raises StackError if the variable is no port, or the port is taken.
    """
    wanted = os.environ.get(variable)
    if not wanted:
        return free_port()
    if not wanted.isdecimal() or not 0 < int(wanted) < 65536:
        raise StackError(f"{variable} must be a port between 1 and 65535, not {wanted!r}")
    if not is_free(int(wanted)):
        raise StackError(f"port {wanted} ({variable}) is taken: stop what listens there, or set another port")
    return int(wanted)
