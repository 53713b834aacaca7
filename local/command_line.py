"""Describes the command line: `python -m local.command_line` prints docs/command-line.md, made from the commands themselves."""

import re
import sys
from pathlib import Path
from typing import Any

import typer

HEAD = """# The command line

`./bothways COMMAND`, in the folder of the project or through a link to it. It works in its own process, with the environment
variables that the functions have, or with those in a file (`--env`). `make docs` writes this page from the commands. What they
are for is told in [operating.md](operating.md), and what to do in trouble in [operations.md](operations.md).

With `--json` a command prints one JSON document on stdout, also where it fails; sentences for people are on stderr, and so is the
log with `--verbose`. Progress is shown on stderr where that is a terminal. A misspelt name is answered with the nearest ones. For
completion in bash, zsh, fish or PowerShell: `./bothways --install-completion`, then a new shell.

| exit code | |
| --- | --- |
"""


def page() -> str:
    """Return the page as it should be."""
    from shared.__main__ import app
    from shared.cli import EXIT_CODES

    root: Any = typer.main.get_command(app)
    codes = re.findall(r"(\d) (.+?)(?:; |\.$)", EXIT_CODES)
    table = "".join(f"| {number} | {meaning} |\n" for number, meaning in codes)
    parts = [f"Before any command:\n\n{_table(root)}"]
    parts += [_command(name, root.commands[name]) for name in sorted(root.commands)]
    return HEAD + table + "\n" + "\n".join(parts)


def _command(name: str, command: Any) -> str:
    arguments = [each.metavar for each in command.params if each.param_type_name == "argument"]
    usage = " ".join(["./bothways", name, *arguments])
    said = " ".join(command.help.split())
    return f"## {name}\n\n`{usage}`\n\n{said}\n\n{_table(command)}"


def _table(command: Any) -> str:
    context = command.make_context("bothways", [], resilient_parsing=True)
    rows = [each.get_help_record(context) for each in command.params if each.name != "help"]
    return "| | |\n| --- | --- |\n" + "".join(f"| `{_escaped(name)}` | {_escaped(said)} |\n" for name, said in filter(None, rows))


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.stdout.write(page())
