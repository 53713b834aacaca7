"""`python -m ojs [--port N]`: the sample installations, 3.3 at the port given and 3.4 to 3.6 at the three after it."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack

from ojs.sample import installations, journal_of, token_of
from ojs.server import serving


def main() -> None:
    """Serve until told to stop; say where, and what to type."""
    parser = argparse.ArgumentParser(prog="python -m ojs", description="A stand-in for OJS 3.3 to 3.6; no OJS.")
    parser.add_argument("--port", type=int, default=8330, help="the first of four ports on 127.0.0.1 (%(default)s)")
    first = parser.parse_args().port
    with ExitStack() as exits:
        for number, (version, site) in enumerate(installations().items()):
            url = exits.enter_context(serving(site, first + number))
            path = journal_of(site).path
            call = f'curl -H "Authorization: Bearer {token_of(path)}" {url}/index.php/{path}/api/v1/submissions'
            sys.stdout.write(f"stand-in for OJS {version}: {call}\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
