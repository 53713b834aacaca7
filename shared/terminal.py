"""How a command talks to the terminal: settings from a file, errors as one sentence, results as tables or JSON."""

from __future__ import annotations

import difflib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType

from shared.errors import BadRequest, ConfigError, SyncError, unforeseen

FAILED, USAGE, NEEDS_SOMEBODY, RUNNING = 1, 2, 3, 4
"""Exit codes."""
VERBOSE: ContextVar[bool] = ContextVar("verbose", default=False)
"""Whether log lines are wanted, on stderr."""


def variables(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the names and values in a file of lines NAME=VALUE; ends the program if it is none."""
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read ({type(error).__name__}); `make up` writes .local/up/env", USAGE)
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not equals:
            fail(f"{file}: setting {number} is not of the form NAME=VALUE", USAGE)
        yield name.strip(), value


class Stopped(Exception):
    """Ends the program with one sentence and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def fail(message: str, code: int = FAILED) -> NoReturn:
    """End the program with one sentence and an exit code; to be called within `working`."""
    raise Stopped(message, code)


@contextmanager
def working(as_json: bool = False) -> Iterator[None]:
    """Within, log lines are dropped, or go to stderr if asked for. Whatever goes wrong is one sentence on stderr, with --json a
    document on stdout too, and an exit code."""
    try:
        with redirect_stdout(sys.stderr if VERBOSE.get() else io.StringIO()):
            yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        message, code = _told(error)
        typer.echo(f"bothways: {message}", err=True)
        if as_json:
            typer.echo(json.dumps({"success": False, "errors": [{"message": message, "exit_code": code}]}, indent=2))
        raise typer.Exit(code) from None


def _told(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    match error:
        case Stopped():
            return error.message, error.code
        case ConfigError():
            return f"{error}\nFor a stack that `make up` has started: bothways --env .local/up/env ...", USAGE
        case BadRequest():
            return str(error), USAGE
        case SyncError():
            return str(error), FAILED
        case ValidationError():
            found = error.errors(include_input=False)
            return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found), USAGE
    return unforeseen(error), FAILED


def show(body: Any, as_json: bool, tables: Callable[[Any], Iterable[RenderableType]]) -> None:
    """Print a result, as JSON or as what `tables` makes of it."""
    if as_json:
        typer.echo(json.dumps(body, indent=2, default=str))
        return
    console = Console(highlight=False, markup=False)
    for each in tables(body):
        console.print(each)


def known_name(kind: str, name: str, there: Iterable[str]) -> str:
    """Return a name that is there; anything else ends the program, with a guess at what was meant."""
    names = list(map(str, there))
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    fail(f"there is no {kind} {name!r}; {guess}there are: {', '.join(names)}", USAGE)
