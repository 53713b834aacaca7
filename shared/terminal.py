"""How a command talks to the terminal: settings from a file, errors as one sentence, results as tables or JSON."""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType

from shared.errors import BadRequest, ConfigError, SyncError, unforeseen

FAILED, USAGE, NEEDS_SOMEBODY, RUNNING = 1, 2, 3, 4
"""Exit codes."""


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


def fail(message: str, code: int = FAILED) -> NoReturn:
    """End the program with one sentence and an exit code."""
    typer.echo(f"bothways: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def working() -> Iterator[None]:
    """Within, log lines are dropped, and whatever goes wrong is one sentence and an exit code."""
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except typer.Exit:
        raise
    except ConfigError as error:
        fail(f"{error}\nFor a stack that `make up` has started: bothways --env .local/up/env ...")
    except BadRequest as error:
        fail(str(error), USAGE)
    except SyncError as error:
        fail(str(error))
    except ValidationError as error:
        fail(
            "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors(include_input=False)),
            USAGE,
        )
    except Exception as error:
        fail(unforeseen(error))


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
    names = list(there)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    fail(f"there is no {kind} {name!r}; {guess}there are: {', '.join(names)}", USAGE)
