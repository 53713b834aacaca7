"""A command as plain data. Nothing here runs one."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Output:
    """What another command prints, as a word of this one: the shell's `"before$(command)after"`."""

    words: "tuple[Word, ...]"
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f'"{self.before}$({line(self.words)}){self.after}"'


Word: TypeAlias = str | Output


@dataclass(frozen=True)
class Command:
    """A program with its arguments. `stdin` fetches what it reads, a secret, which is never printed."""

    words: tuple[Word, ...]
    stdin: Callable[[], str] | None = None

    def __str__(self) -> str:
        return line(self.words) + ("  # reads the secret's value on standard input" if self.stdin else "")


def line(words: tuple[Word, ...]) -> str:
    """Return a command as a line that can be pasted into a shell."""
    return " ".join(shlex.quote(word) if isinstance(word, str) else str(word) for word in words)
