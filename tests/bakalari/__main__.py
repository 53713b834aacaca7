"""`python -m bakalari [--port N]`: two made-up schools, at the port given and at the one after it."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

from bakalari.school import School
from bakalari.server import serving


def main() -> None:
    """Serve until told to stop; say where, and what to type."""
    parser = argparse.ArgumentParser(prog="python -m bakalari", description="A stand-in for Bakaláři; it is none.")
    parser.add_argument("--port", type=int, default=8340, help="the first of two ports on 127.0.0.1 (%(default)s)")
    first = parser.parse_args().port
    with ExitStack() as exits:
        for number in range(2):
            url = exits.enter_context(serving(School(now=lambda: datetime.now(UTC)), first + number))
            form = "client_id=ANDR&grant_type=password&username=vzor1&password=heslo-1"
            sys.stdout.write(f"stand-in for a Bakaláři school: curl -d '{form}' {url}/api/login\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
