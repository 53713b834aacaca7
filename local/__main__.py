"""`python -m local COMMAND`: each command is a module of this package with a `main(arguments)`."""

import os
import sys
from importlib import import_module

from local.errors import StackError
from local.ports import HOST
from local.process import exit_on_sigterm

COMMANDS = ("up", "demo", "demo_bakalari", "demo_ojs", "demo_agents")


def main() -> int:
    """Run a command; return 0, 1 with one sentence for a StackError, or 2 for a wrong command."""
    command, *rest = sys.argv[1:] or [""]
    if command not in COMMANDS:
        sys.stderr.write(f"usage: python -m local {{{'|'.join(COMMANDS)}}} [OPTIONS]\n")
        return 2
    exit_on_sigterm()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{HOST},localhost"  # everything that we talk to is here
    try:
        import_module(f"local.{command}").main(rest)
    except StackError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
